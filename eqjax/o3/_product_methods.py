"""Ways to compute the couplings of two features, all with the same results."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax.o3._align import align, rotate, row_order
from eqjax.o3._clebsch_gordan import clebsch_gordan
from eqjax.o3._constants import Precision, constant_map
from eqjax.o3._degrees import Degrees
from eqjax.o3._frame_product import frame_product
from eqjax.o3._paths import Couplings
from eqjax.o3._polynomial import ZERO, Term, Terms, polynomial


def by_terms(
    couplings: Couplings, x: Array, y: Array, weights: Array | None, *, separate: bool
) -> Array:
    """The non-zero coefficients, unrolled.

    Args:
        couplings: The couplings.
        x: (dim_x, channels).
        y: (dim_y, channels or 1).
        weights: (num_paths, channels), or None for ones.
        separate: Whether the results of the paths are kept, one after the other, or
            summed.
    """
    terms = product_terms(couplings, separate=separate, weighted=weights is not None)
    return polynomial(terms, x, y, *(() if weights is None else (weights,)))


def by_pairs(
    couplings: Couplings,
    x: Array,
    y: Array,
    weights: Array | None,
    *,
    precision: Precision,
) -> Array:
    """By dense products for each pair of degrees; the sum over the paths."""
    # Each part is cut out once: the transpose of cutting adds a padded array.
    xs = [x[where] for where in couplings.x.slices]
    ys = [y[where] for where in couplings.y.slices]
    found: dict[int, Array] = {}
    for (a, b), matrix, numbers in _pair_matrices(couplings):
        pairs = xs[a][:, None] * ys[b][None]
        pairs = pairs.reshape(matrix.shape[1], x.shape[1])
        rows = constant_map(matrix, pairs, precision=precision)
        found |= _by_path(couplings, rows, numbers)
    totals: dict[int, Array] = {}
    for n, path in enumerate(couplings.paths):
        rows = found[n] if weights is None else found[n] * weights[n][None]
        totals[path.out] = totals[path.out] + rows if path.out in totals else rows
    return jnp.concatenate(
        [
            totals.get(out, jnp.zeros((irrep.dim, x.shape[1]), x.dtype))
            for out, irrep in enumerate(couplings.out.irreps)
        ]
    )


def by_degrees(
    couplings: Couplings,
    x: Array,
    y: Array,
    weights: Array | None,
    *,
    precision: Precision,
) -> Array:
    """By one matrix for each degree of x, made of y (dim_y, 1); the paths apart."""
    found: dict[int, Array] = {}
    for a, matrix, numbers in _single_matrices(couplings):
        part = x[couplings.x.slices[a]]
        small = constant_map(matrix, y[:, 0], precision=precision)
        rows = jnp.matmul(small.reshape(-1, len(part)), part, precision=precision)
        found |= _by_path(couplings, rows, numbers)
    if weights is not None:
        found = {n: rows * weights[n][None] for n, rows in found.items()}
    return jnp.concatenate([found[n] for n in range(len(couplings.paths))])


def in_frame(
    couplings: Couplings,
    x: Array,
    y: Array,
    weights: Array | None,
    *,
    precision: Precision,
) -> tuple[Array, list[Array]]:
    """In the frame where y, multiples of harmonics of one direction, has m = 0 only.

    Returns:
        The results of the paths, kept apart, in that frame; and the matrices of the
        degrees 0, 1, .. that lead to it.
    """
    # Degree 1 of the harmonics is (x, y, z), wherever parities are kept apart.
    (vector,) = [
        y[where, 0]
        for rep, where in zip(couplings.y.irreps, couplings.y.slices, strict=True)
        if rep.label in ((1,), (1, -1))
    ]
    largest = max(couplings.x.max_degree, couplings.out.max_degree)
    frame = align(vector, largest, precision=precision).matrix
    # Sorted by a product: the transpose of a gather would be a scatter.
    frame = constant_map(_by_degree(largest), frame, precision=precision)
    blocks = [
        frame[l * l : (l + 1) ** 2, l * l : (l + 1) ** 2] for l in range(largest + 1)
    ]
    moved = [
        frame_product(blocks[rep.label[0]], x[where], precision=precision)
        for rep, where in zip(couplings.x.irreps, couplings.x.slices, strict=True)
    ]
    pole = align(vector, couplings.y.max_degree, max_order=0, precision=precision)
    poles = [
        rotate(pole, part, precision=precision) for part in _halves(couplings.y, y)
    ]
    terms = _frame_terms(couplings, weights is not None)
    factors = [jnp.concatenate(moved), jnp.concatenate(poles)]
    out = polynomial(terms, *factors, *(() if weights is None else (weights,)))
    return out, blocks


def _halves(degrees: Degrees, x: Array) -> list[Array]:
    """Parities apart, where there are both."""
    half = (degrees.max_degree + 1) ** 2
    return [x] if len(x) == half else [x[:half], x[half:]]


@functools.lru_cache(maxsize=64)
def _by_degree(max_degree: int) -> np.ndarray:
    """The permutation matrix from rows of `align` to rows by degree and order."""
    rows = row_order(max_degree, max_degree)
    return np.eye(len(rows))[sorted(range(len(rows)), key=lambda i: rows[i])]


def _by_path(
    couplings: Couplings, rows: Array, numbers: tuple[int, ...]
) -> dict[int, Array]:
    """Cuts results into those of the paths with these numbers."""
    sizes = [couplings.out.irreps[couplings.paths[n].out].dim for n in numbers]
    parts = jnp.split(rows, np.cumsum(sizes)[:-1].tolist())
    return dict(zip(numbers, parts, strict=True))


# Constants, float64 -------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def product_terms(couplings: Couplings, *, separate: bool, weighted: bool) -> Terms:
    """The terms in x, y and the weights."""
    entries = []
    start = 0
    for n, path in enumerate(couplings.paths):
        table = clebsch_gordan(*couplings.degrees(path))
        x, y = couplings.x.slices[path.x].start, couplings.y.slices[path.y].start
        out = start if separate else couplings.out.slices[path.out].start
        weight = ((n,),) if weighted else ()
        for i, j, k in np.argwhere(np.abs(table) > ZERO).tolist():
            factors = ((x + i,), (y + j,), *weight)
            entries.append(Term(out + k, factors, table[i, j, k]))
        start += table.shape[2]
    dims = [start if separate else couplings.out.dim, couplings.x.dim, couplings.y.dim]
    return Terms(entries, dims + ([len(couplings.paths)] if weighted else []))


@functools.lru_cache(maxsize=64)
def _frame_terms(couplings: Couplings, weighted: bool) -> Terms:
    """Those of order m = 0 of y, which is given by degree."""
    entries = []
    start = 0
    for n, path in enumerate(couplings.paths):
        l1, l2, l3 = couplings.degrees(path)
        table = clebsch_gordan(l1, l2, l3)[:, l2]
        weight = ((n,),) if weighted else ()
        x = couplings.x.slices[path.x].start
        for i, k in np.argwhere(np.abs(table) > ZERO).tolist():
            factors = ((x + i,), (path.y,), *weight)
            entries.append(Term(start + k, factors, table[i, k]))
        start += 2 * l3 + 1
    dims = [start, couplings.x.dim, len(couplings.y.irreps)]
    return Terms(entries, dims + ([len(couplings.paths)] if weighted else []))


@functools.lru_cache(maxsize=64)
def _pair_matrices(
    couplings: Couplings,
) -> list[tuple[tuple[int, int], np.ndarray, tuple[int, ...]]]:
    """For irreps (a, b): from products of components to the results of their paths."""
    found: dict[tuple[int, int], tuple[list[np.ndarray], list[int]]] = {}
    for n, path in enumerate(couplings.paths):
        table = clebsch_gordan(*couplings.degrees(path))
        tables, numbers = found.setdefault((path.x, path.y), ([], []))
        tables.append(table.reshape(-1, table.shape[2]).T)
        numbers.append(n)
    return [
        (pair, np.concatenate(tables), tuple(numbers))
        for pair, (tables, numbers) in found.items()
    ]


@functools.lru_cache(maxsize=64)
def _single_matrices(
    couplings: Couplings,
) -> list[tuple[int, np.ndarray, tuple[int, ...]]]:
    """For an irrep a of x: from y to the matrices of its paths on a, flattened."""
    found: dict[int, tuple[list[np.ndarray], list[int]]] = {}
    for n, path in enumerate(couplings.paths):
        table = clebsch_gordan(*couplings.degrees(path))
        rows = np.zeros((table.shape[2], table.shape[0], couplings.y.dim))
        rows[:, :, couplings.y.slices[path.y]] = table.transpose(2, 0, 1)
        tables, numbers = found.setdefault(path.x, ([], []))
        tables.append(rows.reshape(-1, couplings.y.dim))
        numbers.append(n)
    return [
        (a, np.concatenate(tables), tuple(numbers))
        for a, (tables, numbers) in found.items()
    ]
