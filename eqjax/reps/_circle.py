"""The irreps of SO(2), O(2) and their finite subgroups C_n and D_n."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax.groups import SO, Cyclic, Dihedral, O
from eqjax.reps._family import Coupling, Label, Model
from eqjax.reps._finite import indices_of


@dataclass(frozen=True)
class Circle:
    """Labels (l,), or (l, sign) with reflections: sign 1 or -1 where they do not mix.

    rho_l turns by l times the angle; the reflection is diag(1, -1). The irreps of
    dimension 1 with sign -1 change sign under reflections.
    """

    group: Any

    @property
    def _n(self) -> int:
        """Order of the rotations; 0 for infinitely many."""
        return getattr(self.group, "n", 0) if self.group.order is not None else 0

    @property
    def _flips(self) -> bool:
        return isinstance(self.group, (O, Dihedral))

    @property
    def trivial(self) -> Label:
        """l = 0, even."""
        return (0, 1) if self._flips else (0,)

    @property
    def standard(self) -> Label | None:
        """l = 1, where it is irreducible."""
        return self.parse(1) if self._n not in (1, 2) else None

    def parse(self, label: Any) -> Label:
        """An integer, a name, or the label."""
        if isinstance(label, (int, np.integer)):
            label = (int(label),)
        if isinstance(label, str):
            digits = label.rstrip("eo")
            sign = {"e": (1,), "o": (-1,)}.get(label[len(digits) :], ())
            label = (int(digits) if digits.isdigit() else -1, *sign)
        label = tuple(label)
        if self._flips and len(label) == 1 and not self._is_line(label[0]):
            label = (*label, 0)
        l_max = self._n // 2 if self._n else None
        good = len(label) == (2 if self._flips else 1) and type(label[0]) is int
        good = good and label[0] >= 0 and (l_max is None or label[0] <= l_max)
        if good and self._flips:
            good = label[1] in ((1, -1) if self._is_line(label[0]) else (0,))
        bound = "" if l_max is None else f" up to {l_max}"
        kinds = f"0, 1, ..{bound}"
        if self._flips:
            kinds += ', and "e" or "o" behind those of dimension 1, e.g. "0o"'
        check_condition(
            good, f"`label` must name an irrep of {self.group}: {kinds}; got {label}."
        )
        return label

    def name(self, label: Label) -> str:
        """E.g. "2", or "0o" with reflections."""
        return f"{label[0]}" + {1: "e", -1: "o"}.get(
            label[-1] if self._flips else 0, ""
        )

    def sort_key(self, label: Label) -> tuple[Any, ...]:
        """By frequency, even before odd."""
        return (label[0], *(-sign for sign in label[1:]))

    def all_labels(self) -> tuple[Label, ...] | None:
        """By frequency, the even one first; None for SO(2) and O(2)."""
        if not self._n:
            return None
        degrees = range(self._n // 2 + 1)
        if not self._flips:
            return tuple((degree,) for degree in degrees)
        return tuple(
            (degree, sign)
            for degree in degrees
            for sign in ((1, -1) if self._is_line(degree) else (0,))
        )

    def model(self, label: Label) -> Model:
        """Rotations by l times the angle."""
        l, line = label[0], self._is_line(label[0])

        def matrix_at(m: np.ndarray) -> np.ndarray:
            if self._n:
                return self._table(label)[indices_of(self.group, m)]
            flip = np.linalg.det(m) < 0
            angle = np.arctan2(m[..., 1, 0], m[..., 0, 0])
            return _turned(l * angle, flip, label, line, np)

        def algebra_at(x: np.ndarray) -> np.ndarray:
            if line:
                return np.zeros((*x.shape[:-2], 1, 1))
            return l * x

        def rho(g: Any, dtype: Any) -> Array:
            if self._n:
                return jnp.asarray(self._table(label), dtype)[self.group.index(g)]
            if isinstance(self.group, O) and self.group.elements != "matrix":
                angle, flip = g
            elif isinstance(self.group, SO) and self.group.elements != "matrix":
                angle, flip = g, jnp.zeros((), bool)
            else:
                angle = jnp.arctan2(g[1, 0], g[0, 0])
                flip = g[0, 0] * g[1, 1] - g[0, 1] * g[1, 0] < 0
            return _turned(l * angle.astype(dtype), flip, label, line, jnp)

        commutant_dim = 1 if line or self._flips else 2
        return Model(1 if line else 2, commutant_dim, matrix_at, algebra_at, rho)

    def candidates(
        self, lie: np.ndarray, discrete: np.ndarray
    ) -> list[tuple[list[Label], int]]:
        """From the eigenvalues of the rotations."""
        if self._n:
            turn = discrete[0] if len(discrete) else np.eye(discrete.shape[-1])
            if self._n == 1:
                turn = np.eye(turn.shape[0])
            angles = np.angle(np.linalg.eigvals(turn)) * self._n / (2 * np.pi)
        else:
            angles = np.imag(np.linalg.eigvals(lie[0]))
        degrees, counts = np.unique(np.round(np.abs(angles)), return_counts=True)
        found = []
        for number, count in zip(degrees.tolist(), counts.tolist(), strict=True):
            degree = int(number)
            line = self._is_line(degree)
            labels: list[Label] = [(degree,)]
            if self._flips:
                labels = [(degree, sign) for sign in ((1, -1) if line else (0,))]
            found.append((labels, count // (1 if line else 2)))
        return found

    def couple(self, a: Label, b: Label) -> Coupling | None:
        """By the general method."""
        return None

    def _is_line(self, l: int) -> bool:
        """Whether the representation has dimension 1."""
        return l == 0 or 2 * l == self._n

    def _table(self, label: Label) -> np.ndarray:
        """Matrices of all elements, exact where cosines are."""
        n, l, line = self._n, label[0], self._is_line(label[0])
        index = np.arange(self.group.order)
        k, flip = index % n, index >= n
        if line:
            signs = (-1.0) ** k if l else np.ones(len(k))
            if self._flips and label[1] < 0:
                signs = np.where(flip, -signs, signs)
            return signs[:, None, None]
        turns = Cyclic(n).tables.matrices[(l * k) % n]
        return np.where(flip[:, None, None], turns * np.array([1.0, -1.0]), turns)


def _turned(angle: Any, flip: Any, label: Label, line: bool, xp: Any) -> Any:
    """rho_l of an angle and a flip."""
    if line:
        sign = xp.where(flip, label[-1], 1) if len(label) > 1 else xp.ones(flip.shape)
        return xp.asarray(sign, angle.dtype)[..., None, None]
    cos, sin = xp.cos(angle), xp.sin(angle)
    sign = xp.asarray(xp.where(flip, -1, 1), angle.dtype)
    rows = [xp.stack([cos, -sign * sin], -1), xp.stack([sin, sign * cos], -1)]
    return xp.stack(rows, -2)
