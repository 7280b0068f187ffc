"""Pixel grids: coordinates, and which windows keep their symmetries."""

from __future__ import annotations

import functools
from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition, check_size
from eqjax.reps import Rep

Padding: TypeAlias = Literal["zero", "periodic", "valid"]


def aligned_padding(
    size: int, kernel_size: int, stride: int = 1, *, dilation: int = 1
) -> int | None:
    """The padding with which windows lie symmetrically on a row of pixels.

    The windows of a convolution or a pooling layer must be mirrored into each other by
    the mirror of the row, (size + 2 p - k) mod stride = 0 with k = (kernel_size - 1)
    dilation + 1 and the same padding p on both sides. Otherwise a layer with a stride
    is not equivariant at all under turns and mirrors. Even sizes need even kernels,
    odd sizes odd ones, if the stride is even.

    Args:
        size: Number of pixels.
        kernel_size: Of the window.
        stride: From window to window.
        dilation: From pixel to pixel in a window.

    Returns:
        The padding closest to (k - stride) / 2, the larger one of two, with which
        size / stride windows fit best; None if there is none.

    Raises:
        ValueError: If an argument is no positive integer.

    Example:
        >>> from eqjax import nn
        >>> nn.aligned_padding(29, 5, 2), nn.aligned_padding(28, 4, 2)
        (2, 1)
        >>> nn.aligned_padding(28, 5, 2) is None
        True
    """
    check_size("size", size)
    check_size("kernel_size", kernel_size)
    check_size("stride", stride)
    check_size("dilation", dilation)
    extent = (kernel_size - 1) * dilation + 1
    wanted = (extent - stride) / 2
    fitting = [
        p
        for p in range(extent)
        if size + 2 * p >= extent and (size + 2 * p - extent) % stride == 0
    ]
    return min(fitting, key=lambda p: (abs(p - wanted), -p), default=None)


def window_padding(
    shape: tuple[int, ...],
    kernel_size: int,
    stride: int,
    dilation: int,
    padding: Padding,
    allow_misaligned: bool,
) -> tuple[int, ...]:
    """The padding on both sides of each axis.

    Raises:
        ValueError: If a window does not fit, or windows lie asymmetrically and that is
            not allowed.
    """
    extent = (kernel_size - 1) * dilation + 1
    pads = []
    for size in shape:
        fallback = 0 if padding == "valid" else (extent - min(stride, extent) + 1) // 2
        if padding == "periodic":
            check_condition(
                extent % 2 == 1,
                "Periodic padding needs windows of an odd number of pixels, which have "
                f"as many on both sides, got {extent}.",
            )
            fallback = (extent - 1) // 2
            aligned = fallback if stride == 1 else None
        elif padding == "valid":
            aligned = 0 if (size - extent) % stride == 0 else None
        else:
            aligned = aligned_padding(size, kernel_size, stride, dilation=dilation)
        if aligned is None and not allow_misaligned:
            raise ValueError(_misaligned(size, extent, stride, padding))
        pad = fallback if aligned is None else aligned
        check_condition(
            size + 2 * pad >= extent and (padding != "periodic" or pad <= size),
            f"`x` has {size} pixels along an axis, too few for a window of {extent} "
            f'with padding "{padding}". Take a smaller kernel or dilation.',
        )
        pads.append(pad)
    return tuple(pads)


def pad_periodic(x: Array, pads: tuple[int, ...]) -> Array:
    """The first axes continued periodically."""
    widths = [(p, p) for p in pads] + [(0, 0)] * (x.ndim - len(pads))
    return jnp.pad(x, widths, mode="wrap")


def offsets(size: int, dim: int, oversampling: int) -> np.ndarray:
    """Points in the pixels of a window, as (x, y) or (x, y, z) from its center.

    Rows run downwards, so that x = column - center and y = center - row. In a volume
    (depth, height, width) z = depth - center.

    Returns:
        float64, (size^dim, oversampling^dim, dim); pixels in the order of a kernel.
    """
    centers = np.arange(size) - (size - 1) / 2
    within = (np.arange(oversampling) + 0.5) / oversampling - 0.5
    line = centers[:, None] + within
    # [pixel, point] of each axis, first axis slow.
    axes = np.meshgrid(*[line.ravel()] * dim, indexing="ij")
    points = np.stack(axes[::-1], axis=-1)
    points[..., 1] *= -1
    points = points.reshape(*(size, oversampling) * dim, dim)
    order = [*range(0, 2 * dim, 2), *range(1, 2 * dim, 2), 2 * dim]
    return points.transpose(order).reshape(size**dim, oversampling**dim, dim)


@functools.lru_cache(maxsize=256)
def moves_grid(group: Any) -> bool:
    """Whether the group consists of turns and mirrors of the plane or of space."""
    lie, discrete = group.generators
    n = group.degree
    if n not in (2, 3) or lie.shape[-1] != n or np.iscomplexobj(discrete):
        return False
    skew = np.max(np.abs(lie + lie.swapaxes(1, 2)), initial=0.0)
    square = discrete @ discrete.swapaxes(1, 2) - np.eye(n)
    return bool(max(skew, np.max(np.abs(square), initial=0.0)) < 1e-9)


def grid_dim(x: Any, rep: Rep) -> int:
    """The number of grid axes of a field (*grid, components, channels).

    Raises:
        ValueError: If it is not the dimension that the group moves, or one to three for
            a group that moves no grid.
    """
    ndim = getattr(x, "ndim", 0) - 2
    is_moved = moves_grid(rep.group)
    allowed = (rep.group.degree,) if is_moved else (1, 2, 3)
    check_condition(
        ndim in allowed,
        f"`x` must be a field of shape (*grid, components, channels) with "
        f"{' or '.join(map(str, allowed))} grid axes for {rep.group}, got "
        f"{getattr(x, 'shape', type(x).__name__)}. Use `jax.vmap` for more than one "
        "field.",
    )
    return ndim


def _misaligned(size: int, extent: int, stride: int, padding: str) -> str:
    if padding == "periodic":
        remedy = (
            "Periodic padding is symmetric about the center for stride 1 only (with a "
            "stride that divides the size it is so about pixel 0). Take that, and pool "
            "afterwards"
        )
    elif padding == "valid":
        remedy = f"Take a size with (size - {extent}) divisible by {stride}"
    else:
        parity = "even" if size % 2 == 0 else "odd"
        remedy = f"Take an {parity} window for this {parity} size"
    return (
        f"A window of {extent} with stride {stride} and padding {padding!r} does not "
        f"lie symmetrically on {size} pixels, which breaks equivariance under turns "
        f"and mirrors completely. {remedy}, or pass `allow_misaligned=True`."
    )
