"""Latents of one signal: where they stand, how they move."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias, TypeGuard, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Key, PyTree

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_positive,
    check_size,
)
from eqjax.fields._bi_invariants import vector_size
from eqjax.groups import SE, SO, E, Group, O, Translation
from eqjax.spaces import Ball, Box, Euclidean, PositionOrientation, Space, Sphere

Latents: TypeAlias = dict[str, PyTree[Array]]
Poses: TypeAlias = Group | Space


def init_latents(
    space: Space,
    poses: Poses,
    *,
    num_latents: int,
    context_dim: int,
    domain: Box | Ball | None = None,
    orientation: Literal["aligned", "random"] = "aligned",
    jitter: float = 0.0,
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> Latents:
    """Latents that cover the domain of a signal evenly, with equal contexts.

    Positions form a low-discrepancy set: cell centers or a lattice in a box, a
    sunflower on a disc, a spiral on the sphere, equal steps on a circle, farthest
    points on other rotation groups. The windows of neighbors overlap:
    log(2 h / L^(1/d)) for L latents, h the half width of the domain.

    Args:
        space: Space of the coordinates.
        poses: Where the poses live: a group (poses are its elements) or a space (poses
            are its points).
        num_latents: Number of latents L, at least 1.
        context_dim: Size C of a context.
        domain: Part of R^d where signals live; default: the box [-1, 1]^d. Not for
            poses without a position.
        orientation: Whether poses with a position start with the identity or with
            random orientations.
        jitter: Scale of normal noise on positions, in units of h / L^(1/d), and of
            noise on contexts. 0 leaves both alone.
        dtype: Of every leaf but the flips of O(n) and E(n), which are int32.
        key: For the random parts.

    Returns:
        {"pose": L poses, "context": (L, C) ones, "window": (L,) log of window widths}.

    Raises:
        ValueError: If a number is out of range, or `space` or `domain` does not fit the
            poses.

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
    check_positive("jitter", jitter, zero=True)
    dtype = jnp.result_type(float) if dtype is None else dtype
    key_pose, key_jitter, key_context = jax.random.split(key, 3)
    size = poses.degree if is_group(poses) else vector_size(cast(Space, poses))
    check_condition(
        vector_size(space) == size,
        f"`poses` must fit `space`, got {poses} for {space}: the groups of the poses "
        f"act on vectors of size {size}, those of the space on {vector_size(space)}.",
    )
    positions, half_width, dim = _positions(poses, num_latents, domain)
    spacing = half_width / num_latents ** (1 / dim)
    if positions is None:
        pose = _spread_rotations(poses, num_latents, dtype)
    else:
        positions = jnp.asarray(positions, dtype)
        if jitter:
            noise = jax.random.normal(key_jitter, positions.shape, dtype)
            positions = positions + jitter * spacing * noise
            if isinstance(poses, Sphere):
                positions = poses.project(positions)
        pose = _with_orientation(poses, positions, orientation, key_pose)
    context = jnp.ones((num_latents, context_dim), dtype)
    if jitter:
        context += jitter * jax.random.normal(key_context, context.shape, dtype)
    window = jnp.full((num_latents,), math.log(2 * spacing), dtype)
    return {"pose": pose, "context": context, "window": window}


def transform_latents(
    poses: Poses, g: Any, latents: Latents, *, group: Group | None = None
) -> Latents:
    """Latents of the moved signal: g acts on the poses alone.

    Args:
        poses: The group or space that holds the poses.
        g: A group element.
        latents: Latents of one signal.
        group: The group of `g` where `poses` is a space; default: the space's group.
            Where `poses` is a group, `g` is one of its elements.

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
    if is_group(poses):
        check_condition(
            group is None or group == poses,
            f"`group` must be {poses}, the group of the poses, got {group}.",
        )
        compose = poses.compose
        pose = jax.vmap(lambda p: compose(g, p))(latents["pose"])
    else:
        act = cast(Space, poses).act
        pose = jax.vmap(lambda p: act(g, p, group=group))(latents["pose"])
    return {**latents, "pose": pose}


def zero_tangent(poses: Poses, latents: Latents) -> Latents:
    """The zero of the tangent space at `latents`: floating zeros for every leaf.

    Args:
        poses: The group or space that holds the poses.
        latents: Latents of one signal.

    Returns:
        {"pose": (L, dim), "context": (L, C), "window": (L,)}; `dim` is the group's
        dimension, or the space's `tangent_dim`.
    """
    context = latents["context"]
    size = poses.dim if is_group(poses) else cast(Space, poses).tangent_dim
    pose = jnp.zeros((context.shape[0], size), context.dtype)
    rest = {name: jnp.zeros_like(latents[name]) for name in latents if name != "pose"}
    return {**rest, "pose": pose}


def retract_latents(poses: Poses, latents: Latents, tangent: Latents) -> Latents:
    """Moves latents along a tangent; poses stay on their manifold.

    Pose tangents are left-trivialized, pose' = pose exp(v), so steps along gradients
    with respect to v commute with `transform_latents`.

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

    def move(pose: Any, v: Array) -> Any:
        if is_group(poses):
            return _renormalize(poses, poses.compose(pose, poses.exp(v)))
        return cast(Space, poses).retract(pose, v)

    rest = {name: latents[name] + tangent[name] for name in latents if name != "pose"}
    return {**rest, "pose": jax.vmap(move)(latents["pose"], tangent["pose"])}


