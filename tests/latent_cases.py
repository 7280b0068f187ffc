"""Poses that latents are tested on, and how far they are from their manifold."""

from typing import Any

import jax
import numpy as np

from eqjax import fields, spaces
from eqjax.fields import RelativePose
from eqjax.groups import (
    SE,
    SO,
    E,
    GLPlus,
    Group,
    Lorentz,
    O,
    Product,
    Semidirect,
)
from eqjax.spaces import (
    Box,
    Euclidean,
    Sphere,
    Torus,
)
from tests import field_cases as cases

KEY = jax.random.key(0)
BIG = Box((-3.0, 1.0), (4.0, 8.0))
RADIAL = RelativePose(SO(3), cases.SPACE, with_radius=True).poses
RADIAL_PLANE = RelativePose(O(2), cases.PLANE, with_radius=True).poses
MIXED: Any = spaces.Product((Sphere(1), Torus((3.0,))))


def init(poses, *, num_latents=5, **options):
    """Latents on the space where a group acts, or on the space of the poses."""
    space = poses
    if isinstance(poses, Group):
        degree = poses.groups[0].degree if isinstance(poses, Product) else poses.degree
        space = Euclidean(degree)
    return fields.init_latents(
        space, poses, num_latents=num_latents, context_dim=3, key=KEY, **options
    )


def manifold_error(poses, pose):
    """How far matrices, unit vectors and quaternions are from the manifold."""
    if isinstance(poses, Product):
        return manifold_error(poses.groups[0], pose[0])
    if isinstance(poses, (SE, E, Semidirect)):
        return manifold_error(poses.linear_part, pose[1])
    if isinstance(poses, O):
        return manifold_error(poses.rotations, pose[0])
    pose = np.asarray(pose)
    if isinstance(poses, Sphere) or poses == SO(3):
        return float(np.max(np.abs(np.linalg.norm(pose, axis=-1) - 1)))
    if poses == cases.NEEDLES:
        return manifold_error(Sphere(2), pose[:, 3:])
    if pose.ndim < 3 or isinstance(poses, GLPlus):  # without any constraint
        return 0.0
    metric = np.eye(pose.shape[-1], dtype=pose.dtype)
    metric[0, 0] = -1 if isinstance(poses, Lorentz) else 1
    form = np.swapaxes(pose, 1, 2) @ metric @ pose
    size = np.max(np.abs(pose), axis=(1, 2))[:, None, None]
    if poses == cases.similarities(2).linear_part:
        metric = metric * (np.trace(form, axis1=1, axis2=2) / 2)[:, None, None]
    return float(np.max(np.abs(form - metric) / size**2))
