"""Kernels of the plane that are linear in their weights: Hermite functions."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax.nn._features import Params, default_dtype


def hermite_functions(
    x: Float[Array, "*batch 2"], degree: int
) -> Float[Array, "*batch functions"]:
    """Hermite functions psi_m(x_1) psi_n(x_2), m + n <= degree; orthonormal.

    They span the polynomials up to that degree times exp(-|x|^2 / 2), which is also the
    span of the derivatives of that Gaussian.
    """
    envelope = math.pi**-0.25 * jnp.exp(-x * x / 2)
    # psi_{n+1} = (2/(n+1))^(1/2) x psi_n - (n/(n+1))^(1/2) psi_{n-1}
    psi = [envelope]
    for n in range(degree):
        following = math.sqrt(2 / (n + 1)) * x * psi[n]
        psi.append(following - math.sqrt(n / (n + 1)) * psi[n - 1] if n else following)
    pairs = [(m, n) for m in range(degree + 1) for n in range(degree + 1 - m)]
    return jnp.stack([psi[m][..., 0] * psi[n][..., 1] for m, n in pairs], axis=-1)


def group_functions(
    coordinates: Float[Array, "*batch coordinates"], width: float
) -> Float[Array, "*batch functions"]:
    """1, log P / width, and cos, sin of once and twice the angle of R, for h = P R.

    Args:
        coordinates: Those of log P, then cos and sin of the angle.
        width: Of the group window.
    """
    c, s = coordinates[..., -2], coordinates[..., -1]
    turns = jnp.stack([jnp.ones_like(c), c, s, c * c - s * s, 2 * c * s], axis=-1)
    return jnp.concatenate([turns, coordinates[..., :-2] / width], axis=-1)


def init_hermite(
    x: np.ndarray,
    degree: int,
    num_coordinates: int,
    num_out: int,
    channels_in: int,
    *,
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> Params:
    """Normal weights, with which white noise at points x keeps its variance at h = 1.

    Args:
        x: Points of the plane, in units of the Gaussian's deviation.
        degree: Of `hermite_functions`.
        num_coordinates: Of the group; 0: kernels of the plane only.
        num_out: Number of kernels.
        channels_in: Number of channels that are summed.
        dtype: Of the weights.
        key: A random key.
    """
    squares = _sum_of_squares(x, degree)
    # 1 + cos^2 + sin^2 + cos^2 + sin^2 of the group, at pure rotations.
    squares *= 3 if num_coordinates else 1
    num_group = num_coordinates + 3 if num_coordinates else 1
    num = num_group * ((degree + 1) * (degree + 2) // 2)
    deviation = (channels_in * squares) ** -0.5
    shape = (num, num_out)
    return {"linear": deviation * jax.random.normal(key, shape, default_dtype(dtype))}


def hermite(
    params: Params,
    degree: int,
    width: float,
    x: Float[Array, "*batch 2"],
    coordinates: Float[Array, "*batch coordinates"] | None,
) -> Float[Array, "*batch num_out"]:
    """sum_nm w_nm psi_n(x) phi_m(h), x in units of the Gaussian's deviation."""
    functions = hermite_functions(x, degree)
    if coordinates is not None:
        of_group = group_functions(coordinates, width)
        products = functions[..., :, None] * of_group[..., None, :]
        functions = products.reshape(*products.shape[:-2], -1)
    return jnp.matmul(functions, params["linear"], precision="highest")


def _sum_of_squares(x: np.ndarray, degree: int) -> float:
    """Of all functions at all points."""
    with jax.ensure_compile_time_eval():
        values = np.asarray(hermite_functions(jnp.asarray(x), degree), float)
    return float(np.sum(values * values))
