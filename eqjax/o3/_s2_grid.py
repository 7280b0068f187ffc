"""Grids on the sphere that integrate polynomials exactly, and functions on them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import (
    check_condition,
    check_floating,
    check_same_dtype,
    check_size,
)
from eqjax._core._specs import register_spec
from eqjax.o3._constants import Precision, constant_map, read_only
from eqjax.o3._harmonics_table import harmonics
from eqjax.o3._separable_transform import Transform, separable_transform

# From this degree on, Legendre and Fourier sums one after the other take less time than
# one dense matrix (benchmarks/o3_s2_activation.py).
SEPARABLE_FROM = 8


@register_spec
@dataclass(frozen=True, order=True)
class S2Grid:
    """A grid on the sphere: Gauss-Legendre points in y, uniform azimuths about y.

    A feature x of degrees l <= L is a signal, and a signal is a feature again:

        to_grid:   f(r_n) = sum_i Y_i(r_n) x_i
        from_grid: x_i = sum_n w_n Y_i(r_n) f(r_n),    sum_n w_n = 1

    with spherical harmonics Y of component normalisation. The sum over the points is
    the mean over the sphere for every polynomial of degree up to d = `exact_for` L,
    which takes floor(d / 2) + 1 polar angles and d + 1 azimuths. With `exact_for=2`,
    `from_grid(to_grid(x))` is x; with 3, the product of two signals is projected
    exactly, so that it commutes with O(3); and so on for k factors and k + 1.

    Args:
        max_degree: The largest degree L of the features.
        exact_for: Number of factors of degree L whose product is integrated exactly, at
            least 1.
        resolution: Numbers of polar angles and of azimuths. Default: the least that
            suffices.
        exact: Whether a grid that is too coarse is an error. On such a grid products
            do not commute with rotations: with one azimuth less than needed the error
            is 34% of the product for L = 2, and 8% for L = 6.

    Raises:
        ValueError: If the grid is too coarse, or a number is out of its range.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> grid = o3.S2Grid(2)
        >>> grid.shape, grid.points.shape
        ((4, 7), (28, 3))
        >>> x = jnp.arange(9.0)[:, None]
        >>> bool(jnp.allclose(grid.from_grid(grid.to_grid(x)), x, atol=1e-5))
        True

    References:
        Driscoll, Healy, "Computing Fourier transforms and convolutions on the 2-sphere"
        (1994), for the separable transform.
    """

    max_degree: int
    exact_for: int = 3
    resolution: tuple[int, int] | None = field(default=None, kw_only=True)
    exact: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("max_degree", self.max_degree, minimum=0)
        check_size("exact_for", self.exact_for)
        if self.resolution is None:
            return
        check_condition(
            isinstance(self.resolution, tuple) and len(self.resolution) == 2,
            "`resolution` must be a tuple of two integers, of polar angles and of "
            f"azimuths, got {self.resolution!r}.",
        )
        for number in self.resolution:
            check_size("resolution", number)
        needed = exact_shape(self.exact_for * self.max_degree)
        check_condition(
            not self.exact or all(np.greater_equal(self.resolution, needed)),
            f"`resolution` {self.resolution} is too coarse: {self.exact_for} factors "
            f"of degree {self.max_degree} need at least {needed}. Leave it out, or "
            "accept the error with `exact=False`.",
        )

    @property
    def dim(self) -> int:
        """Number of components of a feature, (L + 1)^2."""
        return (self.max_degree + 1) ** 2

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of polar angles and of azimuths."""
        return self.resolution or exact_shape(self.exact_for * self.max_degree)

    @property
    def points(self) -> np.ndarray:
        """Unit vectors (NumPy float64), (points, 3), first along a meridian."""
        return grid_points(self.shape)[0]

    @property
    def weights(self) -> np.ndarray:
        """Weights of the points (NumPy float64), (points,), of sum 1."""
        return grid_points(self.shape)[1]

    def to_grid(
        self, x: Float[Array, "dim channels"], *, precision: Precision = "highest"
    ) -> Float[Array, "points channels"]:
        """The values at the points of the signals with coefficients x.

        Raises:
            ValueError: If x has another number of components.
        """
        _check_rows("x", x, self.dim, f"features of degrees up to {self.max_degree}")
        if self.max_degree < SEPARABLE_FROM:
            return constant_map(
                to_grid_matrix(self.shape, self.max_degree), x, precision=precision
            )
        transform = Transform(self.shape, self.max_degree, False, False)
        return separable_transform(transform, x, precision=precision)

    def from_grid(
        self, f: Float[Array, "points channels"], *, precision: Precision = "highest"
    ) -> Float[Array, "dim channels"]:
        """The coefficients, up to degree L, of signals with values f at the points.

        Raises:
            ValueError: If f has another number of points.
        """
        rows = self.shape[0] * self.shape[1]
        _check_rows("f", f, rows, f"values at {self.shape} polar angles and azimuths")
        if self.max_degree < SEPARABLE_FROM:
            return constant_map(
                from_grid_matrix(self.shape, self.max_degree), f, precision=precision
            )
        transform = Transform(self.shape, self.max_degree, True, True)
        return separable_transform(transform, f, precision=precision)


