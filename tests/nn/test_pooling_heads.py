"""Slots, functions on groups, pools and invariants: formulas and what is refused."""

from __future__ import annotations

import functools
import operator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, o3, reps
from eqjax.nn._fourier import Fourier
from eqjax.nn._group_pool import GroupPool
from eqjax.nn._induced import InducedGate, InducedNorm
from eqjax.nn._invariants import InvariantGram, InvariantNorm
from eqjax.nn._softmax import Softmax

C2, C4, D4, D6 = (
    groups.Cyclic(2),
    groups.Cyclic(4),
    groups.Dihedral(4),
    groups.Dihedral(6),
)
SO2, O2, SO3, O3 = groups.SO(2), groups.O(2), groups.SO(3), groups.O(3)
RNG = np.random.default_rng(0)
ARROWS = reps.induce(reps.standard(C4), D4)
REGULAR = reps.regular(D4)
# Some ten roundings of numbers of size one.
ATOL = 1e-14


def normal(*shape):
    return RNG.normal(size=shape)


def multiples(group, labels, *, full=True):
    """A sum of irreps: each as often as functions on the group hold it, or once."""
    irreps = [reps.irrep(group, label) for label in labels]
    terms = [
        irrep * (irrep.dim // irrep.commutant_dim if full else 1) for irrep in irreps
    ]
    return functools.reduce(operator.add, terms)


# Slots -------------------------------------------------------------------------------


def test_every_slot_has_its_own_norm():
    layer = InducedNorm(ARROWS, 2, fn="tanh", normalize=False, epsilon=1e-9)
    x, bias = normal(3, 4, 2), normal(1, 2)
    found = jax.jit(layer.apply)({"bias": jnp.asarray(bias)}, jnp.asarray(x))
    for slot in (slice(0, 2), slice(2, 4)):
        norm = np.linalg.norm(x[:, slot], axis=1, keepdims=True)
        want = x[:, slot] * np.tanh(norm + bias) / norm
        np.testing.assert_allclose(found[:, slot], want, rtol=0, atol=ATOL)


def test_every_slot_has_its_own_gate():
    """Gates stand at the end, copy after copy; permuted parts have none."""
    layer = InducedGate(REGULAR + 2 * ARROWS, 1, fn_scalar="relu", normalize=False)
    assert layer.rep_in == REGULAR + 2 * ARROWS + 2 * reps.quotient(D4, C4)
    x = normal(20, 1)
    gates = np.repeat(1 / (1 + np.exp(-x[16:])), 2, axis=0)
    want = np.concatenate([np.maximum(x[:8], 0), x[8:16] * gates])
    found = jax.jit(layer.apply)(jnp.asarray(x))
    np.testing.assert_allclose(found, want, rtol=0, atol=ATOL)


# Functions on groups -----------------------------------------------------------------


@pytest.mark.parametrize("group", [D6, groups.Polyhedral("tetrahedral"), C4], ids=str)
def test_functions_on_finite_groups_are_regular_features(group):
    """The grid is the group: any function is exact, and nothing is lost."""
    rep = multiples(group, [irrep.label for irrep in reps.irreps(group)])
    assert rep.dim == group.order
    layer = Fourier(rep, 2, fn="relu", normalize=False)
    sample, project = layer._sampling
    np.testing.assert_allclose(project @ sample, np.eye(rep.dim), rtol=0, atol=1e-12)
    # Left translation permutes the values: f_(h x)(g) = f_x(h^-1 g).
    moved = np.einsum("ni,hij->hnj", sample, rep._matrix_at(group.tables.matrices))
    source = group.tables.product[group.tables.inverse]
    np.testing.assert_allclose(moved, sample[source], rtol=0, atol=1e-12)


def on_grid():
    sphere = {"domain": "sphere"}
    return [
        (multiples(SO2, range(4)), {}),
        (multiples(O2, ["0e", "0o", 1, 2]), {}),
        (multiples(SO3, range(3)), {}),
        (multiples(O3, ["0e", "1o", "1e"]), {}),
        (multiples(SO3, range(4), full=False), sphere),
        (multiples(O3, ["0e", "1o", "2e"], full=False), sphere),
        (o3.Degrees(3), sphere),
        (reps.quotient(D6, groups.Dihedral(2)), {"subgroup": groups.Dihedral(2)}),
    ]


@pytest.mark.parametrize(("rep", "options"), on_grid(), ids=str)
@pytest.mark.parametrize("oversampling", [1, 2])
def test_what_is_sampled_comes_back(rep, options, oversampling):
    if "subgroup" in options:
        options = options | {"domain": "cosets"}
    layer = Fourier(rep, 1, fn="identity", oversampling=oversampling, **options)
    sample, project = layer._sampling
    assert sample.shape == (layer.num_points, rep.dim)
    np.testing.assert_allclose(project @ sample, np.eye(rep.dim), rtol=0, atol=1e-12)
    # Values have the size of coefficients: the mean square is that of features.
    size = np.sum(sample**2) / len(sample)
    np.testing.assert_allclose(size, 1, rtol=0.2)


def test_values_are_those_of_the_series():
    """On the circle, with x = (x_0, x_1c, x_1s, ..): the sum of sqrt(2) x cos, sin."""
    rep = multiples(SO2, range(3))
    layer = Fourier(rep, 1)
    angle = 2 * np.pi * np.arange(10) / 10
    waves = [np.ones(10)]
    for l in (1, 2):
        waves += [2**0.5 * np.cos(l * angle), 2**0.5 * np.sin(l * angle)]
    signs = np.sign(np.sum(np.array(waves).T * layer._sampling[0], axis=0))
    want = np.array(waves).T * signs / 5**0.5
    np.testing.assert_allclose(layer._sampling[0], want, rtol=0, atol=ATOL)


def test_rotations_of_the_grid_are_exact_and_others_alias_less_with_density():
    rep = multiples(SO2, range(4))
    x = jnp.asarray(normal(50, rep.dim, 1))

    def error(layer, angle):
        act = rep.rho(jnp.asarray(angle))
        moved = jnp.einsum("ij,bjc->bic", act, x)
        want = jnp.einsum("ij,bjc->bic", act, layer.apply(x))
        change = layer.apply(moved) - want
        return jnp.linalg.norm(change) / jnp.linalg.norm(want)

    errors = []
    for s in (1, 2, 4):
        layer = Fourier(rep, 1, fn="elu", oversampling=s)
        compiled = jax.jit(partial(error, layer))
        assert compiled(2 * np.pi * 3 / layer.num_points) < 1e-13
        errors.append(compiled(0.4 * np.pi / layer.num_points))
    assert errors[0] > 3 * errors[1] > 9 * errors[2] > 0


# Pools -------------------------------------------------------------------------------


def test_pools_are_their_formulas():
    rep = REGULAR + reps.quotient(D4, C2)
    x = normal(3, 12, 2)
    weights = np.exp(x)
    shares = []
    for rows in (slice(0, 8), slice(8, 12)):
        w = weights[:, rows]
        shares.append(w / w.sum(axis=1, keepdims=True))
    kind: Any
    for kind, function in (
        ("max", lambda part, share: part.max(axis=1)),
        ("mean", lambda part, share: part.mean(axis=1)),
        ("softmax", lambda part, share: (part * share).sum(axis=1)),
    ):
        layer = GroupPool(rep, 2, kind=kind)
        assert layer.rep_out == 2 * reps.trivial(D4)
        want = np.stack(
            [function(x[:, :8], shares[0]), function(x[:, 8:], shares[1])], axis=1
        )
        found = jax.jit(layer.apply)(jnp.asarray(x))
        np.testing.assert_allclose(found, want, rtol=0, atol=ATOL)
    found = jax.jit(Softmax(rep, 2).apply)(jnp.asarray(x))
    np.testing.assert_allclose(found, np.concatenate(shares, 1), rtol=0, atol=ATOL)


def test_the_largest_has_a_derivative_however_it_is_rounded():
    """Of a size that is no power of two, at ties too: one component is chosen."""
    layer = GroupPool(reps.regular(groups.Cyclic(7)), 2)
    x = jnp.asarray(np.round(normal(50, 7, 2)))
    np.testing.assert_array_equal(layer.apply(x)[:, 0], x.max(axis=1))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(layer.apply(x))))(x)
    np.testing.assert_array_equal(gradient.sum(axis=1), 1)
    assert np.all(np.isin(gradient, (0, 1)))


