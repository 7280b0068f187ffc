"""Poses to start with: where they stand and how they are oriented."""

from __future__ import annotations

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import check_condition
from eqjax.fields._coordinates import is_affine
from eqjax.fields._poses import Poses, is_group
from eqjax.fields._spreading import (
    spread_generic,
    spread_hyperbolic,
    spread_rotations,
    spread_sphere,
    spread_torus,
)
from eqjax.groups import (
    SO,
    GeneratedGroup,
    Group,
    Lorentz,
    O,
    Product,
    Translation,
    embed,
    is_subgroup,
)
from eqjax.spaces import (
    Ball,
    Box,
    Euclidean,
    Hyperbolic,
    PositionOrientation,
    Space,
    Sphere,
    Torus,
)

Domain = Box | Ball | None
Keys = tuple[Key[Array, ""], Key[Array, ""]]


def initial_poses(
    space: Space,
    poses: Any,
    num: int,
    domain: Domain,
    *,
    random: bool,
    jitter: float,
    dtype: DTypeLike,
    keys: Keys,
) -> tuple[Any, float]:
    """Evenly spread poses, and the width of their windows.

    Args:
        space: Space of the coordinates.
        poses: Group or space.
        num: Number of poses.
        domain: Part of the space, if it is not compact.
        random: Whether orientations are random; else they are the identity.
        jitter: Noise on positions, in units of half the windows.
        dtype: Of the poses' floating-point parts.
        keys: For orientations and noise.

    Returns:
        Poses with a leading axis, and the width.
    """
    if isinstance(space, Torus) and isinstance(poses, Translation):
        poses = space  # elements are points of it
    on_sphere = isinstance(space, Sphere) and space.n > 1
    on_sphere = on_sphere and isinstance(poses, (SO, O))
    if isinstance(poses, (SO, O)) and not on_sphere:
        _check_compact(poses, domain)
        spacing = 2 * math.pi / num ** (1 / poses.dim)
        rotations = poses.rotations if isinstance(poses, O) else poses
        pose: Any = jnp.asarray(spread_rotations(poses.n, num), dtype)
        if rotations != SO(poses.n):
            pose = rotations.from_matrix(SO(poses.n).matrix(pose))
        if isinstance(poses, O) and poses.elements != "matrix":
            pose = pose, jnp.zeros(num, jnp.int32)
        return _with_both_kinds(poses, pose, num), spacing
    places = space if on_sphere else poses
    if not _has_positions(places):
        pose, spacing = spread_generic(poses, num)
        return _cast(pose, dtype), spacing or 1.0
    numbers, spacing = _positions(places, num, domain)
    positions = jnp.asarray(numbers, dtype)
    key_turn, key_noise = keys
    if jitter:
        noise = jax.random.normal(key_noise, positions.shape, dtype)
        positions = _move(places, positions, jitter * spacing / 2 * noise)
    if on_sphere:
        return _pointing(poses, positions, key_turn, random=random), spacing
    if not is_group(poses):
        return _with_heading(poses, positions, key_turn, random=random), spacing
    if is_radial(poses):
        return _with_radius(poses, positions, key_turn, random=random), spacing
    if isinstance(poses, Lorentz):
        return _with_boost(poses, positions, key_turn, random=random), spacing
    if not hasattr(poses, "linear_part"):
        return poses.from_matrix(_homogeneous(positions)), spacing
    linear = cast(Any, poses).linear_part
    turns = _turns(linear, num, key_turn, random=random, dtype=dtype)
    return (positions, _with_both_kinds(linear, turns, num)), spacing


def is_radial(poses: Any) -> bool:
    """Whether poses are pairs (rotation about the center, radius)."""
    return (
        isinstance(poses, Product)
        and len(poses.groups) == 2
        and isinstance(poses.groups[0], (SO, O))
        and isinstance(poses.groups[1], Translation)
        and poses.groups[1].n == 1
    )


def _has_positions(poses: Poses) -> bool:
    """Whether poses start at positions that are spread by themselves."""
    if not is_group(poses):
        known = (Euclidean, Sphere, Torus, Hyperbolic, PositionOrientation)
        return isinstance(poses, known)
    preserving = isinstance(poses, Lorentz) and poses.reflections != "all"
    affine = is_affine(poses) and not isinstance(poses, Product)
    return preserving or is_radial(poses) or affine


