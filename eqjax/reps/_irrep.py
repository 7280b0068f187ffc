"""Irreducible representations."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array

from eqjax._core._specs import register_spec
from eqjax.groups import (
    SL,
    SO,
    SU,
    Cyclic,
    Dihedral,
    GLPlus,
    Group,
    Lorentz,
    O,
    Sp,
    Symmetric,
    U,
)
from eqjax.reps._circle import Circle
from eqjax.reps._family import Family, Label, Model
from eqjax.reps._generic import TensorPowers, is_self_adjoint
from eqjax.reps._highest import HighestWeights
from eqjax.reps._kernel import commutant, stacked
from eqjax.reps._rep import Rep
from eqjax.reps._rotations import Rotations
from eqjax.reps._tables import Table
from eqjax.reps._young import Young

# Beyond, the eigenvectors of a matrix of the group's order take longer than looking for
# irreps in tensor powers.
_MAX_TABLE = 1000


@register_spec
@dataclass(frozen=True)
class Irrep(Rep):
    """An irreducible real representation. See `irrep`, which makes it.

    Those of one group are ordered, the trivial one first, then by label, so that they
    can be keys of pytrees.

    Args:
        group: The group.
        label: Its canonical label, a tuple.
    """

    group: Any
    label: Label

    def __repr__(self) -> str:
        """The group and the name."""
        return f"Irrep({self.group}, {self.name!r})"

    def __lt__(self, other: Any) -> bool:
        """The order of the irreps of one group."""
        if not isinstance(other, Irrep) or self.group != other.group:
            return NotImplemented
        return _sort_key(self) < _sort_key(other)

    @property
    def name(self) -> str:
        """The label as text, e.g. "1o", "(2,1)", "E2"."""
        return family(self.group).name(self.label)

    @property
    def dim(self) -> int:
        """Dimension over the real numbers."""
        return _model(self).dim

    @property
    def commutant_dim(self) -> int:
        """Dimension of the matrices that commute with it.

        1 for real type, 2 for complex type, 4 for quaternionic type.
        """
        return _model(self).commutant_dim

    def _rho(self, g: Any, dtype: Any) -> Array:
        return _model(self).rho(g, dtype).astype(dtype)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return _model(self).matrix_at(m)

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return _model(self).algebra_at(x)


def irrep(group: Group, label: Any) -> Irrep:
    """An irreducible real representation by its label.

    | group | label | example |
    |---|---|---|
    | SO(2), C_n | frequency l | `2` |
    | O(2), D_n | frequency, parity where the dimension is 1 | `2`, `"0o"` |
    | SO(3) | degree l | `2` |
    | O(3) | degree and parity | `"1o"`, `(1, -1)` |
    | SU(2) | spin j | `"1/2"`, `0.5` |
    | S_n | partition of n | `(2, 1)`, `"(2,1)"` |
    | other finite groups | name | `"E"`, `"T1"`, `"T2g"` |
    | SU(n), SL(n) | Dynkin labels | `(1, 1)` |
    | SO(n), Sp(2m, R), U(n), GL+(n) | rows of the highest weight | `(2, 1)` |
    | O(n) | rows and sign of a reflection | `"(1,0)+"` |
    | Lorentz, n = 3 | (j1, j2) | `(0.5, 0.5)`, `"(1,0)"` |
    | products, `from_generators`, .. | tensor power it is new in, number | `"2.1"` |

    Representations of compact groups are orthogonal. Those of SO(3) and O(3) have the
    order and sign of e3nn: l = 1 is (x, y, z). Where a complex representation is not
    real, this is the real one that holds it and its conjugate.

    Args:
        group: The group.
        label: Number, text or tuple, as in the table.

    Returns:
        The representation.

    Raises:
        ValueError: If the group has no irrep of this label, or no list of irreps.

    Example:
        >>> from eqjax import groups, reps
        >>> reps.irrep(groups.O(3), "2e").dim
        5
        >>> reps.irrep(groups.SU(3), (1, 1)).dim
        8
        >>> reps.irrep(groups.Symmetric(5), (3, 2)).dim
        5
    """
    return Irrep(group, family(group).parse(label))


def irreps(group: Group) -> tuple[Irrep, ...]:
    """All irreducible real representations of a finite group, sorted.

    Args:
        group: A finite group.

    Returns:
        The representations; the sum of dim^2 / commutant_dim is the order of the group.

    Raises:
        ValueError: If the group is infinite.

    Example:
        >>> from eqjax import groups, reps
        >>> [rep.name for rep in reps.irreps(groups.Dihedral(4))]
        ['0e', '0o', '1', '2e', '2o']
    """
    # Whether a generated group is finite is not known, so its powers are not tried.
    labels = None if group.order is None else family(group).all_labels()
    if labels is None:
        raise ValueError(
            f"{group} has infinitely many irreps, or it is not known to be finite. "
            "Name the ones you want with `reps.irrep`, or find those in a "
            "representation with `reps.decompose`."
        )
    return tuple(Irrep(group, label) for label in labels)


def has_family(group: Group) -> bool:
    """Whether irreps of the group are listed."""
    return _family(group) is not None


def family(group: Group) -> Family:
    """The irreps of the group.

    Raises:
        ValueError: If they are not listed.
    """
    found = _family(group)
    if found is None:
        raise ValueError(
            f"There is no list of irreps of {group}, whose generators are neither "
            "orthogonal nor closed under transposition: its representations need not "
            "be sums of irreps. `reps.hom` needs none."
        )
    return found


@functools.lru_cache(maxsize=256)
def commutant_of(rep: Irrep) -> np.ndarray:
    """The basis {1, J, ..} of what commutes with it, (commutant_dim, dim, dim)."""
    basis = commutant(stacked(rep.generators), rep.commutant_dim)
    basis.setflags(write=False)
    return basis


@functools.lru_cache(maxsize=256)
def _family(group: Any) -> Family | None:
    """By the kind of group."""
    if isinstance(group, (Cyclic, Dihedral)):
        return Circle(group)
    if isinstance(group, Symmetric):
        return Young(group)
    if group.order is not None and group.order <= _MAX_TABLE:
        return Table(group)
    if isinstance(group, (SO, O)):
        return {2: Circle, 3: Rotations}.get(group.n, HighestWeights)(group)
    if isinstance(group, SU):
        return Rotations(group) if group.n == 2 else HighestWeights(group)
    if isinstance(group, (U, Sp, SL, GLPlus)):
        return HighestWeights(group)
    if isinstance(group, Lorentz) and group.n >= 2:
        return HighestWeights(group)
    return TensorPowers(group) if is_self_adjoint(group) else None


@functools.lru_cache(maxsize=4096)
def _sort_key(rep: Irrep) -> tuple[Any, ...]:
    return family(rep.group).sort_key(rep.label)


@functools.lru_cache(maxsize=1024)
def _model(rep: Irrep) -> Model:
    return family(rep.group).model(rep.label)