# Invariants --------------------------------------------------------------------------


def test_the_gram_matrix_is_of_all_copies_and_channels():
    vector, scalar = reps.standard(SO3), reps.trivial(SO3)
    rep = vector + scalar + 2 * vector
    x = normal(4, 10, 2)
    layer = InvariantGram(rep, 2)
    assert layer.channels_out == 21 + 2
    vectors = np.stack([x[:, i : i + 3] for i in (0, 4, 7)], axis=2).reshape(4, 3, 6)
    gram = np.einsum("bia,bic->bac", vectors, vectors)
    first, second = np.triu_indices(6)
    want = np.concatenate([gram[:, first, second], x[:, 3]], axis=1)[:, None]
    found = jax.jit(layer.apply)(jnp.asarray(x))
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-13)
    norms = jax.jit(InvariantNorm(rep, 2).apply)(jnp.asarray(x))
    want = np.stack(
        [
            (x[:, :3] ** 2).sum(axis=1),
            x[:, 3],
            (x[:, 4:7] ** 2).sum(axis=1),
            (x[:, 7:] ** 2).sum(axis=1),
        ],
        axis=1,
    )
    np.testing.assert_allclose(norms, want, rtol=0, atol=1e-13)


def test_ragged_invariants_are_scalars():
    rep = reps.from_irreps("2x0e + 3x1o")
    even, vector = reps.irrep(O3, "0e"), reps.irrep(O3, "1o")
    x = {even: jnp.asarray(normal(1, 2)), vector: jnp.asarray(normal(3, 3))}
    for layer, size in ((InvariantNorm(rep), 5), (InvariantGram(rep), 8)):
        assert layer.rep_out == size * even
        found = jax.jit(layer.apply)(x)
        assert {irrep: part.shape for irrep, part in found.items()} == {even: (1, size)}
        np.testing.assert_array_equal(found[even][0, :2], x[even][0])


