"""The irreps of the symmetric groups in Young's orthogonal form."""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax.reps._family import Coupling, Label, Model
from eqjax.reps._xp import einsum


@dataclass(frozen=True)
class Young:
    """Labels are partitions of n: (n,) is trivial, (1, .., 1) the sign.

    The basis is that of the standard tableaux, ordered by their reading words. The
    transposition of i and i + 1 has 1/r on its diagonal, r the axial distance from i
    to i + 1, and sqrt(1 - 1/r^2) between tableaux that it exchanges.

    References:
        James, Kerber, "The representation theory of the symmetric group" (1981),
        section 3.4.
    """

    group: Any

    @property
    def trivial(self) -> Label:
        """One row."""
        return (self.group.n,)

    @property
    def standard(self) -> Label | None:
        """None: permutation matrices are reducible."""
        return None

    def parse(self, label: Any) -> Label:
        """A partition, as a tuple or as text."""
        if isinstance(label, str):
            label = tuple(int(part) for part in re.findall(r"-?\d+", label))
        label = tuple(label)
        good = sum(label) == self.group.n and all(part > 0 for part in label)
        check_condition(
            good and list(label) == sorted(label, reverse=True),
            f"`label` must be a partition of {self.group.n} in descending order, got "
            f"{label}.",
        )
        return label

    def name(self, label: Label) -> str:
        """E.g. "(2,1)"."""
        return "(" + ",".join(str(part) for part in label) + ")"

    def sort_key(self, label: Label) -> tuple[Any, ...]:
        """In descending lexicographic order."""
        return tuple(-part for part in label)

    def all_labels(self) -> tuple[Label, ...]:
        """All partitions, in descending lexicographic order."""
        return partitions(self.group.n)

    def model(self, label: Label) -> Model:
        """Products of transpositions, in the order in which they sort a permutation."""
        swaps = _transpositions(label)
        dim = swaps.shape[1]

        def matrix_at(m: np.ndarray) -> np.ndarray:
            images = np.argmax(m, axis=-2)
            return _sorted(images, swaps, np)

        def algebra_at(x: np.ndarray) -> np.ndarray:
            return np.zeros((*x.shape[:-2], dim, dim))

        def rho(g: Any, dtype: Any) -> Array:
            images = self.group.permutation(g)
            return _sorted(images, jnp.asarray(swaps, dtype), jnp)

        return Model(dim, 1, matrix_at, algebra_at, rho)

    def candidates(
        self, lie: np.ndarray, discrete: np.ndarray
    ) -> list[tuple[list[Label], int]]:
        """All of them."""
        n = discrete.shape[-1]
        return [
            ([label], n // self.model(label).dim) for label in partitions(self.group.n)
        ]

    def couple(self, a: Label, b: Label) -> Coupling | None:
        """By the general method."""
        return None


@functools.lru_cache(maxsize=32)
def partitions(n: int) -> tuple[Label, ...]:
    """All partitions, in descending lexicographic order."""

    def below(total: int, largest: int) -> list[Label]:
        if total == 0:
            return [()]
        return [
            (part, *rest)
            for part in range(min(total, largest), 0, -1)
            for rest in below(total - part, part)
        ]

    return tuple(below(n, n))


@functools.lru_cache(maxsize=256)
def _transpositions(shape: Label) -> np.ndarray:
    """The matrices of (0 1), (1 2), .., shape (n - 1, dim, dim)."""
    tableaux = _tableaux(shape)
    index = {tableau: i for i, tableau in enumerate(tableaux)}
    n, dim = sum(shape), len(tableaux)
    swaps = np.zeros((n - 1, dim, dim))
    for k, (row, tableau) in itertools.product(range(n - 1), enumerate(tableaux)):
        # A tableau is the row in which each number stands; columns follow.
        columns = [tableau[:i].count(tableau[i]) for i in (k, k + 1)]
        content = [c - r for c, r in zip(columns, tableau[k : k + 2], strict=True)]
        distance = content[1] - content[0]
        swaps[k, row, row] = 1 / distance
        other = list(tableau)
        other[k], other[k + 1] = other[k + 1], other[k]
        if tuple(other) in index and abs(distance) > 1:
            swaps[k, index[tuple(other)], row] = np.sqrt(1 - 1 / distance**2)
    swaps.setflags(write=False)
    return swaps


def _tableaux(shape: Label) -> list[Label]:
    """Standard tableaux as the rows of the numbers 0, 1, .., sorted."""
    found: list[Label] = [()]
    for _ in range(sum(shape)):
        found = [
            (*tableau, row)
            for tableau in found
            for row in range(len(shape))
            if tableau.count(row) < shape[row]
            and (row == 0 or tableau.count(row) < tableau.count(row - 1))
        ]
    return found


def _sorted(images: Any, swaps: Any, xp: Any) -> Any:
    """The product of the transpositions that sort a permutation, (*batch, dim, dim)."""
    n, dim = images.shape[-1], swaps.shape[-1]
    total = xp.broadcast_to(
        xp.eye(dim, dtype=swaps.dtype), (*images.shape[:-1], dim, dim)
    )
    columns = [images[..., i] for i in range(n)]
    for i in [i for round_ in range(n) for i in range(round_ % 2, n - 1, 2)]:
        low, high = columns[i], columns[i + 1]
        swap = (low > high)[..., None, None]
        columns[i], columns[i + 1] = xp.minimum(low, high), xp.maximum(low, high)
        total = xp.where(swap, einsum(xp, "ij,...jk->...ik", swaps[i], total), total)
    return total