def _positions(poses: Any, num: int, domain: Domain) -> tuple[np.ndarray, float]:
    """Positions and the width of their windows."""
    if isinstance(poses, (Sphere, Torus)):
        _check_compact(poses, domain)
        if isinstance(poses, Torus):
            volume = math.prod(poses.periods)
            return spread_torus(poses, num), (volume / num) ** (1 / poses.dim)
        return spread_sphere(poses.n, num), math.pi / num ** (1 / poses.n)
    if isinstance(poses, (Hyperbolic, Lorentz)):
        domain = Ball(poses.n) if domain is None else domain
        check_condition(
            isinstance(domain, Ball) and domain.n == poses.n,
            f"`domain` must be a Ball({poses.n}, radius) about the origin of H^n for "
            f"poses in {poses}, got {domain}.",
        )
        points, spacing = spread_hyperbolic(poses.n, domain.half_width, num)
        # The chord of that length, in which `squared_distance` is measured.
        return points, 2 * math.sinh(spacing / 2)
    radial = is_radial(poses)
    group = poses.groups[0] if radial else poses
    dim = group.degree if is_group(group) else group.n
    if domain is None:
        domain = Ball(dim) if radial else Box((-1.0,) * dim, (1.0,) * dim)
    check_condition(
        domain.dim == dim,
        f"`domain` must have the {dim} dimensions of the poses, got {domain.dim}.",
    )
    return domain.spread(num), 2 * domain.half_width / num ** (1 / dim)


def _check_compact(poses: Any, domain: Domain) -> None:
    check_condition(
        domain is None,
        f"`domain` must be None for poses in {poses}, which is compact.",
    )


def _move(poses: Any, positions: Array, steps: Array) -> Array:
    """Positions after small steps."""
    if isinstance(poses, (Hyperbolic, Lorentz)):
        space = Hyperbolic(poses.n)
        ambient = jnp.sum(steps[:, :, None] * space.frame(positions), axis=1)
        return space.exp(positions, ambient)
    if isinstance(poses, Sphere):
        return poses.project(positions + steps)
    return positions + steps


def _turns(
    group: Any, num: int, key: Key[Array, ""], *, random: bool, dtype: DTypeLike
) -> Any:
    """Identities, or random rotations if the group has them, else random elements."""
    if not random:
        return jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (num, *leaf.shape)),
            group.identity(dtype=dtype),
        )
    rotations = SO(group.degree) if group.degree > 1 else group
    found = is_subgroup(rotations, group)

    def draw(key: Array) -> Any:
        if found:
            turn = rotations.sample(dtype=dtype, key=key)
            return embed(rotations, group, turn, dtype=dtype)
        turn = group.sample(dtype=dtype, key=key)
        return _without_scale(group, turn)

    return jax.vmap(draw)(jax.random.split(key, num))


def _without_scale(group: Any, a: Any) -> Any:
    """An element of determinant 1 or -1, where the group has all scalings."""
    if not isinstance(group, GeneratedGroup):
        return a
    lie = group.generators.lie.reshape(group.dim, -1)
    one = np.eye(group.degree).ravel()
    rest = one - lie.T @ np.linalg.pinv(lie.T) @ one
    if np.max(np.abs(rest)) > 1e-9:
        return a
    return a / jnp.abs(jnp.linalg.det(a)) ** (1 / group.degree)


def _with_both_kinds(group: Group, turns: Any, num: int) -> Any:
    """Every second rotation times the reflection, if the group has one."""
    if isinstance(group, O) and group.elements != "matrix":
        return turns[0], jnp.arange(num, dtype=jnp.int32) % 2
    reflections = group.generators.discrete
    if group.order is not None or len(reflections) != 1:
        return turns
    floats = [
        x for x in jax.tree.leaves(turns) if jnp.issubdtype(x.dtype, jnp.floating)
    ]
    mirror = group.from_matrix(jnp.asarray(reflections[0], floats[0].dtype))
    mirrored = jax.vmap(lambda turn: group.compose(turn, mirror))(turns)
    odd = np.arange(num) % 2 == 1

    def choose(there: Array, here: Array) -> Array:
        return jnp.where(odd.reshape(num, *[1] * (here.ndim - 1)), there, here)

    return jax.tree.map(choose, mirrored, turns)


