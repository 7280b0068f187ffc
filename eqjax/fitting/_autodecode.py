"""Autodecoding: latents of signals as parameters of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from eqjax.fitting._update import (
    Fit,
    Loss,
    Retract,
    ZeroTangent,
    check_batches,
    moves,
    tangent_gradient,
)


class JointState(NamedTuple):
    """State of joint training; every leaf is an array.

    Attributes:
        params: Shared parameters.
        table: Latents of all signals; the leading axis of every leaf is the signal.
        opt_params: Optimizer state of the parameters.
        opt_table: Optimizer state of every signal's latents, one row per signal.
        step: Number of steps taken.
    """

    params: PyTree[Array]
    table: PyTree[Array]
    opt_params: PyTree[Array]
    opt_table: PyTree[Array]
    step: Int[Array, ""]


class JointStep(NamedTuple):
    """A pair of pure functions for joint training, like an optax transformation.

    Attributes:
        init: (params, table) -> state.
        update: (state, signals, batch) -> (state, losses). `signals` (b,) are distinct
            rows of the table, every leaf of `batch` has the leading axis b.
    """

    init: Callable[[Any, Any], JointState]
    update: Callable[[JointState, Any, Any], tuple[JointState, Array]]


def autodecode(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    params: PyTree[Array],
    latents: PyTree[Array],
    batches: PyTree[Array] | None,
    *,
    num_steps: int,
    retract: Retract | None = None,
    zero_tangent: ZeroTangent | None = None,
) -> Fit:
    """Fits the latents of ONE signal with the decoder frozen; vmap over signals.

    Args:
        loss: (params, latents, batch) -> scalar, for one signal.
        optimizer: An optax transformation; it sees tangents of the latents. One that
            reads parameters, such as weight decay, reads the zeros of the tangent and
            does nothing: decay belongs into the loss.
        params: Parameters of the decoder; they stay as they are.
        latents: Where the fit starts.
        batches: One batch per step along the leading axis of every leaf, e.g. keys from
            which the loss draws coordinates; None for a loss that needs none, which is
            called with None.
        num_steps: Number of steps.
        retract: (latents, tangent) -> latents; default: addition.
        zero_tangent: latents -> tangent of zeros; given together with `retract`.

    Returns:
        The fitted latents and the loss before every step.

    Raises:
        ValueError: If `batches` has another length than `num_steps`, or only one of
            `retract` and `zero_tangent` is given.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from eqjax import fitting
        >>> loss = lambda params, z, target: jnp.sum((params * z - target) ** 2)
        >>> fit = fitting.autodecode(loss, optax.sgd(0.1), jnp.asarray(2.0),
        ...     jnp.zeros(1), jnp.full((50, 1), 3.0), num_steps=50)
        >>> fit.latents.round(4).tolist()
        [1.5]
    """
    retract, zero_tangent = moves(retract, zero_tangent)
    check_batches(batches, num_steps)

    def step(carry: tuple, batch: Any) -> tuple:
        latents, state = carry
        value, gradient = tangent_gradient(
            loss, params, latents, batch, retract, zero_tangent, wrt_params=False
        )
        update, state = optimizer.update(gradient, state, zero_tangent(latents))
        return (retract(latents, update), state), value

    start = (latents, optimizer.init(zero_tangent(latents)))
    (latents, _), losses = jax.lax.scan(step, start, batches, length=num_steps)
    return Fit(latents, losses)


def autodecode_step(
    loss: Loss,
    optimizer_params: optax.GradientTransformation,
    optimizer_latents: optax.GradientTransformation,
    *,
    retract: Retract | None = None,
    zero_tangent: ZeroTangent | None = None,
) -> JointStep:
    """Joint training of shared parameters and a table with the latents of each signal.

    Every signal has an optimizer state of its own: rows of the table that a batch does
    not visit, and their moments, stay as they are to the last bit. Parameters follow
    the mean gradient over the batch; the latents of a signal follow the gradient of its
    own loss, so their learning rate does not depend on the batch size.

    Args:
        loss: (params, latents, batch) -> scalar, for one signal.
        optimizer_params: An optax transformation for the parameters.
        optimizer_latents: An optax transformation for one signal's latents; it sees
            tangents. Weight decay belongs into the loss, see `autodecode`.
        retract: (latents, tangent) -> latents of one signal; default: addition.
        zero_tangent: latents -> tangent of zeros; given together with `retract`.

    Returns:
        The functions `init` and `update`; for many steps per dispatch, `jax.lax.scan`
        over `update`.

    Raises:
        ValueError: If only one of `retract` and `zero_tangent` is given.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from eqjax import fitting
        >>> loss = lambda params, z, target: jnp.sum((params * z - target) ** 2)
        >>> step = fitting.autodecode_step(loss, optax.sgd(0.0), optax.sgd(0.25))
        >>> state = step.init(jnp.asarray(1.0), jnp.zeros((3, 1)))
        >>> state, losses = step.update(state, jnp.array([2, 0]), jnp.ones((2, 1)))
        >>> state.table.ravel().round(4).tolist()
        [0.5, 0.0, 0.5]
    """
    retract, zero_tangent = moves(retract, zero_tangent)

    def init(params: Any, table: Any) -> JointState:
        opt_table = jax.vmap(lambda z: optimizer_latents.init(zero_tangent(z)))(table)
        opt_params = optimizer_params.init(params)
        return JointState(
            params, table, opt_params, opt_table, jnp.zeros((), jnp.int32)
        )

    def update(
        state: JointState, signals: Int[Array, " batch"], batch: Any
    ) -> tuple[JointState, Float[Array, " batch"]]:
        rows, row_states = jax.tree.map(
            lambda leaf: leaf[signals], (state.table, state.opt_table)
        )

        def gradients(latents: Any, batch: Any) -> Any:
            return tangent_gradient(
                loss, state.params, latents, batch, retract, zero_tangent
            )

        losses, (grad_params, grad_rows) = jax.vmap(gradients)(rows, batch)
        grad_params = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), grad_params)
        change, opt_params = optimizer_params.update(
            grad_params, state.opt_params, state.params
        )
        params = optax.apply_updates(state.params, change)

        def move(latents: Any, row_state: Any, gradient: Any) -> tuple[Any, Any]:
            change, row_state = optimizer_latents.update(
                gradient, row_state, zero_tangent(latents)
            )
            return retract(latents, change), row_state

        moved = jax.vmap(move)(rows, row_states, grad_rows)
        table, opt_table = jax.tree.map(
            lambda whole, part: whole.at[signals].set(part),
            (state.table, state.opt_table),
            moved,
        )
        return JointState(params, table, opt_params, opt_table, state.step + 1), losses

    return JointStep(init, update)
