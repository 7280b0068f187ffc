"""Random pairs of sources and receivers."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from eqjax._core._checks import check_condition, check_shape, check_size
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


def resample_pairs(
    scores: Float[Array, "candidates"], num_pairs: int, *, key: Key[Array, ""]
) -> tuple[Int[Array, "pairs"], Float[Array, "pairs"]]:
    """Which of many candidate pairs to train on: those with large scores more often.

    Drawn without replacement, one after the other with probabilities proportional to
    the scores, at once by adding Gumbel noise to their logarithms and taking the k
    largest sums. With kappa the largest sum left out and n candidates of which pair i
    has the share p_i of the scores, sum_i w_i f_i with

        w_i = 1 / (n q_i),  q_i = 1 - exp(-p_i exp(-kappa)),

    has the expectation mean_i f_i over all candidates, whatever f.

    Args:
        scores: Non-negative, e.g. |residual| of every candidate plus a tenth of their
            mean: a score close to 0 has a large weight when it is drawn.
        num_pairs: How many to keep, fewer than there are candidates.
        key: Random key.

    Returns:
        Their numbers, and the weights w for `residual_loss`; no gradient flows to
        the scores. Candidates with the score 0 are not drawn before all others, and
        then have the weight 0: their share of the mean is lost.

    Raises:
        ValueError: If `num_pairs` is not below the number of candidates.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> scores = jnp.array([1.0, 1.0, 8.0, 1.0])
        >>> index, weights = eikonal.resample_pairs(scores, 2, key=jax.random.key(1))
        >>> index.tolist()
        [2, 1]

    References:
        Kool, van Hoof, Welling, "Stochastic beams and where to find them", 2019,
        section 4.2 (the weights). Nabian, Gladstone, Meidani, "Efficient training of
        physics-informed neural networks via importance sampling", 2021.
    """
    check_size("num_pairs", num_pairs)
    check_shape("scores", scores, (None,))
    check_condition(
        num_pairs < len(scores),
        f"`num_pairs` must be below the number of candidates, {len(scores)}, got "
        f"{num_pairs}. Score more candidates.",
    )
    scores = jax.lax.stop_gradient(scores)
    share = scores / jnp.sum(scores)
    noise = jax.random.gumbel(key, scores.shape, scores.dtype)
    order, index = jax.lax.top_k(jnp.log(share) + noise, num_pairs + 1)
    index, kappa = index[:-1], order[-1]
    chance = -jnp.expm1(-share[index] * jnp.exp(-kappa))
    drawn = chance > 0
    weights = jnp.where(drawn, 1 / (len(scores) * jnp.where(drawn, chance, 1)), 0)
    return index, weights
