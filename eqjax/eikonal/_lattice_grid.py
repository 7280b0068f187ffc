"""A regular grid of which some axes may be closed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from eqjax.eikonal._grid_solution import rounding
from eqjax.eikonal._grid_velocity import cubic_stencil


@dataclasses.dataclass(frozen=True)
class LatticeGrid:
    """Nodes at origin + i h per axis; periodic axes close behind the last node."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    periodic: tuple[bool, ...]

    @property
    def nodes(self) -> Float[np.ndarray, "*shape dim"]:
        """The positions of the nodes."""
        axes = [
            start + h * np.arange(size)
            for start, h, size in zip(
                self.origin, self.spacing, self.shape, strict=True
            )
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    @property
    def steps(self) -> Float[np.ndarray, "dim *shape"]:
        """The indices of the nodes, one array per axis."""
        axes = [np.arange(size, dtype=np.float64) for size in self.shape]
        return np.stack(np.meshgrid(*axes, indexing="ij"))

    def position(self, x: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """A point in units of nodes."""
        start = jnp.asarray(self.origin, dtype=x.dtype)
        return (x - start) / jnp.asarray(self.spacing, dtype=x.dtype)

    def is_inside(self, x: Float[Array, " dim"]) -> Bool[Array, ""]:
        """Whether a point lies in the box of the nodes; NaN does not."""
        position, edge = self.position(x), rounding(self.shape, x.dtype)
        limits = jnp.asarray(self.shape, dtype=x.dtype) - 1
        within = (position >= -edge) & (position <= limits + edge)
        closed = jnp.asarray(self.periodic) & jnp.isfinite(position)
        return jnp.all(closed | within)

    def wrap(self, offset: Float[Array, "dim *nodes"]) -> Float[Array, "dim *nodes"]:
        """The shortest of the equivalent offsets in units of nodes."""
        rows = [
            row - size * lax.stop_gradient(jnp.round(row / size)) if closed else row
            for row, size, closed in zip(offset, self.shape, self.periodic, strict=True)
        ]
        return jnp.stack(rows)

    def corners(
        self, position: Float[Array, " dim"]
    ) -> tuple[tuple[Array, ...], Float[Array, "..."]]:
        """Indices of the corners of the cell around a position, and their weights."""
        indices, weights = [], []
        for at, size, closed in zip(position, self.shape, self.periodic, strict=True):
            at = at if closed else jnp.clip(at, 0, size - 1)
            low = lax.stop_gradient(jnp.floor(at))
            low = low if closed else jnp.clip(low, 0, size - 2)
            indices.append(
                (low.astype(jnp.int32) + jnp.arange(2, dtype=jnp.int32)) % size
            )
            weights.append(jnp.stack([1 - (at - low), at - low]))
        return jnp.ix_(*indices), _outer(weights)

    def patch(self, position: Float[Array, " dim"]) -> tuple[tuple[Array, ...], Array]:
        """The 4^d nodes around a position, and the weights of cubic convolution."""
        indices, weights = [], []
        for at, size, closed in zip(position, self.shape, self.periodic, strict=True):
            if closed:
                # In the middle of an axis nothing is extrapolated.
                low = lax.stop_gradient(jnp.floor(at))
                nodes, row = cubic_stencil(at - low + 1, 4)
                nodes = (nodes + low.astype(nodes.dtype) - 1) % size
            else:
                nodes, row = cubic_stencil(at, size)
            indices.append(nodes)
            weights.append(row)
        return jnp.ix_(*indices), _outer(weights)

    def interpolate(
        self, values: Float[Array, "*shape"], position: Float[Array, " dim"]
    ) -> Float[Array, ""]:
        """Cubic; linear where one of the 4^d nodes is infinite.

        Corners of the cell that are infinite then count as somewhat larger than the
        others; infinite if all are.
        """
        nodes, weights = self.patch(position)
        patch = values[nodes]
        known = jnp.all(jnp.isfinite(patch))
        smooth = jnp.sum(weights * jnp.where(jnp.isfinite(patch), patch, 0))
        nodes, weights = self.corners(position)
        corners = values[nodes]
        present = jnp.isfinite(corners)
        reached = jnp.any(present)
        latest = jnp.max(jnp.where(present, corners, -jnp.inf))
        earliest = jnp.min(jnp.where(present, corners, jnp.inf))
        behind = jnp.where(reached, latest + 0.5 * (latest - earliest), 0)
        coarse = jnp.sum(weights * jnp.where(present, corners, behind))
        return jnp.where(reached, jnp.where(known, smooth, coarse), jnp.inf)


def _outer(rows: Sequence[Array]) -> Array:
    product = rows[0]
    for row in rows[1:]:
        product = product[..., None] * row.reshape((1,) * product.ndim + row.shape)
    return product
