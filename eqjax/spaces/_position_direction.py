"""The geometry of R^3 x S^2, for `PositionOrientation(3)`.

A point is (position, unit vector o), an array (6,), and so is a tangent vector (u, w),
w orthogonal to o. Weights are the lengths (w1, w2, 1) of a step along o, across o, and
of a turn by a radian.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqjax._core._batch import match_batch
from eqjax._core._numerics import safe_norm, safe_normalize
from eqjax.groups import SO, Group
from eqjax.spaces._sphere import Sphere

Weights = tuple[float, float, float]


def half_angle_coordinates(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Displacement along and across the mean direction, and the angle between both."""
    (p, o), (p_y, o_y) = split(x), split(y)
    r, middle = p_y - p, safe_normalize(o + o_y)
    ahead = jnp.sum(r * middle, axis=-1)
    across = safe_norm(r - ahead[..., None] * middle)
    return ahead, across, Sphere(2).distance(o, o_y)


def are_antipodal(x: Array, y: Array) -> Array:
    """True where the directions are opposite, so that they have no mean."""
    return jnp.all(split(x)[1] + split(y)[1] == 0, axis=-1)


def scaled_covector(weights: Weights, x: Array, dT: Array, *, forward: bool) -> Array:
    """Derivatives along, across and around o, per unit of length; (*batch, 7)."""
    ahead, _, across, turn = _covector_parts(x, dT, forward=forward)
    w1, w2, _ = weights
    return jnp.concatenate([ahead / w1, across / w2, turn], axis=-1)


def raise_index(weights: Weights, x: Array, dT: Array, *, forward: bool) -> Array:
    """The gradient vector: the parts of `dT` divided by the squared weights."""
    _, along, across, turn = _covector_parts(x, dT, forward=forward)
    w1, w2, _ = weights
    return jnp.concatenate([along / w1**2 + across / w2**2, turn], axis=-1)


def inner(weights: Weights, x: Array, u: Array, v: Array) -> Array:
    """The weighted sum of products along, across and around o."""
    _, o = split(x)
    (u, turn_u), (v, turn_v) = split(u), split(v)
    along = jnp.sum(o * u, axis=-1) * jnp.sum(o * v, axis=-1)
    sphere = Sphere(2)
    across = jnp.sum(sphere.to_tangent(o, u) * sphere.to_tangent(o, v), axis=-1)
    w1, w2, _ = weights
    return w1**2 * along + w2**2 * across + jnp.sum(turn_u * turn_v, axis=-1)


def retract(x: Array, v: Array) -> Array:
    """The point whose direction is turned by w, displaced by u turned half as far."""
    (p, o), (u, w) = split(x), split(v)
    turn = jnp.cross(o, w)
    moved = SO(3).act(SO(3).exp(turn / 2), u)
    return jnp.concatenate([p + moved, Sphere(2).exp(o, w)], axis=-1)


def log(x: Array, y: Array) -> Array:
    """The inverse of `retract`, turning by at most pi."""
    (p, o), (p_y, o_y) = split(x), split(y)
    w = Sphere(2).log(o, o_y)
    back = SO(3).exp(-jnp.cross(o, w) / 2)
    return jnp.concatenate([SO(3).act(back, p_y - p), w], axis=-1)


def to_tangent(x: Array, u: Array) -> Array:
    """The ambient vector without the part that lengthens o."""
    u, w = split(u)
    return jnp.concatenate([u, Sphere(2).to_tangent(split(x)[1], w)], axis=-1)


def transport(x: Array, y: Array, v: Array) -> Array:
    """Both parts, turned by the smallest rotation that takes o to the one at y."""
    o, o_y = split(x)[1], split(y)[1]
    turn = SO(3).exp(jnp.cross(o, Sphere(2).log(o, o_y)))
    return jnp.concatenate([SO(3).act(turn, part) for part in split(v)], axis=-1)


def project(x: Array) -> Array:
    """The same position, and the direction at unit length."""
    p, o = split(x)
    return jnp.concatenate([p, safe_normalize(o)], axis=-1)


def sample(dtype: Any, key: Array) -> Array:
    """Position from N(0, I), direction uniform."""
    key_position, key_direction = jax.random.split(key)
    position = jax.random.normal(key_position, (3,), dtype)
    direction = Sphere(2).sample(dtype=dtype, key=key_direction)
    return jnp.concatenate([position, direction])


def act(group: Group, linear: Group, g: tuple[Array, Any], x: Array) -> Array:
    """(h p + t, h o); `linear` is the group of the h."""
    p, o = split(x)
    moved, turned = match_batch((group.act(g, p), 1), (linear.act(g[1], o), 1))
    return jnp.concatenate([moved, turned], axis=-1)


def split(x: Array) -> tuple[Array, Array]:
    """Position and direction."""
    return x[..., :3], x[..., 3:]


def _covector_parts(
    x: Array, dT: Array, *, forward: bool
) -> tuple[Array, Array, Array, Array]:
    """o . dT, that times o, the rest of the position part, the turning part."""
    _, o = split(x)
    moving, turning = split(dT)
    ahead = jnp.sum(o * moving, axis=-1, keepdims=True)
    across = moving - ahead * o
    if forward:
        ahead = jnp.maximum(ahead, 0)
    return ahead, ahead * o, across, Sphere(2).to_tangent(o, turning)
