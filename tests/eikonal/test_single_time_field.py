"""Travel times of one velocity field: what holds for any parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal import SingleTravelTimeField, residual_loss
from eqjax.spaces import Euclidean, Hyperbolic, Sphere
from tests import field_cases as cases

BOUNDS = jnp.array([1.3, 5.9])
SPACES = (Euclidean(3), Sphere(2), Hyperbolic(2))
spaces = pytest.mark.parametrize("space", SPACES, ids=str)


def setup(space, **options):
    field = SingleTravelTimeField(space, hidden=6, num_layers=2, scale=1.5, **options)
    params = cases.random_params(field, 0)
    s, r = (cases.random_points(space, 7, seed) for seed in (1, 2))
    return field, params, s, r


def times(field, params, s, r, bounds=BOUNDS):
    return jax.vmap(lambda s, r: field.times(params, {}, s, r, bounds))(s, r)


@spaces
def test_laws_of_times(space):
    """Symmetric to the last bit, between its bounds, homogeneous, zero at the source.

    They hold by the form of T, so the tolerance is a few roundings.
    """
    for bound in ("linear", "log"):
        field, params, s, r = setup(space, bound=bound)
        fn = jax.jit(lambda s, r, b, field=field, p=params: times(field, p, s, r, b))
        there = fn(s, r, BOUNDS)
        assert np.array_equal(there, fn(r, s, BOUNDS))
        np.testing.assert_allclose(fn(s, r, 3 * BOUNDS), there / 3, rtol=1e-13)
        slownesses = there / space.distance(s, r)
        assert np.all((slownesses > 1 / BOUNDS[1]) & (slownesses < 1 / BOUNDS[0]))
        assert np.ptp(slownesses) > 1e-3  # the perceptron has a say
        assert np.all(fn(s, s, BOUNDS) == 0)


@spaces
def test_slownesses_are_norms_of_gradients(space):
    """Finite where the ends coincide, too."""
    field, params, s, r = setup(space)

    @jax.jit
    def both(s, r):
        _, *slownesses = field.times_and_slowness(params, {}, s, r, BOUNDS)
        gradient = jax.grad(lambda a, b: field.times(params, {}, a, b, BOUNDS), (0, 1))
        norms = jax.tree.map(space.dual_norm, (s, r), gradient(s, r))
        return jnp.stack(slownesses), jnp.stack(norms)

    got, want = jax.vmap(both)(s, r)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    at_source, _ = jax.vmap(both)(s, s)
    assert np.all((at_source > 1 / BOUNDS[1]) & (at_source < 1 / BOUNDS[0]))


def test_losses_take_it_without_latents():
    """And where the speed is constant, T is exact before any training."""
    field, params, s, r = setup(Euclidean(3))
    speeds, bounds = jnp.full((7, 2), 2.0), jnp.array([2.0, 2.0])
    loss = residual_loss(field, params, {}, s, r, speeds, bounds)
    assert loss < 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden"),
        ({"num_layers": 0}, "num_layers"),
        ({"scale": 0.0}, "scale"),
        ({"frequency": -1.0}, "frequency"),
        ({"bound": "cubic"}, "bound"),
    ],
)
def test_bad_options_are_refused(options, message, user_errors):
    with pytest.raises(ValueError, match=message):
        SingleTravelTimeField(Euclidean(2), **options)


def test_points_of_another_space_are_refused(user_errors):
    field, params, s, _ = setup(Euclidean(3))
    with pytest.raises(ValueError, match="receiver"):
        field.times(params, {}, s[0], s[0, :2], BOUNDS)
