"""Hyperbolic space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition, check_size
from eqjax._core._numerics import is_small, safe_norm, safe_sqrt
from eqjax._core._specs import register_spec
from eqjax.groups import Group, Lorentz


@register_spec
@dataclass(frozen=True, order=True)
class Hyperbolic:
    """H^n, the complete space of constant curvature -1.

    A point is the spatial part x (n,) of (x0, x) on the hyperboloid -x0^2 + |x|^2 = -1,
    x0 = sqrt(1 + |x|^2); every array (n,) is a point, at distance asinh|x| from the
    origin. A tangent vector v is spatial too and has the squared length |v|^2 - (x .
    v)^2 / x0^2. In float32 use points within distance 6 of the origin: coordinates grow
    like its exponential, and their rounding with them. `sample` draws exp(0, v), v from
    N(0, I).

    Args:
        n: Dimension, at least 1.

    Raises:
        ValueError: If `n` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import spaces
        >>> X = spaces.Hyperbolic(2)
        >>> x, y = (X.from_half_plane(jnp.array(z)) for z in ([0.0, 1.0], [0.0, 4.0]))
        >>> round(float(X.distance(x, y)), 5)  # log 4
        1.38629
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
        """O+(1, n): boosts, rotations and reflections that keep the time direction."""
        return Lorentz(self.n, reflections="space")

    def distance(
        self, x: Float[Array, "*#batch n"], y: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch"]:
        """2 asinh(sqrt(q) / 2), q = |x - y|^2 - (x0 - y0)^2, gradient 0 where x = y."""
        x, y = match_batch((x, 1), (y, 1))
        return 2 * jnp.arcsinh(safe_sqrt(squared_chord(x, y)) / 2)

    def dual_norm(
        self, x: Float[Array, "*#batch n"], dT: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch"]:
        """sqrt(|dT|^2 + (x . dT)^2)."""
        x, dT = match_batch((x, 1), (dT, 1))
        along = jnp.sum(x * dT, axis=-1, keepdims=True)
        return safe_norm(jnp.concatenate([dT, along], axis=-1))

    def inner(
        self,
        x: Float[Array, "*#batch n"],
        u: Float[Array, "*#batch n"],
        v: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch"]:
        """u . v - (x . u) (x . v) / x0^2, evaluated without cancellation."""
        x, u, v = match_batch((x, 1), (u, 1), (v, 1))
        areas = jnp.sum(_wedge(x, u) * _wedge(x, v), axis=-1)
        return (jnp.sum(u * v, axis=-1) + areas) / (1 + jnp.sum(x * x, axis=-1))

    def exp(
        self, x: Float[Array, "*#batch n"], v: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """cosh|v| x + (sinh|v| / |v|) v, the geodesic with velocity v."""
        x, v = match_batch((x, 1), (v, 1))
        cosh, sinhc = _cosh_and_sinhc(self.inner(x, v, v)[..., None])
        return cosh * x + sinhc * v

    def log(
        self, x: Float[Array, "*#batch n"], y: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """(d / sinh d) (y - cosh(d) x), the inverse of `exp`."""
        x, y = match_batch((x, 1), (y, 1))
        # With q = 4 sinh(d/2)^2: cosh d = 1 + q/2, so that y - x appears by itself.
        q = squared_chord(x, y)[..., None]
        return _d_over_sinh(q) * (y - x - q / 2 * x)

    def retract(
        self, x: Float[Array, "*#batch n"], v: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """x + v, which commutes with rotations and reflections, but not with boosts.

        Where that matters, use `exp`.
        """
        x, v = match_batch((x, 1), (v, 1))
        return x + v

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
        """dT + (x . dT) x."""
        x, dT = match_batch((x, 1), (dT, 1))
        return dT + jnp.sum(x * dT, axis=-1, keepdims=True) * x

    def frame(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
        """Orthonormal rows: t times the axes of the upper half-space (z, t).

        At the origin they are the axes. The motions (z, t) -> (a z + b, a t), a > 0,
        one of which takes any point to any other, carry the frame along; the whole
        group does not, as it turns the vectors at a fixed point.
        """
        aside, last = x[..., :-1], x[..., -1:]
        height = self.to_half_plane(x)[..., -1:]
        one = jnp.broadcast_to(
            jnp.eye(self.n - 1, dtype=x.dtype), (*x.shape[:-1], self.n - 1, self.n - 1)
        )
        upper = jnp.concatenate([one, (aside * height)[..., None]], axis=-1)
        lower = jnp.concatenate([-aside, height - last], axis=-1)
        return jnp.concatenate([upper, lower[..., None, :]], axis=-2)

    def transport(
        self,
        x: Float[Array, "*#batch n"],
        y: Float[Array, "*#batch n"],
        v: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch n"]:
        """Parallel transport along the geodesic from x to y."""
        x, y, v = match_batch((x, 1), (y, 1), (v, 1))
        x0, y0 = _time(x), _time(y)
        sum_, difference = x + y, y - x
        rise = jnp.sum(sum_ * difference, axis=-1, keepdims=True) / (x0 + y0)
        product = jnp.sum((difference - rise / x0 * x) * v, axis=-1, keepdims=True)
        return v + product / (2 + squared_chord(x, y)[..., None] / 2) * sum_

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, " n"]:
        """One point exp(0, v), v from N(0, I)."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        v = jax.random.normal(key, (self.n,), dtype)
        return self.exp(jnp.zeros_like(v), v)

    def act(
        self, g: Any, x: Float[Array, "*batch n"], *, group: Group | None = None
    ) -> Float[Array, "*out n"]:
        """Moves points by a Lorentz matrix ((n+1, n+1), index 0 is time)."""
        group = self.group if group is None else group
        check_condition(
            isinstance(group, Lorentz)
            and group.n == self.n
            and group.reflections != "all",
            f"`group` must be Lorentz({self.n}) or Lorentz({self.n}, reflections="
            f'"space"), which keep the time direction, got {group}.',
        )
        return group.act(g, jnp.concatenate([_time(x), x], axis=-1))[..., 1:]

    def from_half_plane(self, z: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """The point with upper half-space coordinates (z, t), t > 0 the last of them.

        The metric is (|dz|^2 + dt^2) / t^2; (0, ..., 0, 1) becomes the origin.
        """
        aside, height = z[..., :-1], z[..., -1:]
        squared = jnp.sum(aside * aside, axis=-1, keepdims=True)
        # (|z|^2 + t^2 - 1) / (2 t) as a sum that is exact near t = 1.
        last = (squared + (height - 1) * (height + 1)) / (2 * height)
        return jnp.concatenate([aside / height, last], axis=-1)

    def to_half_plane(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """The inverse of `from_half_plane`."""
        aside, last = x[..., :-1], x[..., -1:]
        x0 = _time(x)
        # t = 1 / (x0 - x_n), where (x0 - x_n) (x0 + x_n) = 1 + |aside|^2.
        rest = 1 + jnp.sum(aside * aside, axis=-1, keepdims=True)
        positive = last > 0
        away = x0 + jnp.where(positive, last, -last)
        height = jnp.where(positive, away / rest, 1 / away)
        return jnp.concatenate([aside * height, height], axis=-1)

    def from_ball(self, z: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """The point with Poincaré ball coordinates z, |z| < 1: 2 z / (1 - |z|^2)."""
        norm = safe_norm(z, keepdims=True)
        return 2 * z / ((1 - norm) * (1 + norm))

    def to_ball(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """The inverse of `from_ball`: x / (1 + x0)."""
        return x / (1 + _time(x))


def boost_to_origin(origin: Array, x: Array) -> Array:
    """x, moved by the boost that takes `origin` to 0."""
    difference = x - origin
    origin0 = _time(origin)
    along = jnp.sum(origin * difference, axis=-1, keepdims=True)
    rise = jnp.sum((x + origin) * difference, axis=-1, keepdims=True)
    rise = rise / (_time(x) + origin0)  # x0 - origin0, without cancellation
    return difference + (along / (1 + origin0) - rise) * origin


def squared_chord(x: Array, y: Array) -> Array:
    """Minkowski square of x - y, q = |x - y|^2 - (x0 - y0)^2 >= 0.

    With W = |x ^ y|^2 (the sum of squared 2 x 2 minors) and <x, y> the spatial product,
    q (1 + x0 y0 + <x, y>) = 2 (|x - y|^2 + W): a quotient of sums of positive terms
    where <x, y> >= 0, so nothing cancels far from the origin. Elsewhere the second
    factor is 2 + (|x + y|^2 + W) / (1 + x0 y0 - <x, y>), again such a sum.
    """
    sum_, difference = x + y, x - y
    # x ^ y = (x - y) ^ x = (x - y) ^ y; the nearer point keeps most digits.
    sizes = (jnp.sum(p * p, axis=-1, keepdims=True) for p in (x, y))
    nearer = jnp.where(next(sizes) < next(sizes), x, y)
    minors = _wedge(difference, nearer)
    area = jnp.sum(minors * minors, axis=-1)
    dot = jnp.sum(x * y, axis=-1)
    # A choice of sign, not an absolute value: its derivative is right at 0 too.
    opposite = dot < 0
    same = (_time(x) * _time(y))[..., 0] + jnp.where(opposite, -dot, dot) + 1
    across = 2 + (jnp.sum(sum_ * sum_, axis=-1) + area) / same
    near = jnp.sum(difference * difference, axis=-1) + area
    return 2 * near / jnp.where(opposite, across, same)


def _time(x: Array) -> Array:
    """x0 = sqrt(1 + |x|^2), keeping the axis."""
    return jnp.sqrt(1 + jnp.sum(x * x, axis=-1, keepdims=True))


def _wedge(x: Array, y: Array) -> Array:
    """The minors x_i y_j - x_j y_i, i < j."""
    i, j = np.triu_indices(x.shape[-1], 1)
    return x[..., i] * y[..., j] - x[..., j] * y[..., i]


def _cosh_and_sinhc(squared: Array) -> tuple[Array, Array]:
    """cosh(t) and sinh(t) / t of t^2."""
    small = is_small(squared)
    t = jnp.sqrt(jnp.where(small, 1, squared))
    cosh = 1 + squared * (1 / 2 + squared * (1 / 24))
    sinhc = 1 + squared * (1 / 6 + squared * (1 / 120))
    return jnp.where(small, cosh, jnp.cosh(t)), jnp.where(small, sinhc, jnp.sinh(t) / t)


def _d_over_sinh(q: Array) -> Array:
    """d / sinh(d) of q = 4 sinh(d/2)^2."""
    squared = q / 4
    small = is_small(squared)
    s = jnp.sqrt(jnp.where(small, 1, squared))
    series = 1 + squared * (-2 / 3 + squared * (8 / 15))
    return jnp.where(small, series, jnp.arcsinh(s) / (s * jnp.sqrt(1 + s * s)))
