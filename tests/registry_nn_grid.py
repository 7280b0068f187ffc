"""Entries of the registry for layers on pixel grids, with the grid's own symmetries."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from eqjax import groups, nn, reps
from eqjax.testing import act_on_field
from tests.registry_entries import Equivariant

_C4, _D4 = groups.Cyclic(4), groups.Dihedral(4)
_CUBE = groups.Polyhedral("octahedral", inversion=True)
_regular, _vector = reps.regular(_D4), reps.standard(_D4)
_mixed = _regular + 2 * _vector


def _moves(rep: Any) -> Any:
    """The group on square fields; the elements are not known when this is compiled."""
    group = rep.group
    moves = [
        functools.partial(act_on_field, rep, group.element(jnp.asarray(index)))
        for index in range(group.order)
    ]
    return lambda g, field: jax.lax.switch(group.index(g), moves, field)


def _field(key: jax.Array, rep: Any, channels: int, *grid: int) -> jax.Array:
    return jax.random.normal(key, (*grid, rep.dim, channels))


def _conv_entry(name: str, conv: nn.SteerableConv, size: int) -> Equivariant:
    """One field; zero, and a single pixel, are what it is singular at."""
    params = conv.init(dtype=jnp.float64, key=jax.random.key(0))
    grid = (size,) * conv.group.degree
    channels = conv.channels_in
    assert channels is not None

    def sample(key: jax.Array) -> tuple[Any, ...]:
        return params, _field(key, conv.rep_in, channels, *grid)

    return Equivariant(
        f"nn.SteerableConv, {name}",
        conv.apply,
        conv.group,
        (None, _moves(conv.rep_in)),
        _moves(conv.rep_out),
        sample,
        covers=(conv, conv.basis),
        singular=lambda key: {"zero": (params, 0 * sample(key)[1])},
        # Sums of hundreds of products of size one, which may cancel.
        atol=1e-12,
        composes={} if name == "mixed fields" else None,
    )


def _pools_entry() -> Equivariant:
    """Pooling, upsampling."""
    layers: dict[str, Any] = {
        "average": nn.AveragePool(_mixed, 2, kernel_size=2),
        "blur": nn.BlurPool(_mixed, 2, kernel_size=4),
        "largest": nn.NormMaxPool(_mixed, 2, kernel_size=2),
        "up": nn.Upsample(_mixed, 2),
    }
    largest = nn.MaxPool(_regular, 2, kernel_size=2)
    move, move_regular = _moves(_mixed), _moves(_regular)

    def fn(x: jax.Array) -> dict[str, jax.Array]:
        found = {name: layer.apply(x) for name, layer in layers.items()}
        return found | {"each": largest.apply(x[:, :, : _regular.dim])}

    def act_out(g: Any, result: dict[str, jax.Array]) -> dict[str, jax.Array]:
        moved = {name: move(g, result[name]) for name in layers}
        return moved | {"each": move_regular(g, result["each"])}

    return Equivariant(
        "nn: pooling and upsampling",
        fn,
        _D4,
        (move,),
        act_out,
        lambda key: (_field(key, _mixed, 2, 4, 4),),
        covers=(*layers.values(), largest),
        singular=lambda key: {"zero": (jnp.zeros((4, 4, _mixed.dim, 2)),)},
        # Constant matrices and maxima; tests/nn has their loops and gradients.
        composes=None,
    )


def _restrict_entry() -> Equivariant:
    rep = reps.regular(_D4) + reps.irrep(_D4, 1) + reps.quotient(_D4, groups.Cyclic(2))
    layer = nn.Restrict(rep, _C4, 2)

    def act(rep: Any, sub: bool) -> Any:
        def move(g: Any, x: jax.Array) -> jax.Array:
            return rep.apply(g if sub else groups.embed(_C4, _D4, g), x)

        return move

    return Equivariant(
        "nn.Restrict",
        layer.apply,
        _C4,
        (act(rep, sub=False),),
        act(layer.rep_out, sub=True),
        lambda key: (jax.random.normal(key, (rep.dim, 2)),),
        covers=(layer,),
    )


NN_GRID: tuple[Equivariant, ...] = (
    _conv_entry(
        "lifting",
        nn.SteerableConv(reps.trivial(_D4), _regular, 1, 2, kernel_size=5),
        7,
    ),
    _conv_entry(
        "mixed fields",
        nn.SteerableConv(_mixed, _mixed, 1, 2, kernel_size=3),
        5,
    ),
    _conv_entry(
        "stride, even kernel",
        nn.SteerableConv(_regular, _vector, 2, 1, kernel_size=4, stride=2),
        6,
    ),
    _conv_entry(
        "transposed",
        nn.SteerableConv(
            _vector, _regular, 2, 1, kernel_size=4, stride=2, transposed=True
        ),
        3,
    ),
    _conv_entry(
        "space",
        nn.SteerableConv(
            reps.standard(_CUBE), reps.regular(_CUBE), 1, 1, kernel_size=3
        ),
        3,
    ),
    _pools_entry(),
    _restrict_entry(),
)
