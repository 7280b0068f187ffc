"""Latents of one signal: where they stand, how they move."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias, cast

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key, PyTree

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_positive,
    check_size,
)
from eqjax.fields._coordinates import vector_size
from eqjax.fields._initial_poses import initial_poses, is_radial
from eqjax.fields._poses import (
    Poses,
    as_group,
    is_group,
    move_pose,
    retract_pose,
    tangent_size,
)
from eqjax.groups import Group
from eqjax.spaces import Ball, Box, Space

Latents: TypeAlias = dict[str, PyTree[Array]]


def init_latents(
    space: Space,
    poses: Poses,
    *,
    num_latents: int,
    context_dim: int,
    domain: Box | Ball | None = None,
    orientation: Literal["aligned", "random"] = "aligned",
    context_scale: float = 1.0,
    jitter: float = 0.0,
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> Latents:
    """Latents that cover the domain of a signal evenly, with equal contexts.

    Positions form a low-discrepancy set: cell centers or a lattice in a box or on a
    torus, a sunflower on a disc, a spiral on the sphere, equal steps on a circle; on
    other spaces and rotation groups points that are farthest from each other, among 64
    candidates for each. Translations on a torus, and rotations on a sphere, stand where
    its points would. They are the same for every key. The windows of neighbors overlap:
    in R^d they are 2 h / L^(1/d) for L latents, h the half width of the domain.

    Poses with reflections have both kinds in turn, since fitting keeps them.

    Args:
        space: Space of the coordinates.
        poses: Where the poses live: a group (poses are its elements) or a space (poses
            are its points); the `poses` of a bi-invariant. Groups and spaces of your
            own need `sample` and `matrix` or `distance`.
        num_latents: Number of latents L, at least 1.
        context_dim: Size C of a context.
        domain: Part of R^d where signals live; default: the box [-1, 1]^d, for poses
            (rotation, radius) the unit ball. In H^n a `Ball`: that about the origin
            whose radius is a distance, 1 by default. Not for compact spaces.
        orientation: Whether poses with a position start with the identity or with
            random orientations. Poses (rotation, radius), and rotations on a sphere,
            point to their positions; then this is about the turn around that direction.
        context_scale: Entries of all contexts, e.g. 1 / C.
        jitter: Scale of normal noise on positions, in units of half the windows, and on
            contexts, in units of `context_scale`. 0 leaves both alone; orientations are
            left alone anyway.
        dtype: Of every leaf but the flips of O(n) and E(n), which are int32.
        key: For the random parts.

    Returns:
        {"pose": L poses, "context": (L, C), "window": (L,) log of window widths}.

    Raises:
        ValueError: If a number is out of range, or `space` or `domain` does not fit the
            poses, or no way is known to spread them.

    Example:
        >>> import jax
        >>> from eqjax import fields, groups, spaces
        >>> z = fields.init_latents(spaces.Euclidean(2), groups.SE(2), num_latents=9,
        ...                         context_dim=4, key=jax.random.key(0))
        >>> z["pose"][0].shape, z["pose"][1].shape, z["context"].shape
        ((9, 2), (9,), (9, 4))
    """
    check_size("num_latents", num_latents)
    check_size("context_dim", context_dim)
    check_choice("orientation", orientation, ("aligned", "random"))
    check_positive("context_scale", context_scale)
    check_positive("jitter", jitter, zero=True)
    dtype = jnp.result_type(float) if dtype is None else dtype
    key_pose, key_jitter, key_context = jax.random.split(key, 3)
    _check_fit(space, poses)
    pose, spacing = initial_poses(
        space,
        as_group(poses),
        num_latents,
        domain,
        random=orientation == "random",
        jitter=jitter,
        dtype=dtype,
        keys=(key_pose, key_jitter),
    )
    context = jnp.full((num_latents, context_dim), context_scale, dtype)
    if jitter:
        noise = jax.random.normal(key_context, context.shape, dtype)
        context += jitter * context_scale * noise
    window = jnp.full((num_latents,), math.log(spacing), dtype)
    return {"pose": pose, "context": context, "window": window}


def transform_latents(
    poses: Poses, g: Any, latents: Latents, *, group: Group | None = None
) -> Latents:
    """Latents of the moved signal: g acts on the poses alone.

    Args:
        poses: The group or space that holds the poses.
        g: A group element.
        latents: Latents of one signal.
        group: The group of `g`; default: the group of the poses, or that of their
            space. May be a subgroup that `groups.embed` knows; for poses (rotation,
            radius) it is that of the rotations. On the sphere SO(2) turns about the z
            axis; on headings of the plane E(2) acts too.

    Returns:
        Latents z' with field(g x; z') = field(x; z).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields, groups, spaces
        >>> z = fields.init_latents(spaces.Euclidean(2), groups.Translation(2),
        ...                         num_latents=1, context_dim=4, key=jax.random.key(0))
        >>> moved = fields.transform_latents(
        ...     groups.Translation(2), jnp.array([1.0, 2.0]), z)
        >>> moved["pose"].tolist()
        [[1.0, 2.0]]
    """
    pose = jax.vmap(lambda p: move_pose(poses, g, p, group))(latents["pose"])
    return {**latents, "pose": pose}


def zero_tangent(poses: Poses, latents: Latents) -> Latents:
    """The zero of the tangent space at `latents`: floating zeros for every leaf.

    Args:
        poses: The group or space that holds the poses.
        latents: Latents of one signal.

    Returns:
        {"pose": (L, dim), "context": (L, C), "window": (L,)}; `dim` is the group's
        dimension, or the space's `tangent_dim`. Also where poses are tuples, or hold
        integers.
    """
    context = latents["context"]
    pose = jnp.zeros((context.shape[0], tangent_size(poses)), context.dtype)
    rest = {name: jnp.zeros_like(latents[name]) for name in latents if name != "pose"}
    return {**rest, "pose": pose}


def retract_latents(poses: Poses, latents: Latents, tangent: Latents) -> Latents:
    """Moves latents along a tangent; poses stay on their manifold.

    Tangents of group elements are left-trivialized, pose' = pose exp(v), those of
    points are coordinates on orthonormal vectors. So steps along gradients with respect
    to v commute with `transform_latents` by motions of the space. (Elements of affine
    and other groups without an invariant metric: from the left.)

    Args:
        poses: The group or space that holds the poses.
        latents: Latents of one signal.
        tangent: As `zero_tangent` returns it.

    Returns:
        The moved latents.

    Example:
        >>> import jax
        >>> from eqjax import fields, groups, spaces
        >>> z = fields.init_latents(spaces.Sphere(2), groups.SO(3), num_latents=5,
        ...                         context_dim=4, key=jax.random.key(0))
        >>> dz = jax.tree.map(lambda v: v + 0.1, fields.zero_tangent(groups.SO(3), z))
        >>> fields.retract_latents(groups.SO(3), z, dz)["pose"].shape
        (5, 4)
    """
    rest = {name: latents[name] + tangent[name] for name in latents if name != "pose"}
    move = jax.vmap(lambda pose, v: retract_pose(poses, pose, v))
    return {**rest, "pose": move(latents["pose"], tangent["pose"])}


def _check_fit(space: Space, poses: Poses) -> None:
    """Refuses poses of another dimension."""
    poses = as_group(poses)
    if is_group(poses):
        # The radius of a pose is no coordinate.
        size = poses.degree - is_radial(poses)
    else:
        size = vector_size(cast(Space, poses))
    check_condition(
        vector_size(space) == size,
        f"`poses` must fit `space`, got {poses} for {space}: the groups of the poses "
        f"act on vectors of size {size}, those of the space on {vector_size(space)}.",
    )
