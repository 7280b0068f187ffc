"""The symmetric groups S_n of all permutations."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_choice, check_condition, check_size
from eqjax._core._specs import register_spec
from eqjax.groups import _finite as finite
from eqjax.groups._finite import FiniteTables
from eqjax.groups._group import Generators

# 5,040 elements, the largest order with tables.
_MAX_TABLES = 7
_MAX_INDEX = 6


@register_spec
@dataclass(frozen=True, order=True)
class Symmetric:
    """The permutations of n things, which act on R^n by permuting its coordinates.

    An element g is the array (g(0), .., g(n - 1)) of shape (n,), int32, and moves the
    entry i to the place g(i): (g x)[g(i)] = x[i]. With `elements="index"` it is the
    index of shape () of that array in lexicographic order, int32.

    Args:
        n: Number of things, at least 1.
        elements: "permutation", or "index" for n <= 6. Tables exist for n <= 7.

    Raises:
        ValueError: If `n` is no positive integer, `elements` is another word, or n > 6
            with `elements="index"`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> shift = jnp.array([1, 2, 0])
        >>> groups.Symmetric(3).act(shift, jnp.array([1.0, 2.0, 3.0])).tolist()
        [3.0, 1.0, 2.0]
    """

    n: int
    elements: str = "permutation"

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)
        check_choice("elements", self.elements, ("permutation", "index"))
        check_condition(
            self.elements == "permutation" or self.n <= _MAX_INDEX,
            f'`elements="index"` exists for `n` up to {_MAX_INDEX}, got n = {self.n}. '
            'Use `elements="permutation"`.',
        )

    @property
    def order(self) -> int:
        """Number of elements, n!."""
        return math.factorial(self.n)

    @property
    def dim(self) -> int:
        """0: the group is finite."""
        return 0

    @property
    def degree(self) -> int:
        """Size of the vectors that `act` moves, n."""
        return self.n

    @property
    def sample_measure(self) -> str:
        """ "haar": `sample` is uniform."""
        return "haar"

    @property
    def tables(self) -> FiniteTables:
        """Multiplication table, inverses and matrices (NumPy, shared, read-only).

        Element i is the i-th permutation in lexicographic order.

        Raises:
            ValueError: If n > 7.
        """
        return _tables(self.n)

    def index(self, a: Int[Array, "..."]) -> Int[Array, "*batch"]:
        """The place of a in the tables, its rank in lexicographic order.

        Raises:
            ValueError: If n > 7.
        """
        if self.elements == "index":
            return finite.as_index(a)
        _check_tables(self.n)
        # The digits of the rank in the factorial number system.
        later = jnp.asarray(np.triu(np.ones((self.n, self.n), np.int32), 1))
        smaller = (a[..., None, :] < a[..., :, None]).astype(jnp.int32)
        digits = jnp.sum(smaller * jnp.broadcast_to(later, smaller.shape), -1)
        return jnp.einsum(
            "...i,i->...", digits.astype(jnp.int32), jnp.asarray(_place_values(self.n))
        )

    def element(self, index: Int[Array, "*batch"]) -> Int[Array, "..."]:
        """The element at a place in the tables.

        Raises:
            ValueError: If n > 7.
        """
        index = finite.as_index(index)
        if self.elements == "index":
            return index
        return jnp.asarray(_permutations(self.n))[index]

    def permutation(self, a: Int[Array, "..."]) -> Int[Array, "*batch n"]:
        """The array (g(0), .., g(n - 1)) of the element."""
        if self.elements == "index":
            return jnp.asarray(_permutations(self.n))[finite.as_index(a)]
        return a.astype(jnp.int32)

    def identity(self, *, dtype: DTypeLike | None = None) -> Int[Array, "..."]:
        """No move; `dtype` is that of floating-point parts, which it has not."""
        if self.elements == "index":
            return jnp.zeros((), jnp.int32)
        return jnp.arange(self.n, dtype=jnp.int32)

    def compose(self, a: Int[Array, "..."], b: Int[Array, "..."]) -> Int[Array, "..."]:
        """The permutation b, followed by the permutation a: i to a(b(i))."""
        if self.elements == "index":
            return finite.compose(self.tables.product, a, b)
        a, b = match_batch((self.permutation(a), 1), (self.permutation(b), 1))
        return jnp.take_along_axis(a, b, axis=-1)

    def inverse(self, a: Int[Array, "..."]) -> Int[Array, "..."]:
        """The permutation back."""
        if self.elements == "index":
            return jnp.asarray(self.tables.inverse)[finite.as_index(a)]
        return jnp.argsort(a, axis=-1).astype(jnp.int32)

    def exp(self, v: Float[Array, "*batch 0"]) -> Int[Array, "..."]:
        """The identity: the Lie algebra has dimension zero."""
        e = self.identity()
        return jnp.broadcast_to(e, (*v.shape[:-1], *e.shape))

    def log(self, a: Int[Array, "..."]) -> Float[Array, "*batch 0"]:
        """No coordinates; a logarithm of the identity only."""
        return finite.no_log(self._batch(a))

    def adjoint(self, a: Int[Array, "..."]) -> Float[Array, "*batch 0 0"]:
        """The matrix of size zero."""
        return finite.no_adjoint(self._batch(a))

    def hat(self, v: Float[Array, "*batch 0"]) -> Float[Array, "*batch n n"]:
        """The zero matrix."""
        return finite.no_hat(v, self.n)

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch 0"]:
        """No coordinates."""
        return finite.no_vee(m)

    def matrix(
        self, a: Int[Array, "..."], *, dtype: DTypeLike | None = None
    ) -> Float[Array, "*batch n n"]:
        """The permutation matrix, with ones at (a(i), i), in the default dtype."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        g = self.permutation(a)[..., None, :]
        rows = jnp.arange(self.n, dtype=jnp.int32)[:, None]
        shape = (*g.shape[:-2], self.n, self.n)
        return (jnp.broadcast_to(rows, shape) == jnp.broadcast_to(g, shape)).astype(
            dtype
        )

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Int[Array, "..."]:
        """The element whose matrix is nearest to m.

        With `elements="permutation"` the largest entry of each column is taken, which
        is that element if no entry of m is wrong by 1/2 or more.
        """
        if self.elements == "index":
            return finite.nearest(self.tables.matrices, m)
        return jnp.argmax(m, axis=-2).astype(jnp.int32)

    def act(
        self, a: Int[Array, "..."], x: Float[Array, "*#batch n"]
    ) -> Float[Array, "*out n"]:
        """The permuted vectors; batch axes of a and x broadcast."""
        back = self.permutation(self.inverse(a))
        x, back = match_batch((x, 1), (back, 1))
        return jnp.take_along_axis(x, back, axis=-1)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Int[Array, "..."]:
        """A uniformly distributed permutation."""
        if self.elements == "index":
            return finite.sample_index(self.order, key)
        return jax.random.permutation(key, jnp.arange(self.n, dtype=jnp.int32))

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """All elements, weights 1 / n!: exact for every degree.

        Raises:
            ValueError: If n > 7, or `degree` is no integer of at least 0.
        """
        _check_tables(self.n)
        weights = finite.uniform_weights(self.order, degree)
        if self.elements == "index":
            return np.arange(self.order, dtype=np.int32), weights
        return np.array(_permutations(self.n)), weights

    @property
    def generators(self) -> Generators:
        """The exchange of the first two things, and the cycle 0 -> 1 -> .. -> 0."""
        eye = np.eye(self.n)
        # The columns of the matrix of g are the unit vectors e_g(i).
        matrices = [eye[:, list(g)] for g in _generating(self.n)]
        stacked = np.stack(matrices) if matrices else np.zeros((0, self.n, self.n))
        return finite.finite_generators(stacked)

    def _batch(self, a: Any) -> tuple[int, ...]:
        return a.shape if self.elements == "index" else a.shape[:-1]


