"""Equivariant maps: they commute, they are orthonormal, and there are no others."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, reps
from eqjax.reps._constraints import solve
from tests.reps.cases import LORENTZ, OCTAHEDRAL, PRODUCT, irrep, sample_matrices

standard, trivial = reps.standard, reps.trivial

vector, fourvector = standard(groups.SO(3)), standard(LORENTZ)
points = standard(groups.Symmetric(5))
spinor, triplet = standard(groups.SU(2)), standard(groups.SU(3))
symplectic = standard(groups.Sp(2))
scalars, spins = irrep(groups.SO(3), 0, 1)

# rep_in, rep_out, number of maps, method. Numbers: Bell numbers for S_5 (Maron et al.,
# 2019), Motzkin sums 3, 6, 15, 91 for SO(3); Weyl's invariants: pairings for O(n),
# Sp(n), Lorentz; those and Levi-Civita's tensors for SO, SL.
CASES = [
    (trivial(vector.group), vector**4, 3, "schur"),
    (trivial(vector.group), vector**5, 6, "schur"),
    (vector**6, trivial(vector.group), 15, "schur"),
    (vector**4, vector**4, 91, "schur"),
    (vector, vector**2, 1, "schur"),
    (trivial(points.group), points**3, 5, "orbits"),
    (points**2, points**2, 15, "orbits"),
    (10 * points + 5 * points**2, 3 * trivial(points.group) + points**2, 185, "orbits"),
    (fourvector, fourvector**2 * fourvector.dual, 4, "schur"),
    (trivial(LORENTZ), fourvector**3 * fourvector.dual**2, 0, "schur"),
    (trivial(symplectic.group), symplectic**4, 3, "schur"),
    (spinor, spinor, 4, "schur"),
    (spinor**2, spinor**2, 32, "schur"),
    (triplet**2, triplet**2, 12, "schur"),
    (standard(groups.SO(5)) ** 2, standard(groups.SO(5)) ** 2, 3, "schur"),
    (standard(groups.O(4)) ** 2, standard(groups.O(4)) ** 2, 3, "schur"),
    (standard(groups.SO(4)) ** 2, standard(groups.SO(4)) ** 2, 4, "schur"),
    (standard(groups.SL(3)), standard(groups.SL(3)).dual, 0, "schur"),
    (standard(groups.SL(3)) ** 2, standard(groups.SL(3)).dual, 1, "schur"),
    (standard(groups.SE(3)), standard(groups.SE(3)) ** 2, None, "null space"),
    (standard(groups.SE(3)), standard(groups.SE(3)) ** 3, None, "projection"),
    (standard(PRODUCT) ** 2, standard(PRODUCT) ** 2, 21, "schur"),
    (reps.regular(OCTAHEDRAL), standard(OCTAHEDRAL), 3, "schur"),
    (reps.regular(OCTAHEDRAL), reps.regular(OCTAHEDRAL), 48, "orbits"),
    (7 * spins + 2 * scalars, 3 * scalars + 5 * spins, 41, "schur"),
]


def worst_error(maps, generators_in, generators_out):
    """Largest entry of rho_out X - X rho_in, relative to that of X."""
    error = 0.0
    for x in maps:
        moved = generators_out @ x - x @ generators_in
        error = max(error, float(np.max(np.abs(moved), initial=0)) / np.max(np.abs(x)))
    return error


@pytest.mark.parametrize(("a", "b", "count", "method"), CASES, ids=str)
def test_maps_are_equivariant_orthonormal_and_all(a, b, count, method):
    maps = reps.hom(a, b)
    assert maps.method == method
    assert maps.basis.shape == (maps.num_maps, b.dim, a.dim)
    if count is not None:
        assert maps.num_maps == count
    flat = maps.basis.reshape(maps.num_maps, a.dim * b.dim)
    np.testing.assert_allclose(flat @ flat.T, np.eye(len(flat)), rtol=0, atol=1e-13)
    assert maps.residual <= 1e-12
    stacked = [np.concatenate(rep.generators) for rep in (a, b)]
    assert worst_error(maps.basis, *stacked) <= 1e-12
    # Elements that are no generators, reflections among them.
    m = sample_matrices(a.group, 3, seed=11)
    moved = [rep._matrix_at(m) for rep in (a, b)]
    size = max(float(np.max(np.abs(matrices))) for matrices in moved)
    assert worst_error(maps.basis, *moved) <= 1e-12 * size**2


@pytest.mark.parametrize(
    ("a", "b"),
    [(a, b) for a, b, *_ in CASES if 1 < a.dim * b.dim <= 1100],
    ids=str,
)
def test_the_constraints_alone_give_the_same_maps(a, b):
    """The spans agree, whatever the method was."""
    maps = reps.hom(a, b)
    _, form, _ = solve(a, b)
    assert form.num_maps == maps.num_maps
    other = form.maps.reshape(form.num_maps, a.dim * b.dim)
    ours = maps.basis.reshape(other.shape)
    cosines = np.linalg.svd(ours @ other.T, compute_uv=False)
    np.testing.assert_allclose(cosines, 1, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (points**2, points),
        (vector**2, vector**3),
        # Half a minute of sums over 729 components.
        pytest.param(trivial(vector.group), vector**6, marks=pytest.mark.slow),
        (7 * spins + 2 * scalars, 3 * scalars + 5 * spins),
        (spinor**2, spinor**2),
        (fourvector, fourvector**2 * fourvector.dual),
        (standard(groups.SE(3)), standard(groups.SE(3)) ** 2),
    ],
    ids=str,
)
def test_expand_and_apply_are_sums_over_the_basis(a, b):
    maps = reps.hom(a, b)
    weights = jax.random.normal(jax.random.key(1), (maps.num_maps,))
    x = jax.random.normal(jax.random.key(2), (a.dim, 3))
    want = np.tensordot(weights, maps.basis, 1)
    np.testing.assert_allclose(maps.expand(weights), want, rtol=0, atol=1e-13)
    got = maps.apply(weights, x)
    np.testing.assert_allclose(got, want @ x, rtol=0, atol=1e-12)
    single = jax.eval_shape(maps.apply, *(v.astype(jnp.float32) for v in (weights, x)))
    assert single.dtype == jnp.float32


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (7 * spins + 2 * scalars, 3 * scalars + 5 * spins),
        (vector**2, vector**3),
        (spinor**2 + spinor, spinor**2 + 2 * spinor),
        (standard(groups.SO(2)) ** 2, 3 * standard(groups.SO(2)) ** 2),
        (standard(groups.Dihedral(4)) ** 2, reps.regular(groups.Dihedral(4))),
    ],
    ids=str,
)
def test_split_features_are_mapped_alike(a, b):
    maps = reps.hom(a, b)
    weights = jax.random.normal(jax.random.key(1), (maps.num_maps,))
    x = jax.random.normal(jax.random.key(2), (a.dim, 3))
    want = maps.apply(weights, x)
    if maps.method != "schur":
        with pytest.raises(ValueError, match="have no blocks between irreps"):
            maps.apply_irreps(weights, reps.split(a, x))
        return
    got = maps.apply_irreps(weights, reps.split(a, x))
    np.testing.assert_allclose(reps.merge(b, got), want, rtol=0, atol=1e-12)


def test_missing_irreps_count_as_zero():
    a, b = 2 * spins + scalars, spins + scalars
    maps = reps.hom(a, b)
    weights = jnp.ones(maps.num_maps)
    x = reps.split(a, jnp.arange(7.0))
    partial = maps.apply_irreps(weights, {spins: x[spins]})
    zeroed = maps.apply_irreps(weights, {spins: x[spins], scalars: 0 * x[scalars]})
    for part in zeroed:
        np.testing.assert_array_equal(partial[part], zeroed[part])


def test_no_maps_are_a_documented_empty():
    maps = reps.hom(trivial(LORENTZ), fourvector)
    assert maps.num_maps == 0
    assert maps.basis.shape == (0, 4, 1)
    none = jnp.zeros(0)
    np.testing.assert_array_equal(maps.expand(none), np.zeros((4, 1)))
    np.testing.assert_array_equal(maps.apply(none, jnp.ones((1, 2))), np.zeros((4, 2)))


@pytest.mark.parametrize(
    "group",
    [
        groups.Cyclic(1),
        groups.Cyclic(2),
        groups.Dihedral(1),
        groups.Dihedral(2),
        groups.Symmetric(1),
        groups.Symmetric(2),
        groups.U(1),
        groups.GLPlus(1),
        groups.Lorentz(1, reflections="all"),
        groups.Product((groups.Cyclic(3), groups.Cyclic(3))),
    ],
    ids=str,
)
def test_the_smallest_groups(group):
    """The method's number of maps is that of the constraints alone."""
    a = standard(group) ** 2
    for b in (standard(group), standard(group).dual, a, trivial(group)):
        assert reps.hom(a, b).num_maps == solve(a, b)[1].num_maps
        assert reps.hom(b, a).num_maps == solve(b, a)[1].num_maps


