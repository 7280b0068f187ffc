"""Rays: geodesics by tracing travel times back to their source."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from eqjax._core._checks import check_positive, check_size
from eqjax.spaces import Space


class Ray(NamedTuple):
    """A traced ray.

    Attributes:
        points: From receiver to source, (max_steps + 2, ambient); behind the source the
            source is repeated.
        valid: Which points belong to the ray, (max_steps + 2,).
        length: Its length in the space's metric.
        time: Integral of the slowness along it.
        arrived: Whether it reached the source.
    """

    points: Float[Array, "points ambient"]
    valid: Bool[Array, " points"]
    length: Float[Array, ""]
    time: Float[Array, ""]
    arrived: Bool[Array, ""]


def trace_ray(
    gradient: Callable[[Float[Array, " ambient"]], Float[Array, " ambient"]],
    speed: Callable[[Float[Array, " ambient"]], Float[Array, ""]],
    space: Space,
    source: Float[Array, " ambient"],
    receiver: Float[Array, " ambient"],
    *,
    step: float,
    max_steps: int,
    is_close: Callable[[Float[Array, " ambient"]], Bool[Array, ""]] | None = None,
) -> Ray:
    """Traces ONE ray from the receiver down the travel times to the source.

    Follows x' = -grad T / |grad T| by Runge-Kutta steps of length `step`, with the
    space's retraction: of fourth order in R^n and on spheres, of second order where the
    tangent's frame turns along a step (positions with headings). Within one step of the
    source, the ray ends with the segment to it. For a space with `forward_only`, read
    from its end it is a drive ahead from the source to the receiver.

    Args:
        gradient: x -> ambient derivative of T(source, .) at x.
        speed: x -> speed at x, for the time along the ray.
        space: The space.
        source: Where the times are zero.
        receiver: Where the ray starts.
        step: Length of a step, in units of the space.
        max_steps: Number of steps after which tracing ends, arrived or not.
        is_close: x -> whether the ray ends with the segment from x to the source;
            default: within one step. Times on a grid lead no closer than its cells,
            which may be many steps wide to the side of a car.

    Returns:
        The ray. Its `time` equals T(source, receiver) as far as T solves the eikonal
        equation.

    Raises:
        ValueError: If `step` or `max_steps` is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import eikonal, spaces
        >>> source = jnp.zeros(2)
        >>> T = lambda x: jnp.linalg.norm(x) / 2.0
        >>> ray = eikonal.trace_ray(jax.grad(T), lambda x: jnp.asarray(2.0),
        ...     spaces.Euclidean(2), source, jnp.array([3.0, 4.0]), step=0.1,
        ...     max_steps=60)
        >>> round(float(ray.time), 4), bool(ray.arrived)
        (2.5, True)
    """
    check_positive("step", step)
    check_size("max_steps", max_steps)

    def direction(x: Array) -> Array:
        dT = gradient(x)
        norm = space.dual_norm(x, dT)
        return -space.raise_index(x, dT) / jnp.where(norm > 0, norm, 1)

    def advance(x: Array) -> Array:
        k1 = direction(x)
        k2 = direction(space.retract(x, step / 2 * k1))
        k3 = direction(space.retract(x, step / 2 * k2))
        k4 = direction(space.retract(x, step * k3))
        return space.retract(x, step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))

    def ends(x: Array) -> Array:
        near = space.distance(x, source) <= step if is_close is None else is_close(x)
        # A point that is no number is nowhere, whatever its distance.
        return jnp.all(jnp.isfinite(x)) & near

    def body(carry: tuple[Array, Array], _: None) -> tuple[tuple, tuple]:
        x, arrived = carry
        close = ends(x)
        moved = jnp.where(arrived | close, source, advance(x))
        return (moved, arrived | close), (moved, ~arrived)

    start = (receiver, jnp.asarray(False))
    (last, arrived), (points, valid) = jax.lax.scan(body, start, None, max_steps)
    close = ends(last)
    end = jnp.where(arrived | close, source, last)
    points = jnp.concatenate([receiver[None], points, end[None]])
    finishes = jnp.stack([~arrived & close])
    valid = jnp.concatenate([jnp.ones(1, bool), valid, finishes])
    slowness = 1 / jax.vmap(speed)(points)
    middle = 1 / jax.vmap(lambda x, y: speed(_midpoint(space, x, y)))(
        points[:-1], points[1:]
    )
    lengths = jax.vmap(space.distance)(points[:-1], points[1:])
    # Simpson's rule on every segment
    times = lengths * (slowness[:-1] + 4 * middle + slowness[1:]) / 6
    return Ray(points, valid, jnp.sum(lengths), jnp.sum(times), arrived | close)


def _midpoint(space: Space, x: Array, y: Array) -> Array:
    """The point half way from x to a nearby y."""
    return space.retract(x, space.log(x, y) / 2)
