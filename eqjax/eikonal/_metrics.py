"""Errors of travel times."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition


def relative_error(
    times: Float[Array, "*shape"],
    reference: Float[Array, "*shape"],
    *,
    weights: Float[Array, "*shape"] | None = None,
) -> Float[Array, ""]:
    """Relative error RE = sqrt(sum w (T - T*)^2 / sum w T*^2).

    Sums run over all entries: over all pairs of one velocity field. Take the mean over
    fields outside, e.g. with `jax.vmap`.

    Args:
        times: T, any unit.
        reference: T*, the same unit.
        weights: Zero or positive; default 1 everywhere. Entries of weight zero may
            hold anything (e.g. `inf` where no front arrives).

    Raises:
        ValueError: If shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax.eikonal import relative_error
        >>> relative_error(jnp.array([1.0, 3.0]), jnp.ones(2)).item() ** 2
        2.0...

    References:
        García-Castellanos, Wessels, van den Berg et al., "Equivariant eikonal neural
        networks", 2025, where both errors of this module are reported.
    """
    error, times, weights = _prepare(times, reference, weights)
    return jnp.sqrt(jnp.sum(weights * error**2) / jnp.sum(weights * times**2))


def relative_mean_absolute_error(
    times: Float[Array, "*shape"],
    reference: Float[Array, "*shape"],
    *,
    weights: Float[Array, "*shape"] | None = None,
) -> Float[Array, ""]:
    """Relative mean absolute error RMAE = sum w |T - T*| / sum w |T*|.

    Args:
        times: T, any unit.
        reference: T*, the same unit.
        weights: As in `relative_error`.

    Raises:
        ValueError: If shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax.eikonal import relative_mean_absolute_error
        >>> relative_mean_absolute_error(jnp.array([1.0, 2.0]), jnp.ones(2)).item()
        0.5
    """
    error, times, weights = _prepare(times, reference, weights)
    return jnp.sum(weights * jnp.abs(error)) / jnp.sum(weights * jnp.abs(times))


def _prepare(
    times: Array, reference: Array, weights: Array | None
) -> tuple[Array, Array, Array]:
    """The error and the reference where they count, and the weights."""
    check_condition(
        times.shape == reference.shape,
        f"`times` and `reference` must have the same shape, got {times.shape} and "
        f"{reference.shape}.",
    )
    if weights is None:
        return times - reference, reference, jnp.ones_like(reference)
    check_condition(
        weights.shape == times.shape,
        f"`weights` must have the shape {times.shape} of `times`, got {weights.shape}.",
    )
    counts = weights > 0
    kept = jnp.where(counts, reference, 0)
    return jnp.where(counts, times, 0) - kept, kept, weights
