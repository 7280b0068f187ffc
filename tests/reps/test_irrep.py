"""Irreps: their labels, dimensions, types, and their agreement with others' tables."""

from __future__ import annotations

import math
from typing import Any

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, reps
from eqjax.reps._irrep import family
from tests.reps.cases import (
    IRREPS,
    OCTAHEDRAL,
    PRODUCT,
    TRIANGLE,
    irrep,
    sample_matrices,
)

FINITE = [
    groups.Cyclic(1),
    groups.Cyclic(2),
    groups.Cyclic(7),
    groups.Dihedral(1),
    groups.Dihedral(2),
    groups.Dihedral(5),
    groups.Dihedral(6),
    groups.Symmetric(1),
    groups.Symmetric(2),
    groups.Symmetric(5),
    OCTAHEDRAL,
    groups.Polyhedral("icosahedral"),
    groups.Polyhedral("tetrahedral", mirrors=True),
    TRIANGLE,
]


@pytest.mark.parametrize("rep", IRREPS, ids=str)
def test_names_and_labels_name_the_same(rep):
    assert reps.irrep(rep.group, rep.name) == rep
    assert reps.irrep(rep.group, rep.label) == rep
    assert rep.name in repr(rep)


@pytest.mark.parametrize("rep", [rep for rep in IRREPS if rep.dim <= 12], ids=str)
def test_is_irreducible_of_its_type(rep):
    """By the dimension of its commutant, from the constraints alone."""
    full = np.concatenate(rep.generators)
    eye = np.eye(rep.dim)
    rows = [np.kron(m, eye) - np.kron(eye, m.T) for m in full]
    sizes = np.linalg.svd(np.concatenate(rows) if rows else np.zeros((1, rep.dim**2)))
    assert np.sum(sizes[1] < 1e-9 * max(1, sizes[1][0])) == rep.commutant_dim


