"""Flat tori: shortest differences, and the invariances of coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.groups import SO, Translation
from eqjax.spaces import Torus

SPACE = Torus((2.0, 5.0, 0.25))
PERIODS = np.array(SPACE.periods)
NUM = 101
# Differences of coordinates up to 50, each with a rounding of 1e-14.
ROUNDING = 3e-14


def points(seed, scale=10.0):
    return scale * np.random.default_rng(seed).standard_normal((NUM, 3))


def test_distance_is_that_to_the_nearest_image():
    x, y = points(0), points(1)
    got = SPACE.distance(jnp.asarray(x), jnp.asarray(y))
    steps = np.arange(-40, 41)[:, None] * PERIODS
    # The nearest image, axis by axis, by trying all; the third has short periods.
    apart = np.min(np.abs((y - x)[:, None] % PERIODS - steps[None]), axis=1)
    np.testing.assert_allclose(got, np.linalg.norm(apart, axis=1), atol=ROUNDING)
    assert np.all(got <= np.linalg.norm(PERIODS) / 2)


def test_distance_is_symmetric_invariant_and_satisfies_the_triangle_inequality():
    x, y, z = (jnp.asarray(points(seed)) for seed in range(3))
    there = SPACE.distance(x, y)
    np.testing.assert_array_equal(there, SPACE.distance(y, x))
    assert np.all(there <= SPACE.distance(x, z) + SPACE.distance(z, y) + ROUNDING)
    images = np.random.default_rng(4).integers(-3, 4, (NUM, 3)) * PERIODS
    np.testing.assert_allclose(SPACE.distance(x, y + images), there, atol=ROUNDING)
    g = jnp.asarray(points(5)[0])
    moved = SPACE.distance(SPACE.act(g, x), SPACE.act(g, y))
    np.testing.assert_allclose(moved, there, atol=ROUNDING)


def test_log_is_the_shortest_vector_that_exp_follows():
    x, y = jnp.asarray(points(0)), jnp.asarray(points(1))
    v = SPACE.log(x, y)
    assert np.all(np.abs(v) <= PERIODS / 2)
    np.testing.assert_allclose(
        np.sqrt(SPACE.inner(x, v, v)), SPACE.distance(x, y), rtol=1e-15
    )
    np.testing.assert_allclose(SPACE.distance(SPACE.exp(x, v), y), 0, atol=ROUNDING)
    # In less than half a period, log is the inverse.
    short = 0.4 * jnp.asarray(np.tanh(points(2)) * PERIODS)
    np.testing.assert_allclose(SPACE.log(x, SPACE.exp(x, short)), short, atol=ROUNDING)
    np.testing.assert_array_equal(SPACE.retract(x, v), SPACE.exp(x, v))


def test_covectors_vectors_and_frames_are_those_of_flat_space():
    x, y, u = (jnp.asarray(points(seed)) for seed in range(3))
    norm = np.linalg.norm(u, axis=1)
    np.testing.assert_allclose(SPACE.dual_norm(x, u), norm, rtol=1e-15)
    for same in (
        SPACE.raise_index(x, u),
        SPACE.to_tangent(x, u),
        SPACE.transport(x, y, u),
        SPACE.project(u),
    ):
        np.testing.assert_array_equal(same, u)
    np.testing.assert_array_equal(SPACE.frame(x), np.tile(np.eye(3), (NUM, 1, 1)))
    gradient = jax.vmap(jax.grad(SPACE.distance, argnums=1))(x, y)
    np.testing.assert_allclose(SPACE.dual_norm(y, gradient), 1, rtol=1e-14)


def test_gradients_are_finite_where_points_coincide_or_are_opposite():
    x = jnp.asarray(points(0)[0])
    for y in (x, x + PERIODS, x + PERIODS / 2, x + 1e-12):
        for part in jax.grad(SPACE.distance, argnums=(0, 1))(x, y):
            assert np.all(np.isfinite(part))
    np.testing.assert_array_equal(jax.grad(SPACE.distance)(x, x), np.zeros(3))


def test_samples_are_uniform_and_keep_their_dtype():
    keys = jax.random.split(jax.random.key(0), 3000)
    x = np.asarray(jax.vmap(lambda key: SPACE.sample(key=key))(keys)) / PERIODS
    assert np.all((x >= 0) & (x < 1))
    # Mean 1/2 of variance 1/12, within 5 sigma.
    assert np.all(np.abs(np.mean(x, axis=0) - 0.5) < 5 / np.sqrt(12 * len(x)))
    y = SPACE.sample(dtype=jnp.float32, key=keys[0])
    assert y.dtype == SPACE.distance(y, y).dtype == jnp.float32


def test_leading_axes_broadcast():
    x, y = jnp.asarray(points(0)[:3, None]), jnp.asarray(points(1)[:2])
    assert SPACE.distance(x, y).shape == (3, 2)
    assert SPACE.log(x, y).shape == (3, 2, 3)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="`periods` must hold one length per axis"):
        Torus(())
    with pytest.raises(ValueError, match="`periods` must be a positive"):
        Torus((1.0, -2.0))
    for group in (Translation(2), SO(3)):
        with pytest.raises(ValueError, match=r"`group` must be Translation\(3\)"):
            SPACE.act(jnp.zeros(3), jnp.zeros(3), group=group)
