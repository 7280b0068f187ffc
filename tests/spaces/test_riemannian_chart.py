"""Charts with a written metric, against spaces whose geodesics are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.spaces import Hyperbolic, RiemannianChart


def half_plane(x, curvature=1.0):
    """The metric of curvature -curvature on the upper half-plane."""
    return jnp.eye(2, dtype=x.dtype) / (curvature * x[1] ** 2)


def skewed(x):
    """No symmetry at all."""
    return jnp.array(
        [[2 + jnp.sin(x[0] * x[1]), 0.3 * x[0]], [0.3 * x[0], 1 + x[1] ** 2]]
    )


X = RiemannianChart(2, half_plane)
POINT, VELOCITY = jnp.array([0.3, 0.8]), jnp.array([0.9, -0.4])


def known_end(x, v):
    """The end of the geodesic, by the closed form on the hyperboloid."""
    space = Hyperbolic(2)
    point, velocity = jax.jvp(space.from_half_plane, (x,), (v,))
    return space.to_half_plane(space.exp(point, velocity))


def test_geodesics_converge_with_order_four_to_the_closed_form():
    want = known_end(POINT, VELOCITY)
    errors = []
    for num_steps in (8, 16, 32):
        chart = RiemannianChart(2, half_plane, num_steps=num_steps)
        error = jax.jit(chart.exp)(POINT, VELOCITY) - want
        errors.append(float(jnp.linalg.norm(error)))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    # The next order is one step length, up to 1/8, smaller.
    np.testing.assert_allclose(orders, 4, atol=0.3)
    assert errors[-1] < 1e-6


def test_metrics_agree_with_the_hyperboloid():
    space = Hyperbolic(2)
    point, pull = jax.vjp(space.to_half_plane, space.from_half_plane(POINT))
    np.testing.assert_allclose(point, POINT, rtol=1e-15)
    dT = jnp.array([0.7, -1.3])
    want = space.dual_norm(space.from_half_plane(POINT), pull(dT)[0])
    np.testing.assert_allclose(X.dual_norm(POINT, dT), want, rtol=1e-14)


def test_algebra_of_the_metric():
    chart = RiemannianChart(2, skewed)
    x, u, dT = jnp.array([[0.3, 0.8], [1.1, -0.4], [0.6, 0.5]])
    raised, metric = chart.raise_index(x, dT), np.asarray(skewed(x))
    np.testing.assert_allclose(raised, np.linalg.solve(metric, dT), rtol=1e-13)
    np.testing.assert_allclose(chart.inner(x, raised, u), jnp.dot(dT, u), rtol=1e-13)
    np.testing.assert_allclose(
        chart.dual_norm(x, dT) ** 2, chart.inner(x, raised, raised), rtol=1e-13
    )
    frame = np.asarray(chart.frame(x))
    np.testing.assert_allclose(frame @ metric @ frame.T, np.eye(2), atol=1e-14)
    gradient = jax.grad(lambda dT: chart.dual_norm(x, dT))(jnp.zeros(2))
    assert np.all(gradient == 0)


def test_geodesics_keep_their_speed_and_compose():
    chart = RiemannianChart(2, skewed, num_steps=64)
    x, v = jnp.array([[0.3, 0.8], [1.1, -0.4]])

    @jax.jit
    def state(s):
        return jax.jvp(lambda s: chart.exp(x, s * v), (s,), (1.0,))

    there, velocity = state(1.0)
    squared = chart.inner(x, v, v)
    # The error of the method at 64 steps; 16 times as large at 32.
    np.testing.assert_allclose(
        chart.inner(there, velocity, velocity), squared, rtol=1e-6
    )
    middle, halfway = state(0.4)
    np.testing.assert_allclose(chart.exp(middle, 0.6 * halfway), there, rtol=1e-6)
    # Derivatives are those of the numerical geodesic: at v = 0 the identity.
    jacobian = jax.jacrev(lambda v: chart.exp(x, v))(jnp.zeros(2))
    np.testing.assert_allclose(jacobian, np.eye(2), atol=1e-13)


def test_leading_axes_broadcast_and_float32_stays():
    x = jnp.broadcast_to(POINT, (3, 1, 2)).astype(jnp.float32)
    v = (jnp.arange(1.0, 6.0)[:, None] / 5 * VELOCITY[None]).astype(jnp.float32)
    ends = jax.jit(X.exp)(x, v)
    assert ends.shape == (3, 5, 2)
    assert ends.dtype == X.dual_norm(x, v).dtype == X.frame(x).dtype == jnp.float32
    assert X.inner(x, v, v).shape == X.dual_norm(x, v).shape == (3, 5)
    np.testing.assert_allclose(ends[1, 4], known_end(POINT, VELOCITY), rtol=1e-5)


def test_equal_names_and_parameters_are_equal_charts():
    assert RiemannianChart(2, half_plane) == X
    assert hash(RiemannianChart(2, half_plane)) == hash(X)
    other = RiemannianChart(2, half_plane, params=(4.0,))
    assert other != X
    assert RiemannianChart(2, skewed) != X
    # Curvature -4 halves the distances, and doubles the norms of covectors.
    dT = jnp.array([0.7, -1.3])
    ratio = other.dual_norm(POINT, dT) / X.dual_norm(POINT, dT)
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-15)


def test_what_a_chart_cannot_do_is_refused():
    x = jnp.array([0.0, 1.0])
    for call in (
        functools.partial(X.distance, x, x),
        functools.partial(X.log, x, x),
        functools.partial(X.transport, x, x, x),
        functools.partial(X.sample, key=jax.random.key(0)),
        functools.partial(X.act, None, x),
    ):
        with pytest.raises(ValueError, match=r"closed form|`sample`|No group"):
            call()

    def inside(x):
        return half_plane(x)

    for metric in (lambda x: half_plane(x), inside, functools.partial(half_plane)):
        with pytest.raises(ValueError, match="`metric` must be a function at the top"):
            RiemannianChart(2, metric)
    with pytest.raises(ValueError, match="`metric` must return a matrix"):
        RiemannianChart(3, half_plane).dual_norm(jnp.ones(3), jnp.ones(3))
