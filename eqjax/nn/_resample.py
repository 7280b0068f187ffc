"""Pooling by means, and upsampling: a constant matrix along each axis of the grid."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_choice, check_positive, check_size
from eqjax._core._specs import register_spec
from eqjax.nn._features import Feature, check_channels, check_feature
from eqjax.nn._grid import Padding, grid_dim, window_padding
from eqjax.nn._layer import KeepsRep
from eqjax.o3._constants import read_only


@register_spec
@dataclass(frozen=True)
class AveragePool(KeepsRep):
    """The mean over windows of pixels.

    A window that overhangs the grid takes the mean of the pixels inside, so that
    constants stay. It commutes with turns and mirrors of the grid where the windows lie
    symmetrically; see `aligned_padding`.

    Args:
        rep: Representation of the components.
        channels: Number of channels; None: the multiplicities of irreps.
        kernel_size: Pixels of a window along each axis.
        stride: From window to window; None: the size of a window.
        padding: "zero" keeps about size / stride windows, "valid" those inside.
        allow_misaligned: Accept sizes on which the windows lie asymmetrically.

    Raises:
        ValueError: If a number is not positive; when applied: if a shape does not fit,
            or the windows do not lie symmetrically.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> pool = nn.AveragePool(reps.regular(groups.Cyclic(4)), 3, kernel_size=2)
        >>> pool.apply(jnp.ones((6, 8, 4, 3))).shape
        (3, 4, 4, 3)
    """

    rep: Any
    channels: int | None = None
    kernel_size: int = field(kw_only=True)
    stride: int | None = field(default=None, kw_only=True)
    padding: Padding = field(default="valid", kw_only=True)
    allow_misaligned: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_pool(self)

    def apply(self, x: Feature) -> Feature:
        """The means of one field (*grid, rep.dim, channels), or of such by irrep."""
        window = (1.0,) * self.kernel_size
        return _pooled(self, window, x)


@register_spec
@dataclass(frozen=True)
class BlurPool(KeepsRep):
    """A Gaussian mean over windows of pixels, and a stride: pooling with less aliasing.

    Pixels count by exp(-r^2 / (2 sigma^2)), normalized in each window. Band-limiting
    before a stride is what keeps a network close to equivariant for turns that do not
    map the grid to itself, and for shifts by less than the stride. For turns and
    mirrors of the grid it is exact where the windows lie symmetrically; see
    `aligned_padding`.

    Args:
        rep: Representation of the components.
        channels: Number of channels; None: the multiplicities of irreps.
        kernel_size: Pixels of a window along each axis.
        stride: From window to window.
        sigma: In pixels; None: a third of the stride plus a third of a pixel.
        padding: "zero" keeps about size / stride windows, of which those at the edge
            overhang and are normalized over the pixels inside; "valid" those inside.
        allow_misaligned: Accept sizes on which the windows lie asymmetrically.

    Raises:
        ValueError: If a number is not positive; when applied: if a shape does not fit,
            or the windows do not lie symmetrically.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> rep = reps.regular(groups.Cyclic(4))
        >>> pool = nn.BlurPool(rep, 3, kernel_size=4, stride=2)
        >>> pool.apply(jnp.ones((6, 8, 4, 3))).shape
        (3, 4, 4, 3)

    References:
        Zhang, "Making convolutional networks shift-invariant again" (2019).
    """

    rep: Any
    channels: int | None = None
    kernel_size: int = field(kw_only=True)
    stride: int = field(default=2, kw_only=True)
    sigma: float | None = field(default=None, kw_only=True)
    padding: Padding = field(default="zero", kw_only=True)
    allow_misaligned: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_pool(self)
        if self.sigma is not None:
            check_positive("sigma", self.sigma)

    def apply(self, x: Feature) -> Feature:
        """The means of one field (*grid, rep.dim, channels), or of such by irrep."""
        sigma = (self.stride + 1) / 3 if self.sigma is None else self.sigma
        r = np.arange(self.kernel_size) - (self.kernel_size - 1) / 2
        # The nearest pixels count 1, however small sigma is.
        window = tuple(np.exp(0.5 * (np.min(r * r) - r * r) / sigma**2).tolist())
        return _pooled(self, window, x)


@register_spec
@dataclass(frozen=True)
class Upsample(KeepsRep):
    """More pixels by linear interpolation, along each axis.

    Pixel i of the result lies at (i + 1/2) / factor - 1/2 of the input (half-pixel
    centers), so that turns and mirrors of the grid commute with it; beyond the first
    and the last pixel the field is continued as a constant.

    Args:
        rep: Representation of the components.
        channels: Number of channels; None: the multiplicities of irreps.
        factor: New pixels for each old one along each axis.

    Raises:
        ValueError: If `factor` is no positive integer; when applied: if a shape does
            not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.Upsample(reps.standard(groups.Cyclic(4)), 3)
        >>> layer.apply(jnp.ones((5, 7, 2, 3))).shape
        (10, 14, 2, 3)
    """

    rep: Any
    channels: int | None = None
    factor: int = field(default=2, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_channels("channels", self.rep, self.channels)
        check_size("factor", self.factor)

    def apply(self, x: Feature) -> Feature:
        """The field (*grid, rep.dim, channels), or such by irrep, with more pixels."""
        check_feature("x", x, self.rep, self.channels)

        def one(part: Array) -> Array:
            shape = part.shape[: grid_dim(part, self.rep)]
            return _along(part, [_upsampling(n, self.factor) for n in shape])

        return jax.tree.map(one, x)


def check_pool(pool: Any) -> None:
    """Checks the fields that pooling layers share.

    Raises:
        ValueError: If one is wrong.
    """
    check_channels("channels", pool.rep, pool.channels)
    check_size("kernel_size", pool.kernel_size)
    if pool.stride is not None:
        check_size("stride", pool.stride)
    check_choice("padding", pool.padding, ("zero", "valid"))


def pool_padding(pool: Any, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Stride, and the padding of each axis."""
    stride = pool.kernel_size if pool.stride is None else pool.stride
    pads = window_padding(
        shape, pool.kernel_size, stride, 1, pool.padding, pool.allow_misaligned
    )
    return stride, pads


