"""Kernels on the group of affine maps of the plane, windowed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_choice, check_condition, check_positive
from eqjax._core._specs import register_spec
from eqjax.groups import SL
from eqjax.nn._affine_samples import AffineGroup, AffineSamples
from eqjax.nn._features import Params
from eqjax.nn._grid import offsets
from eqjax.nn._hermite import hermite, init_hermite
from eqjax.nn._siren import init_siren, siren

# Of the Gaussian of Hermite functions, in the radius of a kernel.
_DEVIATIONS = 2.3


@register_spec
@dataclass(frozen=True)
class AffineKernel:
    """Kernels k(x, h) on the affine group.

    A function of x / radius and, where the kernel depends on h = P R, of coordinates of
    log P and the entries cos, sin of R, which have no jump. It is windowed in both
    arguments, since integrals over the group diverge otherwise.

    Args:
        network: "sines": three layers of sines and a linear one. "hermite": linear in
            its weights, sum_nm w_nm psi_n(x) phi_m(h); the Hermite functions psi_n of
            deviation radius / 2.3 span the derivatives of a Gaussian up to `degree`,
            and phi_m are 1, the coordinates of log P, and cos and sin of the angle of R
            and of its double. It trains like an ordinary convolution, and from a radius
            of 2.5 is smooth on the scale of pixels. With the measure "haar" only.
        radius: Of the window about x = 0, in pixels, at h = 1; default: half of the
            kernel's pixels. Where samples stretch by more than half the kernel over
            the radius, the window is cut off by the kernel's pixels.
        width: Deviation tau of the group window exp(-|log P|^2 / (2 tau^2)).
        degree: Of the polynomials in Hermite functions.
        frequency: Factor w0 in the sines.
        group_frequency: The same for the coordinates of h, in the first layer; default:
            `frequency`. Integrals of kernels that vary slowly with h need fewer
            samples, but tell turns apart less well.
        measure: "haar": a smooth window (1 - |x|^2 / radius^2)^2, which Hermite
            functions do not need, the group window, and weights of the Haar measure,
            normalized so that window and weights sum to one for each h. "paper", for
            reproduction: the angle of R, which jumps at half turns, instead of its
            entries; windows 1 for |x| < radius (SL) or sigmoid(2 - 2 |c|) of all
            coordinates c (GL+); the mean over the samples.

    Raises:
        ValueError: If a field is out of range.

    Example:
        >>> from eqjax import groups, nn
        >>> kernel = nn.AffineKernel(radius=2.0, width=0.7)
        >>> conv = nn.AffineConv(groups.SL(2), 8, 8, kernel_size=7, kernel=kernel)

    References:
        Mironenco, Forre, "Lie group decompositions for equivariant neural networks"
        (2024), sections 4 and 5. Koenderink, van Doorn, "Representation of local
        geometry in the visual system" (1987) (derivatives of Gaussians).
    """

    network: Literal["sines", "hermite"] = field(default="sines", kw_only=True)
    radius: float | None = field(default=None, kw_only=True)
    width: float = field(default=0.5, kw_only=True)
    degree: int = field(default=3, kw_only=True)
    frequency: float = field(default=10.0, kw_only=True)
    group_frequency: float | None = field(default=None, kw_only=True)
    measure: Literal["haar", "paper"] = field(default="haar", kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("network", self.network, ("sines", "hermite"))
        if self.radius is not None:
            check_positive("radius", self.radius)
        check_positive("width", self.width)
        check_positive("frequency", self.frequency)
        if self.group_frequency is not None:
            check_positive("group_frequency", self.group_frequency)
        check_condition(
            isinstance(self.degree, int) and self.degree >= 0,
            f"`degree` must be an integer of at least 0, got {self.degree!r}.",
        )
        check_choice("measure", self.measure, ("haar", "paper"))
        check_condition(
            self.network == "sines" or self.measure == "haar",
            '`measure` must be "haar" for the network "hermite"; the published kernels '
            'are "sines".',
        )


def kernel_offsets(kernel_size: int) -> np.ndarray:
    """Displacements (x, y) of a kernel's pixels from its center, (k * k, 2), y up."""
    return offsets(kernel_size, 2, 1)[:, 0]


