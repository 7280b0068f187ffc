"""Several fronts: the first of them, and its soft form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal._multi_source import earliest_arrival
from tests.eikonal import grid_cases as cases

SOURCES = np.array([[0.1, 0.3], [0.32, 0.75], [0.15, 0.56]])
STARTS = jnp.array([0.03, 0.0, 0.05])


@pytest.fixture(scope="module")
def times():
    model = cases.linear_model(cases.SOLVER)
    models = jnp.broadcast_to(model, (3, *model.shape))
    return cases.batched(cases.SOLVER)(models, jnp.asarray(SOURCES)).times


def test_it_is_the_first_of_the_closed_forms(times):
    first = earliest_arrival(times, STARTS)
    points = cases.grid_points(cases.SOLVER)
    exact = [cases.linear_times(source, points) for source in SOURCES]
    want = np.min(np.stack(exact) + np.asarray(STARTS)[:, None, None], axis=0)
    # Each front has its own factor, so the error is that of single sources.
    np.testing.assert_allclose(first, want, atol=1e-3)
    one_by_one = np.min([earliest_arrival(t[None]) for t in times], axis=0)
    np.testing.assert_array_equal(earliest_arrival(times), one_by_one)


@pytest.mark.parametrize("temperature", [None, 0.02])
def test_late_and_absent_sources_change_nothing(times, temperature):
    want = earliest_arrival(times[:2], STARTS[:2], temperature=temperature)
    for late in (1e6, jnp.inf):
        starts = STARTS.at[2].set(late)
        got = earliest_arrival(times, starts, temperature=temperature)
        np.testing.assert_allclose(got, want, rtol=1e-14)


@pytest.mark.parametrize("temperature", [None, 0.02])
def test_clocks_and_units_may_change(times, temperature):
    def arrival(starts, unit):
        heat = None if temperature is None else unit * temperature
        return earliest_arrival(unit * times, unit * starts, temperature=heat)

    want = arrival(STARTS, 1.0)
    np.testing.assert_allclose(arrival(STARTS + 5, 1.0), want + 5, rtol=1e-14)
    np.testing.assert_allclose(arrival(STARTS, 60.0), 60 * want, rtol=1e-13)


def test_soft_minimum_is_below_by_no_more_than_its_bound(times):
    first = earliest_arrival(times, STARTS)
    for temperature in (0.1, 1e-2, 1e-4):
        soft = earliest_arrival(times, STARTS, temperature=temperature)
        gap = np.asarray(first - soft)
        assert np.all(gap >= -1e-15)
        assert np.all(gap <= temperature * np.log(3) * (1 + 1e-12))


def test_derivatives_by_start_times_are_shares_of_one(times):
    def at_node(starts, temperature):
        return earliest_arrival(times[:, 4, 5], starts, temperature=temperature)

    soft = jax.grad(at_node)(STARTS, 0.05)
    assert np.all(np.asarray(soft) > 1e-3)
    np.testing.assert_allclose(jnp.sum(soft), 1, rtol=1e-14)
    hard = jax.grad(at_node)(STARTS, None)
    np.testing.assert_array_equal(np.sort(hard), [0, 0, 1])
    step = 1e-5
    up, down = (at_node(STARTS.at[1].add(x), 0.05) for x in (step, -step))
    # Central differences: step^2 and rounding / step
    np.testing.assert_allclose(soft[1], (up - down) / (2 * step), atol=1e-8)


def test_where_nothing_arrives_times_are_infinite_and_derivatives_zero():
    times = jnp.array([[1.0, jnp.inf, 3.0], [2.0, jnp.inf, jnp.inf]])

    def finite_sum(times):
        soft = earliest_arrival(times, temperature=0.5)
        return jnp.sum(jnp.where(jnp.isfinite(soft), soft, 0)), soft

    (_, soft), slope = jax.value_and_grad(finite_sum, has_aux=True)(times)
    assert soft[1] == jnp.inf
    np.testing.assert_allclose(soft[2], 3.0, rtol=1e-15)
    assert np.all(np.isfinite(slope))
    np.testing.assert_array_equal(slope[:, 1], 0)


def test_keeps_the_dtype():
    times = jnp.ones((2, 3), jnp.float32)
    starts = jnp.zeros(2, jnp.float32)
    for temperature in (None, 0.1):
        assert earliest_arrival(times, starts, temperature=temperature).dtype == (
            jnp.float32
        )


@pytest.mark.parametrize(
    ("times", "starts", "options", "message"),
    [
        (jnp.ones((0, 3)), None, {}, "at least one source"),
        (jnp.ones(()), None, {}, "at least one source"),
        (jnp.ones((2, 3)), jnp.ones(3), {}, "`start_times`"),
        (jnp.ones((2, 3)), jnp.ones(2, jnp.float32), {}, "dtype"),
        (jnp.ones((2, 3)), None, {"temperature": 0.0}, "`temperature`"),
    ],
)
@pytest.mark.usefixtures("user_errors")
def test_bad_input_is_refused(times, starts, options, message):
    with pytest.raises(ValueError, match=message):
        earliest_arrival(times, starts, **options)
