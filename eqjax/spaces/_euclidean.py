"""Euclidean space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition, check_size
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec
from eqjax.groups import E, Group, Translation


@register_spec
@dataclass(frozen=True, order=True)
class Euclidean:
    """R^n with the usual metric; points and tangent vectors are arrays (n,).

    `sample` draws from N(0, I).

    Args:
        n: Dimension, at least 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import spaces
        >>> X = spaces.Euclidean(2)
        >>> float(X.distance(jnp.zeros(2), jnp.array([3.0, 4.0])))
        5.0
    """

    n: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)

    @property
    def dim(self) -> int:
        """Dimension, n."""
        return self.n

    @property
    def ambient_dim(self) -> int:
        """Size of a point, n."""
        return self.n

    @property
    def tangent_dim(self) -> int:
        """Size of a tangent vector, n."""
        return self.n

    @property
    def group(self) -> Group:
        """E(n) for n = 2 and 3, else the translations."""
        return E(self.n) if self.n in (2, 3) else Translation(self.n)

    def distance(
        self, x: Float[Array, "*#batch n"], y: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch"]:
        """|x - y|, with gradient 0 where x = y."""
        x, y = match_batch((x, 1), (y, 1))
        return safe_norm(x - y)

    def dual_norm(
        self, x: Float[Array, "*#batch n"], dT: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch"]:
        """|dT|."""
        return safe_norm(match_batch((x, 1), (dT, 1))[1])

    def inner(
        self,
        x: Float[Array, "*#batch n"],
        u: Float[Array, "*#batch n"],
        v: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch"]:
        """The dot product."""
        _, u, v = match_batch((x, 1), (u, 1), (v, 1))
        return jnp.sum(u * v, axis=-1)

    def exp(
        self, x: Float[Array, "*#batch n"], v: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """x + v."""
        x, v = match_batch((x, 1), (v, 1))
        return x + v

    def log(
        self, x: Float[Array, "*#batch n"], y: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """y - x."""
        x, y = match_batch((x, 1), (y, 1))
        return y - x

    def retract(
        self, x: Float[Array, "*#batch n"], v: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """x + v."""
        return self.exp(x, v)

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """x itself."""
        return x

    def to_tangent(
        self, x: Float[Array, "*#batch n"], u: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """u itself."""
        return match_batch((x, 1), (u, 1))[1]

    def raise_index(
        self, x: Float[Array, "*#batch n"], dT: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """dT itself."""
        return match_batch((x, 1), (dT, 1))[1]

    def frame(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
        """The coordinate axes."""
        return jnp.broadcast_to(jnp.eye(self.n, dtype=x.dtype), (*x.shape, self.n))

    def transport(
        self,
        x: Float[Array, "*#batch n"],
        y: Float[Array, "*#batch n"],
        v: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch n"]:
        """v itself."""
        return match_batch((x, 1), (y, 1), (v, 1))[2]

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, " n"]:
        """One point from N(0, I)."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        return jax.random.normal(key, (self.n,), dtype)

    def act(
        self, g: Any, x: Float[Array, "*batch n"], *, group: Group | None = None
    ) -> Float[Array, "*out n"]:
        """Moves points by an element of any group that acts on R^n."""
        group = self.group if group is None else group
        check_condition(
            group.degree == self.n,
            f"`group` must act on R^{self.n}, got {group} on R^{group.degree}.",
        )
        return group.act(g, x)
