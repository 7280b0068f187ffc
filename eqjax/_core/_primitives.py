"""What primitives of our own need to know about `shard_map` and sharded types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.core import ShapedArray
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array


def bind(primitive: Any, *arguments: Any, **params: Any) -> Array:
    """Binds a primitive to arguments that vary over the same axes of a `shard_map`.

    Where one argument is the same on all devices of an axis and another is not, the
    first must be marked as varying, so that its cotangents are summed over the axis.
    JAX does this for its own primitives, and for no others.
    """
    axes = [_varying(jax.typeof(argument)) for argument in arguments]
    union = frozenset().union(*axes)
    marked = [
        jax.lax.pcast(argument, tuple(sorted(union - own)), to="varying")
        if union - own
        else argument
        for argument, own in zip(arguments, axes, strict=True)
    ]
    return primitive.bind(*marked, **params)


def result_type(
    like: ShapedArray, shape: Sequence[int], spec: Sequence[Any]
) -> ShapedArray:
    """The type of a result that has the dtype and the varying axes of an argument.

    Args:
        like: The type of the argument.
        shape: Shape of the result.
        spec: Names of explicit mesh axes that its axes are sharded over, or None.
    """
    sharding = NamedSharding(like.sharding.mesh, PartitionSpec(*spec))
    return like.update(shape=tuple(shape), weak_type=False, sharding=sharding)


def explicit_spec(aval: Any) -> tuple[Any, ...]:
    """For each axis the explicit mesh axes that it is sharded over, or None."""
    spec = tuple(aval.sharding.spec)
    return (*spec, *[None] * (len(aval.shape) - len(spec)))


def _varying(aval: Any) -> frozenset[Any]:
    """The axes of enclosing `shard_map`s along which the value differs."""
    kinds = getattr(aval, "manual_axis_type", None)
    return frozenset(getattr(aval, "vma", ()) if kinds is None else kinds.varying)
