"""How poses move: by a group, and along tangent vectors."""

from __future__ import annotations

import functools
import itertools
from typing import Any, TypeAlias, TypeGuard, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition
from eqjax.groups import (
    SE,
    SO,
    E,
    GeneratedGroup,
    Group,
    Lorentz,
    O,
    Semidirect,
    embed,
    is_subgroup,
)
from eqjax.groups import Product as ProductGroup
from eqjax.spaces import (
    Hyperbolic,
    LieGroupSpace,
    PositionOrientation,
    Product,
    Space,
)

Poses: TypeAlias = Group | Space | Product


def is_group(poses: Poses) -> TypeGuard[Group]:
    """True for groups, False for spaces."""
    return hasattr(poses, "compose")


def as_group(poses: Poses) -> Poses:
    """The group itself where the points are its elements."""
    return poses.of if isinstance(poses, LieGroupSpace) else poses


def move_pose(poses: Poses, g: Any, pose: Any, group: Group | None) -> Any:
    """The pose g p, for g in `group`: by default the group (of the space) itself."""
    poses = as_group(poses)
    if is_group(poses):
        return poses.compose(_as_element(poses, g, pose, group), pose)
    return cast(Space, poses).act(g, pose, group=group)


def tangent_size(poses: Poses) -> int:
    """Size of the tangent vectors that `retract_pose` takes."""
    poses = as_group(poses)
    if is_group(poses):
        return poses.dim
    if isinstance(poses, Product):
        return sum(tangent_size(factor) for factor in poses.factors)
    return cast(Space, poses).tangent_dim


def retract_pose(poses: Poses, pose: Any, v: Float[Array, " tangent"]) -> Any:
    """The pose at the end of v, on the manifold; motions of the space commute with it.

    Tangent vectors have orthonormal coordinates, so that a gradient with respect to v
    is a tangent vector: those of the Lie algebra at p, on H^n those of the frame,
    elsewhere those of the space. What is not tangent does not count.
    """
    poses = as_group(poses)
    if is_group(poses):
        return _renormalize(poses, poses.compose(pose, poses.exp(v)))
    if isinstance(poses, Product):
        ends = np.cumsum([tangent_size(factor) for factor in poses.factors])[:-1]
        parts = jnp.split(v, ends)
        return tuple(
            retract_pose(factor, p, w)
            for factor, p, w in zip(poses.factors, pose, parts, strict=True)
        )
    if isinstance(poses, Hyperbolic):
        return poses.exp(pose, jnp.sum(v[:, None] * poses.frame(pose), axis=0))
    space = cast(Space, poses)
    if isinstance(space, PositionOrientation) and space.n == 3:
        v = space.to_tangent(pose, v)
    return space.project(space.retract(pose, v))


def _as_element(poses: Group, g: Any, pose: Any, group: Group | None) -> Any:
    """The element of the poses' group that an element of a subgroup is."""
    if group is None or group == poses:
        return g
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(pose)]
    dtype = next((d for d in dtypes if jnp.issubdtype(d, jnp.floating)), None)
    if isinstance(poses, ProductGroup) and is_subgroup(group, poses.groups[0]):
        first, *rest = poses.groups
        return (
            embed(group, first, g, dtype=dtype),
            *(factor.identity(dtype=dtype) for factor in rest),
        )
    check_condition(
        is_subgroup(group, poses),
        f"`group` must be {poses}, the group of the poses, or a subgroup that "
        f"`groups.embed` knows, got {group}.",
    )
    return embed(group, poses, g, dtype=dtype)


def _renormalize(group: Any, pose: Any) -> Any:
    """Removes the rounding that repeated products would pile up."""
    if isinstance(group, ProductGroup):
        pairs = zip(group.groups, pose, strict=True)
        return tuple(_renormalize(factor, part) for factor, part in pairs)
    if isinstance(group, (SE, E, Semidirect)):
        return pose[0], _renormalize(group.linear_part, pose[1])
    if isinstance(group, O) and group.elements != "matrix":
        return _renormalize(group.rotations, pose[0]), pose[1]
    if isinstance(group, SO) and group.elements == "quaternion":
        return pose / jnp.linalg.norm(pose)
    if isinstance(group, Lorentz):
        return _renormalize_boost(pose)
    if isinstance(group, (SO, O)) and group.elements == "matrix":
        return _nearly_orthogonal(pose)
    if isinstance(group, GeneratedGroup) and _is_conformal(group):
        size = jnp.sqrt(jnp.mean(jnp.sum(pose**2, axis=0)))
        unit = _nearly_orthogonal(pose / size)
        return unit if _keeps_size(group) else size * unit
    return pose


def _nearly_orthogonal(a: Array) -> Array:
    """The orthogonal matrix next to an almost orthogonal one, by one Newton step."""
    gram = jnp.einsum("ki,kj->ij", a, a, precision="highest")
    correction = (3 * jnp.eye(a.shape[0], dtype=a.dtype) - gram) / 2
    return jnp.einsum("ij,jk->ik", a, correction, precision="highest")


def _renormalize_boost(a: Array) -> Array:
    """The Lorentz matrix with the same column of time and almost the same rotation."""
    p, sign = a[1:, 0], jnp.sign(a[0, 0])
    p0 = jnp.sqrt(1 + jnp.sum(p**2))
    # a is the boost [[p0, u^T], [u, 1 + u u^T / (1 + p0)]] times a rotation of space,
    # and times the reversal of time if its first entry is negative; then p = -u.
    u = sign * p
    turn = a[1:, 1:] - u[:, None] * a[None, 0, 1:] / (1 + p0)
    turn = _nearly_orthogonal(turn)
    row = jnp.sum(u[:, None] * turn, axis=0)
    space = turn + u[:, None] * row[None] / (1 + p0)
    top = jnp.concatenate([(sign * p0)[None], row])
    return jnp.concatenate(
        [top[None], jnp.concatenate([p[:, None], space], axis=1)], axis=0
    )


def _keeps_size(group: GeneratedGroup) -> bool:
    """Whether determinants are 1 or -1."""
    lie, discrete = group.generators
    sizes = np.abs(np.linalg.det(discrete))
    return np.allclose(np.trace(lie, axis1=1, axis2=2), 0) and np.allclose(sizes, 1)


@functools.lru_cache
def _is_conformal(group: GeneratedGroup) -> bool:
    """Whether all elements are rotations or reflections times scalings."""
    lie, discrete = group.generators
    one = np.eye(group.degree)
    stretches = itertools.chain(
        (m + m.T for m in lie), (m @ m.T - one for m in discrete)
    )
    return all(np.allclose(m, np.trace(m) / len(m) * one) for m in stretches)
