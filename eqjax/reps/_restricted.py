"""Restriction to subgroups, and outer products over product groups."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax import groups
from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.groups import SE, E, Group, Lorentz, Product, Semidirect
from eqjax.reps._finite import indices_of
from eqjax.reps._rep import Rep, kron, kron_sum


@register_spec
@dataclass(frozen=True, order=True)
class Restricted(Rep):
    """A representation of a group, of a subgroup's elements. See `restrict`.

    Args:
        rep: The representation.
        group: The subgroup.
    """

    rep: Any
    group: Any

    @property
    def dim(self) -> int:
        """Dimension of the representation."""
        return self.rep.dim

    def _rho(self, g: Any, dtype: Any) -> Array:
        return self.rep._rho(groups.embed(self.group, self.rep.group, g), dtype)

    def _apply(self, g: Any, x: Array) -> Array:
        g = groups.embed(self.group, self.rep.group, g, dtype=x.dtype)
        return self.rep._apply(g, x)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return self.rep._matrix_at(_lifted(self.group, self.rep.group, m, False))

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return self.rep._algebra_at(_lifted(self.group, self.rep.group, x, True))


@register_spec
@dataclass(frozen=True, order=True)
class Outer(Rep):
    """A product group on the tensor product of its factors' representations.

    Args:
        factors: One representation per factor of the group.
    """

    factors: tuple[Any, ...]

    @property
    def group(self) -> Any:
        """The direct product of the factors' groups."""
        return Product(tuple(rep.group for rep in self.factors))

    @property
    def dim(self) -> int:
        """Product of the dimensions."""
        return int(np.prod([rep.dim for rep in self.factors]))

    def _rho(self, g: Any, dtype: Any) -> Array:
        parts = zip(self.factors, g, strict=True)
        return functools.reduce(jnp.kron, [rep._rho(h, dtype) for rep, h in parts])

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        parts = zip(self.factors, self._blocks(m), strict=True)
        return functools.reduce(kron, [rep._matrix_at(block) for rep, block in parts])

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        parts = zip(self.factors, self._blocks(x), strict=True)
        blocks = [rep._algebra_at(block) for rep, block in parts]
        return functools.reduce(kron_sum, blocks)

    def _blocks(self, m: np.ndarray) -> list[np.ndarray]:
        """The defining matrices of the factors."""
        blocks, start = [], 0
        for rep in self.factors:
            like = rep.group.generators.discrete
            stop = start + like.shape[-1]
            block = m[..., start:stop, start:stop]
            blocks.append(block if np.iscomplexobj(like) else np.real(block))
            start = stop
        return blocks


def restrict(rep: Rep, subgroup: Group) -> Rep:
    """The representation of a subgroup's elements: rho(`groups.embed`(h)).

    Args:
        rep: A representation of a group.
        subgroup: A registered subgroup, see `groups.embed`.

    Returns:
        The representation of the subgroup.

    Raises:
        ValueError: If the subgroup is not registered.

    Example:
        >>> from eqjax import groups, reps
        >>> quadrupole = reps.irrep(groups.SO(3), 2)
        >>> cubic = reps.restrict(quadrupole, groups.Polyhedral("octahedral"))
        >>> [(rep.name, count) for rep, count in reps.decompose(cubic).terms]
        [('E', 1), ('T2', 1)]
    """
    check_condition(
        groups.is_subgroup(subgroup, rep.group),
        f"{subgroup} is no registered subgroup of {rep.group}, the group of {rep}. "
        "See `groups.embed` for the pairs that are.",
    )
    return rep if subgroup == rep.group else Restricted(rep, subgroup)


def outer(*factors: Rep) -> Rep:
    """The tensor product as a representation of the product of the groups.

    Args:
        *factors: Two or more representations, of any groups.

    Returns:
        The representation of `groups.Product`, in which every factor's element moves
        its own index.

    Raises:
        ValueError: If there are fewer than two.

    Example:
        >>> from eqjax import groups, reps
        >>> spins = reps.standard(groups.Symmetric(4))
        >>> reps.outer(spins, reps.standard(groups.O(3))).dim
        12
    """
    check_condition(len(factors) >= 2, "`outer` needs two or more representations.")
    return Outer(factors)


def _lifted(sub: Any, group: Any, m: np.ndarray, algebra: bool) -> np.ndarray:
    """Defining matrices of the subgroup as those of the group (NumPy)."""
    if sub.order is not None and group.order is not None:
        if algebra:
            return np.zeros((*m.shape[:-2], *group.tables.matrices.shape[1:]))
        indices = groups.subgroup_indices(sub, group)
        return group.tables.matrices[indices[indices_of(sub, m)]]
    n, k = group.generators.discrete.shape[-1], m.shape[-1]
    if k == n:
        return m
    start = 1 if isinstance(group, Lorentz) else 0
    stop = n - 1 if isinstance(group, (SE, E, Semidirect)) else n
    full = np.zeros((*m.shape[:-2], n, n), m.dtype)
    if not algebra:
        full = full + np.eye(n)
        if start + k < stop:
            full[..., start + k, start + k] = np.sign(np.linalg.det(m))
    full[..., start : start + k, start : start + k] = m
    return full
