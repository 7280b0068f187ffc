"""Subgroups: which groups contain which, by which homomorphism."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition
from eqjax.groups import _symmetric as symmetric
from eqjax.groups._cyclic import Cyclic
from eqjax.groups._dihedral import Dihedral
from eqjax.groups._e import E
from eqjax.groups._finite_group import FiniteGroup
from eqjax.groups._group import Element, Group
from eqjax.groups._o import O
from eqjax.groups._polyhedral import Polyhedral
from eqjax.groups._se import SE
from eqjax.groups._so import SO
from eqjax.groups._symmetric import Symmetric
from eqjax.groups._translation import Translation

_Embedding = Callable[[Any, DTypeLike | None], Any]

_KNOWN = """\
every group in itself;
Cyclic(n) in Cyclic(m) and Dihedral(m), Dihedral(n) in Dihedral(m), where n divides m;
Cyclic(n) in SO(2) and O(2), Dihedral(n) in O(2);
Cyclic(n), Dihedral(n) in Polyhedral(...), where the axes fit;
Polyhedral(...) in Polyhedral(...), in O(3), and rotations in SO(3);
Symmetric(m), FiniteGroup(...) of m things in Symmetric(n) for m <= n, and in
FiniteGroup(...) that has their permutations;
SO(n) in O(n); SO(2), O(2) and their subgroups in SO(3), O(3);
Translation(n) and subgroups of SO(n) in SE(n);
Translation(n), SE(n) and subgroups of O(n) in E(n)."""


class LeftCosets(NamedTuple):
    """The left cosets g H of a finite subgroup H in a finite group G.

    Attributes:
        representatives: Index of the first element of each coset, shape (|G| / |H|,),
            int32, ascending; the first is the identity's, 0.
        coset_of: For each element of G the place of its coset in `representatives`,
            shape (|G|,), int32.
    """

    representatives: np.ndarray
    coset_of: np.ndarray


def is_subgroup(sub: Group, group: Group) -> bool:
    """Whether `embed` knows an injective homomorphism from `sub` to `group`.

    Known are the pairs that `embed` lists. `False` is not a proof that there is none:
    other groups may be isomorphic to a subgroup in a way that is not registered.

    Args:
        sub: The smaller group.
        group: The larger group.

    Returns:
        A Python boolean, static.

    Example:
        >>> from eqjax import groups
        >>> groups.is_subgroup(groups.Cyclic(2), groups.Cyclic(6))
        True
        >>> groups.is_subgroup(groups.Cyclic(4), groups.Cyclic(6))
        False
    """
    return _embedding(sub, group) is not None


def embed(
    sub: Group, group: Group, a: Element, *, dtype: DTypeLike | None = None
) -> Element:
    """The element of `group` that the element `a` of the subgroup `sub` is.

    An injective homomorphism: embed(a b) = embed(a) embed(b). Known pairs:

    - every group in itself, also where `sigma` or the kind of elements differs;
    - C_n in C_m and D_m, D_n in D_m where n divides m; C_n in SO(2), D_n in O(2);
    - SO(n) in O(n); O(2) in SO(3) as diag(h, det h): rotations turn about the z axis,
      and mirrors of the plane become half turns about axes in the plane;
    - C_n and D_n in polyhedral groups with such axes, by the same rule;
    - polyhedral groups in each other, in O(3), and in SO(3) if they are rotations;
    - S_m, or a `FiniteGroup` of m things, in S_n for m <= n, fixing the last things,
      and in a `FiniteGroup` that has all its permutations;
    - Translation(n) and h -> (0, h) for SO(n) in SE(n), O(n) in E(n); SE(n) in E(n);
    - chains of these. Chains from one group to another all give the same element.

    The matrices agree: that of the element of a larger space has the matrix of `a` as
    its first block.

    Args:
        sub: The smaller group.
        group: The larger group.
        a: Element of `sub`; leading batch axes are kept.
        dtype: Dtype of floating-point parts where `sub` has none (finite groups);
            default: JAX's default.

    Returns:
        The element of `group`.

    Raises:
        ValueError: If no homomorphism is registered for the pair; the message lists
            what is.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> C, D = groups.Cyclic(2), groups.Dihedral(6)
        >>> int(groups.embed(C, D, jnp.asarray(1)))
        3
        >>> angle = groups.embed(C, groups.SO(2), jnp.asarray(1))
        >>> round(float(angle), 4)
        3.1416
    """
    embedding = _embedding(sub, group)
    if embedding is None:
        raise ValueError(_unknown(sub, group))
    return embedding(a, dtype)


def subgroup_indices(sub: Group, group: Group) -> np.ndarray:
    """Where the elements of a finite subgroup lie in the tables of the group.

    Entry i is the index in `group.tables` of the element that number i of `sub.tables`
    is in `group`: product_G[indices[i], indices[j]] = indices[product_H[i, j]].

    Args:
        sub: The smaller group, finite.
        group: The larger group, finite.

    Returns:
        NumPy array of shape (sub.order,), int32.

    Raises:
        ValueError: If a group is not finite, or `sub` is no registered subgroup.

    Example:
        >>> from eqjax import groups
        >>> groups.subgroup_indices(groups.Dihedral(2), groups.Dihedral(4)).tolist()
        [0, 2, 4, 6]
    """
    for name, value in (("sub", sub), ("group", group)):
        check_condition(
            _is_finite(value),
            f"`{name}` must be a finite group, got {value}. Use `embed` for infinite "
            "ones.",
        )
    indices = _indices(sub, group)
    if indices is None:
        raise ValueError(_unknown(sub, group))
    return indices.copy()


def left_cosets(sub: Group, group: Group) -> LeftCosets:
    """Splits a finite group into the left cosets g H of a subgroup H.

    G acts on them: g sends the coset of x to `coset_of[product[g, x]]`.

    Args:
        sub: The subgroup H, finite.
        group: The group G, finite.

    Returns:
        Representatives, and the coset of each element.

    Raises:
        ValueError: If a group is not finite, or `sub` is no registered subgroup.

    Example:
        >>> from eqjax import groups
        >>> cosets = groups.left_cosets(groups.Cyclic(2), groups.Cyclic(6))
        >>> cosets.representatives.tolist(), cosets.coset_of.tolist()
        ([0, 1, 2], [0, 1, 2, 0, 1, 2])
    """
    indices = subgroup_indices(sub, group)
    product = cast(Any, group).tables.product
    # The smallest index in the coset of each element.
    first = np.min(product[:, indices], axis=1)
    representatives, coset_of = np.unique(first, return_inverse=True)
    return LeftCosets(representatives, coset_of.astype(np.int32))


# Homomorphisms -----------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _embedding(sub: Any, group: Any) -> _Embedding | None:
    """The homomorphism, or None."""
    if _law(sub) == _law(group):
        return lambda a, dtype: a
    if isinstance(sub, (Symmetric, FiniteGroup)) and isinstance(group, Symmetric):
        return _into_permutations(sub, group)
    if isinstance(group, (SO, O)):
        return _into_orthogonal(sub, group)
    if isinstance(group, (SE, E)):
        return _into_motions(sub, group)
    if _is_finite(sub) and _is_finite(group):
        return _by_index(sub, group)
    return None


def _into_permutations(
    sub: Symmetric | FiniteGroup, group: Symmetric
) -> _Embedding | None:
    """Permutations that fix the last things; needs no table, so that any n will do."""
    if sub.degree > group.n:
        return None
    last = np.arange(sub.degree, group.n, dtype=np.int32)

    def embedding(a: Any, dtype: DTypeLike | None) -> Any:
        moved, fixed = match_batch((sub.permutation(a), 1), (jnp.asarray(last), 1))
        g = jnp.concatenate([moved, fixed], axis=-1)
        return g if group.elements == "permutation" else Symmetric(group.n).index(g)

    return embedding


def _by_index(sub: Any, group: Any) -> _Embedding | None:
    """By a table, between finite groups."""
    indices = _indices(sub, group)
    if indices is None:
        return None
    return lambda a, dtype: group.element(jnp.asarray(indices)[sub.index(a)])


def _into_orthogonal(sub: Any, group: SO | O) -> _Embedding | None:
    """By matrices, of the same size or as diag(h, det h, 1, .., 1)."""
    if not isinstance(sub, (Cyclic, Dihedral, Polyhedral, SO, O)):
        return None
    if sub.degree > group.n:
        return None
    if sub.degree == group.n and isinstance(group, SO) and not _is_proper(sub):
        return None
    if isinstance(group, O) and sub == group.rotations and _has_flips(group):
        return lambda a, dtype: (a, _identities(group, sub, a)[1])

    def embedding(a: Any, dtype: DTypeLike | None) -> Any:
        m = sub.matrix(a) if isinstance(sub, (SO, O)) else sub.matrix(a, dtype=dtype)
        return group.from_matrix(_extended(m, group.n, jnp))

    return embedding


def _into_motions(sub: Any, group: SE | E) -> _Embedding | None:
    """Translations, linear parts, and pairs of both."""
    linear = group.linear_part
    if isinstance(sub, Translation):
        if sub.n != group.n:
            return None
        return lambda a, dtype: (a, _identities(linear, sub, a))
    if isinstance(sub, (SE, E)):
        turns = _embedding(sub.linear_part, linear) if sub.n == group.n else None
        if turns is None:
            return None
        return lambda a, dtype: (a[0], turns(a[1], dtype))
    into_linear = _embedding(sub, linear)
    if into_linear is None:
        return None

    def embedding(a: Any, dtype: DTypeLike | None) -> Any:
        h = into_linear(a, dtype)
        return _identities(Translation(group.n), linear, h), h

    return embedding


def _identities(group: Any, like: Any, a: Any) -> Any:
    """Identities of `group`, batched as the elements a of another group, its dtype."""
    first, item = jax.tree.leaves(a)[0], jax.tree.leaves(jax.eval_shape(like.identity))
    batch = first.shape[: first.ndim - item[0].ndim]
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (*batch, *leaf.shape)),
        group.identity(dtype=first.dtype),
    )


def _extended(m: Any, n: int, xp: Any) -> Any:
    """The matrices diag(h, det h, 1, .., 1) of size n, of NumPy (xp) or JAX."""
    size = m.shape[-1]
    if size == n:
        return m
    # Of orthogonal matrices, so that the sign is the determinant without rounding.
    sign = xp.sign(xp.linalg.det(m))[..., None, None]
    shape = (*m.shape[:-2], n - size, n)
    place = np.zeros((n - size, n), m.dtype)
    place[0, size] = 1
    rest = np.eye(n, dtype=m.dtype)[size:] - place
    rows = xp.broadcast_to(sign, shape) * xp.broadcast_to(place, shape)
    rows = rows + xp.broadcast_to(rest, shape)
    top = xp.concatenate([m, xp.zeros((*m.shape[:-1], n - size), m.dtype)], axis=-1)
    return xp.concatenate([top, rows], axis=-2)


# Tables of finite pairs (NumPy) ------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _indices(sub: Any, group: Any) -> np.ndarray | None:
    """The indices of the elements of `sub`, or None where it is no subgroup."""
    if group.order % sub.order:
        return None
    if isinstance(group, (Cyclic, Dihedral)):
        if not isinstance(sub, (Cyclic, Dihedral)) or group.n % sub.n:
            return None
        if isinstance(sub, Dihedral) and isinstance(group, Cyclic):
            return None
        # k + n f becomes k m/n + m f, which is the same multiple.
        return np.arange(sub.order, dtype=np.int32) * np.int32(group.n // sub.n)
    if isinstance(group, Polyhedral):
        if not isinstance(sub, (Cyclic, Dihedral, Polyhedral)):
            return None
        small = _extended(sub.tables.matrices, 3, np)
        return _find_rows(_rounded(small), _rounded(group.tables.matrices))
    if not isinstance(sub, (Symmetric, FiniteGroup)) or sub.degree > group.degree:
        return None
    small = _permutations(sub)
    last = np.arange(sub.degree, group.degree, dtype=np.int32)
    last = np.broadcast_to(last, (len(small), len(last)))
    small = np.concatenate([small, last], axis=1)
    if isinstance(group, Symmetric):
        return symmetric.rank(small)
    return _find_rows(small, _permutations(group))


def _find_rows(rows: np.ndarray, table: np.ndarray) -> np.ndarray | None:
    """Where each row stands in the table, or None if one is missing."""
    place = {row.tobytes(): i for i, row in enumerate(table)}
    found = [place.get(row.tobytes(), -1) for row in rows]
    return None if min(found) < 0 else np.array(found, np.int32)


def _rounded(matrices: np.ndarray) -> np.ndarray:
    """Rows of integers that tell matrices apart which differ by more than rounding."""
    return np.round(1e6 * matrices.reshape(len(matrices), -1)).astype(np.int64)


def _permutations(group: Symmetric | FiniteGroup) -> np.ndarray:
    """The permutations g(0), .., g(n - 1) of all elements, shape (order, n), int32."""
    return np.argmax(group.tables.matrices, axis=1).astype(np.int32)


# What groups are ---------------------------------------------------------------------


def _is_finite(group: Any) -> bool:
    return getattr(group, "order", None) is not None


def _is_proper(group: Cyclic | Dihedral | Polyhedral | SO | O) -> bool:
    if isinstance(group, Polyhedral):
        return not (group.inversion or group.mirrors)
    return isinstance(group, (Cyclic, SO))


def _has_flips(group: O) -> bool:
    return isinstance(jax.eval_shape(group.identity), tuple)


def _law(group: Any) -> Any:
    """The group without the width of its samples, which is no part of its law."""
    if any(field.name == "sigma" for field in dataclasses.fields(group)):
        return dataclasses.replace(group, sigma=1.0)
    return group


def _unknown(sub: Any, group: Any) -> str:
    return (
        f"{sub} is no registered subgroup of {group}. Known are:\n{_KNOWN}\n"
        "Choose one of these pairs, or map the elements yourself."
    )
