"""Real spherical harmonics of a vector."""

from __future__ import annotations

import functools

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.o3._harmonics_table import harmonics
from eqjax.o3._spherical_harmonics import spherical_harmonics

AXES = np.concatenate([np.eye(3), -np.eye(3), [[1e-7, 1.0, 0.0]]])


def vectors(num: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(num, 3))


def many(max_degree: int, r: np.ndarray, **options) -> np.ndarray:
    function = functools.partial(spherical_harmonics, max_degree, **options)
    return np.asarray(jax.vmap(function)(jnp.asarray(r)), np.float64)


@pytest.mark.parametrize("normalization", ["component", "norm", "integral"])
def test_order_and_sign_are_e3nns(normalization):
    r = vectors(5)
    vector = e3nn_jax.IrrepsArray("1o", jnp.asarray(r))
    for normalize in (False, True) if normalization == "component" else (False,):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            want = e3nn_jax.spherical_harmonics(
                list(range(5)), vector, normalize, normalization=normalization
            ).array
        options = {"normalization": normalization, "normalize": normalize}
        # Values are up to 1e3 for the longest vector.
        np.testing.assert_allclose(many(4, r, **options), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("max_degree", [0, 1, 2, 3, 4, 12])
def test_agrees_with_the_recursion_in_the_degree(max_degree):
    """Of another form, in NumPy; degrees up to 3 are written out here."""
    r = np.concatenate([vectors(20), AXES])
    r /= np.linalg.norm(r, axis=1, keepdims=True)
    # Rounding grows with the degree: 3e-14 at 12.
    want = harmonics(max_degree, r)
    np.testing.assert_allclose(many(max_degree, r), want, rtol=0, atol=1e-13)


def test_mean_squares_and_products_over_the_sphere():
    """Gauss-Legendre points in the height, uniform ones in the azimuth."""
    height, weights = np.polynomial.legendre.leggauss(6)
    azimuth = 2 * np.pi * np.arange(11) / 11
    radius = np.sqrt(1 - height**2)
    points = np.stack(
        [
            np.outer(radius, np.sin(azimuth)),
            np.broadcast_to(height[:, None], (6, 11)),
            np.outer(radius, np.cos(azimuth)),
        ],
        axis=-1,
    )
    y = many(5, points.reshape(-1, 3))
    weights = np.repeat(weights / 22, 11)
    np.testing.assert_allclose((y.T * weights) @ y, np.eye(36), rtol=0, atol=1e-13)
    degree = [slice(l * l, (l + 1) ** 2) for l in range(6)]
    norm = many(5, points[0, :1], normalization="norm")[0]
    sums = [np.sum(norm[part] ** 2) for part in degree]
    np.testing.assert_allclose(sums, 1, rtol=0, atol=1e-14)


def test_polynomials_are_homogeneous_and_normalized_ones_constant():
    r = vectors(4)
    degree = np.repeat(range(5), 2 * np.arange(5) + 1)
    want = many(4, r) * 3.0**degree
    np.testing.assert_allclose(many(4, 3 * r), want, rtol=1e-13, atol=1e-12)
    for scale in (3.0, 1e-300, 1e300):
        got = many(4, scale * r, normalize=True)
        np.testing.assert_allclose(got, many(4, r, normalize=True), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("max_degree", "normalize"), [(4, False), (2, True)])
def test_derivatives_are_those_of_the_polynomials(max_degree, normalize):
    """The gradient of a harmonic polynomial: Euler's and Laplace's equations.

    At the axes and at zero too. Of normalised vectors the degree is 0, and the
    Laplacian on the sphere -l (l + 1).
    """
    function = functools.partial(spherical_harmonics, max_degree, normalize=normalize)

    @jax.jit
    @jax.vmap
    def derivatives(r):
        gradient = jax.jacfwd(function)
        return function(r), gradient(r), jax.jacfwd(gradient)(r)

    r = np.concatenate([vectors(3), AXES, 1e-6 * AXES[:1] + AXES[1:2]])
    r /= np.linalg.norm(r, axis=1, keepdims=True)
    r = np.concatenate([np.zeros((1, 3)), r])
    y, gradient, hessian = (np.asarray(a) for a in derivatives(jnp.asarray(r)))
    l = np.repeat(range(max_degree + 1), 2 * np.arange(max_degree + 1) + 1)
    euler = np.einsum("bij,bj->bi", gradient, r)
    laplace = np.einsum("bijj->bi", hessian)
    want = (0 * y, -l * (l + 1) * y) if normalize else (l * y, 0 * y)
    np.testing.assert_allclose(euler, want[0], rtol=0, atol=1e-12)
    # Second derivatives are up to 100.
    np.testing.assert_allclose(laplace, want[1], rtol=0, atol=1e-11)
    # Of the zero vector, which comes first.
    np.testing.assert_array_equal(y[0], np.eye(len(l))[0])
    slope = np.zeros((len(l), 3))
    if not normalize:
        slope[1:4] = np.sqrt(3) * np.eye(3)
    np.testing.assert_allclose(gradient[0], slope, rtol=0, atol=1e-15)


def test_float32_error_at_degree_10():
    r = np.concatenate([vectors(2000), AXES])
    r = (r.T / np.linalg.norm(r, axis=1)).T.astype(np.float32)
    length = np.linalg.norm(r.astype(float), axis=1, keepdims=True)
    degree = np.repeat(range(11), 2 * np.arange(11) + 1)
    want = harmonics(10, r / length) * length**degree
    # 2e-6 as measured; rounding of the largest value, 4.6, in each of ten steps.
    np.testing.assert_allclose(many(10, r), want, rtol=0, atol=5e-6)


def test_dtype_is_kept_and_batches_stand_where_they_are_asked_for():
    r = jax.ShapeDtypeStruct((3,), jnp.bfloat16)
    for normalize in (False, True):
        function = functools.partial(spherical_harmonics, 4, normalize=normalize)
        assert jax.eval_shape(function, r).dtype == jnp.bfloat16
    r = vectors(3)
    function = functools.partial(spherical_harmonics, 4)
    first = jax.vmap(function, in_axes=1, out_axes=1)(jnp.asarray(r.T))
    np.testing.assert_allclose(first.T, many(4, r), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spherical_harmonics(-1, jnp.ones(3)), "`max_degree` must be"),
        (lambda: spherical_harmonics(2, jnp.ones((5, 3))), r"`r` .* Use `jax.vmap`"),
        (lambda: spherical_harmonics(2, jnp.ones(3, int)), "`r` must be a floating"),
        (
            lambda: spherical_harmonics(2, jnp.ones(3), normalization="unit"),  # pyright: ignore[reportArgumentType]
            "`normalization` must be one of",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
