"""Spherical harmonics of places, and networks on them."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import spaces
from eqjax.fields._location_encoder import LocationEncoder, SphericalHarmonicEncoder
from eqjax.fields._siren import Siren
from eqjax.groups import O
from tests import field_cases as cases

ENCODER = SphericalHarmonicEncoder(4)
FIELD = LocationEncoder(SphericalHarmonicEncoder(1), Siren(4, 2, num_layers=1))


def test_features_are_orthonormal() -> None:
    heights, weights = np.polynomial.legendre.leggauss(5)
    azimuths = 2 * np.pi * np.arange(9) / 9
    h, a = (grid.ravel() for grid in np.meshgrid(heights, azimuths, indexing="ij"))
    r = np.sqrt(1 - h * h)
    points = jnp.asarray(np.stack([r * np.cos(a), r * np.sin(a), h], axis=-1))
    y = np.asarray(jax.vmap(ENCODER)(points))
    w = np.repeat(weights, 9) * 2 * np.pi / 9
    # The rule is exact up to degree 9 > 4 + 4.
    np.testing.assert_allclose(y.T @ (w[:, None] * y), np.eye(25), atol=1e-13)


def test_turning_the_first_layer_turns_the_field() -> None:
    sphere = spaces.Sphere(2)
    g = jax.tree.map(lambda leaf: leaf[0], cases.random_elements(O(3), 1, 1))

    @jax.jit
    def values(xs: jax.Array) -> tuple[jax.Array, jax.Array]:
        params = FIELD.init(key=jax.random.key(0))
        first = params["sine_0"]
        kernel = FIELD.encoder.degrees.apply(g, first["kernel"])
        turned = {**params, "sine_0": {**first, "kernel": kernel}}
        f = jax.vmap(lambda x: FIELD.apply(params, x))(xs)
        return f, jax.vmap(lambda x: FIELD.apply(turned, sphere.act(g, x)))(xs)

    f, moved = values(cases.random_points(sphere, 5, 0))
    # Phases of size 30 times a few.
    np.testing.assert_allclose(moved, f, atol=1e-13)


def test_keeps_the_dtype() -> None:
    init = functools.partial(FIELD.init, dtype=jnp.float32)
    params = jax.eval_shape(init, key=jax.random.key(0))
    pole = jnp.array([0.0, 0.0, 1.0], jnp.float32)
    assert jax.eval_shape(FIELD.apply, params, pole).dtype == jnp.float32


@pytest.mark.usefixtures("user_errors")
def test_misuse() -> None:
    with pytest.raises(ValueError, match=r"`head\.num_in` must be 25, .*got 16"):
        LocationEncoder(ENCODER, Siren(16, 1))
    with pytest.raises(ValueError, match="`max_degree` must be an integer"):
        SphericalHarmonicEncoder(-1)
    with pytest.raises(ValueError, match=r"`r` must be an array of shape \(3\)"):
        ENCODER(jnp.ones((2, 3)))
