"""What every representation offers."""

from __future__ import annotations

import abc
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_shape, check_size
from eqjax.groups import Element, Generators

# Rounding of the matrices of generators, relative to their size.
_ROUNDING = 1e-11


class Rep(abc.ABC):
    """A real representation of a group, rho(a b) = rho(a) rho(b): a frozen spec.

    Sums, multiples and tensor products are written with operators:

    - `a + b`, `3 * a`: the direct sum; copies of one representation are consecutive.
    - `a * b`: the tensor product; the index of `a` is slow, that of `b` fast.

    Methods take one group element; `jax.vmap` takes many. They do not compile.
    """

    group: Any

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Size of the vectors."""

    @abc.abstractmethod
    def _rho(self, g: Any, dtype: Any) -> Array:
        """The matrix of an element."""

    @abc.abstractmethod
    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        """Matrices (NumPy) of elements given as defining matrices (*batch, n, n)."""

    @abc.abstractmethod
    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        """Matrices (NumPy) of Lie-algebra elements given as matrices (*batch, n, n)."""

    def _apply(self, g: Any, x: Array) -> Array:
        """The vectors rho(g) x, along the first axis."""
        return jnp.tensordot(self._rho(g, x.dtype), x, axes=1, precision="highest")

    def _permutations(self) -> np.ndarray | None:
        """Images i -> g i under the discrete generators, (m, dim), if it has these."""
        return None

    def rho(
        self, g: Element, *, dtype: DTypeLike | None = None
    ) -> Float[Array, "dim dim"]:
        """The matrix rho(g).

        Args:
            g: One element.
            dtype: Of the matrix. Default: the element's; JAX's default for elements of
                integers.

        Returns:
            The matrix.
        """
        if dtype is None:
            dtype = _element_dtype(g)
        return self._rho(g, jnp.dtype(dtype))

    def drho(self, v: Float[Array, " lie"]) -> Float[Array, "dim dim"]:
        """The matrix of an element of the Lie algebra: rho(exp v) = expm(drho(v)).

        Args:
            v: Coordinates in the basis of `group.generators.lie`, shape (group.dim,).

        Returns:
            The matrix.
        """
        check_shape("v", v, (self.group.dim,))
        return jnp.tensordot(v, self.generators.lie.astype(v.dtype), axes=1)

    def apply(
        self, g: Element, x: Float[Array, "dim *channels"]
    ) -> Float[Array, "dim *channels"]:
        """The vectors rho(g) x, without building rho(g) where it has structure.

        Args:
            g: One element.
            x: Vectors along the first axis, of any floating dtype, which is kept.

        Returns:
            The moved vectors.

        Raises:
            ValueError: If the first axis of `x` has not the size `dim`.
        """
        check_condition(
            getattr(x, "shape", ())[:1] == (self.dim,),
            f"`x` must be an array of shape ({self.dim}, *channels), got "
            f"{getattr(x, 'shape', type(x).__name__)}.",
        )
        return self._apply(g, x)

    @property
    def generators(self) -> Generators:
        """The group's generators in this representation (NumPy, float64)."""
        return _generators(self)

    @property
    def is_orthogonal(self) -> bool:
        """Whether all matrices rho(g) are orthogonal."""
        return _is_orthogonal(self)

    @property
    def is_permutation(self) -> bool:
        """Whether every rho(g) is a permutation matrix.

        Only these may have nonlinearities applied to their components one by one.
        """
        return self._permutations() is not None

    @property
    def dual(self) -> Rep:
        """The dual rho(g^-1)^T; orthogonal representations are their own."""
        from eqjax.reps._dual import Dual

        if isinstance(self, Dual):
            return self.rep
        return self if self.is_orthogonal else Dual(self)

    def __add__(self, other: Any) -> Rep:
        """The direct sum."""
        from eqjax.reps._sum import add

        return add(self, other) if isinstance(other, Rep) else NotImplemented

    def __mul__(self, other: Any) -> Rep:
        """The tensor product, or with an integer the sum of copies."""
        from eqjax.reps._sum import copies
        from eqjax.reps._tensor import multiply

        if isinstance(other, Rep):
            return multiply(self, other)
        return copies(self, other) if isinstance(other, int) else NotImplemented

    def __rmul__(self, other: Any) -> Rep:
        """The sum of copies."""
        from eqjax.reps._sum import copies

        return copies(self, other) if isinstance(other, int) else NotImplemented

    def __pow__(self, exponent: int) -> Rep:
        """The tensor power; the power 0 is the trivial representation."""
        from eqjax.reps._tensor import power

        check_size("exponent", exponent, minimum=0)
        return power(self, exponent)


def check_same_group(a: Rep, b: Rep) -> None:
    """Raises `ValueError` unless both belong to one group."""
    check_condition(
        a.group == b.group,
        f"Representations of different groups cannot be combined: {a} belongs to "
        f"{a.group}, {b} to {b.group}. Use `reps.restrict` to bring one of them to a "
        "common subgroup.",
    )


def real_form(m: np.ndarray) -> np.ndarray:
    """[[Re, -Im], [Im, Re]] of complex matrices; real ones stay."""
    if not np.iscomplexobj(m):
        return m
    re, im = np.real(m), np.imag(m)
    top = np.concatenate([re, -im], axis=-1)
    return np.concatenate([top, np.concatenate([im, re], axis=-1)], axis=-2)


def kron(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Kronecker products over batch axes."""
    size = a.shape[-1] * b.shape[-1]
    product = a[..., :, None, :, None] * b[..., None, :, None, :]
    return product.reshape(*product.shape[:-4], size, size)


def kron_sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sums a x 1 + 1 x b over batch axes."""
    return kron(a, np.eye(b.shape[-1])) + kron(np.eye(a.shape[-1]), b)


@functools.lru_cache(maxsize=1024)
def _generators(rep: Rep) -> Generators:
    lie, discrete = rep.group.generators
    found = Generators(rep._algebra_at(lie), rep._matrix_at(discrete))
    for array in found:
        array.setflags(write=False)
    return found


@functools.lru_cache(maxsize=1024)
def _is_orthogonal(rep: Rep) -> bool:
    if rep._permutations() is not None:
        return True
    lie, discrete = rep.generators
    skew = np.max(np.abs(lie + lie.swapaxes(1, 2)), initial=0.0)
    square = discrete @ discrete.swapaxes(1, 2) - np.eye(rep.dim)
    size = 1 + np.max(np.abs(lie), initial=0.0)
    return bool(max(skew, np.max(np.abs(square), initial=0.0)) <= _ROUNDING * size)


def _element_dtype(g: Any) -> Any:
    for leaf in jax.tree.leaves(g):
        dtype = jnp.result_type(leaf)
        if jnp.issubdtype(dtype, jnp.inexact):
            return jnp.finfo(dtype).dtype
    return jnp.result_type(float)
