"""First arrivals from several sources."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import (
    check_condition,
    check_floating,
    check_positive,
    check_same_dtype,
    check_shape,
)


def earliest_arrival(
    times: Float[Array, "sources *points"],
    start_times: Float[Array, " sources"] | None = None,
    *,
    temperature: float | None = None,
) -> Float[Array, "*points"]:
    """The first of several fronts, min_i t_i + T_i, or its soft minimum.

    The minimum of solutions of the eikonal equation is the solution for all sources
    together. Each T_i keeps the accuracy of its own source, which one solve for all
    sources would lose. With a temperature h,

        -h log sum_i exp(-(t_i + T_i) / h),

    which lies below the minimum by at most h log(number of sources), and whose
    derivatives with respect to all t_i are positive and sum to one. The minimum itself
    has the derivative of the source that comes first, so that the others learn
    nothing from it.

    Args:
        times: T_i at any points, e.g. `times` of stacked solutions; `inf` where a front
            does not come.
        start_times: t_i, in units of time; default 0. `inf` leaves a source out.
        temperature: h > 0, in units of time; default None, the minimum.

    Returns:
        Arrival times; `inf` where no front comes.

    Raises:
        ValueError: If there is no source, dtypes or the number of start times do not
            match, or `temperature` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> x = jnp.linspace(0.0, 4.0, 5)
        >>> times = jnp.stack([jnp.abs(x - 0.0), jnp.abs(x - 4.0)])
        >>> eikonal.earliest_arrival(times, jnp.array([0.0, 2.0])).tolist()
        [0.0, 1.0, 2.0, 3.0, 2.0]

    References:
        Sethian, "A fast marching level set method for monotonically advancing fronts"
        (1996): several fronts and the first of them.
    """
    check_floating("times", times)
    check_condition(
        times.ndim > 0 and times.shape[0] > 0,
        "`times` must hold at least one source along its leading axis, got shape "
        f"{times.shape}.",
    )
    if temperature is not None:
        check_positive("temperature", temperature)
    if start_times is not None:
        check_shape("start_times", start_times, (times.shape[0],))
        check_same_dtype("start_times", start_times, times, other="times")
        times = times + start_times.reshape(-1, *(1,) * (times.ndim - 1))
    first = jnp.min(times, axis=0)
    if temperature is None:
        return first
    # Relative to the first arrival exponents neither overflow nor vanish, and where
    # nothing arrives, no infinities are subtracted.
    arrives = jnp.isfinite(first)
    shift = jax.lax.stop_gradient(jnp.where(arrives, first, 0))
    known = jnp.isfinite(times)
    delays = jnp.where(known, times - shift[None], 0) / temperature
    total = jnp.sum(jnp.where(known, jnp.exp(-delays), 0), axis=0)
    soft = shift - temperature * jnp.log(jnp.where(arrives, total, 1))
    return jnp.where(arrives, soft, first)
