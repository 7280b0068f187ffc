"""Induced representations of finite groups."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._specs import register_spec
from eqjax.groups import Group, left_cosets, subgroup_indices
from eqjax.reps._finite import check_finite, indices_of
from eqjax.reps._rep import Rep


@register_spec
@dataclass(frozen=True, order=True)
class Induced(Rep):
    """A representation of a finite group, induced from a subgroup. See `induce`.

    Args:
        rep: The representation of the subgroup.
        group: The group.
    """

    rep: Any
    group: Any

    @property
    def dim(self) -> int:
        """Number of cosets times the dimension."""
        return self.group.order // self.rep.group.order * self.rep.dim

    def _rho(self, g: Any, dtype: Any) -> Array:
        return self._apply(g, jnp.eye(self.dim, dtype=dtype))

    def _apply(self, g: Any, x: Array) -> Array:
        table = _table(self.rep, self.group)
        index = self.group.index(g)
        source = jnp.asarray(table.source)[index]
        elements = jnp.asarray(table.elements)[index]
        blocks = jnp.asarray(table.matrices, x.dtype)[elements]
        parts = x.reshape(len(source), self.rep.dim, *x.shape[1:])[source]
        moved = jnp.einsum("tij,tj...->ti...", blocks, parts, precision="highest")
        return moved.reshape(x.shape)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        table = _table(self.rep, self.group)
        index = indices_of(self.group, m)
        source, blocks = table.source[index], table.matrices[table.elements[index]]
        places = np.eye(source.shape[-1])[source]
        full = np.einsum("...ts,...tij->...tisj", places, blocks)
        return full.reshape(*m.shape[:-2], self.dim, self.dim)

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return np.zeros((*x.shape[:-2], self.dim, self.dim))


def induce(rep: Rep, group: Group) -> Rep:
    """The representation of a finite group that a subgroup's representation induces.

    (g f)_t = sigma(t^-1 g s) f_s, where t represents the coset of g s and s, t are the
    representatives of `groups.left_cosets`.

    Args:
        rep: A representation sigma of a finite group H.
        group: A finite group G of which H is a registered subgroup.

    Returns:
        The representation, of dimension |G| / |H| times that of sigma.

    Raises:
        ValueError: If a group is not finite, or H is no registered subgroup.

    Example:
        >>> from eqjax import groups, reps
        >>> sign = reps.irrep(groups.Cyclic(2), 1)
        >>> reps.induce(sign, groups.Cyclic(6)).dim
        3

    References:
        Serre, "Linear representations of finite groups" (1977), section 3.3.
    """
    check_finite("group", group)
    check_finite("rep.group", rep.group)
    left_cosets(rep.group, group)
    return rep if rep.group == group else Induced(rep, group)


class _Table(NamedTuple):
    """For every g and coset t: the coset s with g s in t H, the index of t^-1 g s."""

    source: np.ndarray
    elements: np.ndarray
    matrices: np.ndarray


@functools.lru_cache(maxsize=128)
def _table(rep: Rep, group: Any) -> _Table:
    sub = rep.group
    representatives, coset_of = left_cosets(sub, group)
    product, inverse = group.tables.product, group.tables.inverse
    place = np.full(group.order, -1, np.int32)
    place[subgroup_indices(sub, group)] = np.arange(sub.order)
    moved = product[:, representatives]
    source = np.argsort(coset_of[moved], axis=1).astype(np.int32)
    moved = np.take_along_axis(moved, source, axis=1)
    elements = place[product[inverse[representatives][None], moved]]
    return _Table(source, elements, rep._matrix_at(sub.tables.matrices))
