"""How latents move: retracted and normalized steps, gradients along tangents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from eqjax._core._checks import check_condition, check_size
from eqjax._core._numerics import safe_norm

Loss = Callable[[Any, Any, Any], Float[Array, ""]]
Retract = Callable[[Any, Any], Any]
ZeroTangent = Callable[[Any], Any]


class Fit(NamedTuple):
    """Latents of one signal after a fit.

    Attributes:
        latents: The fitted latents.
        losses: Loss before every step, (num_steps,).
    """

    latents: PyTree[Array]
    losses: Float[Array, " steps"]


def moves(
    retract: Retract | None, zero_tangent: ZeroTangent | None
) -> tuple[Retract, ZeroTangent]:
    """The given pair, or addition."""
    check_condition(
        (retract is None) == (zero_tangent is None),
        "`retract` and `zero_tangent` must be given together, got only one of them.",
    )
    if retract is None or zero_tangent is None:
        return (
            lambda z, dz: jax.tree.map(jnp.add, z, dz),
            lambda z: jax.tree.map(jnp.zeros_like, z),
        )
    return retract, zero_tangent


def check_batches(batches: Any, num_steps: int) -> None:
    """Checks that there is one batch per step along the leading axis."""
    check_size("num_steps", num_steps)
    for leaf in jax.tree.leaves(batches):
        check_condition(
            leaf.shape[:1] == (num_steps,),
            "`batches` must have one entry per step along the leading axis, "
            f"({num_steps}, ...), got shape {leaf.shape}.",
        )


def tangent_gradient(
    loss: Loss,
    params: Any,
    latents: Any,
    batch: Any,
    retract: Retract,
    zero_tangent: ZeroTangent,
    *,
    wrt_params: bool = True,
) -> tuple[Array, Any]:
    """Loss, and its gradients with respect to params and a tangent of the latents."""

    def moved_loss(params: Any, tangent: Any) -> Array:
        return loss(params, retract(latents, tangent), batch)

    which = (0, 1) if wrt_params else 1
    return jax.value_and_grad(moved_loss, which)(params, zero_tangent(latents))


def like_tangent(name: str, tree: Any, tangent: Any) -> Any:
    """The tree with leaves that broadcast against those of the tangent.

    Raises:
        ValueError: If the structure is another one or a leaf does not broadcast.
    """
    check_condition(
        jax.tree.structure(tree) == jax.tree.structure(tangent),
        f"`{name}` must have the structure of a tangent of the latents, "
        f"{jax.tree.structure(tangent)}, got {jax.tree.structure(tree)}.",
    )

    def fit(path: Any, leaf: Any, like: Array) -> Array:
        leaf = jnp.asarray(leaf, like.dtype)
        shape = (1,) * (like.ndim - leaf.ndim) + leaf.shape
        good = len(shape) == like.ndim and all(
            have in (1, want) for have, want in zip(shape, like.shape, strict=True)
        )
        check_condition(
            good,
            f"`{name}{jax.tree_util.keystr(path)}` must broadcast to the shape "
            f"{like.shape} of the tangent, got {leaf.shape}.",
        )
        return leaf.reshape(shape)

    return jax.tree_util.tree_map_with_path(fit, tree, tangent)


def root_mean_square(leaf: Array) -> Float[Array, ""]:
    """Of all entries, without overflow, with derivative 0 at zero."""
    return safe_norm(leaf.ravel()) / leaf.size**0.5
