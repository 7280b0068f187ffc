"""The group of translations of R^n."""

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
class Translation:
    """The translations of R^n; an element is the vector (n,) that is added.

    Not compact: `sample` draws from N(0, sigma^2 I), the declared density.

    Args:
        n: Dimension of the space, at least 1.
        sigma: Standard deviation of `sample`.

    Raises:
        ValueError: If a field is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> G = groups.Translation(2)
        >>> G.act(jnp.array([1.0, 0.0]), jnp.array([2.0, 5.0])).tolist()
        [3.0, 5.0]
    """

    n: int
    sigma: float = 0.5

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)
        check_positive("sigma", self.sigma)

    @property
    def dim(self) -> int:
        """Dimension of the group, n."""
        return self.n

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

    def identity(self, *, dtype: DTypeLike | None = None) -> Float[Array, " n"]:
        """The zero vector."""
        return jnp.zeros(self.n, dtype)

    def compose(
        self, a: Float[Array, "*#batch n"], b: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """a + b."""
        a, b = match_batch((a, 1), (b, 1))
        return a + b

    def inverse(self, a: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """-a."""
        return -a

    def exp(self, v: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """v itself."""
        return v

    def log(self, a: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """a itself."""
        return a

    def adjoint(self, a: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
        """The identity matrix: the group is commutative."""
        return jnp.broadcast_to(jnp.eye(self.n, dtype=a.dtype), (*a.shape, self.n))

    def hat(self, v: Float[Array, "*batch n"]) -> Float[Array, "*batch m m"]:
        """[[0, v], [0, 0]], of size n + 1."""
        return jnp.pad(v[..., None], [(0, 0)] * (v.ndim - 1) + [(0, 1), (self.n, 0)])

    def vee(self, m: Float[Array, "*batch m m"]) -> Float[Array, "*batch n"]:
        """The last column without its last entry."""
        return m[..., :-1, -1]

    def matrix(self, a: Float[Array, "*batch n"]) -> Float[Array, "*batch m m"]:
        """[[I, a], [0, 1]], of size n + 1 (homogeneous coordinates)."""
        return self.hat(a) + jnp.broadcast_to(
            jnp.eye(self.n + 1, dtype=a.dtype), (*a.shape[:-1], self.n + 1, self.n + 1)
        )

    def from_matrix(self, m: Float[Array, "*batch m m"]) -> Float[Array, "*batch n"]:
        """The inverse of `matrix`."""
        return self.vee(m)

    def act(
        self, a: Float[Array, "*#batch n"], x: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """x + a."""
        return self.compose(a, x)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, " n"]:
        """One vector from N(0, sigma^2 I)."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        return self.sigma * jax.random.normal(key, (self.n,), dtype)

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
        """The n unit translations as (n + 1) x (n + 1) matrices."""
        lie = np.zeros((self.n, self.n + 1, self.n + 1))
        lie[np.arange(self.n), np.arange(self.n), self.n] = 1.0
        return Generators(lie, np.zeros((0, self.n + 1, self.n + 1)))
