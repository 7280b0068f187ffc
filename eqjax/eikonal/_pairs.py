"""Random pairs of sources and receivers."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_condition, check_size
from eqjax.spaces import Domain, Space


def sample_pairs(
    domain: Domain,
    space: Space,
    num_pairs: int,
    *,
    near_share: float = 0.2,
    near_range: tuple[float, float] = (1e-3, 0.3),
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> tuple[Float[Array, "pairs ambient"], Float[Array, "pairs ambient"]]:
    """Pairs for the residual: most of them uniform, some of them close together.

    In a near pair the receiver is exp(source, rho w), w a random unit vector of the
    metric and rho log-uniform in `near_range`, moved back into the domain: the gradient
    of T changes fastest near the source.

    Args:
        domain: Where points are drawn: a `Box`, a `Ball`, or a compact space.
        space: The space of the points.
        num_pairs: Number of pairs, at least 1.
        near_share: Share of near pairs, in [0, 1].
        near_range: Smallest and largest distance of near pairs, in units of the space.
        dtype: Of the points.
        key: Random key.

    Returns:
        Sources and receivers.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import jax
        >>> from eqjax import eikonal, spaces
        >>> s, r = eikonal.sample_pairs(
        ...     spaces.Sphere(2), spaces.Sphere(2), 7, key=jax.random.key(0))
        >>> s.shape, r.shape
        ((7, 3), (7, 3))
    """
    check_size("num_pairs", num_pairs)
    check_condition(
        0 <= near_share <= 1, f"`near_share` must be in [0, 1], got {near_share}."
    )
    check_condition(
        0 < near_range[0] < near_range[1],
        f"`near_range` must be two increasing positive numbers, got {near_range}.",
    )
    dtype = jnp.result_type(float) if dtype is None else dtype
    key_source, key_receiver, key_direction, key_length = jax.random.split(key, 4)

    def draw(key: Key[Array, ""]) -> Array:
        keys = jax.random.split(key, num_pairs)
        return jax.vmap(lambda k: domain.sample(dtype=dtype, key=k))(keys)

    sources, receivers = draw(key_source), draw(key_receiver)
    num_near = round(near_share * num_pairs)
    if not num_near:
        return sources, receivers
    low, high = (math.log(length) for length in near_range)
    length = jax.random.uniform(key_length, (num_near, 1), dtype, low, high)
    starts = sources[:num_near]
    # The gradient vector of a covector, over the covector's norm, has length one in
    # every metric, also where sideways vectors have no finite length.
    covector = jax.random.normal(key_direction, starts.shape, dtype)
    direction = space.raise_index(starts, covector)
    direction /= space.dual_norm(starts, covector)[:, None]
    near = space.exp(starts, jnp.exp(length) * direction)
    return sources, receivers.at[:num_near].set(domain.project(near))
