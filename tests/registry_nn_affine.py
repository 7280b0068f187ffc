"""Entries of the registry for affine layers: with product grids, exact under C4."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from eqjax import groups
from eqjax.nn._affine_conv import AffineConv, AffineLift, AffineProject
from eqjax.nn._affine_kernel import AffineKernel
from eqjax.nn._affine_samples import AffineSamples, sample_affine
from tests.registry_entries import Equivariant

_QUARTERS = groups.Cyclic(4)
_paper = AffineKernel(measure="paper")
_hermite = AffineKernel(network="hermite", degree=2)
_Layer = AffineLift | AffineConv | AffineProject


def _turn(f: jax.Array, *, quarters: int, rotations: int) -> jax.Array:
    """Turns the pixels, and moves samples on; with rotations 0 there is one only."""
    turned = jnp.rot90(f, quarters, (0, 1))
    if rotations == 0:
        return turned
    split = turned.reshape(*f.shape[:2], rotations, -1, f.shape[3])
    return jnp.roll(split, quarters * rotations // 4, axis=2).reshape(f.shape)


def _act(rotations: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Of an element of C4 on functions on the group with so many rotations."""

    def act(g: jax.Array, f: jax.Array) -> jax.Array:
        turns = [partial(_turn, quarters=k, rotations=rotations) for k in range(4)]
        return jax.lax.switch(g, turns, f)

    return act


def _samples(layer: _Layer, rotations: int, num: int, dtype: Any) -> AffineSamples:
    key = jax.random.key(rotations)
    return sample_affine(layer.group, rotations, num, dtype=dtype, key=key)


def _entry(layer: _Layer, rotations_in: int, rotations_out: int) -> Equivariant:
    """One layer from and to product grids of two stretches (an image: 0 rotations)."""

    def fn(params: Any, x: jax.Array) -> jax.Array:
        samples = [
            _samples(layer, rotations, 2, x.dtype)
            for rotations in (rotations_in, rotations_out)
            if rotations
        ]
        return layer.apply(params, x, *samples)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        key_params, key_x = jax.random.split(key)
        shape = (7, 7, max(2 * rotations_in, 1), layer.channels_in)
        return layer.init(key=key_params), jax.random.normal(key_x, shape)

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        params, x = sample(key)
        return {"zero": (params, 0 * x)}

    return Equivariant(
        str(layer),
        fn,
        _QUARTERS,
        (None, _act(rotations_in)),
        _act(rotations_out),
        sample,
        covers=(layer, layer.kernel),
        singular=singular,
        # The layers share their code, and each compilation takes seconds.
        composes={"modes": ("reverse",)} if layer.kernel == _hermite else None,
    )


NN_AFFINE = (
    _entry(AffineLift(groups.GLPlus(2), 2, 3, kernel_size=5), 0, 8),
    _entry(AffineConv(groups.SL(2), 2, 3, kernel_size=3), 4, 8),
    _entry(AffineConv(groups.SL(2), 1, 2, kernel_size=3, kernel=_hermite), 4, 4),
    # Different samples on both sides: the angle of exact half turns jumps.
    _entry(AffineConv(groups.GLPlus(2), 1, 2, kernel_size=3, kernel=_paper), 4, 8),
    _entry(AffineProject(groups.GLPlus(2), 3, 2, kernel_size=5), 4, 0),
)
