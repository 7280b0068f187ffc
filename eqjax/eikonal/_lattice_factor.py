"""The distance from the source in the metric that is frozen there."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from eqjax._core._numerics import safe_sqrt
from eqjax.eikonal._grid_solution import rounding
from eqjax.eikonal._lattice_grid import LatticeGrid
from eqjax.eikonal._lattice_stencil import LatticeStencil


class FrozenMetric(NamedTuple):
    """The metric at the source for offsets in units of nodes.

    Attributes:
        metric: G, the inverse of D.
        momentum: G n of the direction n without a way back; None without one.
        edge: Rounding error of offsets.
    """

    metric: Float[Array, "dim dim"]
    momentum: Float[Array, " dim"] | None
    edge: float

    def factor(
        self, offset: Float[Array, "dim *nodes"], radius: float | None
    ) -> tuple[Float[Array, "*nodes"], Float[Array, "dim *nodes"]]:
        """r, bent at `radius`, and its derivatives at offsets from the source."""
        momentum = jnp.tensordot(self.metric, offset, axes=1, precision="highest")
        distance = safe_sqrt(jnp.sum(offset * momentum, axis=0))
        gradient = momentum / jnp.where(distance > 0, distance, 1)[None]
        if radius is None:
            return distance, gradient
        shrink = 1 / (1 + distance / radius)
        return distance * shrink, gradient * (shrink * shrink)[None]

    def is_behind(self, offset: Float[Array, "dim *nodes"]) -> Bool[Array, "*nodes"]:
        """Where the direct way from the source would be driven backwards.

        T does not grow like r there: it jumps at the source.
        """
        if self.momentum is None:
            return jnp.zeros(offset.shape[1:], bool)
        # What is at its side up to rounding is not behind it.
        momentum = self.momentum / jnp.sum(jnp.abs(self.momentum))
        products = jnp.tensordot(momentum, offset, axes=1, precision="highest")
        return products < -self.edge


def frozen_metric(
    grid: LatticeGrid, stencil: LatticeStencil, source: Float[Array, " dim"]
) -> FrozenMetric:
    """The metric at a source, from D and the direction ahead at the nodes around it."""
    dim = len(grid.shape)
    nodes, weights = grid.corners(grid.position(source))

    def at_source(field: Array, subscripts: str) -> Array:
        field = jnp.asarray(field, dtype=source.dtype)
        field = jnp.broadcast_to(field, (*grid.shape, *field.shape[dim:]))
        return jnp.einsum(subscripts, weights, field[nodes], precision="highest")

    steps = jnp.asarray(grid.spacing, dtype=source.dtype)
    mean = at_source(jnp.asarray(stencil.dual), "...,...ij->ij")
    metric = jnp.linalg.inv(mean / (steps[:, None] * steps[None]))
    edge, momentum = rounding(grid.shape, source.dtype), None
    if stencil.ahead is not None:
        ahead = at_source(jnp.asarray(stencil.ahead), "...,...i->i") / steps
        momentum = jnp.matmul(metric, ahead, precision="highest")
    return FrozenMetric(metric, momentum, edge)
