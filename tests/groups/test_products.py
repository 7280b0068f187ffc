"""The laws of groups that are made of others: products, affine maps, generators."""

import copy
import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from eqjax import groups

T = groups.Translation
# The wallpaper group p4m, in homogeneous coordinates: a lattice, D_4 about a point.
STEP = [[1.0, 0, 1], [0, 1, 0], [0, 0, 1]]
QUARTER = [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]
MIRROR = [[1.0, 0, 0], [0, -1, 0], [0, 0, 1]]
P4M = groups.from_generators("p4m", discrete=[STEP, QUARTER, MIRROR])
LORENTZ = groups.from_generators(
    "Lorentz",
    lie=groups.Lorentz(3).generators.lie,
    discrete=groups.Lorentz(3, reflections="all").generators.discrete,
)


class Case(NamedTuple):
    """A group, and coordinates of the Lie algebra whose multiples are angles."""

    group: groups.Group
    turns: tuple[int, ...] = ()


CASES = (
    Case(groups.Product((groups.SO(2), groups.E(2), groups.Scaling(1))), (0, 3)),
    Case(groups.Product((groups.SU(2), groups.Translation(1)))),
    Case(groups.Product((groups.Scaling(2), groups.Dihedral(3)))),
    Case(groups.Product((groups.Cyclic(3), groups.Symmetric(4)))),
    Case(groups.Semidirect(T(4), groups.Symmetric(4))),
    Case(groups.Semidirect(T(2), groups.Dihedral(4))),
    Case(groups.Semidirect(T(3), groups.Polyhedral("icosahedral", inversion=True))),
    Case(groups.Semidirect(T(3), groups.O(3)), (3, 4, 5)),
    Case(groups.Semidirect(T(4), groups.O(4)), (4, 5, 6, 7, 8, 9)),
    Case(groups.Semidirect(T(2), groups.Scaling(2))),
    Case(groups.Semidirect(T(2), groups.GLPlus(2)), (2,)),
    Case(
        groups.Semidirect(T(3), groups.Product((groups.Dihedral(4), groups.Scaling(1))))
    ),
    Case(P4M),
    Case(LORENTZ, (3, 4, 5)),
)
SLOW = (CASES[4], CASES[6], CASES[8])


def parametrized(cases):
    params = [
        pytest.param(case, marks=pytest.mark.slow if case in SLOW else ())
        for case in cases
    ]
    return pytest.mark.parametrize("case", params, ids=[str(c.group) for c in cases])


every_case = parametrized(CASES)

ROUNDING = 1e-14
NUM = 7
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def twists(case):
    """Generic, near the identity (1e-12 .. 1e-2), with a turn by pi - 0.05."""
    v = np.random.default_rng(2).standard_normal((NUM, case.group.dim)) * 0.5
    v[2:6] *= np.geomspace(1e-12, 1e-2, 4)[:, None]
    if case.turns:
        turn = v[6, list(case.turns)]
        v[6, list(case.turns)] = turn * (np.pi - 0.05) / np.linalg.norm(turn)
    return v


@functools.cache
def elements(case):
    """Three batches."""
    draw = jax.vmap(lambda key: case.group.sample(key=key))
    many = jit(draw)(jax.random.split(jax.random.key(4), 3 * NUM))
    return [
        jax.tree.map(lambda leaf: leaf[i::3], many)  # noqa: B023
        for i in range(3)
    ]


def vectors(group):
    return jnp.asarray(np.random.default_rng(5).standard_normal((NUM, group.degree)))


def arguments(case):
    return *elements(case), jnp.asarray(twists(case)), vectors(case.group)


