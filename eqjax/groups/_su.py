"""The special unitary groups SU(n)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Complex, Float, Inexact, Key

from eqjax._core._checks import check_condition, check_size
from eqjax._core._numerics import is_small
from eqjax._core._specs import register_spec
from eqjax.groups import _matrix_group as matrices
from eqjax.groups import _quaternion as quaternion
from eqjax.groups._group import Generators
from eqjax.groups._so import euler_quadrature


@register_spec
@dataclass(frozen=True, order=True)
class SU:
    """The unitary n x n matrices of determinant 1.

    An element of SU(2) is a unit quaternion (w, x, y, z) of shape (4,), and q and -q
    differ. Its matrix is w I - i (x, y, z).sigma with the Pauli matrices sigma, and its
    adjoint representation is the rotation of SO(3) with the same quaternion. For n >= 3
    an element is the complex matrix (n, n). The group acts on complex vectors (n,).

    Coordinates of the Lie algebra belong to -i lambda_k / 2 with the Gell-Mann matrices
    lambda_k (n = 2: the Pauli matrices), in the order that contains SU(n - 1) first.
    Every `dtype` is the one of v, or its complex counterpart.

    Args:
        n: Size of the matrices, at least 2.

    Raises:
        ValueError: If `n` is smaller.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> full_turn = groups.SU(2).exp(jnp.array([0.0, 0.0, 2 * jnp.pi]))
        >>> full_turn.round(5).tolist()[0]
        -1.0

    References:
        Georgi, "Lie algebras in particle physics" (1999), section 13.1 (the matrices
        lambda_k of SU(n)).
    """

    n: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n, minimum=2)

    @property
    def dim(self) -> int:
        """Dimension of the group, n^2 - 1."""
        return self.n**2 - 1

    @property
    def order(self) -> None:
        """None: the group is infinite."""
        return None

    @property
    def degree(self) -> int:
        """Size of the complex vectors that `act` moves, n."""
        return self.n

    @property
    def sample_measure(self) -> str:
        """ "haar": `sample` is uniform."""
        return "haar"

    def identity(self, *, dtype: DTypeLike | None = None) -> Inexact[Array, "..."]:
        """The quaternion (1, 0, 0, 0) or the identity matrix."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        if self.n == 2:
            return jnp.zeros(4, _real_dtype(dtype)).at[0].set(1)
        return jnp.eye(self.n, dtype=matrices.complex_dtype(dtype))

    def compose(
        self, a: Inexact[Array, "..."], b: Inexact[Array, "..."]
    ) -> Inexact[Array, "..."]:
        """The product a b."""
        self._check(a)
        self._check(b, name="b")
        return quaternion.multiply(a, b) if self.n == 2 else matrices.multiply(a, b)

    def inverse(self, a: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
        """The conjugate quaternion or the conjugate transpose."""
        self._check(a)
        return quaternion.conjugate(a) if self.n == 2 else conjugate_transpose(a)

    def exp(self, v: Float[Array, "*batch dim"]) -> Inexact[Array, "..."]:
        """The matrix exponential of `hat(v)`; n = 2: a turn by |v| about v."""
        if self.n == 2:
            return quaternion.exp(v)
        return matrices.exp(_algebra(self.n), v)

    def log(self, a: Inexact[Array, "..."]) -> Float[Array, "*batch dim"]:
        """A smallest v with exp(v) = a.

        It jumps, but stays finite, where two choices are as small: at the quaternion -1
        (n = 2), and where an eigenvalue can be written with two angles (n >= 3). There
        it is right to the root of the rounding.
        """
        self._check(a)
        if self.n == 2:
            return _log_quaternion(a)
        algebra = unitary_algebra(self.n)
        shift = self._phase_of_cut(jax.lax.stop_gradient(a))[..., None, None]
        turned = a * jax.lax.complex(jnp.cos(shift), -jnp.sin(shift))
        v = matrices.log(algebra, turned, inverse=conjugate_transpose, num_roots=4)
        # The last coordinate is that of the phase; `shift` would cancel it.
        return v[..., :-1]

    def adjoint(self, a: Inexact[Array, "..."]) -> Float[Array, "*batch dim dim"]:
        """The matrix of X -> a X a^-1, orthogonal; n = 2: the rotation of q."""
        self._check(a)
        if self.n == 2:
            return quaternion.to_matrix(a)
        return matrices.adjoint(_algebra(self.n), a, conjugate_transpose(a))

    def hat(self, v: Float[Array, "*batch dim"]) -> Complex[Array, "*batch n n"]:
        """The anti-Hermitian matrix with coordinates v."""
        return matrices.hat(_algebra(self.n), v)

    def vee(self, m: Complex[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The coordinates of an anti-Hermitian matrix."""
        return matrices.vee(_algebra(self.n), m)

    def matrix(self, a: Inexact[Array, "..."]) -> Complex[Array, "*batch n n"]:
        """The unitary matrix."""
        self._check(a)
        if self.n > 2:
            return a
        w, x, y, z = (a[..., i] for i in range(4))
        first = jnp.stack([jax.lax.complex(w, -z), jax.lax.complex(-y, -x)], axis=-1)
        second = jnp.stack([jax.lax.complex(y, -x), jax.lax.complex(w, z)], axis=-1)
        return jnp.stack([first, second], axis=-2)

    def real_matrix(self, a: Inexact[Array, "..."]) -> Float[Array, "*batch m m"]:
        """[[Re, -Im], [Im, Re]] of the matrix, which moves (Re x, Im x)."""
        return real_form(self.matrix(a))

    def from_matrix(self, m: Complex[Array, "*batch n n"]) -> Inexact[Array, "..."]:
        """The inverse of `matrix`."""
        matrices.check_element(self, m, self.n, name="m")
        if self.n > 2:
            return m
        mean = (m[..., 0, 0] + jnp.conj(m[..., 1, 1])) / 2
        off = (m[..., 1, 0] - jnp.conj(m[..., 0, 1])) / 2
        return jnp.stack([mean.real, -off.imag, off.real, -mean.imag], axis=-1)

    def act(
        self, a: Inexact[Array, "..."], x: Inexact[Array, "*batch n"]
    ) -> Complex[Array, "*out n"]:
        """a x; batch axes of a and x broadcast. Real x become complex."""
        return matrices.act(self.matrix(a), x)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Inexact[Array, "..."]:
        """A uniformly distributed element."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        if self.n == 2:
            q = jax.random.normal(key, (4,), _real_dtype(dtype))
            return q / jnp.sqrt(jnp.sum(q * q))
        dtype = matrices.complex_dtype(dtype)
        return matrices.sample_special(self.n, dtype=dtype, key=key)

    def quadrature(self, degree: int | float) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and weights exact for matrix elements up to spin `degree` (n = 2).

        Equal steps in the first Euler angle, over 2 pi, and in the third, over 4 pi;
        Gauss-Legendre nodes in the cosine of the second.

        Args:
            degree: Highest spin, a multiple of 1/2, at least 0.

        Returns:
            Quaternions with one leading axis, and weights that sum to 1; float64.

        Raises:
            ValueError: If n >= 3, where no rule is known here, or `degree` is no spin.
        """
        if self.n > 2:
            raise ValueError(f"No quadrature of {self} is known here. Use `sample`.")
        check_condition(
            degree >= 0 and float(2 * degree).is_integer(),
            f"`degree` must be a spin: 0, 1/2, 1, ..., got {degree!r}.",
        )
        return euler_quadrature(int(degree), round(2 * degree) + 2, num_turns=2)

    @property
    def generators(self) -> Generators:
        """The complex matrices -i lambda_k / 2; no discrete generators."""
        none = np.zeros((0, self.n, self.n), complex)
        return Generators(_algebra(self.n).basis, none)

    def _check(self, a: Array, *, name: str = "a") -> None:
        """Checks the shape of an element."""
        if self.n > 2:
            matrices.check_element(self, a, self.n, name=name)
            return
        came = getattr(a, "shape", type(a).__name__)
        check_condition(
            came[-1:] == (4,),
            f"`{name}` must be an array of shape (*batch, 4), got {came}. An element "
            f"of {self} is a quaternion.",
        )

    def _phase_of_cut(self, a: Array) -> Array:
        """A phase p such that the principal logarithm of a e^-ip, plus ip, is in su(n).

        The principal angles of a add up to 2 pi k. The k largest must lose a turn (for
        k < 0 the smallest win one), so the cut goes between them and the others.
        """
        algebra = unitary_algebra(self.n)
        v = matrices.log(algebra, a, inverse=conjugate_transpose, num_roots=4)
        angles = jnp.linalg.eigvalsh(1j * -matrices.hat(algebra, v))
        turns = jnp.round(jnp.sum(angles, axis=-1) / (2 * jnp.pi)).astype(jnp.int32)
        # Sorted upwards: the cut is below number `first`, or above number -turns - 1.
        first = jnp.where(turns > 0, self.n - turns, -turns)[..., None]
        below = jnp.take_along_axis(angles, (first - 1) % self.n, axis=-1)[..., 0]
        above = jnp.take_along_axis(angles, first % self.n, axis=-1)[..., 0]
        cut = (below + above) / 2
        phase = jnp.where(turns > 0, cut - jnp.pi, cut + jnp.pi)
        return jnp.where(turns == 0, 0, phase)


def _real_dtype(dtype: DTypeLike) -> np.dtype:
    """The real dtype of the precision of `dtype`."""
    return jnp.finfo(dtype).dtype


def conjugate_transpose(a: Array) -> Array:
    """The conjugate transpose."""
    return jnp.conj(matrices.transpose(a))


def real_form(m: Array) -> Array:
    """[[Re, -Im], [Im, Re]]."""
    top = jnp.concatenate([m.real, -m.imag], axis=-1)
    return jnp.concatenate([top, jnp.concatenate([m.imag, m.real], -1)], axis=-2)


def _log_quaternion(q: Array) -> Array:
    """The turn of q, of length at most 2 pi; about the first axis for q = -1."""
    w, v = q[..., :1], q[..., 1:]
    squared = jnp.sum(v * v, axis=-1, keepdims=True)
    small = is_small(squared) & (w > 0)
    opposite = (squared == 0) & ~small
    n = jnp.sqrt(jnp.where(small | opposite, 1, squared))
    w_small = jnp.where(small, w, 1)
    ratio = squared / (w_small * w_small)
    series = (2 + ratio * (-2 / 3 + ratio * (2 / 5))) / w_small
    full_turn = jnp.zeros_like(v).at[..., 0].set(2 * jnp.pi)
    turn = v * jnp.where(small, series, 2 * jnp.arctan2(n, w) / n)
    return jnp.where(opposite, full_turn, turn)


@functools.lru_cache
def _basis(n: int) -> np.ndarray:
    """-i lambda_k / 2, those of SU(n - 1) first."""
    basis = []
    for k in range(1, n):
        for j in range(k):
            for value in (1, -1j):
                m = np.zeros((n, n), complex)
                m[j, k], m[k, j] = value, np.conj(value)
                basis.append(m)
        diagonal = np.concatenate([np.ones(k), [-k], np.zeros(n - k - 1)])
        basis.append(np.diag(diagonal) * np.sqrt(2 / (k * (k + 1))))
    return -0.5j * np.array(basis).reshape(-1, n, n)


@functools.lru_cache
def _algebra(n: int) -> matrices.Algebra:
    """su(n)."""
    return matrices.make_algebra(_basis(n))


@functools.lru_cache
def unitary_algebra(n: int) -> matrices.Algebra:
    """u(n): su(n), then the phase."""
    phase = -0.5j * np.sqrt(2 / n) * np.eye(n)
    return matrices.make_algebra(np.concatenate([_basis(n), phase[None]]))
