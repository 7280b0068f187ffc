"""Steerable functions on the pixels of a convolution kernel."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eqjax._core._checks import check_condition, check_size
from eqjax._core._specs import register_spec
from eqjax.nn._grid import offsets
from eqjax.o3._constants import read_only
from eqjax.o3._harmonics_table import harmonics

# Of the Gaussian rings, in pixels.
_SIGMA = 0.6
# The last ring ends this far inside the window's edge.
_MARGIN = 0.8


@register_spec
@dataclass(frozen=True)
class KernelBasis:
    """Gaussian rings times circular or spherical harmonics, averaged over pixels.

        psi(x) = w(r) exp(-(r - r_j)^2 / (2 sigma_j^2)) Y_lm(x / r),   l = 0, .., L_j,
        w(r) = (1 - (2 r / k)^2)^2 for r < k / 2, else 0,

    with r = |x| in pixels and k the size of the kernel. Sampled at pixel centers, high
    frequencies alias and break equivariance between multiples of 90 degrees; the smooth
    window and the mean over subpixels suppress that. The functions of one ring and
    degree move by the irrep of that degree.

    Relative change of a lifting, a ReLU and a regular convolution of C_8, by a turn of
    45 degrees, on noise smoothed with so many pixels (benchmarks/steerable_conv.py):

    | kernel | functions | 0.7 px | 1.5 px | 3 px | escnn's default |
    |---|---|---|---|---|---|
    | 5 | 9 | 0.064 | 0.022 | 0.0086 | 0.131, 0.049, 0.017 |
    | 7 | 16 | 0.044 | 0.018 | 0.0071 | 0.097, 0.041, 0.018 |

    Args:
        rings: Radii r_j in pixels. None: integers, and k / 2 - 0.8 as the last one.
        degrees: The largest degree L_j of each ring. None: 0, 1, 2, ..
        sigmas: Width of each ring in pixels. None: 0.6.
        window: Whether there is the factor w, which vanishes outside of a disk or ball;
            otherwise corners have values, too.
        oversampling: The mean is over this number of points along each axis of a pixel.

    Raises:
        ValueError: If lengths differ, or a number is negative.

    Example:
        >>> from eqjax import nn
        >>> nn.KernelBasis().num_functions(5, 2), nn.KernelBasis().num_functions(5, 3)
        (9, 14)

    References:
        Weiler, Hamprecht, Storath, "Learning steerable filters for rotation equivariant
        CNNs" (2018), equation 3.
        Weiler, Cesa, "General E(2)-equivariant steerable CNNs" (2019), appendix E.
    """

    rings: tuple[float, ...] | None = None
    degrees: tuple[int, ...] | None = None
    sigmas: tuple[float, ...] | None = None
    window: bool = True
    oversampling: int = 8

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("oversampling", self.oversampling)
        given = [self.rings, self.degrees, self.sigmas]
        lengths = {len(values) for values in given if values is not None}
        check_condition(
            len(lengths) <= 1 and 0 not in lengths,
            "`rings`, `degrees` and `sigmas` must have one entry for each ring, got "
            f"{self.rings}, {self.degrees}, {self.sigmas}.",
        )
        check_condition(
            self.rings is not None or not lengths,
            "`degrees` and `sigmas` belong to `rings`; give these too.",
        )
        for degree in self.degrees or ():
            check_size("degrees", degree, minimum=0)
        fits = all(r >= 0 for r in self.rings or ())
        fits = fits and all(s > 0 for s in self.sigmas or ())
        check_condition(
            fits,
            "`rings` must not be negative and `sigmas` must be positive, got "
            f"{self.rings}, {self.sigmas}.",
        )

    @classmethod
    def classic(cls, kernel_size: int) -> KernelBasis:
        """The default of escnn: aliases more, kept for comparison and reproduction.

        Equidistant rings on 0 .. (k - 1) // 2; width 0.005 at the center, 0.4 at the
        last ring, else 0.6; frequencies 0 at the center, up to min(2 r, 2) at the last
        ring, else up to 2 r - (r + 1) mod 2; no window, sampled at pixel centers.

        Args:
            kernel_size: The size of the kernels that it is for.
        """
        check_size("kernel_size", kernel_size)
        count, last = math.ceil(kernel_size / 2), (kernel_size - 1) // 2
        radii = np.linspace(0, last, count).tolist() if count > 1 else [0.0]
        sigmas, degrees = [], []
        for radius in radii:
            whole = round(radius)
            if radius == 0:
                sigma, degree = 0.005, 0
            elif radius == last:
                sigma, degree = 0.4, min(2 * whole, 2)
            else:
                sigma, degree = 0.6, 2 * whole - (whole + 1) % 2
            sigmas.append(sigma)
            degrees.append(degree)
        return cls(tuple(radii), tuple(degrees), tuple(sigmas), False, 1)

    def num_functions(self, kernel_size: int, dim: int) -> int:
        """The number of functions for kernels of kernel_size^dim pixels."""
        return sum(
            group.values.shape[0] * group.values.shape[2]
            for group in sampled(self, kernel_size, dim)
        )


class Functions(NamedTuple):
    """Those of one degree.

    Attributes:
        degree: The degree l.
        values: One set for each ring, (rings, pixels, components); each has the mean
            square sum over pixels 1.
    """

    degree: int
    values: np.ndarray


@functools.lru_cache(maxsize=64)
def sampled(basis: KernelBasis, size: int, dim: int) -> tuple[Functions, ...]:
    """The functions on the pixels of a kernel, by degree."""
    rings, degrees, sigmas = _resolved(basis, size)
    points = offsets(size, dim, basis.oversampling)
    radius = np.linalg.norm(points, axis=-1)
    distance = radius[..., None] - np.array(rings)
    radial = np.exp(-0.5 * (distance / np.array(sigmas)) ** 2)
    edge = 2 * radius / size
    if basis.window:
        radial = radial * ((1 - edge**2) ** 2 * (edge < 1))[..., None]
    angular = _angular(points, radius, max(degrees), dim)
    found = []
    for degree in range(max(degrees) + 1):
        chosen = [j for j, largest in enumerate(degrees) if degree <= largest]
        y = angular[degree]
        values = np.einsum("psj,psm->jpm", radial[..., chosen], y, optimize=True)
        norms = np.sqrt(np.sum(values**2, axis=(1, 2)) / values.shape[2])
        # What the pixels cannot show, e.g. high degrees at the center.
        shown = norms > 1e-6 * points.shape[1]
        if np.any(shown):
            values = values[shown] / norms[shown, None, None]
            found.append(Functions(degree, read_only(values)))
    return tuple(found)


def _resolved(
    basis: KernelBasis, size: int
) -> tuple[tuple[float, ...], tuple[int, ...], tuple[float, ...]]:
    """Rings, degrees and widths, with the defaults."""
    rings = basis.rings
    if rings is None:
        last = max(size / 2 - _MARGIN, 0.0)
        # A ring less than half a pixel inside the last one would add nothing.
        rings = (*(float(r) for r in range(math.ceil(last - 0.5))), last)
        if size == 1:
            rings = (0.0,)
    degrees = basis.degrees
    if degrees is None:
        first = 1 if size == 2 else 0
        degrees = tuple(range(first, first + len(rings)))
    sigmas = basis.sigmas or (_SIGMA,) * len(rings)
    return rings, degrees, sigmas


def _angular(
    points: np.ndarray, radius: np.ndarray, max_degree: int, dim: int
) -> list[np.ndarray]:
    """Harmonics of each degree at the points; zero at the origin but for degree 0."""
    unit = points / np.where(radius == 0, 1, radius)[..., None]
    if dim == 2:
        z = unit[..., 0] + 1j * unit[..., 1]
        tables = [np.ones((*radius.shape, 1))]
        for degree in range(1, max_degree + 1):
            power = z**degree
            tables.append(np.stack([power.real, power.imag], axis=-1))
        return tables
    flat = harmonics(max_degree, unit.reshape(-1, 3)).reshape(*radius.shape, -1)
    origin = (radius == 0)[..., None]
    return [flat[..., :1]] + [
        np.where(origin, 0, flat[..., l * l : (l + 1) ** 2])
        for l in range(1, max_degree + 1)
    ]