def apply_everything(group, a, b, c, v, x):
    """All that a group can do, with one exponential and one logarithm."""
    matrix, compose, act = group.matrix, group.compose, group.act
    e = group.identity(dtype=v.dtype)
    ab, back, turn = compose(a, b), group.inverse(a), group.adjoint(a)
    moved = jnp.einsum("...ij,...j->...i", turn, v, precision="highest")
    power = group.exp(jnp.stack([v, 0.3 * v, 0.5 * v, 0.8 * v, moved]))
    first, second, third = (jax.tree.map(lambda p: p[i], power) for i in range(3))  # noqa: B023
    conjugate = compose(compose(a, first), back)
    logs = group.log(jax.tree.map(lambda p, q: jnp.concatenate([p, q]), first, a))
    return {
        "a": matrix(a),
        "b": matrix(b),
        "ab": matrix(ab),
        "(ab)c": matrix(compose(ab, c)),
        "a(bc)": matrix(compose(a, compose(b, c))),
        "ae": matrix(compose(a, e)),
        "a inverse(a)": matrix(compose(a, back)),
        "inverse": matrix(back),
        "from_matrix": matrix(group.from_matrix(matrix(a))),
        "ax": act(a, x),
        "(ab)x": act(ab, x),
        "a(bx)": act(a, act(b, x)),
        "exp": jnp.moveaxis(matrix(power), 0, -3),
        "exp(.3v)exp(.5v)": matrix(compose(second, third)),
        "a exp(v) inverse(a)": matrix(conjugate),
        "log": logs,
        "hat": group.hat(v),
        "vee": group.vee(group.hat(v)),
        "Ad(a)": turn,
        "Ad(b)": group.adjoint(b),
        "Ad(ab)": group.adjoint(ab),
        "Ad(a)v": moved,
    }


@functools.cache
def results(case):
    fn = jit(functools.partial(apply_everything, case.group))
    return jax.tree.map(np.asarray, fn(*arguments(case)))


def close(got, want, atol=ROUNDING):
    """Up to `atol` times the largest number, and at least one."""
    got, want = np.broadcast_arrays(np.asarray(got), np.asarray(want))
    size = max(1, np.max(np.abs(want), initial=0))
    np.testing.assert_allclose(got, want, rtol=0, atol=atol * size)


# Laws --------------------------------------------------------------------------------


@every_case
def test_axioms_and_matrices(case):
    r = results(case)
    one = np.eye(r["a"].shape[-1])
    close(r["(ab)c"], r["a(bc)"])
    close(r["ae"], r["a"])
    # Of an element and its inverse, each as large as 20.
    close(r["a inverse(a)"], one, 1e-12)
    close(r["ab"], r["a"] @ r["b"])
    close(r["inverse"], np.linalg.inv(r["a"]), 1e-12)
    close(r["from_matrix"], r["a"])
    close(case.group.matrix(case.group.identity()), one)


@every_case
def test_action_is_a_left_action(case):
    r, x = results(case), np.asarray(vectors(case.group))
    close(r["(ab)x"], r["a(bx)"], 1e-13)
    if isinstance(case.group, groups.Product):
        return
    n = case.group.degree
    moved = np.einsum("bij,bj->bi", r["a"][:, :n, :n], x)
    if isinstance(case.group, groups.Semidirect):
        moved = moved + r["a"][:, :n, n]
    close(r["ax"], moved)


@every_case
def test_exponential_map_and_adjoint(case):
    group, v = case.group, twists(case)
    r = results(case)
    exp_v, _, _, both, moved = np.moveaxis(r["exp"], -3, 0)
    close(r["exp(.3v)exp(.5v)"], both, 1e-13)
    close(exp_v, scipy.linalg.expm(r["hat"]), 1e-13)
    close(r["log"][:NUM], v, 1e-12)
    close(r["a exp(v) inverse(a)"], moved, 1e-12)
    close(r["Ad(ab)"], r["Ad(a)"] @ r["Ad(b)"], 1e-13)
    close(r["hat"], np.einsum("bd,dij->bij", v, group.generators.lie))
    close(r["vee"], v)
    assert group.dim == v.shape[1] == len(group.generators.lie)


@every_case
def test_discrete_generators_are_elements(case):
    group = case.group
    for m in group.generators.discrete:
        a = group.from_matrix(jnp.asarray(m))
        close(group.matrix(a), m)


