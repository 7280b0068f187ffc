"""The irreps of the classical Lie groups by highest weights, found in tensor powers."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax.groups import SL, SO, SU, GLPlus, Lorentz, O, U
from eqjax.reps._cartan import (
    cartan_coordinates,
    cartan_matrices,
    matrix_size,
    raising_coordinates,
    reflections_of,
)
from eqjax.reps._family import Coupling, Label, Model, constant, part_of_product
from eqjax.reps._kernel import commutant_dim, split, stacked
from eqjax.reps._rep import Rep, kron, kron_sum, real_form
from eqjax.reps._standard import Standard
from eqjax.reps._weights import (
    Weight,
    highest_vector,
    highest_weights,
    weights_of,
)


class _Stage(NamedTuple):
    """An irrep inside the product of a smaller one with V or its dual."""

    parent: Label
    dual: bool
    isometry: np.ndarray
    commutant_dim: int


@dataclass(frozen=True)
class HighestWeights:
    """Labels are rows of highest weights, Dynkin labels for SU(n) and SL(n).

    Rows descend: l_1 >= l_2 >= .., for SO(2r) and SO+(1, 2r-1) with |l_r| last; SO(4)'s
    (1, 1) and (1, -1) are the self-dual and the anti-self-dual tensors. U(n) and GL+(n)
    have rows of any sign. For SO+(1, 3) the label is (j1, j2), j1 >= j2, which stands
    for (j1, j2) + (j2, j1) where these differ. Of a complex representation and its
    conjugate the one with the larger rows is the name of both.

    Groups with reflections append signs: that of the highest weight vector under a
    reflection that keeps it; 0 where none does.

    An irrep stands in the product of a smaller one, whose last row is shorter by one,
    with the standard one. Its basis is that of seeded random vectors, projected.

    References:
        Fulton, Harris, "Representation theory" (1991), lectures 15 to 19.
    """

    group: Any

    @property
    def trivial(self) -> Label:
        """Rows of zero."""
        rows = (0,) * len(cartan_matrices(self.group))
        return self._label(rows, (1,) * len(reflections_of(self.group)))

    @property
    def standard(self) -> Label | None:
        """One box."""
        return _standard(self.group)

    def parse(self, label: Any) -> Label:
        """Text such as "(2,1)" or "(1,0)-", or a tuple of rows and signs."""
        given = label
        if isinstance(label, str):
            numbers = re.findall(r"-?\d+(?:/2)?", label.split(")")[0])
            signs = {"+": 1, "-": -1}
            marks = [signs[c] for c in label.partition(")")[2] if c in signs]
            label = (*(float(Fraction(number)) for number in numbers), *marks)
        flat: list[Any] = []
        for part in label if isinstance(label, tuple) else (label,):
            flat.extend(part if isinstance(part, tuple) else (part,))
        rows, signs = self._rows(flat)
        check_condition(
            len(rows) > 0 and self._is_valid(rows, signs),
            f"`label` must name an irrep of {self.group}: {self._help()}; got "
            f"{given!r}.",
        )
        return self._label(self._canonical(rows), signs)

    def name(self, label: Label) -> str:
        """E.g. "(2,1)", "(1/2,1/2)", "(1,0)-"."""
        count = len(label) - len(reflections_of(self.group))
        rows = ",".join(str(Fraction(part)) for part in label[:count])
        return f"({rows})" + "".join({1: "+", -1: "-", 0: ""}[s] for s in label[count:])

    def sort_key(self, label: Label) -> tuple[Any, ...]:
        """By the number of boxes, the rows, and positive signs first."""
        rows, signs = self._rows(label)
        return (sum(abs(row) for row in rows), rows, tuple(-sign for sign in signs))

    def all_labels(self) -> None:
        """There are infinitely many."""

    def model(self, label: Label) -> Model:
        """Restrictions of tensor products of the standard representation."""
        rows, signs = self._rows(label)
        if not any(rows):
            return constant(_character(tuple(sign < 0 for sign in signs)))
        natural, stage = _stage(self.group, rows)
        flips = tuple(a != b for a, b in zip(signs, natural, strict=True))
        if stage is None:
            model = _standard_model(self.group)
        else:
            factor = _factor(self.group, stage.dual)
            parent = self.model(stage.parent)
            model = part_of_product(parent, factor, stage.isometry, stage.commutant_dim)
        if not any(flips):
            return model
        sign = constant(_character(flips))

        def matrix_at(m: np.ndarray) -> np.ndarray:
            return model.matrix_at(m) * sign.matrix_at(m)

        def rho(g: Any, dtype: Any) -> Array:
            return model.rho(g, dtype) * sign.rho(g, dtype)

        return model._replace(matrix_at=matrix_at, rho=rho)

    def candidates(
        self, lie: np.ndarray, discrete: np.ndarray
    ) -> list[tuple[list[Label], int]]:
        """By highest weight vectors."""
        cartan = np.tensordot(cartan_coordinates(self.group), lie, 1)
        raising = np.tensordot(raising_coordinates(self.group), lie, 1)
        counts = highest_weights(cartan, raising)
        found = []
        for weight in sorted(counts, reverse=True):
            rows = self._from_weight(weight)
            # Of a pair of conjugates, one stands for both.
            if rows == self._canonical(rows) and not self._is_mirrored(rows):
                found.append((self._labels_of(rows), counts[weight]))
        return found

    def couple(self, a: Label, b: Label) -> Coupling | None:
        """By the general method."""
        return None

    # Labels, rows and weights

    def _labels_of(self, rows: Weight) -> list[Label]:
        """Labels with these rows and any signs."""
        allowed = [
            (1, -1) if self._has_sign(rows, i) else (0,)
            for i in range(len(reflections_of(self.group)))
        ]
        return [self._label(rows, signs) for signs in itertools.product(*allowed)]

    def _is_mirrored(self, rows: Weight) -> bool:
        """Whether a reflection of the group maps larger rows to these."""
        has_reflections = len(reflections_of(self.group)) > 0
        return has_reflections and matrix_size(self.group) % 2 == 0 and rows[-1] < 0

    def _has_sign(self, rows: Weight, reflection: int) -> bool:
        """Whether the reflection keeps the highest weight vector."""
        even = matrix_size(self.group) % 2 == 0
        return reflection > 0 or not even or rows[-1] == 0

    def _label(self, rows: Weight, signs: Any) -> Label:
        """The label of rows."""
        if isinstance(self.group, (SU, SL)):
            return tuple(a - b for a, b in itertools.pairwise(rows))
        if isinstance(self.group, Lorentz) and self.group.n == 3:
            m, k = rows
            return (_half(m + k), _half(m - k), *signs)
        return (*rows, *signs)

    def _rows(self, label: Sequence[Any]) -> tuple[Weight, tuple[int, ...]]:
        """The rows and signs of a label; no rows if the numbers do not fit."""
        num_signs, rank = (
            len(reflections_of(self.group)),
            len(cartan_matrices(self.group)),
        )
        length = rank - 1 if isinstance(self.group, (SU, SL)) else rank
        if not length <= len(label) <= length + num_signs:
            return (), ()
        head, signs = label[:length], tuple(int(s) for s in label[length:])
        if isinstance(self.group, (SU, SL)):
            head = [sum(head[i:]) for i in range(length)] + [0]
        elif isinstance(self.group, Lorentz) and self.group.n == 3:
            head = [head[0] + head[1], abs(head[0] - head[1])]
        if any(part != int(part) for part in head):
            return (), ()
        rows = tuple(int(part) for part in head)
        if len(signs) < num_signs:
            # Zeros need not be said.
            given = iter(signs)
            signs = tuple(
                next(given, 0) if self._has_sign(rows, i) else 0
                for i in range(num_signs)
            )
        return rows, signs

    def _is_valid(self, rows: Weight, signs: tuple[int, ...]) -> bool:
        """Whether an irrep has these."""
        group, last = self.group, rows[-1]
        if isinstance(group, (O, Lorentz, SO)) and matrix_size(group) % 2 == 0:
            last = abs(last) if isinstance(group, (SO, Lorentz)) else last
        heights = [*rows[:-1], last]
        if not isinstance(group, (SU, SL, GLPlus, U)):
            heights.append(0)
        if any(a < b for a, b in itertools.pairwise(heights)):
            return False
        return all(
            (sign in (1, -1)) == self._has_sign(rows, i) for i, sign in enumerate(signs)
        )

    def _canonical(self, rows: Weight) -> Weight:
        """The larger one of a representation and its conjugate."""
        group = self.group
        if isinstance(group, (SU, U)):
            conjugate = tuple(-row for row in rows[::-1])
            shift = rows[-1] - conjugate[-1] if isinstance(group, SU) else 0
            conjugate = tuple(row + shift for row in conjugate)
            return max(rows, conjugate, key=lambda rows: _weight_of(group, rows))
        if isinstance(group, SO) and group.n % 4 == 2:
            return (*rows[:-1], abs(rows[-1]))
        if isinstance(group, Lorentz) and matrix_size(group) % 2 == 0:
            return (*rows[:-1], abs(rows[-1]))
        return rows

    def _from_weight(self, weight: Weight) -> Weight:
        """The rows of a highest weight."""
        if isinstance(self.group, (SU, SL)):
            n = self.group.n
            return tuple((part - weight[-1]) // n for part in weight)
        return weight

    def _help(self) -> str:
        rank = len(cartan_matrices(self.group))
        if isinstance(self.group, (SU, SL)):
            return f"{rank - 1} Dynkin labels 0, 1, .."
        if isinstance(self.group, Lorentz) and self.group.n == 3:
            text = "(j1, j2), halves of integers with an integer sum"
        else:
            text = f"{rank} integers in descending order"
        signs = len(reflections_of(self.group))
        if signs:
            text += f", and {signs} sign(s), e.g. "
            text += ", ".join(self.name(label) for label in (self.trivial,))
        return text


# The stages --------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _stage(group: Any, rows: Weight) -> tuple[tuple[int, ...], _Stage | None]:
    """Where the irrep is found, and its signs there."""
    family = HighestWeights(group)
    standard, _ = family._rows(_standard(group))
    if rows == standard:
        return _natural_signs(group, real_form, real_form(cartan_matrices(group))), None
    parent_rows, dual = _parent(family, rows)
    parent = family._label(
        parent_rows,
        (1,) * len(reflections_of(group))
        if not any(parent_rows)
        else _stage(group, parent_rows)[0],
    )
    model, factor = family.model(parent), _factor(group, dual)
    lie, discrete = group.generators
    full_lie = kron_sum(model.algebra_at(lie), factor.generators.lie)
    full = kron(model.matrix_at(discrete), factor.generators.discrete)
    generators = np.concatenate([full_lie, full])
    cartan = np.tensordot(cartan_coordinates(group), full_lie, 1)

    def is_wanted(space: np.ndarray) -> bool:
        weights = weights_of(space.T @ cartan @ space)
        target = _weight_of(group, rows)
        return target in weights

    def is_it(space: np.ndarray) -> bool:
        weights = weights_of(space.T @ cartan @ space)
        return family._from_weight(max(weights)) == rows

    spaces = split(generators, len(lie), keep=is_wanted)
    isometry = next(space for space in spaces if is_it(space))
    isometry.setflags(write=False)
    kind = commutant_dim(isometry.T @ generators @ isometry)

    inside = isometry.T @ cartan @ isometry
    part = part_of_product(model, factor, isometry, kind)
    signs = _natural_signs(group, part.matrix_at, inside)
    return signs, _Stage(parent, dual, isometry, kind)


def _natural_signs(group: Any, matrix_at: Any, cartan: np.ndarray) -> tuple[int, ...]:
    """Signs of the highest weight vector under the reflections."""
    reflections = reflections_of(group)
    if not len(reflections):
        return ()
    vector = highest_vector(cartan)
    moved = matrix_at(reflections) @ vector
    return tuple(int(np.round(np.vdot(vector, m).real)) for m in moved)


def _parent(family: HighestWeights, rows: Weight) -> tuple[Weight, bool]:
    """The rows with one unit less, and whether that unit is of the dual (SL, GL+)."""
    step = list(rows)
    if isinstance(family.group, (SU, SL)):
        # Rows that differ by a constant are equal; few boxes and antiboxes are better.
        step = [row - sorted(rows)[len(rows) // 2] for row in rows]
    negative = [i for i, row in enumerate(step) if row < 0]
    if negative:
        step[negative[0]] += 1
    else:
        step[max(i for i, row in enumerate(step) if row > 0)] -= 1
    if isinstance(family.group, (SU, SL)):
        step = [row - step[-1] for row in step]
    dual = bool(negative) and isinstance(family.group, (SL, GLPlus))
    return family._canonical(tuple(step)), dual


def _character(flips: tuple[bool, ...]) -> Callable[[Any, Any], Any]:
    """The signs that tell the components of the group apart, as functions of m, xp."""

    def character(m: Any, xp: Any) -> Any:
        sign = xp.ones(m.shape[:-2], m.real.dtype)
        if any(flips[:1]):
            sign = sign * xp.sign(xp.linalg.det(m))
        if any(flips[1:]):
            sign = sign * xp.sign(m[..., 0, 0])
        return sign

    return character


def _factor(group: Any, dual: bool) -> Rep:
    """The standard representation or its dual."""
    return Standard(group).dual if dual else Standard(group)


def _weight_of(group: Any, rows: Weight) -> Weight:
    """The weight of rows."""
    if isinstance(group, (SU, SL)):
        return tuple(group.n * row - sum(rows) for row in rows)
    return rows


@functools.lru_cache(maxsize=64)
def _standard(group: Any) -> Label:
    """The label of the standard representation."""
    family = HighestWeights(group)
    rows = (1, *(0 for _ in cartan_matrices(group)[1:]))
    return family._label(
        rows, _natural_signs(group, real_form, real_form(cartan_matrices(group)))
    )


@functools.lru_cache(maxsize=64)
def _standard_model(group: Any) -> Model:
    """The standard representation."""
    rep = Standard(group)
    kind = commutant_dim(stacked(rep.generators))
    return Model(rep.dim, kind, rep._matrix_at, rep._algebra_at, rep._rho)


def _half(number: int) -> Any:
    """Half of an integer: an integer again where it is one."""
    return number // 2 if number % 2 == 0 else number / 2