def test_dimension_is_the_product_of_characters():
    """dim Hom = <chi_a, chi_b> for a finite group."""
    group = groups.Polyhedral("icosahedral", inversion=True)
    table = group.tables.matrices
    a, b = standard(group) ** 2 + reps.regular(group), standard(group) ** 3
    chi_a, chi_b = (np.einsum("gii->g", rep._matrix_at(table)) for rep in (a, b))
    assert reps.hom(a, b).num_maps == round(chi_a @ chi_b / group.order)


def test_gradients_and_batches_go_through():
    maps = reps.hom(vector**2, vector**2)
    weights = jnp.arange(1.0, 1 + maps.num_maps)
    xs = jax.random.normal(jax.random.key(3), (5, 9))
    batched = jax.vmap(maps.apply, (None, 0))(weights, xs)
    for x, y in zip(xs, batched, strict=True):
        np.testing.assert_allclose(maps.apply(weights, x), y, rtol=0, atol=1e-13)
    gradient = jax.grad(lambda w: jnp.sum(maps.apply(w, xs[0]) ** 2))(weights)
    want = jax.grad(lambda w: jnp.sum((jnp.tensordot(w, maps.basis, 1) @ xs[0]) ** 2))(
        weights
    )
    np.testing.assert_allclose(gradient, want, rtol=1e-12)


