"""Functions whose derivatives stay finite at their singular points.

Every one follows the same rule: the argument of the singular operation is replaced
by a harmless one *before* the operation (the "double where"), because a `where`
behind it lets NaN through in reverse mode (0 * inf).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_sqrt(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """sqrt(max(x, 0)), with derivative 0 where x <= 0."""
    positive = ~(x <= 0)  # NaN stays NaN
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def safe_norm(
    x: Float[Array, "*batch n"], *, keepdims: bool = False
) -> Float[Array, "..."]:
    """Euclidean norm of the last axis, with gradient 0 at the zero vector.

    The vector is scaled by its largest entry first, so that squares neither
    overflow nor underflow.
    """
    # The norm does not depend on the scale, so its derivative must not go through it:
    # that would square the scale.
    scale = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    nonzero = scale != 0  # NaN stays NaN
    unit = jnp.where(nonzero, x, 1) / jnp.where(nonzero, scale, 1)
    length = jnp.sqrt(jnp.sum(unit * unit, axis=-1, keepdims=True))
    norm = jnp.where(nonzero, scale * length, 0)
    return norm if keepdims else norm[..., 0]


def safe_normalize(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """x / |x|; the zero vector stays zero, with gradient 0."""
    norm = safe_norm(x, keepdims=True)
    nonzero = norm != 0
    return jnp.where(nonzero, x / jnp.where(nonzero, norm, 1), 0)


def safe_atan2(
    y: Float[Array, "*shape"], x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """atan2(y, x), with value and gradient 0 at the origin."""
    origin = (y == 0) & (x == 0)
    return jnp.where(origin, 0, jnp.arctan2(y, jnp.where(origin, 1, x)))


def safe_acos(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """acos of x clipped to [-1, 1], with derivative 0 at and beyond the ends.

    For the angle between two vectors use `safe_atan2(|a x b|, a . b)` instead, which
    keeps full precision near 0 and pi; acos cannot.
    """
    inside = jnp.abs(x) < 1
    ends = jnp.where(x > 0, 0, jnp.pi).astype(x.dtype)
    return jnp.where(inside, jnp.arccos(jnp.where(inside, x, 0)), ends)


def wrap_angle(angle: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The same angle in [-pi, pi]."""
    turn = 2 * jnp.pi
    return angle - turn * jnp.round(angle / turn)


def is_small(squared: Float[Array, "*shape"]) -> Array:
    """True where a Taylor series to third order in `squared` is exact to rounding."""
    return squared < float(jnp.finfo(squared.dtype).eps) ** (1 / 3)
