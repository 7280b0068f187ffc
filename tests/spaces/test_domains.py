"""Boxes and balls: samples, projections, and points that cover them evenly."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import spaces

DOMAINS = (
    spaces.Box((-1.0, 0.5), (2.0, 1.5)),
    spaces.Box((0.0, 0.0, -3.0), (1.0, 2.0, -1.0)),
    spaces.Ball(2, 2.5),
    spaces.Ball(3),
)
every_domain = pytest.mark.parametrize("domain", DOMAINS, ids=str)


@functools.cache
def samples(domain):
    keys = jax.random.split(jax.random.key(0), 3000)
    return jax.jit(jax.vmap(lambda key: domain.sample(key=key)))(keys)


@every_domain
def test_samples_lie_inside_and_are_uniform(domain):
    x = samples(domain)
    assert np.all(domain.contains(x))
    assert x.dtype == jnp.float64
    # Mean and variance of the uniform law, within 5 sigma.
    if isinstance(domain, spaces.Box):
        lower, upper = np.asarray(domain.lower), np.asarray(domain.upper)
        mean, variance = (lower + upper) / 2, (upper - lower) ** 2 / 12
    else:
        mean = np.zeros(domain.dim)
        variance = np.full(domain.dim, domain.radius**2 / (domain.dim + 2))
    centered = np.asarray(x) - mean
    for values, want in ((centered, 0.0), (centered**2 - variance, 0.0)):
        sigma = np.std(values, axis=0) / math.sqrt(len(x))
        assert np.all(np.abs(np.mean(values, axis=0) - want) <= 5 * sigma)


@every_domain
def test_samples_have_the_asked_dtype(domain):
    x = domain.sample(dtype=jnp.float32, key=jax.random.key(1))
    assert x.dtype == jnp.float32
    assert domain.contains(x)
    assert domain.project(x).dtype == jnp.float32


@every_domain
def test_projection_is_the_nearest_point(domain):
    inside = samples(domain)[:500]
    assert np.all(domain.project(inside) == inside)
    numbers = np.random.default_rng(1)
    x = jnp.asarray(5 * numbers.standard_normal((11, domain.dim)))
    y = domain.project(x)
    # Projecting again moves a point of a ball's boundary by one rounding.
    np.testing.assert_allclose(domain.project(y), y, rtol=1e-15)
    assert not np.all(domain.contains(x))
    # For convex sets: (x - y) . (z - y) <= 0 for every z of the set.
    towards = np.asarray(inside)[None] - np.asarray(y)[:, None]
    assert np.max(np.einsum("bi,bki->bk", np.asarray(x - y), towards)) <= 1e-12


@every_domain
def test_gradients_of_the_projection_are_finite(domain):
    center = jnp.asarray(domain.spread(1)[0]) * 0
    jacobian = jax.jit(jax.jacrev(domain.project))
    for x in (center, 9 + center, jnp.asarray(domain.spread(5)[0])):
        assert np.all(np.isfinite(jacobian(x)))


@every_domain
def test_half_width(domain):
    x = np.asarray(samples(domain))
    assert np.max(np.ptp(x, axis=0)) <= 2 * domain.half_width
    assert np.max(np.ptp(x, axis=0)) > 1.8 * domain.half_width


def largest_hole(domain, points):
    """Radius of the largest ball about a point of the domain that holds no points."""
    side = 101 if domain.dim == 2 else 33
    if isinstance(domain, spaces.Box):
        ends = zip(domain.lower, domain.upper, strict=True)
    else:
        ends = [(-domain.radius, domain.radius)] * domain.dim
    axes = [np.linspace(low, high, side) for low, high in ends]
    grid = np.stack([g.ravel() for g in np.meshgrid(*axes)], axis=-1)
    grid = grid[np.asarray(domain.contains(jnp.asarray(grid)))]
    distances = np.linalg.norm(grid[:, None] - points[None], axis=-1)
    return np.max(np.min(distances, axis=1))


def volume(domain):
    if isinstance(domain, spaces.Box):
        return np.prod(np.subtract(domain.upper, domain.lower))
    n = domain.dim
    return math.pi ** (n / 2) / math.gamma(n / 2 + 1) * domain.radius**n


@pytest.mark.parametrize("num_points", [5, 7, 9, 13])
@pytest.mark.parametrize(
    "domain",
    [
        spaces.Box((-1.0, 0.0), (1.0, 2.0)),
        spaces.Ball(2, 2.5),
        spaces.Box((0.0, 0.0, 0.0), (2.0, 2.0, 2.0)),
    ],
    ids=str,
)
def test_spread_points_leave_no_large_holes(domain, num_points):
    points = domain.spread(num_points)
    assert points.shape == (num_points, domain.dim)
    assert points.dtype == np.float64
    assert np.all(domain.contains(jnp.asarray(points)))
    assert len(np.unique(points.round(12), axis=0)) == num_points
    # The spacing of a cubic grid of this density, whose holes are sqrt(n) / 2 of it.
    spacing = (volume(domain) / num_points) ** (1 / domain.dim)
    assert largest_hole(domain, points) <= 2 * spacing


def test_spread_is_a_grid_for_perfect_powers():
    points = spaces.Box((0.0, 0.0), (3.0, 6.0)).spread(9)
    assert {tuple(point) for point in points.tolist()} == {
        (x, y) for x in (0.5, 1.5, 2.5) for y in (1.0, 3.0, 5.0)
    }
    np.testing.assert_array_equal(spaces.Ball(3).spread(1), np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: spaces.Box((0.0,), (0.0,)), "`lower` must be below `upper`"),
        (lambda: spaces.Box((0.0, 0.0), (1.0,)), "`lower` must be below `upper`"),
        (lambda: spaces.Box((), ()), "`lower` must be below `upper`"),
        (lambda: spaces.Box((0.0,), (float("nan"),)), "`lower` must be below"),
        (lambda: spaces.Box((0.0,), (float("inf"),)), "both finite, got"),
        (lambda: spaces.Ball(0), "`n` must be an integer of at least 1"),
        (lambda: spaces.Ball(2, -1.0), "`radius` must be a positive number"),
        (lambda: spaces.Ball(2).spread(0), "`num_points` must be an integer"),
        (lambda: spaces.Box((0.0,), (1.0,)).spread(0), "`num_points` must be"),
    ],
)
def test_wrong_arguments_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
