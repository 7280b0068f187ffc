"""Grids on the sphere that integrate polynomials exactly, and functions on them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_floating, check_size
from eqjax._core._specs import register_spec
from eqjax.o3._constant_map import constant_map
from eqjax.o3._constants import Precision
from eqjax.o3._harmonics_table import harmonics

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
            len(self.resolution) == 2,
            "`resolution` must be two integers, of polar angles and of azimuths, got "
            f"{self.resolution!r}.",
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
        """Unit vectors (NumPy float64), (points, 3), the azimuth running fastest."""
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
        legendre, fourier, _ = _separable_tables(self.shape, self.max_degree)
        orders = jax.lax.dot_general(
            jnp.asarray(legendre, x.dtype),
            _pad(x, self.max_degree),
            (((2,), (0,)), ((0,), (1,))),
            precision=precision,
        )
        # (orders, polar, channels) -> (azimuths, polar, channels)
        values = constant_map(fourier, orders, precision=precision)
        return values.swapaxes(0, 1).reshape(-1, *x.shape[1:])

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
        legendre, fourier, weights = _separable_tables(self.shape, self.max_degree)
        values = f.reshape(*self.shape, *f.shape[1:]).swapaxes(0, 1)
        orders = constant_map(fourier.T, values, precision=precision)
        padded = jax.lax.dot_general(
            jnp.asarray(legendre * weights[:, None], f.dtype),
            orders,
            (((1,), (1,)), ((0,), (0,))),
            precision=precision,
        )
        return _unpad(padded, self.max_degree)


def s2_activation(
    grid: S2Grid,
    activation: Callable[[Array], Array],
    x: Float[Array, "dim channels"],
    *,
    precision: Precision = "highest",
) -> Float[Array, "dim channels"]:
    """An activation of features as signals: from_grid(activation(to_grid(x))).

    It commutes with O(3) exactly only if the activation is a polynomial, of a degree k
    that the grid is exact for (`exact_for >= k + 1`). Any other one is approximate: it
    has components of every degree, which a grid aliases. For SiLU, standard normal
    features, random rotations and L = 2, 4, 6, |f(R x) - R f(x)| / |f(x)| is 7% on the
    grid of `S2Grid(L)`, 0.5 to 0.9% with twice as many angles both ways, and 0.01 to
    0.07% with four times as many. `swiglu_s2` has no such error.

    Args:
        grid: The grid.
        activation: A function of arrays, elementwise.
        x: Features.
        precision: Of the matrix products.

    Returns:
        Features.

    Raises:
        ValueError: If x has another number of components than the grid's.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import o3
        >>> square = o3.s2_activation(o3.S2Grid(1), lambda f: f**2, jnp.ones((4, 1)))
        >>> square[:, 0].round(3).tolist()
        [4.0, 2.0, 2.0, 2.0]

    References:
        Cohen, Geiger, Koehler, Welling, "Spherical CNNs" (2018), section 3.
    """
    values = activation(grid.to_grid(x, precision=precision))
    return grid.from_grid(values, precision=precision)


def swiglu_s2(
    grid: S2Grid,
    x: Float[Array, "dim twice_channels"],
    *,
    gates: Float[Array, "#degrees #channels"] | None = None,
    precision: Precision = "highest",
) -> Float[Array, "dim channels"]:
    """The product of two halves of the channels as signals, which commutes with O(3).

        out_l = sigmoid(gates_l) from_grid(to_grid(x_1) to_grid(x_2))_l

    It is quadratic, so the grid of `S2Grid(L)` projects it exactly. Features must have
    natural parity: degree l changes by (-1)^l under inversion.

    Args:
        grid: The grid, with `exact_for >= 3`.
        x: Features x_1 and x_2, one after the other on the last axis.
        gates: Invariants, one for each degree and channel, or a single row for all
            degrees. Default: no gates.
        precision: Of the matrix products.

    Returns:
        Features with half the channels.

    Raises:
        ValueError: If the grid is not exact for a product, the number of channels is
            odd, or a shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> o3.swiglu_s2(o3.S2Grid(2), jnp.ones((9, 8)), gates=jnp.zeros((3, 4))).shape
        (9, 4)

    References:
        Shazeer, "GLU variants improve transformer" (2020), for gated products.
    """
    needed = exact_shape(3 * grid.max_degree)
    check_condition(
        not grid.exact or all(np.greater_equal(grid.shape, needed)),
        f"`grid` has {grid.shape} points, a product of two signals of degree "
        f"{grid.max_degree} needs {needed}. Use `S2Grid({grid.max_degree}, 3)`, or "
        "accept the error with `exact=False`.",
    )
    check_condition(
        x.ndim == 2 and x.shape[1] % 2 == 0,
        "`x` must have an even number of channels, of two factors, got shape "
        f"{x.shape}.",
    )
    values = grid.to_grid(x, precision=precision)
    half = x.shape[1] // 2
    out = grid.from_grid(values[:, :half] * values[:, half:], precision=precision)
    if gates is None:
        return out
    check_degree_weights("gates", gates, grid.max_degree, out)
    return out * spread(jax.nn.sigmoid(gates), grid.max_degree, precision=precision)


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
            np.outer(radius, np.sin(azimuth)),
            np.outer(y, np.ones(num_azimuth)),
            np.outer(radius, np.cos(azimuth)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    return read_only(points), read_only(
        np.repeat(weights / 2, num_azimuth) / num_azimuth
    )


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


def check_same_dtype(name: str, array: Any, x: Any) -> None:
    """Checks that an array has the dtype of x."""
    check_condition(
        array.dtype == x.dtype,
        f"`{name}` must have the dtype of `x`, {x.dtype}, got {array.dtype}. Convert "
        "one of them.",
    )


def read_only(array: np.ndarray) -> np.ndarray:
    """The array, protected from writes since a cache holds it."""
    array.setflags(write=False)
    return array


@functools.lru_cache(maxsize=64)
def _separable_tables(
    shape: tuple[int, int], max_degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Legendre part (orders, polar, degrees), Fourier part (azimuths, orders), weights.

    Y_lm = legendre[m + L, polar, l] fourier[azimuth, m + L]; weights are per polar
    angle.
    """
    num_polar, num_azimuth = shape
    angles = 2 * np.pi * np.arange(num_azimuth) / num_azimuth
    orders = np.arange(-max_degree, max_degree + 1)
    phases = np.outer(angles, np.abs(orders))
    fourier = np.where(orders < 0, np.sin(phases), np.cos(phases))
    points, weights = grid_points(shape)
    # At azimuth 0 the cosines are 1.
    meridian = points.reshape(num_polar, num_azimuth, 3)[:, 0]
    table = harmonics(max_degree, meridian)
    legendre = np.zeros((2 * max_degree + 1, num_polar, max_degree + 1))
    for l in range(max_degree + 1):
        for m in range(-l, l + 1):
            legendre[m + max_degree, :, l] = table[:, l * l + l + abs(m)]
    return (
        read_only(legendre),
        read_only(fourier),
        read_only(np.ascontiguousarray(weights[::num_azimuth])),
    )


def _pad(x: Array, max_degree: int) -> Array:
    """(dim, *rest) -> (degrees, orders, *rest), zero where |order| > degree."""
    rows = []
    for l in range(max_degree + 1):
        outside = jnp.zeros((max_degree - l, *x.shape[1:]), x.dtype)
        rows += [outside, x[l * l : (l + 1) ** 2], outside]
    shape = (max_degree + 1, 2 * max_degree + 1, *x.shape[1:])
    return jnp.concatenate(rows).reshape(shape)


def _unpad(x: Array, max_degree: int) -> Array:
    """(orders, degrees, *rest) -> (dim, *rest)."""
    return jnp.concatenate(
        [x[max_degree - l : max_degree + l + 1, l] for l in range(max_degree + 1)]
    )
