"""Linear maps: one matrix for each degree."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_same_dtype, check_shape, check_size
from eqjax.o3._constants import Precision
from eqjax.o3._degrees import Degrees
from eqjax.o3._layouts import feature_degrees, per_component


def linear(
    weights: Float[Array, "irreps channels_in channels_out"],
    x: Float[Array, "dim channels_in"],
    *,
    bias: Float[Array, " channels_out"] | None = None,
    precision: Precision = "highest",
) -> Float[Array, "dim channels_out"]:
    """Mixes the channels of each irrep by a matrix of its own.

        y[l, m, v] = sum_u x[l, m, u] W[l, u, v]   (+ b[v] if l = 0, even)

    Every linear map that commutes with O(3) (with SO(3), if parities are not kept
    apart) is one of these. Features of either layout are taken; their degrees are
    found from the number of components.

    By `jax.vmap(.., in_axes=(None, 1), out_axes=1)`, on (dim, batch, channels), it is
    one batch of matrix products and faster than on (batch, dim, channels).

    Args:
        weights: A matrix for each irrep of `Degrees`, in order: L + 1 of them, or
            2 (L + 1) if `x` has both parities. See `init_linear`.
        x: A feature, shape (dim, channels_in).
        bias: Added to the even scalar, which alone is invariant.
        precision: Of the matrix products.

    Returns:
        A feature of the same degrees, shape (dim, channels_out).

    Raises:
        ValueError: If shapes or dtypes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> weights = jnp.stack([2 * jnp.eye(5), 3 * jnp.eye(5)])
        >>> o3.linear(weights, jnp.ones((4, 5)))[:, 0].tolist()
        [2.0, 3.0, 3.0, 3.0]
    """
    degrees = feature_degrees("x", x)
    check_shape(
        "weights",
        weights,
        (len(degrees.irreps), x.shape[1], None),
        remedy=f"`x` is a feature of {degrees}.",
    )
    check_same_dtype("weights", weights, x)
    y = jax.lax.dot_general(
        x,
        per_component(weights, degrees),
        (((1,), (1,)), ((0,), (0,))),
        precision=precision,
    )
    if bias is None:
        return y
    check_shape("bias", bias, (weights.shape[2],))
    check_same_dtype("bias", bias, x)
    return jnp.concatenate([y[:1] + bias[None], y[1:]])


def init_linear(
    degrees: Degrees,
    channels_in: int,
    channels_out: int,
    *,
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> Float[Array, "irreps channels_in channels_out"]:
    """Random weights of `linear`: uniform in +-1 / sqrt(channels_in).

    Args:
        degrees: What the features are.
        channels_in: Channels of the input.
        channels_out: Channels of the result.
        dtype: Of the weights; default: JAX's default.
        key: A random key.

    Returns:
        A matrix for each irrep.

    Raises:
        ValueError: If a number of channels is not positive.

    Example:
        >>> import jax
        >>> from eqjax import o3
        >>> o3.init_linear(o3.Degrees(2), 8, 16, key=jax.random.key(0)).shape
        (3, 8, 16)
    """
    check_size("channels_in", channels_in)
    check_size("channels_out", channels_out)
    dtype = jnp.result_type(float) if dtype is None else dtype
    bound = 1 / math.sqrt(channels_in)
    shape = (len(degrees.irreps), channels_in, channels_out)
    return jax.random.uniform(key, shape, dtype, -bound, bound)
