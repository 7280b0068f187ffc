"""The laws of the finite groups, on their tables and on their elements.

The tables are the mathematics, so most laws are tested on them directly; the methods
are then compared with the tables on all pairs of elements.
"""

import copy
import functools
import hashlib
import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, testing
from eqjax._core._specs import spec_from_json, spec_to_json

QUATERNIONS = groups.FiniteGroup(((1, 2, 3, 0, 5, 6, 7, 4), (4, 7, 6, 5, 2, 1, 0, 3)))
FIVE_EVEN = groups.FiniteGroup(((1, 2, 3, 4, 0), (1, 2, 0, 3, 4), (0, 1, 2, 3, 4)))
SOLIDS = (
    groups.Polyhedral("tetrahedral"),
    groups.Polyhedral("tetrahedral", inversion=True),
    groups.Polyhedral("tetrahedral", mirrors=True),
    groups.Polyhedral("octahedral"),
    groups.Polyhedral("octahedral", inversion=True),
    groups.Polyhedral("icosahedral"),
    groups.Polyhedral("icosahedral", inversion=True),
)
GROUPS = (
    groups.Cyclic(1),
    groups.Cyclic(2),
    groups.Cyclic(7),
    groups.Cyclic(12),
    groups.Dihedral(1),
    groups.Dihedral(2),
    groups.Dihedral(5),
    groups.Symmetric(1),
    groups.Symmetric(3, elements="index"),
    groups.Symmetric(4),
    groups.Symmetric(5, elements="index"),
    *SOLIDS,
    groups.FiniteGroup(((0,),)),
    QUATERNIONS,
    FIVE_EVEN,
)
every_group = pytest.mark.parametrize("group", GROUPS, ids=str)

# A few roundings of numbers of at most one.
ROUNDING = 1e-15

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def all_indices(group):
    return jnp.arange(group.order, dtype=jnp.int32)


def vectors(group, *shape):
    numbers = np.random.default_rng(3)
    return jnp.asarray(numbers.standard_normal((*shape, group.degree)))


def apply_everything(group, x):
    """All that a group can do, on all elements i and pairs (i, j)."""
    a = group.element(all_indices(group))
    rows = jax.tree.map(lambda leaf: leaf[:, None], a)
    matrix = group.matrix(a, dtype=x.dtype)
    noise = vectors(group, group.order, group.degree).astype(x.dtype)
    # Near enough for the entries of permutations: less than 1/2 in each.
    noise = noise * (0.1 / jnp.max(jnp.abs(noise)))
    v = jnp.zeros((2, 3, 0), x.dtype)
    return {
        "index": group.index(a),
        "product": group.index(group.compose(rows, a)),
        "one": group.index(group.compose(rows, group.inverse(rows))),
        "inverse": group.index(group.inverse(a)),
        "matrix": matrix,
        "nearest": group.index(group.from_matrix(matrix + noise)),
        "act": group.act(rows, x),
        "identity": group.index(group.identity(dtype=x.dtype)),
        "exp": group.index(group.exp(v)),
        "hat": group.hat(v),
        "vee": group.vee(group.hat(v)),
        "log": group.log(rows),
        "adjoint": group.adjoint(rows),
        "sample": group.index(group.sample(dtype=x.dtype, key=jax.random.key(0))),
    }


@functools.cache
def results(group):
    fn = jit(functools.partial(apply_everything, group))
    return jax.tree.map(np.asarray, fn(vectors(group, 3))), fn


# Tables ------------------------------------------------------------------------------


@every_group
def test_tables_are_those_of_a_group(group):
    product, inverse, matrices, generators = group.tables
    order = group.order
    everything = np.arange(order)
    assert product.shape == (order, order)
    assert product.dtype == inverse.dtype == np.int32
    assert matrices.dtype == np.float64
    # The identity comes first, inverses are inverse, and the law is associative.
    np.testing.assert_array_equal(product[0], everything)
    np.testing.assert_array_equal(product[:, 0], everything)
    assert not np.any(product[everything, inverse])
    assert not np.any(product[inverse, everything])
    some = everything if order <= 60 else np.arange(0, order, 7)
    left = product[product[some][:, some]][:, :, some]
    right = product[some[:, None, None], product[some][:, some][None]]
    np.testing.assert_array_equal(left, right)
    # A few generators make all of it.
    assert len(generators) <= 3
    assert 0 not in generators
    assert len(closure(product, generators)) == order
    # They are shared, so nobody may write into them.
    with pytest.raises(ValueError, match="read-only"):
        product[0, 0] = 1
    assert group.tables is group.tables


