"""Features of e3x and cuequivariance, without these libraries.

benchmarks/o3_layouts.py compares with the libraries themselves.
"""

from __future__ import annotations

from typing import Any

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from eqjax import groups, reps
from eqjax.o3._degrees import Degrees
from eqjax.o3._harmonics_table import harmonics
from eqjax.o3._layouts import feature_degrees, from_cue, from_e3x, to_cue, to_e3x
from tests.reps.cases import sample_matrices

L = 4
DEGREES = Degrees(L)
BOTH = Degrees(2, parity="both")
# Polynomials of degree 4 of unit vectors, of size 3 at most, and products with
# orthogonal matrices of 9 rows: tens of roundings.
ATOL = 1e-14


def points(number: int) -> np.ndarray:
    r = np.random.default_rng(0).normal(size=(number, 3))
    return r / np.linalg.norm(r, axis=1, keepdims=True)


def ours(r: np.ndarray) -> np.ndarray:
    """Harmonics with norm 1 for each degree, (dim, points)."""
    table = harmonics(L, r)
    for l in range(L + 1):
        table[:, l * l : (l + 1) ** 2] /= np.sqrt(2 * l + 1)
    return table.T


def e3x_harmonics(r: np.ndarray, *, cartesian_order: bool) -> np.ndarray:
    """As e3x defines them: about z, without the phase (-1)^m, (1, dim, points)."""
    polar, azimuth = np.arccos(r[:, 2]), np.arctan2(r[:, 1], r[:, 0])
    rows = []
    for l in range(L + 1):
        row = {}
        for m in range(l + 1):
            y = scipy.special.sph_harm_y(l, m, polar, azimuth)
            y = y * (-1) ** m * np.sqrt(4 * np.pi / (2 * l + 1) * (2 if m else 1))
            row[-m], row[m] = y.imag, y.real
        order = range(-l, l + 1)
        if cartesian_order:
            order = [m for size in range(l, 0, -1) for m in (size, -size)] + [0]
        rows += [row[m] for m in order]
    return np.stack(rows)[None]


@pytest.mark.parametrize("cartesian_order", [True, False])
def test_harmonics_of_e3x_become_ours(cartesian_order):
    r = points(7)
    theirs = jnp.asarray(e3x_harmonics(r, cartesian_order=cartesian_order))
    kept = from_e3x(theirs, cartesian_order=cartesian_order)
    np.testing.assert_allclose(kept, ours(r), rtol=0, atol=ATOL)
    renamed = from_e3x(theirs, cartesian_order=cartesian_order, axes="renamed")
    np.testing.assert_allclose(renamed, ours(r[:, [1, 2, 0]]), rtol=0, atol=ATOL)


def test_rotations_commute_with_the_exchange_with_e3x():
    r = points(5)
    for m in sample_matrices(groups.O(3), 4):
        theirs, moved = (
            jnp.asarray(e3x_harmonics(q, cartesian_order=True)) for q in (r, r @ m.T)
        )
        want = DEGREES._matrix_at(m) @ from_e3x(theirs)
        np.testing.assert_allclose(from_e3x(moved), want, rtol=0, atol=ATOL)


@pytest.mark.parametrize("cartesian_order", [True, False])
@pytest.mark.parametrize("degrees", [DEGREES, BOTH])
def test_e3x_and_back(degrees, cartesian_order):
    x = jnp.asarray(np.random.default_rng(1).normal(size=(degrees.dim, 2)))
    options = {"cartesian_order": cartesian_order}
    there = to_e3x(x, axes="renamed", **options)
    parities = 2 if degrees.parity == "both" else 1
    assert there.shape == (parities, (degrees.max_degree + 1) ** 2, 2)
    back = from_e3x(there, axes="renamed", **options)
    np.testing.assert_array_equal(back, x)
    back = from_e3x(to_e3x(x, **options), **options)
    np.testing.assert_allclose(back, x, rtol=0, atol=ATOL)