def _pooled(pool: Any, window: tuple[float, ...], x: Feature) -> Feature:
    check_feature("x", x, pool.rep, pool.channels)

    def one(part: Array) -> Array:
        shape = part.shape[: grid_dim(part, pool.rep)]
        stride, pads = pool_padding(pool, shape)
        pairs = zip(shape, pads, strict=True)
        return _along(part, [_windows(n, window, stride, p) for n, p in pairs])

    return jax.tree.map(one, x)


def _along(x: Array, matrices: list[np.ndarray]) -> Array:
    """Each matrix along its axis."""
    for axis, matrix in enumerate(matrices):
        constant = jnp.asarray(matrix, x.dtype)
        x = jnp.moveaxis(
            jnp.tensordot(constant, x, axes=(1, axis), precision="highest"), 0, axis
        )
    return x


@functools.lru_cache(maxsize=128)
def _windows(size: int, window: tuple[float, ...], stride: int, pad: int) -> np.ndarray:
    """Means over windows along a row of pixels, (windows, size)."""
    count = (size + 2 * pad - len(window)) // stride + 1
    full = np.zeros((count, size + 2 * pad))
    for i in range(count):
        full[i, i * stride : i * stride + len(window)] = window
    inside = full[:, pad : pad + size]
    return read_only(inside / inside.sum(axis=1, keepdims=True))


@functools.lru_cache(maxsize=128)
def _upsampling(size: int, factor: int) -> np.ndarray:
    """Linear interpolation at half-pixel centers, (factor size, size)."""
    places = (np.arange(size * factor) + 0.5) / factor - 0.5
    places = np.clip(places, 0, size - 1)
    distance = np.abs(places[:, None] - np.arange(size))
    return read_only(np.maximum(1 - distance, 0))
