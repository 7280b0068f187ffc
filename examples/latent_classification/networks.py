"""A transformer that reads poses as plain numbers: the baseline of the classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Transformer:
    """Logits of one signal from [pose, context] of its latents, by attention.

    The order of latents does not matter; where they stand in the plane does.

    Args:
        num_features: Size of [pose, context].
        num_classes: Number of logits.
        hidden: Width.
        num_layers: Number of layers.
        num_heads: Number of heads.
    """

    num_features: int
    num_classes: int = 10
    hidden: int = 64
    num_layers: int = 2
    num_heads: int = 4

    def init(self, *, key: jax.Array) -> dict[str, Any]:
        """Weights."""
        wide = 4 * self.hidden
        shapes: dict[str, Any] = {"stem": (self.num_features, self.hidden)}
        shapes["out"] = (self.hidden, self.num_classes)
        for i in range(self.num_layers):
            shapes[f"layer_{i}"] = {
                "heads": (self.hidden, 3 * self.hidden),
                "mixed": (self.hidden, self.hidden),
                "wide": (self.hidden, wide),
                "narrow": (wide, self.hidden),
            }
        leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda s: isinstance(s, tuple))
        keys = jax.random.split(key, len(leaves))
        layers = [
            {
                "w": jax.random.normal(k, shape) / math.sqrt(shape[0]),
                "b": jnp.zeros(shape[1]),
            }
            for k, shape in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(tree, layers)

    def apply(self, params: Any, latents: Any) -> jax.Array:
        """The logits of ONE signal."""
        pose = latents["pose"]
        if isinstance(pose, tuple):
            position, angle = pose
            heading = jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
            pose = jnp.concatenate([position, heading], -1)
        x = dense(params["stem"], jnp.concatenate([pose, latents["context"]], -1))
        for i in range(self.num_layers):
            layer = params[f"layer_{i}"]
            heads = dense(layer["heads"], standardize(x))
            heads = heads.reshape(len(x), 3, self.num_heads, -1)
            found = jax.nn.dot_product_attention(*jnp.moveaxis(heads, 1, 0))
            x = x + dense(layer["mixed"], found.reshape(x.shape))
            wide = jax.nn.gelu(dense(layer["wide"], standardize(x)))
            x = x + dense(layer["narrow"], wide)
        return dense(params["out"], jnp.mean(standardize(x), axis=0))


def dense(params: Any, x: jax.Array) -> jax.Array:
    """An affine map of the last axis."""
    return x @ params["w"] + params["b"]


def standardize(x: jax.Array) -> jax.Array:
    """Mean 0 and variance 1 along the last axis."""
    x = x - jnp.mean(x, -1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-5)
