"""Velocity fields on [-1, 1]^n with the surface at the top, and times on their grid."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from eqjax import data, eikonal, fields, groups, spaces

MARGIN = 0.02  # of the speeds' bounds, which the times' bounds are made of

FAMILIES = tuple(
    f"{kind}_{variant}"
    for kind, variant in itertools.product(
        ("layered", "curved", "faulted", "style"), "ab"
    )
)


@dataclass(frozen=True)
class Setting:
    """The box [-1, 1]^n, its grid and its motions.

    Attributes:
        dim: 2 or 3; the last axis is the height.
        num_nodes: Nodes per axis.
    """

    dim: int = 2
    num_nodes: int = 70

    @property
    def velocity(self) -> eikonal.GridVelocity:
        """The interpolant of speeds: linear between nodes."""
        spacing = 2 / (self.num_nodes - 1)
        return eikonal.GridVelocity(
            (self.num_nodes,) * self.dim, (spacing,) * self.dim, (-1.0,) * self.dim
        )

    @property
    def solver(self) -> eikonal.GridEikonal:
        """The grid solver on the nodes themselves."""
        grid = self.velocity
        return eikonal.GridEikonal(grid.shape, grid.spacing, grid.origin)

    @property
    def domain(self) -> spaces.Box:
        """Where pairs are drawn."""
        return spaces.Box((-1.0,) * self.dim, (1.0,) * self.dim)

    @property
    def poses(self) -> groups.SE:
        """Rigid motions: what latents' poses are."""
        return groups.SE(self.dim)

    @property
    def moves(self) -> dict[str, Any]:
        """How fits move latents."""
        return {
            "retract": partial(fields.retract_latents, self.poses),
            "zero_tangent": partial(fields.zero_tangent, self.poses),
        }

    @property
    def nodes(self) -> jax.Array:
        """Coordinates of the nodes, (70, 70, 2)."""
        axis = jnp.linspace(-1, 1, self.num_nodes)
        return jnp.stack(jnp.meshgrid(*[axis] * self.dim, indexing="ij"), axis=-1)

    def pairs(self, speeds: jax.Array, count: int, key: jax.Array) -> Any:
        """Random pairs and the speeds of ONE field at both ends."""
        space = spaces.Euclidean(self.dim)
        s, r = eikonal.sample_pairs(self.domain, space, count, key=key)
        speed = jax.vmap(lambda x: self.velocity.at(speeds, x))
        return s, r, jnp.stack([speed(s), speed(r)], axis=-1)

    def solve(self, speeds: jax.Array, num_sources: int, key: jax.Array) -> Taught:
        """Times of ONE field from random sources, on its own grid."""
        shape = (num_sources, self.dim)
        sources = jax.random.uniform(key, shape, speeds.dtype, -1.0, 1.0)
        # On a CPU one after the other is faster than all at once.
        times = jax.lax.map(lambda s: self.solver.solve(speeds, s).times, sources)
        return Taught(sources, times)

    def taught_pairs(
        self, taught: Taught, count: int, key: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Sources, nodes and times of random pairs of ONE field."""
        index = jax.random.randint(key, (count,), 0, taught.times.size)
        source, *node = jnp.unravel_index(index, taught.times.shape)
        receivers = self.nodes[tuple(node)]
        return taught.sources[source], receivers, taught.times[source, *node]


class Problem(NamedTuple):
    """Velocity fields.

    Attributes:
        speeds: (fields, *nodes), in half widths of the domain per unit of time.
        bounds: Smallest and largest speed of each field, (fields, 2).
    """

    speeds: jax.Array
    bounds: jax.Array


class Taught(NamedTuple):
    """Grid solutions of fields, for a teacher.

    Attributes:
        sources: Random ones, (fields, sources, dim).
        times: To all nodes, (fields, sources, *nodes).
    """

    sources: jax.Array
    times: jax.Array


def make_fields(setting: Setting, family: str, count: int, seed: int) -> jax.Array:
    """Random velocity fields, (count, *nodes); in turn of all families if "all"."""
    families = FAMILIES if family == "all" else (family,)
    shape, stacks = setting.velocity.shape, []
    for i, name in enumerate(families):
        kind, variant = name.split("_")
        draw = partial(data.velocity_model, kind, variant, shape=shape)
        key = jax.random.fold_in(jax.random.key(seed), FAMILIES.index(name))
        keys = jax.random.split(key, len(range(i, count, len(families))))
        stacks.append(jax.lax.map(lambda key, draw=draw: draw(key=key), keys))
    longest = len(stacks[0])
    turns = [stack[i] for i in range(longest) for stack in stacks if i < len(stack)]
    # Models have their depth downward.
    return jnp.stack(turns)[..., ::-1]


def family_of(family: str, i: int) -> str:
    """The family of field i of `make_fields`."""
    return FAMILIES[i % len(FAMILIES)] if family == "all" else family


def make_problem(speeds: jax.Array) -> Problem:
    """Fields with their bounds."""
    axes = tuple(range(1, speeds.ndim))
    low, high = jnp.min(speeds, axes), jnp.max(speeds, axes)
    bounds = jnp.stack([(1 - MARGIN) * low, (1 + MARGIN) * high], axis=-1)
    return Problem(speeds, bounds)
