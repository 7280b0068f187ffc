"""The unitary groups U(n)."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Complex, Float, Inexact, Key

from eqjax._core._checks import check_size
from eqjax._core._specs import register_spec
from eqjax.groups import _matrix_group as matrices
from eqjax.groups._group import Generators
from eqjax.groups._su import conjugate_transpose, real_form, unitary_algebra


@register_spec
@dataclass(frozen=True, order=True)
class U:
    """The unitary n x n matrices; an element is the complex matrix (n, n).

    The group acts on complex vectors (n,). Coordinates of the Lie algebra are those of
    SU(n), then one for -i sqrt(1/(2n)) I: it is orthogonal to them, of the same norm.
    Every `dtype` is the one of v, or its complex counterpart.

    Args:
        n: Size of the matrices, at least 1.

    Raises:
        ValueError: If `n` is smaller.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> a = groups.U(1).exp(jnp.array([0.3]))
        >>> abs(a[0, 0]).round(5).item()
        1.0
    """

    n: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)

    @property
    def dim(self) -> int:
        """Dimension of the group, n^2."""
        return self.n**2

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

    def identity(self, *, dtype: DTypeLike | None = None) -> Complex[Array, "n n"]:
        """The identity matrix."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        return jnp.eye(self.n, dtype=matrices.complex_dtype(dtype))

    def compose(
        self, a: Complex[Array, "*#batch n n"], b: Complex[Array, "*#batch n n"]
    ) -> Complex[Array, "*batch n n"]:
        """The matrix product a b."""
        self._check(a)
        self._check(b, name="b")
        return matrices.multiply(a, b)

    def inverse(self, a: Complex[Array, "*batch n n"]) -> Complex[Array, "*batch n n"]:
        """The conjugate transpose."""
        self._check(a)
        return conjugate_transpose(a)

    def exp(self, v: Float[Array, "*batch dim"]) -> Complex[Array, "*batch n n"]:
        """The matrix exponential of `hat(v)`."""
        return matrices.exp(unitary_algebra(self.n), v)

    def log(self, a: Complex[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """Coordinates of the principal logarithm, angles at most pi.

        At the eigenvalue -1 it jumps, but stays finite, and is right to the root of the
        rounding.
        """
        self._check(a)
        return matrices.log(
            unitary_algebra(self.n), a, inverse=conjugate_transpose, num_roots=4
        )

    def adjoint(
        self, a: Complex[Array, "*batch n n"]
    ) -> Float[Array, "*batch dim dim"]:
        """The matrix of X -> a X a^-1, orthogonal."""
        return matrices.adjoint(unitary_algebra(self.n), a, self.inverse(a))

    def hat(self, v: Float[Array, "*batch dim"]) -> Complex[Array, "*batch n n"]:
        """The anti-Hermitian matrix with coordinates v."""
        return matrices.hat(unitary_algebra(self.n), v)

    def vee(self, m: Complex[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The coordinates of an anti-Hermitian matrix."""
        return matrices.vee(unitary_algebra(self.n), m)

    def matrix(self, a: Complex[Array, "*batch n n"]) -> Complex[Array, "*batch n n"]:
        """The element itself."""
        self._check(a)
        return a

    def real_matrix(
        self, a: Complex[Array, "*batch n n"]
    ) -> Float[Array, "*batch m m"]:
        """[[Re, -Im], [Im, Re]] of the matrix, which moves (Re x, Im x)."""
        return real_form(self.matrix(a))

    def from_matrix(
        self, m: Complex[Array, "*batch n n"]
    ) -> Complex[Array, "*batch n n"]:
        """The matrix itself, which must be unitary."""
        self._check(m, name="m")
        return m

    def act(
        self, a: Complex[Array, "*#batch n n"], x: Inexact[Array, "*#batch n"]
    ) -> Complex[Array, "*batch n"]:
        """a x; batch axes of a and x broadcast. Real x become complex."""
        self._check(a)
        return matrices.act(a, x)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Complex[Array, "n n"]:
        """A uniformly distributed element."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        dtype = matrices.complex_dtype(dtype)
        return matrices.sample_unitary(self.n, dtype=dtype, key=key)

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """Not available.

        Raises:
            ValueError: Always; use `sample`.
        """
        raise ValueError(f"No quadrature of {self} is known here. Use `sample`.")

    @property
    def generators(self) -> Generators:
        """Those of SU(n) and the phase; no discrete generators."""
        none = np.zeros((0, self.n, self.n), complex)
        return Generators(unitary_algebra(self.n).basis, none)

    def _check(self, a: Array, *, name: str = "a") -> None:
        """Checks the shape of an element."""
        matrices.check_element(self, a, self.n, name=name)
