"""What convolutions on the affine group share."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import (
    check_choice,
    check_same_dtype,
    check_shape,
    check_size,
)
from eqjax.nn._affine_kernel import (
    AffineKernel,
    init_kernel,
    kernel_offsets,
    kernel_values,
)
from eqjax.nn._affine_samples import AffineSamples, check_affine_group
from eqjax.nn._features import Params, Precision, default_dtype
from eqjax.nn._grid import Padding, pad_periodic, window_padding


@dataclass(frozen=True)
class AffineLayer(abc.ABC):
    """A convolution whose kernel is a function on the affine group."""

    group: Any
    channels_in: int
    channels_out: int
    kernel_size: int = field(kw_only=True)
    kernel: AffineKernel = field(default=AffineKernel(), kw_only=True)
    padding: Padding = field(default="zero", kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    precision: Precision = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_affine_group(self.group)
        for name in ("channels_in", "channels_out", "kernel_size"):
            check_size(name, getattr(self, name))
        check_choice("padding", self.padding, ("zero", "periodic", "valid"))

    @property
    def _num_coordinates(self) -> int:
        """Of elements of H that the kernel sees."""
        return 0

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Random weights of the kernel, and zero bias.

        Args:
            dtype: Of the weights; default: JAX's default.
            key: A random key.

        Returns:
            Weights "kernel" and, unless `bias` is off, "bias".
        """
        kernel = init_kernel(
            self.kernel,
            self.kernel_size,
            (self.channels_in, self.channels_out),
            self._num_coordinates,
            dtype=dtype,
            key=key,
        )
        zero = jnp.zeros(self.channels_out, default_dtype(dtype))
        return {"kernel": kernel} | ({"bias": zero} if self.bias else {})


def pull_back(layer: AffineLayer, samples: AffineSamples) -> Array:
    """h^-1 d for the displacements d of the pixels, (samples, pixels, 2)."""
    d = jnp.asarray(kernel_offsets(layer.kernel_size), samples.inverses.dtype)
    return jnp.einsum("nij,pj->npi", samples.inverses, d, precision="highest")


def kernel_blocks(
    layer: AffineLayer, params: Params, x: Array, coordinates: Array | None
) -> Array:
    """The kernel's network, (*batch, channels_in, channels_out)."""
    if coordinates is not None:
        batch = jnp.broadcast_shapes(x.shape[:-1], coordinates.shape[:-1])
        x = jnp.broadcast_to(x, (*batch, 2))
        coordinates = jnp.broadcast_to(coordinates, (*batch, coordinates.shape[-1]))
    y = kernel_values(
        layer.kernel, layer.kernel_size, layer.group, params["kernel"], x, coordinates
    )
    return y.reshape(*y.shape[:-1], layer.channels_in, layer.channels_out)


def arranged(layer: AffineLayer, kernel: Array) -> Array:
    """[out, in, pixel, c_in, c_out] as (k, k, in, c_in, out, c_out)."""
    k = layer.kernel_size
    kernel = kernel.transpose(2, 1, 3, 0, 4)
    return kernel.reshape(k, k, *kernel.shape[1:])


def convolved(layer: AffineLayer, params: Params, x: Array, kernel: Array) -> Array:
    """One ordinary convolution with a kernel (k, k, in, c_in, out, c_out)."""
    k, _, num_in, channels_in, num_out, channels_out = kernel.shape
    check_shape(
        "x",
        x,
        (None, None, num_in, channels_in),
        remedy="The axes are rows, columns, samples, channels.",
    )
    check_same_dtype("params", kernel, x)
    pads = window_padding(x.shape[:2], k, 1, 1, layer.padding, False)
    flat = x.reshape(*x.shape[:2], num_in * channels_in)
    if layer.padding == "periodic":
        flat, pads = pad_periodic(flat, pads), (0, 0)
    y = jax.lax.conv_general_dilated(
        flat[None],
        kernel.reshape(k, k, num_in * channels_in, num_out * channels_out),
        (1, 1),
        [(p, p) for p in pads],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=layer.precision,
    )[0]
    y = y.reshape(*y.shape[:2], num_out, channels_out)
    return y + params["bias"][None, None, None] if layer.bias else y
