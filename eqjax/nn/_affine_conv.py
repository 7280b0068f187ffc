"""Convolution on the group of affine maps of the plane, by sampling."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Array, Float

from eqjax._core._specs import register_spec
from eqjax.nn._affine_kernel import (
    determinant,
    num_relative,
    relative_coordinates,
    sample_weights,
)
from eqjax.nn._affine_layer import (
    AffineLayer,
    arranged,
    convolved,
    kernel_blocks,
    pull_back,
)
from eqjax.nn._affine_samples import AffineSamples, multiply
from eqjax.nn._features import Params


@register_spec
@dataclass(frozen=True)
class AffineLift(AffineLayer):
    """From an image to a function on the group of affine maps.

        F(t, h) = |det h|^-1 sum_x f(x) k(h^-1 (x - t))

    The group is that of x -> h x + t, with h of H. The image moves by (g f)(x) =
    f(g^-1 x), the result by (g F)(t, h) = F(g^-1 (t, h)). Exact up to the pixel grid
    and the kernel's cut off: no integral over H is needed.

    The axis of components holds the samples of H, since functions on H are no
    representation of finite dimension (so that there is no `rep_out`). Coordinates of
    pixels are those of `SteerableConv`.

    Args:
        group: H, `groups.SL(2)` or `groups.GLPlus(2)`.
        channels_in: Number of channels.
        channels_out: Number of channels of the result.
        kernel_size: Pixels along each axis; wider than twice the kernel's radius by as
            much as samples stretch.
        kernel: Windows, network and measure.
        padding: "zero" or "periodic" (odd kernels) keep the number of pixels, "valid"
            pads nothing.
        bias: Whether to add a bias to each channel.
        precision: Of the convolution.

    Raises:
        ValueError: If a field is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn
        >>> lift = nn.AffineLift(groups.SL(2), 1, 8, kernel_size=5)
        >>> params = lift.init(key=jax.random.key(0))
        >>> samples = nn.sample_affine(groups.SL(2), 4, 2, key=jax.random.key(1))
        >>> lift.apply(params, jnp.ones((17, 17, 1, 1)), samples).shape
        (17, 17, 8, 8)

    References:
        Mironenco, Forre, "Lie group decompositions for equivariant neural networks"
        (2024), sections 3 and 4. Bekkers, "B-spline CNNs on Lie groups" (2020).
    """

    def apply(
        self,
        params: Params,
        x: Float[Array, "height width 1 channels_in"],
        samples: AffineSamples,
    ) -> Float[Array, "rows columns samples channels_out"]:
        """The function on the group of one image.

        Args:
            params: From `init`.
            x: An image (height, width, 1, channels_in).
            samples: Elements h at which the result is wanted.

        Returns:
            F(t, h), (height, width, samples, channels_out).

        Raises:
            ValueError: If a shape does not fit.
        """
        return convolved(self, params, x, self.expand(params, samples))

    def expand(
        self, params: Params, samples: AffineSamples
    ) -> Float[Array, "k k 1 channels_in samples channels_out"]:
        """The kernel |det h|^-1 k(h^-1 x) of the ordinary convolution."""
        values = kernel_blocks(self, params, pull_back(self, samples), None)
        scale = 1 / determinant(samples.matrices)
        # [out, pixel, c_in, c_out]
        kernel = scale[:, None, None, None] * values
        return arranged(self, kernel[:, None])


@register_spec
@dataclass(frozen=True)
class AffineConv(AffineLayer):
    """Convolution of functions on the group of affine maps.

        F(t, h) = int_H int f(t', h') k(h^-1 (t' - t), h^-1 h') |det h'|^-1 dt' dmu(h')

    with the Haar measure mu of H; dt' dmu(h') / |det h'| is the left Haar measure of
    the affine group, so the determinant is that of the *integrated* variable. The
    integral over H is a weighted sum over samples, after which this is one ordinary
    convolution with kernel_size^2 samples_in channels_in samples_out channels_out
    weights. Fresh samples for each training step, and fixed ones for an evaluation,
    are the caller's `sample_affine`; each layer's output samples are the next one's
    input samples.

    With samples of the mode "product" it commutes exactly with rotations by multiples
    of 90 degrees (num_rotations a multiple of 4; the samples move among each other).
    Otherwise it is equivariant only in the limit of many samples, within the windows,
    and up to the pixel grid.

    Measured relative error of lifting, GELU and convolution with random weights, for
    images of noise blurred by 1.5 pixels that move by any rotation and |X| <= 0.3
    (sigma 0.5; 9 x 9 pixels, kernel radius 2.5; 12 images, float32; w0 is
    `AffineKernel.frequency` of networks of sines), against the number of samples:

    =====  =======================  ====  ====  ====  ====  ====
    group  samples                     4     8    16    32    64
    =====  =======================  ====  ====  ====  ====  ====
    SL     product, w0 = 10         0.52  0.35  0.20  0.24  0.14
    SL     product, w0 = 4          0.20  0.21  0.07  0.07  0.07
    SL     product, Hermite         0.68  0.69  0.26  0.18  0.12
    SL     independent, w0 = 10     0.88  0.68  0.61  0.49  0.32
    SL     as published, w0 = 10    0.46  0.35  0.27  0.22  0.19
    GL+    product, w0 = 10         0.57  0.85  0.64  0.67  0.25
    GL+    product, w0 = 4          0.41  0.38  0.21  0.14  0.11
    GL+    product, Hermite         0.51  0.36  0.19  0.22  0.20
    GL+    independent, w0 = 10     1.29  0.68  0.52  0.68  0.46
    GL+    as published, w0 = 10    0.52  0.36  0.29  0.28  0.23
    =====  =======================  ====  ====  ====  ====  ====

    The published samples are closer to 1, which helps few of them; they do not converge
    to an equivariant map.

    Args:
        group: H, `groups.SL(2)` or `groups.GLPlus(2)`.
        channels_in: Number of channels.
        channels_out: Number of channels of the result.
        kernel_size: Pixels along each axis; wider than twice the kernel's radius by as
            much as samples stretch.
        kernel: Windows, network and measure.
        padding: "zero" or "periodic" (odd kernels) keep the number of pixels, "valid"
            pads nothing.
        bias: Whether to add a bias to each channel.
        precision: Of the convolution.

    Raises:
        ValueError: If a field is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn
        >>> conv = nn.AffineConv(groups.SL(2), 3, 5, kernel_size=5)
        >>> params = conv.init(key=jax.random.key(0))
        >>> here = nn.sample_affine(groups.SL(2), 4, 2, key=jax.random.key(1))
        >>> there = nn.sample_affine(groups.SL(2), 4, 1, key=jax.random.key(2))
        >>> conv.apply(params, jnp.ones((9, 9, 8, 3)), here, there).shape
        (9, 9, 4, 5)

    References:
        Mironenco, Forre, "Lie group decompositions for equivariant neural networks"
        (2024), sections 3 and 4. Bekkers, "B-spline CNNs on Lie groups" (2020).
    """

    @property
    def _num_coordinates(self) -> int:
        return num_relative(self.kernel, self.group)

    def apply(
        self,
        params: Params,
        x: Float[Array, "height width samples_in channels_in"],
        samples_in: AffineSamples,
        samples_out: AffineSamples,
    ) -> Float[Array, "rows columns samples_out channels_out"]:
        """The convolution of one function on the group.

        Args:
            params: From `init`.
            x: f(t', h'), (height, width, samples, channels_in).
            samples_in: Where x is given.
            samples_out: Elements h at which the result is wanted; the same ones, or
                others.

        Returns:
            F(t, h), (height, width, samples, channels_out).

        Raises:
            ValueError: If a shape does not fit.
        """
        kernel = self.expand(params, samples_in, samples_out)
        return convolved(self, params, x, kernel)

    def expand(
        self, params: Params, samples_in: AffineSamples, samples_out: AffineSamples
    ) -> Float[Array, "k k samples_in channels_in samples_out channels_out"]:
        """The kernel of the ordinary convolution, weights included."""
        # [out, in, row, column]
        relative = multiply(samples_out.inverses[:, None], samples_in.matrices[None])
        found = relative_coordinates(self.kernel, self.group, relative)
        coordinates, squared = found
        weights = sample_weights(self.kernel, samples_in, squared)
        scale = weights / determinant(samples_in.matrices)[None]
        x = pull_back(self, samples_out)[:, None]
        values = kernel_blocks(self, params, x, coordinates[:, :, None])
        return arranged(self, scale[:, :, None, None, None] * values)


@register_spec
@dataclass(frozen=True)
class AffineProject(AffineLayer):
    """From a function on the group of affine maps to an image.

        F(t) = int_H int f(t', h') k(h'^-1 (t' - t)) |det h'|^-1 dt' dmu(h')

    The integral over H is a weighted sum over the samples. For a function that does not
    decay it diverges, so the samples have the group window of the kernel about h' = 1,
    which commutes with rotations but not with stretches. For an invariant number rather
    take the maximum over t and h, which needs no measure.

    Args:
        group: H, `groups.SL(2)` or `groups.GLPlus(2)`.
        channels_in: Number of channels.
        channels_out: Number of channels of the result.
        kernel_size: Pixels along each axis; wider than twice the kernel's radius by as
            much as samples stretch.
        kernel: Windows, network and measure.
        padding: "zero" or "periodic" (odd kernels) keep the number of pixels, "valid"
            pads nothing.
        bias: Whether to add a bias to each channel.
        precision: Of the convolution.

    Raises:
        ValueError: If a field is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn
        >>> project = nn.AffineProject(groups.SL(2), 3, 1, kernel_size=5)
        >>> params = project.init(key=jax.random.key(0))
        >>> samples = nn.sample_affine(groups.SL(2), 4, 2, key=jax.random.key(1))
        >>> project.apply(params, jnp.ones((9, 9, 8, 3)), samples).shape
        (9, 9, 1, 1)

    References:
        Mironenco, Forre, "Lie group decompositions for equivariant neural networks"
        (2024), sections 3 and 4. Bekkers, "B-spline CNNs on Lie groups" (2020).
    """

    def apply(
        self,
        params: Params,
        x: Float[Array, "height width samples channels_in"],
        samples: AffineSamples,
    ) -> Float[Array, "rows columns 1 channels_out"]:
        """The image of one function on the group.

        Args:
            params: From `init`.
            x: f(t', h'), (height, width, samples, channels_in).
            samples: Where x is given.

        Returns:
            F(t), (height, width, 1, channels_out).

        Raises:
            ValueError: If a shape does not fit.
        """
        return convolved(self, params, x, self.expand(params, samples))

    def expand(
        self, params: Params, samples: AffineSamples
    ) -> Float[Array, "k k samples channels_in 1 channels_out"]:
        """The kernel of the ordinary convolution, weights included."""
        _, squared = relative_coordinates(self.kernel, self.group, samples.matrices)
        weights = sample_weights(self.kernel, samples, squared[None])[0]
        scale = weights / determinant(samples.matrices)
        # [in, pixel, c_in, c_out]
        values = kernel_blocks(self, params, pull_back(self, samples), None)
        return arranged(self, (scale[:, None, None, None] * values)[None])
