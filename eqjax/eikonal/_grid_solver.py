"""First-arrival times on a regular grid by factored wavefront sweeping."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_positive,
    check_shape,
    check_size,
)
from eqjax._core._numerics import safe_norm, safe_sqrt
from eqjax._core._specs import register_spec
from eqjax.eikonal._adjoint import Factors, Scheme, solve_tau
from eqjax.eikonal._grid_solution import (
    GridSolution,
    check_inputs,
    grid_solution,
    rounding,
)
from eqjax.eikonal._grid_velocity import (
    INTERPOLATIONS,
    GridVelocity,
    checked_box,
    cubic_stencil,
    grid_position,
    linear_stencil,
)


@register_spec
@dataclasses.dataclass(frozen=True)
class GridEikonal:
    """Solver of |grad T| v = 1, T(source) = 0, on a regular grid in 2-D or 3-D.

    T = |x - source| tau with upwind differences of tau, which is smooth where T is
    not, so that constant v is solved exactly. Sweeps along the diagonals of the grid
    update all nodes of a front at once until nothing changes any more. Where speeds of
    neighboring nodes differ by factors of 10, the choice between first and second
    order may swing for ever, which `result` and `last_change` report.

    Derivatives of any kind (forward, reverse, with respect to velocity and source)
    are those of the discrete equations, from a few linear sweeps; at kinks of T they
    are one-sided. With the source at a node, derivatives with respect to it are
    accurate to the discretization only, since the nodes that start the solution
    change there.

    Attributes:
        shape: Number of nodes per axis, at least 3.
        spacing: Distance between nodes per axis.
        origin: Position of the first node; default 0.
        order: 1 or 2, the order of the differences.
        max_rounds: Bound on the number of rounds of 2^d sweeps.
        tolerance: The `last_change` of the solution at which to stop; at least some
            rounding errors of the dtype.
        interpolation: What v is between nodes (see `GridVelocity`); only a source
            between nodes, and thus the nodes around it, depends on it.

    Raises:
        ValueError: If a value is not valid, or the grid is neither 2-D nor 3-D.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> solver = eikonal.GridEikonal(shape=(11, 11), spacing=(0.1, 0.1))
        >>> solution = solver.solve(2 * jnp.ones((11, 11)), jnp.array([0.0, 0.0]))
        >>> solution.times[10, 0].item(), solution.result.item()
        (0.5..., 0)

    References:
        Fomel, Luo, Zhao, "Fast sweeping method for the factored eikonal equation",
        2009. Treister, Haber, "A fast marching algorithm for the factored eikonal
        equation", 2016. Detrixhe, Gibou, Min, "A parallel fast sweeping method for the
        Eikonal equation", 2013.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...] | None = None
    order: int = 2
    max_rounds: int = 8
    tolerance: float = 1e-6
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        shape, spacing, origin = checked_box(self.shape, self.spacing, self.origin)
        check_condition(
            len(shape) in (2, 3),
            f"`shape` must have 2 or 3 axes, got {len(shape)}. Other dimensions are "
            "not supported.",
        )
        check_choice("order", self.order, (1, 2))
        check_size("max_rounds", self.max_rounds)
        check_positive("tolerance", self.tolerance, zero=True)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spacing", spacing)
        object.__setattr__(self, "origin", origin)

    @property
    def velocity(self) -> GridVelocity:
        """The interpolant of the velocity that the solver assumes."""
        return GridVelocity(self.shape, self.spacing, self.origin, self.interpolation)

    def solve(
        self,
        velocity: Array | np.ndarray,
        source: ArrayLike | Sequence[float],
        *,
        mask: Array | np.ndarray | None = None,
    ) -> GridSolution:
        """Times from one source through one model; `jax.vmap` over either or both.

        Values that are traced cannot be looked at, so what is wrong with them is
        reported by `result`; values that are not traced raise.

        Args:
            velocity: v at the nodes, positive; its dtype is that of the solution.
            source: A point of the box spanned by the nodes.
            mask: True where a node is absent (an obstacle); its times are `inf`.
                Behind obstacles the order of accuracy is one.

        Raises:
            ValueError: If a shape or dtype is wrong, or if values that are not traced
                are not finite, v is not positive, or the source is outside the box.
        """
        velocity, point = check_inputs(
            velocity,
            source,
            mask,
            shape=self.shape,
            spacing=self.spacing,
            origin=self.origin,
        )
        absent = jnp.zeros(self.shape, bool) if mask is None else jnp.asarray(mask)
        position = grid_position(self.spacing, self.origin, point)
        limits = jnp.asarray(self.shape, dtype=point.dtype) - 1
        good_velocity = absent | (jnp.isfinite(velocity) & (velocity > 0))
        # NaN fails every comparison; rounding may put the last node outside.
        edge = rounding(self.shape, point.dtype)
        good = jnp.all(good_velocity) & jnp.all(
            (position >= -edge) & (position <= limits + edge)
        )
        velocity = jnp.where(good_velocity & ~absent, velocity, 1)
        middle = jnp.asarray(self.origin, dtype=point.dtype) + limits / 2 * jnp.asarray(
            self.spacing, dtype=point.dtype
        )
        factors = self._factors(velocity, jnp.where(good, point, middle), absent)
        scheme = Scheme(self.spacing, self.order, self.max_rounds, self.tolerance)
        tau, num_rounds, change = solve_tau(scheme, factors)
        return grid_solution(
            tau,
            factors.r,
            num_rounds,
            change,
            absent=absent,
            is_good=good,
            attainable=scheme.attainable(self.shape, velocity.dtype),
        )

    def times_at(
        self,
        solution: GridSolution,
        source: ArrayLike | Sequence[float],
        x: Float[Array, "dim"],
    ) -> Float[Array, ""]:
        """T at one point: |x - source| times the cubic interpolant of tau.

        Where one of the 4^d nodes around the point has no time, the interpolant is
        linear and uses those corners of the cell that have one. Outside the box, tau
        is that of the nearest point of the box.

        Args:
            solution: What `solve` returned.
            source: The source it was solved for.
            x: The point.

        Returns:
            T(x), continuously differentiable in x away from obstacles; `inf` if no
            corner of the cell has a time.

        Raises:
            ValueError: If a shape is wrong.
        """
        check_shape("solution.tau", solution.tau, self.shape)
        check_shape("x", x, (len(self.shape),))
        point = jnp.asarray(source, dtype=x.dtype)
        check_shape("source", point, (len(self.shape),))
        position = grid_position(self.spacing, self.origin, x)
        tau, share = interpolate_tau(solution.tau, position)
        times = safe_norm(x - point) * tau
        invalid = jnp.any(jnp.isnan(solution.tau))
        return jnp.where(invalid, jnp.nan, jnp.where(share > 0, times, jnp.inf))

    def _factors(self, velocity: Array, source: Array, absent: Array) -> Factors:
        """r, its gradient and the start values for one source inside the box."""
        position = grid_position(self.spacing, self.origin, source)
        # A source that rounding has moved off a node goes back, so that what lies on
        # either side of it is treated alike. Its derivative stays.
        to_node = jnp.round(position) - position
        is_node = jnp.abs(to_node) < rounding(self.shape, source.dtype)
        position += lax.stop_gradient(jnp.where(is_node, to_node, 0))
        # Offsets in units of nodes are exact, which keeps mirror images equal.
        steps = [
            jnp.arange(size, dtype=source.dtype) - position[i]
            for i, size in enumerate(self.shape)
        ]
        offsets = jnp.meshgrid(
            *(step * h for step, h in zip(steps, self.spacing, strict=True)),
            indexing="ij",
        )
        r = safe_sqrt(functools.reduce(jnp.add, (o * o for o in offsets)))
        inverse = 1 / jnp.where(r > 0, r, 1)
        direction = tuple(offset * inverse for offset in offsets)
        near = 1 - rounding(self.shape, source.dtype)
        is_start = ~absent
        for close in jnp.meshgrid(*(jnp.abs(s) < near for s in steps), indexing="ij"):
            is_start &= close
        tau = start_tau(self.velocity, velocity, source)
        return Factors(
            slowness=jnp.where(is_start | absent, 0, 1 / velocity),
            fixed_tau=jnp.where(is_start, tau, jnp.inf),
            r=r,
            direction=direction,
        )


