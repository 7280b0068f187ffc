"""Pairs lie in their domain, and near ones are as near as they should be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import eikonal
from eqjax.spaces import Ball, Box, Euclidean, PositionOrientation, Sphere
from tests import field_cases as cases

KEY = jax.random.key(0)
LARGE = Box((-1e3,) * 2, (1e3,) * 2)


def sample(domain, space, num_pairs=400, **options):
    return eikonal.sample_pairs(domain, space, num_pairs, key=KEY, **options)


@pytest.mark.parametrize(
    "domain", [Box((0.0, 2.0), (1.0, 5.0)), Ball(2, 0.7), Ball(3)], ids=str
)
def test_pairs_lie_in_the_domain(domain):
    for x in sample(domain, Euclidean(domain.dim), near_share=0.5):
        assert x.shape == (400, domain.dim)
        # A projected point may lie a rounding outside.
        np.testing.assert_allclose(x, domain.project(x), atol=1e-15)


@pytest.mark.parametrize("near_share", [0.0, 0.2, 1.0])
def test_near_pairs_are_near_and_as_many_as_asked(near_share):
    s, r = sample(LARGE, Euclidean(2), near_share=near_share, near_range=(0.01, 0.3))
    distance = np.linalg.norm(s - r, axis=-1)
    near = distance < 0.3001
    assert np.sum(near) == round(400 * near_share)
    assert np.all(distance > 0.00999)


@pytest.mark.parametrize(
    "space", [Euclidean(3), Sphere(1), Sphere(2), PositionOrientation(2)], ids=str
)
def test_distances_of_near_pairs_are_log_uniform(space):
    domain = Ball(3, 1e3) if space == Euclidean(3) else space
    s, r = sample(domain, space, near_share=1.0, near_range=(1e-3, 0.1))
    logarithm = np.log(np.asarray(space.distance(s, r)) / 1e-3) / np.log(100)
    # The exponential curves of a car are no shortest ones, by 1/24 of the turn squared.
    assert np.all((logarithm > -1e-3) & (logarithm < 1 + 1e-9))
    # Of 400 uniform numbers: a mean within 4 standard errors, all quarters visited.
    assert abs(np.mean(logarithm) - 0.5) < 4 * 12**-0.5 / 20
    assert np.all(np.histogram(logarithm, 4, (0, 1))[0] > 60)


@pytest.mark.parametrize("eps", [0.1, 0.0])
def test_near_pairs_of_a_car_that_hardly_sidles(eps):
    space = PositionOrientation(2, xi=0.8, eps=eps)
    s, r = sample(space, space, near_share=1.0, near_range=(1e-3, 0.1))
    distance = np.asarray(space.distance(s, r))
    # The closed form exceeds curves of unit speed by up to a tenth or so.
    assert np.all((distance > 0.8e-3) & (distance < 0.13))
    if eps == 0:
        # Exponential curves without sideways motion: tangent to the heading midway.
        middle = np.asarray(space.exp(s, space.log(s, r) / 2))
        along = np.asarray(r - s)[:, :2]
        normal = np.stack([-np.sin(middle[:, 2]), np.cos(middle[:, 2])], -1)
        np.testing.assert_allclose(np.sum(along * normal, 1), 0, atol=1e-12)


def test_directions_are_uniform_on_the_sphere():
    s, r = sample(Sphere(2), Sphere(2), near_share=1.0, near_range=(0.01, 0.3))
    direction = np.array(Sphere(2).log(s, r))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    np.testing.assert_allclose(np.sum(direction * np.asarray(s), 1), 0, atol=1e-12)
    assert np.all(np.abs(np.mean(direction, axis=0)) < 4 / np.sqrt(3 * 400))


def test_pairs_are_a_function_of_the_key():
    first, second = sample(Ball(2), Euclidean(2)), sample(Ball(2), Euclidean(2))
    assert all(map(np.array_equal, first, second))
    third = eikonal.sample_pairs(Ball(2), Euclidean(2), 400, key=jax.random.key(1))
    assert not np.any(np.asarray(first[0]) == np.asarray(third[0]))


def test_pairs_have_the_asked_dtype():
    for space in (Euclidean(2), Sphere(2), cases.CAR):
        domain = cases.domain_of(space)
        pairs = jax.eval_shape(
            lambda d=domain, s=space: sample(d, s, dtype=jnp.float32)
        )
        assert {x.dtype for x in pairs} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_pairs": 0}, "`num_pairs`"),
        ({"near_share": 1.1}, "`near_share`"),
        ({"near_share": -0.1}, "`near_share`"),
        ({"near_range": (0.3, 0.1)}, "`near_range`"),
        ({"near_range": (0.0, 0.1)}, "`near_range`"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sample(Ball(2), Euclidean(2), **options)


def test_resampled_pairs_estimate_the_mean_of_all():
    scores = jnp.array([0.1, 3.0, 0.7, 0.2, 1.5, 0.4])
    values = jnp.array([2.0, -1.0, 5.0, 0.3, 0.7, 11.0])

    @jax.jit
    def estimates(keys):
        def one(key):
            index, weights = eikonal.resample_pairs(scores, 3, key=key)
            return jnp.sum(weights * values[index]), jnp.bincount(index, length=6)

        return jax.vmap(one)(keys)

    found, counts = estimates(jax.random.split(KEY, 40_000))
    # No number is drawn twice, and large scores are drawn most.
    assert np.max(counts) == 1
    assert np.array_equal(np.argsort(np.sum(counts, axis=0)), np.argsort(scores))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - np.mean(values)) < 4 * error < 0.2


def test_candidates_without_a_score_come_last_and_count_nothing():
    scores = jnp.array([0.0, 2.0, 0.0, 1.0])
    index, weights = eikonal.resample_pairs(scores, 3, key=KEY)
    assert set(index[:2].tolist()) == {1, 3}
    np.testing.assert_allclose(weights, [0.25, 0.25, 0])


def test_too_few_candidates_are_refused(user_errors):
    with pytest.raises(ValueError, match="`num_pairs` must be below the number"):
        eikonal.resample_pairs(jnp.ones(3), 3, key=KEY)
