"""Weights: the eigenvalues of commuting generators, which label irreps."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

import numpy as np

Weight: TypeAlias = tuple[int, ...]


def weights_of(cartan: np.ndarray) -> list[Weight]:
    """The simultaneous eigenvalues of commuting matrices, which must be integers.

    Args:
        cartan: Real matrices, each symmetric or antisymmetric, shape (r, n, n); the
            eigenvalues of an antisymmetric one are divided by i.

    Returns:
        n tuples of length r.
    """
    hermitian, vectors = _diagonalized(cartan)
    values = np.einsum("an,rab,bn->nr", vectors.conj(), hermitian, vectors).real
    return [tuple(row) for row in np.round(values).astype(int).tolist()]


def highest_vector(cartan: np.ndarray) -> np.ndarray:
    """An eigenvector, complex, of the lexicographically largest weight."""
    weights = weights_of(cartan)
    _, vectors = _diagonalized(cartan)
    return vectors[:, weights.index(max(weights))]


def count_highest(matrix: np.ndarray) -> list[tuple[int, int]]:
    """Highest weights of a representation of SU(2), with their multiplicities.

    Args:
        matrix: A generator whose eigenvalues are i times integers.

    Returns:
        Pairs in ascending order: twice the spin, and how many (complex) irreps.
    """
    values = np.round(np.imag(np.linalg.eigvals(matrix))).astype(int)
    counts = Counter(values.tolist())
    return [
        (weight, counts[weight] - counts[weight + 2])
        for weight in sorted(counts)
        if weight >= 0 and counts[weight] > counts[weight + 2]
    ]


def _diagonalized(cartan: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrices made Hermitian, and their common eigenvectors."""
    skew = np.max(np.abs(cartan + cartan.swapaxes(1, 2)), axis=(1, 2), initial=0.0)
    size = np.max(np.abs(cartan), axis=(1, 2), initial=0.0)
    factors = np.where((skew <= 1e-9 * (1 + size)) & (size > 0), -1j, 1.0)
    hermitian = cartan * factors[:, None, None]
    # Irrational steps tell the weights apart.
    steps = np.sqrt(np.array([2.0, 3, 5, 7, 11, 13, 17, 19])[: len(cartan)])
    return hermitian, np.linalg.eigh(np.tensordot(steps, hermitian, 1))[1]