def closure(product, generators):
    found, new = {0}, [0]
    while new:
        new = [int(product[s, i]) for i in new for s in generators]
        new = sorted(set(new) - found)
        found |= set(new)
    return found


@every_group
def test_matrices_are_a_faithful_orthogonal_representation(group):
    product, _, matrices, _ = group.tables
    n = group.degree
    squares = np.einsum("aij,bjk->abik", matrices, matrices)
    assert np.max(np.abs(squares - matrices[product])) < ROUNDING
    assert np.max(np.abs(matrices[0] - np.eye(n))) == 0
    assert np.max(np.abs(matrices @ matrices.swapaxes(1, 2) - np.eye(n))) < ROUNDING
    apart = np.max(np.abs(matrices[:, None] - matrices[None]), axis=(2, 3))
    assert np.all(apart + 2 * np.eye(group.order) > 0.3)


@every_group
def test_generators(group):
    lie, discrete = group.generators
    n = group.degree
    assert lie.shape == (0, n, n)
    assert discrete.shape == (len(group.tables.generators), n, n)
    assert lie.dtype == discrete.dtype == np.float64
    at = list(group.tables.generators)
    np.testing.assert_array_equal(discrete, group.tables.matrices[at])


@every_group
def test_quadrature_is_the_mean_over_the_group(group):
    nodes, weights = group.quadrature(3)
    assert weights.shape == (group.order,)
    # As many equal terms as there are elements.
    np.testing.assert_allclose(np.sum(weights), 1, rtol=1e-14)
    index = group.index(jnp.asarray(nodes))
    np.testing.assert_array_equal(index, np.arange(group.order))
    # On rank-two tensors the mean is the projector on the invariant ones.
    m, n = group.tables.matrices, group.degree
    squares = np.einsum("aij,akl->aikjl", m, m).reshape(-1, n * n, n * n)
    mean = np.einsum("a,aij->ij", weights, squares)
    np.testing.assert_allclose(mean @ mean, mean, rtol=0, atol=1e-14)
    np.testing.assert_allclose(squares @ mean, 0 * squares + mean, rtol=0, atol=1e-14)
    invariants = np.linalg.matrix_rank(np.concatenate(squares - np.eye(n * n)))
    np.testing.assert_allclose(np.trace(mean), n * n - invariants, rtol=1e-14)
    with pytest.raises(ValueError, match="`degree` must be an integer"):
        group.quadrature(-1)


# Elements ----------------------------------------------------------------------------


@every_group
def test_methods_agree_with_the_tables(group):
    r, x = results(group)[0], np.asarray(vectors(group, 3))
    product, inverse, matrices, _ = group.tables
    everything = np.arange(group.order)
    np.testing.assert_array_equal(r["index"], everything)
    np.testing.assert_array_equal(r["product"], product)
    np.testing.assert_array_equal(r["inverse"], inverse)
    np.testing.assert_array_equal(r["one"], np.zeros((group.order, 1)))
    np.testing.assert_array_equal(r["matrix"], matrices)
    np.testing.assert_array_equal(r["nearest"], everything)
    assert r["identity"] == 0
    assert 0 <= r["sample"] < group.order
    # Elements (order, 1) and vectors (3,) broadcast; sums of three products.
    moved = np.einsum("aij,bj->abi", matrices, x)
    np.testing.assert_allclose(r["act"], moved, rtol=0, atol=1e-14)


@every_group
def test_the_lie_algebra_has_dimension_zero(group):
    r, n = results(group)[0], group.degree
    assert group.dim == 0
    np.testing.assert_array_equal(r["exp"], np.zeros((2, 3)))
    np.testing.assert_array_equal(r["hat"], np.zeros((2, 3, n, n)))
    assert r["vee"].shape == (2, 3, 0)
    assert r["log"].shape == (group.order, 1, 0)
    assert r["adjoint"].shape == (group.order, 1, 0, 0)


@pytest.mark.parametrize("group", [GROUPS[i] for i in (2, 5, 9, 10, 17, 19)], ids=str)
def test_float32_and_vmap(group):
    want = results(group)[0]
    x = vectors(group, 3).astype(jnp.float32)
    got = jit(functools.partial(apply_everything, group))(x)
    # 20 roundings of vectors of size up to 3.
    tolerance = 60 * float(jnp.finfo(jnp.float32).eps)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance)
    assert got["act"].dtype == got["hat"].dtype == got["vee"].dtype == jnp.float32

    def one(i, j, x):
        a, b = group.element(i), group.element(j)
        return group.index(group.compose(a, b)), group.act(a, x)

    i = all_indices(group)
    product, moved = jit(jax.vmap(one))(i, i[::-1], vectors(group, group.order))
    np.testing.assert_array_equal(product, group.tables.product[i, i[::-1]])
    moved_again = np.einsum(
        "aij,aj->ai", group.tables.matrices, vectors(group, group.order)
    )
    np.testing.assert_allclose(moved, moved_again, rtol=0, atol=1e-14)


