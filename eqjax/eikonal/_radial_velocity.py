"""Velocity that depends on the radius alone."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_positive, check_shape
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec


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
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> radii, speeds = (0.0, 3480.0, 3480.0, 6371.0), (11.3, 8.1, 13.7, 5.8)
        >>> earth = eikonal.RadialVelocity(radii, speeds)
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
