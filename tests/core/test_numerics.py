"""nan-safe numerics: exact values and finite derivatives at the singular points."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from eqjax._core._numerics import (
    is_small,
    safe_acos,
    safe_atan2,
    safe_norm,
    safe_normalize,
    safe_sqrt,
    wrap_angle,
)

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def array(values, dtype):
    return jnp.asarray(np.asarray(values, dtype))


def rtol(dtype, roundings):
    return roundings * float(jnp.finfo(dtype).eps)


@dtypes
def test_sqrt_at_and_below_zero(dtype):
    x = array([-2.0, -0.0, 0.0, 1e-30, 4.0], dtype)
    y, derivative = jax.vmap(jax.value_and_grad(safe_sqrt))(x)
    assert y.dtype == dtype
    # One rounding of the square root, one of 1e-30.
    np.testing.assert_allclose(y, [0, 0, 0, 1e-15, 2], rtol=rtol(dtype, 2))
    np.testing.assert_allclose(derivative, [0, 0, 0, 5e14, 0.25], rtol=rtol(dtype, 4))


@dtypes
def test_norm_is_zero_with_zero_gradient_at_zero(dtype):
    y, gradient = jax.jit(jax.value_and_grad(safe_norm))(jnp.zeros(3, dtype))
    assert y.dtype == gradient.dtype == dtype
    assert y == 0
    assert np.all(gradient == 0)
    hessian = jax.jit(jax.hessian(safe_norm))(jnp.zeros(3, dtype))
    assert np.all(np.isfinite(hessian))


@dtypes
@pytest.mark.parametrize("exponent", [-30, 0, 30])
def test_norm_neither_overflows_nor_underflows(dtype, exponent):
    # The squares of 1e30 and 1e-30 lie outside float32.
    x = array([3.0, 0.0, -4.0], dtype) * 10.0**exponent
    y, gradient = jax.jit(jax.value_and_grad(safe_norm))(x)
    np.testing.assert_allclose(y, 5 * 10.0**exponent, rtol=rtol(dtype, 4))
    np.testing.assert_allclose(gradient, [0.6, 0, -0.8], atol=rtol(dtype, 4))


def test_norm_has_the_right_hessian_where_largest_entries_tie():
    x = jnp.array([2.0, -2.0, 1.0])
    length = 3.0
    want = (np.eye(3) - np.outer(x, x) / length**2) / length
    np.testing.assert_allclose(jax.jit(jax.hessian(safe_norm))(x), want, atol=1e-15)


def test_norm_keeps_the_axis_on_request_and_batches():
    x = jnp.arange(30.0).reshape(5, 2, 3)
    assert safe_norm(x).shape == (5, 2)
    assert safe_norm(x, keepdims=True).shape == (5, 2, 1)
    want = np.linalg.norm(x, axis=-1)
    np.testing.assert_allclose(safe_norm(x), want, rtol=1e-15)


@hypothesis.given(
    st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=3, max_size=3)
)
def test_norm_agrees_with_numpy(values):
    x = np.asarray(values)
    # Three squares, two sums, a root: at most 4 roundings; entries below 1e-150 vanish
    # in NumPy's squares.
    np.testing.assert_allclose(
        safe_norm(jnp.asarray(x)), np.linalg.norm(x), rtol=1e-15, atol=1e-150
    )


@dtypes
def test_normalize(dtype):
    y = safe_normalize(jnp.zeros(2, dtype))
    jacobian = jax.jit(jax.jacobian(safe_normalize))
    assert y.dtype == dtype
    assert np.all(y == 0)
    assert np.all(jacobian(jnp.zeros(2, dtype)) == 0)
    x = array([3.0, 4.0], dtype)
    np.testing.assert_allclose(safe_normalize(x), [0.6, 0.8], rtol=rtol(dtype, 2))
    want = (np.eye(2) - np.outer([0.6, 0.8], [0.6, 0.8])) / 5
    np.testing.assert_allclose(jacobian(x), want, atol=rtol(dtype, 4))
    # A tiny vector has a direction as well.
    np.testing.assert_allclose(
        safe_normalize(x * 1e-30), [0.6, 0.8], rtol=rtol(dtype, 4)
    )


@dtypes
def test_atan2_at_the_origin_and_on_the_axes(dtype):
    y = array([0.0, 0.0, 0.0, 1.0, -1.0, 1.0], dtype)
    x = array([0.0, 1.0, -1.0, 0.0, 0.0, 1.0], dtype)
    pi = np.pi
    want = [0, 0, pi, pi / 2, -pi / 2, pi / 4]
    value = safe_atan2(y, x)
    assert value.dtype == dtype
    np.testing.assert_allclose(value, want, rtol=rtol(dtype, 2))
    d_y, d_x = jax.vmap(jax.grad(safe_atan2, argnums=(0, 1)))(y, x)
    np.testing.assert_allclose(d_y, [0, 1, -1, 0, 0, 0.5], atol=rtol(dtype, 2))
    np.testing.assert_allclose(d_x, [0, 0, 0, -1, 1, -0.5], atol=rtol(dtype, 2))


@dtypes
def test_acos_at_and_beyond_the_ends(dtype):
    x = array([-1.5, -1.0, 0.0, 0.5, 1.0, 1.5], dtype)
    y, derivative = jax.vmap(jax.value_and_grad(safe_acos))(x)
    assert y.dtype == dtype
    pi = np.pi
    np.testing.assert_allclose(y, [pi, pi, pi / 2, pi / 3, 0, 0], rtol=rtol(dtype, 2))
    np.testing.assert_allclose(
        derivative, [0, 0, -1, -2 / np.sqrt(3), 0, 0], rtol=rtol(dtype, 4)
    )


@dtypes
def test_wrapped_angles(dtype):
    pi = np.pi
    turns = np.array([0.0, 1.0, -1.0, 3.0, -2.5, 7.0])
    wrapped = wrap_angle(array(turns, dtype))
    assert wrapped.dtype == dtype
    want = np.arctan2(np.sin(turns), np.cos(turns))
    # Angles of size 7 are rounded to 7 eps, and so are the subtracted turns.
    np.testing.assert_allclose(wrapped, want, atol=rtol(dtype, 14))
    ends = wrap_angle(array([pi, -pi, 3 * pi, 1e4], dtype))
    assert np.all(np.abs(ends) <= pi * (1 + rtol(dtype, 1)))
    derivative = jax.vmap(jax.grad(wrap_angle))(array([0.0, pi, -pi, 9.0], dtype))
    assert np.all(derivative == 1)


@dtypes
def test_third_order_series_are_exact_where_arguments_are_small(dtype):
    eps = float(jnp.finfo(dtype).eps)
    squared = array([0.0, 0.9 * eps ** (1 / 3), 1.1 * eps ** (1 / 3)], dtype)
    small = is_small(squared)
    assert small.tolist() == [True, True, False]
    assert 0.9**3 * eps < eps