def is_group(poses: Poses) -> TypeGuard[Group]:
    """True for groups, False for spaces."""
    return hasattr(poses, "compose")


def _renormalize(group: Any, pose: Any) -> Any:
    """Removes the rounding that repeated quaternion products would pile up."""
    if isinstance(group, SO) and group.n == 3:
        return pose / jnp.linalg.norm(pose)
    if isinstance(group, O):
        return _renormalize(SO(group.n), pose[0]), pose[1]
    if isinstance(group, (SE, E)):
        return pose[0], _renormalize(group.linear_part, pose[1])
    return pose


def _positions(
    poses: Any, num: int, domain: Box | Ball | None
) -> tuple[np.ndarray | None, float, int]:
    """Positions of the poses (None for pure rotations), half width and dimension."""
    if isinstance(poses, (Sphere, SO, O)):
        check_condition(
            domain is None,
            f"`domain` must be None for poses in {poses}, which is compact.",
        )
        if not isinstance(poses, Sphere):
            return None, math.pi, poses.dim
        return _spread_sphere(poses.n, num), math.pi / 2, poses.n
    if not isinstance(poses, (Translation, SE, E, Euclidean, PositionOrientation)):
        raise ValueError(
            f"No initial positions are known for {poses}. Build the dict of latents "
            'yourself: {"pose", "context", "window"}.'
        )
    dim = poses.n
    if domain is None:
        domain = Box((-1.0,) * dim, (1.0,) * dim)
    check_condition(
        domain.dim == dim,
        f"`domain` must have the {dim} dimensions of the poses, got {domain.dim}.",
    )
    return domain.spread(num), domain.half_width, dim


def _with_orientation(poses: Any, positions: Array, orientation: str, key: Any) -> Any:
    """Poses at the given positions."""
    if isinstance(poses, (Translation, Euclidean, Sphere)):
        return positions
    group = SE(2) if isinstance(poses, PositionOrientation) else poses
    num = positions.shape[0]
    turns: Any
    if orientation == "random":
        keys = jax.random.split(key, num)
        turns = jax.vmap(
            lambda k: group.linear_part.sample(dtype=positions.dtype, key=k)
        )(keys)
    else:
        turns = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (num, *leaf.shape)),
            group.linear_part.identity(dtype=positions.dtype),
        )
    if isinstance(poses, E):
        # Reflections are discrete and never change while fitting: have both kinds.
        turns = (turns[0], jnp.arange(num, dtype=jnp.int32) % 2)
    if isinstance(poses, PositionOrientation):
        return jnp.concatenate([positions, turns[:, None]], axis=-1)
    return positions, turns


def _spread_sphere(n: int, num: int) -> np.ndarray:
    """Equal steps on the circle, or the Fibonacci spiral on S^2."""
    index = np.arange(num)
    if n == 1:
        angle = 2 * np.pi * index / num
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    height = 1 - (2 * index + 1) / num
    radius = np.sqrt(1 - height**2)
    angle = index * np.pi * (3 - math.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=-1)


def _spread_rotations(group: Any, num: int, dtype: Any) -> Any:
    """Evenly spread elements of SO(n) or O(n)."""
    if isinstance(group, O):
        turns = _spread_rotations(group.rotations, num, dtype)
        return turns, jnp.arange(num, dtype=jnp.int32) % 2
    if group.n == 2:
        return jnp.asarray(2 * np.pi * np.arange(num) / num, dtype)
    # Farthest points, up to the sign of a quaternion, among many seeded candidates.
    candidates = np.random.default_rng(0).normal(size=(64 * num, 4))
    candidates /= np.linalg.norm(candidates, axis=-1, keepdims=True)
    chosen = [np.array([1.0, 0.0, 0.0, 0.0])]
    closeness = np.abs(candidates @ chosen[0])
    while len(chosen) < num:
        chosen.append(candidates[np.argmin(closeness)])
        closeness = np.maximum(closeness, np.abs(candidates @ chosen[-1]))
    return jnp.asarray(np.stack(chosen), dtype)
