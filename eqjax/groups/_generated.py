"""Groups of matrices that are given by their generators."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key

from eqjax._core._checks import check_condition, check_positive
from eqjax._core._specs import register_spec
from eqjax.groups import _matrix_group as matrices
from eqjax.groups._group import Generators

Rows: TypeAlias = tuple[tuple[float, ...], ...]

# Letters of the random words of `sample`.
_WORD_LENGTH = 8
# Relative error up to which brackets and conjugates count as members of the algebra.
_CLOSED = 1e-8


@register_spec
@dataclass(frozen=True, order=True)
class GeneratedGroup:
    """A group of real matrices that is given by generators; see `from_generators`.

    An element is the matrix. Coordinates of the Lie algebra belong to the given basis.
    Not compact as far as is known: `sample` draws exp(X) w with the coordinates of X
    from N(0, sigma^2), and w a word of 8 letters, each of them the identity, a discrete
    generator or its inverse with the same probability.

    Args:
        name: How the group calls itself.
        lie: Basis of the Lie algebra: matrices as tuples of rows.
        discrete: Discrete generators likewise.
        sigma: Standard deviation of the coordinates that `sample` draws.

    Raises:
        ValueError: If there are no generators, they are no square matrices of the same
            size, `lie` is linearly dependent or not closed under brackets and under
            conjugation with `discrete`, or a discrete generator has no inverse.

    Example:
        >>> from eqjax import groups
        >>> shear = ((0.0, 1.0), (0.0, 0.0))
        >>> groups.GeneratedGroup("shears", lie=(shear,)).dim
        1
    """

    name: str
    lie: tuple[Rows, ...] = ()
    discrete: tuple[Rows, ...] = ()
    sigma: float = 0.5

    def __post_init__(self) -> None:
        """Checks the generators."""
        check_positive("sigma", self.sigma)
        _check_generators(self.lie, self.discrete)

    def __repr__(self) -> str:
        """The name and the numbers of generators."""
        return (
            f"GeneratedGroup({self.name!r}, {len(self.lie)} Lie, "
            f"{len(self.discrete)} discrete generators)"
        )

    @property
    def dim(self) -> int:
        """Number of Lie generators."""
        return len(self.lie)

    @property
    def order(self) -> None:
        """None: how many elements there are is not known."""
        return None

    @property
    def degree(self) -> int:
        """Size of the vectors that `act` moves."""
        return len((self.lie + self.discrete)[0])

    @property
    def sample_measure(self) -> str:
        """ "declared": see the class."""
        return "declared"

    def identity(self, *, dtype: DTypeLike | None = None) -> Float[Array, "n n"]:
        """The identity matrix."""
        return jnp.eye(self.degree, dtype=dtype)

    def compose(
        self, a: Float[Array, "*#batch n n"], b: Float[Array, "*#batch n n"]
    ) -> Float[Array, "*batch n n"]:
        """The matrix product a b."""
        self._check(a)
        self._check(b, name="b")
        return matrices.multiply(a, b)

    def inverse(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        """The inverse matrix."""
        self._check(a)
        return jnp.linalg.inv(a)

    def exp(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The matrix exponential of `hat(v)`."""
        return matrices.exp(_tables(self), v)

    def log(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """Coordinates of the principal logarithm, where there is one: see `has_log`.

        Exact to rounding where the angles of the eigenvalues stay 0.05 from a half turn
        and their logarithms below 8.
        """
        self._check(a)
        return matrices.log(_tables(self), a)

    def has_log(self, a: Float[Array, "*batch n n"]) -> Bool[Array, "*batch"]:
        """Whether exp(log(a)) = a."""
        return matrices.has_log(_tables(self), a, self.log(a))

    def adjoint(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim dim"]:
        """The matrix of X -> a X a^-1."""
        return matrices.adjoint(_tables(self), a, self.inverse(a))

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The matrix of the Lie algebra with coordinates v."""
        return matrices.hat(_tables(self), v)

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The inverse of `hat`."""
        return matrices.vee(_tables(self), m)

    def matrix(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        """The element itself."""
        self._check(a)
        return a

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        """The matrix itself, which must belong to the group."""
        self._check(m, name="m")
        return m

    def act(
        self, a: Float[Array, "*#batch n n"], x: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """a x; batch axes of a and x broadcast."""
        self._check(a)
        return matrices.act(a, x)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, "n n"]:
        """One element from the declared density."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        key_lie, key_word = jax.random.split(key)
        a = self.exp(self.sigma * jax.random.normal(key_lie, (self.dim,), dtype))
        if not self.discrete:
            return a
        discrete = self.generators.discrete
        letters = np.concatenate(
            [np.eye(self.degree)[None], discrete, np.linalg.inv(discrete)]
        )
        word = jax.random.randint(key_word, (_WORD_LENGTH,), 0, len(letters))
        for letter in jnp.asarray(letters, dtype)[word]:
            a = matrices.multiply(a, letter)
        return a

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """Not available.

        Raises:
            ValueError: Always; use `sample`.
        """
        raise ValueError(f"No quadrature of {self} is known here. Use `sample`.")

    @property
    def generators(self) -> Generators:
        """The given generators."""
        n = self.degree
        discrete = np.array(self.discrete, float).reshape(-1, n, n)
        return Generators(_tables(self).basis, discrete)

    def _check(self, a: Array, *, name: str = "a") -> None:
        """Checks the shape of an element."""
        matrices.check_element(self, a, self.degree, name=name)


def from_generators(
    name: str,
    *,
    lie: Sequence[Any] | np.ndarray = (),
    discrete: Sequence[Any] | np.ndarray = (),
    sigma: float = 0.5,
) -> GeneratedGroup:
    """The group of real matrices with the given generators.

    Its elements are the products of exponentials of the Lie algebra's members and of
    the discrete generators. Complex groups: give the real form [[Re, -Im], [Im, Re]].

    Args:
        name: How the group calls itself.
        lie: Basis of the Lie algebra, (dim, n, n); none for a discrete group. Matrices
            that are symmetric or antisymmetric and orthogonal with the same norm suit
            the solvers of `eqjax.reps` best.
        discrete: Generators besides, (m, n, n).
        sigma: Standard deviation of the coordinates that `sample` draws.

    Returns:
        A spec that holds the generators as tuples of numbers.

    Raises:
        ValueError: See `GeneratedGroup`.

    Example:
        >>> from eqjax import groups
        >>> turn = [[0.0, -1.0], [1.0, 0.0]]
        >>> mirror = [[1.0, 0.0], [0.0, -1.0]]
        >>> groups.from_generators("O(2)", lie=[turn], discrete=[mirror])
        GeneratedGroup('O(2)', 1 Lie, 1 discrete generators)
    """
    return GeneratedGroup(
        name, _to_rows("lie", lie), _to_rows("discrete", discrete), sigma
    )


def _to_rows(name: str, generators: Any) -> tuple[Rows, ...]:
    """Matrices as tuples of tuples of floats."""
    try:
        array = np.asarray(generators)
    except ValueError as error:  # rows of different lengths
        raise ValueError(_shape_message(name, "rows of different lengths")) from error
    if array.size == 0:
        return ()
    kind = f"shape {array.shape} of {array.dtype}"
    real = array.dtype.kind in "iuf"
    check_condition(array.ndim == 3 and real, _shape_message(name, kind))
    return tuple(
        tuple(tuple(float(entry) for entry in row) for row in matrix)
        for matrix in array
    )


def _shape_message(name: str, came: str) -> str:
    return (
        f"`{name}` must hold real square matrices of the same size, got {came}. Give "
        "complex ones as [[Re, -Im], [Im, Re]]."
    )


def _check_generators(lie: tuple[Rows, ...], discrete: tuple[Rows, ...]) -> None:
    """Raises ValueError unless they generate a group with this Lie algebra."""
    check_condition(
        len(lie) + len(discrete) > 0,
        "`lie` and `discrete` are empty: a group needs a generator. The trivial group "
        "of n x n matrices has the identity matrix as discrete one.",
    )
    n = len((lie + discrete)[0])
    for name, generators in (("lie", lie), ("discrete", discrete)):
        for matrix in generators:
            square = len(matrix) == n and all(len(row) == n for row in matrix)
            check_condition(
                square and bool(np.all(np.isfinite(matrix))),
                _shape_message(name, f"{matrix}"),
            )
    for matrix in discrete:
        check_condition(
            bool(np.linalg.cond(np.array(matrix, float)) < 1e12),
            f"`discrete` must hold invertible matrices, got {matrix}.",
        )
    if lie:
        _check_algebra(
            np.array(lie, float), np.array(discrete, float).reshape(-1, n, n)
        )


def _check_algebra(lie: np.ndarray, discrete: np.ndarray) -> None:
    """Raises ValueError unless `lie` spans an algebra that `discrete` preserves."""
    flat = lie.reshape(len(lie), -1)
    check_condition(
        bool(np.linalg.matrix_rank(flat) == len(lie)),
        f"`lie` must be linearly independent, but its {len(lie)} matrices span only "
        f"{np.linalg.matrix_rank(flat)} dimensions. Leave out those that others span.",
    )
    products = np.einsum("aij,bjk->abik", lie, lie)
    brackets = (products - products.swapaxes(0, 1)).reshape(-1, flat.shape[1])
    scale = np.max(np.abs(flat))
    missing = _outside(flat, brackets) > _CLOSED * scale**2
    check_condition(
        not np.any(missing),
        "`lie` must be closed under brackets [X, Y] = XY - YX, but those of the pairs "
        f"{np.argwhere(missing.reshape(len(lie), -1)).tolist()[:3]} (first ones) lie "
        "outside its span. Add them to `lie`.",
    )
    conjugates = np.einsum("hij,ajk,hkl->hail", discrete, lie, np.linalg.inv(discrete))
    missing = _outside(flat, conjugates.reshape(-1, flat.shape[1]))
    check_condition(
        not np.any(
            missing > _CLOSED * max(np.max(np.abs(conjugates), initial=0), scale)
        ),
        "`discrete` must map the span of `lie` to itself: h X h^-1 lies outside for "
        f"matrix {int(np.argmax(missing)) // len(lie) if len(missing) else 0} of "
        "`discrete`. Add these conjugates to `lie`.",
    )


def _outside(basis: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Largest entry of what is left of each vector outside the span of the basis."""
    inside = vectors @ np.linalg.pinv(basis) @ basis
    return np.max(np.abs(vectors - inside), axis=1, initial=0)


@functools.lru_cache
def _tables(group: GeneratedGroup) -> matrices.Algebra:
    """The basis of the Lie algebra and its dual."""
    n = group.degree
    return matrices.make_algebra(np.array(group.lie, float).reshape(-1, n, n))