def _with_heading(
    space: Any, positions: Array, key: Key[Array, ""], *, random: bool
) -> Array:
    """Points of a space; headings are the x axis of the plane, the z axis of space."""
    if not isinstance(space, PositionOrientation):
        return positions
    num, dtype = positions.shape[0], positions.dtype
    ahead = [0, 0, 1] if space.n == 3 else [0]
    headings = jnp.asarray(np.tile(ahead, (num, 1)), dtype)
    if random:
        turns = _turns(SO(space.n), num, key, random=True, dtype=dtype)
        headings = SO(3).act(turns, headings) if space.n == 3 else turns[:, None]
    return jnp.concatenate([positions, headings], axis=-1)


def _with_radius(
    poses: Any, positions: Array, key: Key[Array, ""], *, random: bool
) -> tuple[Any, Array]:
    """Pairs (rotation, radius) that stand for the positions."""
    group, n, dtype = poses.groups[0], poses.groups[0].n, positions.dtype
    radius = jnp.linalg.norm(positions, axis=-1, keepdims=True)
    center = radius == 0
    last = jnp.eye(n, dtype=dtype)[-1:]
    directions = jnp.where(center, last, positions / jnp.where(center, 1, radius))
    return _pointing(group, directions, key, random=random), radius


def _pointing(
    group: Any, directions: Array, key: Key[Array, ""], *, random: bool
) -> Any:
    """Elements of SO(n) or O(n) that take the last axis to unit vectors."""
    (num, n), dtype = directions.shape, directions.dtype
    matrices = _turn_last_axis(directions)
    if random and n > 2:
        about = _turns(SO(n - 1), num, key, random=True, dtype=dtype)
        block = jnp.pad(SO(n - 1).matrix(about), [(0, 0), (0, 1), (0, 1)])
        block = block.at[:, -1, -1].set(1)
        matrices = jnp.einsum(
            "...ij,...jk->...ik", matrices, block, precision="highest"
        )
    if isinstance(group, O):
        # Mirrors that hold the direction.
        signs = np.ones((num, 1, n))
        signs[1::2, 0, 0] = -1
        matrices = matrices * jnp.asarray(signs, dtype)
    return group.from_matrix(matrices)


def _turn_last_axis(directions: Array) -> Array:
    """Matrices of the smallest rotations that take the last axis e to unit vectors u.

    Where u = -e, one of the half turns.
    """
    one = jnp.eye(directions.shape[1], dtype=directions.dtype)
    middle = directions + one[-1:]
    middle = jnp.where(directions[:, -1:] < -1 + 1e-6, one[:1], middle)
    middle = middle / jnp.linalg.norm(middle, axis=-1, keepdims=True)
    # Two mirrors: one that turns e around, and one that takes -e to u.
    mirrors = one[None] - 2 * middle[:, :, None] * middle[:, None, :]
    return mirrors * (1 - 2 * one[-1:])[None]


def _with_boost(
    group: Lorentz, positions: Array, key: Key[Array, ""], *, random: bool
) -> Array:
    """Boosts that take the origin to the positions, after rotations of space."""
    num, n = positions.shape
    time = jnp.sqrt(1 + jnp.sum(positions**2, axis=-1))
    outer = positions[:, :, None] * positions[:, None, :]
    space = jnp.eye(n, dtype=positions.dtype)[None] + outer / (1 + time)[:, None, None]
    top = jnp.concatenate([time[:, None], positions], axis=-1)[:, None]
    below = jnp.concatenate([positions[:, :, None], space], axis=-1)
    boosts = jnp.concatenate([top, below], axis=-2)
    if random and n > 1:
        turns = _turns(SO(n), num, key, random=True, dtype=positions.dtype)
        boosts = group.compose(boosts, embed(SO(n), group, turns))
    return _with_both_kinds(group, boosts, num)


def _homogeneous(positions: Array) -> Array:
    """Matrices [[1, t], [0, 1]]."""
    num, n = positions.shape
    one = jnp.broadcast_to(jnp.eye(n + 1, dtype=positions.dtype), (num, n + 1, n + 1))
    return one.at[:, :n, n].set(positions)


def _cast(pose: Any, dtype: DTypeLike) -> Any:
    """Floating-point leaves in another precision."""

    def cast_leaf(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf.astype(dtype)
        return leaf

    return jax.tree.map(cast_leaf, pose)
