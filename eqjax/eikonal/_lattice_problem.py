"""The discrete equation of one source on a grid."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from eqjax.eikonal._grid_solution import rounding
from eqjax.eikonal._lattice_factor import frozen_metric
from eqjax.eikonal._lattice_grid import LatticeGrid
from eqjax.eikonal._lattice_iteration import LatticeProblem, at_nodes
from eqjax.eikonal._lattice_stencil import LatticeStencil, neighbor_numbers


def lattice_problem(
    grid: LatticeGrid,
    stencil: LatticeStencil,
    velocity: Float[Array, "*shape"],
    source: Float[Array, " dim"],
    mask: Bool[Array, "*shape"] | None,
    radius: float | None,
) -> tuple[LatticeProblem, Float[Array, "*shape"]]:
    """The discrete problem, and by how much r is bent (`inf`: not used).

    Args:
        grid: The nodes.
        stencil: Their stencils.
        velocity: v, positive, also at absent nodes.
        source: A point of the grid.
        mask: True where a node is absent.
        radius: Where r is bent.
    """
    dim, dtype = len(grid.shape), velocity.dtype
    neighbors = neighbor_numbers(stencil, grid.shape, grid.periodic, mask)
    absent = jnp.zeros(grid.shape, bool) if mask is None else mask
    position = grid.position(source)
    # A source that rounding has moved off a node goes back. Its derivative stays.
    to_node = jnp.round(position) - position
    is_node = jnp.abs(to_node) < rounding(grid.shape, dtype)
    position += lax.stop_gradient(jnp.where(is_node, to_node, 0))
    nodes, weights = grid.corners(position)
    weights = jnp.where(absent[nodes], 0, weights)
    share = jnp.sum(weights)
    speed = jnp.sum(weights * velocity[nodes]) / jnp.where(share > 0, share, 1)
    start = 1 / jnp.where(share > 0, speed, 1)
    steps = jnp.asarray(grid.steps, dtype=dtype)
    offset = grid.wrap(steps - position.reshape(dim, *(1,) * dim))
    metric = frozen_metric(grid, stencil, source)
    r, gradient = metric.factor(offset, radius)
    offsets = jnp.moveaxis(jnp.asarray(stencil.offsets), (-2, -1), (0, 1))
    offsets = jnp.broadcast_to(offsets, (*offsets.shape[:2], *grid.shape))
    slopes = jnp.sum(offsets.astype(dtype) * gradient[None], axis=1)
    rho = jnp.moveaxis(jnp.asarray(stencil.weights, dtype=dtype), -1, 0)
    near = 1 - rounding(grid.shape, dtype)
    is_start = ~absent & jnp.all(jnp.abs(offset) < near, axis=0)
    slowness = 1 / velocity
    # The mean slowness on the way from the source, by the trapezoidal rule.
    mean, scales = (slowness + start) / 2, r[None, None]
    stretch = jnp.ones_like(r)
    if stencil.ahead is not None:
        # Behind the source T / r is not bounded: differences are those of T.
        behind = metric.is_behind(offset)
        is_start &= ~behind
        slopes = jnp.where(behind[None], 0, slopes)
        scales = jnp.where(behind[None, None], at_nodes(r, neighbors, 1.0), scales)
        distance, _ = metric.factor(offset, None)
        stretch = jnp.where(r > 0, distance, 1) / jnp.where(r > 0, r, 1)
        mean *= stretch
        stretch = jnp.where(behind, jnp.inf, stretch)
    fixed = jnp.where(is_start, mean, jnp.inf)
    problem = LatticeProblem(
        slowness=jnp.where(is_start | absent, 0, slowness),
        fixed=fixed,
        r=r,
        slopes=slopes,
        scales=scales,
        weights=jnp.broadcast_to(rho, (len(rho), *grid.shape)),
        neighbors=neighbors,
    )
    return problem, stretch
