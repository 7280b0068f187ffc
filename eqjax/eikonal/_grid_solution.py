"""What solvers on a grid take and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from eqjax._core._checks import (
    check_condition,
    check_floating,
    check_shape,
    is_concrete,
)


class GridSolution(NamedTuple):
    """Travel times of one source.

    Attributes:
        times: First-arrival times T at the nodes; `inf` where no front arrives.
        tau: T / |x - source|, smooth at the source, where it is the slowness.
        num_rounds: Rounds of sweeps through all directions.
        last_change: How much T may still change, relative to the largest T: the change
            by one more update of every node, times the nodes of the longest axis.
        num_unreached: Nodes present to which no front comes.
        result: 0 converged; 1 `max_rounds` were not enough; 2 some nodes were not
            reached (walls close around them, or the source); 3 the input was not
            finite, v was not positive, or the source lay outside the box, and times
            are NaN.
    """

    times: Float[Array, "*shape"]
    tau: Float[Array, "*shape"]
    num_rounds: Int[Array, ""]
    last_change: Float[Array, ""]
    num_unreached: Int[Array, ""]
    result: Int[Array, ""]


def grid_solution(
    tau: Float[Array, "*shape"],
    r: Float[Array, "*shape"],
    num_rounds: Array,
    change: Float[Array, ""],
    *,
    absent: Bool[Array, "*shape"],
    is_good: Bool[Array, ""],
    attainable: float,
) -> GridSolution:
    """The solution T = r tau with its result codes.

    Args:
        tau: `inf` where no front arrives.
        r: Distance from the source.
        num_rounds: Rounds of the iteration.
        change: Its `last_change`.
        absent: True at obstacles.
        is_good: Whether the input was valid.
        attainable: The `change` at which the iteration has converged.
    """
    reached = jnp.isfinite(tau)
    # A product with infinity would have no derivative.
    times = jnp.where(reached, r * jnp.where(reached, tau, 1), jnp.inf)
    num_unreached = jnp.sum(~reached & ~absent)
    late = jnp.where(num_unreached > 0, 2, 0)
    result = jnp.where(change <= attainable, late, 1)
    return GridSolution(
        times=jnp.where(is_good, times, jnp.nan),
        tau=jnp.where(is_good, tau, jnp.nan),
        num_rounds=num_rounds.astype(jnp.int32),
        last_change=change,
        num_unreached=num_unreached.astype(jnp.int32),
        result=jnp.where(is_good, result, 3).astype(jnp.int32),
    )


def rounding(shape: tuple[int, ...], dtype: jnp.dtype) -> float:
    """Rounding error of a position in units of nodes."""
    return 8 * max(shape) * float(jnp.finfo(dtype).eps)


def check_inputs(
    velocity: Array | np.ndarray,
    source: ArrayLike | Sequence[float],
    mask: Array | np.ndarray | None,
    *,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    origin: tuple[float, ...] | None,
    periodic: tuple[bool, ...] | None = None,
) -> tuple[Array, Array]:
    """Velocity and source as arrays of one dtype.

    Raises:
        ValueError: If a shape or dtype is wrong, or if values that are not traced are
            not finite, v is not positive, or the source is outside the box.
    """
    check_shape("velocity", velocity, shape)
    check_floating("velocity", velocity)
    if mask is not None:
        check_shape("mask", mask, shape)
        check_condition(
            mask.dtype == bool,
            f"`mask` must be an array of booleans, got dtype {mask.dtype}. It is True "
            "where a node is absent.",
        )
    if is_concrete(velocity):
        values = np.asarray(velocity)
        if mask is not None and is_concrete(mask):
            values = values[~np.asarray(mask)]
        bad = ~(np.isfinite(values) & (values > 0))
        check_condition(
            (mask is not None and not is_concrete(mask)) or not bad.any(),
            "`velocity` must be finite and positive, but is not at "
            f"{int(bad.sum())} of {bad.size} nodes. Mark obstacles by `mask`.",
        )
    velocity = jnp.asarray(velocity)
    point = jnp.asarray(source, dtype=velocity.dtype)
    check_shape("source", point, (len(shape),))
    if is_concrete(point):
        start = np.zeros(len(shape)) if origin is None else np.array(origin)
        position = (np.asarray(point) - start) / spacing
        edge, limits = rounding(shape, point.dtype), np.array(shape) - 1
        within = (position >= -edge) & (position <= limits + edge)
        if periodic is not None:
            within |= np.array(periodic) & np.isfinite(position)
        check_condition(
            bool(np.all(within)),
            f"`source` must be a point of the box from {tuple(start.tolist())} with "
            f"{shape} nodes at spacing {spacing}, got {np.asarray(point)}.",
        )
    return velocity, point