def test_too_many_unknowns_are_refused():
    rep = standard(groups.SE(3)) ** 4
    with pytest.raises(ValueError, match="unknown entries"):
        reps.hom(rep, rep)


def test_what_is_no_representation_is_refused():
    """Its matrices of the Lie algebra do not belong to those of the reflection."""

    def broken(v):
        return jnp.array([[0.0, 1.0], [1.0, 1e-5]]) * v[0]

    rep = reps.custom(groups.SO(2), "broken", groups.SO(2).matrix, broken)
    with pytest.raises(RuntimeError, match="assert_homomorphism"):
        reps.decompose(rep)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda maps: maps.expand(jnp.ones(3)), r"`weights` must be .* \(2\)"),
        (lambda maps: maps.apply(jnp.ones(2), jnp.ones(5)), r"`x` must be .* \(4,"),
        (lambda maps: maps.apply_irreps(jnp.ones(2), {}), "at least one irrep"),
        (
            lambda maps: maps.apply_irreps(jnp.ones(2), {spins: jnp.ones((3, 2))}),
            "dim, multiplicity",
        ),
    ],
)
def test_wrong_shapes_are_refused(call, message, user_errors):
    maps = reps.hom(spins + scalars, spins + scalars)
    with pytest.raises(ValueError, match=message):
        call(maps)


def test_results_do_not_depend_on_the_process():
    """No ordering by hash: two processes with other hash seeds agree bit by bit."""
    code = (
        "import numpy as np, hashlib\n"
        "from eqjax import groups, reps\n"
        "cases = [(groups.SU(3), 2), (groups.Symmetric(4), 2), (groups.O(3), 3),\n"
        "         (groups.Polyhedral('octahedral'), 2), (groups.Lorentz(3), 2)]\n"
        "for group, power in cases:\n"
        "    rep = reps.standard(group) ** power + reps.trivial(group)\n"
        "    maps, parts = reps.hom(rep, rep), reps.decompose(rep)\n"
        "    print([part.name for part, _ in parts.terms], maps.method)\n"
        "    print(hashlib.sha256(maps.basis.tobytes()).hexdigest())\n"
        "    print(hashlib.sha256(parts.basis.tobytes()).hexdigest())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "3")
    }
    assert len(outputs) == 1