def exact_shape(degree: int) -> tuple[int, int]:
    """Numbers of polar angles and azimuths to integrate a degree exactly."""
    return degree // 2 + 1, degree + 1


@functools.lru_cache(maxsize=256)
def grid_points(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of a grid."""
    num_polar, num_azimuth = shape
    y, weights = np.polynomial.legendre.leggauss(num_polar)
    azimuth = 2 * np.pi * np.arange(num_azimuth) / num_azimuth
    radius = np.sqrt(1 - y**2)
    points = np.stack(
        [
            np.outer(np.sin(azimuth), radius),
            np.outer(np.ones(num_azimuth), y),
            np.outer(np.cos(azimuth), radius),
        ],
        axis=-1,
    )
    mean = np.tile(weights, num_azimuth) / (2 * num_azimuth)
    return read_only(points.reshape(-1, 3)), read_only(mean)


@functools.lru_cache(maxsize=256)
def to_grid_matrix(shape: tuple[int, int], max_degree: int) -> np.ndarray:
    """Spherical harmonics at the points of a grid, (points, dim)."""
    return read_only(harmonics(max_degree, grid_points(shape)[0]))


@functools.lru_cache(maxsize=256)
def from_grid_matrix(shape: tuple[int, int], max_degree: int) -> np.ndarray:
    """The projection onto spherical harmonics, (dim, points)."""
    weighted = to_grid_matrix(shape, max_degree) * grid_points(shape)[1][:, None]
    return read_only(np.ascontiguousarray(weighted.T))


@functools.lru_cache(maxsize=64)
def degree_of_component(max_degree: int) -> np.ndarray:
    """The matrix (dim, degrees) that repeats one number per degree."""
    degrees = np.repeat(np.arange(max_degree + 1), 2 * np.arange(max_degree + 1) + 1)
    return read_only(np.eye(max_degree + 1)[degrees])


def spread(
    weights: Float[Array, "rows channels"],
    max_degree: int,
    *,
    precision: Precision = "highest",
) -> Float[Array, "components channels"]:
    """Numbers per degree on every component of it; a single row stays a single row."""
    if weights.shape[0] == 1:
        return weights
    return constant_map(degree_of_component(max_degree), weights, precision=precision)


def _check_rows(name: str, array: Any, rows: int, what: str) -> None:
    shape = getattr(array, "shape", None)
    check_condition(
        shape is not None and len(shape) >= 1 and shape[0] == rows,
        f"`{name}` must be an array of shape ({rows}, channels), of {what}, got "
        f"{shape}. Use `jax.vmap` for more axes.",
    )
    check_floating(name, array)


def check_degree_weights(name: str, weights: Any, max_degree: int, x: Any) -> None:
    """Checks numbers per degree, (degrees or 1, channels or 1), for features x."""
    shape = getattr(weights, "shape", None)
    rows, channels = (1, max_degree + 1), (1, x.shape[1])
    check_condition(
        shape is not None
        and len(shape) == 2
        and shape[0] in rows
        and shape[1] in channels,
        f"`{name}` must have shape ({max_degree + 1} or 1, {x.shape[1]} or 1), one "
        f"number for each degree and channel, got {shape}.",
    )
    check_same_dtype(name, weights, x)
