"""Inversions of linear times with known answers, and of travel times."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal import GridEikonal
from eqjax.eikonal._penalty import roughness
from eqjax.eikonal._tomography import invert, posterior
from tests.eikonal import grid_cases as cases

RANDOM = np.random.default_rng(0)
# Lengths of 5 rays from each of 3 sources in 7 cells
LENGTHS = jnp.asarray(RANDOM.uniform(0, 1, (3, 5, 7)))
TRUE = jnp.asarray(RANDOM.uniform(0.5, 1.5, 7))
WEIGHTS = jnp.asarray(RANDOM.uniform(1, 4, (3, 5)))
NOISE = jnp.asarray(0.1 * RANDOM.normal(size=(3, 5)))
DATA = jnp.tensordot(LENGTHS, TRUE, axes=1) + NOISE


def straight_times(slowness, i):
    return LENGTHS[i] @ slowness


def steps_of(u):
    return 2.0 * jnp.diff(u)[:, None]


@functools.cache
def solve(**options):
    """Of linear times: compiled once for each set of options."""

    @jax.jit
    def run(data, weights):
        return invert(
            straight_times,
            data,
            weights,
            jnp.ones(7),
            steps_of,
            damping=0.0,
            tolerance=1e-12,
            **options,
        )

    return run


def normal_equations(weights=WEIGHTS, rows=None):
    """J, J^T W J and P^T P as matrices."""
    j = np.asarray(LENGTHS).reshape(-1, 7)
    w = np.asarray(weights).ravel()
    p = 2.0 * np.diff(np.eye(7), axis=0) if rows is None else rows
    return j, (j.T * w) @ j, p.T @ p


def test_linear_times_lead_to_the_normal_equations_in_one_step():
    found = solve()(DATA, WEIGHTS)
    j, data, prior = normal_equations()
    rhs = (j.T * np.asarray(WEIGHTS).ravel()) @ np.asarray(DATA).ravel()
    want = np.linalg.solve(data + prior, rhs)
    np.testing.assert_allclose(found.unknowns, want, rtol=1e-9)
    assert found.result == 0
    np.testing.assert_allclose(found.misfits[2:], found.misfits[1], rtol=1e-9)
    residual = np.asarray(found.times) - np.asarray(DATA)
    misfit = np.mean(np.asarray(WEIGHTS) * residual**2)
    np.testing.assert_allclose(found.misfits[-1], misfit, rtol=1e-12)
    cost = 15 * misfit / 2 + np.sum(np.asarray(steps_of(found.unknowns)) ** 2) / 2
    np.testing.assert_allclose(found.costs[-1], cost, rtol=1e-12)


def test_missing_data_may_hold_anything():
    weights = WEIGHTS.at[1, 2].set(0.0).at[2, 4].set(0.0)
    finds = [
        solve()(DATA.at[1, 2].set(bad).at[2, 4].set(-bad), weights)
        for bad in (0.0, jnp.nan, jnp.inf)
    ]
    for found in finds:
        assert found.result == 0
        np.testing.assert_array_equal(found.unknowns, finds[0].unknowns)
        np.testing.assert_array_equal(found.misfits, finds[0].misfits)


def test_total_variation_is_minimized():
    """The gradient of the cost vanishes, and costs never rise on the way."""
    found = solve(prior_norm="l1", prior_scale=0.05, num_steps=60)(DATA, WEIGHTS)
    assert np.all(np.diff(found.costs) <= 1e-12 * np.abs(found.costs[:-1]))

    def cost(u):
        r = jnp.tensordot(LENGTHS, u, axes=1) - DATA
        moduli = jnp.sqrt(steps_of(u)[:, 0] ** 2 + 0.05**2) - 0.05
        return jnp.sum(WEIGHTS * r**2) / 2 + jnp.sum(moduli)

    np.testing.assert_allclose(found.costs[-1], cost(found.unknowns), rtol=1e-12)
    np.testing.assert_allclose(found.costs[0], cost(jnp.ones(7)), rtol=1e-12)
    # Relative to terms that are about 10; the iteration stops at 1e-12 of the cost.
    np.testing.assert_allclose(jax.grad(cost)(found.unknowns), 0, atol=1e-4)


def test_posterior_of_linear_times_is_the_inverse_of_their_matrix():
    found = posterior(straight_times, WEIGHTS, TRUE, steps_of)
    _, data, prior = normal_equations()
    want = np.linalg.inv(data + prior)
    np.testing.assert_allclose(found.covariance, want, rtol=1e-9)
    np.testing.assert_allclose(found.deviation**2, np.diag(want), rtol=1e-9)
    np.testing.assert_allclose(found.resolution, np.diag(want @ data), rtol=1e-9)
    assert np.all((found.resolution > 0) & (found.resolution < 1))
    # Data alone resolve everything, or leave something undetermined.
    alone = posterior(straight_times, WEIGHTS, TRUE)
    np.testing.assert_allclose(alone.resolution, 1, rtol=1e-9)
    few = posterior(straight_times, WEIGHTS.at[1:].set(0.0), TRUE)
    assert np.any(np.isnan(few.deviation)) or np.max(few.deviation) > 1e4
    total = posterior(
        straight_times, WEIGHTS, TRUE, steps_of, prior_norm="l1", prior_scale=0.1
    )
    rows = 2.0 * np.diff(np.eye(7), axis=0)
    size = np.sqrt((rows @ np.asarray(TRUE)) ** 2 + 0.01)
    _, data, prior = normal_equations(rows=rows / np.sqrt(size)[:, None])
    np.testing.assert_allclose(total.covariance, np.linalg.inv(data + prior), rtol=1e-9)


SOURCES = jnp.array([[0.0, 0.1], [0.4, 1.0], [0.8, 0.3], [0.1, 0.7]])
RECEIVERS = jnp.array(
    [[0.8, 0.9], [0.05, 0.35], [0.6, 0.02], [0.77, 0.55], [0.3, 0.98]]
)
# 0.06 off
MOVED = SOURCES[:2] + jnp.array([[0.06, 0.03], [0.02, -0.07]])


def straight_from(unknowns, i):
    """Times of a homogeneous medium, two of whose sources are unknown."""
    source = jnp.concatenate([unknowns["sources"], SOURCES[2:]])[i]
    lengths = jnp.sqrt(jnp.sum((RECEIVERS - source[None]) ** 2, axis=1))
    return lengths / jnp.exp(unknowns["log_v"])


def test_sources_may_be_unknown_and_robust_norms_leave_wrong_data():
    true = {"log_v": jnp.log(3.0), "sources": SOURCES[:2]}
    data = jax.vmap(straight_from, (None, 0))(true, jnp.arange(4))
    data = data.at[2, 3].add(0.1)
    start = {"log_v": jnp.zeros(()), "sources": MOVED}
    run = jax.jit(
        lambda d: invert(
            straight_from,
            d,
            jnp.full(data.shape, 1e4),
            start,
            robust="l1",
            robust_scale=1e-3,
            num_steps=40,
            tolerance=1e-9,
        )
    )
    found = run(data)
    assert np.all(np.diff(found.costs) <= 0)
    # A wrong datum pulls as hard as the scale, against 20 of slopes up to 1.
    np.testing.assert_allclose(found.unknowns["sources"], SOURCES[:2], atol=1e-3)
    np.testing.assert_allclose(jnp.exp(found.unknowns["log_v"]), 3, rtol=1e-3)


@pytest.mark.slow  # compiles derivatives of the solver
def test_sources_and_velocities_may_be_unknown_together():
    solver = GridEikonal((9, 11), (0.1, 0.1), tolerance=1e-9)

    def times(unknowns, i):
        source = jnp.concatenate([unknowns["sources"], SOURCES[2:]])[i]
        solution = solver.solve(jnp.exp(unknowns["log_v"]), source)
        return jax.vmap(lambda x: solver.times_at(solution, source, x))(RECEIVERS)

    model = 0.3 * jnp.log(cases.smooth_model(solver, roughness=0.3))
    true = {"log_v": model, "sources": SOURCES[:2]}
    data = jax.vmap(times, (None, 0))(true, jnp.arange(4))
    found = invert(
        times,
        data,
        jnp.full(data.shape, 1e6),
        {"log_v": jnp.zeros(solver.shape), "sources": MOVED},
        lambda unknowns: roughness(unknowns["log_v"], solver.spacing),
        chunk_size=4,
    )
    assert found.result in (0, 1)
    assert np.all(np.diff(found.costs) <= 0)
    assert found.misfits[-1] < 1e-4 * found.misfits[0]
    before, after = (
        np.linalg.norm(np.asarray(sources - SOURCES[:2]))
        for sources in (MOVED, found.unknowns["sources"])
    )
    # 20 data for 103 unknowns: velocity takes up part of what sources explain.
    assert after < 0.5 * before


def test_no_fronts_are_reported():
    def times(u, i):
        return jnp.where(u > 0, jnp.inf, 1.0) * jnp.ones(2)

    found = invert(times, jnp.ones((1, 2)), jnp.ones((1, 2)), jnp.ones(()))
    assert found.result == 3
    np.testing.assert_array_equal(found.unknowns, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": jnp.ones(3)}, "`data`"),
        ({"data": jnp.ones((3, 0))}, "`data`"),
        ({"data": jnp.ones((3, 4)), "weights": jnp.ones((3, 4))}, "times"),
        ({"weights": jnp.ones((3, 4))}, "`weights`"),
        ({"weights": -WEIGHTS}, "`weights`"),
        ({"weights": WEIGHTS.astype(jnp.float32)}, "`weights`"),
        ({"prior_norm": "l3"}, "`prior_norm`"),
        ({"prior_scale": 0.0}, "`prior_scale`"),
        ({"num_steps": 0}, "`num_steps`"),
        ({"damping": -1.0}, "`damping`"),
        ({"robust": "l3"}, "`robust`"),
    ],
)
@pytest.mark.usefixtures("user_errors")
def test_bad_input_is_refused(change, message):
    arguments = {"data": DATA, "weights": WEIGHTS, "unknowns": TRUE, "prior": steps_of}
    with pytest.raises(ValueError, match=message):
        invert(straight_times, **(arguments | change))