def init_kernel(
    kernel: AffineKernel,
    kernel_size: int,
    channels: tuple[int, int],
    num_coordinates: int,
    *,
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> Params:
    """Weights of the network, with which white noise keeps its variance at h = 1."""
    channels_in, channels_out = channels
    x = kernel_offsets(kernel_size) / _radius(kernel, kernel_size)
    if kernel.network == "hermite":
        return init_hermite(
            x * _DEVIATIONS,
            kernel.degree,
            num_coordinates,
            channels_in * channels_out,
            channels_in,
            dtype=dtype,
            key=key,
        )
    squared = np.sum(x * x, axis=-1)
    if kernel.measure == "haar":
        pixels = np.sum(np.maximum(1 - squared, 0) ** 4)
    else:
        pixels = kernel_size**2
    gain = (channels_in * float(pixels)) ** -0.5
    return init_siren(
        2 + num_coordinates,
        channels_in * channels_out,
        kernel.frequency,
        gain,
        dtype=dtype,
        key=key,
    )


def num_relative(kernel: AffineKernel, group: AffineGroup) -> int:
    """Number of `relative_coordinates`."""
    return group.dim - 1 + (2 if kernel.measure == "haar" else 1)


def relative_coordinates(
    kernel: AffineKernel, group: AffineGroup, relative: Float[Array, "*batch 2 2"]
) -> tuple[Float[Array, "*batch coordinates"], Float[Array, "*batch"]]:
    """What the network sees of elements h, and |log P|^2 for h = P R."""
    log_stretch, rotation = group.coordinates(relative)
    c, s = rotation[..., 0, 0], rotation[..., 1, 0]
    if kernel.measure == "haar":
        turn = jnp.stack([c, s], axis=-1)
    else:
        turn = jnp.arctan2(s, c)[..., None]
    coordinates = jnp.concatenate([log_stretch, turn], axis=-1)
    return coordinates, jnp.sum(log_stretch * log_stretch, axis=-1)


def kernel_values(
    kernel: AffineKernel,
    kernel_size: int,
    group: AffineGroup,
    params: Params,
    x: Float[Array, "*batch 2"],
    coordinates: Float[Array, "*batch coordinates"] | None,
) -> Float[Array, "*batch values"]:
    """k(x, h), all but the group window; x in pixels.

    Args:
        kernel: The kernel.
        kernel_size: Pixels of a side.
        group: SL(2) or GL+(2).
        params: From `init_kernel`.
        x: Points of the plane, h^-1 (t' - t).
        coordinates: From `relative_coordinates`; None if there are none.
    """
    scaled = x / _radius(kernel, kernel_size)
    if kernel.network == "hermite":
        scaled = _DEVIATIONS * scaled
        return hermite(params, kernel.degree, kernel.width, scaled, coordinates)
    squared = jnp.sum(scaled * scaled, axis=-1)
    full = seen = scaled
    if coordinates is not None:
        full = jnp.concatenate([scaled, coordinates], axis=-1)
        slow = kernel.group_frequency or kernel.frequency
        slowed = slow / kernel.frequency * coordinates
        seen = jnp.concatenate([scaled, slowed], axis=-1)
    if kernel.measure == "haar":
        window = jnp.maximum(1 - squared, 0) ** 2
    elif isinstance(group, SL):
        window = (squared < 1).astype(x.dtype)
    else:
        window = jax.nn.sigmoid(2 - 2 * jnp.sqrt(jnp.sum(full * full, axis=-1)))
    return window[..., None] * siren(params, kernel.frequency, seen)


def sample_weights(
    kernel: AffineKernel,
    samples: AffineSamples,
    squared: Float[Array, "others samples"],
) -> Float[Array, "others samples"]:
    """Weights of the samples in sums over them, of sum one.

    With the measure of Haar they hold the group window: the sum over the weighted
    window estimates the window's integral, the same for all h, and dividing by it takes
    most of the variance of the estimate.
    """
    if kernel.measure == "paper":
        return jnp.full_like(squared, 1 / squared.shape[1])
    logits = jnp.log(samples.weights)[None] - squared / (2 * kernel.width**2)
    return jax.nn.softmax(logits, axis=1)


def determinant(h: Float[Array, "*batch 2 2"]) -> Float[Array, "*batch"]:
    """The determinant of 2 x 2 matrices."""
    return h[..., 0, 0] * h[..., 1, 1] - h[..., 0, 1] * h[..., 1, 0]


def _radius(kernel: AffineKernel, kernel_size: int) -> float:
    return kernel_size / 2 if kernel.radius is None else kernel.radius
