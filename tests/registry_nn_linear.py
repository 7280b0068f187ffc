"""Entries of the registry for linear and bilinear layers, attention, and MLPs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from eqjax import groups, o3, reps
from eqjax.nn._attention import Attention
from eqjax.nn._bias import Bias
from eqjax.nn._bilinear import Bilinear
from eqjax.nn._equivariant_mlp import EquivariantMLP
from eqjax.nn._features import multiplicities
from eqjax.nn._hyper_linear import HyperLinear
from eqjax.nn._linear import Linear
from tests.registry_entries import Equivariant

_O3 = groups.O(3)
_LORENTZ = groups.Lorentz(3, reflections="all")
_D4 = groups.Dihedral(4)
_C5 = groups.Cyclic(5)
_scalar, _pseudo, _vector = (reps.irrep(_O3, label) for label in ("0e", "0o", "1o"))
_momentum = reps.irrep(_LORENTZ, "(1/2,1/2)++")
_number = reps.irrep(_LORENTZ, "(0,0)++")
_NODES = 3


def action(rep: Any, channels: int | None) -> Callable[[Any, Any], Any]:
    """The group on features of a rep, whose grid axes it leaves alone."""
    if channels is None:
        return lambda g, x: {irrep: _move(irrep, g, part) for irrep, part in x.items()}
    return lambda g, x: _move(rep, g, x)


def _move(rep: Any, g: Any, x: jax.Array) -> jax.Array:
    return jnp.moveaxis(rep.apply(g, jnp.moveaxis(x, -2, 0)), 0, -2)


def feature(key: jax.Array, rep: Any, channels: int | None, grid: Any = ()) -> Any:
    """A normal one."""
    if channels is not None:
        return jax.random.normal(key, (*grid, rep.dim, channels))
    counts = multiplicities(rep)
    keys = jax.random.split(key, len(counts))
    return {
        irrep: jax.random.normal(k, (*grid, irrep.dim, count))
        for k, (irrep, count) in zip(keys, counts.items(), strict=True)
    }


def filled(params: Any, key: jax.Array) -> Any:
    """Parameters without zeros."""
    leaves, form = jax.tree.flatten(params)
    keys = jax.random.split(key, max(len(leaves), 1))
    moved = [
        leaf + 0.3 * jax.random.normal(k, leaf.shape, leaf.dtype)
        for leaf, k in zip(leaves, keys, strict=False)
    ]
    return jax.tree.unflatten(form, moved)


def channels_of(layer: Any) -> tuple[int | None, int | None]:
    """Of the input and of the result."""
    if hasattr(layer, "channels"):
        return layer.channels, layer.channels
    return layer.channels_in, layer.channels_out


def _arguments(layer: Any, params: Any, xs: Any) -> tuple[Any, ...]:
    if isinstance(layer, HyperLinear):
        condition = jnp.arange(1.0, layer.condition_size + 1)
        return params, condition.astype(jax.tree.leaves(xs)[0].dtype), *xs
    return params, *xs


def _entry(name: str, *layers: Any, grid: Any = (), composes: bool = False) -> Any:
    """Layers of one group, compiled together; parameters do not move."""
    params = [
        filled(layer.init(key=jax.random.key(i)), jax.random.key(99))
        for i, layer in enumerate(layers)
    ]
    group = layers[0].group

    def fn(params: Any, features: Any) -> Any:
        return [
            layer.apply(*_arguments(layer, p, xs))
            for layer, p, xs in zip(layers, params, features, strict=True)
        ]

    def act_in(g: Any, features: Any) -> Any:
        return [
            [action(layer.rep_in, channels_of(layer)[0])(g, x) for x in xs]
            for layer, xs in zip(layers, features, strict=True)
        ]

    def act_out(g: Any, results: Any) -> Any:
        return [
            action(layer.rep_out, channels_of(layer)[1])(g, y)
            for layer, y in zip(layers, results, strict=True)
        ]

    def sample(key: jax.Array) -> tuple[Any, ...]:
        features = []
        for layer in layers:
            key, *keys = jax.random.split(key, 3 if isinstance(layer, Bilinear) else 2)
            own = grid or ((_NODES,) if isinstance(layer, Attention) else ())
            channels = channels_of(layer)[0]
            features.append([feature(k, layer.rep_in, channels, own) for k in keys])
        return params, features

    def zero(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        return {"zero": (params, jax.tree.map(jnp.zeros_like, sample(key)[1]))}

    return Equivariant(
        name,
        fn,
        group,
        (None, act_in),
        act_out,
        sample,
        covers=layers,
        singular=zero,
        # At zero, sums of a few biases of size one.
        singular_atol=1e-13,
        composes={} if composes else None,
    )


_hidden = 3 * _scalar + 2 * _vector + reps.irrep(_O3, "2e")
_matrix = reps.standard(_O3) ** 2
_spinor = reps.irrep(groups.SU(2), "1/2")
_affine = reps.standard(groups.SE(2))
NN_LINEAR = (
    _entry(
        "nn: linear layers for O(3)",
        Linear(2 * _scalar + 3 * _vector, 3 * _scalar + _vector, bias=True),
        Linear(_matrix, _vector * _vector + _pseudo, 2, 3, bias=True),
        Linear(o3.Degrees(2), o3.Degrees(2), 2, 3),
        Linear(_matrix + _vector, 2 * _vector + _scalar, 2, None),
        Bias(_matrix, 2),
        HyperLinear(_vector + _scalar, _vector, 2, 3, condition_size=2),
        Bilinear(_hidden, _hidden),
    ),
    _entry(
        "nn: linear layers on a grid",
        Linear(_matrix, _vector * _vector, 2, 3, bias=True),
        Linear(o3.Degrees(1), o3.Degrees(1), 2, 3),
        Bilinear(_hidden, _vector, 2, 3),
        grid=(2, 3),
    ),
    _entry(
        "nn: layers for the Lorentz group",
        Linear(4 * _momentum, 2 * _momentum + _number, 1, None),
        Bilinear(_momentum + _number, _momentum, 1, 2, mixing="full"),
        Attention(4 * _number + 2 * _momentum, heads=2),
        Attention(reps.standard(_LORENTZ), 2, heads=2),
        EquivariantMLP(
            2 * _momentum, _number, 1, 1, hidden=3 * _number + 2 * _momentum, depth=1
        ),
    ),
    # Permutations; quaternionic and complex type; a group without a list of irreps.
    _entry("nn: regular", Linear(reps.regular(_D4), reps.regular(_D4), 2, 2)),
    _entry("nn: spinors", Linear(_spinor, reps.standard(groups.SU(2)), 2, 2)),
    _entry(
        "nn: circle",
        Bilinear(reps.irrep(_C5, 1), reps.irrep(_C5, 2), 2, 2),
        composes=True,
    ),
    _entry("nn: affine", Linear(_affine, _affine, 2, 1)),
)
