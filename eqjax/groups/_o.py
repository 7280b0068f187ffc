"""The orthogonal groups O(2) and O(3): rotations and reflections."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_choice
from eqjax._core._specs import register_spec
from eqjax.groups._group import Generators
from eqjax.groups._so import SO


@register_spec
@dataclass(frozen=True, order=True)
class O:  # noqa: E742 - the group's name
    """The rotations and reflections of R^n about the origin, n = 2 or 3.

    An element is a tuple (rotation, flip) of an element of SO(n) and an integer array
    of zeros and ones (int32). For n = 2 it is R(angle) s^flip with s = diag(1, -1), for
    n = 3 it is (-1)^flip R(q): the flip is the inversion.

    Args:
        n: 2 or 3.

    Raises:
        ValueError: If `n` is another number.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> mirror = (jnp.zeros(()), jnp.asarray(1))
        >>> groups.O(2).act(mirror, jnp.array([1.0, 2.0])).tolist()
        [1.0, -2.0]
    """

    n: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("n", self.n, (2, 3))

    @property
    def rotations(self) -> SO:
        """The subgroup SO(n)."""
        return SO(self.n)

    @property
    def dim(self) -> int:
        """Dimension of the group: 1 or 3."""
        return self.rotations.dim

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

    def identity(
        self, *, dtype: DTypeLike | None = None
    ) -> tuple[Float[Array, "..."], Int[Array, ""]]:
        """No rotation, no flip."""
        return self.rotations.identity(dtype=dtype), jnp.zeros((), jnp.int32)

    def compose(
        self,
        a: tuple[Float[Array, "..."], Int[Array, "..."]],
        b: tuple[Float[Array, "..."], Int[Array, "..."]],
    ) -> tuple[Float[Array, "..."], Int[Array, "..."]]:
        """The element b, followed by the element a."""
        (turn_a, flip_a), (turn_b, flip_b) = a, b
        flips = match_batch((flip_a, 0), (flip_b, 0))
        if self.n == 2:
            # s R(angle) = R(-angle) s
            signs, turn_b = match_batch((_sign(flip_a, turn_b), 0), (turn_b, 0))
            turn_b = signs * turn_b
        return self.rotations.compose(turn_a, turn_b), flips[0] ^ flips[1]

    def inverse(
        self, a: tuple[Float[Array, "..."], Int[Array, "..."]]
    ) -> tuple[Float[Array, "..."], Int[Array, "..."]]:
        """The inverse element."""
        turn, flip = a
        if self.n == 2:
            return -_sign(flip, turn) * turn, flip
        return self.rotations.inverse(turn), flip

    def exp(
        self, v: Float[Array, "*batch dim"]
    ) -> tuple[Float[Array, "..."], Int[Array, "*batch"]]:
        """The rotation with coordinates v; never a reflection."""
        return self.rotations.exp(v), jnp.zeros(v.shape[:-1], jnp.int32)

    def log(
        self, a: tuple[Float[Array, "..."], Int[Array, "..."]]
    ) -> Float[Array, "*batch dim"]:
        """Coordinates of the rotation part: the logarithm where flip is 0."""
        return self.rotations.log(a[0])

    def adjoint(
        self, a: tuple[Float[Array, "..."], Int[Array, "..."]]
    ) -> Float[Array, "*batch dim dim"]:
        """Determinant (n = 2), or the rotation part (n = 3: the inversion commutes)."""
        turn, flip = a
        if self.n == 2:
            return _sign(flip, turn)[..., None, None]
        return self.rotations.adjoint(turn)

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The antisymmetric matrix with coordinates v."""
        return self.rotations.hat(v)

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The coordinates of an antisymmetric matrix."""
        return self.rotations.vee(m)

    def matrix(
        self, a: tuple[Float[Array, "..."], Int[Array, "..."]]
    ) -> Float[Array, "*batch n n"]:
        """The orthogonal matrix."""
        turn, flip = a
        rotation = self.rotations.matrix(turn)
        sign = _sign(flip, turn)[..., None]
        if self.n == 2:
            column = jnp.concatenate([jnp.ones_like(sign), sign], axis=-1)
            return rotation * column[..., None, :]
        return rotation * sign[..., None]

    def from_matrix(
        self, m: Float[Array, "*batch n n"]
    ) -> tuple[Float[Array, "..."], Int[Array, "*batch"]]:
        """The inverse of `matrix`."""
        flip = (jnp.linalg.det(m) < 0).astype(jnp.int32)
        if self.n == 3:
            m = m * _sign(flip, m)[..., None, None]
        return self.rotations.from_matrix(m), flip

    def act(
        self,
        a: tuple[Float[Array, "..."], Int[Array, "..."]],
        x: Float[Array, "*batch n"],
    ) -> Float[Array, "*out n"]:
        """The moved vectors; batch axes of a and x broadcast."""
        turn, flip = a
        sign, x = match_batch((_sign(flip, x), 0), (x, 1))
        first = x[..., :1] if self.n == 2 else x[..., :1] * sign[..., None]
        flipped = jnp.concatenate([first, x[..., 1:] * sign[..., None]], axis=-1)
        return self.rotations.act(turn, flipped)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> tuple[Float[Array, "..."], Int[Array, ""]]:
        """A uniformly distributed element; half of them are reflections."""
        key_turn, key_flip = jax.random.split(key)
        flip = jax.random.bernoulli(key_flip).astype(jnp.int32)
        return self.rotations.sample(dtype=dtype, key=key_turn), flip

    def quadrature(
        self, degree: int
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """The nodes of SO(n) with and without the flip, weights halved."""
        turns, weights = self.rotations.quadrature(degree)
        flips = np.repeat(np.array([0, 1], np.int32), len(weights))
        return (np.concatenate([turns, turns]), flips), np.tile(weights / 2, 2)

    @property
    def generators(self) -> Generators:
        """Those of SO(n), and the flip."""
        flip = np.diag([1.0, -1.0]) if self.n == 2 else -np.eye(3)
        return Generators(self.rotations.generators.lie, flip[None])


def _sign(flip: Array, like: Array) -> Array:
    """(-1)^flip in the dtype of `like`."""
    return 1 - 2 * flip.astype(like.dtype)
