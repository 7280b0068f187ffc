"""The Lorentz groups SO+(1, n), O+(1, n) and O(1, n)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key

from eqjax._core._checks import check_choice, check_positive, check_size
from eqjax._core._specs import register_spec
from eqjax.groups import _matrix_group as matrices
from eqjax.groups._group import Generators
from eqjax.groups._so import SO


@register_spec
@dataclass(frozen=True, order=True)
class Lorentz:
    """The matrices that preserve x_0^2 - x_1^2 - ... - x_n^2; index 0 is time.

    An element is a matrix of shape (n + 1, n + 1) with a^T eta a = eta, eta = diag(1,
    -1, ..., -1). Coordinates of the Lie algebra: n rapidities, whose exponential is the
    boost [[cosh z, sinh z], [sinh z, cosh z]] of time and that axis, then those of
    SO(n) in space (for n = 3 the rotation vector).

    Not compact: `sample` draws R_1 B(z) R_2, R_1 and R_2 uniform rotations of space, B
    the boost along the first axis with rapidity z from N(0, sigma^2), times each of the
    reflections with probability 1/2.

    Args:
        n: Dimensions of space, at least 1.
        reflections: "none" for SO+(1, n); "space" for O+(1, n), with the reflection of
            the last axis, which acts on hyperbolic space; "all" for O(1, n), with the
            reversal of time too.
        sigma: Standard deviation of the rapidities that `sample` draws.

    Raises:
        ValueError: If a field is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> G = groups.Lorentz(3)
        >>> boost = G.exp(jnp.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0]))
        >>> x = G.act(boost, jnp.array([2.0, 1.0, 0.0, 0.0]))
        >>> (x[0] ** 2 - x[1] ** 2).round(5).item()
        3.0
    """

    n: int = 3
    reflections: str = "none"
    sigma: float = 0.5

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)
        check_choice("reflections", self.reflections, ("none", "space", "all"))
        check_positive("sigma", self.sigma)

    @property
    def dim(self) -> int:
        """Dimension of the group, n (n + 1) / 2."""
        return self.n * (self.n + 1) // 2

    @property
    def order(self) -> None:
        """None: the group is infinite."""
        return None

    @property
    def degree(self) -> int:
        """Size of the vectors that `act` moves, n + 1."""
        return self.n + 1

    @property
    def sample_measure(self) -> str:
        """ "declared": see the class."""
        return "declared"

    def identity(self, *, dtype: DTypeLike | None = None) -> Float[Array, "m m"]:
        """The identity matrix."""
        return jnp.eye(self.degree, dtype=dtype)

    def compose(
        self, a: Float[Array, "*#batch m m"], b: Float[Array, "*#batch m m"]
    ) -> Float[Array, "*batch m m"]:
        """The matrix product a b."""
        self._check(a)
        self._check(b, name="b")
        return matrices.multiply(a, b)

    def inverse(self, a: Float[Array, "*batch m m"]) -> Float[Array, "*batch m m"]:
        """eta a^T eta."""
        self._check(a)
        return _inverse(a)

    def exp(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch m m"]:
        """The matrix exponential of `hat(v)`."""
        return matrices.exp(_algebra(self.n), v)

    def log(self, a: Float[Array, "*batch m m"]) -> Float[Array, "*batch dim"]:
        """Coordinates of the principal logarithm; see `has_log`.

        Of a reflected element: those of a s, where s is the product of the reflections
        that brings it to SO+(1, n).
        """
        self._check(a)
        proper = matrices.multiply(a, self._reflection_of(a))
        return matrices.log(_algebra(self.n), proper, inverse=_inverse)

    def has_log(self, a: Float[Array, "*batch m m"]) -> Bool[Array, "*batch"]:
        """Whether exp(log(a)) = a: not for reflected elements.

        Nor for half turns to rounding, whose logarithm is right to the root of it.
        """
        return matrices.has_log(_algebra(self.n), a, self.log(a))

    def adjoint(self, a: Float[Array, "*batch m m"]) -> Float[Array, "*batch dim dim"]:
        """The matrix of X -> a X a^-1."""
        return matrices.adjoint(_algebra(self.n), a, self.inverse(a))

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch m m"]:
        """The matrix of the Lie algebra with coordinates v."""
        return matrices.hat(_algebra(self.n), v)

    def vee(self, m: Float[Array, "*batch m m"]) -> Float[Array, "*batch dim"]:
        """The inverse of `hat`."""
        return matrices.vee(_algebra(self.n), m)

    def matrix(self, a: Float[Array, "*batch m m"]) -> Float[Array, "*batch m m"]:
        """The element itself."""
        self._check(a)
        return a

    def from_matrix(self, m: Float[Array, "*batch m m"]) -> Float[Array, "*batch m m"]:
        """The matrix itself, which must belong to the group."""
        self._check(m, name="m")
        return m

    def act(
        self, a: Float[Array, "*#batch m m"], x: Float[Array, "*#batch m"]
    ) -> Float[Array, "*batch m"]:
        """a x; batch axes of a and x broadcast."""
        self._check(a)
        return matrices.act(a, x)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, "m m"]:
        """One element from the declared density."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        key_left, key_right, key_boost, key_flips = jax.random.split(key, 4)
        rapidity = self.sigma * jax.random.normal(key_boost, (1,), dtype)
        boost = self.exp(jnp.pad(rapidity, (0, self.dim - 1)))
        left, right = (
            jnp.eye(self.degree, dtype=dtype)
            .at[1:, 1:]
            .set(matrices.sample_special(self.n, dtype=dtype, key=k))
            for k in (key_left, key_right)
        )
        flips = jax.random.bernoulli(key_flips, shape=(2,)).astype(dtype)
        last, time = (1 - 2 * flip for flip in flips)
        return matrices.multiply(
            matrices.multiply(left, boost), right
        ) * self._reflection(last, time)

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """Not available: the group is not compact.

        Raises:
            ValueError: Always; use `sample`.
        """
        raise ValueError(
            f"{self} is not compact, so it has no finite quadrature. Use `sample`."
        )

    @property
    def generators(self) -> Generators:
        """Boosts (symmetric), rotations (antisymmetric); the reflections there are."""
        count = ("none", "space", "all").index(self.reflections)
        discrete = np.stack([np.eye(self.degree)] * 2)
        discrete[0, -1, -1] = discrete[1, 0, 0] = -1.0
        return Generators(_algebra(self.n).basis, discrete[:count])

    def _check(self, a: Array, *, name: str = "a") -> None:
        """Checks the shape of an element."""
        matrices.check_element(self, a, self.degree, name=name)

    def _reflection(self, last: Array, time: Array) -> Array:
        """Signs of the columns, two axes, for signs of the last axis and of time."""
        ones = jnp.ones((*last.shape, self.n - 1), last.dtype)
        time = time if self.reflections == "all" else jnp.ones_like(time)
        last = last if self.reflections != "none" else jnp.ones_like(last)
        signs = jnp.concatenate([time[..., None], ones, last[..., None]], axis=-1)
        return signs[..., None, :]

    def _reflection_of(self, a: Array) -> Array:
        """The diagonal matrix s with a s in SO+(1, n)."""
        a = jax.lax.stop_gradient(a)
        time = jnp.where(a[..., 0, 0] < 0, -1, 1).astype(a.dtype)
        last = time * jnp.where(jnp.linalg.det(a) < 0, -1, 1).astype(a.dtype)
        one = jnp.eye(self.degree, dtype=a.dtype)
        one = one.reshape((1,) * (a.ndim - 2) + one.shape)
        return one * self._reflection(last, time)


def _inverse(a: Array) -> Array:
    """eta a^T eta: the signs of time with space change."""
    sign = np.full((a.shape[-1],) * 2, 1.0)
    sign[0, 1:] = sign[1:, 0] = -1.0
    sign = jnp.asarray(sign, a.dtype).reshape((1,) * (a.ndim - 2) + sign.shape)
    return matrices.transpose(a) * sign


@functools.lru_cache
def _algebra(n: int) -> matrices.Algebra:
    """Boosts, then rotations of space."""
    boosts = np.zeros((n, n + 1, n + 1))
    index = np.arange(n)
    boosts[index, 0, index + 1] = boosts[index, index + 1, 0] = 1.0
    turns = SO(n).generators.lie if n > 1 else np.zeros((0, 1, 1))
    rotations = np.zeros((len(turns), n + 1, n + 1))
    rotations[:, 1:, 1:] = turns
    return matrices.make_algebra(np.concatenate([boosts, rotations]))
