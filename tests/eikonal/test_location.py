"""Locations of synthetic events, in a medium whose times are closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal import GridEikonal, GridSolution
from eqjax.eikonal._location import locate
from tests.eikonal import grid_cases as cases

SOLVER = GridEikonal((21, 23), (0.05, 0.06), (-0.1, 0.2))
LOWER = np.array(SOLVER.origin)
SIZE = (np.array(SOLVER.shape) - 1) * np.array(SOLVER.spacing)
STATIONS = LOWER + SIZE * np.array(
    [[0.1, 0.1], [0.9, 0.2], [0.15, 0.85], [0.8, 0.9], [0.5, 0.45], [0.97, 0.6]]
)
EVENTS = LOWER + SIZE * np.random.default_rng(0).uniform(0.1, 0.9, (200, 2))
NUM = len(STATIONS)
# 90 % of a Gaussian in the plane lies within this square of Mahalanobis' distance.
QUANTILE = -2 * np.log(0.1)


@functools.cache
def solutions():
    """What a solver without errors returns, for v = 1 + g x."""
    points = cases.grid_points(SOLVER)
    times = np.stack([cases.linear_times(s, points) for s in STATIONS])
    distances = np.linalg.norm(points - STATIONS[:, None, None], axis=-1)
    # No station is at a node.
    zero, good = jnp.zeros(NUM), jnp.zeros(NUM, jnp.int32)
    return GridSolution(
        jnp.asarray(times), jnp.asarray(times / distances), good, zero, good, good
    )


def exact_times(events):
    """(events, stations)"""
    return np.stack([cases.linear_times(s, events) for s in STATIONS], axis=-1)


@functools.partial(jax.jit, static_argnames="freedom")
def run(solutions, observed, deviations, *, freedom=None):
    """Compiled once for each kind of error: always for 200 events."""

    def one(observed, deviations):
        stations = jnp.asarray(STATIONS)
        return locate(
            SOLVER,
            solutions,
            stations,
            observed,
            deviations,
            degrees_of_freedom=freedom,
        )

    return jax.vmap(one)(observed, deviations)


def found(observed, deviations, freedom=None):
    """Locations of some events, filled up to 200."""
    observed = np.asarray(observed)
    deviations = np.broadcast_to(deviations, observed.shape)
    fill = ((0, 200 - len(observed)), (0, 0))
    padded = [jnp.asarray(np.pad(a, fill, mode="edge")) for a in (observed, deviations)]
    located = run(solutions(), *padded, freedom=freedom)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[: len(observed)], located)


def share_covered(location):
    offset = location.mean - EVENTS
    inverse = np.linalg.inv(location.covariance)
    return np.mean(np.einsum("ei,eij,ej->e", offset, inverse, offset) < QUANTILE)


@pytest.mark.parametrize("deviation", [0.005, 0.05])
def test_regions_of_90_percent_cover_that_share_of_events(deviation):
    """Law 14, for posteriors narrower and wider than the grid's spacing.

    By chance alone the share of 200 events deviates from 90 % by 2.1 %.
    """
    noise = deviation * np.random.default_rng(1).normal(size=(200, NUM))
    location = found(3 + exact_times(EVENTS) + noise, deviation)
    assert np.mean(location.resolved) == pytest.approx(
        1.0 * (deviation > 0.01), abs=0.3
    )
    assert 0.85 <= share_covered(location) <= 0.95
    if deviation < 0.01:  # Squares of residuals lose one degree of freedom per unknown.
        assert np.mean(location.rms**2) == pytest.approx((NUM - 3) / NUM, rel=0.15)


@pytest.mark.slow  # compiles everything for other errors
def test_wrong_picks_do_not_move_robust_locations():
    random = np.random.default_rng(2)
    noise = 0.005 * random.standard_t(3, size=(200, NUM))
    observed = exact_times(EVENTS) + noise
    clean = found(observed, 0.005, freedom=3.0)
    assert 0.85 <= share_covered(clean) <= 0.95
    observed[np.arange(200), random.integers(0, NUM, 200)] += 0.5
    errors = [
        np.median(
            np.linalg.norm(found(observed, 0.005, freedom).position - EVENTS, axis=1)
        )
        for freedom in (3.0, None)
    ]
    median = np.median(np.linalg.norm(clean.position - EVENTS, axis=1))
    assert errors[0] < 2 * median
    assert errors[1] > 10 * median


@pytest.mark.parametrize("freedom", [None, pytest.param(3.0, marks=pytest.mark.slow)])
def test_exact_picks_lead_to_the_event_between_nodes(freedom):
    observed = 3 + exact_times(EVENTS[:40])
    location = found(observed, 0.01, freedom)
    assert np.all(location.result == 0)
    # The error of the cubic interpolation, and no part of the spacing of 0.05
    np.testing.assert_allclose(location.position, EVENTS[:40], atol=1e-4)
    np.testing.assert_allclose(location.origin_time, 3, atol=1e-4)


def test_clocks_do_not_matter():
    noise = 0.03 * np.random.default_rng(3).normal(size=(3, NUM))
    observed = exact_times(EVENTS[:3]) + noise
    one, other = (found(observed + start, 0.03) for start in (0.0, 100.0))
    np.testing.assert_allclose(other.origin_time, one.origin_time + 100, rtol=1e-9)
    np.testing.assert_allclose(other.position, one.position, atol=1e-7)
    np.testing.assert_allclose(other.covariance, one.covariance, rtol=1e-7)


def test_density_is_the_integral_over_origin_times():
    """Against sums over origin times, of which nothing is known."""
    deviations = np.array([0.05, 0.1, 0.07, np.inf, 0.05, 0.06])
    observed = exact_times(EVENTS[:1])
    observed += 0.05 * np.random.default_rng(4).normal(size=(1, NUM))
    location = found(observed, deviations)
    starts = np.linspace(-2, 2, 801)[:, None, None, None]
    delays = observed[0, :, None, None] - np.asarray(solutions().times)
    scaled = (delays - starts) / deviations[:, None, None]
    mass = np.sum(np.exp(-np.sum(scaled**2, axis=1) / 2), axis=0)
    mass[[0, -1]] /= 2
    mass[:, [0, -1]] /= 2
    mass /= np.sum(mass)
    np.testing.assert_allclose(np.exp(location.log_density[0]), mass, atol=1e-12)
    assert location.resolved[0]
    for axis, marginal in enumerate(location.marginals):
        np.testing.assert_allclose(marginal[0], mass.sum(1 - axis), atol=1e-12)
    points = cases.grid_points(SOLVER).reshape(-1, 2)
    mean = mass.ravel() @ points
    np.testing.assert_allclose(location.mean[0], mean, rtol=1e-10)
    covariance = (mass.reshape(-1, 1) * (points - mean)).T @ (points - mean)
    np.testing.assert_allclose(location.covariance[0], covariance, rtol=1e-9)
    assert location.num_used[0] == NUM - 1


def test_narrow_posteriors_have_the_covariance_of_linearized_times():
    event, step = EVENTS[7], 1e-6
    location = found(exact_times(event[None]), 1e-3)
    assert not location.resolved[0]
    ends = [exact_times(event + x * np.eye(2)) for x in (step, -step)]
    slopes = np.concatenate([(ends[0] - ends[1]).T / (2 * step), np.ones((NUM, 1))], 1)
    want = 1e-6 * np.linalg.inv(slopes.T @ slopes)[:2, :2]
    # Gradients of T on this grid are right to about 1e-3.
    np.testing.assert_allclose(location.covariance[0], want, rtol=0.02, atol=1e-9)


def test_absent_picks_may_hold_anything():
    observed = np.repeat(exact_times(EVENTS[:1]), 3, axis=0)
    deviations = np.full(NUM, 0.02)
    deviations[2] = np.inf
    observed[:, 2] = [0.0, 50.0, np.nan]
    location = found(observed, deviations)
    assert np.all(location.result == 0)
    for leaf in jax.tree.leaves(location):
        np.testing.assert_array_equal(leaf, np.repeat(leaf[:1], 3, axis=0))


def test_failure_is_a_value():
    inside, outside = EVENTS[0], LOWER - 0.3
    observed = exact_times(np.stack([inside, outside, inside, inside, inside]))
    deviations = np.full((5, NUM), 0.02)
    observed[2, 1] = np.nan
    deviations[3, 2:] = np.inf
    deviations[4, 0] = -1.0
    location = found(observed, deviations)
    np.testing.assert_array_equal(location.result, [0, 2, 3, 4, 3])
    np.testing.assert_array_equal(location.num_used[[0, 3]], [NUM, 2])
    np.testing.assert_allclose(np.min(location.position[1] - LOWER), 0, atol=1e-12)
    for leaf in jax.tree.leaves(location):
        if np.issubdtype(leaf.dtype, np.floating):
            assert np.all(np.isnan(leaf[[2, 4]]))
    assert np.all(np.isfinite(location.covariance[3]))


@pytest.mark.parametrize("freedom", [None, pytest.param(3.0, marks=pytest.mark.slow)])
def test_events_are_not_where_a_front_does_not_come(freedom):
    mask = np.zeros(SOLVER.shape, bool)
    mask[10] = True
    blocked = solutions()
    times = np.asarray(blocked.times).copy()
    times[0, 10:] = np.inf
    tau = np.where(np.isinf(times), np.inf, blocked.tau)
    blocked = blocked._replace(times=jnp.asarray(times), tau=jnp.asarray(tau))
    observed = np.repeat(exact_times(EVENTS[:1]), 200, axis=0)
    deviations = np.full((200, NUM), 0.1)
    deviations[1:, 0] = np.inf
    location = run(
        blocked, jnp.asarray(observed), jnp.asarray(deviations), freedom=freedom
    )
    log_density = np.asarray(location.log_density)
    assert np.all(log_density[0, 10:] == -np.inf)
    assert np.all(np.isfinite(log_density[0, :10]))
    # Without a pick, that station does not matter.
    assert np.all(np.isfinite(log_density[1]))
    assert np.all(np.isfinite(location.mean))


@pytest.mark.slow  # compiles everything once more
def test_in_three_dimensions():
    solver = GridEikonal((11, 13, 9), (0.1, 0.1, 0.1))
    size = (np.array(solver.shape) - 1) * 0.1
    stations = size * np.random.default_rng(5).uniform(0.05, 0.95, (9, 3))
    stations[:, 2] = 0
    events = size * np.random.default_rng(6).uniform(0.15, 0.85, (200, 3))
    models = jnp.broadcast_to(cases.linear_model(solver), (9, *solver.shape))
    solved = jax.jit(jax.vmap(solver.solve))(models, jnp.asarray(stations))
    times = np.stack([cases.linear_times(s, events) for s in stations], axis=-1)
    noise = 0.004 * np.random.default_rng(7).normal(size=times.shape)
    location = jax.jit(
        jax.vmap(
            lambda observed: locate(
                solver, solved, jnp.asarray(stations), observed, jnp.full(9, 0.004)
            )
        )
    )(jnp.asarray(times + noise))
    offset = np.asarray(location.mean) - events
    inverse = np.linalg.inv(location.covariance)
    square = np.einsum("ei,eij,ej->e", offset, inverse, offset)
    # 90 % of a Gaussian in space
    assert 0.85 <= np.mean(square < 6.251) <= 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stations": jnp.ones((4, 3))}, "`stations`"),
        ({"stations": jnp.ones((4, 2))}, "`solutions.times`"),
        ({"observed": jnp.ones(4)}, "`observed`"),
        ({"deviations": jnp.ones(NUM, jnp.float32)}, "`deviations`"),
        ({"degrees_of_freedom": 0.0}, "`degrees_of_freedom`"),
        ({"num_steps": 0}, "`num_steps`"),
        ({"tolerance": -1.0}, "`tolerance`"),
    ],
)
@pytest.mark.usefixtures("user_errors")
def test_bad_input_is_refused(change, message):
    arguments = {
        "stations": jnp.asarray(STATIONS),
        "observed": jnp.ones(NUM),
        "deviations": jnp.ones(NUM),
    }
    with pytest.raises(ValueError, match=message):
        locate(SOLVER, solutions(), **(arguments | change))
