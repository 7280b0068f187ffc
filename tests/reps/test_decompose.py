"""Decompositions: they rebuild the representation, and count as characters do."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, reps
from eqjax.reps._irrep import has_family
from tests.reps.cases import (
    FULL_LORENTZ,
    IRREPS,
    LORENTZ,
    OCTAHEDRAL,
    OTHERS,
    PRODUCT,
    QUATERNIONS,
    irrep,
    sample_matrices,
)

standard = reps.standard


def third_harmonic(angle):
    return groups.SO(2).matrix(3 * angle)


def squared(q):
    return jnp.kron(groups.SO(3).matrix(q), groups.SO(3).matrix(q))


CASES = [
    *(rep for rep in OTHERS if has_family(rep.group)),
    *(2 * rep + rep for rep in IRREPS[::5]),
    standard(groups.SO(3)) ** 4,
    standard(groups.O(3)) ** 3,
    standard(groups.SU(2)) ** 3,
    standard(groups.SU(3)) ** 2,
    standard(groups.SO(2)) ** 3,
    standard(groups.O(2)) ** 3,
    standard(groups.SO(4)) ** 3,
    standard(groups.O(4)) ** 3,
    standard(groups.SO(5)) ** 2,
    standard(groups.Sp(2)) ** 3,
    standard(groups.SL(3)) ** 3,
    standard(groups.GLPlus(2)) * standard(groups.GLPlus(2)).dual,
    standard(FULL_LORENTZ) ** 3,
    standard(PRODUCT) ** 2,
    reps.outer(reps.irrep(groups.SO(3), 1), reps.irrep(groups.SU(2), "1/2")),
    standard(QUATERNIONS) ** 2,
    standard(groups.Scaling(2)) * standard(groups.Scaling(2)).dual,
    standard(groups.Lorentz(2, reflections="all")) ** 2,
    standard(groups.Symmetric(5)) ** 2,
    standard(OCTAHEDRAL) ** 3,
    standard(groups.Cyclic(2)) + reps.regular(groups.Cyclic(2)),
    reps.regular(groups.Dihedral(5)),
    reps.regular(groups.Product((groups.Cyclic(3), groups.Dihedral(2)))),
    reps.regular(OCTAHEDRAL),
    reps.custom(groups.SO(2), "third harmonic", third_harmonic),
]
TENSORS = reps.custom(groups.SO(3), "tensors", squared)


@pytest.mark.parametrize(
    # The last one takes half a minute.
    "rep",
    [*CASES, pytest.param(TENSORS, marks=pytest.mark.slow)],
    ids=str,
)
def test_rebuilds_the_representation(rep):
    """At elements that are no generators, those with reflections among them."""
    result = reps.decompose(rep)
    assert [irrep for irrep, _ in result.terms] == sorted(i for i, _ in result.terms)
    assert sum(count * irrep.dim for irrep, count in result.terms) == rep.dim
    basis = result.basis
    # Eigenvectors and a few hundred sums: about 100 roundings.
    np.testing.assert_allclose(basis.T @ basis, np.eye(rep.dim), rtol=0, atol=3e-14)
    assert result.residual <= 1e-12
    for m in sample_matrices(rep.group, 4, seed=7):
        blocks = np.zeros((rep.dim, rep.dim))
        start = 0
        for part, count in result.terms:
            matrix = part._matrix_at(m[None])[0]
            for _ in range(count):
                stop = start + part.dim
                blocks[start:stop, start:stop] = matrix
                start = stop
        want = rep._matrix_at(m[None])[0]
        error = np.max(np.abs(basis @ blocks @ basis.T - want))
        assert error <= 1e-12 * np.linalg.norm(want)


@pytest.mark.parametrize(
    "rep", [rep for rep in CASES if rep.group.order is not None], ids=str
)
def test_multiplicities_are_those_of_characters(rep):
    table = rep.group.tables.matrices
    character = np.einsum("gii->g", rep._matrix_at(table))
    for part, count in reps.decompose(rep).terms:
        other = np.einsum("gii->g", part._matrix_at(table))
        product = character @ other / rep.group.order
        np.testing.assert_allclose(product / part.commutant_dim, count, atol=1e-10)


@pytest.mark.parametrize(
    ("rep", "want"),
    [
        (standard(groups.SO(3)) ** 3, {"0": 1, "1": 3, "2": 2, "3": 1}),
        (reps.adjoint(groups.SO(4)), {"(1,1)": 1, "(1,-1)": 1}),
        (reps.adjoint(groups.O(4)), {"(1,1)": 1}),
        (reps.adjoint(groups.SU(3)), {"(1,1)": 1}),
        (reps.adjoint(LORENTZ), {"(1,0)": 1}),
        (reps.adjoint(groups.Sp(2)), {"(2,0)": 1}),
        (standard(groups.Symmetric(4)), {"(4)": 1, "(3,1)": 1}),
        (
            reps.exterior_power(standard(groups.Symmetric(5)), 2),
            {"(4,1)": 1, "(3,1,1)": 1},
        ),
        (
            reps.restrict(
                reps.irrep(groups.SO(3), 3), groups.Polyhedral("icosahedral")
            ),
            {"T2": 1, "G": 1},
        ),
    ],
    ids=str,
)
def test_known_decompositions(rep, want):
    got = {part.name: count for part, count in reps.decompose(rep).terms}
    if "T2" in want:
        # Which of the two triplets is called T1 is a choice.
        assert got in ({"T1": 1, "G": 1}, {"T2": 1, "G": 1})
    else:
        assert got == want


@pytest.mark.parametrize(
    ("sub", "group"),
    [
        (groups.Cyclic(4), groups.Dihedral(4)),
        (groups.Dihedral(2), groups.Dihedral(6)),
        (groups.Symmetric(3), groups.Symmetric(4)),
        (groups.Polyhedral("tetrahedral"), groups.Polyhedral("icosahedral")),
    ],
    ids=str,
)
def test_frobenius_reciprocity(sub, group):
    """dim Hom_G(Ind a, b) = dim Hom_H(a, Res b)."""
    for a in reps.irreps(sub):
        induced = reps.induce(a, group)
        for b in reps.irreps(group):
            above = reps.hom(induced, b).num_maps
            assert above == reps.hom(a, reps.restrict(b, sub)).num_maps


def test_inducing_the_trivial_representation_gives_the_cosets():
    group, sub = groups.Dihedral(6), groups.Dihedral(2)
    table = group.tables.matrices
    induced = reps.induce(reps.trivial(sub), group)
    want = reps.quotient(group, sub)._matrix_at(table)
    np.testing.assert_array_equal(induced._matrix_at(table), want)


def test_what_is_not_completely_reducible_is_said_so():
    shear = groups.GLPlus(2)

    def log_det(g):
        zero, one = jnp.zeros(()), jnp.ones(())
        return jnp.array([[one, jnp.log(jnp.linalg.det(g))], [zero, one]])

    rep = reps.custom(shear, "log det", log_det)
    with pytest.raises(RuntimeError, match="completely reducible"):
        reps.decompose(rep)
    # The constraints themselves need no such thing: 1 and the map (0 1; 0 0).
    assert reps.hom(rep, rep).num_maps == 2


def test_what_is_not_orthogonal_is_said_so():
    """Rotations in a basis that is not: no orthogonal change of basis splits them."""
    shear = np.array([[1.0, 0.7], [0.0, 1.0]])

    def sheared(angle):
        m = groups.SO(2).matrix(angle)
        return jnp.asarray(shear) @ m @ jnp.asarray(np.linalg.inv(shear))

    rep = reps.custom(groups.SO(2), "sheared", sheared)
    with pytest.raises(RuntimeError, match="orthogonal"):
        reps.decompose(rep)
    # The constraints themselves need no such thing.
    maps = reps.hom(rep, rep)
    assert maps.num_maps == 2
    assert maps.residual <= 1e-12


def test_groups_without_a_list_are_refused():
    with pytest.raises(ValueError, match="no list of irreps"):
        reps.decompose(standard(groups.SE(2)))


def test_representations_of_different_groups_do_not_combine():
    a, b = standard(groups.SO(3)), standard(groups.O(3))
    for combine in (lambda: a + b, lambda: a * b, lambda: reps.hom(a, b)):
        with pytest.raises(ValueError, match="different groups"):
            combine()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: reps.regular(groups.SO(2)), "must be a finite group"),
        (lambda: reps.quotient(groups.Cyclic(6), groups.Cyclic(4)), "subgroup"),
        (lambda: reps.restrict(standard(groups.SO(3)), groups.SU(3)), "subgroup"),
        (
            lambda: reps.induce(standard(groups.SO(2)), groups.Dihedral(4)),
            "must be a finite group",
        ),
        (lambda: reps.permutation(groups.Cyclic(4), []), "one permutation for each"),
        (lambda: reps.permutation(groups.Cyclic(4), [(0, 0)]), "permutations of 0"),
        (lambda: reps.permutation(groups.Cyclic(4), [(1, 2, 0)]), "relations"),
        (lambda: reps.exterior_power(standard(groups.SO(3)), 4), "at most 3"),
        (lambda: reps.symmetric_power(standard(groups.SO(3)), 0), "at least 1"),
        (lambda: reps.adjoint(groups.Cyclic(3)), "Lie algebra"),
        (lambda: reps.outer(standard(groups.SO(3))), "two or more"),
        (lambda: 0 * standard(groups.SO(3)), "at least 1"),
        (
            lambda: reps.custom(groups.SO(2), "vector", lambda angle: angle[None]),
            "square matrices",
        ),
    ],
)
def test_bad_input_is_refused(build, message, user_errors):
    with pytest.raises(ValueError, match=message):
        build()


def test_vectors_of_another_size_are_refused(user_errors):
    rep = standard(groups.SO(3))
    g = groups.SO(3).identity()
    with pytest.raises(ValueError, match=r"`x` must be an array of shape \(3,"):
        rep.apply(g, jnp.ones(4))
    with pytest.raises(ValueError, match="`v` must be an array of shape"):
        rep.drho(jnp.ones(2))


def test_powers_of_zero_are_trivial():
    assert standard(groups.SO(3)) ** 0 == reps.trivial(groups.SO(3))
    assert irrep(groups.SO(3), 1)[0] ** 1 == irrep(groups.SO(3), 1)[0]