@every_group
def test_elements_are_int32_and_matrices_keep_the_dtype(group):
    key = jax.random.key(0)
    e = jax.eval_shape(lambda: group.identity(dtype=jnp.float32))
    for dtype in (jnp.float32, None):
        a = jax.eval_shape(lambda d=dtype: group.sample(dtype=d, key=key))
        assert a.dtype == e.dtype == jnp.int32
        assert a.shape == e.shape
        matrix = jax.eval_shape(lambda a, d=dtype: group.matrix(a, dtype=d), a)
        assert matrix.dtype == jnp.dtype(dtype or jnp.float64)
    # Indices of another width become int32 too.
    wide = jax.ShapeDtypeStruct(e.shape, jnp.int64)
    assert jax.eval_shape(group.compose, wide, e).dtype == jnp.int32


def test_samples_are_uniform():
    chosen = [GROUPS[i] for i in (3, 6, 9, 13, 19)]

    def draw(key):
        return tuple(group.index(group.sample(key=key)) for group in chosen)

    num = 6000
    samples = jit(jax.vmap(draw))(jax.random.split(jax.random.key(2), num))
    for group, indices in zip(chosen, samples, strict=True):
        assert group.sample_measure == "haar"
        counts = np.bincount(np.asarray(indices), minlength=group.order)
        assert len(counts) == group.order
        p = 1 / group.order
        # Five standard deviations of the binomial law.
        assert np.all(np.abs(counts - num * p) < 5 * np.sqrt(num * p * (1 - p)))


def test_matrix_is_a_homomorphism_for_users_too():
    group = groups.Dihedral(5)
    testing.assert_homomorphism(
        group, group.matrix, num_elements=3, key=jax.random.key(1)
    )


def test_gradients_pass_through_the_action():
    group = SOLIDS[5]
    a, x = jnp.asarray(7), vectors(group)

    def fn(x):
        return jnp.sum(group.act(a, x) ** 3)

    m = group.tables.matrices[7]
    want = m.T @ (3 * (m @ np.asarray(x)) ** 2)
    np.testing.assert_allclose(jit(jax.grad(fn))(x), want, rtol=0, atol=1e-13)


# Conventions of each group -----------------------------------------------------------


def test_cyclic_and_dihedral_indices_mean_what_they_say():
    n = 7
    turn = 2 * np.pi / n
    r = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    s = np.diag([1.0, -1.0])
    for k, f in itertools.product(range(n), range(2)):
        want = np.linalg.matrix_power(r, k) @ np.linalg.matrix_power(s, f)
        got = groups.Dihedral(n).tables.matrices[k + n * f]
        np.testing.assert_allclose(got, want, rtol=0, atol=5e-15)
        if f == 0:
            got = groups.Cyclic(n).tables.matrices[k]
            np.testing.assert_allclose(got, want, rtol=0, atol=5e-15)