def test_the_first_parity_of_e3x_is_even():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 9, 1)))
    signs = jnp.asarray([1.0, -1.0])[:, None, None]
    want = BOTH._matrix_at(-np.eye(3)) @ from_e3x(x)
    np.testing.assert_allclose(from_e3x(signs * x), want, rtol=0, atol=ATOL)


def test_vectors_keep_their_components():
    """l = 1 is (x, y, z) in both libraries: no rounding."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 4, 3)))
    np.testing.assert_array_equal(from_e3x(x)[1:], x[0, 1:])


IRREPS = "3x1o + 2x0e + 1x2e + 1x1o"


@pytest.mark.parametrize("layout", ["ir_mul", "mul_ir"])
@pytest.mark.parametrize("irreps", [IRREPS, "2x0 + 3x1 + 1x0 + 1x2"])
def test_cue_and_back(irreps, layout):
    x = jnp.arange(19.0) if irreps == IRREPS else jnp.arange(17.0)
    parts = from_cue(x, irreps, layout=layout)
    assert list(parts) == sorted(parts)
    assert sum(part.size for part in parts.values()) == x.size
    np.testing.assert_array_equal(to_cue(parts, irreps, layout=layout), x)


def test_mul_ir_is_the_layout_of_e3nn():
    x = jnp.arange(19.0)
    want = reps.from_irreps_array(e3nn_jax.IrrepsArray(IRREPS, x))
    parts = from_cue(x, IRREPS, layout="mul_ir")
    assert list(parts) == list(want)
    for irrep, part in parts.items():
        np.testing.assert_array_equal(part, want[irrep])


def test_ir_mul_is_our_layout_and_rotates_as_it():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(9, 2)))
    irreps = "2x0e + 2x1o + 2x2e"
    batch = jax.vmap(lambda x: from_cue(x, irreps))(jnp.stack([x.reshape(-1)] * 2))
    joined = jnp.concatenate([part[1] for part in batch.values()])
    np.testing.assert_array_equal(joined, x)
    (m,) = sample_matrices(groups.O(3), 5)[4:]
    moved = from_cue(jnp.asarray(Degrees(2)._matrix_at(m) @ x).reshape(-1), irreps)
    for irrep, part in from_cue(x.reshape(-1), irreps).items():
        want = irrep._matrix_at(m) @ part
        np.testing.assert_allclose(moved[irrep], want, rtol=0, atol=ATOL)


def test_degrees_are_found_from_the_number_of_components():
    for degrees in (Degrees(0), DEGREES, Degrees(0, parity="both"), BOTH):
        assert feature_degrees("x", np.zeros((degrees.dim, 3))) == degrees


# Of no known kind.
UNKNOWN: Any = "other"

scalars = {reps.irrep(groups.O(3), "0e"): jnp.ones((1, 2))}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_e3x(jnp.ones((4, 1))), "`x` must be an array of shape"),
        (lambda: from_e3x(jnp.ones((1, 5, 1))), r"\(L \+ 1\)\^2, channels\), got"),
        (lambda: from_e3x(jnp.ones((3, 4, 1))), "1 or 2"),
        (lambda: from_e3x(jnp.ones((1, 4, 1)), axes=UNKNOWN), "`axes` must be one of"),
        (lambda: from_e3x(jnp.ones((1, 14**2, 1))), "must be at most 12"),
        (lambda: to_e3x(jnp.ones((5, 1))), "`x` must have"),
        (lambda: to_e3x(jnp.ones(4)), "`x` must be an array of shape"),
        (lambda: from_cue(jnp.ones(3), "2x0e"), "`x` must be an array of shape"),
        (lambda: from_cue(jnp.ones(2), "2x0e", layout=UNKNOWN), "`layout`"),
        (lambda: from_cue(jnp.ones(2), "2y0e"), "`irreps` must be like"),
        (lambda: from_cue(jnp.ones(2), "0e + 0"), "`irreps` must be like"),
        (lambda: from_cue(jnp.ones(2), "0x0e"), "at least one irrep"),
        (lambda: to_cue(scalars, "3x0e"), "`parts` must hold arrays"),
        (lambda: to_cue(scalars, "2x0"), "`parts` must hold arrays"),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
