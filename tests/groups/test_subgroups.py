"""Subgroups: embeddings are homomorphisms, tables and cosets are those of algebra."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups

C, D, S, P = groups.Cyclic, groups.Dihedral, groups.Symmetric, groups.Polyhedral
SO, O, SE, E, T = groups.SO, groups.O, groups.SE, groups.E, groups.Translation
T_ROT, O_ROT, I_ROT = P("tetrahedral"), P("octahedral"), P("icosahedral")
T_H, O_H, I_H = (
    P(solid, inversion=True) for solid in ("tetrahedral", "octahedral", "icosahedral")
)
T_D = P("tetrahedral", mirrors=True)
FOUR_EVEN = groups.FiniteGroup(((1, 2, 0, 3), (1, 0, 3, 2)))
FOUR_TURNS = groups.FiniteGroup(((1, 0, 3, 2), (2, 3, 0, 1)))

FINITE_PAIRS = (
    (C(3), C(3)),
    (C(2), C(6)),
    (C(1), C(5)),
    (C(3), D(6)),
    (D(2), D(6)),
    (D(1), D(5)),
    (S(3), S(4)),
    (S(2, elements="index"), S(5)),
    (S(3), S(5, elements="index")),
    (S(4), S(4, elements="index")),
    (FOUR_EVEN, S(4)),
    (FOUR_EVEN, S(5, elements="index")),
    (FOUR_TURNS, FOUR_EVEN),
    (S(2), groups.FiniteGroup(((1, 0, 2), (1, 2, 0)))),
    (T_ROT, O_ROT),
    (T_ROT, I_ROT),
    (T_ROT, T_H),
    (T_ROT, T_D),
    (T_D, O_H),
    (T_H, O_H),
    (T_H, I_H),
    (O_ROT, O_H),
    (C(4), O_ROT),
    (D(4), O_ROT),
    (D(2), I_H),
)
CONTINUOUS_PAIRS = (
    (C(5), SO(2)),
    (D(5), O(2)),
    (SO(2), O(2)),
    (SO(3), O(3)),
    (D(3), SO(3)),
    (SO(2), SO(3)),
    (O(2), O(3)),
    (O(3), SO(4)),
    (SO(3, elements="matrix"), O(3)),
    (I_ROT, SO(3)),
    (T_D, O(3)),
    (T(2), SE(2, sigma=2.0)),
    (T(3), E(3)),
    (D(4), E(2)),
    (SO(3), SE(3)),
    (O(2), SE(3)),
    (SE(2), E(2, sigma=1.5)),
    (SE(3), E(3)),
    (SE(2, sigma=1.5), SE(2)),
    (T(2), groups.Semidirect(T(2), D(4))),
    (D(2), groups.Semidirect(T(2), D(4))),
    (groups.Semidirect(T(2), C(4)), groups.Semidirect(T(2, sigma=2.0), D(4))),
    (groups.Semidirect(T(2), D(4)), E(2)),
    (SE(2), groups.Semidirect(T(2), groups.GLPlus(2))),
    (SO(3), groups.SL(3)),
    (groups.Sp(2), groups.SL(4)),
    (groups.SL(2), groups.GLPlus(2)),
    (groups.Scaling(3), groups.GLPlus(3)),
    (groups.SU(2), groups.U(2)),
    (D(5), groups.Lorentz(2, reflections="space")),
    (groups.Lorentz(2), groups.Lorentz(2, reflections="all")),
)
every_finite_pair = pytest.mark.parametrize(("sub", "group"), FINITE_PAIRS, ids=str)

# A few dozen roundings of numbers of size one.
ROUNDING = 1e-14
NUM = 6

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def draws(group):
    """A batch of elements."""
    keys = jax.random.split(jax.random.key(1), NUM)
    return jit(jax.vmap(lambda key: group.sample(key=key)))(keys)


def assert_close(got, want):
    want = np.broadcast_to(want, got.shape)
    np.testing.assert_allclose(got, want, rtol=0, atol=ROUNDING)


def assert_contains(sub, group, image, matrix):
    """The first block of the image is the matrix, so that the actions agree."""
    if isinstance(group, groups.Lorentz) and not isinstance(sub, groups.Lorentz):
        image = image[:, 1:, 1:]  # of space
    size = matrix.shape[-1] if isinstance(sub, T) else sub.degree
    block = matrix[:, :size, :size]
    assert_close(image[:, :size, :size], block)
    if (size, group.degree, image.shape[-1]) == (2, 3, 3) and not isinstance(sub, S):
        # Mirrors of the plane become half turns: diag(h, det h).
        assert_close(image[:, 2, 2], np.linalg.det(block))
        assert_close(image[:, :2, 2], 0)


# Homomorphisms -----------------------------------------------------------------------


@pytest.mark.parametrize(("sub", "group"), CONTINUOUS_PAIRS, ids=str)
def test_embedding_is_a_homomorphism(sub, group):
    assert groups.is_subgroup(sub, group)

    @jit
    def fn(a):
        # Broadcast over two leading axes.
        b = jax.tree.map(lambda leaf: leaf[:, None], a)
        image = functools.partial(groups.embed, sub, group)
        products = group.compose(image(b), image(a))
        both = jax.tree.map(
            lambda *leaves: jnp.stack(leaves), products, image(sub.compose(b, a))
        )
        return sub.matrix(a), group.matrix(image(a)), group.matrix(both)

    a, image, (products, image_of_products) = jax.tree.map(np.asarray, fn(draws(sub)))
    assert_close(image_of_products, products)
    assert_contains(sub, group, image, a)


@every_finite_pair
def test_embedding_of_finite_groups_is_a_homomorphism(sub, group):
    assert groups.is_subgroup(sub, group)
    indices = groups.subgroup_indices(sub, group)
    assert indices.shape == (sub.order,)
    assert indices.dtype == np.int32
    assert len(set(indices.tolist())) == sub.order
    small, large = sub.tables, group.tables
    np.testing.assert_array_equal(
        large.product[np.ix_(indices, indices)], indices[small.product]
    )
    assert_contains(sub, group, large.matrices[indices], small.matrices)
    # `embed` says the same.
    image = jit(lambda i: group.index(groups.embed(sub, group, sub.element(i))))(
        np.arange(sub.order)
    )
    np.testing.assert_array_equal(image, indices)


@pytest.mark.parametrize(
    "chain",
    [
        (C(2), C(6), D(6), O(2), SO(3), O(3), E(3)),
        (C(4), SO(2), SE(2), E(2)),
        (D(4), O_ROT, SO(3), SE(3)),
        (D(2), T_ROT, I_H, O(3)),
        (T(3), SE(3), E(3)),
        (S(2), S(3, elements="index"), S(4), S(5)),
        (FOUR_TURNS, FOUR_EVEN, S(4), S(6)),
    ],
    ids=str,
)
def test_chains_agree_with_the_direct_embedding(chain):
    first, last = chain[0], chain[-1]

    @jit
    def fn(a):
        image = a
        for small, large in itertools.pairwise(chain):
            image = groups.embed(small, large, image)
        return last.matrix(image), last.matrix(groups.embed(first, last, a))

    by_chain, direct = fn(draws(first))
    assert_close(np.asarray(by_chain), np.asarray(direct))


def test_embeddings_of_finite_groups_have_the_dtype_asked_for():
    for group in (SO(2), O(2), SO(3), SE(2), E(3)):
        for dtype in (jnp.float32, None):
            image = jax.eval_shape(
                lambda a, group=group, dtype=dtype: groups.embed(
                    C(4), group, a, dtype=dtype
                ),
                jax.ShapeDtypeStruct((), jnp.int32),
            )
            kinds = {leaf.dtype for leaf in jax.tree.leaves(image)}
            assert jnp.dtype(dtype or jnp.float64) in kinds
            assert kinds <= {jnp.dtype(dtype or jnp.float64), jnp.dtype(jnp.int32)}
    # Others keep their own.
    angle = jax.ShapeDtypeStruct((5,), jnp.float32)
    t, (q, flip) = jax.eval_shape(functools.partial(groups.embed, SO(2), E(3)), angle)
    assert t.dtype == q.dtype == jnp.float32
    assert (t.shape, q.shape, flip.shape) == ((5, 3), (5, 4), (5,))


def test_embeddings_are_differentiable_at_the_identity_and_half_turns():
    angles = jnp.array([0.0, 1e-6, 1.0, np.pi - 1e-6, np.pi])
    x = jnp.array([0.3, -0.5, 0.7])

    def fn(angle):
        return SO(3).act(groups.embed(SO(2), SO(3), angle), x)

    got = jit(jax.vmap(jax.jacfwd(fn)))(angles)
    c, s = np.cos(angles), np.sin(angles)
    want = np.stack([-s * x[0] - c * x[1], c * x[0] - s * x[1], 0 * c], axis=-1)
    np.testing.assert_allclose(got, want, rtol=0, atol=ROUNDING)


# Tables ------------------------------------------------------------------------------


@every_finite_pair
def test_left_cosets_partition_the_group(sub, group):
    representatives, coset_of = groups.left_cosets(sub, group)
    indices = groups.subgroup_indices(sub, group)
    product = group.tables.product
    assert representatives.dtype == coset_of.dtype == np.int32
    assert len(representatives) * sub.order == group.order
    assert representatives[0] == 0
    assert np.all(np.diff(representatives) > 0)
    # The coset of a representative times an element of H is that of the representative.
    cosets = product[representatives][:, indices]
    want = np.broadcast_to(np.arange(len(representatives))[:, None], cosets.shape)
    np.testing.assert_array_equal(coset_of[cosets], want)
    np.testing.assert_array_equal(np.sort(cosets.ravel()), np.arange(group.order))
    np.testing.assert_array_equal(np.min(cosets, axis=1), representatives)
    # The group permutes them: the coset of g x depends on the coset of x only.
    moved = coset_of[product]
    np.testing.assert_array_equal(moved, moved[:, representatives][:, coset_of])


def test_tables_are_static_under_jit():
    @jax.jit
    def fn(x):
        indices = groups.subgroup_indices(T_ROT, I_H)
        cosets = groups.left_cosets(T_ROT, I_H)
        assert isinstance(indices, np.ndarray)
        return x + len(indices) + len(cosets.representatives)

    assert fn(jnp.zeros(())) == 12 + 10


def test_large_groups_need_no_tables():
    n = 30
    g = S(n).sample(key=jax.random.key(0))
    image = groups.embed(S(n), S(n + 2), g)
    np.testing.assert_array_equal(image, [*np.asarray(g), n, n + 1])
    angle = groups.embed(C(10_000), SO(2), jnp.asarray(1))
    np.testing.assert_allclose(angle, 2 * math.pi / 10_000, rtol=1e-12)
    k = jnp.asarray(7)
    assert groups.embed(C(6_000), C(12_000), k) == 14
    assert groups.embed(D(6_000), D(12_000), k + 6_000) == 14 + 12_000


# Pairs that are none -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("sub", "group"),
    [
        (C(4), C(6)),
        (D(2), C(4)),
        (D(5), I_ROT),
        (D(3), SO(2)),
        (O(2), SO(2)),
        (O(3), SO(3)),
        (O_H, SO(3)),
        (O_ROT, T_D),
        (O_ROT, I_H),
        (T_D, T_H),
        (S(4), S(3)),
        (S(4), FOUR_EVEN),
        (S(3), FOUR_EVEN),
        (S(3), O(3)),
        (C(3), S(3)),
        (SO(3), SO(2)),
        (SO(2), C(4)),
        (T(2), SE(3)),
        (T(2), SO(3)),
        (SE(2), T(2)),
        (SE(2), SE(3)),
        (E(2), SE(2)),
        (O(3), SE(3)),
        (O(2), groups.Semidirect(T(2), SO(2))),
        (SE(2), groups.Semidirect(T(3), SO(3))),
        (O(3), groups.SL(3)),
        (groups.GLPlus(2), groups.SL(2)),
        (groups.Scaling(2), groups.SL(2)),
        (groups.Scaling(1), groups.GLPlus(2)),
        (C(2), groups.GLPlus(1)),
        (O(2), groups.Lorentz(2)),
        (C(2), groups.Lorentz(1)),
        (groups.Lorentz(2, reflections="all"), groups.Lorentz(2)),
        (groups.U(3), groups.SU(3)),
        (SO(3), groups.U(3)),
    ],
    ids=str,
)
def test_other_pairs_are_refused_with_the_list_of_known_ones(sub, group):
    assert not groups.is_subgroup(sub, group)
    with pytest.raises(ValueError, match=r"no registered subgroup .* Known are:\n"):
        groups.embed(sub, group, sub.identity())
    if getattr(group, "order", None) and getattr(sub, "order", None):
        with pytest.raises(ValueError, match=r"no registered subgroup"):
            groups.subgroup_indices(sub, group)
        with pytest.raises(ValueError, match=r"no registered subgroup"):
            groups.left_cosets(sub, group)


def test_tables_exist_for_finite_pairs_only():
    with pytest.raises(ValueError, match=r"`group` must be a finite group"):
        groups.subgroup_indices(C(3), SO(2))
    with pytest.raises(ValueError, match=r"`sub` must be a finite group"):
        groups.left_cosets(SO(2), O(2))