@pytest.mark.parametrize("group", FINITE, ids=str)
def test_finite_groups_have_as_many_as_they_must(group):
    """Schur orthogonality of characters, and the sum of squares."""
    irreps = reps.irreps(group)
    table = group.tables.matrices
    characters = [np.einsum("gii->g", rep._matrix_at(table)) for rep in irreps]
    gram = np.array([[a @ b for b in characters] for a in characters]) / group.order
    want = np.diag([float(rep.commutant_dim) for rep in irreps])
    np.testing.assert_allclose(gram, want, atol=1e-12)
    assert sum(rep.dim**2 // rep.commutant_dim for rep in irreps) == group.order
    assert len({rep.name for rep in irreps}) == len(irreps)
    np.testing.assert_allclose(characters[0], 1, atol=1e-12)


def test_point_groups_have_their_names():
    names = [rep.name for rep in reps.irreps(OCTAHEDRAL)]
    want = ["A1g", "A2g", "A1u", "A2u", "Eg", "Eu", "T1g", "T2g", "T1u", "T2u"]
    assert sorted(names) == sorted(want)
    names = [rep.name for rep in reps.irreps(groups.Polyhedral("icosahedral"))]
    assert names == ["A", "T1", "T2", "G", "H"]


@pytest.mark.parametrize("l", range(5))
def test_rotations_are_e3nn_s(l):
    rotation = sample_matrices(groups.SO(3), 3)[2]
    for parity in (1, -1):
        ours = reps.irrep(groups.O(3), (l, parity))
        theirs = e3nn_jax.Irrep(l, parity)
        for sign in (1.0, -1.0):
            g = groups.O(3).from_matrix(jnp.asarray(sign * rotation))
            with jax.numpy_dtype_promotion("standard"):
                want = theirs.D_from_matrix(jnp.asarray(sign * rotation))
            np.testing.assert_allclose(ours.rho(g), want, rtol=0, atol=1e-14)


def test_degree_one_is_the_vector():
    for group, label in ((groups.SO(3), 1), (groups.O(3), "1o")):
        matrices = sample_matrices(group, 4)
        for m in matrices:
            g = group.from_matrix(jnp.asarray(m))
            np.testing.assert_allclose(
                reps.irrep(group, label).rho(g), m, rtol=0, atol=1e-14
            )


def test_clebsch_gordan_coefficients_are_e3nn_s():
    """1e-13: rounding of the sums of alternating terms."""
    for l1, l2 in ((0, 0), (1, 1), (1, 2), (2, 2), (3, 2), (4, 3)):
        for l3 in range(abs(l1 - l2), l1 + l2 + 1):
            a, b, c = irrep(groups.SO(3), l1, l2, l3)
            want = e3nn_jax.clebsch_gordan(l1, l2, l3) * math.sqrt(2 * l3 + 1)
            (got,) = reps.clebsch_gordan(a, b, c)
            np.testing.assert_allclose(got, np.moveaxis(want, 2, 0), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("a", "b", "c", "count"),
    [
        (*irrep(groups.SU(3), (1, 1), (1, 1), (1, 1)), 2),
        (*irrep(groups.SU(2), "1/2", "1/2", 1), 4),
        (*irrep(groups.SO(2), 1, 2, 3), 2),
        (*irrep(groups.Symmetric(4), (3, 1), (3, 1), (2, 2)), 1),
        (*irrep(groups.Lorentz(3), (0.5, 0.5), (0.5, 0.5), (1, 0)), 2),
        (*irrep(groups.O(3), "1o", "1o", "1o"), 0),
        (*irrep(groups.Polyhedral("icosahedral"), "H", "H", "H"), 2),
    ],
    ids=str,
)
def test_clebsch_gordan_coefficients_are_equivariant(a, b, c, count):
    arrays = reps.clebsch_gordan(a, b, c)
    assert arrays.shape == (count, c.dim, a.dim, b.dim)
    gram = np.einsum("mijk,nijk->mn", arrays, arrays)
    np.testing.assert_allclose(gram, c.dim * np.eye(count), atol=1e-12)
    for m in sample_matrices(a.group, 4, seed=5):
        A, B, C = (rep._matrix_at(m[None])[0] for rep in (a, b, c))
        moved = np.einsum("nijk,jl,km->nilm", arrays, A, B)
        want = np.einsum("hi,nijk->nhjk", C, arrays)
        np.testing.assert_allclose(moved, want, atol=1e-12 * float(np.vdot(A, A)))


@pytest.mark.parametrize(
    ("group", "label", "dim", "kind"),
    [
        # Weyl's formula; complex types have twice the complex dimension.
        (groups.SU(3), (2, 0), 12, 2),
        (groups.SU(3), (2, 2), 27, 1),
        (groups.SU(3), (3, 0), 20, 2),
        (groups.SU(4), (0, 1, 0), 6, 1),
        (groups.SU(4), (1, 0, 1), 15, 1),
        (groups.SO(5), (1, 1), 10, 1),
        (groups.SO(5), (2, 1), 35, 1),
        (groups.SO(6), (1, 1, 1), 20, 2),
        (groups.SO(7), (1, 1, 1), 35, 1),
        pytest.param(groups.SO(8), (1, 1, 1, -1), 35, 1, marks=pytest.mark.slow),
        (groups.Sp(2), (1, 1), 5, 1),
        (groups.Sp(2), (2, 1), 16, 1),
        (groups.Sp(3), (1, 1, 1), 14, 1),
        (groups.SL(3), (1, 1), 8, 1),
        (groups.SL(2), (4,), 5, 1),
        (groups.Lorentz(3), (1, 1), 9, 1),
        (groups.Lorentz(3), (1.5, 0.5), 16, 2),
        (groups.Lorentz(2), (3,), 7, 1),
        (groups.U(2), (1, -1), 3, 1),
        (groups.U(2), (2, 1), 4, 2),
        (groups.GLPlus(3), (1, 0, -1), 8, 1),
        (groups.SU(2), 1.5, 8, 4),
        (groups.Symmetric(6), (3, 2, 1), 16, 1),
        (groups.Symmetric(8), (4, 2, 1, 1), 90, 1),
    ],
    ids=str,
)
def test_dimensions_and_types(group, label, dim, kind):
    rep = reps.irrep(group, label)
    assert (rep.dim, rep.commutant_dim) == (dim, kind)


def test_symmetric_group_has_the_characters_of_its_tables():
    """S_4, James and Kerber, appendix I.A: classes 1^4, 2 1^2, 2^2, 3 1, 4."""
    classes = [(0, 1, 2, 3), (1, 0, 2, 3), (1, 0, 3, 2), (1, 2, 0, 3), (1, 2, 3, 0)]
    want = {
        (4,): [1, 1, 1, 1, 1],
        (3, 1): [3, 1, -1, 0, -1],
        (2, 2): [2, 0, 2, -1, 0],
        (2, 1, 1): [3, -1, -1, 0, 1],
        (1, 1, 1, 1): [1, -1, 1, 1, -1],
    }
    for label, row in want.items():
        rep = reps.irrep(groups.Symmetric(4), label)
        rhos = jax.vmap(rep.rho)(jnp.array(classes))
        np.testing.assert_allclose(jnp.trace(rhos, axis1=1, axis2=2), row, atol=1e-14)


def test_large_symmetric_groups_need_no_table():
    rep = reps.irrep(groups.Symmetric(8), (7, 1))
    g = jnp.array([3, 1, 7, 0, 2, 6, 5, 4])
    matrix = rep.rho(g)
    # One less than the number of fixed points.
    np.testing.assert_allclose(jnp.trace(matrix), 1 - 1, atol=1e-13)


def test_conjugates_have_one_name():
    for group, one, other in (
        (groups.SU(3), (1, 0), (0, 1)),
        (groups.U(2), (1, 0), (0, -1)),
        (groups.SO(6), (1, 1, 1), (1, 1, -1)),
        (groups.Lorentz(3), (1, 0), (0, 1)),
    ):
        assert reps.irrep(group, one) == reps.irrep(group, other)


def test_order_of_irreps():
    """The trivial one first; of O(3), as in e3nn."""
    for group in FINITE:
        irreps = reps.irreps(group)
        assert list(irreps) == sorted(irreps)
        assert irreps[0].label == family(group).trivial
    theirs = sorted(ir for _, ir in e3nn_jax.Irreps("2e + 1o + 1e + 0o + 0e"))
    ours = sorted(irrep(groups.O(3), "2e", "1o", "1e", "0o", "0e"))
    assert [rep.name for rep in ours] == [str(ir) for ir in theirs]


def test_irreps_can_be_sorted_and_key_a_pytree():
    parts = {rep: jnp.zeros(rep.dim) for rep in irrep(groups.O(3), "1o", "0e", "2e")}
    assert len(jax.tree.leaves(parts)) == 3
    assert [rep.name for rep in sorted(parts)] == ["0e", "1o", "2e"]
    assert set(jax.tree.map(lambda x: x, parts)) == set(parts)


@pytest.mark.parametrize(
    ("group", "label", "message"),
    [
        (groups.SO(3), -1, "degree of an irrep"),
        (groups.SO(3), "1o", "degree of an irrep"),
        (groups.SO(3), 0.5, "degree of an irrep"),
        (groups.O(3), 1, 'with a parity, as "1o"'),
        (groups.SU(2), "1/3", "half of one"),
        (groups.SO(2), "0o", "must name an irrep"),
        (groups.Cyclic(5), 3, "up to 2"),
        (groups.Dihedral(4), "1o", "must name an irrep"),
        (groups.Symmetric(4), (2, 1), "partition of 4"),
        (groups.Symmetric(4), (1, 3), "descending order"),
        (OCTAHEDRAL, "T3g", '"T1g"'),
        (groups.SU(3), (1,), "2 Dynkin labels"),
        (groups.SU(3), (-1, 1), "2 Dynkin labels"),
        (groups.SO(5), (1, 2), "2 integers in descending order"),
        (groups.SO(5), (1, -1), "2 integers"),
        (groups.O(4), (1, 1, 1), "1 sign"),
        (groups.Lorentz(3), (0.5, 0), "integer sum"),
        (groups.SE(2), 1, "no list of irreps"),
        (PRODUCT, "1.7", "number i of the irreps"),
        (PRODUCT, 1, "number i of the irreps"),
    ],
    ids=str,
)
def test_unknown_labels_are_refused(group, label, message):
    with pytest.raises(ValueError, match=message):
        reps.irrep(group, label)


def test_infinite_groups_cannot_be_listed():
    with pytest.raises(ValueError, match="infinitely many"):
        reps.irreps(groups.SO(3))


def test_couplings_need_irreps_of_one_group(user_errors):
    spin = reps.irrep(groups.SO(3), 1)
    vector: Any = reps.standard(groups.SO(3))
    with pytest.raises(ValueError, match="`b` must be an irrep"):
        reps.clebsch_gordan(spin, vector, spin)
    with pytest.raises(ValueError, match="different groups"):
        reps.clebsch_gordan(spin, reps.irrep(groups.O(3), "1o"), spin)
