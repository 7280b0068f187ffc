"""The injective homomorphisms between groups that are known, and their tables."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from eqjax._core._batch import match_batch
from eqjax.groups import _symmetric as symmetric
from eqjax.groups._cyclic import Cyclic
from eqjax.groups._dihedral import Dihedral
from eqjax.groups._e import E
from eqjax.groups._finite_group import FiniteGroup
from eqjax.groups._gl import GLPlus
from eqjax.groups._group import Group
from eqjax.groups._lorentz import Lorentz
from eqjax.groups._o import O
from eqjax.groups._polyhedral import Polyhedral
from eqjax.groups._product import Product
from eqjax.groups._scaling import Scaling
from eqjax.groups._se import SE
from eqjax.groups._semidirect import Semidirect
from eqjax.groups._sl import SL
from eqjax.groups._so import SO
from eqjax.groups._sp import Sp
from eqjax.groups._su import SU
from eqjax.groups._symmetric import Symmetric
from eqjax.groups._translation import Translation
from eqjax.groups._u import U

_Embedding = Callable[[Any, DTypeLike | None], Any]


@functools.lru_cache(maxsize=256)
def find_embedding(sub: Any, group: Any) -> _Embedding | None:
    """The homomorphism, or None."""
    if _law(sub) == _law(group):
        return lambda a, dtype: a
    if isinstance(sub, (Symmetric, FiniteGroup)) and isinstance(group, Symmetric):
        return _into_permutations(sub, group)
    if isinstance(group, (SO, O)):
        return _into_orthogonal(sub, group)
    if isinstance(group, (SE, E, Semidirect)):
        return _into_motions(sub, group)
    if isinstance(group, (SL, GLPlus, U, Lorentz)):
        return _into_matrices(sub, group)
    if is_finite(sub) and is_finite(group):
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
    indices = find_indices(sub, group)
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


def _into_motions(sub: Any, group: SE | E | Semidirect) -> _Embedding | None:
    """Translations, linear parts, and pairs of both."""
    linear, n = group.linear_part, group.degree
    if isinstance(sub, Translation):
        if sub.n != n:
            return None
        return lambda a, dtype: (a, _identities(linear, sub, a))
    if isinstance(sub, (SE, E, Semidirect)):
        turns = find_embedding(sub.linear_part, linear) if sub.degree == n else None
        if turns is None:
            return None
        return lambda a, dtype: (a[0], turns(a[1], a[0].dtype))
    into_linear = find_embedding(sub, linear)
    if into_linear is None:
        return None

    def embedding(a: Any, dtype: DTypeLike | None) -> Any:
        h = into_linear(a, dtype)
        return _identities(Translation(n), linear, h, dtype), h

    return embedding


def _into_matrices(sub: Any, group: SL | GLPlus | U | Lorentz) -> _Embedding | None:
    """By matrices of the same size; rotations of space as diag(1, h)."""
    if isinstance(group, U):
        return _as_matrix(sub) if sub == SU(group.n) else None
    if isinstance(group, Lorentz):
        kinds = ("none", "space", "all")
        if isinstance(sub, Lorentz):
            fewer = kinds.index(sub.reflections) <= kinds.index(group.reflections)
            return _as_matrix(sub) if sub.n == group.n and fewer else None
        if group.n == 1:
            return None
        turns = SO if group.reflections == "none" else O
        into_turns = find_embedding(sub, turns(group.n, "matrix"))
        if into_turns is None:
            return None
        return lambda a, dtype: _with_time(into_turns(a, dtype))
    if sub.degree != group.n:
        return None
    if isinstance(sub, (SL, Sp)):
        return _as_matrix(sub)
    if isinstance(sub, Scaling):
        return _as_matrix(sub) if isinstance(group, GLPlus) else None
    return find_embedding(sub, SO(group.n, "matrix")) if group.n > 1 else None


def _as_matrix(sub: Any) -> _Embedding:
    return lambda a, dtype: sub.matrix(a)


def _with_time(h: Any) -> Any:
    """diag(1, h)."""
    h = jnp.pad(h, [(0, 0)] * (h.ndim - 2) + [(1, 0), (1, 0)])
    return h.at[..., 0, 0].set(1)


def _identities(group: Any, like: Any, a: Any, dtype: DTypeLike | None = None) -> Any:
    """Identities of `group`, batched as the elements a of another group, its dtype.

    Elements of a finite group have none: then `dtype` or the default one.
    """
    first, item = jax.tree.leaves(a)[0], jax.tree.leaves(jax.eval_shape(like.identity))
    batch = first.shape[: first.ndim - item[0].ndim]
    if jnp.issubdtype(first.dtype, jnp.inexact):
        dtype = jnp.finfo(first.dtype).dtype
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (*batch, *leaf.shape)),
        group.identity(dtype=dtype),
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
def find_indices(sub: Any, group: Any) -> np.ndarray | None:
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


def is_finite(group: Any) -> bool:
    return getattr(group, "order", None) is not None


def _is_proper(group: Cyclic | Dihedral | Polyhedral | SO | O) -> bool:
    if isinstance(group, Polyhedral):
        return not (group.inversion or group.mirrors)
    return isinstance(group, (Cyclic, SO))


def _has_flips(group: O) -> bool:
    return isinstance(jax.eval_shape(group.identity), tuple)


def _law(group: Any) -> Any:
    """The group without the width of its samples, which is no part of its law."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if field.name == "sigma":
            changes["sigma"] = 1.0
        elif isinstance(value, Group):
            changes[field.name] = _law(value)
        elif isinstance(group, Product):
            changes[field.name] = tuple(_law(factor) for factor in value)
    return dataclasses.replace(group, **changes) if changes else group
