"""The table of activation functions, which specs name, and their scales."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_choice


class Activation(NamedTuple):
    """One function, as JAX has it and as NumPy has it.

    Scales are found in NumPy, because that works inside of any transformation.
    """

    fn: Callable[[Array], Array]
    reference: Callable[[np.ndarray], np.ndarray]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _gelu(x: np.ndarray) -> np.ndarray:
    """The approximation by a hyperbolic tangent, as in JAX."""
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, Activation] = {
    "abs": Activation(jnp.abs, np.abs),
    "elu": Activation(jax.nn.elu, lambda x: np.where(x > 0, x, np.expm1(x))),
    "gelu": Activation(jax.nn.gelu, _gelu),
    "identity": Activation(lambda x: x, lambda x: x),
    "leaky_relu": Activation(jax.nn.leaky_relu, lambda x: np.maximum(x, 0.01 * x)),
    "relu": Activation(jax.nn.relu, lambda x: np.maximum(x, 0)),
    "sigmoid": Activation(jax.nn.sigmoid, _sigmoid),
    "silu": Activation(jax.nn.silu, lambda x: x * _sigmoid(x)),
    "sin": Activation(jnp.sin, np.sin),
    "softplus": Activation(jax.nn.softplus, lambda x: np.logaddexp(x, 0)),
    "square": Activation(jnp.square, np.square),
    "tanh": Activation(jnp.tanh, np.tanh),
}
# fn(-x) = -fn(x)
ODD = frozenset({"identity", "sin", "tanh"})
_NODES = 256


def check_activation(name: str, value: str) -> None:
    """Checks that an argument names a function of the table.

    Raises:
        ValueError: If it does not.
    """
    check_choice(name, value, ACTIVATIONS)


def activation(name: str, *, scale: float = 1.0) -> Callable[[Array], Array]:
    """The function of a name, times a number."""
    fn = ACTIVATIONS[name].fn
    return fn if scale == 1 else lambda x: scale * fn(x)


@functools.lru_cache(maxsize=64)
def activation_scale(name: str) -> float:
    """E[fn(z)^2]^(-1/2) for z ~ N(0, 1), by Gauss-Hermite quadrature."""
    nodes, weights = _hermite()
    squares = ACTIVATIONS[name].reference(nodes) ** 2
    return float((np.dot(weights, squares) / weights.sum()) ** -0.5)


@functools.lru_cache(maxsize=256)
def norm_activation_scale(name: str, dim: int) -> float:
    """(E[fn(|z|)^2] / dim)^(-1/2) for z ~ N(0, I) of a dimension.

    Gauss-Legendre quadrature of the density of |z|, r^(dim - 1) exp(-r^2 / 2), where it
    is larger than 1e-30 of its maximum.
    """
    peak = math.sqrt(dim - 1)
    nodes, weights = _legendre()
    low, high = max(0.0, peak - 12), peak + 12
    r = (low + high) / 2 + (high - low) / 2 * nodes
    exponent = (dim - 1) * np.log(r / max(peak, 1)) - (r**2 - peak**2) / 2
    density = weights * np.exp(exponent)
    mean = np.dot(density, ACTIVATIONS[name].reference(r) ** 2) / density.sum()
    return float((mean / dim) ** -0.5)


@functools.cache
def _hermite() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.hermite_e.hermegauss(_NODES)


@functools.cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(_NODES)
