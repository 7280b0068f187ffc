"""The irreps of a finite group that is known by its multiplication table."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax.groups import Polyhedral
from eqjax.reps._family import Coupling, Label, Model
from eqjax.reps._finite import indices_of
from eqjax.reps._finite_irreps import FiniteIrrep, finite_irreps

_LETTERS = {1: "A", 2: "E", 3: "T", 4: "G", 5: "H"}


@dataclass(frozen=True)
class Table:
    """Labels are names: a letter for the dimension, and a number where there are more.

    A, E, T, G, H have dimension 1 to 5, "D6" dimension 6. Numbers follow the order of
    `finite_irreps`, so that A or A1 is trivial. Point groups with the inversion
    append g to what it leaves alone and u to what it negates.
    """

    group: Any

    @property
    def trivial(self) -> Label:
        """The first one."""
        return next(iter(_irreps(self.group)))

    @property
    def standard(self) -> Label | None:
        """None: the basis differs."""
        return None

    def parse(self, label: Any) -> Label:
        """A name, or a tuple that holds one."""
        label = (label,) if isinstance(label, str) else tuple(label)
        known = _irreps(self.group)
        names = ", ".join(f'"{name}"' for (name,) in known)
        check_condition(
            label in known,
            f"`label` must name an irrep of {self.group}: {names}; got {label}.",
        )
        return label

    def name(self, label: Label) -> str:
        """The label itself."""
        return label[0]

    def sort_key(self, label: Label) -> tuple[Any, ...]:
        """In the order of `finite_irreps`."""
        return (self.all_labels().index(label),)

    def all_labels(self) -> tuple[Label, ...]:
        """In the order of `finite_irreps`."""
        return tuple(_irreps(self.group))

    def model(self, label: Label) -> Model:
        """Looks matrices up."""
        irrep = _irreps(self.group)[label]
        dim = irrep.matrices.shape[1]

        def algebra_at(x: np.ndarray) -> np.ndarray:
            return np.zeros((*x.shape[:-2], dim, dim))

        def rho(g: Any, dtype: Any) -> Array:
            return jnp.asarray(irrep.matrices, dtype)[self.group.index(g)]

        return Model(
            dim,
            irrep.commutant_dim,
            lambda m: irrep.matrices[indices_of(self.group, m)],
            algebra_at,
            rho,
        )

    def candidates(
        self, lie: np.ndarray, discrete: np.ndarray
    ) -> list[tuple[list[Label], int]]:
        """All of them."""
        n = discrete.shape[-1]
        return [
            ([label], n // irrep.matrices.shape[1])
            for label, irrep in _irreps(self.group).items()
        ]

    def couple(self, a: Label, b: Label) -> Coupling | None:
        """By the general method."""
        return None


@functools.lru_cache(maxsize=64)
def _irreps(group: Any) -> dict[Label, FiniteIrrep]:
    """By name, in the order of `finite_irreps`."""
    tables = group.tables
    irreps = finite_irreps(tables.product)
    kinds = []
    for irrep in irreps:
        dim = irrep.matrices.shape[1]
        kinds.append((_LETTERS.get(dim, f"D{dim}"), _parity(group, irrep)))
    named = {}
    for i, (letter, parity) in enumerate(kinds):
        number = kinds[: i + 1].count((letter, parity))
        several = kinds.count((letter, parity)) > 1
        mark = (
            "" if not several else (f"_{number}" if letter[0] == "D" else f"{number}")
        )
        named[(letter + mark + parity,)] = irreps[i]
    return named


def _parity(group: Any, irrep: FiniteIrrep) -> str:
    """What the inversion does, for point groups that hold it."""
    if not (isinstance(group, Polyhedral) and group.inversion):
        return ""
    inversion = int(indices_of(group, -np.eye(3)[None])[0])
    return "g" if irrep.character[inversion] > 0 else "u"
