"""Stencils of integer offsets on a grid, built once on the host."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from eqjax._core._checks import check_condition, is_concrete
from eqjax.eikonal._selling import selling_decomposition
from eqjax.spaces import RiemannianChart, Space


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
        ahead: The direction in which there is no way back, in the units of the
            coordinates; None for motion that can be reversed.
        one_sided: Where offsets e_k point ahead and only the node at -e_k counts;
            None without `ahead`.
    """

    dual: Float[np.ndarray | Array, "*nodes dim dim"]
    weights: Float[np.ndarray | Array, "*nodes terms"]
    offsets: Int[np.ndarray | Array, "*nodes terms dim"]
    kinds: Int[np.ndarray | Array, "*nodes terms"]
    between: Int[np.ndarray | Array, "kinds steps dim"]
    ahead: Float[np.ndarray | Array, "*nodes dim"] | None = None
    one_sided: Bool[np.ndarray | Array, "*nodes terms"] | None = None


def build_stencil(
    dual: Float[np.ndarray, "*nodes dim dim"],
    spacing: tuple[float, ...],
    ahead: Float[np.ndarray, "*nodes dim"] | None = None,
) -> LatticeStencil:
    """Decomposes D / (h h^T) at every node at which it differs."""
    fields = [np.asarray(dual, np.float64)]
    if ahead is not None:
        fields += [np.asarray(ahead, np.float64)[..., None, :]]
    for axis in range(len(spacing)):
        firsts = [np.take(field, [0], axis=axis) for field in fields]
        if all(
            np.array_equal(np.broadcast_to(first, field.shape), field)
            for first, field in zip(firsts, fields, strict=True)
        ):
            fields = firsts
    dual, steps = fields[0], np.array(spacing)
    weights, offsets = selling_decomposition(dual / (steps[:, None] * steps))
    # Terms of weight zero never count, whatever their offset.
    offsets = np.where(weights[..., None] > 0, offsets, 0)
    one_sided = None
    if ahead is not None:
        ahead = fields[1][..., 0, :]
        offsets, one_sided = _turned_ahead(offsets, steps, dual, ahead)
        weights = np.broadcast_to(weights, one_sided.shape)
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
        ahead=ahead,
        one_sided=one_sided,
    )


def check_dual(dual: Array | np.ndarray, shape: tuple[int, ...]) -> None:
    """Raises a `ValueError` unless D fits a grid and is not traced."""
    dim = len(shape)
    got = tuple(getattr(dual, "shape", ()))
    fits = len(got) == dim + 2 and all(
        have in (1, want) for have, want in zip(got, (*shape, dim, dim), strict=True)
    )
    check_condition(
        fits and got[dim:] == (dim, dim),
        f"`dual` must be an array of shape {(*shape, dim, dim)}, where axes "
        f"of the grid may have size 1, got {got}.",
    )
    check_condition(
        is_concrete(dual),
        "`dual` must not be traced: stencils are built on the host. Build them "
        "outside of `jax.jit`.",
    )


def check_stencil(stencil: LatticeStencil, shape: tuple[int, ...]) -> None:
    """Raises a `ValueError` unless the stencils fit a grid."""
    dim = len(shape)
    sizes = tuple(stencil.weights.shape[:dim])
    check_condition(
        len(stencil.weights.shape) == dim + 1
        and all(have in (1, want) for have, want in zip(sizes, shape, strict=True)),
        f"`stencil` was built for another grid: its axes have sizes {sizes}, those "
        f"of the grid {shape}.",
    )


def dual_metric(
    space: Space | RiemannianChart, points: Float[np.ndarray, "*nodes dim"]
) -> Float[np.ndarray, "*nodes dim dim"]:
    """D of a space in its coordinates, from the norms of covectors."""
    dim = points.shape[-1]
    units, pairs = np.eye(dim), list(itertools.combinations(range(dim), 2))
    covectors = np.stack([*units, *(units[i] + units[j] for i, j in pairs)])
    flat = jnp.asarray(points.reshape(-1, dim))
    norms = space.dual_norm(flat[:, None], jnp.asarray(covectors)[None])
    squares = np.asarray(norms, np.float64) ** 2
    # D from its quadratic form: D_ij = (|a + b|^2 - |a|^2 - |b|^2) / 2.
    dual = squares[:, :dim, None] * units
    for k, (i, j) in enumerate(pairs, start=dim):
        mixed = (squares[:, k] - squares[:, i] - squares[:, j]) / 2
        dual[:, i, j] = dual[:, j, i] = mixed
    return dual.reshape(*points.shape, dim)


def neighbor_numbers(
    stencil: LatticeStencil,
    shape: tuple[int, ...],
    periodic: tuple[bool, ...],
    mask: Bool[Array, "*shape"] | None,
) -> Int[Array, "2 terms *shape"]:
    """Numbers (C order) of the nodes at -e_k and +e_k of every node.

    The number of all nodes stands where there is none: outside of the grid, absent,
    behind an absent node that the segment touches, or where there is no way back.
    """
    offsets = jnp.moveaxis(jnp.asarray(stencil.offsets), (-1, -2), (0, 1))
    offsets = jnp.stack([-offsets, offsets], axis=1)  # (dim, 2, terms, *nodes)
    numbers, inside = _numbers(offsets, shape, periodic)
    if stencil.one_sided is not None:
        ahead = jnp.moveaxis(jnp.asarray(stencil.one_sided), -1, 0)
        inside = _and(inside, jnp.stack([jnp.ones_like(ahead), ~ahead]))
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


def _turned_ahead(
    offsets: np.ndarray, steps: np.ndarray, dual: np.ndarray, ahead: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets with <e_k, n> >= 0 in the metric, and where it is not zero."""
    metric = np.linalg.inv(dual)
    vectors = offsets * steps
    momentum = np.einsum("...ij,...j->...i", metric, ahead)
    products = np.einsum("...ki,...i->...k", vectors, momentum)
    squares = np.einsum("...ki,...ij,...kj->...k", vectors, metric, vectors)
    squares = squares * np.sum(ahead * momentum, axis=-1)[..., None]
    # Offsets to the side keep both directions, also if `ahead` is of float32.
    one_sided = np.abs(products) > 1e-6 * np.sqrt(squares)
    backwards = one_sided & (products < 0)
    return np.where(backwards[..., None], -offsets, offsets), one_sided


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
