"""The irreps of any compact or reductive group, found in its tensor powers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from eqjax._core._checks import check_condition
from eqjax.reps._family import Coupling, Label, Model, constant, part_of_product
from eqjax.reps._kernel import commutant_dim, embeddings, split
from eqjax.reps._rep import Rep, kron, kron_sum
from eqjax.reps._standard import Standard

# Beyond, one asks for what nobody should look for in this way.
_MAX_POWER, _MAX_DIM = 8, 1000


class _Found(NamedTuple):
    """An irrep inside the product of another and the standard one or its dual."""

    parent: Label
    dual: bool
    isometry: np.ndarray
    commutant_dim: int


@dataclass(frozen=True)
class TensorPowers:
    """Labels are (k, i): irrep number i among those new in the k-th tensor power.

    The powers are those of the standard representation V, of V + V* where it is not
    orthogonal. (0, 0) is trivial. Every irrep of a compact group of matrices occurs in
    one of them (Peter and Weyl).

    References:
        Bröcker, tom Dieck, "Representations of compact Lie groups" (1985), theorem
        III.4.4.
    """

    group: Any

    @property
    def trivial(self) -> Label:
        """The power 0."""
        return (0, 0)

    @property
    def standard(self) -> Label | None:
        """None: it may be reducible."""
        return None

    def parse(self, label: Any) -> Label:
        """Text such as "2.1", or a pair."""
        given = label
        if isinstance(label, str):
            label = tuple(int(part) for part in label.split(".") if part.isdigit())
        fits = isinstance(label, tuple) and len(label) == 2
        fits = fits and all(type(part) is int and part >= 0 for part in label)
        check_condition(
            fits and label[0] <= _MAX_POWER and label in _level(self.group, label[0]),
            f"`label` must be (k, i), number i of the irreps of {self.group} that are "
            f"new in the tensor power k <= {_MAX_POWER}, got {given!r}.",
        )
        return label

    def name(self, label: Label) -> str:
        """E.g. "2.1"."""
        return f"{label[0]}.{label[1]}"

    def sort_key(self, label: Label) -> tuple[Any, ...]:
        """The label itself."""
        return label

    def all_labels(self) -> tuple[Label, ...]:
        """Level by level, until none is new."""
        found: list[Label] = []
        for power in range(_MAX_POWER + 1):
            new = list(_level(self.group, power))
            if not new:
                break
            found += new
        return tuple(found)

    def model(self, label: Label) -> Model:
        """Restrictions of tensor products."""
        if label == (0, 0):
            return constant()
        found = _level(self.group, label[0])[label]
        parent, factor = self.model(found.parent), _factor(self.group, found.dual)
        return part_of_product(parent, factor, found.isometry, found.commutant_dim)

    def candidates(
        self, lie: np.ndarray, discrete: np.ndarray
    ) -> Iterator[tuple[list[Label], int]]:
        """All of them, level by level."""
        n = lie.shape[-1]
        for power in range(_MAX_POWER + 1):
            new = _level(self.group, power)
            for label in new:
                yield [label], n
            if not new:
                return

    def couple(self, a: Label, b: Label) -> Coupling | None:
        """By the general method."""
        return None


def is_self_adjoint(group: Any) -> bool:
    """Whether symmetric, antisymmetric and orthogonal matrices generate the group."""
    lie, discrete = Standard(group).generators
    transposed = lie.swapaxes(1, 2)
    error = np.minimum(
        np.max(np.abs(lie - transposed), axis=(1, 2), initial=0.0),
        np.max(np.abs(lie + transposed), axis=(1, 2), initial=0.0),
    )
    square = discrete @ discrete.swapaxes(1, 2) - np.eye(discrete.shape[-1])
    errors = [*error, np.max(np.abs(square), initial=0.0)]
    return bool(max(errors) <= 1e-11 * (1 + np.max(np.abs(lie), initial=0.0)))


def _factor(group: Any, dual: bool) -> Rep:
    """The standard representation or its dual."""
    return Standard(group).dual if dual else Standard(group)


@functools.lru_cache(maxsize=256)
def _level(group: Any, power: int) -> dict[Label, _Found]:
    """What is new in a tensor power, in the order in which it is found."""
    if power == 0:
        return {(0, 0): _Found((0, 0), False, np.ones((1, 1)), 1)}
    family = TensorPowers(group)
    lie, discrete = group.generators

    def generators_of(label: Label) -> np.ndarray:
        model = family.model(label)
        return np.concatenate([model.algebra_at(lie), model.matrix_at(discrete)])

    known = [generators_of(label) for k in range(power) for label in _level(group, k)]
    duals = (False,) if Standard(group).is_orthogonal else (False, True)
    found: dict[Label, _Found] = {}
    for parent, dual in itertools.product(_level(group, power - 1), duals):
        model, factor = family.model(parent), _factor(group, dual)
        if model.dim * factor.dim > _MAX_DIM:
            continue
        full = np.concatenate(
            [
                kron_sum(model.algebra_at(lie), factor.generators.lie),
                kron(model.matrix_at(discrete), factor.generators.discrete),
            ]
        )
        for basis in split(full, len(lie)):
            inside = basis.T @ full @ basis
            if any(_are_equal(inside, other) for other in known):
                continue
            known.append(inside)
            basis.setflags(write=False)
            label = (power, len(found))
            found[label] = _Found(parent, dual, basis, commutant_dim(inside))
    return found


def _are_equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two irreducible representations are equivalent."""
    if a.shape != b.shape:
        return False
    traces = np.einsum("kii->k", a), np.einsum("kii->k", b)
    return np.allclose(*traces, atol=1e-8) and len(embeddings(a, b, 1)) > 0
