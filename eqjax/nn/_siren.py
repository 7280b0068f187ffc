"""The network of sines that makes continuous kernels."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._dense import split_named
from eqjax.nn._features import Params, default_dtype

# Of the published kernels (Mironenco, Forre 2024): layers of sines and their width.
DEPTH, WIDTH = 3, 60


def init_siren(
    num_in: int,
    num_out: int,
    frequency: float,
    gain: float,
    *,
    hidden_frequency: float | None = None,
    width: int = WIDTH,
    depth: int = DEPTH,
    output_bias: bool = False,
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> Params:
    """Weights of `depth` layers sin(w0 (W x + b)), and of a linear one.

    The first layer is uniform in +-1/num_in, the others in +-sqrt(6/width)/w0, which
    keeps the distribution of the sines; the last one has no w0. As a sine has variance
    1/2, outputs have the variance gain^2, without the bias.

    References:
        Sitzmann, Martel, Bergman, Lindell, Wetzstein, "Implicit neural representations
        with periodic activation functions" (2020), section 3.2.
    """
    names = [f"sine_{k}" for k in range(depth)]
    keys = split_named(key, [*names, "linear"])
    sizes = [num_in] + [width] * depth
    later = frequency if hidden_frequency is None else hidden_frequency
    params: Params = {}
    for k, name in enumerate(names):
        bound = math.sqrt(6 / width) / later if k else 1 / num_in
        params[name] = _uniform(keys[name], sizes[k], width, bound, dtype)
    bound = gain * math.sqrt(6 / sizes[-1])
    params["linear"] = _uniform(keys["linear"], sizes[-1], num_out, bound, dtype)
    if not output_bias:
        del params["linear"]["bias"]
    return params


def siren(
    params: Params,
    frequency: float,
    x: Float[Array, "*batch num_in"],
    *,
    hidden_frequency: float | None = None,
) -> Float[Array, "*batch num_out"]:
    """The network of `init_siren`."""
    for k in range(len(params) - 1):
        x = jnp.sin(frequency * _affine(params[f"sine_{k}"], x))
        frequency = frequency if hidden_frequency is None else hidden_frequency
    return _affine(params["linear"], x)


def _affine(params: Params, x: Array) -> Array:
    """x W + b with all digits, as a phase needs them; b may be missing."""
    y = jnp.matmul(x, params["kernel"], precision="highest")
    if "bias" in params:
        y = y + params["bias"].reshape((1,) * (y.ndim - 1) + (-1,))
    return y


def _uniform(
    key: Array, num_in: int, num_out: int, bound: float, dtype: DTypeLike | None
) -> dict[str, Array]:
    key_kernel, key_bias = jax.random.split(key)
    shape, dtype = (num_in, num_out), default_dtype(dtype)
    return {
        "kernel": jax.random.uniform(key_kernel, shape, dtype, -bound, bound),
        "bias": jax.random.uniform(key_bias, (num_out,), dtype, -bound, bound),
    }
