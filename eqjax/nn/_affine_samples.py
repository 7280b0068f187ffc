"""Random samples of linear maps of the plane, to integrate with."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_choice, check_condition, check_size
from eqjax.groups import SL, GLPlus
from eqjax.nn._features import default_dtype

AffineGroup: TypeAlias = SL | GLPlus
# Variance of the coordinates of log S, h = S^(1/2) R (Mironenco, Forre 2024).
_PAPER_VARIANCE = 0.1


class AffineSamples(NamedTuple):
    """Elements h of a group of 2 x 2 matrices, with weights.

    Attributes:
        matrices: The elements, (samples, 2, 2).
        inverses: Their inverses.
        weights: Positive, of sum 1: sum_i w_i phi(h_i) is about proportional to the
            integral of phi over the Haar measure, or the mean over the samples.
    """

    matrices: Float[Array, "samples 2 2"]
    inverses: Float[Array, "samples 2 2"]
    weights: Float[Array, " samples"]


def sample_affine(
    group: AffineGroup,
    num_rotations: int,
    num_stretches: int = 1,
    *,
    mode: Literal["product", "independent", "paper"] = "product",
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> AffineSamples:
    """Draws elements h = R exp(X) of SL(2) or GL+(2), to integrate over the group.

    The rotations R are equispaced, by angles 2 pi (k + u) / num_rotations with one
    random u; the end point is left out, as it would be the first one again. The
    symmetric X are normal in each coordinate of an orthonormal basis, of deviation
    `group.sigma`. The rotation stands on the left, so that rotations by multiples of
    2 pi / num_rotations permute the elements of a product grid.

    Args:
        group: `groups.SL(2)` or `groups.GLPlus(2)`.
        num_rotations: Number of rotations. Multiples of 4 make the layers exactly
            equivariant under 90 degrees in the mode "product".
        num_stretches: Number of X for each rotation.
        mode: "product": all rotations share their X. "independent": each has its own.
            Both have the weights J(X)/q(X) of the Haar measure J(X) dX dR, q the
            density of X. "paper": as published, h = exp(X) R, X = log(S)/2 with each
            coordinate of log S of variance 0.1 whatever `group.sigma`, X independent,
            no random u, equal weights: no integral over the Haar measure.
        dtype: Of the samples; default: JAX's default.
        key: A random key.

    Returns:
        num_rotations * num_stretches elements, rotations slow.

    Raises:
        ValueError: If the group is another one, or a number is not positive.

    Example:
        >>> import jax
        >>> from eqjax import groups, nn
        >>> samples = nn.sample_affine(groups.SL(2), 4, 2, key=jax.random.key(0))
        >>> samples.matrices.shape, round(float(samples.weights.sum()), 5)
        ((8, 2, 2), 1.0)

    References:
        Mironenco, Forre, "Lie group decompositions for equivariant neural networks"
        (2024), section 4. Knapp, "Lie groups beyond an introduction" (2002), section
        VIII.4 (J).
    """
    check_affine_group(group)
    check_size("num_rotations", num_rotations)
    check_size("num_stretches", num_stretches)
    check_choice("mode", mode, ("product", "independent", "paper"))
    dtype = default_dtype(dtype)
    key_angle, key_stretch = jax.random.split(key)
    shape = (1 if mode == "product" else num_rotations, num_stretches, group.dim - 1)
    normal = jax.random.normal(key_stretch, shape, dtype)
    offset = jax.random.uniform(key_angle, (), dtype)
    if mode == "paper":
        normal, offset = normal * math.sqrt(_PAPER_VARIANCE) / 2, jnp.zeros((), dtype)
    else:
        normal = group.sigma * normal
    steps = jnp.asarray(np.arange(num_rotations), dtype)
    angles = 2 * math.pi / num_rotations * (steps + offset)
    c, s = jnp.cos(angles), jnp.sin(angles)
    rotations = jnp.stack([jnp.stack([c, -s], -1), jnp.stack([s, c], -1)], -2)
    identity = jnp.broadcast_to(jnp.eye(2, dtype=dtype), (*normal.shape[:-1], 2, 2))
    stretches = group.from_coordinates(normal, identity)
    shrinks = group.from_coordinates(-normal, identity)
    # [rotation, stretch, row, column]; h^-1 without an inversion.
    turns, turns_back = rotations[:, None], jnp.swapaxes(rotations, -1, -2)[:, None]
    if mode == "paper":
        matrices = multiply(stretches, turns)
        inverses = multiply(turns_back, shrinks)
        log_weights = jnp.zeros(matrices.shape[:-2], dtype)
    else:
        matrices = multiply(turns, stretches)
        inverses = multiply(shrinks, turns_back)
        log_weights = jnp.broadcast_to(
            -group.log_density(stretches), matrices.shape[:-2]
        )
    num = num_rotations * num_stretches
    return AffineSamples(
        matrices.reshape(num, 2, 2),
        inverses.reshape(num, 2, 2),
        jax.nn.softmax(log_weights.reshape(num)),
    )


def check_affine_group(group: AffineGroup) -> None:
    """Checks that the group is SL(2) or GL+(2).

    Raises:
        ValueError: If it is not.
    """
    check_condition(
        isinstance(group, (SL, GLPlus)) and group.n == 2,
        f"`group` must be groups.SL(2) or groups.GLPlus(2), got {group}.",
    )


def multiply(a: Array, b: Array) -> Array:
    """a b, batch axes broadcast."""
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (jnp.broadcast_to(m, (*batch, 2, 2)) for m in (a, b))
    return jnp.matmul(a, b, precision="highest")
