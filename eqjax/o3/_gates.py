"""Nonlinearities that scale each irrep by an invariant number."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_same_dtype, check_shape
from eqjax.o3._layouts import feature_degrees, per_component
from eqjax.o3._norms import widen


def gate(
    x: Float[Array, "dim channels"],
    gates: Float[Array, "gated channels"],
    *,
    activation: Callable[[Array], Array] = jax.nn.silu,
    gate_activation: Callable[[Array], Array] = jax.nn.sigmoid,
) -> Float[Array, "dim channels"]:
    """An activation of scalars; other irreps times the sigmoid of scalars of their own.

        y[0, u] = activation(x[0, u])
        y[l, m, u] = gate_activation(gates[l, u]) x[l, m, u]

    It commutes with O(3) for any activations, as long as the gates are invariant.

    Args:
        x: A feature, shape (dim, channels); the degrees are found from dim.
        gates: An invariant number for each channel of each irrep but the first one:
            L rows, or 2 L + 1 if `x` has both parities (an odd scalar is gated too).
        activation: What happens to the (even) scalars, entry by entry.
        gate_activation: What makes factors of the gates, entry by entry.

    Returns:
        A feature like `x`.

    Raises:
        ValueError: If shapes or dtypes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> o3.gate(jnp.zeros((4, 1)) + 2, jnp.zeros((1, 1)))[1:].ravel().tolist()
        [1.0, 1.0, 1.0]

    References:
        Weiler, Geiger, Welling, Boomsma, Cohen, "3D steerable CNNs: learning
        rotationally equivariant features in volumetric data" (2018).
    """
    degrees = feature_degrees("x", x)
    check_shape(
        "gates",
        gates,
        (len(degrees.irreps) - 1, x.shape[1]),
        remedy=f"`x` is a feature of {degrees}; only its first irrep has no gate.",
    )
    check_same_dtype("gates", gates, x)
    scalars = activation(x[:1])
    if degrees.dim == 1:
        return scalars
    factors = per_component(gate_activation(gates), degrees, start=1)
    return jnp.concatenate([scalars, x[1:] * factors])


def norm_activation(
    x: Float[Array, "dim channels"],
    activation: Callable[[Array], Array] = jax.nn.silu,
) -> Float[Array, "dim channels"]:
    """Scales each irrep, channel by channel, from its norm |x| to activation(|x|).

        y[l, m, u] = x[l, m, u] activation(|x[l, u]|) / |x[l, u]|

    It commutes with O(3). Zero stays zero, with the derivative of the activation at
    zero as its derivative: the right one if activation(0) = 0 (otherwise the function
    has no limit there). Computed in float32 or wider.

    Args:
        x: A feature, shape (dim, channels); the degrees are found from dim.
        activation: A function of nonnegative numbers, entry by entry.

    Returns:
        A feature like `x`.

    Raises:
        ValueError: If the number of components is not one of `Degrees`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x = jnp.array([[0.0], [3.0], [0.0], [4.0]])
        >>> o3.norm_activation(x, lambda norm: norm**2).ravel().tolist()
        [0.0, 15.0, 0.0, 20.0]

    References:
        Worrall, Garbin, Turmukhambetov, Brostow, "Harmonic networks: deep translation
        and rotation equivariance" (2017).
    """
    degrees = feature_degrees("x", x)
    wide = widen(x)
    # Sums of rows: XLA's own sum over this axis is several times slower on a CPU, and
    # a split has a cheaper transpose than slices have.
    rows = jax.lax.split(wide * wide, (1,) * degrees.dim, axis=0)
    sums = [functools.reduce(jnp.add, rows[s]) for s in degrees.slices]
    squared = jnp.concatenate(sums)
    zero = squared == 0
    norm = jnp.sqrt(jnp.where(zero, 1, squared))
    at_zero = jax.grad(activation)(jnp.zeros((), wide.dtype))
    factors = jnp.where(zero, at_zero, activation(norm) / norm)
    return (wide * per_component(factors, degrees)).astype(x.dtype)
