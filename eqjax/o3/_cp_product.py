"""The tensor product of all paths by a low-rank decomposition."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_same_dtype, check_shape
from eqjax.o3._constants import Precision, constant_map
from eqjax.o3._cp_factors import cp_factors
from eqjax.o3._layouts import feature_degrees


def cp_product(
    x: Float[Array, "dim channels"],
    y: Float[Array, "dim channels_y"],
    *,
    weights: Float[Array, " channels"] | None = None,
    rank: int | None = None,
    precision: Precision = "highest",
) -> Float[Array, "dim channels"]:
    """The sum of all couplings of two features, channel by channel, as dense products.

        out[k, u] = w[u] sum_r C[k, r] (sum_i A[i, r] x[i, u]) (sum_j B[j, r] y[j, u])

    with the factors of `cp_factors`. Every path (l1, l2, l3) has the same weight, and
    odd ones (l1 + l2 + l3 odd) are among them, so that it commutes with SO(3), not with
    reflections.

    With the default rank it is exact to rounding. A smaller one is cheaper and
    commutes with rotations D only approximately. Of a product T' that differs by Delta
    from one that commutes with D,

        |T'(D x, D y) - D T'(x, y)| <= 2 |Delta|_F |x| |y|,

    which is `cp_factors(L, rank).bound` |x| |y| (per channel, without weights).

    It has (L + 1)^2 R multiplications in each of three matrix products, more than there
    are couplings, so it is meant for processors that multiply matrices fast; on a CPU,
    `TensorProduct` is faster, and it has a weight for each path.

    Args:
        x: A feature, shape ((L + 1)^2, channels).
        y: A feature of the same degrees, with as many channels or one.
        weights: A factor for each channel.
        rank: Rank of the factors. Default: an exact one, for L <= 4.
        precision: Of the matrix products.

    Returns:
        A feature of the same degrees.

    Raises:
        ValueError: If shapes or dtypes do not fit, or the rank is missing for L > 4.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x = jnp.array([[0.0], [1.0], [0.0], [0.0]])
        >>> y = jnp.array([[0.0], [0.0], [1.0], [0.0]])
        >>> [round(float(z), 3) for z in o3.cp_product(x, y)[:, 0]]
        [0.0, 0.0, 0.0, 0.408]

    References:
        Lin et al., "Tensor decomposition networks for fast machine learning interatomic
        potential computations" (2025).
    """
    degrees = feature_degrees("x", x)
    check_condition(
        degrees.parity != "both",
        "`x` must have (L + 1)^2 components: reflections are not kept, so that there "
        f"are no two parities; got shape {x.shape}.",
    )
    check_shape("y", y, (x.shape[0], None), remedy="Give it the degrees of `x`.")
    check_condition(
        y.shape[1] in (1, x.shape[1]),
        f"`y` must have {x.shape[1]} channels as `x` has, or one, got {y.shape[1]}.",
    )
    check_same_dtype("y", y, x)
    factors = cp_factors(degrees.max_degree, rank)
    along_x = constant_map(factors.x.T, x, precision=precision)
    along_y = constant_map(factors.y.T, y, precision=precision)
    out = constant_map(factors.out, along_x * along_y, precision=precision)
    if weights is None:
        return out
    check_shape("weights", weights, (x.shape[1],))
    check_same_dtype("weights", weights, x)
    return out * jnp.broadcast_to(weights[None], out.shape)
