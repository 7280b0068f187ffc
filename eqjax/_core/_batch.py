"""Explicit broadcasting of leading batch axes."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array


def match_batch(*arrays_and_ranks: tuple[Array, int]) -> tuple[Array, ...]:
    """Broadcasts the leading axes of several arrays against each other.

    Args:
        *arrays_and_ranks: Pairs (array, rank): the last `rank` axes of the array belong
            to one item, the axes before them are batch axes.

    Returns:
        The arrays, all with the same batch axes.
    """
    batches = [array.shape[: array.ndim - rank] for array, rank in arrays_and_ranks]
    batch = jnp.broadcast_shapes(*batches)
    return tuple(
        jnp.broadcast_to(array, batch + array.shape[array.ndim - rank :])
        for array, rank in arrays_and_ranks
    )
