"""Positions and orientations in the plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_choice, check_condition, check_positive
from eqjax._core._numerics import safe_norm, safe_sqrt, wrap_angle
from eqjax._core._specs import register_spec
from eqjax.groups import SE, Group

# Factor of the sub-Riemannian part of the distance, from Bekkers et al. (2018), below.
_NU = 1.6


@register_spec
@dataclass(frozen=True, order=True)
class PositionOrientation:
    """R^2 x S^1, the positions and headings of a car, with a left-invariant metric.

    A point is (x, y, theta), theta any real number in radians, equal modulo 2 pi. A
    tangent vector has components (forward, sideways, turning) on the left-invariant
    frame A1 = (cos theta, sin theta, 0), A2 = (-sin theta, cos theta, 0), A3 = (0, 0,
    1), whose lengths are xi, xi / eps and 1: moving sideways costs 1 / eps times as
    much as moving forward. eps = 0 is the sub-Riemannian limit.

    `distance` is exact for eps = 1. For eps < 1 it is a closed-form, left-invariant and
    symmetric approximation, max(lower bound, min(sub-Riemannian, Riemannian form)).
    `sample` draws the position from N(0, I) and the heading uniformly.

    Args:
        n: Dimension of the position; 2.
        xi: Cost of a unit of forward motion relative to a radian, positive.
        eps: Ratio of forward to sideways cost, in [0, 1].

    Raises:
        ValueError: If a field is out of its range.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import spaces
        >>> X = spaces.PositionOrientation(2)
        >>> float(X.distance(jnp.zeros(3), jnp.array([3.0, 4.0, 0.0])))
        5.0

    References:
        Bekkers, Chen, Portegies, "Nilpotent approximations of sub-Riemannian distances
        for fast perceptual grouping of blood vessels" (2018), equations 14 and 20.
    """

    n: int = 2
    xi: float = 1.0
    eps: float = 1.0

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("n", self.n, (2,))
        check_positive("xi", self.xi)
        check_positive("eps", self.eps, zero=True)
        check_condition(self.eps <= 1, f"`eps` must be at most 1, got {self.eps}.")

    @property
    def dim(self) -> int:
        """Dimension, 3."""
        return 3

    @property
    def ambient_dim(self) -> int:
        """Size of a point, 3."""
        return 3

    @property
    def tangent_dim(self) -> int:
        """Size of a tangent vector, 3."""
        return 3

    @property
    def group(self) -> Group:
        """SE(2)."""
        return SE(2)

    @property
    def _weights(self) -> tuple[float, float, float]:
        """Lengths of the frame vectors."""
        side = self.xi / self.eps if self.eps > 0 else math.inf
        return self.xi, side, 1.0

    def distance(
        self, x: Float[Array, "*#batch 3"], y: Float[Array, "*#batch 3"]
    ) -> Float[Array, "*batch"]:
        """The distance (eps = 1), or its closed-form approximation (eps < 1)."""
        x, y = match_batch((x, 1), (y, 1))
        turn = wrap_angle(y[..., 2] - x[..., 2])
        ahead, aside = _in_frame(x[..., 2], y[..., :2] - x[..., :2])
        # Half-angle coordinates: they only change sign when x and y are exchanged.
        c, s = jnp.cos(turn / 2), jnp.sin(turn / 2)
        b1, b2 = c * ahead + s * aside, c * aside - s * ahead
        w1, w2, _ = self._weights
        lower = safe_norm(jnp.stack([w1 * b1, w1 * b2, turn], axis=-1))
        if self.eps == 1:
            return lower
        flat = w1**2 * b1**2 + turn**2
        sub = safe_sqrt(safe_sqrt((_NU * (w1 + 1)) ** 4 * b2**2 + flat**2))
        if self.eps > 0:
            full = safe_norm(jnp.stack([w1 * b1, w2 * b2, turn], axis=-1))
            sub = jnp.minimum(sub, full)
        return jnp.maximum(lower, sub)

    def dual_norm(
        self, x: Float[Array, "*#batch 3"], dT: Float[Array, "*#batch 3"]
    ) -> Float[Array, "*batch"]:
        """sqrt((A1 T / xi)^2 + (eps A2 T / xi)^2 + (A3 T)^2)."""
        return safe_norm(self._frame_derivatives(x, dT))

    def inner(
        self,
        x: Float[Array, "*#batch 3"],
        u: Float[Array, "*#batch 3"],
        v: Float[Array, "*#batch 3"],
    ) -> Float[Array, "*batch"]:
        """The weighted dot product of frame components.

        Raises:
            ValueError: For eps = 0, where sideways vectors have no finite length.
        """
        check_condition(
            self.eps > 0, "`inner` needs eps > 0: the metric is singular at eps = 0."
        )
        _, u, v = match_batch((x, 1), (u, 1), (v, 1))
        w1, w2, w3 = (weight**2 for weight in self._weights)
        product = u * v
        return w1 * product[..., 0] + w2 * product[..., 1] + w3 * product[..., 2]

    def exp(
        self, x: Float[Array, "*#batch 3"], v: Float[Array, "*#batch 3"]
    ) -> Float[Array, "*batch 3"]:
        """The exponential curve of the group from x: constant speed in its frame."""
        x, v = match_batch((x, 1), (v, 1))
        return _to_point(SE(2).compose(_to_element(x), SE(2).exp(v)))

    def log(
        self, x: Float[Array, "*#batch 3"], y: Float[Array, "*#batch 3"]
    ) -> Float[Array, "*batch 3"]:
        """The inverse of `exp`, turning by at most pi."""
        x, y = match_batch((x, 1), (y, 1))
        moved = SE(2).compose(SE(2).inverse(_to_element(x)), _to_element(y))
        return SE(2).log(moved)

    def retract(
        self, x: Float[Array, "*#batch 3"], v: Float[Array, "*#batch 3"]
    ) -> Float[Array, "*batch 3"]:
        """The same as `exp`."""
        return self.exp(x, v)

    def project(self, x: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
        """x itself: every array (3,) is a point."""
        return x

    def to_tangent(
        self, x: Float[Array, "*#batch 3"], u: Float[Array, "*#batch 3"]
    ) -> Float[Array, "*batch 3"]:
        """Components of the ambient velocity u on the frame."""
        x, u = match_batch((x, 1), (u, 1))
        return jnp.stack([*_in_frame(x[..., 2], u[..., :2]), u[..., 2]], axis=-1)

    def raise_index(
        self, x: Float[Array, "*#batch 3"], dT: Float[Array, "*#batch 3"]
    ) -> Float[Array, "*batch 3"]:
        """The derivatives along the frame, divided by its squared lengths."""
        scaled = self._frame_derivatives(x, dT)
        parts = [scaled[..., i] / w for i, w in enumerate(self._weights)]
        return jnp.stack(parts, axis=-1)

    def frame(self, x: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3 3"]:
        """The rows A1, A2, A3 as ambient vectors."""
        c, s = jnp.cos(x[..., 2]), jnp.sin(x[..., 2])
        zero, one = jnp.zeros_like(c), jnp.ones_like(c)
        rows = [[c, s, zero], [-s, c, zero], [zero, zero, one]]
        return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)

    def transport(
        self,
        x: Float[Array, "*#batch 3"],
        y: Float[Array, "*#batch 3"],
        v: Float[Array, "*#batch 3"],
    ) -> Float[Array, "*batch 3"]:
        """The same frame components at y."""
        return match_batch((x, 1), (y, 1), (v, 1))[2]

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, "3"]:
        """One point: position from N(0, I), heading uniform."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        key_position, key_heading = jax.random.split(key)
        position = jax.random.normal(key_position, (2,), dtype)
        heading = jax.random.uniform(key_heading, (1,), dtype, -jnp.pi, jnp.pi)
        return jnp.concatenate([position, heading])

    def act(
        self, g: Any, x: Float[Array, "*batch 3"], *, group: Group | None = None
    ) -> Float[Array, "*out 3"]:
        """Moves positions and turns headings by an element of SE(2)."""
        check_condition(
            group is None or (isinstance(group, SE) and group.n == 2),
            f"`group` must be SE(2), got {group}.",
        )
        return _to_point(SE(2).compose(g, _to_element(x)))

    def _frame_derivatives(self, x: Array, dT: Array) -> Array:
        """Derivatives along the frame vectors, scaled to unit length."""
        x, dT = match_batch((x, 1), (dT, 1))
        ahead, aside = _in_frame(x[..., 2], dT[..., :2])
        w1, w2, _ = self._weights
        return jnp.stack([ahead / w1, aside / w2, dT[..., 2]], axis=-1)


def _in_frame(theta: Array, u: Array) -> tuple[Array, Array]:
    """R(-theta) u."""
    c, s = jnp.cos(theta), jnp.sin(theta)
    return c * u[..., 0] + s * u[..., 1], c * u[..., 1] - s * u[..., 0]


def _to_element(x: Array) -> tuple[Array, Array]:
    return x[..., :2], x[..., 2]


def _to_point(g: tuple[Array, Array]) -> Array:
    return jnp.concatenate([g[0], g[1][..., None]], axis=-1)