@parametrized([CASES[0], CASES[7], CASES[10]])
def test_derivatives_are_finite(case):
    group = case.group

    def fn(v, a, x):
        moved = group.inverse(group.compose(a, group.exp(v)))
        return jnp.sum(group.log(moved)) + jnp.sum(jnp.abs(group.act(moved, x)) ** 2)

    e = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (1, *leaf.shape)), group.identity()
    )
    a = jax.tree.map(lambda p, q: jnp.concatenate([p, q[:2]]), e, elements(case)[0])
    grad = jit(jax.vmap(jax.grad(fn)))
    assert np.all(np.isfinite(grad(jnp.zeros((3, group.dim)), a, vectors(group)[:3])))


def single(leaf):
    if jnp.issubdtype(leaf.dtype, jnp.integer):
        return jnp.asarray(leaf)
    is_complex = np.iscomplexobj(leaf)
    return jnp.asarray(leaf, jnp.complex64 if is_complex else jnp.float32)


@parametrized([CASES[2], CASES[5], CASES[11]])
def test_float32_and_vmap_agree_with_float64_and_batches(case):
    """Above all where a finite factor, which has no dtype, meets another."""
    args = jax.tree.map(single, arguments(case))
    # The logarithm takes twice as many elements as the others, one batch of them each.
    group = case.group

    def fn(a, b, c, v, x):
        batched = jax.tree.map(lambda leaf: leaf[None], (a, b, c, v, x))
        return jax.tree.map(lambda leaf: leaf[0], apply_everything(group, *batched))

    want = results(case)
    got = jit(jax.vmap(fn))(*args)
    for name, array in want.items():
        result = got[name]
        assert result.dtype == single(array).dtype, name
        if name in ("exp", "log"):
            continue
        size = max(1, np.max(np.abs(array), initial=0))
        # Three factors and 2^6 from the roots of a logarithm.
        atol = 64 * float(jnp.finfo(jnp.float32).eps) * size
        np.testing.assert_allclose(result, array, rtol=0, atol=atol, err_msg=name)
    close(got["log"], want["log"][:NUM], 1e-4)


@every_case
def test_specs_are_values(case):
    assert isinstance(case.group, groups.Group)
    assert len({case.group, copy.deepcopy(case.group)}) == 1


# Orders, logarithms, measures, quadrature --------------------------------------------


def test_orders_multiply():
    assert CASES[3].group.order == 3 * 24
    assert [case.group.order for case in CASES].count(None) == len(CASES) - 1


def test_only_exponentials_have_logarithms():
    group = groups.Product((groups.Dihedral(3), groups.O(2), groups.SO(2)))
    k = jnp.array([0, 1, 0])
    turn = (jnp.array([1.0, 1.0, 1.0]), jnp.array([0, 0, 1]))
    got = group.has_log((k, turn, jnp.asarray(2.0)))
    assert got.tolist() == [True, False, False]
    zero = jnp.zeros((2, 2))
    for linear, h, want in (
        (groups.Cyclic(5), jnp.array([0, 2]), [True, False]),
        (groups.O(2), (jnp.array([1.0, 2.0]), jnp.array([1, 0])), [False, True]),
        (groups.SO(2), jnp.array([3.0, 1.0]), [True, True]),
    ):
        found = groups.Semidirect(T(2), linear).has_log((zero, h))
        assert found.tolist() == want
    for group in (groups.E(2), groups.Semidirect(T(2), groups.O(2))):
        assert group.has_log((zero, (jnp.ones(2), jnp.array([0, 1])))).tolist() == [
            True,
            False,
        ]


def test_sampled_moments():
    group = groups.Product((groups.SO(3), groups.Cyclic(4)))
    assert group.sample_measure == "haar"
    m = group.matrix(jax.vmap(lambda k: group.sample(key=k))(keys(4000)))
    assert_mean(np.asarray(m), np.zeros((5, 5)))
    group = groups.Semidirect(T(2, sigma=2.0), groups.Scaling(2, sigma=0.3))
    assert group.sample_measure == "declared"
    t, s = map(np.asarray, jax.vmap(lambda k: group.sample(key=k))(keys(4000)))
    assert_mean(t, np.zeros(2))
    assert_mean(np.einsum("bi,bj->bij", t, t), 4 * np.eye(2))
    assert_mean(s**2, np.asarray(0.09))


