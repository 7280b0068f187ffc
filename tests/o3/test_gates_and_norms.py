"""Functions that scale irreps by invariant numbers."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups
from eqjax.o3._degrees import Degrees
from eqjax.o3._gates import gate, norm_activation
from eqjax.o3._norms import merged_layer_norm, rms_norm, separable_layer_norm
from tests.reps.cases import sample_matrices

CASES = [Degrees(2), Degrees(1, parity="both"), Degrees(0)]
IDS = ["natural", "both", "scalars"]
CHANNELS = 3
EPSILON = 1e-3
# Sums of tens of numbers of size one, divided by roots of their mean square.
ATOL = 1e-14


def parameters(degrees: Degrees) -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    irreps = len(degrees.irreps)
    return {
        "gates": jnp.asarray(rng.normal(size=(irreps - 1, CHANNELS))),
        "scale": jnp.asarray(rng.normal(size=(irreps, CHANNELS))),
        "bias": jnp.asarray(rng.normal(size=CHANNELS)),
    }


def run_all(p: dict[str, jax.Array], x: jax.Array) -> dict[str, jax.Array]:
    """Every function of this file, of one feature."""
    scale, bias = p["scale"], p["bias"]
    return {
        "gate": gate(x, p["gates"]),
        "norm activation": norm_activation(x),
        "tanh": norm_activation(x, jnp.tanh),
        "merged": merged_layer_norm(x, scale=scale, bias=bias, epsilon=EPSILON),
        "merged, plain": merged_layer_norm(x),
        "separable": separable_layer_norm(x, scale=scale, bias=bias, epsilon=EPSILON),
        "separable, plain": separable_layer_norm(x),
        "rms": rms_norm(x, scale=scale, epsilon=EPSILON),
        "rms of all": rms_norm(x, scale=scale, per_degree=False, epsilon=EPSILON),
    }


batched = jax.jit(jax.vmap(run_all, in_axes=(None, 0)))


def direct(degrees: Degrees, x: np.ndarray) -> dict[str, np.ndarray]:
    """The formulas of the docstrings, irrep by irrep."""
    p = jax.tree.map(np.asarray, parameters(degrees))
    blocks = [x[rows] for rows in degrees.slices]
    rest = range(1, len(blocks))

    def sigmoid(t):
        return 1 / (1 + np.exp(-t))

    def normalized(blocks, squares):
        scaled = [
            b / np.sqrt(s + EPSILON) * g
            for b, s, g in zip(blocks, squares, p["scale"], strict=True)
        ]
        return np.concatenate(scaled)

    def shifted(y):
        return np.concatenate([y[:1] + p["bias"], y[1:]])

    centered = [blocks[0] - blocks[0].mean(), *blocks[1:]]
    squares = [np.mean(b**2) for b in blocks]
    centered_squares = [np.mean(b**2) for b in centered]
    norms = [np.linalg.norm(b, axis=0) for b in blocks]
    gated = [b * sigmoid(g) for b, g in zip(blocks[1:], p["gates"], strict=True)]
    others = np.mean(squares[1:]) if rest else 0.0
    separable = [centered_squares[0], *[others for _ in rest]]
    count = len(blocks)
    silu = [b * sigmoid(n) for b, n in zip(blocks, norms, strict=True)]
    return {
        "gate": np.concatenate([blocks[0] * sigmoid(blocks[0]), *gated]),
        "norm activation": np.concatenate(silu),
        "merged": shifted(normalized(centered, [np.mean(centered_squares)] * count)),
        "separable": shifted(normalized(centered, separable)),
        "rms": normalized(blocks, squares),
        "rms of all": normalized(blocks, [np.mean(squares)] * count),
    }


@functools.cache
def moved(degrees: Degrees) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Matrices, a feature and what they make of it; results of all of them."""
    matrices = degrees._matrix_at(sample_matrices(groups.O(3), 4))
    x = np.random.default_rng(1).normal(size=(degrees.dim, CHANNELS))
    features = np.concatenate([x[None], matrices @ x, np.zeros((1, *x.shape))])
    y = batched(parameters(degrees), jnp.asarray(features))
    return matrices, x, jax.tree.map(np.asarray, y)


