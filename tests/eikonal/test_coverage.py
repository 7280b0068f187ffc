"""Sensitivities sum to times and lengths, and follow the rays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal import GridEikonal
from eqjax.eikonal._coverage import frechet_kernel, ray_coverage
from tests.eikonal import grid_cases as cases

N = 21
SOLVER = GridEikonal((N, N), (1 / (N - 1),) * 2, tolerance=1e-12)
LINEAR = cases.linear_model(SOLVER)
WAVY = cases.smooth_model(SOLVER, roughness=0.12)
OPEN = jnp.zeros((N, N), bool)
SOURCES = jnp.array([[0.1, 0.2], [0.9, 0.55], [0.45, 0.93]])
RECEIVERS = jnp.asarray(np.random.default_rng(3).uniform(0.02, 0.98, (90, 2)))
ONES = jnp.ones(90)


@jax.jit
def coverage(velocity, source, weights, mask):
    """Compiled once for all tests."""
    return ray_coverage(SOLVER, velocity, source, RECEIVERS, weights=weights, mask=mask)


@jax.jit
def kernels(velocity, source, mask):
    """Compiled once for all slow tests."""
    return frechet_kernel(SOLVER, velocity, source, RECEIVERS, mask=mask)


@jax.jit
def times_of(velocity):
    """Of the first source."""
    solution = SOLVER.solve(velocity, SOURCES[0])
    return jax.vmap(lambda x: SOLVER.times_at(solution, SOURCES[0], x))(RECEIVERS)


def arc(source, receiver, num=400):
    """Points of the ray for v = 1 + g x: a circle whose center lies where v = 0."""
    x0 = -1 / cases.GRADIENT
    middle, chord = (source + receiver) / 2, receiver - source
    center = np.array([x0, middle[1] - chord[0] * (x0 - middle[0]) / chord[1]])
    start, end = (np.arctan2(p[1] - center[1], p[0] - x0) for p in (source, receiver))
    angles = np.linspace(start, end, num)
    radius = np.linalg.norm(source - center)
    return center + radius * np.stack([np.cos(angles), np.sin(angles)], -1)


def hit_lengths():
    """Length of the rays of all pairs, shared among the nodes around."""
    total = np.zeros((N, N))
    for source in np.asarray(SOURCES):
        points = np.stack([arc(source, r) for r in np.asarray(RECEIVERS)])
        start, end = points[:, :-1], points[:, 1:]
        lengths = np.linalg.norm(end - start, axis=-1).ravel()
        middle = ((start + end) / 2).reshape(-1, 2) * (N - 1)
        corner = np.clip(np.floor(middle).astype(int), 0, N - 2)
        share = middle - corner
        for i in (0, 1):
            for j in (0, 1):
                weight = np.abs(1 - i - share[:, 0]) * np.abs(1 - j - share[:, 1])
                np.add.at(total, (corner[:, 0] + i, corner[:, 1] + j), weight * lengths)
    return total


@pytest.mark.slow
def test_kernels_times_slowness_sum_to_times():
    """Times are homogeneous of degree one in slowness, in the discrete equations."""
    found = kernels(WAVY, SOURCES[0], OPEN)
    total = np.sum(np.asarray(found) / np.asarray(WAVY), axis=(1, 2))
    np.testing.assert_allclose(total, times_of(WAVY), rtol=1e-11)


@pytest.mark.slow
def test_kernels_predict_the_change_of_times():
    change = np.asarray(cases.smooth_model(SOLVER, seed=5)) - 1.0
    step = 1e-6
    ends = [1 / (1 / WAVY + x * jnp.asarray(change)) for x in (step, -step)]
    up, down = (times_of(v) for v in ends)
    got = np.sum(np.asarray(kernels(WAVY, SOURCES[0], OPEN)) * change, axis=(1, 2))
    # The iteration stops at 1e-12, and that is divided by the step.
    np.testing.assert_allclose(got, (up - down) / (2 * step), atol=1e-5)


@pytest.mark.slow
def test_coverage_is_the_modulus_of_the_weighted_sum_of_kernels():
    weights = jnp.asarray(np.random.default_rng(4).uniform(0, 2, 90))
    got = coverage(WAVY, SOURCES[0], weights, OPEN)
    want = np.abs(np.tensordot(weights, kernels(WAVY, SOURCES[0], OPEN), axes=1))
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_coverage_is_the_length_of_the_rays():
    """In total, and in patches of 4 x 4 nodes, over 270 rays of three sources."""
    got = np.sum([coverage(LINEAR, s, ONES, OPEN) for s in SOURCES], axis=0)
    want = hit_lengths()
    # Where lobes make a sum negative, its modulus is too much.
    np.testing.assert_allclose(np.sum(got), np.sum(want), rtol=0.01)

    def distance(got, width):
        patches = [
            a[:-1, :-1].reshape((N - 1) // width, width, (N - 1) // width, width)
            for a in (got, want)
        ]
        one, other = (patch.sum((1, 3)) for patch in patches)
        return np.sum(np.abs(one - other)) / np.sum(other)

    assert distance(got, 4) < 0.05
    # From node to node rays are blurred.
    assert distance(got, 4) < distance(got, 2) < distance(got, 1) < 0.25


def test_receivers_without_times_add_nothing():
    mask = np.zeros((N, N), bool)
    mask[10] = True
    behind = np.asarray(RECEIVERS)[:, 0] > 11 / (N - 1)
    both = coverage(WAVY, SOURCES[0], ONES, jnp.asarray(mask))
    seen = coverage(WAVY, SOURCES[0], jnp.asarray(1.0 * ~behind), jnp.asarray(mask))
    np.testing.assert_array_equal(both, seen)
    np.testing.assert_array_equal(np.asarray(both)[10:], 0)


@pytest.mark.slow
def test_kernels_of_receivers_without_times_are_not_numbers():
    mask = np.zeros((N, N), bool)
    mask[10] = True
    found = np.asarray(kernels(WAVY, SOURCES[0], jnp.asarray(mask)))
    x = np.asarray(RECEIVERS)[:, 0] * (N - 1)
    assert np.all(np.isnan(found[x > 11]))
    assert np.all(np.isfinite(found[x < 9]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"velocity": jnp.ones((3, 4))}, "`velocity`"),
        ({"receivers": jnp.ones((4, 3))}, "`receivers`"),
        ({"receivers": jnp.ones((4, 2), jnp.float32)}, "`receivers`"),
        ({"weights": jnp.ones(3)}, "`weights`"),
        ({"source": jnp.array([2.0, 0.0])}, "`source`"),
    ],
)
@pytest.mark.usefixtures("user_errors")
def test_bad_input_is_refused(change, message):
    arguments = {"velocity": WAVY, "source": SOURCES[0], "receivers": RECEIVERS}
    with pytest.raises(ValueError, match=message):
        ray_coverage(SOLVER, **(arguments | change))