def test_rotations_of_the_plane_are_as_symmetric_as_the_polygon():
    for n in (4, 8, 12, 24, 1000):
        m = groups.Cyclic(n).tables.matrices
        angle = 2 * np.pi * np.arange(n) / n
        np.testing.assert_allclose(m[:, 0, 0], np.cos(angle), rtol=0, atol=3e-15)
        np.testing.assert_allclose(m[:, 1, 0], np.sin(angle), rtol=0, atol=3e-15)
        # Equal to the last bit: quarter turns and mirrors only move and negate entries.
        quarter = m[(np.arange(n) + n // 4) % n]
        np.testing.assert_array_equal(quarter[:, 0, 0], -m[:, 1, 0])
        np.testing.assert_array_equal(quarter[:, 1, 0], m[:, 0, 0])
    entries = groups.Dihedral(12).tables.matrices
    assert np.sum(np.abs(entries) == 0.5) == 32
    assert not np.any(np.signbit(entries[entries == 0]))


def test_permutations_move_entry_i_to_place_g_of_i():
    group = groups.Symmetric(5)
    g, h = jnp.array([2, 0, 1, 4, 3]), jnp.array([1, 2, 3, 4, 0])
    x = jnp.arange(5.0)
    np.testing.assert_array_equal(np.asarray(group.act(g, x))[np.asarray(g)], x)
    np.testing.assert_array_equal(group.compose(g, h), np.asarray(g)[np.asarray(h)])
    np.testing.assert_array_equal(group.matrix(g) @ x, group.act(g, x))
    # No tables are needed, so any size will do.
    large = groups.Symmetric(40)
    a = large.sample(key=jax.random.key(3))
    np.testing.assert_array_equal(
        large.compose(a, large.inverse(a)), large.identity(), strict=True
    )
    assert large.generators.discrete.shape == (2, 40, 40)


def test_symmetric_tables_are_in_lexicographic_order():
    sizes = (1, 2, 4, 6)
    listed = [np.array(list(itertools.permutations(range(n)))) for n in sizes]

    @jit
    def fn(listed):
        return [
            (
                groups.Symmetric(n).element(jnp.arange(len(g))),
                groups.Symmetric(n).index(g),
            )
            for n, g in zip(sizes, listed, strict=True)
        ]

    for want, (elements, indices) in zip(listed, fn(listed), strict=True):
        np.testing.assert_array_equal(elements, want)
        np.testing.assert_array_equal(indices, np.arange(len(want)))


def test_element_orders_of_the_polyhedral_groups():
    """How many elements have which order, which tells these groups apart."""
    known = {
        SOLIDS[0]: {1: 1, 2: 3, 3: 8},
        SOLIDS[1]: {1: 1, 2: 7, 3: 8, 6: 8},
        SOLIDS[2]: {1: 1, 2: 9, 3: 8, 4: 6},
        SOLIDS[3]: {1: 1, 2: 9, 3: 8, 4: 6},
        SOLIDS[4]: {1: 1, 2: 19, 3: 8, 4: 12, 6: 8},
        SOLIDS[5]: {1: 1, 2: 15, 3: 20, 5: 24},
        SOLIDS[6]: {1: 1, 2: 31, 3: 20, 5: 24, 6: 20, 10: 24},
        QUATERNIONS: {1: 1, 2: 1, 4: 6},
        FIVE_EVEN: {1: 1, 2: 15, 3: 20, 5: 24},
    }
    for group, want in known.items():
        product = group.tables.product
        orders, power = np.ones(group.order, int), np.arange(group.order)
        while np.any(power):
            orders += power != 0
            power = np.where(power == 0, 0, product[power, np.arange(group.order)])
        assert Counter(orders.tolist()) == want


def test_polyhedral_groups_permute_the_vertices_of_their_solids():
    golden = (1 + np.sqrt(5)) / 2
    signs = np.array(list(itertools.product([1, -1], repeat=3)))
    cube = signs.astype(float)
    tetrahedron = cube[np.prod(signs, axis=1) == 1]
    square = np.array([[0, i, j * golden] for i in (1, -1) for j in (1, -1)])
    icosahedron = np.concatenate([np.roll(square, k, axis=1) for k in range(3)])
    solids = {
        SOLIDS[0]: tetrahedron,
        SOLIDS[2]: tetrahedron,
        SOLIDS[1]: cube,
        SOLIDS[3]: cube,
        SOLIDS[4]: cube,
        SOLIDS[5]: icosahedron,
        SOLIDS[6]: icosahedron,
    }
    for group, vertices in solids.items():
        moved = np.einsum("gij,vj->gvi", group.tables.matrices, vertices)
        distances = np.linalg.norm(moved[:, :, None] - vertices[None, None], axis=-1)
        np.testing.assert_allclose(np.min(distances, axis=2), 0, atol=2e-15)
        np.testing.assert_allclose(np.min(distances, axis=1), 0, atol=2e-15)
    # They are all isometries, or all rotations, that do so.
    assert [len(group.tables.inverse) for group in SOLIDS] == [
        12,
        24,
        24,
        24,
        48,
        60,
        120,
    ]


def test_polyhedral_matrices_are_exact():
    for group in SOLIDS[:5]:
        assert set(np.unique(group.tables.matrices)) == {-1.0, 0.0, 1.0}
    golden = (1 + np.sqrt(5)) / 2
    exact = np.array([0, 0.5, 1, golden / 2, (golden - 1) / 2])
    entries = np.abs(SOLIDS[6].tables.matrices).ravel()
    assert np.max(np.min(np.abs(entries[:, None] - exact), axis=1)) < 2e-16


def test_quaternions_and_parities_are_those_of_the_matrices():
    def fn():
        parts = []
        for group in SOLIDS:
            a = all_indices(group)
            q, parity = group.quaternion(a), group.parity(a)
            parts.append((q, parity, groups.O(3).matrix((q, parity))))
        return parts

    for group, (q, parity, matrix) in zip(SOLIDS, jit(fn)(), strict=True):
        np.testing.assert_allclose(
            matrix, group.tables.matrices, rtol=0, atol=2 * ROUNDING
        )
        rotations = group.order // (2 if group.inversion or group.mirrors else 1)
        np.testing.assert_array_equal(parity, np.arange(group.order) >= rotations)
        first = [row[np.flatnonzero(row)[0]] for row in np.asarray(q)]
        assert min(first) > 0
    minus = SOLIDS[6].tables.matrices[60]
    np.testing.assert_array_equal(minus, -np.eye(3))
    # T_d has no inversion.
    assert not np.any(np.all(SOLIDS[2].tables.matrices == -np.eye(3), axis=(1, 2)))


def test_finite_groups_list_what_their_permutations_generate():
    assert groups.FiniteGroup(((1, 0, 2, 3), (1, 2, 3, 0))).order == 24
    assert groups.FiniteGroup(((1, 2, 0),)).order == 3
    # Repetitions and the identity do not count as generators.
    group = groups.FiniteGroup(((0, 1, 2), (1, 2, 0), (1, 2, 0)))
    assert len(group.tables.generators) == 1
    # The second generator is element 2 of the breadth-first search.
    np.testing.assert_array_equal(
        QUATERNIONS.permutation(jnp.array([0, 1, 2])),
        [tuple(range(8)), *QUATERNIONS.permutations],
    )
    assert (
        groups.FiniteGroup(((1, 2, 3, 4, 5, 6, 0), (1, 0, *range(2, 7)))).order == 5040
    )


# Specs -------------------------------------------------------------------------------


@every_group
def test_specs_are_values(group):
    assert isinstance(group, groups.Group)
    assert len({group, copy.deepcopy(group)}) == 1
    assert spec_from_json(spec_to_json(group)) == group
    assert isinstance(group.order, int)


@pytest.mark.usefixtures("user_errors")
def test_wrong_specs_are_refused():
    for cls in (groups.Cyclic, groups.Dihedral, groups.Symmetric):
        with pytest.raises(ValueError, match="`n` must be an integer of at least 1"):
            cls(0)
    with pytest.raises(ValueError, match="`elements` must be one of"):
        groups.Symmetric(3, elements="cycles")
    with pytest.raises(ValueError, match='`elements="index"` exists for `n` up to 6'):
        groups.Symmetric(7, elements="index")
    with pytest.raises(ValueError, match="`solid` must be one of"):
        groups.Polyhedral("cubic")
    for solid, inversion in (("octahedral", False), ("tetrahedral", True)):
        with pytest.raises(ValueError, match=r"`mirrors=True` is T_d"):
            groups.Polyhedral(solid, inversion=inversion, mirrors=True)
    bad = ((), ((),), ((0, 0),), ((1, 2),), ((0, 1), (0, 1, 2)), ((0.0, 1.0),), [(0,)])
    for permutations in (*bad, ([0, 1],), 3):
        with pytest.raises(ValueError, match="`permutations` must be a tuple"):
            groups.FiniteGroup(cast(Any, permutations))


def test_groups_too_large_for_tables_are_refused():
    with pytest.raises(ValueError, match="generate more than 5040 elements"):
        groups.FiniteGroup(((1, 2, 3, 4, 5, 6, 7, 0), (1, 0, *range(2, 8))))
    with pytest.raises(ValueError, match=r"matrices with .* entries together"):
        groups.FiniteGroup(((*range(1, 500), 0),))
    for group in (groups.Cyclic(5041), groups.Dihedral(2521)):
        with pytest.raises(ValueError, match="tables exist up to order 5040"):
            _ = group.tables
        assert group.order > 5040
    large = groups.Symmetric(8)
    for fn in (
        lambda: large.tables,
        lambda: large.quadrature(2),
        lambda: large.index(large.identity()),
        lambda: large.element(jnp.asarray(0)),
    ):
        with pytest.raises(ValueError, match=r"exist for n up to 7"):
            fn()


DIGEST = """
import hashlib, sys
from eqjax import groups
from tests.groups.test_finite import GROUPS, digest
sys.stdout.write(digest(GROUPS))
"""


def digest(chosen):
    """A digest of all tables of the groups."""
    sha = hashlib.sha256()
    for group in chosen:
        tables = group.tables
        for table in (tables.product, tables.inverse, tables.matrices):
            sha.update(table.tobytes())
        sha.update(repr(tables.generators).encode())
        sha.update(group.generators.discrete.tobytes())
    return sha.hexdigest()


def test_tables_do_not_depend_on_the_hash_seed():
    # This process has a seed of its own, drawn at random unless it was set.
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", DIGEST],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout == digest(GROUPS)
