"""Linear maps of each degree."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, reps
from eqjax.o3._degrees import Degrees
from eqjax.o3._linear import init_linear, linear
from tests.reps.cases import sample_matrices

NATURAL = Degrees(2)
BOTH = Degrees(1, parity="both")
# Sums of three products of numbers of size one: a few roundings.
ATOL = 1e-14


def case(degrees: Degrees) -> tuple[np.ndarray, ...]:
    """Weights, features (7, dim, 3), bias."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(len(degrees.irreps), 3, 5))
    return weights, rng.normal(size=(7, degrees.dim, 3)), rng.normal(size=5)


@pytest.fixture(scope="module", params=[NATURAL, BOTH], ids=["natural", "both"])
def results(request):
    """Of the batch, with it first and with components first."""
    degrees = request.param
    weights, x, bias = case(degrees)

    def run(weights, x, bias):
        def fn(x):
            return linear(weights, x, bias=bias)

        inner = jax.vmap(fn, in_axes=1, out_axes=1)(jnp.swapaxes(x, 0, 1))
        plain = jax.vmap(lambda x: linear(weights, x))(x)
        return jax.vmap(fn)(x), jnp.swapaxes(inner, 0, 1), plain

    return degrees, *jax.jit(run)(weights, x, bias)


def test_each_irrep_has_its_matrix_and_the_even_scalar_a_bias(results):
    degrees, y, inner, plain = results
    weights, x, bias = case(degrees)
    for w, rows in zip(weights, degrees.slices, strict=True):
        want = x[:, rows] @ w
        np.testing.assert_allclose(plain[:, rows], want, rtol=0, atol=ATOL)
    want = np.array(plain)
    want[:, 0] += bias
    np.testing.assert_allclose(y, want, rtol=0, atol=ATOL)
    np.testing.assert_allclose(inner, y, rtol=0, atol=ATOL)


@pytest.mark.parametrize("degrees", [NATURAL, BOTH], ids=["natural", "both"])
def test_it_commutes_with_reflections(degrees):
    weights, x, bias = (jnp.asarray(a) for a in case(degrees))
    matrices = degrees._matrix_at(sample_matrices(groups.O(3), 4))
    moved = jnp.concatenate([x[:1], jnp.asarray(matrices @ x[0])])
    y = jax.vmap(lambda x: linear(weights, x, bias=bias))(moved)
    np.testing.assert_allclose(y[1:], matrices @ y[0], rtol=0, atol=3 * ATOL)


def test_it_has_all_maps_that_commute():
    """As many parameters as there are maps between 2 and 3 copies."""
    for degrees in (NATURAL, BOTH, Degrees(2, parity="none")):
        weights = init_linear(degrees, 2, 3, key=jax.random.key(0))
        irreps = degrees.irreps
        total = irreps[0]
        for irrep in irreps[1:]:
            total = total + irrep
        assert reps.hom(2 * total, 3 * total).num_maps == weights.size


def test_its_dtype_is_kept():
    weights, x, bias = (jnp.asarray(a, jnp.bfloat16) for a in case(NATURAL))
    y = linear(weights, x[0], bias=bias)
    assert y.dtype == jnp.bfloat16
    # bfloat16 has 8 bits.
    want = case(NATURAL)[1][0, 0] @ case(NATURAL)[0][0] + case(NATURAL)[2]
    np.testing.assert_allclose(np.asarray(y, float)[0], want, rtol=0, atol=0.05)


def test_initial_weights_are_uniform():
    weights = init_linear(BOTH, 100, 7, dtype=jnp.float64, key=jax.random.key(0))
    assert weights.shape == (4, 100, 7)
    assert weights.dtype == jnp.float64
    size = np.abs(weights)
    # 2800 uniform numbers: the largest is 0.1 (1 - 1/2800) on average, the mean of
    # sizes 0.05 +- 0.0006.
    assert 0.0995 < size.max() <= 0.1
    assert abs(size.mean() - 0.05) < 0.003


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w, x, b: linear(w, x[:7]), "`x` must have"),
        (lambda w, x, b: linear(w[:2], x), "`weights` must be an array of shape"),
        (lambda w, x, b: linear(w, x[:, :2]), "`weights` must be an array of shape"),
        (lambda w, x, b: linear(w, x, bias=b[:2]), "`bias` must be an array of shape"),
        (lambda w, x, b: linear(w, x.astype(jnp.float32)), "must have the dtype"),
        (
            lambda w, x, b: linear(w, x, bias=b.astype(jnp.float32)),
            "`bias` must have the dtype",
        ),
        (
            lambda w, x, b: init_linear(NATURAL, 0, 1, key=jax.random.key(0)),
            "`channels_in`",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    weights, x, bias = (jnp.asarray(a) for a in case(NATURAL))
    with pytest.raises(ValueError, match=message):
        call(weights, x[0], bias)
