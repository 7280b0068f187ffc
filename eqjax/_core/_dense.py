"""Dense layers and normalizations as functions of nested dicts of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

Params: TypeAlias = dict[str, Any]

# Of every LayerNorm here; the value of the published fields.
_EPS = 1e-5


def init_dense(
    num_in: int, num_out: int, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
) -> dict[str, Array]:
    """Kernel (num_in, num_out) and bias, uniform in +-1/sqrt(num_in)."""
    dtype = jnp.result_type(float) if dtype is None else dtype
    key_kernel, key_bias = jax.random.split(key)
    bound = num_in**-0.5
    return {
        "kernel": jax.random.uniform(
            key_kernel, (num_in, num_out), dtype, -bound, bound
        ),
        "bias": jax.random.uniform(key_bias, (num_out,), dtype, -bound, bound),
    }


def init_dense_he(
    num_in: int, num_out: int, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
) -> dict[str, Array]:
    """Kernel (num_in, num_out) from N(0, 2 / num_in) (He), bias 0."""
    dtype = jnp.result_type(float) if dtype is None else dtype
    kernel = (2 / num_in) ** 0.5 * jax.random.normal(key, (num_in, num_out), dtype)
    return {"kernel": kernel, "bias": jnp.zeros(num_out, dtype)}


def dense(
    params: dict[str, Array],
    x: Float[Array, "*batch n"],
    *,
    precision: jax.lax.PrecisionLike = None,
) -> Float[Array, "*batch m"]:
    """x W + b."""
    y = jnp.matmul(x, params["kernel"], precision=precision)
    return y + params["bias"].reshape((1,) * (y.ndim - 1) + (-1,))


def init_norm(num: int, *, dtype: DTypeLike | None = None) -> dict[str, Array]:
    """Scale 1 and offset 0."""
    return {"scale": jnp.ones(num, dtype), "offset": jnp.zeros(num, dtype)}


def standardize(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """LayerNorm without scale and offset: mean 0 and variance 1 over the last axis."""
    centered = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centered * centered, axis=-1, keepdims=True)
    return centered * jax.lax.rsqrt(variance + _EPS)


def fold_norm(norm: dict[str, Array], following: dict[str, Array]) -> dict[str, Array]:
    """The linear map after `standardize` that does what norm and map did, in full."""
    shift = jnp.matmul(norm["offset"], following["kernel"], precision="highest")
    return {
        "kernel": norm["scale"][:, None] * following["kernel"],
        "bias": shift + following["bias"],
    }


def fold_dense(first: dict[str, Array], second: dict[str, Array]) -> dict[str, Array]:
    """Two linear maps with nothing between them as one, in full precision."""
    kernel = second["kernel"]
    shift = jnp.matmul(first["bias"], kernel, precision="highest")
    return {
        "kernel": jnp.matmul(first["kernel"], kernel, precision="highest"),
        "bias": shift + second["bias"],
    }


def split_named(key: Key[Array, ""], names: Sequence[str]) -> dict[str, Key[Array, ""]]:
    """One key per name."""
    return dict(zip(names, jax.random.split(key, len(names)), strict=True))
