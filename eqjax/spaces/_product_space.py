"""Products of spaces."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax import groups
from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition, check_positive
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec
from eqjax.groups import Group
from eqjax.spaces._space import Space


@register_spec
@dataclass(frozen=True, order=True)
class Product:
    """The product of spaces; points, tangent vectors and covectors are tuples.

    distance^2 = sum w_i^2 d_i^2 and dual_norm^2 = sum (n_i / w_i)^2, with the distance
    d_i and the dual norm n_i of the factor i. All maps act factor by factor, and so
    does an element of the product of the factors' groups. `sample` draws the factors
    independently.

    Args:
        factors: The spaces, at least one.
        weights: Positive factors of the lengths; all 1 if there are none.

    Raises:
        ValueError: If there are no factors, or not one positive weight for each.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import spaces
        >>> factors = spaces.Euclidean(2), spaces.Torus((10.0,))
        >>> X = spaces.Product(factors, weights=(1.0, 2.0))
        >>> y = jnp.array([3.0, 0.0]), jnp.array([8.0])
        >>> x = jnp.zeros(2), jnp.zeros(1)
        >>> float(X.distance(x, y))
        5.0
    """

    factors: tuple[Space, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_condition(
            len(self.factors) > 0, "`factors` must hold at least one space, got none."
        )
        check_condition(
            len(self.weights) in (0, len(self.factors)),
            f"`weights` must hold {len(self.factors)} numbers, one per factor, got "
            f"{self.weights}.",
        )
        for weight in self.weights:
            check_positive("weights", weight)

    @property
    def dim(self) -> int:
        """Sum of the factors' dimensions."""
        return sum(factor.dim for factor in self.factors)

    @property
    def ambient_dim(self) -> int:
        """Sum of the sizes of the factors' points."""
        return sum(factor.ambient_dim for factor in self.factors)

    @property
    def tangent_dim(self) -> int:
        """Sum of the sizes of the factors' tangent vectors."""
        return sum(factor.tangent_dim for factor in self.factors)

    @property
    def group(self) -> Group:
        """The product of the factors' groups."""
        return groups.Product(tuple(factor.group for factor in self.factors))

    @property
    def _weights(self) -> tuple[float, ...]:
        return self.weights or (1.0,) * len(self.factors)

    def distance(
        self, x: tuple[Any, ...], y: tuple[Any, ...]
    ) -> Float[Array, "*batch"]:
        """sqrt(sum w_i^2 d_i^2), with gradient 0 where x = y."""
        parts = self._each("distance", x, y)
        return _norm([w * d for w, d in zip(self._weights, parts, strict=True)])

    def dual_norm(
        self, x: tuple[Any, ...], dT: tuple[Any, ...]
    ) -> Float[Array, "*batch"]:
        """sqrt(sum (n_i / w_i)^2)."""
        parts = self._each("dual_norm", x, dT)
        return _norm([n / w for w, n in zip(self._weights, parts, strict=True)])

    def inner(
        self, x: tuple[Any, ...], u: tuple[Any, ...], v: tuple[Any, ...]
    ) -> Float[Array, "*batch"]:
        """The sum of w_i^2 times the factors' inner products."""
        parts = self._each("inner", x, u, v)
        scaled = [w**2 * p for w, p in zip(self._weights, parts, strict=True)]
        return functools.reduce(operator.add, match_batch(*((p, 0) for p in scaled)))

    def exp(self, x: tuple[Any, ...], v: tuple[Any, ...]) -> tuple[Any, ...]:
        """Factor by factor."""
        return self._each("exp", x, v)

    def log(self, x: tuple[Any, ...], y: tuple[Any, ...]) -> tuple[Any, ...]:
        """Factor by factor."""
        return self._each("log", x, y)

    def retract(self, x: tuple[Any, ...], v: tuple[Any, ...]) -> tuple[Any, ...]:
        """Factor by factor."""
        return self._each("retract", x, v)

    def project(self, x: tuple[Any, ...]) -> tuple[Any, ...]:
        """Factor by factor."""
        return self._each("project", x)

    def to_tangent(self, x: tuple[Any, ...], u: tuple[Any, ...]) -> tuple[Any, ...]:
        """Factor by factor."""
        return self._each("to_tangent", x, u)

    def raise_index(self, x: tuple[Any, ...], dT: tuple[Any, ...]) -> tuple[Any, ...]:
        """The factors' gradients, divided by w_i^2."""
        parts = self._each("raise_index", x, dT)
        return tuple(
            jax.tree.map(lambda leaf, w=w: leaf / w**2, part)
            for w, part in zip(self._weights, parts, strict=True)
        )

    def frame(self, x: tuple[Any, ...]) -> tuple[Any, ...]:
        """The frames of the factors, if all have one."""
        return self._each("frame", x)

    def transport(
        self, x: tuple[Any, ...], y: tuple[Any, ...], v: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Factor by factor."""
        return self._each("transport", x, y, v)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> tuple[Any, ...]:
        """One point, its parts independent."""
        keys = jax.random.split(key, len(self.factors))
        return tuple(
            factor.sample(dtype=dtype, key=keys[i])
            for i, factor in enumerate(self.factors)
        )

    def act(
        self, g: Any, x: tuple[Any, ...], *, group: Group | None = None
    ) -> tuple[Any, ...]:
        """Moves every part by its own element, or all parts by the same one.

        Args:
            g: A tuple with one element for each factor; with `group`, one element.
            x: Point.
            group: A group that acts on every factor; default the product of groups.

        Returns:
            The moved point.
        """
        moved = g if group is None or group == self.group else (g,) * len(x)
        each = None if moved is g else group
        self._check_length(moved)
        self._check_length(x)
        return tuple(
            factor.act(h, part, group=each)
            for factor, h, part in zip(self.factors, moved, x, strict=True)
        )

    def _each(self, method: str, *args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The method of every factor on its parts of the arguments."""
        for arg in args:
            self._check_length(arg)
        return tuple(
            getattr(factor, method)(*parts)
            for factor, *parts in zip(self.factors, *args, strict=True)
        )

    def _check_length(self, parts: Any) -> None:
        check_condition(
            isinstance(parts, tuple) and len(parts) == len(self.factors),
            f"Points of {self} are tuples of {len(self.factors)} parts, got "
            f"{type(parts).__name__}"
            f"{f' of {len(parts)}' if isinstance(parts, tuple) else ''}.",
        )


def _norm(parts: list[Array]) -> Array:
    return safe_norm(jnp.stack(match_batch(*((part, 0) for part in parts)), axis=-1))
