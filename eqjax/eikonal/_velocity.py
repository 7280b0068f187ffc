"""Velocity models: what v(x) is between the numbers that describe it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_positive,
    check_shape,
    check_size,
)
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec

INTERPOLATIONS = ("linear", "slowness_linear", "cell", "cubic")


@register_spec
@dataclasses.dataclass(frozen=True)
class GridVelocity:
    """Velocity given at the nodes of a grid, with an explicit interpolant.

    Node (i, j, ...) lies at `origin` + (i h_1, j h_2, ...). Every interpolant returns
    the node values at the nodes, is positive, and is homogeneous: values times a
    constant give v times that constant.

    - `"linear"`: multilinear in v.
    - `"slowness_linear"`: multilinear in 1 / v.
    - `"cell"`: constant on the box of size h around every node; on the face between
      boxes, the mean.
    - `"cubic"`: cubic convolution of log v, continuously differentiable.

    Outside the box spanned by the nodes, v is that of the nearest point of the box.

    Attributes:
        shape: Number of nodes per axis, at least 3.
        spacing: Distance h between nodes per axis.
        origin: Position of the first node; default 0.
        interpolation: One of the names above.

    Raises:
        ValueError: If a size, a spacing or the name is not valid.

    Example:
        >>> grid = GridVelocity(shape=(3, 3), spacing=(1.0, 1.0))
        >>> values = jnp.arange(1.0, 10.0).reshape(3, 3)
        >>> grid.at(values, jnp.array([0.5, 1.0])).item()
        3.5
        >>> grid.refine(values, 4).shape
        (9, 9)

    References:
        Keys, "Cubic convolution interpolation for digital image processing", 1981,
        equation 15.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...] | None = None
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        shape, spacing, origin = checked_box(self.shape, self.spacing, self.origin)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spacing", spacing)
        object.__setattr__(self, "origin", origin)

    def at(self, values: Float[Array, "*grid"], x: Float[Array, "dim"]) -> Array:
        """v at one point.

        Args:
            values: v at the nodes, positive.
            x: The point.

        Returns:
            v(x), with derivatives with respect to both arguments.

        Raises:
            ValueError: If `values` or `x` has another shape than the spec says.
        """
        check_shape("values", values, self.shape)
        check_shape("x", x, (len(self.shape),))
        position = grid_position(self.spacing, self.origin, x)
        patch = self._transform(values)
        stencils = [
            _stencil(self.interpolation, position[axis], size)
            for axis, size in enumerate(self.shape)
        ]
        patch = patch[jnp.ix_(*(index for index, _ in stencils))]
        for _, weights in reversed(stencils):
            patch = jnp.tensordot(patch, weights, axes=1, precision="highest")
        return self._inverse(patch)

    def refine(self, values: Float[Array, "*grid"], factor: int) -> Array:
        """v at the nodes of the grid that is `factor` times finer.

        Args:
            values: v at the nodes, positive.
            factor: At least 1.

        Returns:
            An array of (n - 1) factor + 1 nodes per axis; every factor-th is a node
            of this grid.

        Raises:
            ValueError: If `values` has another shape than the spec says, or `factor`
                is not positive.
        """
        check_shape("values", values, self.shape)
        check_size("factor", factor)
        fine = self._transform(values)
        for axis, size in enumerate(self.shape):
            steps = np.arange((size - 1) * factor + 1)
            position = jnp.asarray(steps / factor, dtype=values.dtype)
            index, weights = jax.vmap(
                lambda at, size=size: _stencil(self.interpolation, at, size)
            )(position)
            # (..., fine nodes, nodes of the stencil)
            patches = jnp.moveaxis(fine, axis, -1)[..., index]
            fine = jnp.einsum("...fk,fk->...f", patches, weights, precision="highest")
            fine = jnp.moveaxis(fine, -1, axis)
        return self._inverse(fine)

    def refined(self, factor: int) -> GridVelocity:
        """The spec of the grid on which `refine` returns values."""
        check_size("factor", factor)
        return dataclasses.replace(
            self,
            shape=tuple((n - 1) * factor + 1 for n in self.shape),
            spacing=tuple(h / factor for h in self.spacing),
        )

    def _transform(self, values: Array) -> Array:
        match self.interpolation:
            case "slowness_linear":
                return 1 / values
            case "cubic":
                return jnp.log(values)
            case _:
                return values

    def _inverse(self, values: Array) -> Array:
        match self.interpolation:
            case "slowness_linear":
                return 1 / values
            case "cubic":
                return jnp.exp(values)
            case _:
                return values


