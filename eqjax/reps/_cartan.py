"""Cartan subalgebras, root vectors and reflections of the classical groups."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from eqjax.groups import SL, SU, GLPlus, Lorentz, O, Sp, U
from eqjax.reps._rep import real_form
from eqjax.reps._standard import Adjoint
from eqjax.reps._weights import root_vectors


def matrix_size(group: Any) -> int:
    """Size of the defining matrices."""
    return group.generators.discrete.shape[-1]


@functools.lru_cache(maxsize=64)
def cartan_matrices(group: Any) -> np.ndarray:
    """Commuting elements of the Lie algebra with integer weights, (r, n, n)."""
    n = matrix_size(group)
    if isinstance(group, (SU, SL)):
        diagonal = [n * np.diag(row) - np.eye(n) for row in np.eye(n)]
        return np.array(diagonal) * (1j if isinstance(group, SU) else 1.0)
    if isinstance(group, (GLPlus, U)):
        return np.array([np.diag(row) for row in np.eye(n)]) * (
            1j if isinstance(group, U) else 1.0
        )
    if isinstance(group, Sp):
        signs = np.concatenate([np.eye(n // 2), -np.eye(n // 2)], axis=1)
        return np.array([np.diag(row) for row in signs])
    if isinstance(group, Lorentz):
        # Space without its last axis, and the first one too if that leaves pairs.
        axes = range(1 if group.n % 2 else 2, group.n)
        boost = np.zeros((n, n))
        boost[0, -1] = boost[-1, 0] = 1.0
        return np.array([*(_plane(n, i) for i in axes[::2]), boost])
    return np.array([_plane(n, i) for i in range(0, n - 1, 2)])


def _plane(n: int, i: int) -> np.ndarray:
    """The rotation of axis i towards i + 1."""
    plane = np.zeros((n, n))
    plane[i + 1, i], plane[i, i + 1] = 1.0, -1.0
    return plane


@functools.lru_cache(maxsize=64)
def cartan_coordinates(group: Any) -> np.ndarray:
    """Coordinates of `cartan_matrices` in the basis of the Lie algebra, (r, dim)."""
    basis = real_form(group.generators.lie)
    cartan = real_form(cartan_matrices(group))
    return cartan.reshape(len(cartan), -1) @ np.linalg.pinv(
        basis.reshape(len(basis), -1)
    )


@functools.lru_cache(maxsize=64)
def raising_coordinates(group: Any) -> np.ndarray:
    """Coordinates of the root vectors of positive roots, complex, (p, dim)."""
    adjoint = Adjoint(group)._algebra_at(cartan_matrices(group))
    return root_vectors(adjoint)


@functools.lru_cache(maxsize=64)
def reflections_of(group: Any) -> np.ndarray:
    """One element of each generating component, that keeps or mirrors the last row."""
    n = matrix_size(group)
    count = 1 if isinstance(group, O) else 0
    if isinstance(group, Lorentz):
        count = ("none", "space", "all").index(str(group.reflections))
    flips = np.stack([np.eye(n)] * 2)
    mirrored = 1 if isinstance(group, Lorentz) and group.n % 2 == 0 else n - 1
    flips[0, mirrored, mirrored] = -1.0
    flips[1, 0, 0] = flips[1, -1, -1] = -1.0
    return flips[:count]
