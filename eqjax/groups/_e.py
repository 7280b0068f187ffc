"""The groups E(2) and E(3) of rigid motions with reflections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key

from eqjax._core._checks import check_choice, check_positive
from eqjax._core._specs import register_spec
from eqjax.groups import _motions
from eqjax.groups._group import Element, Generators
from eqjax.groups._o import O


@register_spec
@dataclass(frozen=True, order=True)
class E:
    """The rigid motions and reflections x -> h x + t of R^n, n = 2 or 3.

    An element is the tuple (t, h) of a translation (n,) and an element (rotation, flip)
    of O(n). A twist is (translation part, rotation part). Not compact: `sample` draws t
    from N(0, sigma^2 I) and h uniformly.

    Args:
        n: 2 or 3.
        sigma: Standard deviation of the translations that `sample` draws.

    Raises:
        ValueError: If `n` is another number, or `sigma` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> glide = (jnp.array([1.0, 0.0]), (jnp.zeros(()), jnp.asarray(1)))
        >>> groups.E(2).act(glide, jnp.array([2.0, 3.0])).tolist()
        [3.0, -3.0]
    """

    n: int
    sigma: float = 0.5

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("n", self.n, (2, 3))
        check_positive("sigma", self.sigma)

    @property
    def linear_part(self) -> O:
        """The group O(n) of the second entries."""
        return O(self.n)

    @property
    def dim(self) -> int:
        """Dimension of the group: 3 or 6."""
        return self.n + self.linear_part.dim

    @property
    def order(self) -> None:
        """None: the group is infinite."""
        return None

    @property
    def degree(self) -> int:
        """Size of the points that `act` moves, n."""
        return self.n

    @property
    def sample_measure(self) -> str:
        """ "declared": a normal density times the uniform one, see the class."""
        return "declared"

    def identity(self, *, dtype: DTypeLike | None = None) -> Element:
        """No motion."""
        return jnp.zeros(self.n, dtype), self.linear_part.identity(dtype=dtype)

    def compose(self, a: Any, b: Any) -> Element:
        """The motion b, followed by the motion a: (t + h t', h h')."""
        return _motions.compose(self.linear_part, a, b)

    def inverse(self, a: Any) -> Element:
        """The motion back, (-h^-1 t, h^-1)."""
        return _motions.inverse(self.linear_part, a)

    def exp(self, v: Float[Array, "*batch dim"]) -> Element:
        """The motion of the twist v = (translation part, rotation part)."""
        return _motions.exp(self.linear_part, v)

    def log(self, a: Any) -> Float[Array, "*batch dim"]:
        """The twist of a without its flip: the logarithm where the flip is 0."""
        return _motions.log(self.linear_part, a)

    def has_log(self, a: Any) -> Bool[Array, "*batch"]:
        """Whether a is a proper motion, so that exp(log(a)) = a."""
        return _motions.has_log(self.linear_part, a)

    def adjoint(self, a: Any) -> Float[Array, "*batch dim dim"]:
        """The matrix Ad(a) on twists."""
        return _motions.adjoint(self.linear_part, a)

    def hat(self, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch m m"]:
        """The (n + 1) x (n + 1) matrix of a twist."""
        return _motions.hat(self.linear_part, v)

    def vee(self, m: Float[Array, "*batch m m"]) -> Float[Array, "*batch dim"]:
        """The twist of such a matrix."""
        return _motions.vee(self.linear_part, m)

    def matrix(self, a: Any) -> Float[Array, "*batch m m"]:
        """The (n + 1) x (n + 1) matrix that moves homogeneous coordinates."""
        return _motions.matrix(self.linear_part, a)

    def from_matrix(self, m: Float[Array, "*batch m m"]) -> Element:
        """The inverse of `matrix`."""
        return _motions.from_matrix(self.linear_part, m)

    def act(self, a: Any, x: Float[Array, "*batch n"]) -> Float[Array, "*out n"]:
        """The points h x + t; batch axes of a and x broadcast."""
        return _motions.act(self.linear_part, a, x)

    def sample(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Element:
        """One element from the declared density."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        key_t, key_h = jax.random.split(key)
        t = self.sigma * jax.random.normal(key_t, (self.n,), dtype)
        return t, self.linear_part.sample(dtype=dtype, key=key_h)

    def quadrature(self, degree: int) -> tuple[Element, np.ndarray]:
        """Not available: the group is not compact.

        Raises:
            ValueError: Always; use `sample`.
        """
        raise ValueError(
            f"{self} is not compact, so it has no finite quadrature. Use `sample`."
        )

    @property
    def generators(self) -> Generators:
        """Unit translations, then rotations; the flip as the discrete one."""
        return _motions.generators(self.linear_part)
