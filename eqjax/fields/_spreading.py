"""Low-discrepancy sets: points that cover a space evenly, in NumPy and float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from eqjax._core._checks import check_condition
from eqjax.spaces import Box, Torus

# Candidates per point where points are chosen among candidates.
_CANDIDATES = 64


def spread_sphere(n: int, num: int) -> np.ndarray:
    """Equal steps on the circle, a Fibonacci spiral on S^2, farthest points beyond."""
    index = np.arange(num)
    if n == 1:
        return _unit_circle(2 * np.pi * index / num)
    if n == 2:
        height = 1 - (2 * index + 1) / num
        radius = np.sqrt(1 - height**2)[:, None]
        circle = _unit_circle(index * np.pi * (3 - math.sqrt(5)))
        return np.concatenate([radius * circle, height[:, None]], axis=-1)
    candidates = _unit_vectors(_CANDIDATES * num, n + 1)
    return candidates[_farthest_points(candidates, num)]


def spread_torus(space: Torus, num: int) -> np.ndarray:
    """A lattice or farthest points, whichever leaves the smaller hole."""
    periods = np.asarray(space.periods)
    many = np.random.default_rng(0).uniform(size=(_CANDIDATES * num, space.dim))
    many *= periods

    def on_circles(points: np.ndarray) -> np.ndarray:
        angles = 2 * np.pi * points / periods
        arms = periods / (2 * np.pi) * np.stack([np.cos(angles), np.sin(angles)])
        return np.concatenate(list(arms), axis=-1)

    embedded = on_circles(many)
    lattice = Box((0.0,) * space.dim, tuple(space.periods)).spread(num)
    chosen = many[_farthest_points(embedded, num)]
    holes = [_largest_hole(on_circles(s), embedded) for s in (lattice, chosen)]
    return lattice if holes[0] <= holes[1] else chosen


def spread_hyperbolic(n: int, radius: float, num: int) -> tuple[np.ndarray, float]:
    """Points of the ball about the origin of H^n, spatial parts, and their spacing.

    Equal steps on the line, a sunflower in the plane, farthest points beyond. The
    spacing is that of a grid, (volume / num)^(1 / n), in small balls; in larger ones as
    many times the radius of a ball with that volume.
    """
    radii = np.linspace(0, radius, 4097)
    # Volume of the ball of each radius, up to the area of the unit sphere.
    shells = np.sinh((radii[1:] + radii[:-1]) / 2) ** (n - 1) * np.diff(radii)
    volume = np.concatenate([[0.0], np.cumsum(shells)])
    unit_ball = math.pi ** (n / 2) / math.gamma(n / 2 + 1)
    cell = float(np.interp(volume[-1] / num, volume, radii))
    spacing = cell * unit_ball ** (1 / n)
    if n == 1:
        steps = radius * ((2 * np.arange(num) + 1) / num - 1)
        return np.sinh(steps)[:, None], spacing
    count = num if n == 2 else _CANDIDATES * num
    index = np.arange(count) + 0.5
    lengths = np.interp(volume[-1] * index / count, volume, radii)
    if n == 2:
        directions = _unit_circle(index * np.pi * (3 - math.sqrt(5)))
        return np.sinh(lengths)[:, None] * directions, spacing
    candidates = np.sinh(lengths)[:, None] * _unit_vectors(count, n)
    time = np.sqrt(1 + np.sum(candidates**2, axis=-1))

    def distances(i: int) -> np.ndarray:
        return np.arccosh(np.maximum(time * time[i] - candidates @ candidates[i], 1.0))

    return candidates[_farthest(distances, count, num)[0]], spacing


def spread_rotations(n: int, num: int) -> np.ndarray:
    """Elements of SO(n), the first of them 1: angles, quaternions or matrices."""
    if n == 2:
        return 2 * np.pi * np.arange(num) / num
    count = _CANDIDATES * num
    if n == 3:
        candidates = _unit_vectors(count, 4)
        candidates[0] = np.eye(4)[0]

        def distances(i: int) -> np.ndarray:
            # A quaternion and its negative are the same rotation.
            return np.arccos(np.minimum(np.abs(candidates @ candidates[i]), 1.0))

        return candidates[_farthest(distances, count, num)[0]]
    q, r = np.linalg.qr(np.random.default_rng(0).normal(size=(count, n, n)))
    # A positive diagonal of r makes q uniform; then its first column its determinant 1.
    q *= np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    q[:, :, 0] *= np.linalg.det(q)[:, None]
    q[0] = np.eye(n)
    return q[_farthest_points(q.reshape(count, -1), num)]


def spread_generic(poses: Any, num: int) -> tuple[Any, float]:
    """Poses far from each other, of those that `poses.sample` draws, and their spacing.

    The spacing is the largest distance of the other candidates from them; that of group
    elements is between their matrices.

    Args:
        poses: Group or space.
        num: Number of poses.

    Returns:
        Poses with a leading axis, and the spacing.

    Raises:
        ValueError: If the group or space has no samples, or no distance.
    """
    with_matrices = hasattr(poses, "matrix")
    check_condition(
        hasattr(poses, "sample") and (with_matrices or hasattr(poses, "distance")),
        f"No initial poses are known for {poses}: it needs `sample`, and `matrix` (a "
        "group) or `distance` (a space). Or build the dict of latents yourself: "
        '{"pose", "context", "window"}.',
    )
    count = _CANDIDATES * num
    # Numbers, also while the caller is being traced.
    with jax.ensure_compile_time_eval():
        keys = jax.random.split(jax.random.key(0), count)
        candidates = jax.vmap(lambda key: poses.sample(key=key))(keys)
        if with_matrices:
            matrices = np.asarray(jax.vmap(poses.matrix)(candidates))
            flat = matrices.reshape(count, -1)
            chosen, hole = _farthest(lambda i: _lengths(flat - flat[i]), count, num)
        else:

            def distances(i: int) -> np.ndarray:
                here = jax.tree.map(lambda leaf: leaf[i], candidates)
                return np.asarray(
                    jax.vmap(lambda x: poses.distance(here, x))(candidates)
                )

            chosen, hole = _farthest(distances, count, num)
        return jax.tree.map(lambda leaf: leaf[chosen], candidates), hole


def _farthest_points(candidates: np.ndarray, num: int) -> np.ndarray:
    """Indices of vectors that are far from each other."""
    count = len(candidates)
    return _farthest(lambda i: _lengths(candidates - candidates[i]), count, num)[0]


def _farthest(
    distances: Callable[[int], np.ndarray], count: int, num: int
) -> tuple[np.ndarray, float]:
    """Each index the farthest from those before it, and the largest hole that is left.

    As balls of half the hole's size about the chosen points are disjoint, the hole is
    at most twice as large as that of any other set of as many candidates.
    """
    chosen, nearest = [0], distances(0)
    while len(chosen) < num:
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, distances(chosen[-1]))
    return np.array(chosen), float(np.max(nearest))


def _largest_hole(points: np.ndarray, candidates: np.ndarray) -> float:
    """The largest distance of a candidate from its nearest point."""
    nearest = np.full(len(candidates), np.inf)
    for point in points:
        nearest = np.minimum(nearest, _lengths(candidates - point))
    return float(np.max(nearest))


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


def _unit_circle(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _unit_vectors(num: int, size: int) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(num, size))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
