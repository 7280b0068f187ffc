"""Positions and orientations in the plane and in space."""

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
from eqjax.groups import SE, E, Group, embed, is_subgroup
from eqjax.spaces import _position_direction as directions

# Factor of the sub-Riemannian part of the distance, from Bekkers et al. (2018), below.
_NU = 1.6
_FORMS = (
    "combined",
    "combined_covariant",
    "half_angle",
    "sub_riemannian",
    "sub_riemannian_covariant",
    "lower_bound",
)


@register_spec
@dataclass(frozen=True, order=True)
class PositionOrientation:
    """R^n x S^(n-1), positions and headings (of a car, a needle), n = 2 or 3.

    n = 2: a point is (x, y, theta), theta any real number in radians, equal modulo 2
    pi. A tangent vector has components (forward, sideways, turning) on the
    left-invariant frame A1 = (cos theta, sin theta, 0), A2 = (-sin theta, cos theta,
    0), A3 = (0, 0, 1), whose lengths are w1 = xi, w2 = xi / eps and w3 = 1: moving
    sideways costs 1 / eps times as much as moving forward. eps = 0 is the
    sub-Riemannian limit.

    n = 3: a point is (position, unit vector o), an array (6,), and a tangent vector is
    its velocity (6,). Steps along o have the weight w1, steps across o w2, turns w3.

    `distance` is exact for eps = 1 (but for the sub-Riemannian forms). Otherwise it is
    a left-invariant, symmetric closed form, chosen by `form`. Let b1 and b2 be the
    displacement along and across the mean heading and b3 the angle between both:

    - "half_angle": sqrt(w1^2 b1^2 + w2^2 b2^2 + w3^2 b3^2);
    - "sub_riemannian": ((1.6 (w1 + w3))^4 b2^2 + (w1^2 b1^2 + w3^2 b3^2)^2)^(1/4);
    - "sub_riemannian_covariant": the same with (4 pi w1 w3)^2 before b2^2, which scales
      like a distance when the unit of length changes;
    - "lower_bound": sqrt(w1^2 (b1^2 + b2^2) + w3^2 b3^2), never above the distance;
    - "combined": max(lower bound, min(sub-Riemannian, half-angle)), the default;
    - "combined_covariant": the same with the covariant one.

    Opposite headings in R^3 x S^2 have no mean: there the lower bound is returned.
    `sample` draws the position from N(0, I) and the heading uniformly.

    Args:
        n: Dimension of the position; 2 or 3.
        xi: Cost of a unit of forward motion relative to a radian, positive.
        eps: Ratio of forward to sideways cost, in [0, 1].
        form: Closed form of `distance`, one of those above.
        forward_only: No motion backwards: `dual_norm` and `raise_index` drop negative
            derivatives along A1. `distance` stays that of the reversible motion, which
            is at most the forward one.

    Raises:
        ValueError: If a field is out of its range, or `form` is "half_angle" at eps =
            0, where it is infinite.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import spaces
        >>> X = spaces.PositionOrientation(2)
        >>> float(X.distance(jnp.zeros(3), jnp.array([3.0, 4.0, 0.0])))
        5.0

    References:
        Bekkers, Chen, Portegies, "Nilpotent approximations of sub-Riemannian distances
        for fast perceptual grouping of blood vessels" (2018), equations 14 and 20.
        Duits, Meesters, Mirebeau, Portegies, "Optimal paths for variants of the 2D and
        3D Reeds-Shepp car with applications in image analysis" (2018): forward motion.
    """

    n: int = 2
    xi: float = 1.0
    eps: float = 1.0
    form: str = "combined"
    forward_only: bool = False

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("n", self.n, (2, 3))
        check_positive("xi", self.xi)
        check_positive("eps", self.eps, zero=True)
        check_condition(self.eps <= 1, f"`eps` must be at most 1, got {self.eps}.")
        check_choice("form", self.form, _FORMS)
        check_choice("forward_only", self.forward_only, (False, True))
        check_condition(
            self.eps > 0 or self.form != "half_angle",
            '`form` "half_angle" needs eps > 0: it is infinite at eps = 0. Use '
            '"combined".',
        )

    @property
    def dim(self) -> int:
        """Dimension, 3 or 5."""
        return 2 * self.n - 1

    @property
    def ambient_dim(self) -> int:
        """Size of a point, 3 or 6."""
        return 3 * (self.n - 1)

    @property
    def tangent_dim(self) -> int:
        """Size of a tangent vector, 3 or 6."""
        return self.ambient_dim

    @property
    def group(self) -> Group:
        """SE(n)."""
        return SE(self.n)

    @property
    def _weights(self) -> tuple[float, float, float]:
        """Lengths of a step ahead, a step aside and a turn."""
        side = self.xi / self.eps if self.eps > 0 else math.inf
        return self.xi, side, 1.0

    @property
    def distance_ratio(self) -> tuple[float, float]:
        """Bounds of the true distance over `distance`: (1, 1) where that is exact.

        For the "combined" forms with eps < 1, (0.5, 1.5): lengths of geodesics were
        0.56 to 1.04 times `distance`, for xi from 0.2 to 2 and eps from 0.02 to 0.5.
        "sub_riemannian" has no bounds, (0, inf).
        """
        if self.form.startswith("sub_riemannian"):
            return 0.0, math.inf
        if self.eps == 1:
            return 1.0, 1.0
        if self.form == "lower_bound":
            return 1.0, 1 / self.eps if self.eps > 0 else math.inf
        return (self.eps if self.form == "half_angle" else 0.5), 1.5

    def distance(
        self, x: Float[Array, "*#batch ambient"], y: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch"]:
        """The distance (eps = 1), or its closed-form approximation (eps < 1)."""
        x, y = match_batch((x, 1), (y, 1))
        if self.n == 3:
            distance, lower = self._forms(*directions.half_angle_coordinates(x, y))
            return jnp.where(directions.are_antipodal(x, y), lower, distance)
        turn = wrap_angle(y[..., 2] - x[..., 2])
        ahead, aside = _in_frame(x[..., 2], y[..., :2] - x[..., :2])
        # Half-angle coordinates: they only change sign when x and y are exchanged.
        c, s = jnp.cos(turn / 2), jnp.sin(turn / 2)
        return self._forms(c * ahead + s * aside, c * aside - s * ahead, turn)[0]

    def dual_norm(
        self, x: Float[Array, "*#batch ambient"], dT: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch"]:
        """sqrt((A1 T / w1)^2 + (A2 T / w2)^2 + (A3 T / w3)^2), or with max(A1 T, 0).

        The second is the norm of `forward_only`. For n = 3 the terms are the parts of
        `dT` along o, across o, and tangent to the sphere of directions.
        """
        return safe_norm(self._scaled_covector(x, dT))

    def inner(
        self,
        x: Float[Array, "*#batch ambient"],
        u: Float[Array, "*#batch ambient"],
        v: Float[Array, "*#batch ambient"],
    ) -> Float[Array, "*batch"]:
        """The weighted dot product of the components ahead, aside and turning.

        Raises:
            ValueError: For eps = 0, where sideways vectors have no finite length.
        """
        check_condition(
            self.eps > 0, "`inner` needs eps > 0: the metric is singular at eps = 0."
        )
        x, u, v = match_batch((x, 1), (u, 1), (v, 1))
        if self.n == 3:
            return directions.inner(self._weights, x, u, v)
        w1, w2, w3 = (weight**2 for weight in self._weights)
        product = u * v
        return w1 * product[..., 0] + w2 * product[..., 1] + w3 * product[..., 2]

    def exp(
        self, x: Float[Array, "*#batch ambient"], v: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch ambient"]:
        """The exponential curve of the group from x: constant speed in its frame.

        For n = 3 a point has no frame: the heading turns along its great circle, and
        the displacement is turned half as far, which agrees to first order.
        """
        x, v = match_batch((x, 1), (v, 1))
        if self.n == 3:
            return directions.retract(x, v)
        return _to_point(SE(2).compose(_to_element(x), SE(2).exp(v)))

    def log(
        self, x: Float[Array, "*#batch ambient"], y: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch ambient"]:
        """The inverse of `exp`, turning by at most pi."""
        x, y = match_batch((x, 1), (y, 1))
        if self.n == 3:
            return directions.log(x, y)
        moved = SE(2).compose(SE(2).inverse(_to_element(x)), _to_element(y))
        return SE(2).log(moved)

    def retract(
        self, x: Float[Array, "*#batch ambient"], v: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch ambient"]:
        """The same as `exp`."""
        return self.exp(x, v)

    def project(
        self, x: Float[Array, "*batch ambient"]
    ) -> Float[Array, "*batch ambient"]:
        """x itself for n = 2; with its direction at unit length for n = 3."""
        return directions.project(x) if self.n == 3 else x

    def to_tangent(
        self, x: Float[Array, "*#batch ambient"], u: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch ambient"]:
        """Frame components (n = 2) or tangent part (n = 3) of an ambient velocity."""
        x, u = match_batch((x, 1), (u, 1))
        if self.n == 3:
            return directions.to_tangent(x, u)
        return jnp.stack([*_in_frame(x[..., 2], u[..., :2]), u[..., 2]], axis=-1)

    def raise_index(
        self, x: Float[Array, "*#batch ambient"], dT: Float[Array, "*#batch ambient"]
    ) -> Float[Array, "*batch ambient"]:
        """The derivatives ahead, aside and turning, divided by the squared weights."""
        if self.n == 3:
            x, dT = match_batch((x, 1), (dT, 1))
            return directions.raise_index(
                self._weights, x, dT, forward=self.forward_only
            )
        scaled = self._scaled_covector(x, dT)
        parts = [scaled[..., i] / w for i, w in enumerate(self._weights)]
        return jnp.stack(parts, axis=-1)

    def frame(
        self, x: Float[Array, "*batch ambient"]
    ) -> Float[Array, "*batch 3 ambient"]:
        """The rows A1, A2, A3 as ambient vectors.

        Raises:
            ValueError: For n = 3, where the sphere of directions has no frame.
        """
        check_condition(
            self.n == 2,
            "R^3 x S^2 has no continuous left-invariant frame. Use `to_tangent`.",
        )
        c, s = jnp.cos(x[..., 2]), jnp.sin(x[..., 2])
        zero, one = jnp.zeros_like(c), jnp.ones_like(c)
        rows = [[c, s, zero], [-s, c, zero], [zero, zero, one]]
        return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)

    def transport(
        self,
        x: Float[Array, "*#batch ambient"],
        y: Float[Array, "*#batch ambient"],
        v: Float[Array, "*#batch ambient"],
    ) -> Float[Array, "*batch ambient"]:
        """The same frame components at y; for n = 3 the smallest rotation to y."""
        x, y, v = match_batch((x, 1), (y, 1), (v, 1))
        return directions.transport(x, y, v) if self.n == 3 else v

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, " ambient"]:
        """One point: position from N(0, I), heading uniform."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        if self.n == 3:
            return directions.sample(dtype, key)
        key_position, key_heading = jax.random.split(key)
        position = jax.random.normal(key_position, (2,), dtype)
        heading = jax.random.uniform(key_heading, (1,), dtype, -jnp.pi, jnp.pi)
        return jnp.concatenate([position, heading])

    def act(
        self, g: Any, x: Float[Array, "*batch ambient"], *, group: Group | None = None
    ) -> Float[Array, "*out ambient"]:
        """Moves positions and turns headings by an element of SE(n) or E(n).

        Reflections reflect both. Elements of the subgroups that `groups.embed` knows
        move points too.
        """
        group = SE(self.n) if group is None else group
        largest = E(self.n)
        check_condition(
            is_subgroup(group, largest),
            f"`group` must be SE({self.n}), E({self.n}) or a subgroup, got {group}.",
        )
        if not isinstance(group, (SE, E)):
            g, group = embed(group, largest, g, dtype=x.dtype), largest
        if self.n == 3:
            return directions.act(group, group.linear_part, g, x)
        if isinstance(group, SE):
            return _to_point(group.compose(g, _to_element(x)))
        position, angle = _to_element(x)
        # The reflection that is left on the right keeps the heading.
        unreflected = jnp.zeros(angle.shape, jnp.int32)
        position, (angle, _) = group.compose(g, (position, (angle, unreflected)))
        return _to_point((position, angle))

    def _forms(self, b1: Array, b2: Array, b3: Array) -> tuple[Array, Array]:
        """The chosen form of the distance, and the lower bound."""
        w1, w2, _ = self._weights
        lower = safe_norm(jnp.stack([w1 * b1, w1 * b2, b3], axis=-1))
        combined = self.form.startswith("combined")
        if self.form == "lower_bound" or (self.eps == 1 and combined):
            return lower, lower
        full = None
        if self.eps > 0:
            full = safe_norm(jnp.stack([w1 * b1, w2 * b2, b3], axis=-1))
            if self.form == "half_angle":
                return full, lower
        covariant = self.form.endswith("covariant")
        factor = (4 * math.pi * w1) ** 2 if covariant else (_NU * (w1 + 1)) ** 4
        flat = w1**2 * b1**2 + b3**2
        sub = safe_sqrt(safe_sqrt(factor * b2**2 + flat**2))
        if not combined:
            return sub, lower
        return jnp.maximum(
            lower, sub if full is None else jnp.minimum(sub, full)
        ), lower

    def _scaled_covector(self, x: Array, dT: Array) -> Array:
        """Derivatives ahead, aside and turning, per unit of length."""
        x, dT = match_batch((x, 1), (dT, 1))
        if self.n == 3:
            return directions.scaled_covector(
                self._weights, x, dT, forward=self.forward_only
            )
        ahead, aside = _in_frame(x[..., 2], dT[..., :2])
        if self.forward_only:
            ahead = jnp.maximum(ahead, 0)
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