def keys(num):
    return jax.random.split(jax.random.key(12), num)


def assert_mean(values, want):
    spread = np.std(values, axis=0) / np.sqrt(len(values))
    assert np.all(np.abs(np.mean(values, axis=0) - want) <= 5 * spread + 1e-12)


def test_quadrature_of_a_product_is_exact():
    group = groups.Product((groups.SO(2), groups.O(3), groups.Dihedral(3)))
    nodes, weights = group.quadrature(2)
    close(np.sum(weights), 1)
    m = np.asarray(group.matrix(jax.tree.map(jnp.asarray, nodes)))
    close(np.tensordot(weights, m, 1), np.zeros((7, 7)))
    # Second moments of each factor, and none between them.
    squares = np.einsum("b,bij,bij->ij", weights, m, m)
    want = scipy.linalg.block_diag(*[np.full((n, n), 1 / n) for n in (2, 3, 2)])
    # Sums of some hundred weights.
    close(squares, want, 1e-13)
    mixed = np.einsum("b,b,b->", weights, m[:, 0, 0] ** 2, m[:, 3, 3] ** 2)
    close(mixed, 1 / 6)
    for other in (
        groups.Product((groups.SO(2), groups.SL(2))),
        groups.Semidirect(T(2), groups.Cyclic(4)),
        LORENTZ,
    ):
        with pytest.raises(ValueError, match="Use `sample`"):
            other.quadrature(2)


def test_left_haar_measure_of_affine_maps():
    """dt dh / |det h| does not change from the left, dt dh does from the right."""
    group = groups.Semidirect(T(2), groups.Scaling(2))
    a = (jnp.array([0.3, -0.7]), jnp.asarray(0.4))
    b = (jnp.array([1.1, 0.2]), jnp.asarray(-0.9))

    def moved(fn):
        def flat(y):
            t, s = fn((y[:2], y[2]))
            return jnp.concatenate([t, s[None]])

        y = jnp.concatenate([b[0], b[1][None]])
        return float(jnp.abs(jnp.linalg.det(jax.jacfwd(flat)(y))))

    det = float(jnp.exp(2 * a[1]))
    close(moved(lambda y: group.compose(a, y)), det)
    close(moved(lambda y: group.compose(y, a)), 1)


# Generated groups --------------------------------------------------------------------


def test_p4m_is_discrete_and_its_elements_are_isometries_of_the_lattice():
    many = np.asarray(jit(jax.vmap(lambda k: P4M.sample(key=k)))(keys(200)))
    assert P4M.dim == 0
    assert np.array_equal(many, np.round(many))
    linear = many[:, :2, :2]
    close(linear @ linear.swapaxes(1, 2), np.eye(2))
    # All eight linear parts occur, and steps in both directions.
    assert len({m.tobytes() for m in linear + 0.0}) == 8
    assert np.min(many[:, :2, 2]) < 0 < np.max(many[:, :2, 2])


def test_generated_lorentz_group_is_the_other_one():
    v = 0.3 * np.random.default_rng(1).standard_normal(6)
    other = groups.Lorentz(3)
    close(LORENTZ.exp(jnp.asarray(v)), other.exp(jnp.asarray(v)))
    m = np.asarray(LORENTZ.sample(key=jax.random.key(3)))
    eta = np.diag([1.0, -1, -1, -1])
    close(m.T @ eta @ m, eta, 1e-12)


def test_numbers_become_plain_ones():
    lie = np.array([[[0, -1], [1, 0]]])
    group = groups.from_generators("turns", lie=lie)
    assert group == groups.GeneratedGroup(
        "turns", lie=(((0.0, -1.0), (1.0, 0.0)),), sigma=0.5
    )
    assert repr(group) == "GeneratedGroup('turns', 1 Lie, 0 discrete generators)"


TURNS = np.asarray(groups.SO(3).generators.lie)


