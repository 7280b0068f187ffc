"""Maps that solve the constraints of all generators, for any representation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from eqjax._core._checks import check_condition
from eqjax.reps._kernel import project, stacked
from eqjax.reps._rep import Rep

# Up to as many unknowns the constraints are solved as one dense system.
_DENSE = 64
_MAX_UNKNOWNS = 4096


@dataclass(frozen=True, eq=False)
class Dense:
    """The maps themselves, (num_maps, rows, columns)."""

    maps: np.ndarray

    @property
    def num_maps(self) -> int:
        return len(self.maps)

    def expand(self, weights: Any, xp: Any) -> Any:
        maps = xp.asarray(self.maps, weights.dtype)
        if xp is np:
            return np.tensordot(weights, maps, 1)
        return jnp.tensordot(weights, maps, axes=1, precision="highest")


def solve(a: Rep, b: Rep) -> tuple[str, Dense, float]:
    """The kernel of the constraints of all generators."""
    unknowns = a.dim * b.dim
    check_condition(
        unknowns <= _MAX_UNKNOWNS,
        f"The maps from {a} to {b} have {unknowns} unknown entries, which is more than "
        f"the {_MAX_UNKNOWNS} that are solved for at once. Write the representations "
        "as sums or tensor products of smaller ones whose irreps are listed, or solve "
        "for the summands one at a time.",
    )
    left, right = stacked(b.generators), stacked(a.generators)
    if unknowns <= _DENSE:
        return _null_space(left, right)
    numbers = np.random.Generator(np.random.PCG64(5))
    count = 8
    while True:
        draws = numbers.standard_normal((min(count, unknowns), b.dim, a.dim))
        maps = project(right, left, project(right, left, draws))
        _, sizes, rows = np.linalg.svd(maps.reshape(len(maps), -1), full_matrices=False)
        rank = int(np.sum(sizes > 1e-6 * math.sqrt(unknowns)))
        if rank < len(draws) or rank == unknowns:
            break
        count *= 2
    rows = rows[:rank].reshape(rank, b.dim, a.dim)
    gap = float(sizes[rank - 1]) if rank else math.inf
    return "projection", Dense(rows), gap


def _null_space(left: np.ndarray, right: np.ndarray) -> tuple[str, Dense, float]:
    """By an eigendecomposition of the sum of squares of the constraints."""
    rows, columns = left.shape[1], right.shape[1]
    constraint = np.einsum("kij,ab->kiajb", left, np.eye(columns))
    constraint = constraint - np.einsum("ij,kba->kiajb", np.eye(rows), right)
    flat = constraint.reshape(-1, rows * columns)
    values, vectors = np.linalg.eigh(flat.T @ flat)
    size = max(1.0, float(values[-1]))
    # Rounding leaves squares of singular values of about 1e-15 behind.
    rank = int(np.sum(values <= 1e-11 * size))
    gap = float(np.sqrt(values[rank])) if rank < len(values) else math.inf
    maps = vectors[:, :rank].T.reshape(rank, rows, columns)
    return "null space", Dense(maps), gap
