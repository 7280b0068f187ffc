"""Charts of a sphere or a hyperbolic space in which the metric is conformally flat."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from eqjax._core._checks import check_condition, check_positive, check_size
from eqjax._core._numerics import safe_normalize
from eqjax.eikonal._grid_velocity import GridVelocity
from eqjax.spaces import Hyperbolic, Sphere

# A node that is closer to the antipode of the source, in units of its cell, sees the
# front coming from all sides.
_ANTIPODE = 1e-3


@dataclasses.dataclass(frozen=True)
class ConformalCharts:
    """Grids in charts u with the metric ds = scale(u) |du|.

    The sphere has two stereographic charts, around (0, 0, 1) and (0, 0, -1), with the
    scale 2 / (1 + |u|^2); a point with u in one has u / |u|^2 in the other. Hyperbolic
    space has one, the Poincaré ball, with 2 / (1 - |u|^2). Functions take the number
    of the chart, which may be traced.

    Attributes:
        space: The space.
        num_nodes: Nodes per axis of a chart.
        radius: Distance from the center of a chart to the middle of an edge.
    """

    space: Sphere | Hyperbolic
    num_nodes: int
    radius: float

    def __post_init__(self) -> None:
        space, h = self.space, self.spacing
        check_size("num_nodes", self.num_nodes, minimum=5)
        check_positive("radius", self.radius)
        check_condition(
            (isinstance(space, Sphere) and space.n == 2)
            or (isinstance(space, Hyperbolic) and space.n in (2, 3)),
            f"`space` must be Sphere(2), Hyperbolic(2) or Hyperbolic(3), got {space}.",
        )
        if isinstance(space, Sphere):
            check_condition(
                math.pi / 2 < self.radius < 0.8 * math.pi,
                f"`radius` must be an angle from pi / 2 to 0.8 pi, got {self.radius}. "
                "Charts must overlap at the equator.",
            )
            # What one edge takes from the other chart must not depend on that one's.
            check_condition(
                (self.half_width - h) * (self.half_width - 3 * h) > 1,
                f"`num_nodes` = {self.num_nodes} are too few for the charts to overlap "
                f"by some nodes with `radius` = {self.radius}. Increase one of them.",
            )
            return
        check_condition(
            space.n == 2 or self._fits_ball,
            f"`radius` must be at most 1.25 in three dimensions, got {self.radius}.",
        )
        check_condition(
            self._fits_ball or self.rim - self.half_width > 2 * math.sqrt(2) * h,
            f"`num_nodes` = {self.num_nodes} are too few to resolve hyperbolic space "
            f"to `radius` = {self.radius}. Increase it, or decrease `radius`.",
        )

    @property
    def half_width(self) -> float:
        """Coordinate of the edge."""
        half = self.radius / 2
        return math.tan(half) if isinstance(self.space, Sphere) else math.tanh(half)

    @property
    def spacing(self) -> float:
        """Distance between nodes in the coordinates of a chart."""
        return 2 * self.half_width / (self.num_nodes - 1)

    @property
    def rim(self) -> float:
        """|u| beyond which there are no nodes."""
        # Steps of a rim cut off what comes along them. Where they are oblique enough,
        # no geodesic between points of the disc of `radius` does: the disc is convex,
        # and seen from it, fronts at the rim move outwards.
        is_ball = not isinstance(self.space, Sphere) and not self._fits_ball
        return math.tanh(0.75 * self.radius) if is_ball else math.inf

    @property
    def _fits_ball(self) -> bool:
        return self.half_width * math.sqrt(self.space.n) < 0.97

    @property
    def shape(self) -> tuple[int, ...]:
        """(charts, nodes, nodes, ...)."""
        num_charts = 2 if isinstance(self.space, Sphere) else 1
        return (num_charts, *(self.num_nodes,) * self.space.n)

    @property
    def model(self) -> GridVelocity:
        """The interpolant of the velocity on one chart."""
        dim = self.space.n
        return GridVelocity(
            (self.num_nodes,) * dim, (self.spacing,) * dim, (-self.half_width,) * dim
        )

    @property
    def coordinates(self) -> Float[np.ndarray, "*shape dim"]:
        """u at the nodes of any chart; at absent nodes, of a point of the rim."""
        return _grid(self)[0]

    @property
    def absent(self) -> Bool[np.ndarray, "*shape"]:
        """True at nodes behind the rim."""
        return _grid(self)[1]

    @property
    def is_edge(self) -> Bool[np.ndarray, "*shape"]:
        """True at the two outer layers of nodes, which come from the other chart."""
        inner = np.zeros(self.shape[1:], bool)
        if isinstance(self.space, Sphere):
            inner[2:-2, 2:-2] = True
            return ~inner
        return inner

    def scale(self, u: Array | np.ndarray) -> Array | np.ndarray:
        """ds / |du|."""
        square = (u * u).sum(-1)
        return 2 / (1 + square if isinstance(self.space, Sphere) else 1 - square)

    def to_space(self, chart: Array | int, u: Array) -> Array:
        """The point with coordinates u in a chart."""
        square = jnp.sum(u * u, axis=-1, keepdims=True)
        if isinstance(self.space, Sphere):
            height = jnp.where(chart == 0, 1 - square, square - 1)
            return jnp.concatenate([2 * u, height], axis=-1) / (1 + square)
        return 2 * u / (1 - square)

    def from_space(self, chart: Array | int, x: Array) -> Array:
        """The inverse of `to_space`; a constant where u would be very large."""
        if isinstance(self.space, Sphere):
            height = jnp.where(chart == 0, x[..., 2:], -x[..., 2:])
            far = height < -0.95
            return jnp.where(far, 10, x[..., :2] / jnp.where(far, 1, 1 + height))
        return self.space.to_ball(x)

    def position(self, chart: Array | int, x: Array) -> Array:
        """The point in a chart in units of nodes."""
        return (self.from_space(chart, x) + self.half_width) / self.spacing

    def distance_factors(
        self, chart: Array | int, source: Array
    ) -> tuple[Array, tuple[Array, ...]]:
        """Distance r of the nodes of a chart from the source, and dr/du per axis.

        |dr/du| is the scale to rounding, everywhere; so constant v is exact.
        """
        u = jnp.asarray(self.coordinates, dtype=source.dtype)

        def distance(u: Array) -> Array:
            return self.space.distance(self.to_space(chart, u), source)

        r, slope = jax.vmap(jax.value_and_grad(distance))(u.reshape(-1, self.space.n))
        r, unit = r.reshape(u.shape[:-1]), safe_normalize(slope.reshape(u.shape))
        scale = self.scale(u)
        # At the antipode r is the tip of a cone; any of its slopes will do.
        is_tip = jnp.pi - r < _ANTIPODE * self.spacing * scale
        tip = jnp.zeros_like(unit).at[..., 0].set(1)
        is_tip &= isinstance(self.space, Sphere)
        unit = jnp.where(is_tip[..., None], tip, unit)
        return r, tuple(jnp.moveaxis(scale[..., None] * unit, -1, 0))

    def overlap_position(self) -> Float[np.ndarray, "edge dim"]:
        """Where the nodes of an edge lie in the other chart, in units of nodes."""
        u = self.coordinates[self.is_edge]
        inverse = u / np.sum(u * u, axis=-1, keepdims=True)
        return (inverse + self.half_width) / self.spacing

    def weights(self, x: Array) -> list[Array]:
        """A smooth partition of unity: the share of every chart at a point."""
        if not isinstance(self.space, Sphere):
            return [jnp.ones((), x.dtype)]
        # The band around the equator that both charts cover.
        height = -math.cos(self.radius)
        t = jnp.clip(0.5 + x[2] / (2 * height), 0, 1)
        north = t * t * (3 - 2 * t)
        return [north, 1 - north]


@functools.lru_cache(maxsize=8)
def _grid(charts: ConformalCharts) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the nodes, and where they are absent."""
    # Exactly odd, so that mirror images stay mirror images.
    steps = np.arange(charts.num_nodes) - (charts.num_nodes - 1) / 2
    axes = (steps * charts.spacing,) * charts.space.n
    u = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    length = np.linalg.norm(u, axis=-1, keepdims=True)
    shrunk = u * np.minimum(1, charts.rim / np.maximum(length, 1e-300))
    return shrunk, length[..., 0] > charts.rim
