"""The orthogonal groups O(n): rotations and reflections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_choice, check_size
from eqjax._core._specs import register_spec
from eqjax.groups import _matrix_group as matrices
from eqjax.groups._group import Element, Generators
from eqjax.groups._so import SO, elements_of


@register_spec
@dataclass(frozen=True, order=True)
class O:  # noqa: E742 - the group's name
    """The rotations and reflections of R^n about the origin.

    An element of O(2) or O(3) is a tuple (rotation, flip) of an element of SO(n) and an
    integer array of zeros and ones (int32). For n = 2 it is R(angle) s^flip with s =
    diag(1, -1), for n = 3 it is (-1)^flip R(q): the flip is the inversion. For n >= 4,
    and with `elements="matrix"`, an element is the orthogonal matrix; s is then the
    reflection of the last axis (n = 3: the inversion). The Lie algebra is that of
    SO(n).

    Args:
        n: Dimension of the space, at least 2.
        elements: "angle" (n = 2), "quaternion" (n = 3), both with a flip, or "matrix".
            Default: the first of them that n has.

    Raises:
        ValueError: If `n` is smaller, or has no such elements.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> mirror = (jnp.zeros(()), jnp.asarray(1))
        >>> groups.O(2).act(mirror, jnp.array([1.0, 2.0])).tolist()
        [1.0, -2.0]
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
        return f"O(n={self.n}{rest})"

    @property
    def rotations(self) -> SO:
        """The subgroup SO(n), with the same kind of elements."""
        return SO(self.n, self.elements)

    @property
    def dim(self) -> int:
        """Dimension of the group, n (n - 1) / 2."""
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

    def identity(self, *, dtype: DTypeLike | None = None) -> Element:
        """No rotation, no flip."""
        turn = self.rotations.identity(dtype=dtype)
        if self.elements == "matrix":
            return turn
        return turn, jnp.zeros((), jnp.int32)

    def compose(self, a: Any, b: Any) -> Element:
        """The element b, followed by the element a."""
        if self.elements == "matrix":
            return self.rotations.compose(a, b)
        (turn_a, flip_a), (turn_b, flip_b) = a, b
        flips = match_batch((flip_a, 0), (flip_b, 0))
        if self.n == 2:
            # s R(angle) = R(-angle) s
            signs, turn_b = match_batch((_sign(flip_a, turn_b), 0), (turn_b, 0))
            turn_b = signs * turn_b
        return self.rotations.compose(turn_a, turn_b), flips[0] ^ flips[1]

    def inverse(self, a: Any) -> Element:
        """The inverse element."""
        if self.elements == "matrix":
            return self.rotations.inverse(a)
        turn, flip = a
        if self.n == 2:
            return -_sign(flip, turn) * turn, flip
        return self.rotations.inverse(turn), flip

    def exp(self, v: Float[Array, "*batch dim"]) -> Element:
        """The rotation with coordinates v; never a reflection."""
        turn = self.rotations.exp(v)
        if self.elements == "matrix":
            return turn
        return turn, jnp.zeros(v.shape[:-1], jnp.int32)

    def log(self, a: Any) -> Float[Array, "*batch dim"]:
        """Coordinates of the rotation part: the logarithm where flip is 0."""
        return self.rotations.log(self._split(a)[0])

    def has_log(self, a: Any) -> Bool[Array, "*batch"]:
        """Whether a is a rotation, so that exp(log(a)) = a."""
        return self._split(a)[1] == 0

    def adjoint(self, a: Any) -> Float[Array, "*batch dim dim"]:
        """Determinant (n = 2), the rotation part (n = 3); of X -> a X a^T (n >= 4)."""
        if self.n > 3:
            return self.rotations.adjoint(a)
        turn, flip = self._split(a)
        if self.n == 2:
            return _sign(flip, turn)[..., None, None]
        return self.rotations.adjoint(turn)

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch n n"]:
        """The antisymmetric matrix with coordinates v."""
        return self.rotations.hat(v)

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The coordinates of an antisymmetric matrix."""
        return self.rotations.vee(m)

    def matrix(self, a: Any) -> Float[Array, "*batch n n"]:
        """The orthogonal matrix."""
        if self.elements == "matrix":
            return self.rotations.matrix(a)
        turn, flip = a
        rotation = self.rotations.matrix(turn)
        sign = _sign(flip, turn)[..., None]
        if self.n == 2:
            column = jnp.concatenate([jnp.ones_like(sign), sign], axis=-1)
            return rotation * column[..., None, :]
        return rotation * sign[..., None]

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Element:
        """The inverse of `matrix`."""
        if self.elements == "matrix":
            return self.rotations.from_matrix(m)
        flip = (jnp.linalg.det(m) < 0).astype(jnp.int32)
        if self.n == 3:
            m = m * _sign(flip, m)[..., None, None]
        return self.rotations.from_matrix(m), flip

    def act(self, a: Any, x: Float[Array, "*batch n"]) -> Float[Array, "*out n"]:
        """The moved vectors; batch axes of a and x broadcast."""
        if self.elements == "matrix":
            return self.rotations.act(a, x)
        turn, flip = a
        sign, x = match_batch((_sign(flip, x), 0), (x, 1))
        first = x[..., :1] if self.n == 2 else x[..., :1] * sign[..., None]
        flipped = jnp.concatenate([first, x[..., 1:] * sign[..., None]], axis=-1)
        return self.rotations.act(turn, flipped)

    def sample(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Element:
        """A uniformly distributed element; half of them are reflections."""
        key_turn, key_flip = jax.random.split(key)
        flip = jax.random.bernoulli(key_flip).astype(jnp.int32)
        turn = self.rotations.sample(dtype=dtype, key=key_turn)
        if self.elements == "matrix":
            return jnp.where(flip == 1, turn @ self._flip(turn.dtype), turn)
        return turn, flip

    def quadrature(self, degree: int) -> tuple[Any, np.ndarray]:
        """The nodes of SO(n) with and without the flip, weights halved.

        Raises:
            ValueError: If n >= 4, where no rule is known here, or `degree` is negative.
        """
        if self.n > 3:
            raise ValueError(f"No quadrature of {self} is known here. Use `sample`.")
        turns, weights = self.rotations.quadrature(degree)
        doubled = np.tile(weights / 2, 2)
        if self.elements == "matrix":
            flipped = turns @ self.generators.discrete[0]
            return np.concatenate([turns, flipped]), doubled
        flips = np.repeat(np.array([0, 1], np.int32), len(weights))
        return (np.concatenate([turns, turns]), flips), doubled

    @property
    def generators(self) -> Generators:
        """Those of SO(n), and the flip."""
        flip = -np.eye(self.n)
        if self.n != 3:
            flip[:-1] *= -1
        return Generators(self.rotations.generators.lie, flip[None])

    def _flip(self, dtype: Any) -> Array:
        """The matrix of the flip."""
        return jnp.asarray(self.generators.discrete[0], dtype)

    def _split(self, a: Any) -> tuple[Array, Array]:
        """Rotation and flip; of a matrix too."""
        if self.elements != "matrix":
            return a
        a = self.rotations.matrix(a)
        flip = (jax.lax.stop_gradient(jnp.linalg.det(a)) < 0).astype(jnp.int32)
        turned = matrices.multiply(a, self._flip(a.dtype))
        return jnp.where(flip[..., None, None] == 1, turned, a), flip


def _sign(flip: Array, like: Array) -> Array:
    """(-1)^flip in the dtype of `like`."""
    return 1 - 2 * flip.astype(like.dtype)
