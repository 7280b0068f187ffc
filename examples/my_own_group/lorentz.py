"""The Lorentz group from six matrices, its representations, its equivariant maps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from eqjax import groups, reps

# The group: three boosts and three rotations of (t, x, y, z) ------------------------


def unit(i: int, j: int) -> np.ndarray:
    """The 4 x 4 matrix with a one in row i, column j."""
    return np.eye(4)[:, [i]] * np.eye(4)[j]


BOOSTS = [unit(0, i) + unit(i, 0) for i in (1, 2, 3)]
TURNS = [unit(j, i) - unit(i, j) for i, j in ((2, 3), (3, 1), (1, 2))]
GROUP = groups.from_generators("my Lorentz group", lie=[*BOOSTS, *TURNS])

# Its representations: numbers, four-vectors, fields F^ij = -F^ji -------------------

SCALAR, VECTOR = reps.trivial(GROUP), reps.standard(GROUP)
FIELD = reps.exterior_power(VECTOR, 2)
FEATURE = SCALAR + VECTOR + FIELD  # of every channel of the network: 1 + 4 + 6 numbers
PARTS = np.array([SCALAR.dim, VECTOR.dim, FIELD.dim])

# Every equivariant map between them that is linear, or linear in two arguments ------

LINEAR = reps.hom(FEATURE, FEATURE)
BILINEAR = reps.hom(FEATURE * FEATURE, FEATURE)


def move(g: jax.Array, x: jax.Array) -> jax.Array:
    """The vector and the field x of one charge, seen by another observer."""
    u, field = x[: VECTOR.dim], x[VECTOR.dim :]
    return jnp.concatenate([VECTOR.apply(g, u), FIELD.apply(g, field)])
