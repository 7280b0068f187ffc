"""assert_composes passes what composes and names what does not."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import Tracer

from eqjax import testing

KEY = jax.random.key(3)
X = jnp.array([0.4, -1.3, 0.7])
assert_composes = partial(testing.assert_composes, key=KEY)


def network(params, x):
    return jnp.tanh(params["weight"] @ x + params["bias"])


PARAMS = {"weight": jnp.array([[1.0, -2.0, 0.3], [0.1, 0.2, -0.6]]), "bias": X[:2]}


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_network_composes(dtype):
    params, x = jax.tree.map(lambda leaf: leaf.astype(dtype), (PARAMS, X))
    assert_composes(network, params, x)


def test_integers_booleans_and_keys_are_left_alone():
    def fn(x, index, flag, key):
        noise = jax.random.normal(key, x.shape, x.dtype)
        moved = jnp.where(flag, x + noise, x)
        return {"entry": moved[index], "index": index + 1, "flag": ~flag, "key": key}

    assert_composes(fn, X, jnp.asarray(1), jnp.asarray(True), jax.random.key(7))


def test_functions_without_derivatives_end_early():
    assert_composes(lambda i: i * 2, jnp.arange(3))
    assert_composes(lambda x: jnp.argmax(x), X)


def test_structures_of_the_result_survive():
    assert_composes(lambda x: (x, None, {"sum": jnp.sum(x)}, 2.0), X)


def test_value_that_depends_on_tracing_is_caught():
    def fn(x):
        return x if isinstance(x, Tracer) else 1.001 * x

    with pytest.raises(AssertionError, match=r"jit\(fn\) differs by 9\.99e-04"):
        assert_composes(fn, X)


def test_dtype_that_depends_on_tracing_is_caught():
    def fn(x):
        return x if isinstance(x, Tracer) else x.astype(jnp.float32)

    with pytest.raises(AssertionError, match=r"float64.* instead of float32"):
        assert_composes(fn, X)


def test_value_that_depends_on_batching_is_caught():
    @jax.custom_batching.custom_vmap
    def double(x):
        return 2 * x

    @double.def_vmap
    def _(axis_size, in_batched, x):
        return 2 * x[::-1], True

    with pytest.raises(AssertionError, match=r"vmap\(fn\), against a loop, differs"):
        assert_composes(double, X, modes=())


def test_wrong_reverse_derivative_is_caught_with_the_leaf():
    @jax.custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, ct: (2.001 * x * ct,))

    def fn(params, x):
        return params["a"] * square(x)

    with pytest.raises(
        AssertionError, match=r"reverse-mode derivative with respect to args\[1\]"
    ):
        assert_composes(fn, {"a": X}, X, modes=("reverse",))


def test_derivative_that_is_zero_by_accident_is_caught():
    def fn(params, x):
        return jax.lax.stop_gradient(params["scale"]) * x

    with pytest.raises(AssertionError, match=r"respect to args\[0\]\['scale'\]"):
        assert_composes(fn, {"scale": jnp.asarray(2.0)}, X)
    assert_composes(fn, {"scale": jnp.asarray(2.0)}, X, argnums=1)


def test_modes_that_disagree_are_caught():
    # Forward mode is wrong by a relative 1e-8: finite differences cannot see it.
    @jax.custom_jvp
    def inner(x):
        return jnp.sin(x)

    @inner.defjvp
    def _(primals, tangents):
        (x,), (t,) = primals, tangents

        def solve(_, b):
            return b

        def solve_transposed(_, b):
            return b * (1 + 1e-8)

        t = jax.lax.custom_linear_solve(
            lambda v: v, t, solve, transpose_solve=solve_transposed
        )
        return jnp.sin(x), jnp.cos(x) * t

    with pytest.raises(AssertionError, match="forward and reverse mode"):
        assert_composes(inner, X)


def test_nan_derivative_is_caught():
    with pytest.raises(AssertionError, match="differs from finite differences"):
        assert_composes(lambda x: jnp.where(x > 0, x, 0) * jnp.sqrt(x * 0), X)


def test_unused_leaves_pass():
    assert_composes(lambda used, unused: used**2, X, {"unused": jnp.ones((2, 0))})
    assert_composes(lambda used, unused: used**2, X, jnp.zeros(5))


def test_loops_without_reverse_mode():
    def newton(x):
        def body(state):
            y, _ = state
            new = (y + x / y) / 2
            return new, jnp.abs(new - y)

        return jax.lax.while_loop(lambda s: s[1] > 1e-14, body, (x, x + 1))[0]

    assert_composes(newton, jnp.asarray(2.0), modes=("forward",))


def test_zeros_stay_zero_and_signs_stay_in_the_batch():
    seen = []

    def fn(x):
        if not isinstance(x, Tracer):
            seen.append(np.asarray(x))
        return jnp.sum(x)

    assert_composes(fn, jnp.array([0.0, 1e-3, -2.0]), batch_size=4, modes=())
    assert len({s.tobytes() for s in seen}) == 4
    for x in seen:
        assert np.array_equal(np.sign(x), [0, 1, -1])


def test_misuse_is_a_value_error():
    with pytest.raises(ValueError, match="`modes`"):
        assert_composes(jnp.sin, X, modes=("backward",))
    with pytest.raises(ValueError, match="`batch_size`"):
        assert_composes(jnp.sin, X, batch_size=0)