def rank(permutations: np.ndarray) -> np.ndarray:
    """Place in lexicographic order of NumPy permutations (..., n)."""
    n = permutations.shape[-1]
    smaller = permutations[..., None, :] < permutations[..., :, None]
    return np.sum(np.triu(smaller, 1), -1, dtype=np.int32) @ _place_values(n)


def _place_values(n: int) -> np.ndarray:
    return np.array([math.factorial(n - 1 - i) for i in range(n)], np.int32)


def _generating(n: int) -> tuple[tuple[int, ...], ...]:
    exchange = (1, 0, *range(2, n))
    cycle = (*range(1, n), 0)
    return (exchange, cycle)[: min(n - 1, 2)]


def _check_tables(n: int) -> None:
    check_condition(
        n <= _MAX_TABLES,
        f"Symmetric(n={n}) has {n}! elements; its tables, indices and list of all "
        f"elements exist for n up to {_MAX_TABLES}. Use the methods that need none, "
        "such as `sample`.",
    )


@functools.lru_cache(maxsize=8)
def _permutations(n: int) -> np.ndarray:
    _check_tables(n)
    table = np.array(list(itertools.permutations(range(n))), np.int32)
    table.setflags(write=False)
    return table


@functools.lru_cache(maxsize=8)
def _tables(n: int) -> FiniteTables:
    permutations = _permutations(n)
    generating = np.array(_generating(n), np.int32).reshape(-1, n)
    # The product of g and h moves i to g(h(i)).
    left = [rank(g[permutations]) for g in generating]
    product = finite.product_table(
        np.array(left, np.int32).reshape(-1, math.factorial(n))
    )
    matrices = np.eye(n)[permutations].swapaxes(1, 2).copy()
    generators = tuple(rank(generating).tolist())
    return finite.frozen(
        FiniteTables(product, finite.inverse_table(product), matrices, generators)
    )