@register_spec
@dataclasses.dataclass(frozen=True)
class RadialVelocity:
    """Velocity that depends on the distance from a center alone.

    v(r) is linear between the given radii. A discontinuity is a radius given twice,
    with the value below it first; at the radius itself v is the value above. Below
    the first and above the last radius v is constant.

    Attributes:
        radii: Radii, increasing, at most twice the same.
        speeds: Speeds at the radii, positive.
        center: The center; default 0, in any dimension.

    Raises:
        ValueError: If radii are negative, not sorted or repeated too often, or speeds
            are not positive and finite, or their numbers differ.

    Example:
        >>> radii, speeds = (0.0, 3480.0, 3480.0, 6371.0), (11.3, 8.1, 13.7, 5.8)
        >>> earth = RadialVelocity(radii, speeds)
        >>> earth.at(jnp.array([6371.0, 0.0])).item()
        5.8
    """

    radii: tuple[float, ...]
    speeds: tuple[float, ...]
    center: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        radii = tuple(float(radius) for radius in self.radii)
        speeds = tuple(float(speed) for speed in self.speeds)
        check_condition(
            len(radii) == len(speeds) and len(radii) >= 2,
            "`radii` and `speeds` must have the same number of values, at least 2, "
            f"got {len(radii)} and {len(speeds)}.",
        )
        for speed in speeds:
            check_positive("speeds", speed)
        for radius in radii:
            check_positive("radii", radius, zero=True)
        steps = [b - a for a, b in itertools.pairwise(radii)]
        check_condition(
            min(steps) >= 0,
            "`radii` must increase, got a table that does not. Sort it by radius (a "
            "table by depth must be reversed).",
        )
        check_condition(
            steps[0] > 0
            and steps[-1] > 0
            and all(a > 0 or b > 0 for a, b in itertools.pairwise(steps)),
            "`radii` may repeat a radius once, for a discontinuity, and neither the "
            "first nor the last.",
        )
        object.__setattr__(self, "radii", radii)
        object.__setattr__(self, "speeds", speeds)
        if self.center is not None:
            center = tuple(float(c) for c in self.center)
            check_condition(
                all(map(math.isfinite, center)),
                f"`center` must be finite, got {center}.",
            )
            object.__setattr__(self, "center", center)

    def at(self, x: Float[Array, "dim"]) -> Float[Array, ""]:
        """v at one point."""
        return self.at_radius(self._radius(x))

    def at_radius(self, radius: Float[Array, ""]) -> Float[Array, ""]:
        """v at one distance from the center."""
        radii, speeds, slopes, *_ = self._cast_tables(radius.dtype)
        inside = jnp.clip(radius, radii[0], radii[-1])
        k = _segment(radii, inside)
        return speeds[k] + slopes[k] * (inside - radii[k])

    def averaged(self, x: Float[Array, "dim"], width: float) -> Float[Array, ""]:
        """1 / (mean slowness within `width` / 2 of the radius of one point).

        The mean is exact. Travel times on a grid of spacing `width` then converge
        across discontinuities, where the value at the node would move them by up to
        half a cell.

        Args:
            x: The point.
            width: Width of the interval of radii, positive.

        Raises:
            ValueError: If `width` is not positive.
        """
        check_positive("width", width)
        radius = self._radius(x)
        ends = jnp.stack([radius + width / 2, radius - width / 2])
        addends = jax.vmap(self._time_from_center)(ends)
        # Differences of the parts of each sum, so that large times cancel exactly.
        parts = [above - below for above, below in addends]
        return width / (parts[0] + (parts[1] + parts[2]))

    def _radius(self, x: Array) -> Array:
        if self.center is None:
            return safe_norm(x)
        check_shape("x", x, (len(self.center),))
        return safe_norm(x - jnp.asarray(self.center, dtype=x.dtype))

    def _cast_tables(self, dtype: jnp.dtype) -> list[Array]:
        tables = _radial_tables(self.radii, self.speeds)
        times = tables[-1]
        # The rounding error of the times is kept as a table of its own.
        coarse = times.astype(dtype)
        return [
            *(jnp.asarray(table, dtype=dtype) for table in tables[:-1]),
            jnp.asarray(coarse),
            jnp.asarray(times - coarse.astype(np.float64), dtype=dtype),
        ]

    def _time_from_center(self, radius: Array) -> tuple[Array, Array, Array]:
        """The integral of 1 / v from 0 to `radius` (odd in it), as three addends."""
        radii, speeds, slopes, coarse, fine = self._cast_tables(radius.dtype)
        sign = jnp.where(radius < 0, -1, 1).astype(radius.dtype)
        distance = jnp.abs(radius)
        inside = jnp.clip(distance, radii[0], radii[-1])
        k = _segment(radii, inside)
        step = (inside - radii[k]) / speeds[k]
        rest = (distance - inside) / jnp.where(distance < inside, speeds[0], speeds[-1])
        partial_time = step * _log1p_ratio(slopes[k] * step) + rest
        return sign * coarse[k], sign * fine[k], sign * partial_time


