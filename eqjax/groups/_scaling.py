"""The group of positive scalings of R^n."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_positive, check_size
from eqjax._core._specs import register_spec
from eqjax.groups._group import Generators


@register_spec
@dataclass(frozen=True, order=True)
class Scaling:
    """The scalings x -> e^s x of R^n; an element is the log-scale s, of shape ().

    Not compact: `sample` draws s from N(0, sigma^2), the declared density.

    Args:
        n: Dimension of the space, at least 1.
        sigma: Standard deviation of `sample`.

    Raises:
        ValueError: If a field is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> double = jnp.log(jnp.asarray(2.0))
        >>> groups.Scaling(2).act(double, jnp.array([1.0, 3.0])).round(5).tolist()
        [2.0, 6.0]
    """

    n: int
    sigma: float = 0.5

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)
        check_positive("sigma", self.sigma)

    @property
    def dim(self) -> int:
        """Dimension of the group, 1."""
        return 1

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
        """ "declared": a normal density, see the class."""
        return "declared"

    def identity(self, *, dtype: DTypeLike | None = None) -> Float[Array, ""]:
        """The log-scale 0."""
        return jnp.zeros((), dtype)

    def compose(
        self, a: Float[Array, "*#batch"], b: Float[Array, "*#batch"]
    ) -> Float[Array, "*batch"]:
        """a + b."""
        a, b = match_batch((a, 0), (b, 0))
        return a + b

    def inverse(self, a: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """-a."""
        return -a

    def exp(self, v: Float[Array, "*batch 1"]) -> Float[Array, "*batch"]:
        """v without its last axis."""
        return v[..., 0]

    def log(self, a: Float[Array, "*batch"]) -> Float[Array, "*batch 1"]:
        """a with a last axis."""
        return a[..., None]

    def adjoint(self, a: Float[Array, "*batch"]) -> Float[Array, "*batch 1 1"]:
        """1: the group is commutative."""
        return jnp.ones((*a.shape, 1, 1), a.dtype)

    def hat(self, v: Float[Array, "*batch 1"]) -> Float[Array, "*batch n n"]:
        """v I."""
        return self._times_one(v[..., 0])

    def vee(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch 1"]:
        """The mean of the diagonal."""
        return jnp.trace(m, axis1=-2, axis2=-1)[..., None] / self.n

    def matrix(self, a: Float[Array, "*batch"]) -> Float[Array, "*batch n n"]:
        """e^a I."""
        return self._times_one(jnp.exp(a))

    def from_matrix(self, m: Float[Array, "*batch n n"]) -> Float[Array, "*batch"]:
        """The inverse of `matrix`."""
        return jnp.log(self.vee(m)[..., 0])

    def act(
        self, a: Float[Array, "*#batch"], x: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """e^a x; batch axes of a and x broadcast."""
        a, x = match_batch((a, 0), (x, 1))
        return jnp.exp(a)[..., None] * x

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """One log-scale from N(0, sigma^2)."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        return self.sigma * jax.random.normal(key, (), dtype)

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
        """The identity matrix; no discrete generators."""
        return Generators(np.eye(self.n)[None], np.zeros((0, self.n, self.n)))

    def _times_one(self, s: Array) -> Array:
        """s I."""
        one = jnp.eye(self.n, dtype=s.dtype).reshape((1,) * s.ndim + (self.n, self.n))
        return s[..., None, None] * one
