"""Selling's decomposition of positive definite matrices along integer offsets."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float, Int

from eqjax._core._checks import check_condition

_MAX_FLIPS = 200


def selling_decomposition(
    dual: Float[np.ndarray, "*batch dim dim"], *, max_flips: int = _MAX_FLIPS
) -> tuple[Float[np.ndarray, "*batch terms"], Int[np.ndarray, "*batch terms dim"]]:
    """Weights rho_k >= 0 and integer offsets e_k with D = sum_k rho_k e_k e_k^T.

    A superbase is a basis of Z^d together with minus its sum. While two of its
    vectors have <b_i, D b_j> > 0, it is flipped there, which lowers the sum of
    <b_i, D b_i>. At the end rho_ij = -<b_i, D b_j> for every pair, and e_ij is
    orthogonal to the other vectors. Offsets are as short as the anisotropy allows.

    Args:
        dual: Symmetric positive definite matrices in units of nodes, 2 x 2 or 3 x 3.
        max_flips: Bound on the number of flips per matrix.

    Returns:
        Weights and offsets; 3 terms in 2-D, 6 in 3-D.

    Raises:
        ValueError: If a matrix is not finite, symmetric and positive definite, is so
            close to singular that rounding hides its decomposition, or needs more
            than `max_flips` flips.

    References:
        Selling, "Ueber die binären und ternären quadratischen Formen", 1874. Conway,
        Sloane, "Low-dimensional lattices VI: Voronoi reduction of three-dimensional
        forms", 1992. Mirebeau, "Riemannian fast-marching on Cartesian grids, using
        Voronoi's first reduction of quadratic forms", 2019, section 4.1.
    """
    dual = np.asarray(dual, dtype=np.float64)
    dim = dual.shape[-1] if dual.ndim >= 2 else 0
    check_condition(
        dim in (2, 3) and dual.shape[-2] == dim,
        f"`dual` must hold matrices 2 x 2 or 3 x 3, got shape {dual.shape}.",
    )
    batch = dual.shape[:-2]
    matrices = dual.reshape(-1, dim, dim)
    _check_positive_definite(matrices)
    matrices = (matrices + np.swapaxes(matrices, 1, 2)) / 2
    base = np.concatenate([-np.ones((1, dim)), np.eye(dim)]).astype(np.int64)
    bases = np.broadcast_to(base, (len(matrices), dim + 1, dim)).copy()
    pairs = list(itertools.combinations(range(dim + 1), 2))
    first, second = np.array(pairs).T
    # Products of L^T b keep digits that those of b with D lose.
    lower = np.linalg.cholesky(matrices)
    open_rows = np.arange(len(matrices))
    for _ in range(max_flips + 1):
        vectors, rounding = _scaled(bases[open_rows], lower[open_rows])
        excess = np.sum(vectors[:, first] * vectors[:, second], axis=2)
        # What is positive by rounding only would be flipped for ever.
        lengths = np.linalg.norm(vectors, axis=2)
        excess -= rounding[:, first] * lengths[:, second]
        excess -= rounding[:, second] * lengths[:, first]
        worst = np.argmax(excess, axis=1)
        acute = excess[np.arange(len(worst)), worst] > 0
        open_rows, worst = open_rows[acute], worst[acute]
        if open_rows.size == 0:
            break
        bases[open_rows] = _flip(bases[open_rows], first[worst], second[worst])
    check_condition(
        open_rows.size == 0,
        f"`dual` needs more than {max_flips} flips at {open_rows.size} of "
        f"{len(matrices)} matrices. Its anisotropy is too strong: use a larger "
        "relaxation, or spacings that suit it.",
    )
    offsets = np.stack([_offset(bases, pair) for pair in pairs], axis=1)
    # As many terms as entries: the weights are those that give D best.
    squares = 1.0 * offsets[:, :, :, None] * offsets[:, :, None, :]
    rows, columns = np.triu_indices(dim)
    entries = matrices[:, rows, columns, None]
    system = np.swapaxes(squares[:, :, rows, columns], 1, 2)
    weights = np.maximum(np.linalg.solve(system, entries)[..., 0], 0)
    rebuilt = np.einsum("nk,nkij->nij", weights, squares)
    error = np.max(np.abs(rebuilt - matrices), axis=(1, 2), initial=0)
    check_condition(
        bool(np.all(error <= 1e-12 * np.max(np.abs(matrices), axis=(1, 2)))),
        "`dual` is too close to singular to be decomposed in float64.",
    )
    num_terms = len(pairs)
    return (
        weights.reshape(*batch, num_terms),
        offsets.reshape(*batch, num_terms, dim),
    )


def _check_positive_definite(matrices: np.ndarray) -> None:
    finite = np.all(np.isfinite(matrices), axis=(1, 2))
    safe = np.where(finite[:, None, None], matrices, np.eye(matrices.shape[-1]))
    size = np.max(np.abs(safe), axis=(1, 2))
    skew = np.max(np.abs(safe - np.swapaxes(safe, 1, 2)), axis=(1, 2))
    # Matrices that were computed in float32 are symmetric to its rounding.
    good = finite & (skew <= 1e-6 * size) & (np.linalg.eigvalsh(safe)[:, 0] > 0)
    check_condition(
        bool(np.all(good)),
        "`dual` must be symmetric and positive definite (the inverse of a metric), "
        f"but {int(np.sum(~good))} of {len(matrices)} matrices are not. Replace "
        "directions of infinite cost by very expensive ones.",
    )


def _scaled(bases: np.ndarray, lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L^T b of the vectors of superbases, and bounds of their rounding errors."""
    sizes = np.abs(bases) @ np.abs(lower)
    eps = np.finfo(np.float64).eps
    return bases @ lower, 4 * eps * np.linalg.norm(sizes, axis=2)


def _flip(bases: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """The superbase in which b_i is reversed and added to all but b_j."""
    rows = np.arange(len(bases))
    moved = bases[rows, i]
    flipped = bases.copy()
    if bases.shape[1] == 3:
        # (-b_i, b_j, b_i - b_j)
        flipped[rows, 3 - i - j] = moved - bases[rows, j]
    else:
        flipped += moved[:, None]
        flipped[rows, j] = bases[rows, j]
    flipped[rows, i] = -moved
    return flipped


def _offset(bases: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """The vector orthogonal to all of the superbase but a pair."""
    others = [bases[:, i] for i in range(bases.shape[1]) if i not in pair]
    if len(others) == 1:
        return np.stack([-others[0][:, 1], others[0][:, 0]], axis=1)
    return np.cross(others[0], others[1])
