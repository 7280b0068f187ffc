"""Tomography: unknowns of travel times by regularized least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from eqjax._core._checks import (
    check_condition,
    check_floating,
    check_positive,
    check_same_dtype,
    check_shape,
    check_size,
    is_concrete,
)
from eqjax.eikonal._penalty import Penalty, Prior, half_square
from eqjax.fitting._gauss_newton import gauss_newton
from eqjax.fitting._normal_equations import NormalEquations

Times = Callable[[Any, Int[Array, ""]], Float[Array, " receivers"]]


class Inversion(NamedTuple):
    """Unknowns that explain travel times.

    Attributes:
        unknowns: The unknowns of least cost.
        times: The times that they predict.
        misfits: Mean square of (time - datum) sqrt(weight) before the first step and
            after every step, (num_steps + 1,); 1 where errors are explained, if
            weights are inverse variances. Once the inversion has ended, the last one.
        costs: What is minimized, at the same points; it never rises.
        damping: Damping that the next step would use.
        num_accepted: Number of steps that lowered the cost.
        result: 0 converged: the last step lowered the cost by no more than `tolerance`
            times the cost, or none was expected to; 1 `num_steps` were not enough; 2 no
            damping lowered the cost; 3 times or their derivatives were not finite, e.g.
            where no front arrives: give such data no weight.
    """

    unknowns: PyTree[Array]
    times: Float[Array, "sources receivers"]
    misfits: Float[Array, " points"]
    costs: Float[Array, " points"]
    damping: Float[Array, ""]
    num_accepted: Int[Array, ""]
    result: Int[Array, ""]


class Posterior(NamedTuple):
    """Uncertainty of unknowns, by linearized times and Gaussian errors.

    Attributes:
        covariance: Of all unknowns, in the order of `jax.flatten_util.ravel_pytree`.
        deviation: Standard deviations, as the unknowns.
        resolution: Diagonal of the resolution matrix, as the unknowns: 1 where data
            alone determine the value, 0 where the prior does. Its sum is the number of
            unknowns that the data resolve.
    """

    covariance: Float[Array, "unknowns unknowns"]
    deviation: PyTree[Array]
    resolution: PyTree[Array]


class _State(NamedTuple):
    unknowns: Any
    times: Array
    misfits: Array
    costs: Array
    damping: Array
    num_accepted: Array
    result: Array
    step: Array


def invert(
    times: Times,
    data: Float[Array, "sources receivers"],
    weights: Float[Array, "sources receivers"],
    unknowns: PyTree[Array],
    prior: Prior | None = None,
    *,
    prior_norm: Literal["l2", "l1"] = "l2",
    prior_scale: float = 0.01,
    robust: Literal["l1", "huber"] | None = None,
    robust_scale: float = 1.0,
    num_steps: int = 10,
    damping: float = 0.01,
    tolerance: float = 1e-3,
    solver: Literal["auto", "dense", "cg"] = "auto",
    chunk_size: int = 32,
) -> Inversion:
    """Finds what explains travel times, with a prior, by damped Gauss-Newton.

    Minimizes

        sum_ij w_ij (T_ij(u) - d_ij)^2 / 2 + sum |p(u)|^2 / 2

    over unknowns u of any kind: `times` says what they are. Log v at the nodes of a
    grid keeps v positive; values on a coarse grid, a basis, or latents of a field make
    fewer unknowns; positions of sources may be among them.

    With `prior_norm="l1"`, the second term is sum_i (sqrt(|p_i|^2 + delta^2) - delta),
    where p_i are the vectors along the last axis of the prior's leaves: for gradients
    of log v, its total variation, which lets v jump. Before every step it is replaced
    by the square with weights 1 / sqrt(|p_i|^2 + delta^2), which touches it from above.

    Steps are those of `fitting.gauss_newton`: all unknowns at once if there are few,
    else conjugate gradients with products by forward and backward derivatives. In
    either case a step costs one backward sweep per datum. Data of wrong units show as
    misfits that do not fall; start from the velocity that fits best as a constant.

    Args:
        times: (unknowns, i) -> (receivers,), times of the i-th source.
        data: Measured times.
        weights: w, at least 0: inverse variances of the data, or 0 where there is no
            datum, whatever is in `data` there.
        unknowns: Where to start.
        prior: u -> pytree of residuals that should be small, in units of the
            deviations that are expected of them, e.g. `roughness(u, h) / 0.2`.
        prior_norm: "l2" or "l1".
        prior_scale: delta, in units of the prior's residuals.
        robust: "l1" or "huber" norm of the residuals of the data.
        robust_scale: Where these turn from squares to moduli, in units of
            sqrt(weight) (T - d).
        num_steps: Largest number of steps.
        damping: Of the first step, relative to the diagonal of the normal equations.
        tolerance: Relative decrease of the cost at which to stop.
        solver: "dense", "cg", or the first for up to 2,000 unknowns.
        chunk_size: Sources at a time.

    Returns:
        The inversion. A function of arrays throughout, so `jax.jit` may hold it.

    Raises:
        ValueError: If shapes or dtypes do not match, or an option is unknown or out
            of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> solver = eikonal.GridEikonal(shape=(7, 7), spacing=(0.1, 0.1))
        >>> sources = jnp.array([[0.0, 0.0], [0.0, 0.6]])
        >>> def times(log_v, i):
        ...     v = jnp.full((7, 7), jnp.exp(log_v))
        ...     return solver.solve(v, sources[i]).times[-1, ::2]
        >>> data = jnp.stack([times(jnp.log(3.0), i) for i in range(2)])
        >>> found = eikonal.invert(times, data, jnp.ones((2, 4)), jnp.zeros(()))
        >>> round(jnp.exp(found.unknowns).item(), 3), found.result.item()
        (3.0, 0)

    References:
        Tarantola, "Inverse problem theory" (2005), section 3.4. Zelt, Barton,
        "Three-dimensional seismic refraction tomography" (1998). Treister, Haber, "Full
        waveform inversion guided by travel time tomography" (2017). Vogel, Oman,
        "Iterative methods for total variation denoising" (1996): lagged weights.
    """
    _check(data, weights)
    check_size("num_steps", num_steps)
    check_positive("damping", damping, zero=True)
    index = jnp.arange(data.shape[0])
    result = jax.eval_shape(times, unknowns, index[0])
    check_shape("times(unknowns, i)", result, data.shape[1:])
    check_same_dtype("data", data, result, other="times(unknowns, i)")
    roots = jnp.sqrt(weights)
    used = roots > 0
    data = jnp.where(used, data, 0)
    num_data = jnp.maximum(jnp.sum(used), 1).astype(data.dtype)
    penalty = Penalty(prior, prior_norm, prior_scale)

    def residuals(_: None, u: Any, example: Any) -> Array:
        i, datum, root = example
        return root * jnp.where(root > 0, times(u, i) - datum, 0)

    def predict(u: Any) -> tuple[Array, Array]:
        predicted = jax.lax.map(lambda i: times(u, i), index, batch_size=chunk_size)
        r = roots * jnp.where(used, predicted - data, 0)
        return predicted, jnp.sum(r**2) / num_data

    def advance(state: _State) -> _State:
        start = state.unknowns
        squares = penalty.squares_at(start)
        fit = gauss_newton(
            residuals,
            None,
            start,
            (index, data, roots),
            num_steps=1,
            damping=state.damping,
            tolerance=tolerance,
            robust=robust,
            robust_scale=robust_scale,
            prior=squares,
            solver=solver,
            chunk_size=chunk_size,
        )
        times, misfit = predict(fit.latents)
        # Squares give way to the norm that they stand for.
        before, after = (
            cost + penalty.cost(u) - half_square(squares, u)
            for cost, u in ((fit.costs[0], start), (fit.cost, fit.latents))
        )
        later = jnp.arange(num_steps + 1, dtype=jnp.int32) > state.step
        return _State(
            unknowns=fit.latents,
            times=times,
            misfits=jnp.where(later, misfit, state.misfits),
            # The first value is known from the first step on.
            costs=jnp.where(
                later, after, jnp.where(state.step == 0, before, state.costs)
            ),
            damping=fit.damping,
            num_accepted=state.num_accepted + fit.num_accepted,
            result=jnp.where(fit.result == 1, -1, fit.result).astype(jnp.int32),
            step=state.step + 1,
        )

    predicted, misfit = predict(unknowns)
    none = jnp.zeros((), jnp.int32)
    end = jax.lax.while_loop(
        lambda state: (state.result < 0) & (state.step < num_steps),
        advance,
        _State(
            unknowns=unknowns,
            times=predicted,
            misfits=jnp.full((num_steps + 1,), misfit),
            costs=jnp.full((num_steps + 1,), jnp.nan, data.dtype),
            damping=jnp.asarray(damping, data.dtype),
            num_accepted=none,
            result=none - 1,
            step=none,
        ),
    )
    return Inversion(
        unknowns=end.unknowns,
        times=end.times,
        misfits=end.misfits,
        costs=end.costs,
        damping=end.damping,
        num_accepted=end.num_accepted,
        result=jnp.where(end.result < 0, 1, end.result).astype(jnp.int32),
    )


def posterior(
    times: Times,
    weights: Float[Array, "sources receivers"],
    unknowns: PyTree[Array],
    prior: Prior | None = None,
    *,
    prior_norm: Literal["l2", "l1"] = "l2",
    prior_scale: float = 0.01,
    chunk_size: int = 32,
) -> Posterior:
    """Covariance and resolution of the unknowns that `invert` found.

    With times linearized at u, J = dT/du and P = dp/du,

        C = (J^T W J + P^T P)^-1,   R = C J^T W J,

    where P carries the weights at u if `prior_norm` is "l1". All n unknowns are
    treated at once, with memory n^2 and time n^3: for a few thousand at most.

    Args:
        times: As for `invert`.
        weights: Inverse variances of the data, 0 where there is no datum.
        unknowns: u.
        prior: As for `invert`.
        prior_norm: As for `invert`.
        prior_scale: As for `invert`.
        chunk_size: Sources at a time.

    Returns:
        The posterior; NaN if data and prior leave anything undetermined.

    Raises:
        ValueError: If a shape or dtype is wrong, or an option is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> times = lambda slowness, i: slowness * jnp.array([1.0, 2.0])
        >>> found = eikonal.posterior(times, jnp.ones((1, 2)), jnp.array(0.3),
        ...     prior=lambda slowness: slowness * jnp.sqrt(5.0))
        >>> round(found.covariance.item(), 4), round(found.resolution.item(), 4)
        (0.1, 0.5)

    References:
        Tarantola, "Inverse problem theory" (2005), sections 3.2.3 and 3.3.
    """
    check_floating("weights", weights)
    check_shape("weights", weights, (None, None))
    roots = jnp.sqrt(weights)
    zero, unravel = ravel_pytree(unknowns)

    def residuals(_: None, w: Array, example: Any) -> Array:
        i, root = example
        u = unravel(zero + w)
        return root * jnp.where(root > 0, times(u, i), 0)

    data = NormalEquations(
        residuals=residuals,
        prior=None,
        batch=(jnp.arange(weights.shape[0]), roots),
        zero=jnp.zeros_like(zero),
        robust=None,
        robust_scale=1.0,
        reverse=weights.shape[1] < zero.size / 8,
        dense=True,
        chunk_size=chunk_size,
    )
    information = data.linearize(None).matrix
    assert information is not None  # dense
    total = information
    squares = Penalty(prior, prior_norm, prior_scale).squares_at(unknowns)
    if squares is not None:
        jacobian = jax.jacfwd(lambda u: ravel_pytree(squares(unravel(u)))[0])(zero)
        total = total + jnp.matmul(jacobian.T, jacobian, precision="highest")
    factor = jax.scipy.linalg.cho_factor(total)
    covariance = jax.scipy.linalg.cho_solve(
        factor, jnp.eye(zero.size, dtype=zero.dtype)
    )
    resolution = jnp.sum(covariance * information, axis=1)
    return Posterior(
        covariance=covariance,
        deviation=unravel(jnp.sqrt(jnp.diagonal(covariance))),
        resolution=unravel(resolution),
    )


def _check(data: Array, weights: Array) -> None:
    """Checks that there is a weight for every datum, and that it can be one."""
    check_floating("data", data)
    check_shape("data", data, (None, None))
    check_condition(
        data.size > 0,
        f"`data` must hold at least one datum, got shape {data.shape}.",
    )
    check_shape("weights", weights, data.shape)
    check_same_dtype("weights", weights, data, other="data")
    if is_concrete(weights):
        check_condition(
            bool(jnp.all(jnp.isfinite(weights) & (weights >= 0))),
            "`weights` must be finite and at least 0. Give data without errors a small "
            "variance, and missing ones the weight 0.",
        )
