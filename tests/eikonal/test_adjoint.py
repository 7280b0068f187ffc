"""Laws of the derivatives of the grid solver."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal import GridEikonal
from eqjax.eikonal._adjoint import Scheme, solve_tau, sweeping
from tests.eikonal.grid_cases import (
    BETWEEN,
    GRADIENT,
    NODE,
    SHAPE,
    SOLVER,
    SOLVERS,
    SPACING,
    jitted,
    linear_model,
    linear_times,
    smooth_model,
    unit_solver,
)

RANDOM = np.random.default_rng(0)
WEIGHTS, DIRECTION = (jnp.asarray(RANDOM.normal(size=SHAPE)) for _ in range(2))
MOVE = jnp.asarray([0.3, -0.7])


NO_WALLS = jnp.zeros(SHAPE, bool)


def misfit(solver, velocity, source, mask):
    times = solver.solve(velocity, source, mask=mask).times
    return jnp.sum(jnp.where(jnp.isfinite(times), WEIGHTS * times, 0))


@functools.cache
def derivatives(solver):
    """jit of: gradient by velocity and source, and the forward derivative."""

    def both(velocity, source, mask):
        value = functools.partial(misfit, solver, mask=mask)
        gradient = jax.grad(value, argnums=(0, 1))(velocity, source)
        _, slope = jax.jvp(value, (velocity, source), (DIRECTION, MOVE))
        return gradient, slope

    return jax.jit(both)


def central_difference(solver, velocity, source, by_velocity, by_source):
    """Derivative of the misfit in a direction; good to about 1e-9 here."""
    step = 1e-6
    ends = [
        jnp.vdot(
            WEIGHTS,
            jitted(solver)(
                velocity + sign * step * by_velocity, source + sign * step * by_source
            ).times,
        )
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("order", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_gradients_match_finite_differences(order):
    solver, velocity = SOLVERS[order], smooth_model(SOLVER)
    for source in map(jnp.asarray, (BETWEEN, NODE, [0.233, 0.321])):
        (by_velocity, by_source), slope = derivatives(solver)(
            velocity, source, NO_WALLS
        )
        # 1e-6 is the project's bar.
        np.testing.assert_allclose(
            jnp.vdot(by_velocity, DIRECTION),
            central_difference(solver, velocity, source, DIRECTION, 0 * MOVE),
            rtol=1e-6,
        )
        np.testing.assert_allclose(
            slope,
            jnp.vdot(by_velocity, DIRECTION) + jnp.vdot(by_source, MOVE),
            rtol=1e-10,
        )
        if not np.array_equal(source, NODE):
            # On a node, another set of nodes starts the solution on either side.
            np.testing.assert_allclose(
                jnp.vdot(by_source, MOVE),
                central_difference(solver, velocity, source, 0 * DIRECTION, MOVE),
                rtol=1e-6,
            )


@pytest.mark.parametrize("order", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_implicit_derivatives_equal_those_through_the_sweeps(order):
    solver = GridEikonal((5, 6), SPACING, order=order, tolerance=0.0, max_rounds=30)
    velocity, source = smooth_model(solver), jnp.asarray([0.12, 0.17])
    scheme = Scheme(solver.spacing, order, solver.max_rounds, solver.tolerance)
    absent = jnp.zeros(solver.shape, bool)

    def factors(velocity):
        return solver._factors(velocity, source, absent)

    def implicit(velocity):
        return solve_tau(scheme, factors(velocity))[0]

    def through_sweeps(velocity):
        data = factors(velocity)
        run = sweeping(scheme, data)
        return jax.lax.fori_loop(0, 30, lambda i, tau: run(tau, i % 2), data.fixed_tau)

    # Forward mode for the plain sweeps: reverse mode would make NaN of the infinite
    # values that they leave aside.
    np.testing.assert_allclose(
        jax.jit(jax.jacrev(implicit))(velocity),
        jax.jit(jax.jacfwd(through_sweeps))(velocity),
        rtol=0,
        atol=1e-8,
    )


@pytest.mark.slow
def test_second_derivatives_match_finite_differences():
    velocity, shape = smooth_model(SOLVER), smooth_model(SOLVER, seed=3)

    def square(amplitude):
        model = velocity * (1 + amplitude * shape)
        return jnp.sum(SOLVER.solve(model, BETWEEN).times ** 2)

    second = jax.jit(jax.grad(jax.grad(square)))(0.0)
    value, step = jax.jit(square), 1e-4
    difference = value(step) + value(-step) - 2 * value(0.0)
    # Rounding, 1e-16 / step^2, beside an error of step^2.
    np.testing.assert_allclose(second, difference / step**2, rtol=1e-5)


def test_batched_gradient_equals_loop():
    models = jnp.stack([smooth_model(SOLVER, seed) for seed in range(2)])
    sources = jnp.asarray([BETWEEN, [0.31, 0.25]])
    gradient = jax.grad(functools.partial(misfit, SOLVER), argnums=(0, 1))
    batch = jax.jit(jax.vmap(gradient, (0, 0, None)))(models, sources, NO_WALLS)
    for i in range(2):
        alone, _ = derivatives(SOLVER)(models[i], sources[i], NO_WALLS)
        # The batch goes on until its slowest member is done.
        np.testing.assert_allclose(batch[0][i], alone[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(batch[1][i], alone[1], rtol=1e-10)


def test_gradients_stay_finite_beside_walls():
    mask = np.zeros(SHAPE, bool)
    mask[3:8, [4, 9]] = mask[[3, 7], 4:10] = True
    (by_velocity, by_source), slope = derivatives(SOLVER)(
        smooth_model(SOLVER), jnp.asarray([-0.04, 0.31]), jnp.asarray(mask)
    )
    for derivative in (by_velocity, by_source, slope):
        assert np.all(np.isfinite(derivative))
    # What is absent, or behind closed walls, has no influence.
    np.testing.assert_array_equal(by_velocity[mask], 0)
    np.testing.assert_array_equal(by_velocity[4:7, 5:9], 0)
    np.testing.assert_allclose(
        slope, jnp.vdot(by_velocity, DIRECTION) + jnp.vdot(by_source, MOVE), rtol=1e-10
    )


@pytest.mark.slow
def test_source_gradient_is_the_slowness_vector_of_the_ray():
    solver, source = unit_solver(71), np.array([0.3123, 0.4567])
    velocity, receiver = linear_model(solver), jnp.asarray([0.8, 0.7])

    def times(source):
        solution = solver.solve(velocity, source)
        return solver.times_at(solution, source, receiver)

    gradient = jax.jit(jax.grad(times))(jnp.asarray(source))
    step = 1e-6
    exact = [
        (
            linear_times(source + step * unit, np.asarray(receiver))
            - linear_times(source - step * unit, np.asarray(receiver))
        )
        / (2 * step)
        for unit in np.eye(2)
    ]
    # The discretization error of the derivative, some 10 times that of the times.
    np.testing.assert_allclose(gradient, exact, rtol=2e-3)
    slowness = 1 / (1 + GRADIENT * source[0])
    np.testing.assert_allclose(np.linalg.norm(gradient), slowness, rtol=2e-3)
