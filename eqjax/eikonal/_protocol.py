"""How errors of travel times are measured: sources, references, statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_shape,
    check_size,
)
from eqjax.eikonal._grid_solver import GridEikonal
from eqjax.eikonal._grid_velocity import GridVelocity
from eqjax.eikonal._metrics import relative_error, relative_mean_absolute_error

_EVERY, _NUM_TOP = 5, 5


class ReferenceTimes(NamedTuple):
    """Travel times of one velocity field, with the error that they have themselves.

    Attributes:
        times: From every source to all nodes of the field's own grid, by the finest
            solution.
        error: Relative error of the solution with half that refinement, against
            `times`. Differences of a method from `times` are errors of the method only
            where they are several times larger (say 5).
        unrefined_times: The same from the grid itself, which publications compare with.
        unrefined_error: Relative error of these against `times`.
        result: For every source, the largest of the solver's result codes (see
            `GridSolution`) at the three refinements; 0 is good.
    """

    times: Float[Array, "sources *shape"]
    error: Float[Array, ""]
    unrefined_times: Float[Array, "sources *shape"]
    unrefined_error: Float[Array, ""]
    result: Int[Array, "sources"]


class ErrorStatistics(NamedTuple):
    """An error of every field, and what it is over all of them.

    Attributes:
        per_field: The error of each field.
        mean: Mean over fields, the number usually published.
        median: Median over fields.
        percentile_95: What 95 % of the fields do not exceed, linear between fields.
    """

    per_field: Float[Array, "fields"]
    mean: Float[Array, ""]
    median: Float[Array, ""]
    percentile_95: Float[Array, ""]


class TravelTimeErrors(NamedTuple):
    """Both errors of travel times (see `relative_error`).

    Attributes:
        relative: RE.
        relative_mean_absolute: RMAE.
    """

    relative: ErrorStatistics
    relative_mean_absolute: ErrorStatistics


def protocol_sources(
    grid: GridVelocity, pairs: str = "full", *, surface: str = "first"
) -> Float[np.ndarray, "sources dim"]:
    """The sources of a set of test pairs, whose receivers are all nodes.

    - `"full"`: every 5th node along every axis, from the first: 14 x 14 sources on a
      grid of 70 x 70 nodes.
    - `"top"`: 5 nodes spread evenly over the surface, both ends included; in 3-D 5 x 5.

    Args:
        grid: The grid; its last axis is the vertical one.
        pairs: "full" or "top".
        surface: Which node of the last axis is at the surface, "first" (the axis is
            the depth) or "last" (it points upward).

    Returns:
        Positions, float64; cast them to the dtype of the velocity.

    Raises:
        ValueError: If a name is unknown.

    Example:
        >>> from eqjax import eikonal
        >>> grid = eikonal.GridVelocity((70, 70), (0.01, 0.01))
        >>> eikonal.protocol_sources(grid).shape
        (196, 2)
        >>> eikonal.protocol_sources(grid, "top")[:, 0].tolist()
        [0.0, 0.17, 0.34, 0.52, 0.69]

    References:
        García-Castellanos, Wessels, van den Berg et al., "Equivariant eikonal neural
        networks", 2025, which tests on two sets of these names.
    """
    check_choice("pairs", pairs, ("full", "top"))
    check_choice("surface", surface, ("first", "last"))
    if pairs == "full":
        nodes = [np.arange(0, size, _EVERY) for size in grid.shape]
    else:
        nodes = [
            np.unique(np.rint(np.linspace(0, size - 1, _NUM_TOP)))
            for size in grid.shape[:-1]
        ]
        nodes.append(np.array([0 if surface == "first" else grid.shape[-1] - 1]))
    index = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1)
    origin = np.zeros(len(grid.shape)) if grid.origin is None else np.array(grid.origin)
    return origin + index.reshape(-1, len(grid.shape)) * np.array(grid.spacing)


def reference_times(
    grid: GridVelocity,
    values: Float[Array, "*shape"],
    sources: Float[Array, "sources dim"],
    *,
    factor: int = 8,
    batch_size: int = 1,
    max_rounds: int = 16,
) -> ReferenceTimes:
    """Travel times of one field by the grid solver, on a refined grid.

    The interpolant that `grid` states is evaluated on a grid `factor` times finer, and
    the eikonal equation is solved there to second order. A second solution with half
    the factor tells how good the first one is. Time and memory of a source are
    proportional to factor^dim; sources are solved one after the other unless
    `batch_size` says otherwise, so that memory does not grow with their number.

    Args:
        grid: The grid and the interpolant of the velocity.
        values: v at its nodes, positive. Its dtype is that of the computation; on a
            smooth field of 70 x 70 nodes, times in float32 differed by 9e-7 from those
            in float64.
        sources: Positions, e.g. from `protocol_sources`.
        factor: Refinement, even.
        batch_size: Number of sources solved at a time.
        max_rounds: Bound on the solver's rounds of sweeps.

    Returns:
        Times at the nodes of `grid`, and their error.

    Raises:
        ValueError: If a shape is wrong, or a number is not valid.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> grid = eikonal.GridVelocity((7, 7), (0.5, 0.5))
        >>> values = 1 + grid.spacing[0] * jnp.arange(7.0)[:, None] * jnp.ones((7, 7))
        >>> reference = eikonal.reference_times(
        ...     grid, values, jnp.array([[0.0, 1.5]]), factor=2)
        >>> reference.times.shape, bool(reference.error < 0.01)
        ((1, 7, 7), True)
    """
    check_size("factor", factor)
    check_condition(
        factor % 2 == 0,
        f"`factor` must be even, because half of it tells the error, got {factor}.",
    )
    check_size("batch_size", batch_size)
    check_shape("values", values, grid.shape)
    check_shape("sources", sources, (None, len(grid.shape)))

    def times_by(refinement: int) -> tuple[Array, Array]:
        fine = grid.refined(refinement)
        solver = GridEikonal(
            fine.shape,
            fine.spacing,
            fine.origin,
            max_rounds=max_rounds,
            interpolation=fine.interpolation,
        )
        velocity = grid.refine(values, refinement)
        at_nodes = tuple(slice(None, None, refinement) for _ in grid.shape)

        def of_one(source: Array) -> tuple[Array, Array]:
            solution = solver.solve(velocity, source)
            return solution.times[at_nodes], solution.result

        size = None if batch_size == 1 else batch_size
        return jax.lax.map(of_one, sources.astype(values.dtype), batch_size=size)

    times, result = times_by(factor)
    half_times, half_result = times_by(factor // 2)
    unrefined_times, unrefined_result = (
        (half_times, half_result) if factor == 2 else times_by(1)
    )
    return ReferenceTimes(
        times=times,
        error=relative_error(half_times, times),
        unrefined_times=unrefined_times,
        unrefined_error=relative_error(unrefined_times, times),
        result=jnp.maximum(jnp.maximum(result, half_result), unrefined_result),
    )


def travel_time_errors(
    times: Float[Array, "fields *pairs"], reference: Float[Array, "fields *pairs"]
) -> TravelTimeErrors:
    """Errors of each field over all its pairs, and their statistics over fields.

    Args:
        times: T of the method under test.
        reference: T*, the same unit. Pairs without arrival (`inf`) do not count.

    Raises:
        ValueError: If shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> reference = jnp.ones((3, 5, 7))
        >>> times = jnp.array([1.0, 1.0, 1.3])[:, None, None] * reference
        >>> errors = eikonal.travel_time_errors(times, reference)
        >>> errors.relative.mean.item(), errors.relative.median.item()
        (0.1, 0.0)
    """
    check_condition(
        times.ndim > 0 and times.shape == reference.shape,
        "`times` and `reference` must have the same shape (fields, ...), got "
        f"{times.shape} and {reference.shape}.",
    )

    def statistics(error: Callable[..., Array]) -> ErrorStatistics:
        per_field = jax.vmap(
            lambda t, t_star: error(
                t, t_star, weights=jnp.isfinite(t_star).astype(t.dtype)
            )
        )(times, reference)
        return ErrorStatistics(
            per_field,
            jnp.mean(per_field),
            jnp.median(per_field),
            jnp.percentile(per_field, 95),
        )

    return TravelTimeErrors(
        statistics(relative_error), statistics(relative_mean_absolute_error)
    )
