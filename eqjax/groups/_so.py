"""The rotation groups SO(2) and SO(3)."""

from __future__ import annotations

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
from eqjax.groups import _quaternion as quaternion
from eqjax.groups._group import Generators


@register_spec
@dataclass(frozen=True, order=True)
class SO:
    """The rotations of R^n about the origin, n = 2 or 3.

    An element of SO(2) is an angle in radians, of shape (), any real number; R(angle)
    turns counter-clockwise. An element of SO(3) is a unit quaternion (w, x, y, z) of
    shape (4,); q and -q are the same rotation. Coordinates of the Lie algebra: the
    angle; the rotation vector (axis times angle).

    Args:
        n: 2 or 3.

    Raises:
        ValueError: If `n` is another number.

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

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("n", self.n, (2, 3))

    @property
    def dim(self) -> int:
        """Dimension of the group: 1 or 3."""
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
        """The angle 0, or the quaternion (1, 0, 0, 0)."""
        if self.n == 2:
            return jnp.zeros((), dtype)
        return jnp.zeros(4, dtype).at[0].set(1)

    def compose(
        self, a: Float[Array, "..."], b: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """The rotation by b, followed by the rotation by a."""
        if self.n == 2:
            a, b = match_batch((a, 0), (b, 0))
            return a + b
        return quaternion.multiply(a, b)

    def inverse(self, a: Float[Array, "..."]) -> Float[Array, "..."]:
        """The rotation back."""
        return -a if self.n == 2 else quaternion.conjugate(a)

    def exp(self, v: Float[Array, "*batch dim"]) -> Float[Array, "..."]:
        """The rotation by |v| about v (SO(3)); the rotation by v (SO(2))."""
        return v[..., 0] if self.n == 2 else quaternion.exp(v)

    def log(self, a: Float[Array, "..."]) -> Float[Array, "*batch dim"]:
        """Rotation vector of length at most pi; jumps at angle pi, finite there."""
        return wrap_angle(a)[..., None] if self.n == 2 else quaternion.log(a)

    def adjoint(self, a: Float[Array, "..."]) -> Float[Array, "*batch dim dim"]:
        """1 for SO(2), the rotation matrix for SO(3)."""
        if self.n == 2:
            return jnp.ones((*a.shape, 1, 1), a.dtype)
        return quaternion.to_matrix(a)

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The antisymmetric matrix with coordinates v."""
        lie = self.generators.lie.astype(v.dtype)
        return jnp.einsum("...d,dij->...ij", v, lie, precision="highest")

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The coordinates of an antisymmetric matrix."""
        if self.n == 2:
            return m[..., 1, 0][..., None]
        return jnp.stack([m[..., 2, 1], m[..., 0, 2], m[..., 1, 0]], axis=-1)

    def matrix(self, a: Float[Array, "..."]) -> Float[Array, "*batch n n"]:
        """The rotation matrix."""
        if self.n == 3:
            return quaternion.to_matrix(a)
        c, s = jnp.cos(a), jnp.sin(a)
        return jnp.stack([jnp.stack([c, -s], -1), jnp.stack([s, c], -1)], -2)

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Float[Array, "..."]:
        """The inverse of `matrix`; for SO(3) with a sign of its own choice."""
        if self.n == 2:
            return jnp.arctan2(m[..., 1, 0], m[..., 0, 0])
        return quaternion.from_matrix(m)

    def act(
        self, a: Float[Array, "..."], x: Float[Array, "*batch n"]
    ) -> Float[Array, "*out n"]:
        """R(a) x; batch axes of a and x broadcast."""
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
        """
        check_size("degree", degree, minimum=0)
        turn = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
        if self.n == 2:
            return turn, np.full(degree + 1, 1 / (degree + 1))
        nodes, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
        alpha, beta, gamma = (
            angle.ravel()
            for angle in np.meshgrid(turn, np.arccos(nodes), turn, indexing="ij")
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
            weights[None, :, None] / (2 * (degree + 1) ** 2),
            (degree + 1, len(nodes), degree + 1),
        )
        return elements, weight.ravel()

    @property
    def generators(self) -> Generators:
        """The antisymmetric basis matrices; no discrete generators."""
        if self.n == 2:
            lie = np.array([[[0.0, -1.0], [1.0, 0.0]]])
        else:
            lie = np.zeros((3, 3, 3))
            for i in range(3):
                j, k = (i + 1) % 3, (i + 2) % 3
                lie[i, k, j], lie[i, j, k] = 1.0, -1.0
        return Generators(lie, np.zeros((0, self.n, self.n)))
