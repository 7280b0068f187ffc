"""Stencils of integer offsets on a grid, built once on the host."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from eqjax.eikonal._selling import selling_decomposition


class LatticeStencil(NamedTuple):
    """D = sum_k rho_k e_k e_k^T with integer offsets e_k at the nodes of a grid.

    Axes of the grid along which D is constant have size 1.

    Attributes:
        dual: D, the inverse of the metric, in the units of the grid's coordinates.
        weights: rho_k >= 0, for D in units of nodes.
        offsets: e_k.
        kinds: Which row of `between` belongs to an offset.
        between: Nodes, relative to the first, that the segment of an offset touches
            between its ends; rows are filled up with zeros.
    """

    dual: Float[np.ndarray | Array, "*nodes dim dim"]
    weights: Float[np.ndarray | Array, "*nodes terms"]
    offsets: Int[np.ndarray | Array, "*nodes terms dim"]
    kinds: Int[np.ndarray | Array, "*nodes terms"]
    between: Int[np.ndarray | Array, "kinds steps dim"]


def build_stencil(
    dual: Float[np.ndarray, "*nodes dim dim"], spacing: tuple[float, ...]
) -> LatticeStencil:
    """Decomposes D / (h h^T) at every node at which it differs."""
    dual = np.asarray(dual, dtype=np.float64)
    for axis in range(len(spacing)):
        first = np.take(dual, [0], axis=axis)
        if np.array_equal(np.broadcast_to(first, dual.shape), dual):
            dual = first
    steps = np.array(spacing)
    weights, offsets = selling_decomposition(dual / (steps[:, None] * steps))
    # Terms of weight zero never count, whatever their offset.
    offsets = np.where(weights[..., None] > 0, offsets, 0)
    different, kinds = np.unique(
        offsets.reshape(-1, len(spacing)), axis=0, return_inverse=True
    )
    paths = [_nodes_between(offset) for offset in different]
    longest = max(1, *(len(path) for path in paths))
    between = np.zeros((len(paths), longest, len(spacing)), np.int32)
    for row, path in zip(between, paths, strict=True):
        row[: len(path)] = np.reshape(path, (-1, len(spacing)))
    return LatticeStencil(
        dual=dual,
        weights=weights,
        offsets=offsets.astype(np.int32),
        kinds=kinds.reshape(weights.shape).astype(np.int32),
        between=between,
    )


def neighbor_numbers(
    stencil: LatticeStencil,
    shape: tuple[int, ...],
    periodic: tuple[bool, ...],
    mask: Bool[Array, "*shape"] | None,
) -> Int[Array, "2 terms *shape"]:
    """Numbers (C order) of the nodes at -e_k and +e_k of every node.

    The number of all nodes stands where there is none: outside of the grid, absent, or
    behind an absent node that the segment touches.
    """
    offsets = jnp.moveaxis(jnp.asarray(stencil.offsets), (-1, -2), (0, 1))
    offsets = jnp.stack([-offsets, offsets], axis=1)  # (dim, 2, terms, *nodes)
    numbers, inside = _numbers(offsets, shape, periodic)
    if mask is not None:
        absent = mask.ravel()
        inside &= ~absent[numbers]
        kinds = jnp.moveaxis(jnp.asarray(stencil.kinds), -1, 0)
        between = jnp.asarray(stencil.between)

        def look(step: Array, inside: Array) -> Array:
            node = between[:, step][kinds]  # (terms, *nodes, dim)
            node = jnp.moveaxis(node, -1, 0)
            node = jnp.stack([-node, node], axis=1)
            return inside & ~absent[_numbers(node, shape, periodic)[0]]

        inside = lax.fori_loop(0, between.shape[1], look, inside)
    return jnp.where(inside, numbers, absent_number(shape))


def absent_number(shape: tuple[int, ...]) -> int:
    """What stands for no neighbor."""
    return int(np.prod(shape))


def _numbers(
    offsets: Array, shape: tuple[int, ...], periodic: tuple[bool, ...]
) -> tuple[Array, Array]:
    """Numbers of the nodes at offsets (dim, ..., *nodes), and whether they exist."""
    numbers, inside = jnp.zeros((), jnp.int32), jnp.ones((), bool)
    lead = (1,) * (offsets.ndim - 1 - len(shape))
    for axis, size in enumerate(shape):
        ones = [1] * len(shape)
        ones[axis] = size
        here = jnp.arange(size, dtype=jnp.int32).reshape(*lead, *ones)
        index = _add(here, offsets[axis])
        if periodic[axis]:
            index = index % size
        else:
            inside = _and(inside, (index >= 0) & (index < size))
            index = jnp.clip(index, 0, size - 1)
        numbers = _add(numbers * size, index)
    return numbers, inside


def _add(a: Array, b: Array) -> Array:
    shape = jnp.broadcast_shapes(a.shape, b.shape)
    return jnp.broadcast_to(a, shape) + jnp.broadcast_to(b, shape)


def _and(a: Array, b: Array) -> Array:
    shape = jnp.broadcast_shapes(a.shape, b.shape)
    return jnp.broadcast_to(a, shape) & jnp.broadcast_to(b, shape)


def _nodes_between(offset: np.ndarray) -> list[tuple[int, ...]]:
    """Nodes whose boxes (half a step to every side) the segment to `offset` touches."""
    ranges = [range(min(0, int(e)), max(0, int(e)) + 1) for e in offset]
    ends = {(0,) * len(offset), tuple(int(e) for e in offset)}
    return [
        node
        for node in itertools.product(*ranges)
        if node not in ends and _touches(node, offset)
    ]


def _touches(node: tuple[int, ...], offset: np.ndarray) -> bool:
    """True if |t e - n| <= 1/2 on all axes for one t in [0, 1]."""
    low, high = 0.0, 1.0
    for n, e in zip(node, map(int, offset), strict=True):
        if e == 0:
            continue
        first, last = sorted(((n - 0.5) / e, (n + 0.5) / e))
        low, high = max(low, first), min(high, last)
    # Corners that are met exactly count, whatever rounding says.
    return low <= high + 1e-9
