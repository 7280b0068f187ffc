"""Losses of neural travel times."""

from __future__ import annotations

import math
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_choice, check_condition, check_shape
from eqjax._core._chunks import mean_in_chunks
from eqjax.eikonal._single_time_field import SingleTravelTimeField
from eqjax.eikonal._travel_time_field import TravelTimeField

Penalty = Literal["abs", "log_cosh", "square"]
Field = TravelTimeField | SingleTravelTimeField


def eikonal_residual(
    field: Field,
    params: Any,
    prepared: dict[str, Any],
    source: Float[Array, " ambient"],
    receiver: Float[Array, " ambient"],
    speeds: Float[Array, "2"],
    speed_bounds: Float[Array, "2"],
) -> Float[Array, "2"]:
    """Residual of the Hamiltonian, ((v |grad T|)^2 - 1) / 2, at both ends of ONE pair.

    Args:
        field: The travel-time field.
        params: Of `field.init`.
        prepared: Of `field.prepare`.
        source: A point of the space.
        receiver: A point of the space.
        speeds: Speed at the source and at the receiver.
        speed_bounds: Smallest and largest speed of the velocity field.

    Returns:
        The residual at the source and at the receiver; zero where the eikonal equation
        holds.

    References:
        García-Castellanos, Wessels, van den Berg et al., "Equivariant eikonal neural
        networks" (2025), section 4 (loss on the Hamiltonian).
    """
    _, at_source, at_receiver = field.times_and_slowness(
        params, prepared, source, receiver, speed_bounds
    )
    return ((jnp.stack([at_source, at_receiver]) * speeds) ** 2 - 1) / 2


def residual_loss(
    field: Field,
    params: Any,
    latents: dict[str, Any],
    sources: Float[Array, "pairs ambient"],
    receivers: Float[Array, "pairs ambient"],
    speeds: Float[Array, "pairs 2"],
    speed_bounds: Float[Array, "2"],
    *,
    penalty: Penalty = "abs",
    weights: Float[Array, " pairs"] | None = None,
    chunk_size: int | None = None,
) -> Float[Array, ""]:
    """Mean over pairs of the penalized eikonal residual, summed over both ends.

    Args:
        field: The travel-time field.
        params: Of `field.init`.
        latents: Latents of ONE velocity field; `{}` if the field has none.
        sources: Points of the space.
        receivers: Points of the space.
        speeds: Speeds at sources and receivers.
        speed_bounds: Smallest and largest speed of the velocity field.
        penalty: "abs" |x|, "log_cosh" log cosh x, or "square" x^2.
        weights: The loss is the sum with these weights, e.g. of `resample_pairs`;
            default: one over the number of pairs each.
        chunk_size: Pairs per chunk; value and gradient then need the memory of one
            chunk, and the loss can be differentiated once only.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If there are no pairs, a shape is wrong, or `penalty` is unknown.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import eikonal, fields, groups, spaces
        >>> field = eikonal.TravelTimeField(
        ...     eikonal.PairInvariant(fields.RelativePose(groups.SE(2))),
        ...     context_dim=4, hidden=8)
        >>> params = field.init(key=jax.random.key(0))
        >>> z = fields.init_latents(field.space, groups.SE(2), num_latents=4,
        ...                         context_dim=4, key=jax.random.key(1))
        >>> s, r = eikonal.sample_pairs(spaces.Ball(2), field.space, 5,
        ...                             key=jax.random.key(2))
        >>> loss = eikonal.residual_loss(field, params, z, s, r, jnp.full((5, 2), 3.0),
        ...                              jnp.array([3.0, 3.0]))
        >>> bool(loss < 1e-5)  # constant speed is exact without training
        True
    """
    check_choice("penalty", penalty, ("abs", "log_cosh", "square"))
    num_pairs = _check_pairs(field, sources, receivers)
    check_shape("speeds", speeds, (num_pairs, 2))
    share = jnp.ones(num_pairs, speeds.dtype)
    if weights is not None:
        check_shape("weights", weights, (num_pairs,))
        share = num_pairs * weights
    prepared = field.prepare(params, latents)

    def one(args: Any, pair: Any) -> Array:
        params, prepared, speed_bounds = args
        source, receiver, speeds, share = pair
        residual = eikonal_residual(
            field, params, prepared, source, receiver, speeds, speed_bounds
        )
        if penalty == "abs":
            penalized = jnp.abs(residual)
        elif penalty == "square":
            penalized = residual**2
        else:
            penalized = jnp.logaddexp(residual, -residual) - math.log(2)
        return share * jnp.sum(penalized)

    return mean_in_chunks(
        one,
        (params, prepared, speed_bounds),
        (sources, receivers, speeds, share),
        chunk_size,
    )


def teacher_loss(
    field: Field,
    params: Any,
    latents: dict[str, Any],
    sources: Float[Array, "pairs ambient"],
    receivers: Float[Array, "pairs ambient"],
    times: Float[Array, " pairs"],
    speed_bounds: Float[Array, "2"],
    *,
    chunk_size: int | None = None,
) -> Float[Array, ""]:
    """Mean over pairs of |T / T* - 1|, T* the times of another solver.

    Args:
        field: The travel-time field.
        params: Of `field.init`.
        latents: Latents of ONE velocity field; `{}` if the field has none.
        sources: Points of the space.
        receivers: Points of the space.
        times: Times T* of the pairs. Pairs without a positive finite time count as
            zero.
        speed_bounds: Smallest and largest speed of the velocity field.
        chunk_size: As in `residual_loss`.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If there are no pairs, or a shape is wrong.
    """
    num_pairs = _check_pairs(field, sources, receivers)
    check_shape("times", times, (num_pairs,))
    prepared = field.prepare(params, latents)

    def one(args: Any, pair: Any) -> Array:
        params, prepared, speed_bounds = args
        source, receiver, target = pair
        usable = jnp.isfinite(target) & (target > 0)
        target = jnp.where(usable, target, 1)
        time = field.times(params, prepared, source, receiver, speed_bounds)
        return jnp.where(usable, jnp.abs(time / target - 1), 0)

    return mean_in_chunks(
        one, (params, prepared, speed_bounds), (sources, receivers, times), chunk_size
    )


def _check_pairs(field: Field, sources: Array, receivers: Array) -> int:
    """The number of pairs, at least 1, of which every end is a point."""
    size = field.space.ambient_dim
    check_shape("sources", sources, (None, size))
    num_pairs = sources.shape[0]
    check_condition(num_pairs > 0, "`sources` must hold at least one pair, got none.")
    check_shape("receivers", receivers, (num_pairs, size))
    return num_pairs
