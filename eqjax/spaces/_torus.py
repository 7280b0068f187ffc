"""Flat tori."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition, check_positive
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec
from eqjax.groups import Group, Translation


@register_spec
@dataclass(frozen=True, order=True)
class Torus:
    """R^n modulo a box of periods, with the flat metric.

    A point is an array (n,) of any real numbers, equal modulo the periods; tangent
    vectors are arrays (n,). `sample` is uniform.

    Args:
        periods: Lengths of the closed axes, positive; their number is n.

    Raises:
        ValueError: If there are none, or one is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import spaces
        >>> X = spaces.Torus((8.0, 16.0))
        >>> float(X.distance(jnp.array([0.5, 0.0]), jnp.array([7.5, 32.0])))
        1.0
    """

    periods: tuple[float, ...]

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_condition(
            len(self.periods) > 0,
            "`periods` must hold one length per axis, got none.",
        )
        for period in self.periods:
            check_positive("periods", period)

    @property
    def dim(self) -> int:
        """Dimension, the number of periods."""
        return len(self.periods)

    @property
    def ambient_dim(self) -> int:
        """Size of a point, n."""
        return self.dim

    @property
    def tangent_dim(self) -> int:
        """Size of a tangent vector, n."""
        return self.dim

    @property
    def group(self) -> Group:
        """The translations of R^n."""
        return Translation(self.dim)

    def distance(
        self, x: Float[Array, "*#batch n"], y: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch"]:
        """Length of the shortest y - x modulo the periods, gradient 0 where it is 0."""
        return safe_norm(self.log(x, y))

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
        """y - x, each coordinate wrapped to half a period at most."""
        x, y = match_batch((x, 1), (y, 1))
        period = np.asarray(self.periods, x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
        difference = y - x
        return difference - period * jnp.round(difference / period)

    def retract(
        self, x: Float[Array, "*#batch n"], v: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """x + v."""
        return self.exp(x, v)

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """x itself: every array (n,) is a point."""
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
        return jnp.broadcast_to(jnp.eye(self.dim, dtype=x.dtype), (*x.shape, self.dim))

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
        """One uniformly distributed point, with coordinates from 0 to the periods."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        return jax.random.uniform(key, (self.dim,), dtype) * np.asarray(
            self.periods, dtype
        )

    def act(
        self, g: Any, x: Float[Array, "*batch n"], *, group: Group | None = None
    ) -> Float[Array, "*out n"]:
        """Moves points by a translation vector."""
        group = self.group if group is None else group
        check_condition(
            isinstance(group, Translation) and group.n == self.dim,
            f"`group` must be Translation({self.dim}), got {group}.",
        )
        return group.act(g, x)
