"""A plain network, and one on the group of affine maps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from eqjax import groups, nn

NUM_CLASSES = 10


def init_norm(channels: int) -> dict[str, jax.Array]:
    return {"scale": jnp.ones(channels), "offset": jnp.zeros(channels)}


def activate(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """GELU after a normalization over the whole feature, with factors by channel."""
    x = (x - x.mean()) * jax.lax.rsqrt(x.var() + 1e-5)
    scale, offset = (params[name][None, None, None] for name in ("scale", "offset"))
    return jax.nn.gelu(x * scale + offset)


def max_pool(x: jax.Array) -> jax.Array:
    """The maximum over blocks of 2 x 2 pixels, of an even number of pixels."""
    height, width, *rest = x.shape
    return x.reshape(height // 2, 2, width // 2, 2, *rest).max((1, 3))


def init_head(channels: int, *, key: jax.Array) -> dict[str, jax.Array]:
    weights = jax.random.normal(key, (channels, NUM_CLASSES)) / math.sqrt(channels)
    return {"kernel": weights, "bias": jnp.zeros(NUM_CLASSES)}


def classify(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Logits, from the maximum of each channel over pixels and samples."""
    return x.max((0, 1, 2)) @ params["kernel"] + params["bias"]


@dataclass(frozen=True)
class PlainNet:
    """Ordinary convolutions in the places of the others."""

    channels: int
    kernel_sizes: tuple[int, ...]

    def init(self, *, key: jax.Array) -> dict[str, Any]:
        *keys, key_head = jax.random.split(key, len(self.kernel_sizes) + 1)
        params: dict[str, Any] = {"head": init_head(self.channels, key=key_head)}
        for k, size in enumerate(self.kernel_sizes):
            shape = (size, size, self.channels if k else 1, self.channels)
            deviation = 1 / math.sqrt(math.prod(shape[:3]))
            kernel = deviation * jax.random.normal(keys[k], shape)
            params[f"conv_{k}"] = {"kernel": kernel, "norm": init_norm(self.channels)}
        return params

    def sample(self, *, key: jax.Array) -> tuple[()]:
        return ()

    def move(self, samples: tuple[()], sigma: float, *, key: jax.Array) -> tuple[()]:
        return samples

    def apply(self, params: dict[str, Any], x: jax.Array, samples: Any) -> jax.Array:
        x = x[..., None]
        for k in range(len(self.kernel_sizes)):
            layer = params[f"conv_{k}"]
            padding = "VALID" if k == 1 else "SAME"
            axes = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(
                x[None], layer["kernel"], (1, 1), padding, dimension_numbers=axes
            )[0]
            x = activate(layer["norm"], x[:, :, None])[:, :, 0]
            x = max_pool(x) if k == 0 else x
        return classify(params["head"], x[:, :, None])


@dataclass(frozen=True)
class AffineNet:
    """Lifting, group convolutions, and the maximum over the group."""

    group: groups.SL | groups.GLPlus
    channels: int
    kernel_sizes: tuple[int, ...]
    num_rotations: int
    num_stretches: int
    mode: Literal["product", "independent", "paper"] = "product"
    measure: Literal["haar", "paper"] = "haar"

    @property
    def layers(self) -> Iterator[tuple[str, nn.AffineLift | nn.AffineConv]]:
        channels, (first, *others) = self.channels, self.kernel_sizes
        kernel = nn.AffineKernel(measure=self.measure)
        options: dict[str, Any] = {"bias": False, "kernel": kernel}
        yield (
            "lift",
            nn.AffineLift(self.group, 1, channels, kernel_size=first, **options),
        )
        for k, size in enumerate(others):
            options["padding"] = "zero" if k else "valid"
            conv = nn.AffineConv(
                self.group, channels, channels, kernel_size=size, **options
            )
            yield f"conv_{k}", conv

    def init(self, *, key: jax.Array) -> dict[str, Any]:
        *keys, key_head = jax.random.split(key, len(self.kernel_sizes) + 1)
        params: dict[str, Any] = {"head": init_head(self.channels, key=key_head)}
        for (name, layer), k in zip(self.layers, keys, strict=True):
            norm = init_norm(self.channels)
            params[name] = {"layer": layer.init(key=k), "norm": norm}
        return params

    def sample(self, *, key: jax.Array) -> tuple[nn.AffineSamples, ...]:
        """The samples of each layer's output."""
        sizes = (self.num_rotations, self.num_stretches)
        return tuple(
            nn.sample_affine(self.group, *sizes, mode=self.mode, key=k)
            for k in jax.random.split(key, len(self.kernel_sizes))
        )

    def move(
        self, samples: tuple[nn.AffineSamples, ...], sigma: float, *, key: jax.Array
    ) -> tuple[nn.AffineSamples, ...]:
        """All samples times one random element near 1, from the left.

        The network then sees an image as it saw the one moved by the inverse before, up
        to the pixel grid: only the places on the group change, no convolution does.
        """
        a = self.group.exp(sigma * jax.random.normal(key, (self.group.dim,)))
        b = self.group.inverse(a)
        return tuple(
            nn.AffineSamples(a @ s.matrices, s.inverses @ b, s.weights) for s in samples
        )

    def apply(self, params: dict[str, Any], x: jax.Array, samples: Any) -> jax.Array:
        x = x[..., None, None]
        for k, (name, layer) in enumerate(self.layers):
            around = samples[max(k - 1, 0) : k + 1]
            x = layer.apply(params[name]["layer"], x, *around)
            x = max_pool(x) if k == 0 else x
            x = activate(params[name]["norm"], x)
        return classify(params["head"], x)
