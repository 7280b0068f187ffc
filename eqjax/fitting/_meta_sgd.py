"""Meta-SGD: a few gradient steps with learned rates, differentiable as a whole."""

from __future__ import annotations

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from eqjax._core._checks import check_choice, check_condition, check_positive
from eqjax.fitting._update import (
    Fit,
    Loss,
    Retract,
    ZeroTangent,
    check_batches,
    like_tangent,
    moves,
    root_mean_square,
    tangent_gradient,
)

# A leaf moves by at most this many of its units a step.
_LARGEST_STEP = 3.0


def meta_sgd(
    loss: Loss,
    params: PyTree[Array],
    rates: PyTree[Array],
    latents: PyTree[Array],
    batches: PyTree[Array] | None,
    *,
    num_steps: int = 3,
    normalize: Literal["first_step"] | None = "first_step",
    scales: PyTree | None = None,
    first_order: bool = False,
    remat: bool = False,
    retract: Retract | None = None,
    zero_tangent: ZeroTangent | None = None,
) -> Fit:
    """Fits the latents of ONE signal by a few steps whose rates are learned.

    z' = retract(z, -exp(rates) G). With `normalize=None`, G is the gradient, as
    published. By default it is measured in units sigma (`scales`) of the tangent, and
    of its own size at the first step, leaf by leaf:

        G_t = sigma u_t / rms(u_0),   u_t = sigma grad_t,

    which is sigma grad_t / rms(grad_0) where sigma is one number. A rate is then the
    first step in units, whatever the scale of loss and signal and the number of
    coordinates, and steps still shrink as the gradient does. A leaf whose step exceeds
    3 units (root mean square) is shortened to that.

    For training, differentiate the loss at the fitted latents with respect to params,
    rates and initial latents, with one optimizer for the params and another one for
    the rates. rms(u_0) and the shortening count as constants there. Steps along
    left-trivialized tangents commute with the group, so the fit of a moved signal is
    the moved fit.

    Args:
        loss: (params, latents, batch) -> scalar, for one signal.
        params: Parameters of the decoder.
        rates: Logarithms of the rates, see `init_rates`: the structure of a tangent,
            every leaf broadcastable to that of the tangent, e.g. (channels,).
        latents: Where the fit starts.
        batches: One batch per step along the leading axis of every leaf; None for a
            loss that needs none, which is called with None.
        num_steps: Number of steps; may differ between training and use.
        normalize: "first_step", or None for plain gradients.
        scales: Units sigma, positive, of the structure of `rates`: e.g. 1 for contexts,
            a tenth of the latents' spacing for positions, 0.1 for angles (rad) and log
            windows. Default: 1. Only with "first_step".
        first_order: Leave out derivatives of gradients: less work and memory for a
            biased outer gradient.
        remat: Recompute each step in the backward pass instead of storing it.
        retract: (latents, tangent) -> latents; default: addition.
        zero_tangent: latents -> tangent of zeros; given together with `retract`.

    Returns:
        The fitted latents and the loss before every step.

    Raises:
        ValueError: If `batches` has another length than `num_steps`, `rates` or
            `scales` do not fit the tangent, `scales` come without normalization, or
            only one of `retract` and `zero_tangent` is given.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fitting
        >>> loss = lambda params, z, target: jnp.sum((params * z - target) ** 2)
        >>> fit = fitting.meta_sgd(loss, jnp.asarray(2.0), fitting.init_rates(1.0),
        ...     jnp.zeros(1), jnp.full((3, 1), 0.5))
        >>> round(fit.latents.item(), 3)  # 0.1, then less as the gradient shrinks
        0.196

    References:
        Li, Zhou, Chen, Li, "Meta-SGD: learning to learn quickly for few-shot learning"
        (2017), equation 2; Wessels, Knigge, Valperga et al., "Grounding continuous
        representations in geometry: equivariant neural fields" (2025), section 3.
    """
    check_choice("normalize", normalize, ("first_step", None))
    check_condition(
        normalize is not None or scales is None,
        "`scales` are the units of normalized steps, got some with `normalize=None`. "
        "Leave them out, or add their logarithms to `rates`.",
    )
    retract, zero_tangent = moves(retract, zero_tangent)
    check_batches(batches, num_steps)
    zero = zero_tangent(latents)
    factors = jax.tree.map(jnp.exp, like_tangent("rates", rates, zero))
    if scales is None:
        scales = jax.tree.map(lambda leaf: 1.0, zero)
    scales = like_tangent("scales", scales, zero)

    def change(first: Bool[Array, ""], gradient: Any, sizes: Any) -> tuple[Any, Any]:
        """The step, and the sizes of the first gradient."""
        if normalize is None:
            return jax.tree.map(lambda f, g: -f * g, factors, gradient), sizes
        gradient = jax.tree.map(jnp.multiply, scales, gradient)
        sizes = jax.tree.map(
            lambda g, size: jax.lax.stop_gradient(
                jnp.where(first, root_mean_square(g), size)
            ),
            gradient,
            sizes,
        )
        step = jax.tree.map(_normalized, factors, gradient, sizes)
        return jax.tree.map(jnp.multiply, scales, step), sizes

    def step(carry: tuple, batch: Any) -> tuple:
        latents, sizes, first = carry
        value, gradient = tangent_gradient(
            loss, params, latents, batch, retract, zero_tangent, wrt_params=False
        )
        if first_order:
            gradient = jax.lax.stop_gradient(gradient)
        tangent, sizes = change(first, gradient, sizes)
        return (retract(latents, tangent), sizes, jnp.zeros_like(first)), value

    sizes = jax.tree.map(lambda leaf: jnp.ones((), leaf.dtype), zero)
    start = (latents, sizes, jnp.ones((), bool))
    body = jax.checkpoint(step) if remat else step
    (latents, _, _), losses = jax.lax.scan(body, start, batches, length=num_steps)
    return Fit(latents, losses)


def init_rates(scales: PyTree, *, rate: float = 0.1) -> PyTree[Array]:
    """Equal logarithmic rates for `meta_sgd`, one for every number of `scales`.

    The shapes of `scales` so say which coordinates share a rate: (channels,) gives
    every channel its own, () gives one to a leaf. Coordinates that a group mixes, such
    as those of a position in space, must share; components in the frame of the pose
    (left-trivialized tangents) need not.

    Args:
        scales: Units of the tangent, as `meta_sgd` takes them.
        rate: The rate, positive: the first step in units.

    Returns:
        A pytree of the structure and shapes of `scales`, of floating-point numbers.

    Raises:
        ValueError: If `rate` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fitting
        >>> scales = {"context": jnp.ones(2), "pose": 0.05}
        >>> jax.tree.map(lambda r: jnp.exp(r).round(2).item(),
        ...              fitting.init_rates(scales, rate=0.5)["pose"])
        0.5
    """
    check_positive("rate", rate)

    def equal(leaf: Any) -> Array:
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            dtype = jnp.result_type(float)  # units may be integers, their rates not
        # Not weakly typed, or a step that updates them compiles twice.
        return jnp.full(jnp.shape(leaf), math.log(rate), dtype)

    return jax.tree.map(equal, scales)


def _normalized(factor: Array, gradient: Array, size: Array) -> Array:
    """The step of one leaf in its units, shortened to the largest one."""
    nonzero = size != 0  # NaN stays NaN
    step = -factor * jnp.where(nonzero, gradient / jnp.where(nonzero, size, 1), 0)
    length = jax.lax.stop_gradient(root_mean_square(step))
    return jnp.where(length > _LARGEST_STEP, _LARGEST_STEP / length, 1.0) * step
