"""Functions of components, gates and norms: formulas, layouts, what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, reps
from eqjax.nn._activations import (
    ACTIVATIONS,
    ODD,
    activation_scale,
    norm_activation_scale,
)
from eqjax.nn._gate import Gate
from eqjax.nn._norm_activation import NormActivation
from eqjax.nn._pointwise import Pointwise
from eqjax.nn._terms import entries

D4, D8, S4 = groups.Dihedral(4), groups.Dihedral(8), groups.Symmetric(4)
SO3, O3 = groups.SO(3), groups.O(3)
BOOSTS = groups.Lorentz(3, reflections="all")
RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape))


@pytest.mark.parametrize(
    ("name", "square"),
    [
        ("identity", 1),
        ("abs", 1),
        ("relu", 1 / 2),
        ("leaky_relu", (1 + 1e-4) / 2),
        ("square", 3),
        ("sin", (1 - np.exp(-2)) / 2),
    ],
)
def test_scales_are_their_closed_forms(name, square):
    # Quadrature is exact for polynomials, also of the positive half by symmetry.
    np.testing.assert_allclose(activation_scale(name) ** -2, square, rtol=1e-12)


def test_scales_of_norms_are_their_closed_forms():
    """E |z|^2 = d, E |z|^4 = d (d + 2); the identity of the norm is no change."""
    for dim in (1, 2, 3, 9, 100):
        np.testing.assert_allclose(norm_activation_scale("relu", dim), 1, rtol=1e-12)
        np.testing.assert_allclose(
            norm_activation_scale("square", dim) ** -2, dim + 2, rtol=1e-12
        )


def test_every_function_keeps_the_size_of_features():
    # The mean of 1e5 numbers y^2: the fourth moment of the square gives 2%.
    x = normal(100_000)
    found = jax.jit(lambda x: {k: (a.fn(x), a.fn(-x)) for k, a in ACTIVATIONS.items()})(
        x
    )
    for name, (y, mirrored) in found.items():
        want = ACTIVATIONS[name].reference(np.asarray(x))
        np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-14, err_msg=name)
        y, mirrored = activation_scale(name) * np.asarray([y, mirrored])
        np.testing.assert_allclose(np.mean(y * y), 1, rtol=0.05, err_msg=name)
        assert np.array_equal(y, -mirrored) == (name in ODD), name


@pytest.mark.parametrize(
    ("rep", "found"),
    [
        (reps.regular(D4), "permuted"),
        (reps.standard(S4) ** 2, "permuted"),
        (reps.trivial(SO3), "permuted"),
        (reps.irrep(SO3, 0), "permuted"),
        (reps.restrict(reps.regular(D8), D4), "permuted"),
        (reps.restrict(reps.quotient(D8, D4), groups.Cyclic(4)), "permuted"),
        (reps.induce(reps.trivial(groups.Cyclic(2)), D4), "permuted"),
        (reps.induce(reps.regular(groups.Cyclic(4)), D8), "permuted"),
        (reps.trivial(SO3) + 2 * reps.trivial(SO3), "permuted"),
        (reps.standard(D4), "permuted up to signs"),
        (reps.irrep(O3, "0o"), "permuted up to signs"),
        (reps.induce(reps.irrep(groups.Cyclic(2), 1), D4), "permuted up to signs"),
        (reps.standard(D8), "mixed"),
        (reps.standard(SO3), "mixed"),
        (reps.irrep(S4, (2, 2)), "mixed"),
        (reps.regular(D4) + reps.standard(D4), "permuted up to signs"),
    ],
    ids=str,
)
def test_permutations_are_recognised(rep, found):
    """By the generators, and these say what all elements do."""
    assert entries(rep) == found
    if rep.group.order is None:
        return
    matrices = rep._matrix_at(rep.group.tables.matrices)
    is_signed = np.all(np.min(np.abs(np.abs(matrices[..., None]) - [0, 1]), -1) < 1e-12)
    is_positive = np.all(matrices > -1e-12)
    kinds = {(True, True): "permuted", (True, False): "permuted up to signs"}
    assert kinds.get((bool(is_signed), bool(is_positive)), "mixed") == found


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: Pointwise(reps.standard(D4), 2), "permuted up to signs by Dihedral"),
        (lambda: Pointwise(reps.standard(SO3), 2, fn="tanh"), "mixed by SO"),
        (lambda: Pointwise(reps.from_irreps("2x0e + 1o")), '`fn="relu"` does not'),
        (lambda: Pointwise(reps.regular(D4) + reps.irrep(D4, 1), 2), "Admissible here"),
        (lambda: Pointwise(reps.regular(D4), 2, fn="swish"), "`fn` must be one of"),
        (lambda: Gate(reps.standard(SO3), 2, fn_gate="x"), "`fn_gate` must be one of"),
        (lambda: Gate(reps.standard(SO3)), "must be a sum of irreps"),
        (lambda: NormActivation(reps.standard(BOOSTS), 2), "must be orthogonal"),
        (lambda: NormActivation(reps.standard(SO3), 0), "`channels` must be an int"),
        (
            lambda: Pointwise(reps.regular(D4), 2).apply(jnp.ones((8, 3))),
            "`x` must be an array of shape",
        ),
        (
            lambda: Gate(reps.standard(SO3), 2).apply(jnp.ones((3, 2))),
            "`x` must be an array of shape",
        ),
    ],
)
def test_what_breaks_the_symmetry_is_refused(layer, message, user_errors):
    with pytest.raises(ValueError, match=message):
        layer()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_gates_of_dense_features_stand_at_the_end():
    """One for each copy of what is not trivial, in the order of the terms."""
    vector, scalar = reps.standard(SO3), reps.trivial(SO3)
    layer = Gate(vector + scalar + 2 * vector, 2, fn_scalar="tanh", normalize=False)
    assert layer.rep_in.dim == 13
    x = RNG.normal(size=(5, 13, 2))
    gates = sigmoid(x[:, 10:])
    want = np.concatenate(
        [
            x[:, :3] * gates[:, :1],
            np.tanh(x[:, 3:4]),
            x[:, 4:7] * gates[:, 1:2],
            x[:, 7:10] * gates[:, 2:],
        ],
        axis=1,
    )
    found = jax.jit(layer.apply)(x)
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-14)


def test_gates_of_ragged_features_are_the_last_scalars():
    """In the sorted order of the gated irreps; also where there are no scalars."""
    for text in ("2x1o + 3x0e + 0o", "2x1o + 0o"):
        rep = reps.from_irreps(text)
        layer = Gate(rep, fn_scalar="tanh", normalize=False)
        even, odd, vector = (reps.irrep(O3, name) for name in ("0e", "0o", "1o"))
        scalars = 3 if "0e" in text else 0
        parts = reps.split(layer.rep_in, jnp.zeros(layer.rep_in.dim))
        x = {irrep: normal(5, *part.shape) for irrep, part in parts.items()}
        assert x[even].shape == (5, 1, scalars + 3)
        found = jax.jit(layer.apply)(x)
        x = {irrep: np.asarray(part) for irrep, part in x.items()}
        gates = sigmoid(x[even][..., scalars:])
        order = sorted([odd, vector])
        sizes = {odd: 1, vector: 2}
        start = 0
        for irrep in order:
            stop = start + sizes[irrep]
            want = x[irrep] * gates[..., start:stop]
            np.testing.assert_allclose(found[irrep], want, rtol=0, atol=1e-14)
            start = stop
        if scalars:
            want = np.tanh(x[even][..., :3])
            np.testing.assert_allclose(found[even], want, rtol=0, atol=1e-14)
        shapes = {irrep: part.shape[1:] for irrep, part in found.items()}
        empty = reps.split(rep, jnp.zeros(rep.dim))
        assert shapes == {irrep: part.shape for irrep, part in empty.items()}


def test_gates_of_scalars_alone_are_none():
    layer = Gate(2 * reps.trivial(SO3), 3, fn_scalar="relu", normalize=False)
    assert layer.rep_in == layer.rep_out
    x = normal(2, 3)
    np.testing.assert_array_equal(layer.apply(x), np.maximum(x, 0))


def test_norm_activations_are_their_formula():
    rep = reps.trivial(SO3) + 2 * reps.standard(SO3)
    layer = NormActivation(rep, 2, fn="tanh", normalize=False, epsilon=1e-9)
    bias, x = RNG.normal(size=(3, 2)), RNG.normal(size=(7, 2))
    found = jax.jit(layer.apply)({"bias": jnp.asarray(bias)}, jnp.asarray(x))
    for i, rows in enumerate((slice(0, 1), slice(1, 4), slice(4, 7))):
        norm = np.linalg.norm(x[rows], axis=0)
        want = x[rows] * np.tanh(norm + bias[i]) / norm
        # epsilon^2 = 1e-18 below a square.
        np.testing.assert_allclose(found[rows], want, rtol=0, atol=1e-14)


def test_outputs_have_the_size_of_inputs():
    x, rep = normal(20_000, 7, 1), reps.trivial(SO3) + 2 * reps.standard(SO3)
    layer = NormActivation(rep, 1)
    y = np.asarray(jax.jit(layer.apply)(layer.init(key=KEY), x))
    np.testing.assert_allclose(np.mean(y * y), 1, rtol=0.05)
    gate = Gate(rep, 1)
    y = np.asarray(jax.jit(gate.apply)(normal(20_000, 9, 1)))
    np.testing.assert_allclose(np.mean(y * y), 1, rtol=0.05)
