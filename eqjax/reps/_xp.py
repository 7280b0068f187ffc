"""Formulas that NumPy evaluates in float64 and JAX in the precision of its arrays."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np


def einsum(xp: Any, subscripts: str, *operands: Any) -> Any:
    """Einstein sum of NumPy or JAX arrays, at full precision on every device."""
    if xp is np:
        return np.einsum(subscripts, *operands)
    return jnp.einsum(subscripts, *operands, precision="highest")
