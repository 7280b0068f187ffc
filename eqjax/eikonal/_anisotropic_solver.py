"""First-arrival times on a grid for metrics that depend on the direction."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from eqjax._core._checks import (
    check_condition,
    check_positive,
    check_shape,
    check_size,
    is_concrete,
)
from eqjax._core._numerics import safe_sqrt
from eqjax._core._specs import register_spec
from eqjax.eikonal._grid_solution import (
    GridSolution,
    check_inputs,
    grid_solution,
    rounding,
)
from eqjax.eikonal._grid_velocity import checked_box
from eqjax.eikonal._lattice_grid import LatticeGrid
from eqjax.eikonal._lattice_iteration import (
    LatticeProblem,
    LatticeScheme,
    solve_lattice,
)
from eqjax.eikonal._lattice_stencil import (
    LatticeStencil,
    build_stencil,
    neighbor_numbers,
)
from eqjax.spaces import RiemannianChart, Space


@register_spec
@dataclasses.dataclass(frozen=True)
class LatticeEikonal:
    """Solver of v sqrt(grad T . D grad T) = 1, T(source) = 0, on a regular grid.

    D is the inverse of a Riemannian metric, which may change from node to node: of a
    user, of a chart, or of positions and headings in the plane. Written as D = sum_k
    rho_k e_k e_k^T with integer offsets e_k and rho_k >= 0, it gives the scheme

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
        Voronoi's first reduction of quadratic forms", 2019.
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
        dim = len(self.shape)
        got = tuple(getattr(dual, "shape", ()))
        fits = len(got) == dim + 2 and all(
            have in (1, want)
            for have, want in zip(got, (*self.shape, dim, dim), strict=True)
        )
        check_condition(
            fits and got[dim:] == (dim, dim),
            f"`dual` must be an array of shape {(*self.shape, dim, dim)}, where axes "
            f"of the grid may have size 1, got {got}.",
        )
        check_condition(
            is_concrete(dual),
            "`dual` must not be traced: stencils are built on the host. Build them "
            "outside of `jax.jit`.",
        )
        return build_stencil(np.asarray(dual, np.float64), self.spacing)

    def stencil_of(self, space: Space | RiemannianChart) -> LatticeStencil:
        """The stencils of a space whose points have as many coordinates as axes.

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
        check_condition(
            not getattr(space, "forward_only", False),
            "`space` moves forward only, which is no Riemannian metric. Use "
            "`forward_only=False`.",
        )
        points = jnp.asarray(self.nodes.reshape(-1, dim))
        units, pairs = np.eye(dim), list(itertools.combinations(range(dim), 2))
        covectors = np.stack([*units, *(units[i] + units[j] for i, j in pairs)])
        norms = space.dual_norm(points[:, None], jnp.asarray(covectors)[None])
        squares = np.asarray(norms, np.float64) ** 2
        # D from its quadratic form: D_ij = (|a + b|^2 - |a|^2 - |b|^2) / 2.
        dual = squares[:, :dim, None] * units
        for k, (i, j) in enumerate(pairs, start=dim):
            mixed = (squares[:, k] - squares[:, i] - squares[:, j]) / 2
            dual[:, i, j] = dual[:, j, i] = mixed
        return self.stencil(dual.reshape(*self.shape, dim, dim))

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
            The solution, in which tau is T / r.

        Raises:
            ValueError: If a shape or dtype is wrong, or if values that are not traced
                are not finite, v is not positive, or the source is outside the box.
        """
        self._check_stencil(stencil)
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
        good = jnp.all(good_velocity) & good_source
        velocity = jnp.where(good_velocity & ~absent, velocity, 1)
        middle = jnp.asarray(self.nodes[tuple(n // 2 for n in self.shape)], point.dtype)
        point = jnp.where(good_source, point, middle)
        neighbors = neighbor_numbers(
            stencil, self.shape, self._grid.periodic, None if mask is None else absent
        )
        problem, r = self._problem(stencil, velocity, point, absent, neighbors)
        scheme = LatticeScheme(self.max_rounds, self.tolerance)
        tau, num_rounds, change = solve_lattice(scheme, problem)
        return grid_solution(
            tau,
            r,
            num_rounds,
            change,
            absent=absent,
            is_good=good,
            attainable=scheme.attainable(self.shape, velocity.dtype),
        )

    def times_at(
        self,
        stencil: LatticeStencil,
        solution: GridSolution,
        source: ArrayLike | Sequence[float],
        x: Float[Array, "dim"],
    ) -> Float[Array, ""]:
        """T at one point: r times the interpolant of tau.

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
        nodes, weights = self._grid.patch(position)
        patch = solution.tau[nodes]
        known = jnp.all(jnp.isfinite(patch))
        smooth = jnp.sum(weights * jnp.where(jnp.isfinite(patch), patch, 0))
        nodes, weights = self._grid.corners(position)
        corners = solution.tau[nodes]
        present = jnp.isfinite(corners)
        reached = jnp.any(present)
        latest = jnp.max(jnp.where(present, corners, -jnp.inf))
        earliest = jnp.min(jnp.where(present, corners, jnp.inf))
        behind = jnp.where(reached, latest + 0.5 * (latest - earliest), 0)
        coarse = jnp.sum(weights * jnp.where(present, corners, behind))
        offset = self._grid.wrap(position - self._grid.position(point))
        r, _ = self._factor(self._frozen_metric(stencil, point), offset)
        times = r * jnp.where(known, smooth, coarse)
        invalid = jnp.any(jnp.isnan(solution.tau))
        return jnp.where(invalid, jnp.nan, jnp.where(reached, times, jnp.inf))

    @property
    def _grid(self) -> LatticeGrid:
        zeros, open_axes = (0.0,) * len(self.shape), (False,) * len(self.shape)
        return LatticeGrid(
            self.shape,
            self.spacing,
            zeros if self.origin is None else self.origin,
            open_axes if self.periodic is None else self.periodic,
        )

    def _frozen_metric(self, stencil: LatticeStencil, source: Array) -> Array:
        """The metric at the source for offsets in units of nodes."""
        dim = len(self.shape)
        dual = jnp.asarray(stencil.dual, dtype=source.dtype)
        dual = jnp.broadcast_to(dual, (*self.shape, dim, dim))
        nodes, weights = self._grid.corners(self._grid.position(source))
        mean = jnp.einsum("...,...ij->ij", weights, dual[nodes], precision="highest")
        steps = jnp.asarray(self.spacing, dtype=source.dtype)
        return jnp.linalg.inv(mean / (steps[:, None] * steps[None]))

    def _factor(self, metric: Array, offset: Array) -> tuple[Array, Array]:
        """r and its derivatives at offsets (dim, *nodes) from the source."""
        momentum = jnp.tensordot(metric, offset, axes=1, precision="highest")
        distance = safe_sqrt(jnp.sum(offset * momentum, axis=0))
        gradient = momentum / jnp.where(distance > 0, distance, 1)[None]
        if self.factor_radius is None:
            return distance, gradient
        shrink = 1 / (1 + distance / self.factor_radius)
        return distance * shrink, gradient * (shrink * shrink)[None]

    def _problem(
        self,
        stencil: LatticeStencil,
        velocity: Array,
        source: Array,
        absent: Array,
        neighbors: Array,
    ) -> tuple[LatticeProblem, Array]:
        """The discrete problem and the distance r."""
        dim, dtype = len(self.shape), velocity.dtype
        position = self._grid.position(source)
        # A source that rounding has moved off a node goes back. Its derivative stays.
        to_node = jnp.round(position) - position
        is_node = jnp.abs(to_node) < rounding(self.shape, dtype)
        position += lax.stop_gradient(jnp.where(is_node, to_node, 0))
        nodes, weights = self._grid.corners(position)
        weights = jnp.where(absent[nodes], 0, weights)
        share = jnp.sum(weights)
        speed = jnp.sum(weights * velocity[nodes]) / jnp.where(share > 0, share, 1)
        start = 1 / jnp.where(share > 0, speed, 1)
        steps = jnp.asarray(self._grid.steps, dtype=dtype)
        offset = self._grid.wrap(steps - position.reshape(dim, *(1,) * dim))
        r, gradient = self._factor(self._frozen_metric(stencil, source), offset)
        offsets = jnp.moveaxis(jnp.asarray(stencil.offsets), (-2, -1), (0, 1))
        offsets = jnp.broadcast_to(offsets, (*offsets.shape[:2], *self.shape))
        slopes = jnp.sum(offsets.astype(dtype) * gradient[None], axis=1)
        rho = jnp.moveaxis(jnp.asarray(stencil.weights, dtype=dtype), -1, 0)
        near = 1 - rounding(self.shape, dtype)
        is_start = ~absent & jnp.all(jnp.abs(offset) < near, axis=0)
        slowness = 1 / velocity
        # The mean slowness on the way from the source, by the trapezoidal rule.
        fixed = jnp.where(is_start, (slowness + start) / 2, jnp.inf)
        problem = LatticeProblem(
            slowness=jnp.where(is_start | absent, 0, slowness),
            fixed=fixed,
            r=r,
            slopes=slopes,
            weights=jnp.broadcast_to(rho, (len(rho), *self.shape)),
            neighbors=neighbors,
        )
        return problem, r

    def _check_stencil(self, stencil: LatticeStencil) -> None:
        dim = len(self.shape)
        sizes = tuple(stencil.weights.shape[:dim])
        check_condition(
            len(stencil.weights.shape) == dim + 1
            and all(
                have in (1, want) for have, want in zip(sizes, self.shape, strict=True)
            ),
            f"`stencil` was built for another grid: its axes have sizes {sizes}, those "
            f"of the grid {self.shape}.",
        )
