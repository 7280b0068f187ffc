"""Rays follow shortest paths, and time along them is the travel time."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal import trace_ray
from eqjax.spaces import Euclidean, PositionOrientation, Sphere
from tests import field_cases as cases

PLANE = Euclidean(2)
SLOPE = jnp.array([0.6, -0.3])


def linear_speed(x):
    """v = 2 + g . x, positive in the unit disc."""
    return 2 + SLOPE @ x


def linear_time(source, x):
    """acosh(1 + |g|^2 r^2 / (2 v(s) v(x))) / |g|: rays are arcs of circles."""
    size = jnp.sqrt(SLOPE @ SLOPE)
    ratio = size**2 * jnp.sum((x - source) ** 2) / linear_speed(source)
    return jnp.arccosh(1 + ratio / (2 * linear_speed(x))) / size


@functools.partial(jax.jit, static_argnames=("space", "kind", "step", "max_steps"))
def trace(source, receiver, *, space=PLANE, kind="constant", step=0.05, max_steps=60):
    if kind == "linear":
        gradient, speed = jax.grad(functools.partial(linear_time, source)), linear_speed
    else:
        gradient = jax.grad(lambda x: space.distance(source, x) / 2)

        def speed(x):
            return jnp.full((), 2.0)

    return trace_ray(
        gradient, speed, space, source, receiver, step=step, max_steps=max_steps
    )


def test_ray_in_the_plane_is_straight():
    s, r = jnp.array([-0.3, 0.1]), jnp.array([0.9, 0.8])
    ray = trace(s, r)
    distance = np.linalg.norm(r - s)
    assert ray.arrived
    np.testing.assert_allclose(ray.length, distance, rtol=1e-13)
    np.testing.assert_allclose(ray.time, distance / 2, rtol=1e-13)
    s, r = np.asarray(s), np.asarray(r)
    points = np.asarray(ray.points)[np.asarray(ray.valid)]
    np.testing.assert_array_equal(points[[0, -1]], np.stack([r, s]))
    along = (points - s) @ (r - s) / distance
    line = s + along[:, None] * (r - s) / distance
    np.testing.assert_allclose(points, line, atol=1e-14)
    # Steps of the length asked for, and a last one that is no longer.
    np.testing.assert_allclose(-np.diff(along)[:-1], 0.05, rtol=1e-10)
    assert 0 < -np.diff(along)[-1] <= 0.05


def test_behind_the_source_nothing_is_valid_and_the_source_repeats():
    s, r = jnp.array([-0.3, 0.1]), jnp.array([0.0, 0.1])
    ray = trace(s, r)
    assert ray.points.shape == (62, 2)
    valid = np.asarray(ray.valid)
    # Six segments: seven points.
    assert np.array_equal(valid, np.arange(62) < np.sum(valid))
    assert np.sum(valid) in (7, 8)
    assert np.all(np.asarray(ray.points)[~valid] == np.asarray(s))


def test_ray_on_the_sphere_is_a_great_circle():
    s, r = cases.random_points(Sphere(2), 2, 0)
    ray = trace(s, r, space=Sphere(2))
    angle = np.arccos(s @ r)
    assert ray.arrived
    normal = np.cross(s, r) / np.sin(angle)
    np.testing.assert_allclose(np.asarray(ray.points) @ normal, 0, atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(ray.points, axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(ray.length, angle, rtol=1e-12)
    np.testing.assert_allclose(ray.time, angle / 2, rtol=1e-12)


def test_ray_of_a_car_has_the_length_of_its_distance():
    """eps = 1: the distance is exact, its rays turn while they go straight."""
    space = PositionOrientation(2)
    s, r = jnp.array([0.2, -0.1, 0.3]), jnp.array([0.9, 0.7, -1.1])
    ray = trace(s, r, space=space)
    assert ray.arrived
    distance = space.distance(s, r)
    np.testing.assert_allclose(ray.length, distance, rtol=1e-3)
    np.testing.assert_allclose(ray.time, distance / 2, rtol=1e-3)
    turned = (np.asarray(ray.points) - np.asarray(s)) / np.asarray(r - s)
    np.testing.assert_allclose(turned[:, 0], turned[:, 2], atol=1e-3)


def test_time_along_the_ray_is_the_travel_time():
    s, r = jnp.array([-0.8, 0.1]), jnp.array([0.5, 0.7])
    want = linear_time(s, r)
    errors = []
    for step, max_steps in ((0.1, 30), (0.05, 60), (0.025, 120)):
        ray = trace(s, r, kind="linear", step=step, max_steps=max_steps)
        assert ray.arrived
        errors.append(abs(float(ray.time / want) - 1))
    assert errors[0] < 1e-3
    # Chords are shorter than arcs: second order.
    assert errors[2] < errors[0] / 10


def test_ray_in_a_linear_velocity_is_an_arc_that_ends_at_the_source():
    s, r = jnp.array([-0.8, 0.1]), jnp.array([0.5, 0.7])
    ray = trace(s, r, kind="linear", step=0.02, max_steps=120)
    points = np.asarray(ray.points)[np.asarray(ray.valid)]
    # The circle through both ends whose center lies where v = 0.
    g, s, r = (np.asarray(x) for x in (SLOPE, s, r))
    matrix = np.stack([r - s, g])
    center = np.linalg.solve(matrix, np.array([float(r @ r - s @ s) / 2, -2.0]))
    radius = np.linalg.norm(s - center)
    error = np.abs(np.linalg.norm(points - center, axis=1) / radius - 1)
    # The last step but one looks for gradients next to the source, where they turn.
    assert np.max(error[:-2]) < 1e-6
    assert np.max(error) < 1e-4


@pytest.mark.parametrize(
    ("space", "order"), [(Sphere(2), 4), (PositionOrientation(2), 2)]
)
def test_order_of_convergence_of_the_points(space, order):
    """Far from any source, along the gradient of a wavy function."""
    receiver = jnp.array([0.6, 0.8, 0.0])[: space.ambient_dim]
    source = 50 + receiver if space != Sphere(2) else -receiver

    def times(x):
        return jnp.sin(1.3 * x[0]) + 0.7 * x[1] ** 2 + jnp.cos(x[-1] + x[0]) + x[-1] / 2

    @functools.partial(jax.jit, static_argnums=0)
    def end(num_steps):
        ray = trace_ray(
            jax.grad(times),
            lambda x: jnp.ones(()),
            space,
            source,
            receiver,
            step=0.8 / num_steps,
            max_steps=num_steps,
        )
        return ray.points[num_steps]

    ends = [end(num_steps) for num_steps in (16, 32, 64)]
    coarse, fine = (np.linalg.norm(a - b) for a, b in itertools.pairwise(ends))
    assert np.log2(coarse / fine) > order - 0.3


def test_not_arriving_is_a_value():
    s, r = jnp.array([-0.8, 0.1]), jnp.array([0.5, 0.7])
    ray = trace(s, r, max_steps=5)
    assert not ray.arrived
    np.testing.assert_allclose(ray.length, 5 * 0.05, rtol=1e-12)
    valid = np.asarray(ray.valid)
    assert np.sum(valid) == 6
    assert np.all(np.isfinite(ray.points))
    # No gradient, or one that is not a number.
    for number in (0.0, jnp.nan):
        ray = trace_ray(
            lambda x, number=number: jnp.full(2, number),
            lambda x: jnp.ones(()),
            PLANE,
            s,
            r,
            step=0.1,
            max_steps=3,
        )
        assert not ray.arrived


def test_a_source_at_the_receiver_is_reached_at_once():
    s = jnp.array([-0.8, 0.1])
    ray = trace(s, s)
    assert ray.arrived
    assert ray.length == ray.time == 0
    assert np.all(np.asarray(ray.points) == np.asarray(s))


def test_many_rays_under_vmap_equal_a_loop():
    sources, receivers = (0.5 * cases.random_points(PLANE, 3, i) for i in (1, 2))
    together = jax.vmap(functools.partial(trace, kind="linear"))(sources, receivers)
    for i in range(3):
        ray = trace(sources[i], receivers[i], kind="linear")
        for leaf, other in zip(together, ray, strict=True):
            np.testing.assert_allclose(leaf[i], other, atol=1e-13)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"step": 0.0}, "`step`"), ({"max_steps": 0}, "`max_steps`")],
)
def test_bad_steps_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        trace(jnp.zeros(2), jnp.ones(2), **options)
