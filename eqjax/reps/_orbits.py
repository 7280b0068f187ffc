"""Maps between permutation representations: one per orbit of pairs of indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Orbits:
    """Indicators of the orbits, divided by the roots of their sizes."""

    index: np.ndarray
    sizes: np.ndarray

    @property
    def num_maps(self) -> int:
        return len(self.sizes)

    def expand(self, weights: Any, xp: Any) -> Any:
        scale = xp.asarray(1 / np.sqrt(self.sizes), weights.dtype)
        return (weights * scale)[self.index]


def find_orbits(images_a: np.ndarray, images_b: np.ndarray) -> Orbits:
    """The orbits of pairs of indices, numbered by their first pair."""
    size_a, size_b = images_a.shape[1], images_b.shape[1]
    total = size_a * size_b
    moves = images_b[:, :, None] * size_a + images_a[:, None, :]
    moves = moves.reshape(len(moves), total)
    first = np.arange(total)
    while True:
        last = first
        for move in moves:
            low = np.minimum(first, first[move])
            first = low.copy()
            first[move] = np.minimum(low[move], low)
        first = first[first]
        if np.array_equal(first, last):
            break
    number = np.cumsum(first == np.arange(total)) - 1
    index = number[first]
    index = index.reshape(size_b, size_a).astype(np.int32)
    return Orbits(index, np.bincount(index.ravel()))
