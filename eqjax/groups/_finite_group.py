"""Finite groups given by permutations that generate them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.groups import _finite as finite
from eqjax.groups._finite import FiniteTables
from eqjax.groups._group import Generators


@register_spec
@dataclass(frozen=True, order=True)
class FiniteGroup:
    """The group that permutations of n things generate; it permutes R^n's coordinates.

    An element is an index of shape (), int32: its place in a breadth-first search that
    multiplies by the generators from the left, in their order; 0 is the identity. A
    permutation g moves the entry i to the place g(i), as in `Symmetric`. By Cayley's
    theorem every finite group is of this form.

    Args:
        permutations: Generators, tuples (g(0), .., g(n - 1)), all of the same length.

    Raises:
        ValueError: If they are not permutations of the same number of things, or if
            they generate more than 5,040 elements, or matrices with more than 2^26
            entries together.

    Example:
        >>> from eqjax import groups
        >>> quaternion_group = groups.FiniteGroup(
        ...     ((1, 2, 3, 0, 5, 6, 7, 4), (4, 7, 6, 5, 2, 1, 0, 3))
        ... )
        >>> quaternion_group.order
        8
    """

    permutations: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        """Checks the fields."""
        _check_permutations(self.permutations)
        order = len(_enumerate(self.permutations).elements)
        entries = order * len(self.permutations[0]) ** 2
        check_condition(
            entries <= finite.MAX_MATRIX_ENTRIES,
            f"`permutations` generate {order} matrices with {entries} entries "
            f"together, more than {finite.MAX_MATRIX_ENTRIES}. Let the group act on "
            "fewer things.",
        )

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(_enumerate(self.permutations).elements)

    @property
    def dim(self) -> int:
        """0: the group is finite."""
        return 0

    @property
    def degree(self) -> int:
        """Size of the vectors that `act` moves, n."""
        return len(self.permutations[0])

    @property
    def sample_measure(self) -> str:
        """ "haar": `sample` is uniform."""
        return "haar"

    @property
    def tables(self) -> FiniteTables:
        """Multiplication table, inverses and matrices (NumPy, shared, read-only)."""
        return _tables(self.permutations)

    def index(self, a: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """The place of a in the tables: a itself."""
        return finite.as_index(a)

    def element(self, index: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """The element at a place in the tables: the index itself."""
        return finite.as_index(index)

    def permutation(self, a: Int[Array, "*batch"]) -> Int[Array, "*batch n"]:
        """The array (g(0), .., g(n - 1)) of the element."""
        table = _enumerate(self.permutations).elements
        return jnp.asarray(table)[finite.as_index(a)]

    def identity(self, *, dtype: DTypeLike | None = None) -> Int[Array, ""]:
        """The index 0; `dtype` is that of floating-point parts, which it has not."""
        return jnp.zeros((), jnp.int32)

    def compose(
        self, a: Int[Array, "*#batch"], b: Int[Array, "*#batch"]
    ) -> Int[Array, "*batch"]:
        """The permutation b, followed by the permutation a."""
        return finite.compose(self.tables.product, a, b)

    def inverse(self, a: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """The permutation back."""
        return jnp.asarray(self.tables.inverse)[finite.as_index(a)]

    def exp(self, v: Float[Array, "*batch 0"]) -> Int[Array, "*batch"]:
        """The identity: the Lie algebra has dimension zero."""
        return jnp.zeros(v.shape[:-1], jnp.int32)

    def log(self, a: Int[Array, "*batch"]) -> Float[Array, "*batch 0"]:
        """No coordinates; a logarithm of the identity only."""
        return finite.no_log(a.shape)

    def adjoint(self, a: Int[Array, "*batch"]) -> Float[Array, "*batch 0 0"]:
        """The matrix of size zero."""
        return finite.no_adjoint(a.shape)

    def hat(self, v: Float[Array, "*batch 0"]) -> Float[Array, "*batch n n"]:
        """The zero matrix."""
        return finite.no_hat(v, self.degree)

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch 0"]:
        """No coordinates."""
        return finite.no_vee(m)

    def matrix(
        self, a: Int[Array, "*batch"], *, dtype: DTypeLike | None = None
    ) -> Float[Array, "*batch n n"]:
        """The permutation matrix, in the given or the default dtype."""
        return finite.take(self.tables.matrices, a, dtype)

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Int[Array, "*batch"]:
        """The element whose matrix is nearest to m."""
        return finite.nearest(self.tables.matrices, m)

    def act(
        self, a: Int[Array, "*#batch"], x: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """The permuted vectors; batch axes of a and x broadcast."""
        x, back = match_batch((x, 1), (self.permutation(self.inverse(a)), 1))
        return jnp.take_along_axis(x, back, axis=-1)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Int[Array, ""]:
        """A uniformly distributed element."""
        return finite.sample_index(self.order, key)

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """All elements, weights 1 / order: exact for every degree."""
        weights = finite.uniform_weights(self.order, degree)
        return np.arange(self.order, dtype=np.int32), weights

    @property
    def generators(self) -> Generators:
        """The matrices of the given permutations, less repetitions and identities."""
        tables = self.tables
        return finite.finite_generators(tables.matrices[list(tables.generators)])


def _check_permutations(permutations: tuple[tuple[int, ...], ...]) -> None:
    fits = isinstance(permutations, tuple) and len(permutations) > 0
    fits = fits and all(isinstance(g, tuple) and g for g in permutations)
    fits = fits and all(type(i) is int for g in permutations for i in g)
    fits = fits and all(sorted(g) == list(range(len(g))) for g in permutations)
    fits = fits and len({len(g) for g in permutations}) == 1
    check_condition(
        fits,
        "`permutations` must be a tuple of one or more tuples, each with the numbers "
        f"0, .., n - 1 in some order and the same n, got {permutations!r}. A trivial "
        "group has the generator (0,).",
    )


@functools.lru_cache(maxsize=64)
def _enumerate(permutations: tuple[tuple[int, ...], ...]) -> finite.Enumeration:
    generators = np.array(permutations, np.int32)
    identity = np.arange(generators.shape[1], dtype=np.int32)
    # The product of g and h moves i to g(h(i)).
    return finite.enumerate_group(list(generators), identity, np.take)


@functools.lru_cache(maxsize=8)
def _tables(permutations: tuple[tuple[int, ...], ...]) -> FiniteTables:
    group = _enumerate(permutations)
    product = finite.product_table(group.left)
    matrices = np.eye(group.elements.shape[1])[group.elements].swapaxes(1, 2)
    return finite.frozen(
        FiniteTables(
            product,
            finite.inverse_table(product),
            matrices.copy(),
            finite.nontrivial(group.generators),
        )
    )
