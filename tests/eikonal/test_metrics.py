"""Laws of the errors RE and RMAE."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal import relative_error, relative_mean_absolute_error

METRICS = [relative_error, relative_mean_absolute_error]


def draw(shape=(5, 7)):
    random = np.random.default_rng(0)
    return jnp.asarray(random.uniform(1, 2, shape)), jnp.asarray(
        random.uniform(1, 2, shape)
    )


@pytest.mark.parametrize("metric", METRICS)
def test_scaled_times_have_the_error_of_their_scale(metric):
    _, reference = draw()
    # One rounding per product and sum: 35 entries.
    np.testing.assert_allclose(metric(1.25 * reference, reference), 0.25, rtol=1e-14)
    assert metric(reference, reference) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_error_does_not_depend_on_the_unit(metric):
    times, reference = draw()
    expected = metric(times, reference)
    np.testing.assert_allclose(
        metric(1e3 * times, 1e3 * reference), expected, rtol=1e-13
    )


@pytest.mark.parametrize("metric", METRICS)
def test_zero_weights_leave_entries_out(metric):
    times, reference = draw((2, 11))
    weights = jnp.stack([jnp.ones(11), jnp.zeros(11)])
    expected = metric(times[0], reference[0])
    unreached = times.at[1].set(jnp.inf), reference.at[1].set(jnp.inf)
    np.testing.assert_allclose(
        metric(*unreached, weights=weights), expected, rtol=1e-14
    )
    gradient = jax.grad(lambda t: metric(t, unreached[1], weights=weights))(
        unreached[0]
    )
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("metric", METRICS)
def test_weights_count_entries(metric):
    times, reference = draw((7,))
    weights = jnp.asarray([1.0, 2, 3, 1, 1, 2, 1])
    repeats = np.asarray(weights, int)
    np.testing.assert_allclose(
        metric(times, reference, weights=weights),
        metric(
            jnp.asarray(np.repeat(times, repeats)),
            jnp.asarray(np.repeat(reference, repeats)),
        ),
        rtol=1e-14,
    )


@pytest.mark.usefixtures("user_errors")
@pytest.mark.parametrize("metric", METRICS)
def test_different_shapes_are_refused(metric):
    times, reference = draw((5,))
    with pytest.raises(ValueError, match="`times` and `reference`"):
        metric(times, reference[:3])
    with pytest.raises(ValueError, match="`weights`"):
        metric(times, reference, weights=jnp.ones(3))
