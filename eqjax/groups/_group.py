"""What every group offers."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, PyTree

Element: TypeAlias = PyTree[Array]


class Generators(NamedTuple):
    """Generators of a group in its defining matrix representation (NumPy).

    The dtype is float64, and complex128 for the groups of complex matrices. The Lie
    algebra's basis is one over the real numbers in either case. Each of its matrices is
    symmetric (Hermitian) or antisymmetric (anti-Hermitian) and all are orthogonal with
    the same norm, except those of translations and of `from_generators`; in a product
    the norms of the factors may differ. Do not write into these arrays: they are
    shared.

    Attributes:
        lie: Basis of the Lie algebra, shape (dim, n, n).
        discrete: Elements that generate the components, shape (m, n, n).
    """

    lie: np.ndarray
    discrete: np.ndarray


@runtime_checkable
class Group(Protocol):
    """A group: a frozen spec whose elements are plain arrays or tuples of arrays.

    All methods broadcast over leading batch axes and none of them compiles. The action
    is a left action on column vectors: act(compose(a, b), x) = act(a, act(b, x)).
    Tangent vectors `v` are coordinates in the documented basis of the Lie algebra, of
    shape (*batch, dim). Infinite groups whose exponential map does not reach every
    element have a method `has_log(a)` besides.
    """

    @property
    def dim(self) -> int:
        """Dimension of the group as a manifold."""
        ...

    @property
    def order(self) -> int | None:
        """Number of elements; None for infinite groups."""
        ...

    @property
    def degree(self) -> int:
        """Size of the vectors that `act` moves."""
        ...

    def identity(self, *, dtype: DTypeLike | None = None) -> Element:
        """The neutral element."""
        ...

    def compose(self, a: Any, b: Any) -> Element:
        """The product a b."""
        ...

    def inverse(self, a: Any) -> Element:
        """The inverse of a."""
        ...

    def exp(self, v: Float[Array, "*batch dim"]) -> Element:
        """The exponential map of the Lie algebra."""
        ...

    def log(self, a: Any) -> Float[Array, "*batch dim"]:
        """A smallest v with exp(v) = a."""
        ...

    def adjoint(self, a: Any) -> Float[Array, "*batch dim dim"]:
        """The matrix Ad(a) with a exp(v) a^-1 = exp(Ad(a) v)."""
        ...

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The Lie-algebra matrix with coordinates v."""
        ...

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The inverse of `hat`."""
        ...

    def matrix(self, a: Any) -> Float[Array, "*batch n n"]:
        """The defining matrix representation."""
        ...

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Element:
        """The inverse of `matrix`."""
        ...

    def act(
        self, a: Any, x: Float[Array, "*batch degree"]
    ) -> Float[Array, "*batch degree"]:
        """Moves the vectors x."""
        ...

    def sample(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Element:
        """One random element; its law is named by `sample_measure`."""
        ...

    @property
    def sample_measure(self) -> str:
        """Either "haar", or "declared": the density is in the docstring."""
        ...

    def quadrature(self, degree: int) -> tuple[Element, np.ndarray]:
        """Nodes and weights that integrate matrix elements up to `degree` exactly."""
        ...

    @property
    def generators(self) -> Generators:
        """Generators in the defining representation."""
        ...