# Errors ------------------------------------------------------------------------------

BOOSTS = groups.Lorentz(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: InducedNorm(reps.standard(D4), 2), "must be a sum of representations"),
        (lambda: InducedGate(reps.standard(D4), 2), "`rep` of `InducedGate` must be"),
        (lambda: InducedNorm(ARROWS, 2, fn="x"), "`fn` must be one of"),
        (lambda: Softmax(reps.standard(SO3), 2), "`rep` of `Softmax` must be"),
        (lambda: GroupPool(reps.standard(D4), 2), "`rep` of `GroupPool` must be"),
        (
            lambda: GroupPool(REGULAR, 2, kind="min"),  # pyright: ignore[reportArgumentType]
            "`kind` must be one of",
        ),
        (lambda: InvariantNorm(reps.standard(BOOSTS), 2), "must be orthogonal"),
        (lambda: InvariantGram(reps.standard(SO3)), "must be a sum of irreps"),
        (lambda: Fourier(2 * reps.irrep(SO2, 1), 2), "2 times, but functions on the g"),
        (lambda: Fourier(reps.standard(BOOSTS), 2), "has no grid for Lorentz"),
        (lambda: Fourier(REGULAR, 2, domain="sphere"), "has no grid for Dihedral"),
        (lambda: Fourier(REGULAR, 2, domain="cosets"), "`subgroup` belongs to"),
        (lambda: Fourier(REGULAR, 2, subgroup=C2), "`subgroup` belongs to"),
        (
            lambda: Fourier(reps.irrep(O3, "1e"), 2, domain="sphere"),
            "sphere hold it 0 times",
        ),
        (
            lambda: Fourier(REGULAR, 2).apply(jnp.ones((8, 3))),
            "`x` must be an array of shape",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
