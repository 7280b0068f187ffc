"""First-arrival times on spheres and in hyperbolic space."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_floating,
    check_positive,
    check_shape,
    check_size,
    is_concrete,
)
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec
from eqjax.eikonal._adjoint import Factors, Scheme, solve_tau
from eqjax.eikonal._alternating_charts import solve_in_turn
from eqjax.eikonal._conformal_charts import ConformalCharts
from eqjax.eikonal._grid_solution import GridSolution, grid_solution, rounding
from eqjax.eikonal._grid_solver import interpolate_tau, start_tau
from eqjax.spaces import Hyperbolic, Sphere


@register_spec
@dataclasses.dataclass(frozen=True)
class ConformalEikonal:
    """Solver of |grad T| v = 1, T(source) = 0, on the sphere or in hyperbolic space.

    In charts whose metric is a multiple of the Euclidean one, ds = c(u) |du|, the
    equation is that of the plane with the slowness c / v, and T = r tau with r the
    distance in the space: so constant v is solved exactly, and there is no pole.
    Hyperbolic space is the Poincaré ball around the origin. The sphere has two
    stereographic charts that overlap at the equator; they are solved in turn, each
    with times of the other on its edges. A first arrival may go from chart to chart
    `num_exchanges` times.

    Derivatives of any kind with respect to velocity and source are those of the
    discrete equations, as in `GridEikonal`. Accuracy is of second order, but of first
    order at the point of the sphere that all fronts reach last.

    Attributes:
        space: `spaces.Sphere(2)`, `spaces.Hyperbolic(2)` or `spaces.Hyperbolic(3)`.
        num_nodes: Nodes per axis of a chart.
        radius: On the sphere, the angle from the center of a chart to the middle of an
            edge, more than pi / 2; default 1.8. In hyperbolic space, the distance
            from the origin up to which points are covered, at most 1.25 in three
            dimensions; default 1. The chart is uneven beyond about 3.
        order: 1 or 2, the order of the differences.
        max_rounds: Bound on the number of rounds of 2^d sweeps, per solution of a
            chart.
        tolerance: The `last_change` of the solution at which it has converged.
        num_exchanges: How often times go from one chart of the sphere to the other.

    Raises:
        ValueError: If a value is not valid, or the nodes are too few.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal, spaces
        >>> solver = eikonal.ConformalEikonal(spaces.Sphere(2), num_nodes=25)
        >>> solver.nodes.shape
        (2, 25, 25, 3)
        >>> velocity = 2.0 + jnp.zeros(solver.shape)
        >>> north = jnp.array([0.0, 0.0, 1.0])
        >>> solution = solver.solve(velocity, north)
        >>> east = jnp.array([1.0, 0.0, 0.0])
        >>> solver.times_at(solution, north, east).item()  # a quarter of a turn
        0.7853...

    References:
        Fomel, Luo, Zhao, "Fast sweeping method for the factored eikonal equation",
        2009 (the factors). Schwarz, "Ueber einen Grenzübergang durch alternirendes
        Verfahren", 1870 (the charts in turn).
    """

    space: Sphere | Hyperbolic
    num_nodes: int
    radius: float | None = None
    order: int = 2
    max_rounds: int = 8
    tolerance: float = 1e-6
    num_exchanges: int = 6

    def __post_init__(self) -> None:
        check_choice("order", self.order, (1, 2))
        check_size("max_rounds", self.max_rounds)
        check_positive("tolerance", self.tolerance, zero=True)
        check_size("num_exchanges", self.num_exchanges)
        if self.radius is None:
            radius = 1.8 if isinstance(self.space, Sphere) else 1.0
            object.__setattr__(self, "radius", radius)
        _ = self._charts  # checks the rest

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of velocities and times: (charts, nodes, nodes, ...)."""
        return self._charts.shape

    @property
    def nodes(self) -> Float[np.ndarray, "*shape ambient"]:
        """The positions of the nodes in the space's coordinates, in float64.

        Nodes of the ball's box that are too close to its boundary are absent; their
        position is that of the last point on the way to them.
        """
        u = self._charts.coordinates
        scale = np.asarray(self._charts.scale(u))[..., None]
        if isinstance(self.space, Hyperbolic):
            return (scale * u)[None]
        return np.stack(
            [
                np.concatenate([scale * u, side * (scale - 1)], axis=-1)
                for side in (1, -1)
            ]
        )

    def solve(
        self, velocity: Array | np.ndarray, source: ArrayLike | Sequence[float]
    ) -> GridSolution:
        """Times from one source through one model; `jax.vmap` over either or both.

        Values that are traced cannot be looked at, so what is wrong with them is
        reported by `result`; values that are not traced raise.

        Args:
            velocity: v at the nodes, positive, of shape `shape`; its dtype is that of
                the solution.
            source: A point of the space: a unit vector, or in hyperbolic space a
                point within `radius` of the origin.

        Returns:
            The solution, in which tau is T divided by the distance from the source,
            and `num_rounds` counts the rounds on all charts.

        Raises:
            ValueError: If a shape or dtype is wrong, or if values that are not traced
                are not finite, v is not positive, or the source is not covered.
        """
        charts = self._charts
        velocity, point = self._checked(velocity, source)
        dtype = velocity.dtype
        absent = jnp.broadcast_to(jnp.asarray(charts.absent), self.shape)
        good_velocity = absent | (jnp.isfinite(velocity) & (velocity > 0))
        good_source = self._is_covered(safe_norm(point))
        velocity = jnp.where(good_velocity & ~absent, velocity, 1)
        center = jnp.asarray(self.nodes[(0, *(self.num_nodes // 2,) * self.space.n)])
        point = jnp.where(good_source, point, center.astype(dtype))
        point = self.space.project(point)
        factors = jax.vmap(self._factors, (0, 0, None))(
            jnp.arange(self.shape[0]), velocity, point
        )
        scheme = Scheme(
            (charts.spacing,) * self.space.n,
            self.order,
            self.max_rounds,
            self.tolerance,
            curved=True,
        )
        if isinstance(self.space, Sphere):
            tau, num_rounds, change = solve_in_turn(
                charts,
                scheme,
                factors,
                velocity,
                point,
                num_exchanges=self.num_exchanges,
            )
        else:
            only = jax.tree.map(lambda plane: plane[0], factors)
            tau, num_rounds, change = solve_tau(scheme, only)
            tau = tau[None]
        return grid_solution(
            tau,
            factors.r,
            num_rounds,
            change,
            absent=absent,
            is_good=jnp.all(good_velocity) & good_source,
            attainable=scheme.attainable(self.shape, dtype),
        )

    def times_at(
        self,
        solution: GridSolution,
        source: ArrayLike | Sequence[float],
        x: Float[Array, "ambient"],
    ) -> Float[Array, ""]:
        """T at one point: the distance from the source times the interpolant of tau.

        Cubic in the coordinates of a chart. Where both charts of the sphere cover the
        point, their interpolants are blended. In hyperbolic space, tau outside of the
        box of nodes is that of the nearest point of the box.

        Args:
            solution: What `solve` returned.
            source: The source it was solved for.
            x: The point.

        Returns:
            T(x), continuously differentiable in x except at the source and, on the
            sphere, its antipode, where the derivative is finite all the same.

        Raises:
            ValueError: If a shape is wrong.
        """
        charts = self._charts
        check_shape("solution.tau", solution.tau, self.shape)
        check_shape("x", x, (self.space.ambient_dim,))
        point = jnp.asarray(source, dtype=x.dtype)
        check_shape("source", point, (self.space.ambient_dim,))
        tau, share = jnp.zeros((), x.dtype), jnp.zeros((), x.dtype)
        for chart, weight in enumerate(charts.weights(x)):
            position = charts.position(chart, x)
            value, known = interpolate_tau(solution.tau[chart], position)
            tau += weight * value
            share += weight * known
        times = self.space.distance(x, self.space.project(point)) * tau
        invalid = jnp.any(jnp.isnan(solution.tau))
        return jnp.where(invalid, jnp.nan, jnp.where(share > 0, times, jnp.inf))

    @property
    def _charts(self) -> ConformalCharts:
        radius = 1.0 if self.radius is None else self.radius
        return ConformalCharts(self.space, self.num_nodes, radius)

    def _factors(self, chart: Array, velocity: Array, source: Array) -> Factors:
        """The equation on one chart, its edges open."""
        charts = self._charts
        dtype = velocity.dtype
        near = rounding(self.shape, dtype)
        position = charts.position(chart, source)
        margin = 1 if isinstance(self.space, Sphere) else 0
        # Of two charts, one need not hold the source, or only on its edge.
        inside = (position >= margin) & (position <= self.num_nodes - 1 - margin)
        holds = jnp.all(inside) | isinstance(self.space, Hyperbolic)
        is_start = holds & ~jnp.asarray(charts.absent)
        for axis, steps in enumerate(np.indices(self.shape[1:])):
            offset = jnp.asarray(steps, dtype) - position[axis]
            is_start &= jnp.abs(offset) < 1 - near
        u = charts.from_space(chart, source)
        tau = start_tau(charts.model, velocity, jnp.where(holds, u, 0))
        r, direction = charts.distance_factors(chart, source)
        closed = is_start | jnp.asarray(charts.absent | charts.is_edge)
        scale = charts.scale(jnp.asarray(charts.coordinates, dtype))
        return Factors(
            slowness=jnp.where(closed, 0, scale / velocity),
            fixed_tau=jnp.where(is_start, tau, jnp.inf),
            r=r,
            direction=direction,
        )

    def _is_covered(self, length: Array | np.floating) -> Array | np.bool:
        """Whether a point with this norm may be a source."""
        if isinstance(self.space, Sphere):
            return abs(length - 1) < 1e-3
        edge = math.sinh(self._charts.radius)
        return length <= edge * (1 + rounding(self.shape, length.dtype))

    def _checked(
        self, velocity: Array | np.ndarray, source: ArrayLike | Sequence[float]
    ) -> tuple[Array, Array]:
        check_shape("velocity", velocity, self.shape)
        check_floating("velocity", velocity)
        if is_concrete(velocity):
            values = np.asarray(velocity)[:, ~self._charts.absent]
            bad = ~(np.isfinite(values) & (values > 0))
            check_condition(
                not bad.any(),
                "`velocity` must be finite and positive, but is not at "
                f"{int(bad.sum())} of {bad.size} nodes.",
            )
        velocity = jnp.asarray(velocity)
        point = jnp.asarray(source, dtype=velocity.dtype)
        check_shape("source", point, (self.space.ambient_dim,))
        if is_concrete(point):
            expected = (
                "a unit vector"
                if isinstance(self.space, Sphere)
                else f"a point within {self.radius} of the origin"
            )
            check_condition(
                bool(self._is_covered(np.linalg.norm(np.asarray(point)))),
                f"`source` must be {expected}, got {np.asarray(point)}.",
            )
        return velocity, point
