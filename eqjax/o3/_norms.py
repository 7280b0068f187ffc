"""Normalisations of features by invariant numbers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_positive, check_same_dtype, check_shape
from eqjax.o3._degrees import Degrees
from eqjax.o3._layouts import feature_degrees, per_component


def merged_layer_norm(
    x: Float[Array, "dim channels"],
    *,
    scale: Float[Array, "irreps channels"] | None = None,
    bias: Float[Array, " channels"] | None = None,
    epsilon: float = 1e-5,
) -> Float[Array, "dim channels"]:
    """Layer normalisation with one variance for all degrees.

    The mean over channels is taken off the scalars; then

        s = mean_l mean_{m, u} x[l, m, u]^2,
        y[l, m, u] = x[l, m, u] (s + epsilon)^(-1/2) scale[l, u]  (+ bias[u] if l = 0),

    so that each degree has the same weight in s, and ratios of degrees are kept. It
    commutes with O(3). Computed in float32 or wider; finite at zero, derivatives too.

    Args:
        x: A feature, shape (dim, channels); the degrees are found from dim.
        scale: Factors for each irrep of `Degrees`; 1 if there are none.
        bias: Added to the (even) scalars.
        epsilon: Added to the variance, positive.

    Returns:
        A feature like `x`.

    Raises:
        ValueError: If shapes or dtypes do not fit, or `epsilon` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x = jnp.array([[3.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
        >>> o3.merged_layer_norm(x).round(3)[:, 0].tolist()
        [1.0, 1.0, 1.0, 1.0]

    References:
        Liao, Hoffman, Shen, Duval, Norwood, Smidt, "EquiformerV3: scaling efficient,
        expressive, and general SE(3)-equivariant graph attention transformers" (2026).
    """
    degrees, wide = _prepare(x, scale, bias, epsilon)
    wide = jnp.concatenate([_centered(wide[:1]), wide[1:]])
    squared = jnp.sum(_mean_squares(wide, degrees)) / len(degrees.irreps)
    return _finish(wide * jax.lax.rsqrt(squared + epsilon), degrees, scale, bias, x)


def separable_layer_norm(
    x: Float[Array, "dim channels"],
    *,
    scale: Float[Array, "irreps channels"] | None = None,
    bias: Float[Array, " channels"] | None = None,
    epsilon: float = 1e-5,
) -> Float[Array, "dim channels"]:
    """Layer normalisation of the scalars, and one variance for all other degrees.

    Scalars: their mean and variance over channels. The others:

        s = mean_{l > 0} mean_{m, u} x[l, m, u]^2,
        y[l, m, u] = x[l, m, u] (s + epsilon)^(-1/2) scale[l, u].

    It commutes with O(3). With both parities, the odd scalar is one of the others.
    Computed in float32 or wider; finite at zero, derivatives too.

    Args:
        x: A feature, shape (dim, channels); the degrees are found from dim.
        scale: Factors for each irrep of `Degrees`; 1 if there are none.
        bias: Added to the (even) scalars.
        epsilon: Added to the variances, positive.

    Returns:
        A feature like `x`.

    Raises:
        ValueError: If shapes or dtypes do not fit, or `epsilon` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x = jnp.array([[3.0, 1.0], [2.0, 2.0], [2.0, 2.0], [2.0, 2.0]])
        >>> o3.separable_layer_norm(x).round(3)[:, 1].tolist()
        [-1.0, 1.0, 1.0, 1.0]

    References:
        Liao, Wood, Das, Smidt, "EquiformerV2: improved equivariant transformer for
        scaling to higher-degree representations" (2024).
    """
    degrees, wide = _prepare(x, scale, bias, epsilon)
    scalars = _centered(wide[:1])
    variance = jnp.mean(scalars * scalars)
    y = scalars * jax.lax.rsqrt(variance + epsilon)
    if degrees.dim > 1:
        squared = jnp.sum(_mean_squares(wide, degrees)[1:]) / (len(degrees.irreps) - 1)
        y = jnp.concatenate([y, wide[1:] * jax.lax.rsqrt(squared + epsilon)])
    return _finish(y, degrees, scale, bias, x)


def rms_norm(
    x: Float[Array, "dim channels"],
    *,
    scale: Float[Array, "irreps channels"] | None = None,
    per_degree: bool = True,
    epsilon: float = 1e-5,
) -> Float[Array, "dim channels"]:
    """Divides by root mean squares over channels and orders.

        y[l, m, u] = x[l, m, u] (s_l + epsilon)^(-1/2) scale[l, u],

    where s_l = mean_{m, u} x[l, m, u]^2, or its mean over all degrees. It commutes with
    O(3), and nothing is subtracted. Computed in float32 or wider; finite at zero,
    derivatives too.

    Args:
        x: A feature, shape (dim, channels); the degrees are found from dim.
        scale: Factors for each irrep of `Degrees`; 1 if there are none.
        per_degree: Whether each irrep has its own s_l.
        epsilon: Added to the mean squares, positive.

    Returns:
        A feature like `x`.

    Raises:
        ValueError: If shapes or dtypes do not fit, or `epsilon` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x = jnp.array([[5.0], [3.0], [3.0], [3.0]])
        >>> o3.rms_norm(x).round(3).ravel().tolist()
        [1.0, 1.0, 1.0, 1.0]

    References:
        Zhang, Sennrich, "Root mean square layer normalization" (2019).
    """
    degrees, wide = _prepare(x, scale, None, epsilon)
    squared = _mean_squares(wide, degrees)
    if per_degree:
        factors = per_component(jax.lax.rsqrt(squared + epsilon), degrees)[:, None]
        return _finish(wide * factors, degrees, scale, None, x)
    squared = jnp.sum(squared) / len(degrees.irreps)
    return _finish(wide * jax.lax.rsqrt(squared + epsilon), degrees, scale, None, x)


def _prepare(x: Any, scale: Any, bias: Any, epsilon: float) -> tuple[Degrees, Array]:
    """Checks the arguments; the degrees, and the feature in float32 or wider."""
    degrees = feature_degrees("x", x)
    check_positive("epsilon", epsilon)
    shapes = {
        "scale": (scale, (len(degrees.irreps), x.shape[1])),
        "bias": (bias, (x.shape[1],)),
    }
    for name, (array, shape) in shapes.items():
        if array is not None:
            check_shape(name, array, shape, remedy=f"`x` is a feature of {degrees}.")
            check_same_dtype(name, array, x)
    return degrees, widen(x)


def widen(x: Array) -> Array:
    """The same in float32 at least."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def _finish(y: Array, degrees: Degrees, scale: Any, bias: Any, x: Array) -> Array:
    """Times the scale, plus the bias, in the dtype of x."""
    if scale is not None:
        y = y * per_component(scale.astype(y.dtype), degrees)
    if bias is not None:
        y = jnp.concatenate([y[:1] + bias.astype(y.dtype)[None], y[1:]])
    return y.astype(x.dtype)


def _centered(scalars: Array) -> Array:
    return scalars - jnp.mean(scalars, axis=1, keepdims=True)


def _mean_squares(x: Array, degrees: Degrees) -> Array:
    """The mean over channels and orders of x^2, for each irrep."""
    # Channels first: the sum over the leading axis is then of a few numbers.
    sums = jnp.mean(x * x, axis=1)
    parts = [jnp.mean(sums[s]) for s in degrees.slices]
    return jnp.stack(parts)
