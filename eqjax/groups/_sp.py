"""The real symplectic groups Sp(2m, R)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key

from eqjax._core._checks import check_positive, check_size
from eqjax._core._specs import register_spec
from eqjax.groups import _matrix_group as matrices
from eqjax.groups import _polar as polar
from eqjax.groups._group import Generators


@register_spec
@dataclass(frozen=True, order=True)
class Sp:
    """The real 2m x 2m matrices with a^T J a = J, J = [[0, I], [-I, 0]].

    The linear maps of phase space (q, p) that keep its area form. An element is the
    matrix. Coordinates of the Lie algebra belong to a basis that is orthonormal for
    tr(X^T Y): antisymmetric matrices [[A, -B], [B, A]] first (m^2 of them; those with
    A, then those with B), symmetric ones [[A, B], [B, -A]] after them (likewise).

    Not compact: `sample` draws exp(X) k with X normal, N(0, sigma^2) in each symmetric
    coordinate, and k uniform in the maximal compact subgroup, U(m); `log_density` is
    its density.

    Args:
        m: Half the size of the matrices, at least 1.
        sigma: Standard deviation of the symmetric coordinates that `sample` draws.

    Raises:
        ValueError: If a field is out of range.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> a = groups.Sp(1).sample(key=jax.random.key(0))
        >>> jnp.linalg.det(a).round(4).item()
        1.0

    References:
        de Gosson, "Symplectic methods in harmonic analysis" (2011), sections 2.1, 2.2.
        Helgason, "Groups and geometric analysis" (1984), chapter I, theorem 5.8 (the
        integral over K and exp(X)).
    """

    m: int
    sigma: float = 0.5

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("m", self.m)
        check_positive("sigma", self.sigma)

    @property
    def dim(self) -> int:
        """Dimension of the group, m (2m + 1)."""
        return self.m * (2 * self.m + 1)

    @property
    def order(self) -> None:
        """None: the group is infinite."""
        return None

    @property
    def degree(self) -> int:
        """Size of the vectors that `act` moves, 2m."""
        return 2 * self.m

    @property
    def sample_measure(self) -> str:
        """ "declared": see the class and `log_density`."""
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
        """-J a^T J."""
        self._check(a)
        return _inverse(a)

    def exp(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The matrix exponential of `hat(v)`."""
        return matrices.exp(_algebra(self.m), v)

    def log(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """Coordinates of the principal logarithm, where there is one: see `has_log`."""
        self._check(a)
        return matrices.log(_algebra(self.m), a, inverse=_inverse)

    def has_log(self, a: Float[Array, "*batch n n"]) -> Bool[Array, "*batch"]:
        """Whether exp(log(a)) = a; not if a has a negative eigenvalue."""
        return matrices.has_log(_algebra(self.m), a, self.log(a))

    def log_density(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch"]:
        """Logarithm of the density of `sample` with respect to the Haar measure.

        The Haar measure is J(X) dX dk: a = exp(X) k, dX in the symmetric coordinates, k
        uniform of mass 1. X has eigenvalues l_i and -l_i, and J is the product of
        sinh(d)/d over all d = l_i - l_j and l_i + l_j, i < j, and 2 l_i.

        Args:
            a: Elements.

        Returns:
            log q(X) - log J(X), q the normal density.
        """
        self._check(a)
        p = matrices.multiply(a, matrices.transpose(a))
        x = matrices.log(_algebra(self.m), p, inverse=_inverse)[..., self.m**2 :] / 2
        padding = [(0, 0)] * (x.ndim - 1) + [(self.m**2, 0)]
        values = jnp.linalg.eigvalsh(self.hat(jnp.pad(x, padding)))[..., self.m :]
        i, j = np.tril_indices(self.m, -1)
        difference, total = (
            values[..., i] - values[..., j],
            values[..., i] + values[..., j],
        )
        roots = jnp.concatenate([difference, total, 2 * values], axis=-1)
        log_jacobian = jnp.sum(polar.log_sinhc(roots * roots), axis=-1)
        return polar.log_normal(self.sigma, x) - log_jacobian

    def adjoint(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim dim"]:
        """The matrix of X -> a X a^-1."""
        return matrices.adjoint(_algebra(self.m), a, self.inverse(a))

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The matrix of the Lie algebra with coordinates v."""
        return matrices.hat(_algebra(self.m), v)

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The inverse of `hat`."""
        return matrices.vee(_algebra(self.m), m)

    def matrix(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        """The element itself."""
        self._check(a)
        return a

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        """The matrix itself, which must be symplectic."""
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
        key_symmetric, key_compact = jax.random.split(key)
        num_compact = self.m**2
        v = self.sigma * jax.random.normal(
            key_symmetric, (self.dim - num_compact,), dtype
        )
        stretch = self.exp(jnp.pad(v, (num_compact, 0)))
        u = matrices.sample_unitary(
            self.m, dtype=matrices.complex_dtype(dtype), key=key_compact
        )
        compact = jnp.block([[u.real, -u.imag], [u.imag, u.real]])
        return matrices.multiply(stretch, compact)

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
        """Antisymmetric matrices, then symmetric ones; no discrete generators."""
        none = np.zeros((0, self.degree, self.degree))
        return Generators(_algebra(self.m).basis, none)

    def _check(self, a: Array, *, name: str = "a") -> None:
        """Checks the shape of an element."""
        matrices.check_element(self, a, self.degree, name=name)


def _inverse(a: Array) -> Array:
    """-J a^T J: for a = [[A, B], [C, D]] this is [[D^T, -B^T], [-C^T, A^T]]."""
    m = a.shape[-1] // 2
    t = matrices.transpose(a)
    # Blocks of the transpose: [[A^T, C^T], [B^T, D^T]].
    top = jnp.concatenate([t[..., m:, m:], -t[..., m:, :m]], axis=-1)
    bottom = jnp.concatenate([-t[..., :m, m:], t[..., :m, :m]], axis=-1)
    return jnp.concatenate([top, bottom], axis=-2)


@functools.lru_cache
def _algebra(m: int) -> matrices.Algebra:
    """sp(2m): u(m), then the symmetric matrices in it."""
    skew, even = matrices.antisymmetric_basis(m), matrices.symmetric_basis(m)
    zero_skew, zero = np.zeros_like(skew), np.zeros_like(even)
    basis = np.concatenate(
        [
            _blocks(skew, zero_skew, zero_skew, skew),
            _blocks(zero, -even, even, zero),
            _blocks(even, zero, zero, -even),
            _blocks(zero, even, even, zero),
        ]
    )
    norms = np.sqrt(np.sum(basis**2, axis=(1, 2), keepdims=True))
    return matrices.make_algebra(basis / norms)


def _blocks(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """[[a, b], [c, d]]."""
    return np.concatenate(
        [np.concatenate([a, b], axis=-1), np.concatenate([c, d], axis=-1)], axis=-2
    )
