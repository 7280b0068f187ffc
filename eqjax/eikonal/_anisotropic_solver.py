"""First-arrival times on a grid for metrics that depend on the direction."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from eqjax._core._checks import (
    check_condition,
    check_positive,
    check_shape,
    check_size,
)
from eqjax._core._specs import register_spec
from eqjax.eikonal._grid_solution import (
    GridSolution,
    check_inputs,
    grid_solution,
)
from eqjax.eikonal._grid_velocity import checked_box
from eqjax.eikonal._lattice_factor import frozen_metric
from eqjax.eikonal._lattice_gradients import gradient_at, upwind_gradients
from eqjax.eikonal._lattice_grid import LatticeGrid
from eqjax.eikonal._lattice_iteration import (
    LatticeProblem,
    LatticeScheme,
    solve_lattice,
)
from eqjax.eikonal._lattice_problem import lattice_problem
from eqjax.eikonal._lattice_stencil import (
    LatticeStencil,
    build_stencil,
    check_dual,
    check_stencil,
    dual_metric,
)
from eqjax.spaces import PositionOrientation, RiemannianChart, Space


@register_spec
@dataclasses.dataclass(frozen=True)
class LatticeEikonal:
    """Solver of v sqrt(grad T . D grad T) = 1, T(source) = 0, on a regular grid.

    D is the inverse of a Riemannian metric, which may change from node to node: of a
    user, of a chart, or of positions and headings in the plane, with or without a way
    back (`stencil_of`). Written as D = sum_k rho_k e_k e_k^T with integer offsets e_k
    and rho_k >= 0, it gives the scheme

        sum_k rho_k max(0, T(x) - T(x - e_k), T(x) - T(x + e_k))^2 = 1 / v^2,

    which is monotone and of first order for any anisotropy. Stencils widen with the
    anisotropy, so the resolution must follow it. Differences are those of tau = T / r,
    where r is the distance from the source in the metric frozen there, so that T is
    as accurate near the source as elsewhere. A constant metric with constant v is
    solved exactly, but for nodes whose offsets lead out of the grid.

    Derivatives of any kind with respect to velocity and source are those of the
    discrete equations, from a few linear sweeps; at kinks of T they are one-sided.

    Attributes:
        shape: Number of nodes per axis, at least 3; 2 or 3 axes.
        spacing: Distance between nodes per axis.
        origin: Position of the first node; default 0.
        periodic: Which axes close, one spacing behind the last node; default none.
        max_rounds: Bound on the number of rounds; each updates all nodes at once, so
            that as many are needed as there are nodes along the longest path.
        tolerance: The `last_change` of the solution at which to stop; at least some
            rounding errors of the dtype.
        factor_radius: Distance R at which r is bent to r / (1 + r / R); default never.
            Where the cheap direction turns, as for cars, the frozen metric is wrong
            from some distance on: R is that distance (0.5 for a car that turns on a
            circle of radius 1 and is 10 times as slow sideways).

    Raises:
        ValueError: If a value is not valid, or the grid is neither 2-D nor 3-D.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> solver = eikonal.LatticeEikonal(shape=(11, 11), spacing=(0.1, 0.1))
        >>> stencil = solver.stencil(jnp.array([[[[1.0, 0.5], [0.5, 1.0]]]]))
        >>> solution = solver.solve(stencil, jnp.ones((11, 11)), jnp.full(2, 0.5))
        >>> round(solution.times[7, 5].item(), 4), solution.result.item()
        (0.2309, 0)

    References:
        Mirebeau, "Anisotropic fast-marching on Cartesian grids using lattice basis
        reduction", 2014. Mirebeau, "Riemannian fast-marching on Cartesian grids, using
        Voronoi's first reduction of quadratic forms", 2019. Mirebeau, "Fast-marching
        methods for curvature penalized shortest paths", 2018: motion ahead only.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...] | None = None
    periodic: tuple[bool, ...] | None = None
    max_rounds: int = 2000
    tolerance: float = 1e-6
    factor_radius: float | None = None

    def __post_init__(self) -> None:
        shape, spacing, origin = checked_box(self.shape, self.spacing, self.origin)
        check_condition(
            len(shape) in (2, 3),
            f"`shape` must have 2 or 3 axes, got {len(shape)}. Other dimensions are "
            "not supported.",
        )
        periodic = (False,) * len(shape) if self.periodic is None else self.periodic
        check_condition(
            len(periodic) == len(shape),
            f"`periodic` must have one value per axis, got {len(periodic)} for "
            f"{len(shape)} axes.",
        )
        check_size("max_rounds", self.max_rounds)
        check_positive("tolerance", self.tolerance, zero=True)
        if self.factor_radius is not None:
            check_positive("factor_radius", self.factor_radius)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spacing", spacing)
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "periodic", tuple(map(bool, periodic)))

    @property
    def nodes(self) -> Float[np.ndarray, "*shape dim"]:
        """The positions of the nodes, in float64."""
        return self._grid.nodes

    def stencil(self, dual: Array | np.ndarray) -> LatticeStencil:
        """The stencils of a metric given by its inverse D at the nodes.

        On the host and in float64; not for traced values. Build it once and pass it
        to every `solve`.

        Args:
            dual: D in the units of the coordinates, (*shape, dim, dim); axes of the
                grid along which it is constant may have size 1.

        Returns:
            Arrays, a pytree.

        Raises:
            ValueError: If a matrix is not symmetric positive definite, a shape is
                wrong, or the anisotropy in units of nodes is too strong.
        """
        check_dual(dual, self.shape)
        return build_stencil(np.asarray(dual, np.float64), self.spacing)

    def stencil_of(self, space: Space | RiemannianChart) -> LatticeStencil:
        """The stencils of a space whose points have as many coordinates as axes.

        For `forward_only`, T(source, x) is the time of a drive ahead from the source
        to x. Offsets of positions point ahead, <n, e_k> >= 0, and T(x) - T(x + e_k) is
        left out, but for those that point to the side. So the squared norm of the
        spatial part p of a covector is H(p) = sum_k rho_k max(0, <p, e_k>)^2, and

            max(0, <p, n>)^2 <= xi^2 H(p) <= max(0, <p, n>)^2 + eps^2 <p, n'>^2

        with n' to the side of n. Times lie between those of the space and those of its
        limit eps = 0: how far a drive may drift sideways depends on the heading.

        Args:
            space: E.g. `spaces.PositionOrientation(2, xi, eps)` with eps > 0 on the
                axes (x, y, theta), or a `spaces.RiemannianChart`.

        Raises:
            ValueError: If the space does not fit the grid, or as in `stencil`.
        """
        dim = len(self.shape)
        check_condition(
            space.ambient_dim == space.dim == dim,
            f"`space` must have {dim} coordinates and dimension {dim}, as many as "
            f"`shape` has axes, got {space}.",
        )
        if not (isinstance(space, PositionOrientation) and space.forward_only):
            return self.stencil(dual_metric(space, self.nodes))
        reversible = dataclasses.replace(space, forward_only=False)
        dual = dual_metric(reversible, self.nodes)
        ahead = np.asarray(space.frame(jnp.asarray(self.nodes))[..., 0, :])
        return build_stencil(dual, self.spacing, ahead)

    def solve(
        self,
        stencil: LatticeStencil,
        velocity: Array | np.ndarray,
        source: ArrayLike | Sequence[float],
        *,
        mask: Array | np.ndarray | None = None,
    ) -> GridSolution:
        """Times from one source through one model; `jax.vmap` over either or both.

        Values that are traced cannot be looked at, so what is wrong with them is
        reported by `result`; values that are not traced raise.

        Args:
            stencil: What `stencil` returned.
            velocity: v at the nodes, positive; its dtype is that of the solution.
            source: A point of the box spanned by the nodes; any number on a periodic
                axis.
            mask: True where a node is absent (an obstacle); its times are `inf`, and
                no offset crosses it.

        Returns:
            The solution, in which tau is T / r; without a way back, with the r that is
            not bent, and `inf` behind the source, where T / r is not bounded.

        Raises:
            ValueError: If a shape or dtype is wrong, or if values that are not traced
                are not finite, v is not positive, or the source is outside the box.
        """
        problem, stretch, absent, good = self._problem(stencil, velocity, source, mask)
        scheme = LatticeScheme(self.max_rounds, self.tolerance)
        tau, num_rounds, change = solve_lattice(scheme, problem)
        solution = grid_solution(
            tau,
            problem.r,
            num_rounds,
            change,
            absent=absent,
            is_good=good,
            attainable=scheme.attainable(self.shape, tau.dtype),
        )
        if stencil.ahead is None:
            return solution
        behind = jnp.isinf(stretch)
        tau = solution.tau / jnp.where(behind, 1, stretch)
        return solution._replace(tau=jnp.where(behind, jnp.inf, tau))

    def times_at(
        self,
        stencil: LatticeStencil,
        solution: GridSolution,
        source: ArrayLike | Sequence[float],
        x: Float[Array, "dim"],
    ) -> Float[Array, ""]:
        """T at one point: r times the interpolant of tau, or that of T behind a car.

        Cubic; where one of the 4^d nodes around the point has no time, linear between
        the corners of the cell. Corners without a time count as later than the others,
        so that gradients lead rays away from walls.

        Args:
            stencil: What `stencil` returned.
            solution: What `solve` returned.
            source: The source it was solved for.
            x: The point.

        Returns:
            T(x); `inf` if no corner of the cell has a time.

        Raises:
            ValueError: If a shape is wrong.
        """
        dim = len(self.shape)
        check_shape("solution.tau", solution.tau, self.shape)
        check_shape("x", x, (dim,))
        point = jnp.asarray(source, dtype=x.dtype)
        check_shape("source", point, (dim,))
        position = self._grid.position(x)
        offset = self._grid.wrap(position - self._grid.position(point))
        metric = frozen_metric(self._grid, stencil, point)
        radius = self.factor_radius if stencil.ahead is None else None
        r, _ = metric.factor(offset, radius)
        tau = self._grid.interpolate(solution.tau, position)
        reached = tau < jnp.inf
        times = jnp.where(reached, r * jnp.where(reached, tau, 0), jnp.inf)
        if stencil.ahead is not None:
            # Only ahead of the source, and close to it, T is of the kind of r.
            close = jnp.all(jnp.abs(offset) < 2) & ~metric.is_behind(offset)
            plain = self._grid.interpolate(solution.times, position)
            times = jnp.where(close, times, plain)
        invalid = jnp.any(jnp.isnan(solution.tau))
        return jnp.where(invalid, jnp.nan, times)

    def gradients(
        self,
        stencil: LatticeStencil,
        velocity: Array | np.ndarray,
        source: ArrayLike | Sequence[float],
        solution: GridSolution,
        *,
        mask: Array | np.ndarray | None = None,
    ) -> Float[Array, "*shape dim"]:
        """The upwind derivatives of T at the nodes, for `gradient_at`.

        From the differences u_k = T - T(x -+ e_k) that the scheme uses, D grad T is
        sum_k rho_k u_k (+-e_k): the direction in which the front passes, also at kinks
        of T, where its interpolant has none.

        Args:
            stencil: Like the other arguments, that of `solve`.
            velocity: v at the nodes.
            source: The source.
            solution: What `solve` returned.
            mask: True where a node is absent.

        Returns:
            Derivatives in the coordinates of the grid; NaN where T is `inf` or NaN.

        Raises:
            ValueError: As `solve`.
        """
        check_shape("solution.times", solution.times, self.shape)
        problem, _, _, _ = self._problem(stencil, velocity, source, mask)
        point = jnp.asarray(source, dtype=solution.times.dtype)
        return upwind_gradients(self._grid, stencil, problem, point, solution.times)

    def gradient_at(
        self, gradients: Float[Array, "*shape dim"], x: Float[Array, "dim"]
    ) -> Float[Array, "dim"]:
        """The direction of grad T at one point, for `trace_ray`.

        Follow it rather than the derivative of `times_at` where T has kinks: for
        strong anisotropy, between walls, and without a way back.

        Args:
            gradients: What `gradients` returned.
            x: The point.

        Returns:
            Linear between the corners of the cell that have a time; zero without any.

        Raises:
            ValueError: If a shape is wrong.
        """
        check_shape("gradients", gradients, (*self.shape, len(self.shape)))
        check_shape("x", x, (len(self.shape),))
        return gradient_at(self._grid, gradients, self._grid.position(x))

    def is_close(
        self,
        source: ArrayLike | Sequence[float],
        x: Float[Array, "dim"],
        *,
        num_cells: float = 2.0,
    ) -> Bool[Array, ""]:
        """Whether a point is so close to a source that a ray ends, for `trace_ray`.

        Args:
            source: The source.
            x: The point.
            num_cells: At most how many spacings apart they may be, on every axis.
        """
        check_shape("x", x, (len(self.shape),))
        point = jnp.asarray(source, dtype=x.dtype)
        offset = self._grid.wrap(self._grid.position(x) - self._grid.position(point))
        return jnp.all(jnp.abs(offset) <= num_cells)

    def _problem(
        self,
        stencil: LatticeStencil,
        velocity: Array | np.ndarray,
        source: ArrayLike | Sequence[float],
        mask: Array | np.ndarray | None,
    ) -> tuple[LatticeProblem, Array, Array, Array]:
        """The problem, how r is bent, absent nodes, and whether all is valid."""
        check_stencil(stencil, self.shape)
        velocity, point = check_inputs(
            velocity,
            source,
            mask,
            shape=self.shape,
            spacing=self.spacing,
            origin=self.origin,
            periodic=self.periodic,
        )
        absent = jnp.zeros(self.shape, bool) if mask is None else jnp.asarray(mask)
        good_velocity = absent | (jnp.isfinite(velocity) & (velocity > 0))
        good_source = self._grid.is_inside(point)
        velocity = jnp.where(good_velocity & ~absent, velocity, 1)
        middle = jnp.asarray(self.nodes[tuple(n // 2 for n in self.shape)], point.dtype)
        point = jnp.where(good_source, point, middle)
        problem, stretch = lattice_problem(
            self._grid,
            stencil,
            velocity,
            point,
            None if mask is None else absent,
            self.factor_radius,
        )
        return problem, stretch, absent, jnp.all(good_velocity) & good_source

    @property
    def _grid(self) -> LatticeGrid:
        zeros, open_axes = (0.0,) * len(self.shape), (False,) * len(self.shape)
        return LatticeGrid(
            self.shape,
            self.spacing,
            zeros if self.origin is None else self.origin,
            open_axes if self.periodic is None else self.periodic,
        )
