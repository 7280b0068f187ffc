"""Damped Gauss-Newton (Levenberg-Marquardt) on the latents of one signal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_positive,
    check_size,
)
from eqjax.fitting._normal_equations import NormalEquations, Robust
from eqjax.fitting._update import Retract, ZeroTangent, moves

Residuals = Callable[[Any, Any, Any], Float[Array, " residuals"]]
Prior = Callable[[Any], PyTree[Array]]

# Beyond that many unknowns conjugate gradients replace the matrix.
_LARGEST_DENSE = 2_000
# Dampings tried with one Jacobian: growth by 2, 4, 8, ... makes 2e8 of the first.
_NUM_TRIALS = 7
# What grows where there is no damping yet.
_LEAST_DAMPING = 1e-6


class LeastSquaresFit(NamedTuple):
    """Latents of one signal after a least-squares fit.

    Attributes:
        latents: The latents of least cost.
        cost: Their cost.
        costs: Cost before every step, (num_steps,); it never rises. Once a fit has
            ended, its last cost.
        damping: Damping that the next step would use.
        num_accepted: Number of steps that lowered the cost.
        result: 0 converged: the last step lowered the cost by no more than `tolerance`
            times the cost, or no step was expected to; 1 `num_steps` were not enough;
            2 stalled: no damping lowered the cost; 3 non-finite: cost or Jacobian at
            the start of a step, or every trial, were not finite. Latents are the last
            good ones.
    """

    latents: PyTree[Array]
    cost: Float[Array, ""]
    costs: Float[Array, " steps"]
    damping: Float[Array, ""]
    num_accepted: Int[Array, ""]
    result: Int[Array, ""]


class _State(NamedTuple):
    latents: Any
    cost: Array
    costs: Array
    damping: Array
    num_accepted: Array
    result: Array
    step: Array


class _Trial(NamedTuple):
    latents: Any
    cost: Array
    expected: Array
    first_expected: Array
    damping: Array
    growth: Array
    accepted: Array
    finite: Array
    number: Array


def gauss_newton(
    residuals: Residuals,
    params: PyTree[Array],
    latents: PyTree[Array],
    batch: PyTree[Array],
    *,
    num_steps: int = 10,
    damping: float | Float[Array, ""] = 0.1,
    tolerance: float = 1e-6,
    robust: Robust | None = None,
    robust_scale: float = 0.01,
    prior: Prior | None = None,
    jacobian: Literal["auto", "forward", "reverse"] = "auto",
    solver: Literal["auto", "dense", "cg"] = "auto",
    chunk_size: int = 256,
    retract: Retract | None = None,
    zero_tangent: ZeroTangent | None = None,
) -> LeastSquaresFit:
    """Fits the latents of ONE signal by damped Gauss-Newton; vmap over signals.

    Minimizes sum_i rho(r_i) + |prior|^2 / 2 over all residuals r of all examples, with
    rho(r) = r^2 / 2, or |r| or Huber's function smoothed on the scale delta. A step
    linearizes the residuals in the tangent space at the latents, r + J w, and solves

        (A + lambda diag(A) + mu max(diag A)) w = -J^T W r,   A = J^T W J,

    with mu = 8 eps and W = rho'(r) / r. If the cost falls, the latents move along w
    and lambda shrinks by up to 3, as far as the model foretold the gain; if not, it
    grows by 2, 4, 8, ... until the cost falls, with the Jacobian kept. The fit ends
    early when it converges; under `vmap` all signals wait for the last one.

    Rows of J are found one example at a time and summed in chunks, so J is never
    stored. Keep one batch for all steps of a fit, or the cost of two steps cannot be
    compared; for fresh coordinates, call it again with the latents and the damping it
    returned. Differentiable in forward mode only.

    Steps commute with a group if it leaves the components of the tangent alone, as
    with left-trivialized tangents; diag(A) breaks the law for components in space.

    Args:
        residuals: (params, latents, example) -> (k,), the residuals of ONE example.
        params: Parameters of the decoder; they stay as they are.
        latents: Where the fit starts.
        batch: Examples along the leading axis of every leaf.
        num_steps: Largest number of steps, i.e. of Jacobians.
        damping: lambda of the first step; 0 for undamped steps.
        tolerance: Relative decrease of the cost at which a fit has converged.
        robust: "l1" or "huber", by iteratively reweighted least squares.
        robust_scale: delta, in units of the residuals.
        prior: latents -> pytree of further residuals that no example enters, e.g.
            (z - mean) / sigma of trained latents, or the logarithm of mean^-1 z for
            poses. Always squared. The sum over examples is not divided by their
            number, so with errors of size s, pass residuals / s.
        jacobian: "reverse" takes one backward pass per residual, "forward" one forward
            pass per unknown; "auto" takes the first if k is less than an eighth of the
            number of unknowns.
        solver: "dense" Cholesky factorization, "cg" conjugate gradients with products
            by derivatives; "auto" takes the first for up to 2,000 unknowns.
        chunk_size: Examples per chunk.
        retract: (latents, tangent) -> latents; default: addition.
        zero_tangent: latents -> tangent of zeros; given together with `retract`. Leaves
            that it omits are not fitted.

    Returns:
        The fit.

    Raises:
        ValueError: If an option is unknown or out of range, the batch is empty or its
            leaves differ in length, residuals are not a vector, or only one of
            `retract` and `zero_tangent` is given.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fitting
        >>> residual = lambda params, z, x: jnp.exp(z * x) - jnp.exp(0.5 * x)
        >>> fit = fitting.gauss_newton(
        ...     residual, None, jnp.zeros(1), jnp.arange(1.0, 4.0))
        >>> fit.latents.round(4).tolist(), fit.result.item()
        ([0.5], 0)

    References:
        Nielsen, "Damping parameter in Marquardt's method" (1999), equation 2.5;
        Holland, Welsch, "Robust regression using iteratively reweighted least-squares"
        (1977).
    """
    check_size("num_steps", num_steps)
    check_size("chunk_size", chunk_size)
    check_choice("robust", robust, (None, "l1", "huber"))
    check_choice("jacobian", jacobian, ("auto", "forward", "reverse"))
    check_choice("solver", solver, ("auto", "dense", "cg"))
    check_positive("robust_scale", robust_scale)
    check_positive("tolerance", tolerance, zero=True)
    if isinstance(damping, (int, float)):
        check_positive("damping", damping, zero=True)
    retract, zero_tangent = moves(retract, zero_tangent)
    _check_batch(batch)
    zero, unravel = ravel_pytree(zero_tangent(latents))
    num_unknowns = zero.size
    check_condition(
        num_unknowns > 0,
        "`latents` must hold something to fit, got a tangent without entries.",
    )
    first = jax.tree.map(lambda leaf: leaf[0], batch)
    shape = jax.eval_shape(residuals, params, latents, first).shape
    check_condition(
        len(shape) == 1 and shape[0] > 0,
        "`residuals` must return a vector (k,) for one example of `batch`, got shape "
        f"{shape}.",
    )
    reverse = jacobian == "reverse" or (
        jacobian == "auto" and shape[0] < num_unknowns / 8
    )
    equations = NormalEquations(
        residuals=lambda z, w, x: residuals(params, retract(z, unravel(w)), x),
        prior=None
        if prior is None
        else lambda z, w: ravel_pytree(prior(retract(z, unravel(w))))[0],
        batch=batch,
        zero=zero,
        robust=robust,
        robust_scale=robust_scale,
        reverse=reverse,
        dense=solver == "dense"
        or (solver == "auto" and num_unknowns <= _LARGEST_DENSE),
        chunk_size=chunk_size,
    )

    def attempt(start: _State) -> _State:
        """One step: a Jacobian, and dampings until the cost falls."""
        linear = equations.linearize(start.latents)

        def pending(trial: _Trial) -> Bool[Array, ""]:
            hopeless = trial.first_expected <= tolerance * start.cost
            again = (trial.number < _NUM_TRIALS) & ~((trial.number > 0) & hopeless)
            return ~trial.accepted & again

        def try_damping(trial: _Trial) -> _Trial:
            w, expected = equations.solve(linear, start.latents, trial.damping)
            moved = retract(start.latents, unravel(w))
            cost = equations.cost(moved)
            accepted = cost < start.cost  # False for NaN
            gain = (start.cost - cost) / jnp.where(expected > 0, expected, 1)
            shrunk = trial.damping * jnp.clip(1 - (2 * gain - 1) ** 3, 1 / 3, 2)
            grown = jnp.maximum(trial.damping, _LEAST_DAMPING) * trial.growth
            return _Trial(
                latents=_select(accepted, moved, start.latents),
                cost=jnp.where(accepted, cost, start.cost),
                expected=expected,
                first_expected=jnp.where(
                    trial.number == 0, expected, trial.first_expected
                ),
                damping=jnp.where(accepted, shrunk, grown),
                growth=2 * trial.growth,
                accepted=accepted,
                finite=trial.finite | jnp.isfinite(cost),
                number=trial.number + 1,
            )

        nothing, no = jnp.zeros_like(start.cost), jnp.zeros((), bool)
        trial = jax.lax.while_loop(
            pending,
            try_damping,
            _Trial(
                latents=start.latents,
                cost=start.cost,
                expected=nothing,
                first_expected=nothing,
                damping=start.damping,
                growth=nothing + 2,
                accepted=no,
                finite=no,
                number=jnp.zeros((), jnp.int32),
            ),
        )
        small = tolerance * start.cost
        settled = (start.cost - trial.cost <= small) & (trial.expected <= small)
        failed = jnp.where(
            trial.first_expected <= small, 0, jnp.where(trial.finite, 2, 3)
        )
        going = jnp.where(settled, 0, -1)
        index = jnp.arange(num_steps, dtype=jnp.int32)
        return _State(
            latents=trial.latents,
            cost=trial.cost,
            costs=jnp.where(index > start.step, trial.cost, start.costs),
            damping=trial.damping,
            num_accepted=start.num_accepted + trial.accepted.astype(jnp.int32),
            result=jnp.where(trial.accepted, going, failed).astype(jnp.int32),
            step=start.step + 1,
        )

    cost = equations.cost(latents)
    running = jnp.where(jnp.isfinite(cost), -1, 3).astype(jnp.int32)
    end = jax.lax.while_loop(
        lambda state: (state.result < 0) & (state.step < num_steps),
        attempt,
        _State(
            latents=latents,
            cost=cost,
            costs=jnp.full((num_steps,), cost),
            damping=jnp.asarray(damping, zero.dtype),
            num_accepted=jnp.zeros((), jnp.int32),
            result=running,
            step=jnp.zeros((), jnp.int32),
        ),
    )
    return LeastSquaresFit(
        latents=end.latents,
        cost=end.cost,
        costs=end.costs,
        damping=end.damping,
        num_accepted=end.num_accepted,
        result=jnp.where(end.result < 0, 1, end.result).astype(jnp.int32),
    )


def _check_batch(batch: Any) -> None:
    """Checks that all leaves hold the same number of examples, at least one."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(batch)]
    lengths = {shape[0] if shape else 0 for shape in shapes}
    check_condition(
        len(lengths) == 1 and 0 not in lengths,
        "`batch` must hold the same number of examples, at least one, along the "
        f"leading axis of every leaf, got leaves of shapes {shapes}.",
    )


def _select(condition: Array, tree: Any, other: Any) -> Any:
    """Of two pytrees the first if the scalar condition holds."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), tree, other)
