"""The groups GL+(n, R), with polar coordinates."""

from __future__ import annotations

from dataclasses import dataclass

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
class GLPlus:
    """The real n x n matrices of positive determinant; an element is the matrix.

    Coordinates of the Lie algebra belong to a basis that is orthonormal for tr(X^T Y):
    the antisymmetric (E_ij - E_ji)/sqrt(2), i > j, the symmetric (E_ij + E_ji)/sqrt(2)
    in the same order, then E_ii.

    The exponential map does not reach every element, e.g. not diag(-2, -1/2); the
    polar coordinates of `coordinates` do, smoothly.

    Not compact: `sample` draws exp(X) R with X symmetric, N(0, sigma^2) in each of its
    coordinates, and R a uniform rotation; `log_density` is its density.

    Args:
        n: Size of the matrices, at least 1.
        sigma: Standard deviation of the symmetric coordinates that `sample` draws.

    Raises:
        ValueError: If a field is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> G = groups.GLPlus(2)
        >>> shear = jnp.array([[1.0, 1.0], [0.0, 1.0]])
        >>> x, R = G.coordinates(shear)
        >>> G.from_coordinates(x, R).round(5).tolist()
        [[1.0, 1.0], [0.0, 1.0]]

    References:
        Knapp, "Lie groups beyond an introduction" (2002), theorem 7.39 (the Cartan
        decomposition); Helgason, "Groups and geometric analysis" (1984), chapter I,
        theorem 5.8 (its integral).
    """

    n: int
    sigma: float = 0.5

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)
        check_positive("sigma", self.sigma)

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
        """Size of the vectors that `act` moves, n."""
        return self.n

    @property
    def sample_measure(self) -> str:
        """ "declared": see the class and `log_density`."""
        return "declared"

    def identity(self, *, dtype: DTypeLike | None = None) -> Float[Array, "n n"]:
        """The identity matrix."""
        return jnp.eye(self.n, dtype=dtype)

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
        return matrices.exp(self._algebra, v)

    def log(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """Coordinates of the principal logarithm, where there is one: see `has_log`.

        Exact to rounding where the angles of the eigenvalues stay 0.05 from a half turn
        and their logarithms below 8.
        """
        self._check(a)
        return matrices.log(self._algebra, a)

    def has_log(self, a: Float[Array, "*batch n n"]) -> Bool[Array, "*batch"]:
        """Whether exp(log(a)) = a; not if a has a negative eigenvalue."""
        return matrices.has_log(self._algebra, a, self.log(a))

    def coordinates(
        self, a: Float[Array, "*batch n n"]
    ) -> tuple[Float[Array, "*batch symmetric"], Float[Array, "*batch n n"]]:
        """Polar coordinates: log P in the symmetric basis, and the rotation R, a = P R.

        The coordinates are those of vech: sqrt(2) times the entries below the diagonal,
        by rows, then the diagonal. They exist and are smooth everywhere.

        Args:
            a: Elements.

        Returns:
            Coordinates of log P and R.
        """
        self._check(a)
        return polar.coordinates(self._algebra, a)

    def from_coordinates(
        self, x: Float[Array, "*batch symmetric"], rotation: Float[Array, "*batch n n"]
    ) -> Float[Array, "*batch n n"]:
        """exp(X) R, the inverse of `coordinates`."""
        self._check(rotation, name="rotation")
        return polar.from_coordinates(self._algebra, x, rotation)

    def log_density(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch"]:
        """Logarithm of the density of `sample` with respect to the Haar measure.

        The Haar measure is J(X) dX dR: a = exp(X) R, dX in the symmetric coordinates, R
        uniform of mass 1, J the product of sinh(d)/d over the differences d of the
        eigenvalues of X.

        Args:
            a: Elements.

        Returns:
            log q(X) - log J(X), q the normal density.
        """
        return polar.log_density(self._algebra, self.sigma, self.coordinates(a)[0])

    def adjoint(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim dim"]:
        """The matrix of X -> a X a^-1."""
        return matrices.adjoint(self._algebra, a, self.inverse(a))

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The matrix with coordinates v."""
        return matrices.hat(self._algebra, v)

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The inverse of `hat`."""
        return matrices.vee(self._algebra, m)

    def matrix(self, a: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        """The element itself."""
        self._check(a)
        return a

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        """The matrix itself, which must have positive determinant."""
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
        return polar.sample(self._algebra, self.sigma, dtype=dtype, key=key)

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
        none = np.zeros((0, self.n, self.n))
        return Generators(self._algebra.basis, none)

    @property
    def _algebra(self) -> matrices.Algebra:
        """The basis of the Lie algebra."""
        return polar.general_algebra(self.n)

    def _check(self, a: Array, *, name: str = "a") -> None:
        """Checks the shape of an element."""
        matrices.check_element(self, a, self.n, name=name)
