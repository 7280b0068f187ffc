"""Representations by permutations: regular, quotient, and the user's own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.groups import Group, left_cosets
from eqjax.reps._finite import check_finite, indices_of
from eqjax.reps._rep import Rep


@register_spec
@dataclass(frozen=True, order=True)
class Quotient(Rep):
    """A finite group on the left cosets of a subgroup: e_sH -> e_gsH.

    Args:
        group: The group.
        subgroup: The subgroup; None: the trivial one, which gives the regular
            representation e_h -> e_gh on the elements in their order.
    """

    group: Any
    subgroup: Any = None

    @property
    def dim(self) -> int:
        """Number of cosets."""
        return self.group.order // (1 if self.subgroup is None else self.subgroup.order)

    def _rho(self, g: Any, dtype: Any) -> Array:
        return _matrix(_coset_images(self.group, self.subgroup), self.group, g, dtype)

    def _apply(self, g: Any, x: Array) -> Array:
        return _move(_coset_images(self.group, self.subgroup), self.group, g, x)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return _matrices(_coset_images(self.group, self.subgroup), self.group, m)

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return np.zeros((*x.shape[:-2], self.dim, self.dim))

    def _permutations(self) -> np.ndarray | None:
        images = _coset_images(self.group, self.subgroup)
        return images[list(self.group.tables.generators)]


@register_spec
@dataclass(frozen=True, order=True)
class Permutation(Rep):
    """A finite group by permutations of the user. See `permutation`."""

    group: Any
    images: tuple[tuple[int, ...], ...]

    @property
    def dim(self) -> int:
        """Number of things that are permuted."""
        return len(self.images[0])

    def _rho(self, g: Any, dtype: Any) -> Array:
        return _matrix(_extended(self.group, self.images), self.group, g, dtype)

    def _apply(self, g: Any, x: Array) -> Array:
        return _move(_extended(self.group, self.images), self.group, g, x)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return _matrices(_extended(self.group, self.images), self.group, m)

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return np.zeros((*x.shape[:-2], self.dim, self.dim))

    def _permutations(self) -> np.ndarray | None:
        return np.array(self.images)


def regular(group: Group) -> Rep:
    """The regular representation of a finite group: e_h -> e_gh.

    Args:
        group: A finite group.

    Returns:
        The representation, of dimension `group.order`; components stand in the order
        of the elements.

    Raises:
        ValueError: If the group is not finite.

    Example:
        >>> from eqjax import groups, reps
        >>> reps.regular(groups.Dihedral(4)).dim
        8
    """
    check_finite("group", group)
    return Quotient(group)


def quotient(group: Group, subgroup: Group) -> Rep:
    """A finite group on the cosets of a subgroup: e_sH -> e_gsH.

    Args:
        group: A finite group G.
        subgroup: A registered subgroup H.

    Returns:
        The representation, of dimension |G| / |H|; components stand in the order of
        `groups.left_cosets(H, G)`.

    Raises:
        ValueError: If a group is not finite, or H is no registered subgroup.

    Example:
        >>> from eqjax import groups, reps
        >>> reps.quotient(groups.Dihedral(6), groups.Dihedral(2)).dim
        3
    """
    check_finite("group", group)
    left_cosets(subgroup, group)
    return Quotient(group, subgroup)


def permutation(group: Group, images: Sequence[Sequence[int]]) -> Rep:
    """A finite group by permutations.

    Args:
        group: A finite group.
        images: One permutation per generator in `group.tables.generators`: entry i
            says where i goes.

    Returns:
        The representation by permutation matrices.

    Raises:
        ValueError: If the group is not finite, these are no permutations of one size,
            their number is not that of the generators, or they break the relations of
            the group.

    Example:
        >>> from eqjax import groups, reps
        >>> swap = reps.permutation(groups.Cyclic(4), [(1, 0)])
        >>> reps.decompose(swap).terms
        ((Irrep(Cyclic(n=4), '0'), 1), (Irrep(Cyclic(n=4), '2'), 1))
    """
    check_finite("group", group)
    rows = tuple(tuple(int(i) for i in row) for row in images)
    count = len(_tables(group).generators)
    check_condition(
        len(rows) == count,
        f"`images` must hold one permutation for each of the {count} generators of "
        f"{group}, got {len(rows)}.",
    )
    fits = all(sorted(row) == list(range(len(row))) and row for row in rows)
    check_condition(
        fits and len({len(row) for row in rows}) == 1,
        f"`images` must hold permutations of 0, .., n - 1 of one size n, got {rows}.",
    )
    _extended(group, rows)
    return Permutation(group, rows)


def _tables(group: Any) -> Any:
    return group.tables


@functools.lru_cache(maxsize=128)
def _coset_images(group: Any, subgroup: Any) -> np.ndarray:
    """[g, s] is where g sends coset s."""
    if subgroup is None:
        return group.tables.product
    representatives, coset_of = left_cosets(subgroup, group)
    return coset_of[group.tables.product[:, representatives]]


@functools.lru_cache(maxsize=128)
def _extended(group: Any, images: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Images under every element, from those under the generators."""
    tables = group.tables
    generators = np.array(images, np.int32)
    table = np.full((group.order, generators.shape[1]), -1, np.int32)
    table[0] = np.arange(generators.shape[1])
    found = [0]
    for i in found:
        for index, image in zip(tables.generators, generators, strict=True):
            row = tables.product[index, i]
            if table[row, 0] < 0:
                table[row] = image[table[i]]
                found.append(int(row))
    for index, image in zip(tables.generators, generators, strict=True):
        check_condition(
            np.array_equal(table[tables.product[index]], image[table]),
            f"`images` break the relations of {group}, so that they are no "
            f"representation of it: {images}.",
        )
    return table


def _matrix(table: np.ndarray, group: Any, g: Any, dtype: Any) -> Array:
    image = jnp.asarray(table)[group.index(g)]
    return jax.nn.one_hot(image, table.shape[1], axis=0, dtype=dtype)


def _move(table: np.ndarray, group: Any, g: Any, x: Array) -> Array:
    # The row of the inverse says where each component comes from.
    source = table[group.tables.inverse]
    return jnp.take(x, jnp.asarray(source)[group.index(g)], axis=0)


def _matrices(table: np.ndarray, group: Any, m: np.ndarray) -> np.ndarray:
    images = table[indices_of(group, m)]
    return np.swapaxes(np.eye(table.shape[1])[images], -1, -2)
