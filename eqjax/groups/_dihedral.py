"""The dihedral groups D_n: rotations and mirrors of a regular polygon."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_size
from eqjax._core._specs import register_spec
from eqjax.groups import _finite as finite
from eqjax.groups._finite import FiniteTables
from eqjax.groups._group import Generators

_Index = TypeVar("_Index", Array, np.ndarray)


@register_spec
@dataclass(frozen=True, order=True)
class Dihedral:
    """The rotations of the plane by multiples of 2 pi / n, and as many mirrors.

    An element is an index of shape (), int32: k + n f means r^k s^f, 0 <= k < n and
    f = 0 or 1, with r the rotation by 2 pi / n and s = diag(1, -1).

    Args:
        n: Number of rotations, at least 1; the group has 2 n elements.

    Raises:
        ValueError: If `n` is no positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> mirror = jnp.asarray(4)
        >>> groups.Dihedral(4).act(mirror, jnp.array([1.0, 2.0])).tolist()
        [1.0, -2.0]
    """

    n: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)

    @property
    def order(self) -> int:
        """Number of elements, 2 n."""
        return 2 * self.n

    @property
    def dim(self) -> int:
        """0: the group is finite."""
        return 0

    @property
    def degree(self) -> int:
        """Size of the vectors that `act` moves, 2."""
        return 2

    @property
    def sample_measure(self) -> str:
        """ "haar": `sample` is uniform."""
        return "haar"

    @property
    def tables(self) -> FiniteTables:
        """Multiplication table, inverses and matrices (NumPy, shared, read-only)."""
        return _tables(self.n)

    def index(self, a: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """The place of a in the tables: a itself."""
        return finite.as_index(a)

    def element(self, index: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """The element at a place in the tables: the index itself."""
        return finite.as_index(index)

    def identity(self, *, dtype: DTypeLike | None = None) -> Int[Array, ""]:
        """The index 0; `dtype` is that of floating-point parts, which it has not."""
        return jnp.zeros((), jnp.int32)

    def compose(
        self, a: Int[Array, "*#batch"], b: Int[Array, "*#batch"]
    ) -> Int[Array, "*batch"]:
        """The element b, followed by the element a."""
        a, b = match_batch((finite.as_index(a), 0), (finite.as_index(b), 0))
        return _compose(self.n, a, b)

    def inverse(self, a: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """The rotation back; a mirror is its own inverse."""
        return _inverse(self.n, finite.as_index(a))

    def exp(self, v: Float[Array, "*batch 0"]) -> Int[Array, "*batch"]:
        """The identity: the Lie algebra has dimension zero."""
        return jnp.zeros(v.shape[:-1], jnp.int32)

    def log(self, a: Int[Array, "*batch"]) -> Float[Array, "*batch 0"]:
        """No coordinates; a logarithm of the identity only."""
        return finite.no_log(a.shape)

    def adjoint(self, a: Int[Array, "*batch"]) -> Float[Array, "*batch 0 0"]:
        """The matrix of size zero."""
        return finite.no_adjoint(a.shape)

    def hat(self, v: Float[Array, "*batch 0"]) -> Float[Array, "*batch 2 2"]:
        """The zero matrix."""
        return finite.no_hat(v, 2)

    def vee(self, m: Float[Array, "*batch 2 2"]) -> Float[Array, "*batch 0"]:
        """No coordinates."""
        return finite.no_vee(m)

    def matrix(
        self, a: Int[Array, "*batch"], *, dtype: DTypeLike | None = None
    ) -> Float[Array, "*batch 2 2"]:
        """The orthogonal matrix, in the given or the default dtype."""
        return finite.take(_matrices(self.n), a, dtype)

    def from_matrix(self, m: Float[Array, "*batch 2 2"]) -> Int[Array, "*batch"]:
        """The element whose matrix is nearest to m."""
        return finite.nearest(_matrices(self.n), m)

    def act(
        self, a: Int[Array, "*#batch"], x: Float[Array, "*#batch 2"]
    ) -> Float[Array, "*batch 2"]:
        """The moved vectors; batch axes of a and x broadcast."""
        return finite.move(self.matrix(a, dtype=x.dtype), x)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Int[Array, ""]:
        """A uniformly distributed element; half of them are mirrors."""
        return finite.sample_index(2 * self.n, key)

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """All elements, weights 1 / (2 n): exact for every degree."""
        weights = finite.uniform_weights(2 * self.n, degree)
        return np.arange(2 * self.n, dtype=np.int32), weights

    @property
    def generators(self) -> Generators:
        """The rotation by 2 pi / n, and the mirror s."""
        return finite.finite_generators(_matrices(self.n)[list(_generators(self.n))])


def _compose(n: int, a: _Index, b: _Index) -> _Index:
    """r^k s^f r^l s^g = r^(k + (-1)^f l) s^(f + g)."""
    flip_a, flip_b = a // n, b // n
    return (a + (1 - 2 * flip_a) * b) % n + n * (flip_a ^ flip_b)


def _inverse(n: int, a: _Index) -> _Index:
    """r^-k without mirror, r^k s with it."""
    flip = a // n
    return ((2 * flip - 1) * a) % n + n * flip


def _generators(n: int) -> tuple[int, ...]:
    return finite.nontrivial([1 % n, n])


@functools.lru_cache(maxsize=64)
def _matrices(n: int) -> np.ndarray:
    turns = finite.turn_matrices(n)
    matrices = 0 + np.concatenate([turns, turns * np.array([1.0, -1.0])])
    matrices.setflags(write=False)
    return matrices


@functools.lru_cache(maxsize=64)
def _tables(n: int) -> FiniteTables:
    finite.check_order(f"Dihedral(n={n})", 2 * n)
    a = np.arange(2 * n, dtype=np.int32)
    product = _compose(n, a[:, None], a[None, :])
    return finite.frozen(
        FiniteTables(product, _inverse(n, a), _matrices(n), _generators(n))
    )
