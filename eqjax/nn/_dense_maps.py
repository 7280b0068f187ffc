"""Linear maps of dense features as one product with an expanded matrix."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax import o3
from eqjax.nn._features import unit_variance
from eqjax.reps import Rep, decompose, hom
from eqjax.reps._irrep import has_family
from eqjax.reps._orbits import Orbits


class ScaledMaps(NamedTuple):
    """Maps of entries such that rows have norm one where they are not zero.

    Attributes:
        matrices: (maps, out, in), or None for those of orbits.
        orbits: The number of the map that has an entry at a place, (out, in).
        values: For orbits, the value of the entries of each map.
        deviations: Initial deviation of the weights for one channel.
    """

    matrices: np.ndarray | None
    orbits: np.ndarray | None
    values: np.ndarray | None
    deviations: np.ndarray


@functools.lru_cache(maxsize=1024)
def dense_form(a: Rep, b: Rep) -> str:
    """What the maps between dense features are made of."""
    if isinstance(a, o3.Degrees) and isinstance(b, o3.Degrees):
        return "irreps"
    if a.is_permutation and b.is_permutation:
        return "maps"
    if not has_family(a.group):
        return "maps"
    try:
        for rep in (a, b):
            decompose(rep)
    except RuntimeError:  # not completely reducible
        return "maps"
    return "irreps"


@functools.lru_cache(maxsize=256)
def scaled_maps(a: Rep, b: Rep) -> ScaledMaps:
    """All maps, with the deviations of weights that keep the variance of features."""
    maps = hom(a, b)
    if isinstance(maps._form, Orbits):
        index, sizes = maps._form.index, maps._form.sizes
        rows = np.array([len(np.unique(row)) for row in index])
        reached = np.zeros(len(sizes))
        deviations = np.zeros(len(sizes))
        for row, num in zip(index, rows, strict=True):
            found = np.unique(row)
            reached[found] += 1
            # All rows that a map reaches are moved to each other: they agree.
            deviations[found] = num**-0.5
        return ScaledMaps(None, index, np.sqrt(reached / sizes), deviations)
    scaled = maps.basis * math.sqrt(b.dim)
    deviations = np.full(len(scaled), unit_variance(len(scaled)))
    return ScaledMaps(scaled, None, None, deviations)


def apply_maps(layer: Any, weights: Array, x: Array) -> Array:
    """One product with the expanded matrix, component slow and channel fast."""
    maps = scaled_maps(layer.rep_in, layer.rep_out)
    c_in, c_out = weights.shape[1:]
    if maps.matrices is None:
        assert maps.orbits is not None
        values = jnp.asarray(maps.values, x.dtype)
        blocks = (weights * values[:, None, None])[maps.orbits.T]
        blocks = blocks.transpose(0, 2, 1, 3)  # in, c_in, out, c_out
    else:
        basis = jnp.asarray(maps.matrices, x.dtype)
        blocks = jnp.einsum("koi,kcd->icod", basis, weights, precision="highest")
    full = blocks.reshape(x.shape[-2] * c_in, layer.rep_out.dim * c_out)
    y = jnp.matmul(x.reshape(*x.shape[:-2], -1), full, precision=layer.precision)
    return y.reshape(*x.shape[:-2], layer.rep_out.dim, c_out)