@pytest.mark.parametrize(
    ("lie", "discrete", "message"),
    [
        ((), (), "`lie` and `discrete` are empty"),
        (np.zeros((1, 2, 3)), (), "`lie` must hold real square matrices"),
        ([[[1.0, 0.0], [0.0]]], (), "`lie` must hold real square matrices"),
        ([np.eye(2) * 1j], (), r"`lie` must hold real .*\[\[Re, -Im\], \[Im, Re\]\]"),
        ([[[np.nan]]], (), "`lie` must hold real square matrices"),
        (TURNS, [np.eye(2)], "`discrete` must hold real square matrices"),
        ((), [np.diag([1.0, 0.0])], "`discrete` must hold invertible matrices"),
        (TURNS[[0, 0]], (), "`lie` must be linearly independent"),
        (TURNS[:2], (), "`lie` must be closed under brackets"),
        (TURNS[:1], [QUARTER], "`discrete` must map the span of `lie` to itself"),
    ],
)
def test_what_generates_no_group_is_refused(lie, discrete, message):
    with pytest.raises(ValueError, match=message):
        groups.from_generators("wrong", lie=lie, discrete=discrete)


# Errors ------------------------------------------------------------------------------


@pytest.mark.usefixtures("user_errors")
def test_wrong_specs_and_elements_are_refused():
    factors: tuple[Any, ...] = ((), [groups.SO(2)], (groups.SO(2), 3))
    for wrong in factors:
        with pytest.raises(ValueError, match="`groups` must be a tuple"):
            groups.Product(wrong)
    with pytest.raises(ValueError, match="`translations` must be a Translation"):
        groups.Semidirect(cast(Any, groups.SO(2)), groups.SO(2))
    for wrong in (groups.SO(3), groups.U(2), T(2), groups.SE(2), "SO(2)"):
        with pytest.raises(ValueError, match="`linear_part` must be a group of real"):
            groups.Semidirect(T(2), wrong)
    product = groups.Product((groups.SO(2), T(1)))
    with pytest.raises(ValueError, match="`b` must be a tuple of 2 elements"):
        product.compose(product.identity(), jnp.zeros(()))
    with pytest.raises(ValueError, match="The last axis must have size 2"):
        product.exp(jnp.zeros(3))
    with pytest.raises(ValueError, match="The last axis must have size 3"):
        product.act(product.identity(), jnp.zeros(2))
    motions = groups.Semidirect(T(2), groups.SO(2))
    with pytest.raises(ValueError, match=r"`a` must be a tuple \(t, h\)"):
        motions.act(jnp.zeros(()), jnp.zeros(2))
    with pytest.raises(ValueError, match="`m` must be an array of shape"):
        P4M.from_matrix(jnp.zeros((2, 2)))


# Tables of finite products -----------------------------------------------------------

FINITE = groups.Product((groups.Dihedral(2), groups.Symmetric(3), groups.Cyclic(2)))


def test_finite_products_have_tables():
    product, inverse, matrices, generators = FINITE.tables
    order = len(product)
    assert product.shape == (48, 48)
    assert FINITE.order == 48
    at = jnp.arange(order)
    elements = FINITE.element(at)
    np.testing.assert_array_equal(FINITE.index(elements), at)
    np.testing.assert_allclose(FINITE.matrix(elements), matrices, atol=1e-15)
    np.testing.assert_array_equal(FINITE.index(FINITE.inverse(elements)), inverse)
    a = jax.tree.map(lambda leaf: jnp.repeat(leaf, order, axis=0), elements)
    b = jax.tree.map(
        lambda leaf: jnp.tile(leaf, (order,) + (1,) * (leaf.ndim - 1)), elements
    )
    composed = FINITE.index(FINITE.compose(a, b))
    np.testing.assert_array_equal(composed.reshape(order, order), product)
    np.testing.assert_allclose(
        FINITE.generators.discrete, matrices[list(generators)], atol=0
    )


def test_products_with_infinite_factors_have_none():
    product = groups.Product((groups.Cyclic(2), groups.SO(2)))
    assert not hasattr(product, "tables")
    large = groups.Product((groups.Symmetric(5), groups.Symmetric(5)))
    with pytest.raises(ValueError, match="tables exist up to order"):
        _ = large.tables
