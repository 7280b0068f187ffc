"""Low-rank factors of the sum of all couplings."""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeAlias

import numpy as np

from eqjax._core._checks import check_condition, check_size
from eqjax.o3._clebsch_gordan import check_table, clebsch_gordan

# Ranks at which the error is below 1e-14, by degree.
EXACT_RANKS = (1, 8, 44, 130, 320)
_ROUNDS = 400
_SEEDS = 3
# An error that counts as none.
_EXACT = 1e-14

_Factors: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


class CPFactors(NamedTuple):
    """Factors A, B, C of a tensor M[i, j, k], M = sum_r A[i, r] B[j, r] C[k, r].

    Attributes:
        x: A, float64 (NumPy, read-only), shape (dim, rank).
        y: B, the same shape.
        out: C, the same shape.
        error: |sum_r A B C - M| / |M|, Frobenius norms.
        bound: 2 |sum_r A B C - M|, the most by which the product of two unit vectors
            can fail to commute with a rotation; see `cp_product`.
    """

    x: np.ndarray
    y: np.ndarray
    out: np.ndarray
    error: float
    bound: float


def cp_factors(max_degree: int, rank: int | None = None) -> CPFactors:
    """A canonical polyadic decomposition of all couplings of degrees up to L at once.

    The tensor M[i, j, k], i, j, k = 0, .., (L + 1)^2 - 1, holds the 3j symbols of each
    path (l1, l2, l3), of unit norm each. Its factors are found by alternating least
    squares with a proximal term that is annealed, from the best of three fixed starts,
    in float64: at the first call for each rank, in about a second for L <= 3. They do
    not depend on a random state, nor on rounding by more than 1e-11.

    | L | exact (error < 1e-14) at rank | a cheaper one: rank, error |
    |---|---|---|
    | 0 | 1 | |
    | 1 | 8 | 7, 2e-2 |
    | 2 | 44 | 28, 4e-2 |
    | 3 | 130 | 84, 3e-2 |
    | 4 | 320 | |

    Args:
        max_degree: The largest degree L, at most 12.
        rank: Number R of terms. Default: the exact one of the table, for L <= 4.

    Returns:
        The factors, with their error.

    Raises:
        ValueError: If the rank is missing, or a number is out of range.

    Example:
        >>> from eqjax import o3
        >>> factors = o3.cp_factors(1)
        >>> factors.x.shape, factors.error < 1e-14
        ((4, 8), True)

    References:
        Lin et al., "Tensor decomposition networks for fast machine learning interatomic
        potential computations" (2025), where factors are trained.
        Carroll, Chang, "Analysis of individual differences in multidimensional scaling
        via an n-way generalization of Eckart-Young decomposition" (1970), for
        alternating least squares.
    """
    check_size("max_degree", max_degree, minimum=0)
    check_table("max_degree", max_degree)
    if rank is None:
        check_condition(
            max_degree < len(EXACT_RANKS),
            f"`rank` must be given for `max_degree` {max_degree}: an exact one is "
            f"known up to {len(EXACT_RANKS) - 1} only.",
        )
        rank = EXACT_RANKS[max_degree]
    check_size("rank", rank)
    return _factors(int(max_degree), int(rank))


@functools.lru_cache(maxsize=64)
def _factors(max_degree: int, rank: int) -> CPFactors:
    tensor = _couplings(max_degree)
    norm = float(np.linalg.norm(tensor))
    best: CPFactors | None = None
    for seed in range(_SEEDS):
        factors = _alternate(tensor, rank, seed)
        difference = float(np.linalg.norm(_expand(factors) - tensor))
        if best is None or difference < best.error * norm:
            best = CPFactors(*factors, difference / norm, 2 * difference)
        if best.error < _EXACT:
            break
    assert best is not None
    for factor in best[:3]:
        factor.setflags(write=False)
    return best


def _couplings(max_degree: int) -> np.ndarray:
    """The 3j symbols of all paths."""
    dim = (max_degree + 1) ** 2
    slices = [slice(l * l, (l + 1) ** 2) for l in range(max_degree + 1)]
    tensor = np.zeros((dim, dim, dim))
    for a, rows in enumerate(slices):
        for b, columns in enumerate(slices):
            for c in range(abs(a - b), min(a + b, max_degree) + 1):
                table = clebsch_gordan(a, b, c) / np.sqrt(2 * c + 1)
                tensor[rows, columns, slices[c]] = table
    return tensor


def _alternate(tensor: np.ndarray, rank: int, seed: int) -> _Factors:
    """Each factor in turn from a linear system, near its last value."""
    dim = tensor.shape[0]
    rng = np.random.default_rng(seed)
    factors = [rng.normal(size=(dim, rank)) / np.sqrt(dim) for _ in range(3)]
    unfolded = [np.moveaxis(tensor, q, 0).reshape(dim, -1) for q in range(3)]
    for step in range(_ROUNDS):
        # Without this pull, factors grow while they cancel each other.
        pull = 1e-3 * (1 - step / _ROUNDS) ** 2 + 1e-9
        for q in range(3):
            a, b = (factors[p] for p in range(3) if p != q)
            gram = (a.T @ a) * (b.T @ b) + pull * np.eye(rank)
            paired = (a[:, None, :] * b[None, :, :]).reshape(-1, rank)
            target = unfolded[q] @ paired + pull * factors[q]
            factors[q] = np.linalg.solve(gram, target.T).T
    return factors[0], factors[1], factors[2]


def _expand(factors: _Factors) -> np.ndarray:
    a, b, c = factors
    dim, rank = a.shape
    paired = (a[:, None, :] * b[None, :, :]).reshape(-1, rank)
    return (paired @ c.T).reshape(dim, dim, dim)
