"""What makes a representation one, for every kind of representation and group."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from eqjax import groups, reps
from eqjax._core._specs import spec_from_json, spec_to_json
from tests.reps.cases import IRREPS, OTHERS, QUATERNIONS, sample_matrices

ALL = [*IRREPS, *OTHERS]
every = pytest.mark.parametrize("rep", ALL, ids=str)


def relative(got, want):
    """Largest difference, relative to the size of the matrices."""
    return np.max(np.abs(got - want)) / np.linalg.norm(want)


def by_group(cases):
    """One compiled function per group takes a third of the time of one per case."""
    return [
        [rep for rep in cases if rep.group == group]
        for group in dict.fromkeys(rep.group for rep in cases)
    ]


@pytest.mark.parametrize("cases", by_group(ALL), ids=lambda cases: str(cases[0].group))
def test_are_homomorphisms(cases):
    """Products, inverses, vectors, the Lie algebra."""
    group = cases[0].group
    matrices = jnp.asarray(sample_matrices(group, 7))
    a, b = group.from_matrix(matrices[:6]), group.from_matrix(matrices[:0:-1])
    numbers = np.random.Generator(np.random.PCG64(1))
    xs = [jnp.asarray(numbers.standard_normal((rep.dim, 2))) for rep in cases]
    v = 0.5 * numbers.standard_normal(group.dim)
    exp_v = jnp.asarray(scipy.linalg.expm(np.tensordot(v, group.generators.lie, 1)))

    def law(a, b):
        products, inverses = group.compose(a, b), group.inverse(a)
        turn = group.from_matrix(exp_v)
        return [
            {
                "left": rep.rho(a),
                "right": rep.rho(b),
                "product": rep.rho(products),
                "inverse": rep.rho(inverses),
                "moved": rep.apply(a, x),
                "single": rep.apply(a, x.astype(jnp.float32)),
                "exp": rep.rho(turn),
            }
            for rep, x in zip(cases, xs, strict=True)
        ]

    for rep, x, got in zip(cases, xs, jax.jit(jax.vmap(law))(a, b), strict=True):
        assert got["left"].dtype == jnp.float64, rep
        assert got["single"].dtype == jnp.float32, rep
        got = {name: np.asarray(value) for name, value in got.items()}
        for i in range(6):
            left, right = got["left"][i], got["right"][i]
            size = np.linalg.norm(left)
            error = np.max(np.abs(got["product"][i] - left @ right))
            assert error <= 1e-13 * size * np.linalg.norm(right), rep
            # Boosts and shears have condition size^2.
            one = got["inverse"][i] @ left
            assert np.max(np.abs(one - np.eye(rep.dim))) <= 1e-13 * size**2, rep
            assert relative(got["moved"][i], left @ x) <= 1e-13, rep
        if group.dim:
            exact = scipy.linalg.expm(np.asarray(rep.drho(jnp.asarray(v))))
            assert relative(got["exp"][0], exact) <= 1e-13, rep


@every
def test_generators_are_its_matrices(rep):
    group = rep.group
    for m, want in zip(group.generators.discrete, rep.generators.discrete, strict=True):
        g = group.from_matrix(jnp.asarray(m))
        assert np.max(np.abs(rep.rho(g) - want)) <= 1e-13
    brackets = group.generators.lie[:1] @ group.generators.lie[1:2]
    brackets = brackets - group.generators.lie[1:2] @ group.generators.lie[:1]
    if len(brackets):
        lie = rep.generators.lie
        want = lie[0] @ lie[1] - lie[1] @ lie[0]
        got = np.tensordot(group.vee(jnp.asarray(brackets[0])), lie, 1)
        assert np.max(np.abs(got - want)) <= 1e-12 * (1 + np.max(np.abs(want)))


@pytest.mark.parametrize("rep", ALL, ids=str)
def test_specs_are_values(rep):
    copy = spec_from_json(spec_to_json(rep))
    assert copy == rep
    assert hash(copy) == hash(rep)


def test_orthogonal_representations_are_their_own_dual():
    for rep in IRREPS:
        is_compact = rep.group.sample_measure == "haar" or rep.group == QUATERNIONS
        assert rep.is_orthogonal == is_compact or rep.dim == 1
        assert (rep.dual == rep) == rep.is_orthogonal
        assert rep.dual.dual == rep


def test_permutations_are_known_as_such():
    standard = reps.standard(groups.Symmetric(3))
    for rep in (
        standard,
        standard**2,
        2 * standard,
        standard.dual,
        standard * standard,
    ):
        assert rep.is_permutation
        assert set(np.unique(rep.generators.discrete)) <= {0.0, 1.0}
    for rep in (*IRREPS, reps.standard(groups.Dihedral(4))):
        assert not rep.is_permutation
