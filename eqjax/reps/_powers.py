"""Symmetric and exterior powers."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition, check_size
from eqjax._core._specs import register_spec
from eqjax.reps._rep import Rep
from eqjax.reps._tensor import power


@register_spec
@dataclass(frozen=True, order=True)
class Power(Rep):
    """The symmetric or exterior power inside the tensor power.

    The basis is orthonormal in the tensor power: for indices i_1 <= .. <= i_k
    (exterior: <) in lexicographic order the (signed) sum of e_p(i_1) x .. x e_p(i_k)
    over their different arrangements, normalized.

    Args:
        rep: The representation.
        exponent: k.
        symmetric: Or exterior.
    """

    rep: Any
    exponent: int
    symmetric: bool

    @property
    def group(self) -> Any:
        """The group of the representation."""
        return self.rep.group

    @property
    def dim(self) -> int:
        """Number of multisets, or of sets, of `exponent` indices."""
        n, k = self.rep.dim, self.exponent
        return math.comb(n + k - 1, k) if self.symmetric else math.comb(n, k)

    def _rho(self, g: Any, dtype: Any) -> Array:
        return self._apply(g, jnp.eye(self.dim, dtype=dtype))

    def _apply(self, g: Any, x: Array) -> Array:
        basis = _basis(self.rep.dim, self.exponent, self.symmetric)
        basis = jnp.asarray(basis, x.dtype)
        full = jnp.tensordot(basis.T, x, axes=1, precision="highest")
        moved = power(self.rep, self.exponent)._apply(g, full)
        return jnp.tensordot(basis, moved, axes=1, precision="highest")

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return self._restricted(power(self.rep, self.exponent)._matrix_at(m))

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return self._restricted(power(self.rep, self.exponent)._algebra_at(x))

    def _restricted(self, m: np.ndarray) -> np.ndarray:
        basis = _basis(self.rep.dim, self.exponent, self.symmetric)
        return basis @ m @ basis.T


def symmetric_power(rep: Rep, exponent: int) -> Rep:
    """The symmetric tensors of a given order.

    Args:
        rep: A representation.
        exponent: Order, at least 1.

    Returns:
        The representation, of dimension (n + k - 1 choose k).

    Raises:
        ValueError: If `exponent` is smaller than 1.

    Example:
        >>> from eqjax import groups, reps
        >>> reps.symmetric_power(reps.standard(groups.SO(3)), 2).dim
        6
    """
    check_size("exponent", exponent)
    return rep if exponent == 1 else Power(rep, exponent, True)


def exterior_power(rep: Rep, exponent: int) -> Rep:
    """The antisymmetric tensors of a given order.

    Args:
        rep: A representation.
        exponent: Order, from 1 to the dimension.

    Returns:
        The representation, of dimension (n choose k).

    Raises:
        ValueError: If `exponent` is out of range.

    Example:
        >>> from eqjax import groups, reps
        >>> reps.exterior_power(reps.standard(groups.SO(4)), 2).dim
        6
    """
    check_size("exponent", exponent)
    check_condition(
        exponent <= rep.dim,
        f"`exponent` must be at most {rep.dim}, the dimension of {rep}, got "
        f"{exponent}: beyond, there are no antisymmetric tensors but zero.",
    )
    return rep if exponent == 1 else Power(rep, exponent, False)


@functools.lru_cache(maxsize=64)
def _basis(n: int, k: int, symmetric: bool) -> np.ndarray:
    """Orthonormal rows, shape (dim, n^k)."""
    choose = itertools.combinations_with_replacement if symmetric else None
    sets = list((choose or itertools.combinations)(range(n), k))
    basis = np.zeros((len(sets), n**k))
    orders = list(itertools.permutations(range(k)))
    signs = [1.0 if symmetric else np.linalg.det(np.eye(k)[list(p)]) for p in orders]
    place = n ** np.arange(k)[::-1]
    for row, chosen in zip(basis, np.array(sets), strict=True):
        for order, sign in zip(orders, signs, strict=True):
            row[chosen[list(order)] @ place] = np.round(sign)
        row /= np.linalg.norm(row)
    basis.setflags(write=False)
    return basis
