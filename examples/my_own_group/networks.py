"""A network that commutes with the group, and a plain one of the same size."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from lorentz import BILINEAR, FEATURE, LINEAR, PARTS

from eqjax import reps


@dataclass(frozen=True)
class Network:
    """Features (FEATURE.dim, channels), mixed by equivariant maps and gated."""

    channels: int = 16
    num_layers: int = 2

    def init(self, *, key: jax.Array) -> Any:
        """Weights that keep the size of features."""
        c, keys = self.channels, jax.random.split(key, self.num_layers + 2)

        def layer(key: jax.Array) -> Any:
            a, b, c_, d = jax.random.split(key, 4)
            linear = (LINEAR.num_maps, c, c)
            return {
                "left": normal(a, linear, c),
                "right": normal(b, linear, c),
                "product": normal(c_, (BILINEAR.num_maps, c), FEATURE.dim**2),
                "gate": dense(d, c, 3 * c),
            }

        return {
            "in": normal(keys[0], (LINEAR.num_maps, 1, c), 1),
            "layers": [layer(key) for key in keys[1:-1]],
            "out": dense(keys[-1], c, 1),
        }

    def apply(self, params: Any, x: jax.Array) -> jax.Array:
        """From (u, field), shape (10,), to an invariant number."""
        h = jnp.concatenate([jnp.ones(1), x])[:, None]
        h = linear(params["in"], h)
        for layer in params["layers"]:
            left, right = linear(layer["left"], h), linear(layer["right"], h)
            h = h + gate(layer["gate"], product(layer["product"], left, right))
        return apply_dense(params["out"], h[0])[0]


def linear(weights: jax.Array, x: jax.Array) -> jax.Array:
    """Channels mixed, once per basis map."""
    return jnp.einsum("kij,jc,kcd->id", scaled_basis(LINEAR), x, weights)


def product(weights: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Each channel of x times the same of y, by a combination of the basis maps."""
    pairs = (x[:, None] * y).reshape(-1, x.shape[1])
    maps = jnp.einsum("kc,kij->cij", weights, scaled_basis(BILINEAR))
    return jnp.einsum("cij,jc->ic", maps, pairs)


def scaled_basis(maps: reps.EquivariantMaps) -> jax.Array:
    """The basis with entries of size one."""
    return jnp.asarray(maps.basis / np.max(np.abs(maps.basis), (1, 2), keepdims=True))


def gate(params: Any, x: jax.Array) -> jax.Array:
    """Every part of every channel times a number that depends on the scalars alone."""
    factors = jax.nn.sigmoid(apply_dense(params, x[0])).reshape(len(PARTS), -1)
    return x * jnp.repeat(factors, PARTS, axis=0)


@dataclass(frozen=True)
class Mlp:
    """What one would take without a group."""

    hidden: int
    num_layers: int = 3

    def init(self, *, key: jax.Array) -> Any:
        """Weights and biases."""
        sizes = [10, *[self.hidden] * self.num_layers, 1]
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = itertools.pairwise(sizes)
        return [dense(key, *pair) for key, pair in zip(keys, pairs, strict=True)]

    def apply(self, params: Any, x: jax.Array) -> jax.Array:
        """From (u, field), shape (10,), to a number."""
        for layer in params[:-1]:
            x = jax.nn.silu(apply_dense(layer, x))
        return apply_dense(params[-1], x)[0]


def normal(key: jax.Array, shape: tuple[int, ...], fan_in: int) -> jax.Array:
    """Normal numbers of variance 1 / fan_in."""
    return jax.random.normal(key, shape) / fan_in**0.5


def dense(key: jax.Array, num_in: int, num_out: int) -> Any:
    """Parameters of a dense layer."""
    return {"w": normal(key, (num_out, num_in), num_in), "b": jnp.zeros(num_out)}


def apply_dense(params: Any, x: jax.Array) -> jax.Array:
    """W x + b."""
    return params["w"] @ x + params["b"]
