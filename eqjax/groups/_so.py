"""The rotation groups SO(n)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_choice, check_size
from eqjax._core._numerics import wrap_angle
from eqjax._core._specs import register_spec
from eqjax.groups import _matrix_group as matrices
from eqjax.groups import _quaternion as quaternion
from eqjax.groups._group import Generators


@register_spec
@dataclass(frozen=True, order=True)
class SO:
    """The rotations of R^n about the origin.

    | n | element | coordinates of the Lie algebra |
    |---|---|---|
    | 2 | angle in radians, shape (), any real number | the angle |
    | 3 | unit quaternion (w, x, y, z), shape (4,) | rotation vector, axis times angle |
    | n >= 4 | matrix, shape (n, n) | angle from axis j to axis i, i > j: by i, then j |

    R(angle) turns counter-clockwise; the quaternions q and -q are the same rotation.
    With `elements="matrix"` the elements of SO(2) and SO(3) are matrices too, their
    coordinates the same.

    Args:
        n: Dimension of the space, at least 2.
        elements: "angle" (n = 2), "quaternion" (n = 3) or "matrix". Default: the
            element of the table.

    Raises:
        ValueError: If `n` is smaller, or has no such elements.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> quarter = jnp.asarray(jnp.pi / 2)
        >>> groups.SO(2).act(quarter, jnp.array([1.0, 1.0])).round(6).tolist()
        [-1.0, 1.0]

    References:
        Solà, Deray, Atchuthan, "A micro Lie theory for state estimation in robotics"
        (2018), appendices A and B.
    """

    n: int
    elements: str = ""

    def __post_init__(self) -> None:
        """Fills in the kind of elements and checks the fields."""
        check_size("n", self.n, minimum=2)
        kinds = elements_of(self.n)
        if not self.elements:
            object.__setattr__(self, "elements", kinds[0])
        check_choice("elements", self.elements, kinds)

    def __repr__(self) -> str:
        """Names the elements where they are not the default."""
        default = self.elements == elements_of(self.n)[0]
        rest = "" if default else f", elements={self.elements!r}"
        return f"SO(n={self.n}{rest})"

    @property
    def dim(self) -> int:
        """Dimension of the group, n (n - 1) / 2."""
        return self.n * (self.n - 1) // 2

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
        """ "haar": `sample` is uniform."""
        return "haar"

    def identity(self, *, dtype: DTypeLike | None = None) -> Float[Array, "..."]:
        """The angle 0, the quaternion (1, 0, 0, 0) or the identity matrix."""
        if self.elements == "matrix":
            return jnp.eye(self.n, dtype=dtype)
        if self.elements == "angle":
            return jnp.zeros((), dtype)
        return jnp.zeros(4, dtype).at[0].set(1)

    def compose(
        self, a: Float[Array, "..."], b: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """The rotation by b, followed by the rotation by a."""
        if self.elements == "matrix":
            self._check(a)
            self._check(b, name="b")
            return matrices.multiply(a, b)
        if self.elements == "angle":
            a, b = match_batch((a, 0), (b, 0))
            return a + b
        return quaternion.multiply(a, b)

    def inverse(self, a: Float[Array, "..."]) -> Float[Array, "..."]:
        """The rotation back."""
        if self.elements == "matrix":
            self._check(a)
            return matrices.transpose(a)
        return -a if self.elements == "angle" else quaternion.conjugate(a)

    def exp(self, v: Float[Array, "*batch dim"]) -> Float[Array, "..."]:
        """The rotation by |v| about v (SO(3)); by v (SO(2)); expm of `hat(v)`."""
        if self.n > 3:
            return matrices.exp(_algebra(self.n), v)
        a = v[..., 0] if self.n == 2 else quaternion.exp(v)
        return SO(self.n).matrix(a) if self.elements == "matrix" else a

    def log(self, a: Float[Array, "..."]) -> Float[Array, "*batch dim"]:
        """A shortest v with exp(v) = a.

        Its angles are at most pi. At a half turn it jumps, but stays finite; so do its
        derivatives. For n >= 4 a half turn to rounding is found with the angular error
        of the rounding's root.
        """
        if self.n > 3:
            self._check(a)
            return matrices.log(
                _algebra(self.n), a, inverse=matrices.transpose, num_roots=4
            )
        if self.elements == "matrix":
            self._check(a)
            a = SO(self.n).from_matrix(a)
        return wrap_angle(a)[..., None] if self.n == 2 else quaternion.log(a)

    def adjoint(self, a: Float[Array, "..."]) -> Float[Array, "*batch dim dim"]:
        """1 for SO(2), the rotation matrix for SO(3); of X -> a X a^T."""
        if self.n > 3:
            return matrices.adjoint(_algebra(self.n), a, self.inverse(a))
        if self.n == 2:
            batch = a.shape[:-2] if self.elements == "matrix" else a.shape
            return jnp.ones((*batch, 1, 1), a.dtype)
        return self.matrix(a)

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The antisymmetric matrix with coordinates v."""
        return matrices.hat(_algebra(self.n), v)

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The coordinates of an antisymmetric matrix."""
        if self.n > 3:
            return matrices.vee(_algebra(self.n), m)
        if self.n == 2:
            return m[..., 1, 0][..., None]
        return jnp.stack([m[..., 2, 1], m[..., 0, 2], m[..., 1, 0]], axis=-1)

    def matrix(self, a: Float[Array, "..."]) -> Float[Array, "*batch n n"]:
        """The rotation matrix."""
        if self.elements == "matrix":
            self._check(a)
            return a
        if self.n == 3:
            return quaternion.to_matrix(a)
        c, s = jnp.cos(a), jnp.sin(a)
        return jnp.stack([jnp.stack([c, -s], -1), jnp.stack([s, c], -1)], -2)

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Float[Array, "..."]:
        """The inverse of `matrix`; a quaternion with a sign of its own choice."""
        if self.elements == "matrix":
            self._check(m, name="m")
            return m
        if self.n == 2:
            return jnp.arctan2(m[..., 1, 0], m[..., 0, 0])
        return quaternion.from_matrix(m)

    def act(
        self, a: Float[Array, "..."], x: Float[Array, "*batch n"]
    ) -> Float[Array, "*out n"]:
        """R(a) x; batch axes of a and x broadcast."""
        if self.elements == "matrix":
            self._check(a)
            return matrices.act(a, x)
        if self.n == 3:
            return quaternion.rotate(a, x)
        a, x = match_batch((a, 0), (x, 1))
        c, s = jnp.cos(a), jnp.sin(a)
        return jnp.stack(
            [c * x[..., 0] - s * x[..., 1], s * x[..., 0] + c * x[..., 1]], axis=-1
        )

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, "..."]:
        """A uniformly distributed rotation."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        if self.elements == "matrix":
            return matrices.sample_special(self.n, dtype=dtype, key=key)
        if self.n == 2:
            return jax.random.uniform(key, (), dtype, -jnp.pi, jnp.pi)
        q = jax.random.normal(key, (4,), dtype)
        return q / jnp.sqrt(jnp.sum(q * q))

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and weights that integrate matrix elements up to `degree` exactly.

        SO(2): degree + 1 equal steps. SO(3): equal steps in the first and third Euler
        angle, Gauss-Legendre nodes in the cosine of the second.

        Args:
            degree: Highest frequency (SO(2)) or angular degree (SO(3)), at least 0.

        Returns:
            Elements with one leading axis, and weights that sum to 1; float64.

        Raises:
            ValueError: If n >= 4, where no rule is known here, or `degree` is negative.
        """
        check_size("degree", degree, minimum=0)
        if self.n > 3:
            raise ValueError(f"No quadrature of {self} is known here. Use `sample`.")
        if self.elements == "matrix":
            nodes, weights = SO(self.n).quadrature(degree)
            return _matrices_of(nodes), weights
        if self.n == 2:
            turn = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
            return turn, np.full(degree + 1, 1 / (degree + 1))
        return euler_quadrature(degree, degree + 1)

    @property
    def generators(self) -> Generators:
        """The antisymmetric basis matrices; no discrete generators."""
        return Generators(_algebra(self.n).basis, np.zeros((0, self.n, self.n)))

    def _check(self, a: Array, *, name: str = "a") -> None:
        """Checks the shape of a matrix."""
        matrices.check_element(self, a, self.n, name=name)


def elements_of(n: int) -> tuple[str, ...]:
    """The kinds of elements of SO(n) there are, the default first."""
    return {2: ("angle", "matrix"), 3: ("quaternion", "matrix")}.get(n, ("matrix",))


def euler_quadrature(
    degree: int, num_last: int, *, num_turns: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Quaternions of a grid of Euler angles (z, y, z), and weights that sum to 1.

    Args:
        degree: Highest angular degree that the first two angles resolve.
        num_last: Number of equal steps of the third angle.
        num_turns: How many turns they cover; 2 tells q from -q.
    """
    nodes, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    first = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    last = 2 * np.pi * num_turns * np.arange(num_last) / num_last
    alpha, beta, gamma = (
        angle.ravel()
        for angle in np.meshgrid(first, np.arccos(nodes), last, indexing="ij")
    )
    # The quaternion of R_z(alpha) R_y(beta) R_z(gamma).
    cos, sin = np.cos(beta / 2), np.sin(beta / 2)
    plus, minus = (alpha + gamma) / 2, (alpha - gamma) / 2
    elements = np.stack(
        [
            cos * np.cos(plus),
            -sin * np.sin(minus),
            sin * np.cos(minus),
            cos * np.sin(plus),
        ],
        axis=-1,
    )
    weight = np.broadcast_to(
        weights[None, :, None] / (2 * (degree + 1) * num_last),
        (degree + 1, len(nodes), num_last),
    )
    return elements, weight.ravel()


def _matrices_of(nodes: np.ndarray) -> np.ndarray:
    """Matrices of angles (num,) or quaternions (num, 4), in NumPy."""
    if nodes.ndim == 1:
        c, s = np.cos(nodes), np.sin(nodes)
        return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    w, v = nodes[:, 0, None, None], nodes[:, 1:]
    skew = np.einsum("bd,dij->bij", v, _algebra(3).basis)
    # R = I + 2 w [v] + 2 [v]^2 for unit quaternions.
    return np.eye(3) + 2 * w * skew + 2 * skew @ skew


@functools.lru_cache
def _algebra(n: int) -> matrices.Algebra:
    """The antisymmetric matrices; for n = 3 in the order of the axes."""
    if n != 3:
        return matrices.make_algebra(matrices.antisymmetric_basis(n))
    lie = np.zeros((3, 3, 3))
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        lie[i, k, j], lie[i, j, k] = 1.0, -1.0
    return matrices.make_algebra(lie)
