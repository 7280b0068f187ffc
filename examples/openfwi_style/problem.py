"""Velocity fields on [-1, 1]^2, and their times by the grid solver."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from eqjax import data, eikonal

NUM_NODES = 70
BOX = (-1.0, -1.0)
SPACING = 2 / (NUM_NODES - 1)
VELOCITY = eikonal.GridVelocity((NUM_NODES, NUM_NODES), (SPACING, SPACING), BOX)
MARGIN = 0.02  # of the speeds' bounds, which the times' bounds are made of


class Problem(NamedTuple):
    """Velocity fields.

    Attributes:
        speeds: (fields, 70, 70), in half widths of the domain per unit of time.
        bounds: Smallest and largest speed of each field, (fields, 2).
    """

    speeds: jax.Array
    bounds: jax.Array


def make_fields(kind: str, variant: str, count: int, seed: int) -> jax.Array:
    """Random velocity fields, (count, 70, 70)."""
    draw = partial(data.velocity_model, kind, variant, shape=(NUM_NODES, NUM_NODES))
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.lax.map(lambda key: draw(key=key), keys)


@jax.jit
def grid_times(speeds: jax.Array, sources: jax.Array) -> jax.Array:
    """Times of every field (f, n, n) from its sources (f, s, 2) to all nodes."""
    num = speeds.shape[-1]
    spacing = 2 / (num - 1)
    solver = eikonal.GridEikonal((num, num), (spacing, spacing), BOX)

    def of_one(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        speed, points = pair
        return jax.vmap(lambda source: solver.solve(speed, source).times)(points)

    return jax.lax.map(of_one, (speeds, sources))


def make_problem(speeds: jax.Array) -> Problem:
    """Fields with their bounds."""
    low, high = jnp.min(speeds, (1, 2)), jnp.max(speeds, (1, 2))
    bounds = jnp.stack([(1 - MARGIN) * low, (1 + MARGIN) * high], axis=-1)
    return Problem(speeds, bounds)


def nodes() -> jax.Array:
    """Coordinates of the nodes, (70, 70, 2)."""
    axis = BOX[0] + SPACING * jnp.arange(NUM_NODES)
    return jnp.stack(jnp.meshgrid(axis, axis, indexing="ij"), axis=-1)


def solved_pairs(
    speed: jax.Array, num_sources: int, count: int, key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sources, nodes and times of random pairs of ONE field, solved on its grid."""
    key_sources, key_pairs = jax.random.split(key)
    sources = jax.random.uniform(key_sources, (num_sources, 2), speed.dtype, -1.0, 1.0)
    times = grid_times(speed[None], sources[None])[0]
    index = jax.random.randint(key_pairs, (count,), 0, times.size)
    source, row, col = jnp.unravel_index(index, times.shape)
    place = jnp.stack([row, col], axis=-1).astype(speed.dtype)
    return sources[source], BOX[0] + SPACING * place, times[source, row, col]