def start_tau(model: GridVelocity, velocity: Array, source: Array) -> Array:
    """Mean slowness between the source and the corners of its cell.

    By Simpson's rule with five points of the interpolant. Returned on the whole grid;
    of use at the corners only.
    """
    position = grid_position(model.spacing, model.origin, source)
    spacing = jnp.asarray(model.spacing, dtype=source.dtype)
    start = jnp.asarray(model.origin, dtype=source.dtype)
    nodes = [
        linear_stencil(at, n)[0] for at, n in zip(position, model.shape, strict=True)
    ]
    corners = jnp.stack(jnp.meshgrid(*nodes, indexing="ij"), axis=-1)
    fractions = jnp.linspace(0, 0.75, 4, dtype=source.dtype)
    rule = jnp.asarray([1, 4, 2, 4, 1], dtype=source.dtype) / 12

    def mean_slowness(corner: Array) -> Array:
        end = start + corner.astype(source.dtype) * spacing
        points = source[None] + fractions[:, None] * (end - source)[None]
        speeds = jax.vmap(lambda x: model.at(velocity, x))(points)
        # Not by the interpolant: a compiler may compute a position at a node twice,
        # rounded to either side, and take nodes and weights of different cells.
        last = velocity[tuple(corner)]
        return jnp.sum(rule[:-1] / speeds) + rule[-1] / last

    flat = corners.reshape(-1, len(model.shape))
    means = jax.vmap(mean_slowness)(flat).reshape(corners.shape[:-1])
    return jnp.zeros_like(velocity).at[jnp.ix_(*nodes)].set(means)


def interpolate_tau(tau: Array, position: Array) -> tuple[Array, Array]:
    """tau at a position in units of nodes, by cubic interpolation.

    Where one of the 4^d nodes around it is infinite, the interpolant is linear.

    Returns:
        tau, and the weight of those corners of the cell that are finite: 0 if none is.
    """
    axes = range(tau.ndim)
    stencils = [cubic_stencil(position[i], tau.shape[i]) for i in axes]
    patch = tau[jnp.ix_(*(nodes for nodes, _ in stencils))]
    known = jnp.isfinite(patch)
    patch = jnp.where(known, patch, 0)
    smooth = _contract(patch, [weights for _, weights in stencils])
    # The corners of the cell are the inner nodes of the patch.
    inner = (slice(1, 3),) * tau.ndim
    corners = [linear_stencil(position[i], tau.shape[i])[1] for i in axes]
    share = _contract(known[inner].astype(patch.dtype), corners)
    coarse = _contract(patch[inner], corners) / jnp.where(share > 0, share, 1)
    return jnp.where(jnp.all(known), smooth, coarse), share


def _contract(patch: Array, weights: Sequence[Array]) -> Array:
    """Weighted sum over all axes of a patch of nodes."""
    for weight in reversed(weights):
        patch = jnp.tensordot(patch, weight, axes=1, precision="highest")
    return patch
