"""Unit quaternions (w, x, y, z) as rotations of R^3; q and -q are the same rotation."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._batch import match_batch
from eqjax._core._numerics import is_small


def multiply(
    p: Float[Array, "*#batch 4"], q: Float[Array, "*#batch 4"]
) -> Float[Array, "*batch 4"]:
    """The Hamilton product p q."""
    p, q = match_batch((p, 1), (q, 1))
    pw, pv = p[..., :1], p[..., 1:]
    qw, qv = q[..., :1], q[..., 1:]
    w = pw * qw - jnp.sum(pv * qv, axis=-1, keepdims=True)
    return jnp.concatenate([w, pw * qv + qw * pv + jnp.cross(pv, qv)], axis=-1)


def conjugate(q: Float[Array, "*batch 4"]) -> Float[Array, "*batch 4"]:
    """The inverse of a unit quaternion."""
    return jnp.concatenate([q[..., :1], -q[..., 1:]], axis=-1)


def rotate(
    q: Float[Array, "*#batch 4"], x: Float[Array, "*#batch 3"]
) -> Float[Array, "*batch 3"]:
    """x rotated by the unit quaternion q."""
    q, x = match_batch((q, 1), (x, 1))
    w, v = q[..., :1], q[..., 1:]
    turned = jnp.cross(v, x)
    return x + 2 * (w * turned + jnp.cross(v, turned))


def exp(v: Float[Array, "*batch 3"]) -> Float[Array, "*batch 4"]:
    """The rotation by |v| about v."""
    squared = jnp.sum(v * v, axis=-1, keepdims=True)
    small = is_small(squared)
    theta = jnp.sqrt(jnp.where(small, 1, squared))
    w = jnp.where(
        small, 1 + squared * (-1 / 8 + squared * (1 / 384)), jnp.cos(theta / 2)
    )
    sinc = jnp.where(
        small,
        1 / 2 + squared * (-1 / 48 + squared * (1 / 3840)),
        jnp.sin(theta / 2) / theta,
    )
    return jnp.concatenate([w, sinc * v], axis=-1)


def log(q: Float[Array, "*batch 4"]) -> Float[Array, "*batch 3"]:
    """The rotation vector of q, of length at most pi.

    At angle pi the value jumps (cut locus); its derivatives stay finite.
    """
    q = jnp.where(q[..., :1] < 0, -q, q)
    w, v = q[..., :1], q[..., 1:]
    squared = jnp.sum(v * v, axis=-1, keepdims=True)
    small = is_small(squared)
    n = jnp.sqrt(jnp.where(small, 1, squared))
    w_small = jnp.where(small, w, 1)
    ratio = squared / (w_small * w_small)
    series = (2 + ratio * (-2 / 3 + ratio * (2 / 5))) / w_small
    return v * jnp.where(small, series, 2 * jnp.arctan2(n, w) / n)


def to_matrix(q: Float[Array, "*batch 4"]) -> Float[Array, "*batch 3 3"]:
    """The rotation matrix of a unit quaternion."""
    w, x, y, z = (q[..., i] for i in range(4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def from_matrix(m: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 4"]:
    """A unit quaternion of a rotation matrix.

    Of the four ways to divide, the one with the largest divisor is taken.
    """
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # Four times the outer product of the quaternion with itself.
    w = jnp.stack(
        [
            1 + m00 + m11 + m22,
            m[..., 2, 1] - m[..., 1, 2],
            m[..., 0, 2] - m[..., 2, 0],
            m[..., 1, 0] - m[..., 0, 1],
        ],
        axis=-1,
    )
    x = jnp.stack(
        [
            w[..., 1],
            1 + m00 - m11 - m22,
            m[..., 0, 1] + m[..., 1, 0],
            m[..., 0, 2] + m[..., 2, 0],
        ],
        axis=-1,
    )
    y = jnp.stack(
        [
            w[..., 2],
            x[..., 2],
            1 - m00 + m11 - m22,
            m[..., 1, 2] + m[..., 2, 1],
        ],
        axis=-1,
    )
    z = jnp.stack(
        [w[..., 3], x[..., 3], y[..., 3], 1 - m00 - m11 + m22],
        axis=-1,
    )
    outer = jnp.stack([w, x, y, z], axis=-2)
    squares = jnp.stack([w[..., 0], x[..., 1], y[..., 2], z[..., 3]], axis=-1)
    best = jnp.argmax(squares, axis=-1)
    row = jnp.take_along_axis(outer, best[..., None, None], axis=-2)[..., 0, :]
    # The largest square is at least 1, so this norm has no singular point.
    return row / jnp.sqrt(jnp.sum(row * row, axis=-1, keepdims=True))