@functools.lru_cache(maxsize=32)
def _radial_tables(
    radii: tuple[float, ...], speeds: tuple[float, ...]
) -> tuple[np.ndarray, ...]:
    """Radii, speeds, dv/dr of each segment, and the time from the center."""
    r, v = np.array(radii), np.array(speeds)
    length, rise = np.diff(r), np.diff(v)
    slopes = np.divide(rise, length, out=np.zeros_like(rise), where=length > 0)
    ratio = rise / v[:-1]
    flat = np.abs(ratio) < 1e-12
    mean = np.where(flat, 1, np.log1p(ratio) / np.where(flat, 1, ratio))
    times = r[0] / v[0] + np.concatenate([[0], np.cumsum(length / v[:-1] * mean)])
    return r, v, np.append(slopes, 0), times


def _segment(radii: Array, radius: Array) -> Array:
    """Index of the segment that holds `radius`; the upper one at a discontinuity."""
    index = jnp.searchsorted(radii, radius, side="right") - 1
    return jnp.clip(index, 0, len(radii) - 2)


def _log1p_ratio(x: Array) -> Array:
    """log(1 + x) / x, 1 at x = 0."""
    small = jnp.abs(x) < 1e-3
    series = 1 - x / 2 + x * x / 3 - x**3 / 4 + x**4 / 5
    safe = jnp.where(small, 1, x)
    return jnp.where(small, series, jnp.log1p(safe) / safe)


def checked_box(
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    origin: tuple[float, ...] | None,
) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Shape, spacing and origin of a grid as plain Python values.

    Raises:
        ValueError: If their lengths differ, or a value is not valid.
    """
    shape, spacing = tuple(shape), tuple(spacing)
    for size in shape:
        check_size("shape", size, minimum=3)
    for h in spacing:
        check_positive("spacing", h)
    origin = (0.0,) * len(shape) if origin is None else tuple(origin)
    check_condition(
        len(shape) == len(spacing) == len(origin),
        "`shape`, `spacing` and `origin` must have one value per axis, got "
        f"{len(shape)}, {len(spacing)} and {len(origin)}.",
    )
    check_condition(
        all(map(math.isfinite, origin)), f"`origin` must be finite, got {origin}."
    )
    return (
        tuple(int(size) for size in shape),
        tuple(float(h) for h in spacing),
        tuple(float(start) for start in origin),
    )


def grid_position(
    spacing: tuple[float, ...], origin: tuple[float, ...] | None, x: Array
) -> Array:
    """The point in units of nodes: integer at nodes."""
    start = jnp.zeros_like(x) if origin is None else jnp.asarray(origin, dtype=x.dtype)
    return (x - start) / jnp.asarray(spacing, dtype=x.dtype)


def linear_stencil(position: Array, size: int) -> tuple[Array, Array]:
    """The two nodes around a position on an axis, and their weights."""
    position = jnp.clip(position, 0, size - 1)
    index = jnp.clip(jnp.floor(position), 0, size - 2)
    t = position - index
    return index.astype(int) + jnp.arange(2), jnp.stack([1 - t, t])


def cubic_stencil(position: Array, size: int) -> tuple[Array, Array]:
    """The four nodes around a position on an axis, and their weights.

    In the first and last cell the node that is missing is extrapolated by a parabola,
    which the weights of the other three absorb.
    """
    index, (_, t) = linear_stencil(position, size)
    a = t * (-0.5 + t * (1 - 0.5 * t))
    b = 1 + t * t * (-2.5 + 1.5 * t)
    c = t * (0.5 + t * (2 - 1.5 * t))
    d = t * t * (-0.5 + 0.5 * t)
    none = jnp.zeros_like(t)
    first, last = index[0] == 0, index[0] == size - 2
    a, b, c, d = (
        jnp.where(first, new, old)
        for new, old in zip(
            (none, b + 3 * a, c - 3 * a, d + a), (a, b, c, d), strict=True
        )
    )
    a, b, c, d = (
        jnp.where(last, new, old)
        for new, old in zip(
            (a + d, b - 3 * d, c + 3 * d, none), (a, b, c, d), strict=True
        )
    )
    nodes = jnp.clip(index[0] + jnp.arange(-1, 3), 0, size - 1)
    return nodes, jnp.stack([a, b, c, d])


def _stencil(interpolation: str, position: Array, size: int) -> tuple[Array, Array]:
    if interpolation == "cubic":
        return cubic_stencil(position, size)
    index, weights = linear_stencil(position, size)
    if interpolation == "cell":
        # 0 or 1 by which node is nearer, 1/2 each at equal distance.
        weights = (1 + jnp.sign(weights - 0.5)) / 2
    return index, weights
