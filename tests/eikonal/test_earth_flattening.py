"""Laws of the Earth-flattening transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import data
from eqjax.eikonal import GridEikonal, RadialVelocity
from eqjax.eikonal._earth_flattening import (
    flatten_earth,
    flattened_speed,
    unflatten_earth,
)

EARTH = 6371.0
MODEL = RadialVelocity(*data.radial_speeds(data.earth_model("iasp91")))
# km; the strip holds distances to 90 degrees and the mantle.
STRIP = GridEikonal((254, 99), (40.0, 40.0))


def speeds_at(model, depths, width):
    return jax.vmap(lambda z: flattened_speed(model, z, width))(depths)


def strip_speeds(model, solver):
    size, width = solver.shape[1], solver.spacing[1]
    speeds = jax.jit(lambda z: speeds_at(model, z, width))(
        width * jnp.arange(1.0 * size)
    )
    return jnp.broadcast_to(speeds, solver.shape)


@pytest.fixture(scope="module")
def surface_times():
    """(speeds, depth of the source, angles) -> times at the surface."""

    def times(speeds, depth, angles):
        source = flatten_earth(jnp.stack([0 * depth, EARTH - depth]))
        solution = STRIP.solve(speeds, source)
        radii = jnp.full_like(angles, EARTH)
        receivers = flatten_earth(jnp.stack([angles, radii], axis=-1))
        at = jax.vmap(STRIP.times_at, (None, None, 0))
        return at(solution, source, receivers)

    return jax.jit(times)


def test_there_and_back():
    positions = jnp.asarray([[0.3, 6371.0], [-1.2, 3480.0], [2.0, 10.0]])
    flat = flatten_earth(positions)
    np.testing.assert_allclose(flat[0], [0.3 * EARTH, 0.0], atol=1e-12)
    np.testing.assert_allclose(unflatten_earth(flat), positions, rtol=1e-13)


def test_the_map_is_conformal():
    # |d(x, z)|^2 = (R / r)^2 (r^2 dtheta^2 + dr^2): times keep with v R / r.
    positions = jnp.asarray([[0.3, 6000.0], [-1.2, 3480.0]])
    jacobians = jax.jit(jax.vmap(jax.jacobian(flatten_earth)))(positions)
    for jacobian, (_, r) in zip(np.asarray(jacobians), positions.tolist(), strict=True):
        scaled = jacobian @ np.diag([1 / r, 1]) * r / EARTH
        np.testing.assert_allclose(scaled @ scaled.T, np.eye(2), atol=1e-14)


def test_speeds_are_those_of_the_earth():
    @jax.jit
    def speeds():
        depths = jnp.asarray([100.0, 1000.0, 3000.0])
        radii = unflatten_earth(jnp.stack([0 * depths, depths], axis=-1))[:, 1]
        expected = jax.vmap(MODEL.at_radius)(radii) * EARTH / radii
        cells = speeds_at(MODEL, 17.5 + 35.0 * jnp.arange(100.0), 35.0)
        whole = flattened_speed(MODEL, jnp.asarray(1750.0), 3500.0)
        return speeds_at(MODEL, depths, 1e-3), expected, cells, whole

    points, expected, cells, whole = speeds()
    np.testing.assert_allclose(points, expected, rtol=1e-6)
    # Cells add up to the time of a vertical ray through all of them.
    np.testing.assert_allclose(np.mean(1 / cells), 1 / whole, rtol=1e-12)


def test_straight_rays_through_a_uniform_earth(surface_times):
    angles = jnp.deg2rad(jnp.asarray([10.0, 30.0, 60.0]))
    depth = jnp.asarray(10.0)
    uniform = RadialVelocity((0.0, EARTH), (10.0, 10.0))
    times = surface_times(strip_speeds(uniform, STRIP), depth, angles)
    r = EARTH - 10
    square = EARTH**2 + r**2 - 2 * EARTH * r * np.cos(angles)
    # 1.3e-5 was measured at 10 degrees, 4e-6 beyond.
    np.testing.assert_allclose(times, np.sqrt(square) / 10, rtol=2e-5)


def test_published_arrivals(surface_times):
    angles = jnp.deg2rad(jnp.asarray([30.0, 45.0, 60.0, 75.0, 90.0]))
    times = surface_times(strip_speeds(MODEL, STRIP), jnp.asarray(10.0), angles)
    # First P arrivals in s of iasp91, source at 10 km, by the TauP method (Crotwell,
    # Owens, Ritsema, 1999). 0.14 s was measured; 0.3 s are the project's goal.
    published = [368.73, 495.40, 606.67, 701.60, 779.66]
    np.testing.assert_allclose(times, published, rtol=0, atol=0.3)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`position`"):
        flatten_earth(jnp.zeros(3))
    with pytest.raises(ValueError, match="`position`"):
        unflatten_earth(jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="`radius`"):
        flatten_earth(jnp.ones(2), radius=0.0)
    with pytest.raises(ValueError, match="`width`"):
        flattened_speed(MODEL, jnp.asarray(1.0), -1.0)
