"""Sources, references and statistics of the accuracy protocol."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal._grid_velocity import GridVelocity
from eqjax.eikonal._metrics import relative_error
from eqjax.eikonal._protocol import (
    protocol_sources,
    reference_times,
    travel_time_errors,
)
from tests.eikonal.grid_cases import (
    grid_points,
    linear_model,
    linear_times,
)

GRID = GridVelocity((7, 9), (0.1, 0.08), (-0.1, 0.2))
# A corner, a node, and a point between nodes.
SOURCES = np.array([[-0.1, 0.2], [0.2, 0.52], [0.337, 0.613]])


@functools.cache
def solved():
    """References of linear v, which is its own bilinear interpolant."""
    return solve(linear_model(GRID), SOURCES, factor=4)


@functools.partial(jax.jit, static_argnames=("factor", "batch_size"))
def solve(values, sources, *, factor, batch_size=1):
    return reference_times(GRID, values, sources, factor=factor, batch_size=batch_size)


def test_references_converge_to_the_closed_form_and_know_their_error():
    found = solved()
    assert found.times.shape == found.unrefined_times.shape == (3, 7, 9)
    np.testing.assert_array_equal(found.result, 0)
    exact = jnp.asarray(np.stack([linear_times(s, grid_points(GRID)) for s in SOURCES]))
    half = relative_error(found.times, exact)
    # Order 2: half the spacing has a quarter of the error, so that the reference's
    # own error is a third of its stated one; less than order 1.5 would not do.
    assert half < found.error / (2**1.5 - 1)
    assert found.error < 1e-3
    unrefined = relative_error(found.unrefined_times, exact)
    assert found.error < unrefined / 2
    # By the triangle inequality.
    assert abs(unrefined - found.unrefined_error) <= 1.01 * half
    assert found.times[0, 0, 0] == 0


@pytest.mark.slow
def test_half_the_factor_has_the_stated_error():
    four = solved()
    # v of twice the size halves times; all sources at once rather than one by one.
    two = solve(2 * linear_model(GRID), SOURCES, factor=2, batch_size=3)
    # Where candidates tie, rounding decides for one; the solver's tolerance is 1e-6.
    error = relative_error(2 * two.times, four.times)
    np.testing.assert_allclose(error, four.error, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(
        2 * two.unrefined_times, four.unrefined_times, rtol=1e-4, atol=1e-6
    )
    # With factor 2, half of it is the grid itself.
    assert two.error == two.unrefined_error
    assert two.times.dtype == two.error.dtype == jnp.float64


def test_full_sources_are_every_fifth_node():
    grid = GridVelocity((70, 70), (0.5, 0.25), (1.0, -3.0))
    sources = protocol_sources(grid).reshape(14, 14, 2)
    np.testing.assert_allclose(sources[3, 4], [1 + 15 * 0.5, -3 + 20 * 0.25])
    np.testing.assert_allclose(sources[-1, -1], [1 + 65 * 0.5, -3 + 65 * 0.25])
    cube = GridVelocity((6, 7, 11), (1.0, 1.0, 1.0))
    assert protocol_sources(cube).shape == (2 * 2 * 3, 3)


@pytest.mark.parametrize(("surface", "height"), [("first", -3), ("last", -3 + 69 / 4)])
def test_top_sources_are_spread_over_the_surface(surface, height):
    grid = GridVelocity((70, 70), (0.5, 0.25), (1.0, -3.0))
    sources = protocol_sources(grid, "top", surface=surface)
    assert sources.shape == (5, 2)
    np.testing.assert_allclose(sources[:, 1], height)
    np.testing.assert_allclose(sources[[0, -1], 0], [1, 1 + 69 / 2])
    # Even to rounding to nodes.
    assert np.ptp(np.diff(sources[:, 0])) <= 0.5
    cube = GridVelocity((6, 7, 11), (1.0, 1.0, 1.0))
    assert protocol_sources(cube, "top").shape == (25, 3)
    # Never one source twice.
    small = GridVelocity((3, 4), (1.0, 1.0))
    assert protocol_sources(small, "top").shape == (3, 2)


def test_statistics_run_over_fields():
    random = np.random.default_rng(0)
    reference = random.uniform(1, 2, (11, 3, 5))
    sizes = random.uniform(0, 1, 11)
    signs = np.sign(random.normal(size=reference.shape))
    times = reference * (1 + sizes[:, None, None] * signs)
    # Walls: pairs that do not count, whatever the method says.
    reference[2, 1, 3] = np.inf
    for error in travel_time_errors(jnp.asarray(times), jnp.asarray(reference)):
        # An error of the same relative size everywhere has that size by any measure.
        np.testing.assert_allclose(error.per_field, sizes, rtol=1e-12)
        np.testing.assert_allclose(error.mean, sizes.mean(), rtol=1e-12)
        np.testing.assert_allclose(error.median, np.median(sizes), rtol=1e-12)
        expected = np.percentile(sizes, 95)
        np.testing.assert_allclose(error.percentile_95, expected, rtol=1e-12)


@pytest.mark.usefixtures("user_errors")
def test_bad_arguments_are_refused():
    values, sources = jnp.ones(GRID.shape), jnp.asarray(SOURCES)
    for factor, message in ((3, "`factor` must be even"), (0, "`factor`")):
        with pytest.raises(ValueError, match=message):
            reference_times(GRID, values, sources, factor=factor)
    with pytest.raises(ValueError, match="`batch_size`"):
        reference_times(GRID, values, sources, batch_size=0)
    with pytest.raises(ValueError, match="`values`"):
        reference_times(GRID, values[1:], sources)
    with pytest.raises(ValueError, match="`sources`"):
        reference_times(GRID, values, sources[0])
    with pytest.raises(ValueError, match="`pairs` must be one of"):
        protocol_sources(GRID, "some")
    with pytest.raises(ValueError, match="`surface` must be one of"):
        protocol_sources(GRID, "top", surface="middle")
    with pytest.raises(ValueError, match="must have the same shape"):
        travel_time_errors(jnp.ones((2, 3)), jnp.ones((2, 4)))
