"""The irreps of SO(3), O(3) and SU(2)."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax.groups import SU, O
from eqjax.reps import _so3 as so3
from eqjax.reps._family import Coupling, Label, Model, part_of_product
from eqjax.reps._kernel import canonical_basis
from eqjax.reps._rep import kron_sum, real_form
from eqjax.reps._standard import Standard
from eqjax.reps._weights import count_highest


@dataclass(frozen=True)
class Rotations:
    """Labels (l,) for SO(3), (l, parity) for O(3), (j,) for SU(2), j a half-integer.

    Integer degrees have e3nn's basis: l = 1 is (x, y, z), l = 2 is (xz, xy, y^2, yz,
    z^2 - x^2) up to factors. Half-integer spins are quaternionic, of real dimension
    2 (2j + 1), and stand in the product of spin j - 1/2 with the standard one.
    """

    group: Any

    @property
    def trivial(self) -> Label:
        """Degree 0, even."""
        return (0, 1) if self._flips else (0,)

    @property
    def standard(self) -> Label | None:
        """(x, y, z), or spin 1/2."""
        if self._spins:
            return (0.5,)
        return (1, -1) if self._flips else (1,)

    @property
    def _flips(self) -> bool:
        return isinstance(self.group, O)

    @property
    def _spins(self) -> bool:
        return isinstance(self.group, SU)

    def parse(self, label: Any) -> Label:
        """A number, a name such as "1o" or "1/2", or the label."""
        given = label
        if isinstance(label, str):
            match = re.fullmatch(r"(\d+(?:/2)?)([eo]?)", label.strip())
            signs = {"e": (1,), "o": (-1,), "": ()}
            label = (
                (float(Fraction(match[1])), *signs[match[2]])
                if match is not None
                else ()
            )
        elif not isinstance(label, tuple):
            label = (label,)
        good = len(label) == (2 if self._flips else 1)
        good = good and label[0] >= 0 and 2 * label[0] == int(2 * label[0])
        good = good and (self._spins or label[0] == int(label[0]))
        good = good and label[1:] in ((), (1,), (-1,))
        example = 'as 1 or "1"'
        if self._flips:
            example = 'with a parity, as "1o" or (1, -1)'
        if self._spins:
            example = 'or half of one, as 0.5 or "1/2"'
        check_condition(
            good,
            f"`label` must be a degree of an irrep of {self.group} {example}, got "
            f"{given!r}.",
        )
        degree = label[0] if label[0] != int(label[0]) else int(label[0])
        return (degree, *(int(sign) for sign in label[1:]))

    def name(self, label: Label) -> str:
        """E.g. "1", "1o", "1/2"."""
        return str(Fraction(label[0])) + {(1,): "e", (-1,): "o"}.get(label[1:], "")

    def sort_key(self, label: Label) -> tuple[Any, ...]:
        """By degree, then the parity (-1)^l of the harmonics first, as in e3nn."""
        return (label[0], *(-sign * (-1) ** label[0] for sign in label[1:]))

    def all_labels(self) -> None:
        """There are infinitely many."""

    def model(self, label: Label) -> Model:
        """Polynomials in the rotation matrix."""
        if label[0] != int(label[0]):
            return self._spinor(label)
        l = int(label[0])
        odd = self._flips and label[1] != (-1) ** l

        def matrix_at(m: np.ndarray) -> np.ndarray:
            d = so3.wigner(l, _rotation(m), np)
            return d * np.sign(np.linalg.det(m))[..., None, None] if odd else d

        def algebra_at(x: np.ndarray) -> np.ndarray:
            return so3.wigner_algebra(l, _turn(x))

        def rho(g: Any, dtype: Any) -> Array:
            turn = self.group.adjoint(g) if self._spins else self.group.matrix(g)
            d = so3.wigner(l, turn.astype(dtype), jnp)
            if not odd:
                return d
            if self.group.elements != "matrix":
                return jnp.where(g[1] % 2 == 0, d, -d)
            return d * jnp.sign(jnp.linalg.det(g)).astype(dtype)

        return Model(2 * l + 1, 1, matrix_at, algebra_at, rho)

    def _spinor(self, label: Label) -> Model:
        """The part of l x 1/2 with spin l + 1/2."""
        l = int(label[0])
        left, right = self.model((l,)), Standard(self.group)
        return part_of_product(left, right, _spinor_basis(l), 4)

    def candidates(
        self, lie: np.ndarray, discrete: np.ndarray
    ) -> list[tuple[list[Label], int]]:
        """From the eigenvalues of one rotation."""
        # Twice the spins, which are integers; n copies of spin j have weight j.
        found = []
        for twice, count in count_highest(2 * lie[2]):
            degree = twice / 2
            half = twice % 2
            labels: list[Label] = [(degree if half else twice // 2,)]
            if self._flips:
                labels = [(twice // 2, parity) for parity in (1, -1)]
            found.append((labels, count // 2 if half else count))
        return found

    def couple(self, a: Label, b: Label) -> Coupling | None:
        """Clebsch-Gordan coefficients for integer degrees."""
        if a[0] != int(a[0]) or b[0] != int(b[0]):
            return None
        la, lb = int(a[0]), int(b[0])
        parity = (a[1] * b[1],) if self._flips else ()
        return [
            ((degree, *parity), _isometry(la, lb, degree))
            for degree in range(abs(la - lb), la + lb + 1)
        ]


@functools.lru_cache(maxsize=1024)
def _isometry(l1: int, l2: int, l3: int) -> np.ndarray:
    """l3 in l1 x l2, shape (1, (2l1+1) (2l2+1), 2l3+1)."""
    coupling = so3.wigner_coupling(l1, l2, l3) * np.sqrt(2 * l3 + 1)
    return coupling.reshape(1, -1, 2 * l3 + 1)


@functools.lru_cache(maxsize=64)
def _spinor_basis(l: int) -> np.ndarray:
    """Orthonormal columns (4 (2l+1), 4 (l+1)): spin l + 1/2 in l x 1/2."""
    if l == 0:
        return np.eye(4)
    lie = SU(2).generators.lie
    full = kron_sum(so3.wigner_algebra(l, _turn(lie)), real_form(lie))
    _, vectors = np.linalg.eigh(np.einsum("kab,kac->bc", full, full))
    draw = np.random.Generator(np.random.PCG64(3)).standard_normal((len(vectors),) * 2)
    dim = 4 * (l + 1)
    return canonical_basis(vectors[:, -dim:], draw[:, :dim])


def _rotation(m: np.ndarray) -> np.ndarray:
    """The 3 x 3 matrix of an element of O(3), or of SU(2) by its adjoint action."""
    if not np.iscomplexobj(m):
        return m
    basis = SU(2).generators.lie
    moved = m[..., None, :, :] @ basis @ np.swapaxes(m, -1, -2).conj()[..., None, :, :]
    # <X, Y> = -2 tr(X Y) is 1 for the basis -i sigma / 2.
    return -2 * np.einsum("iab,...jba->...ij", basis, moved).real


def _turn(x: np.ndarray) -> np.ndarray:
    """The 3 x 3 matrix of an element of the Lie algebra."""
    if not np.iscomplexobj(x):
        return x
    basis = SU(2).generators.lie
    moved = x[..., None, :, :] @ basis - basis @ x[..., None, :, :]
    return -2 * np.einsum("iab,...jba->...ij", basis, moved).real