@pytest.mark.parametrize("degrees", CASES, ids=IDS)
def test_they_are_their_formulas(degrees):
    _, x, y = moved(degrees)
    for name, want in direct(degrees, x).items():
        np.testing.assert_allclose(y[name][0], want, rtol=0, atol=ATOL, err_msg=name)


@pytest.mark.parametrize("degrees", CASES, ids=IDS)
def test_they_commute_with_reflections(degrees):
    matrices, _, y = moved(degrees)
    for name, found in y.items():
        want = matrices @ found[0]
        np.testing.assert_allclose(
            found[1:-1], want, rtol=0, atol=2 * ATOL, err_msg=name
        )


@pytest.mark.parametrize("degrees", CASES, ids=IDS)
def test_zero_stays_zero_but_for_the_bias(degrees):
    _, _, y = moved(degrees)
    bias = parameters(degrees)["bias"]
    for name, found in y.items():
        want = np.zeros_like(found[-1])
        if name in ("merged", "separable"):
            want[0] = bias
        np.testing.assert_array_equal(found[-1], want, err_msg=name)


def test_derivatives_are_finite_where_an_irrep_is_zero():
    degrees = Degrees(1)
    p = parameters(degrees)
    x = np.random.default_rng(1).normal(size=(degrees.dim, CHANNELS))
    no_vector = np.where(np.arange(degrees.dim)[:, None] > 0, 0, x)
    # Its square is less than the least float64.
    features = jnp.asarray(np.stack([0 * x, no_vector, 1e-200 * x]))

    def total(x):
        return jax.tree.map(lambda y: jnp.sum(jnp.sin(y)), run_all(p, x))

    first = jax.jacrev(total)
    second = jax.jacfwd(first)
    for found in jax.jit(jax.vmap(lambda x: (first(x), second(x))))(features):
        for name, derivative in found.items():
            assert np.all(np.isfinite(derivative)), name


def test_the_norm_activation_has_its_true_derivative_at_zero():
    """tanh(|x|) / |x| -> 1, silu(|x|) / |x| -> 1/2: no other is equivariant."""
    zero = jnp.zeros((4, 1))
    for activation, slope in ((jnp.tanh, 1.0), (jax.nn.silu, 0.5)):
        fn = functools.partial(norm_activation, activation=activation)
        found = jax.jit(jax.jacrev(fn))(zero)[:, 0, :, 0]
        np.testing.assert_allclose(found, slope * np.eye(4), rtol=0, atol=ATOL)


def test_bfloat16_is_computed_in_float32():
    degrees = CASES[0]
    p, x = parameters(degrees), moved(degrees)[1]
    narrow = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), (p, x[None]))
    found = batched(*narrow)
    want = batched(*jax.tree.map(lambda a: a.astype(jnp.float32), narrow))
    for name in sorted(set(found) - {"gate"}):
        assert found[name].dtype == jnp.bfloat16
        # Two roundings to 8 bits at most: the programs may differ in the last bit.
        np.testing.assert_allclose(
            np.asarray(found[name], float), want[name], rtol=2**-8, atol=0, err_msg=name
        )
    assert found["gate"].dtype == jnp.bfloat16


x = jnp.ones((4, 2))
x32 = jnp.ones((4, 2), jnp.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gate(x[:3], x[:1]), "`x` must have"),
        (lambda: gate(x, x[:2]), "`gates` must be an array of shape"),
        (lambda: gate(x, x32[:1]), "`gates` must have the dtype"),
        (lambda: norm_activation(x[0]), "`x` must be an array of shape"),
        (lambda: merged_layer_norm(x, scale=x[:1]), "`scale` must be an array"),
        (lambda: merged_layer_norm(x, scale=x32[:2]), "`scale` must have the dtype"),
        (lambda: separable_layer_norm(x, bias=x), "`bias` must be an array"),
        (lambda: rms_norm(x, epsilon=0.0), "`epsilon` must be a positive number"),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
