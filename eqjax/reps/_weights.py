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
    return _common_eigenvalues(_made_hermitian(cartan))[0]


def highest_vector(cartan: np.ndarray) -> np.ndarray:
    """An eigenvector, complex, of the lexicographically largest weight."""
    weights, vectors = _common_eigenvalues(_made_hermitian(cartan))
    return vectors[:, weights.index(max(weights))]


def highest_weights(cartan: np.ndarray, raising: np.ndarray) -> Counter[Weight]:
    """The highest weights of a representation, with their multiplicities.

    Args:
        cartan: As for `weights_of`.
        raising: Complex matrices of the root vectors of positive roots, (p, n, n).

    Returns:
        How many irreducible representations of the complex Lie algebra have each.
    """
    squares = np.einsum("pab,pac->bc", raising.conj(), raising)
    values, vectors = np.linalg.eigh(squares)
    # A vector that no raising operator moves is a highest one.
    kernel = vectors[:, values <= 1e-8 * max(1.0, float(values[-1]))]
    hermitian = kernel.conj().T @ _made_hermitian(cartan) @ kernel
    return Counter(_common_eigenvalues(hermitian)[0])


def root_vectors(adjoint: np.ndarray) -> np.ndarray:
    """Coordinates of the root vectors of positive roots, complex, (p, dim).

    Args:
        adjoint: The commuting elements in the adjoint representation, (r, dim, dim),
            each symmetric or antisymmetric.
    """
    roots, vectors = _common_eigenvalues(_made_hermitian(adjoint))
    zero = (0,) * len(adjoint)
    return vectors[:, [root > zero for root in roots]].T


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


def _made_hermitian(cartan: np.ndarray) -> np.ndarray:
    """The symmetric matrices, and the antisymmetric ones divided by i."""
    skew = np.max(np.abs(cartan + cartan.swapaxes(1, 2)), axis=(1, 2), initial=0.0)
    size = np.max(np.abs(cartan), axis=(1, 2), initial=0.0)
    factors = np.where((skew <= 1e-9 * (1 + size)) & (size > 0), -1j, 1.0)
    return cartan * factors[:, None, None]


def _common_eigenvalues(hermitian: np.ndarray) -> tuple[list[Weight], np.ndarray]:
    """Of commuting Hermitian matrices, (r, n, n), with the common eigenvectors."""
    # Irrational steps tell the weights apart.
    steps = np.sqrt(np.array([2.0, 3, 5, 7, 11, 13, 17, 19])[: len(hermitian)])
    _, vectors = np.linalg.eigh(np.tensordot(steps, hermitian, 1))
    values = np.einsum("an,ran->nr", vectors.conj(), hermitian @ vectors).real
    weights = np.round(values).astype(int).tolist()
    return [tuple(row) for row in weights], vectors
