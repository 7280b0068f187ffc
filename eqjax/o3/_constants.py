"""Constant matrices on the component axis."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

# The type of `precision=`: what `jax.lax.dot_general` takes.
Precision = jax.lax.PrecisionLike


def apply_constant(
    matrix: np.ndarray,
    x: Array,
    *,
    precision: Precision = "highest",
    preferred: DTypeLike | None = None,
) -> Array:
    """The matrix times the first axis of x, (rows, *rest), in the dtype of x.

    A TPU multiplies float32 matrices in bfloat16 by default, which breaks equivariance
    to about 1e-2, so that the default precision is the highest.
    """
    constant = jnp.asarray(matrix, x.dtype)
    return jax.lax.dot_general(
        constant,
        x,
        (((1,), (0,)), ((), ())),
        precision=precision,
        preferred_element_type=preferred,
    )
