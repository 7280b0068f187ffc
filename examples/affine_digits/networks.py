"""A plain network, and one on the group of affine maps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from eqjax import groups, nn, reps

NUM_CLASSES = 10


def activate(scale: jax.Array, x: jax.Array) -> jax.Array:
    """ELU after a division by each channel's root mean square, (*grid, samples, c).

    Without means and shifts the empty background stays zero: otherwise the square frame
    of the image would be seen, which does not move with the digit.
    """
    square = jnp.mean(x * x, axis=(0, 1, 2), keepdims=True)
    return jax.nn.elu(x * jax.lax.rsqrt(square + 1e-5) * scale[None, None, None])


def pool(x: jax.Array) -> jax.Array:
    """Half of the pixels, of Gaussian means."""
    *grid, samples, channels = x.shape
    rep = reps.trivial(groups.Cyclic(1))
    size = 5 if grid[0] % 2 else 4
    layer = nn.BlurPool(rep, samples * channels, kernel_size=size)
    y = layer.apply(x.reshape(*grid, 1, -1))
    return y.reshape(*y.shape[:2], samples, channels)


def init_head(channels: int, *, key: jax.Array) -> dict[str, jax.Array]:
    weights = jax.random.normal(key, (channels, NUM_CLASSES)) / math.sqrt(channels)
    return {"kernel": weights, "bias": jnp.zeros(NUM_CLASSES)}


def classify(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Logits, from the maximum of each channel over pixels and samples."""
    return x.max((0, 1, 2)) @ params["kernel"] + params["bias"]


@dataclass(frozen=True)
class PlainNet:
    """Ordinary convolutions in the places of the others."""

    channels: tuple[int, ...]
    kernel_sizes: tuple[int, ...]

    def init(self, *, key: jax.Array) -> dict[str, Any]:
        *keys, key_head = jax.random.split(key, len(self.kernel_sizes) + 1)
        params: dict[str, Any] = {"head": init_head(self.channels[-1], key=key_head)}
        before = 1
        for k, (size, width) in enumerate(
            zip(self.kernel_sizes, self.channels, strict=True)
        ):
            shape = (size, size, before, width)
            deviation = 1 / math.sqrt(math.prod(shape[:3]))
            kernel = deviation * jax.random.normal(keys[k], shape)
            params[f"conv_{k}"] = {"kernel": kernel, "scale": jnp.ones(width)}
            before = width
        return params

    def sample(self, *, key: jax.Array) -> None:
        return None

    def move(self, samples: None, sigma: float, *, key: jax.Array) -> None:
        return None

    def apply(self, params: dict[str, Any], x: jax.Array, samples: None) -> jax.Array:
        x = x[..., None, None]
        for k in range(len(self.kernel_sizes)):
            layer = params[f"conv_{k}"]
            axes = ("NHWC", "HWIO", "NHWC")
            x = pool(x) if k else x
            x = jax.lax.conv_general_dilated(
                x[None, :, :, 0],
                layer["kernel"],
                (1, 1),
                "SAME",
                dimension_numbers=axes,
            )[0][:, :, None]
            x = activate(layer["scale"], x)
        return classify(params["head"], x)


@dataclass(frozen=True)
class AffineNet:
    """Lifting, group convolutions, and the maximum over the group."""

    group: groups.SL | groups.GLPlus
    channels: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    num_rotations: int
    num_stretches: int
    kernel: nn.AffineKernel = nn.AffineKernel(network="hermite")
    lift_kernel: nn.AffineKernel = nn.AffineKernel(network="hermite", degree=5)
    mode: Literal["product", "independent", "paper"] = "product"

    @property
    def layers(self) -> Iterator[tuple[str, nn.AffineLift | nn.AffineConv]]:
        first, *sizes = self.kernel_sizes
        widths = self.channels
        options: dict[str, Any] = {"bias": False, "kernel": self.lift_kernel}
        lift = nn.AffineLift(self.group, 1, widths[0], kernel_size=first, **options)
        yield "lift", lift
        options["kernel"] = self.kernel
        for k, size in enumerate(sizes):
            conv = nn.AffineConv(
                self.group, widths[k], widths[k + 1], kernel_size=size, **options
            )
            yield f"conv_{k}", conv

    def init(self, *, key: jax.Array) -> dict[str, Any]:
        *keys, key_head = jax.random.split(key, len(self.kernel_sizes) + 1)
        params: dict[str, Any] = {"head": init_head(self.channels[-1], key=key_head)}
        for (name, layer), k in zip(self.layers, keys, strict=True):
            params[name] = {
                "layer": layer.init(key=k),
                "scale": jnp.ones(layer.channels_out),
            }
        return params

    def sample(self, *, key: jax.Array) -> nn.AffineSamples:
        """The samples of all layers."""
        sizes = (self.num_rotations, self.num_stretches)
        return nn.sample_affine(self.group, *sizes, mode=self.mode, key=key)

    def move(
        self, samples: nn.AffineSamples, sigma: float, *, key: jax.Array
    ) -> nn.AffineSamples:
        """All samples times one random element near 1, from the left.

        The network then sees an image as it saw the one moved by the inverse before, up
        to the pixel grid: only the places on the group change, no convolution does.
        """
        a = self.group.exp(sigma * jax.random.normal(key, (self.group.dim,)))
        b = self.group.inverse(a)
        return nn.AffineSamples(
            a @ samples.matrices, samples.inverses @ b, samples.weights
        )

    def apply(
        self, params: dict[str, Any], x: jax.Array, samples: nn.AffineSamples
    ) -> jax.Array:
        x = x[..., None, None]
        for k, (name, layer) in enumerate(self.layers):
            x = pool(x) if k else x
            around = (samples, samples) if k else (samples,)
            x = layer.apply(params[name]["layer"], x, *around)
            x = activate(params[name]["scale"], x)
        return classify(params["head"], x)
