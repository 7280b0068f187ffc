"""Products of spaces: Pythagoras, factor by factor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups
from eqjax.spaces import Euclidean, LieGroupSpace, Product, Sphere, Torus

NUM = 11
FACTORS = (Sphere(2), LieGroupSpace(groups.SO(2)), Torus((2.0, 3.0)))
WEIGHTS = (0.5, 2.0, 3.0)
SPACE = Product(FACTORS, weights=WEIGHTS)
# Compiling takes most of the time of this file, running almost none.
METHODS = ("exp", "log", "retract", "project", "to_tangent", "transport")


def sample(seed):
    keys = jax.random.split(jax.random.key(seed), NUM)
    return jax.jit(jax.vmap(lambda key: SPACE.sample(key=key)))(keys)


def vectors(seed):
    """A tangent vector or a covector for each factor."""
    numbers = np.random.default_rng(seed)
    return tuple(
        jnp.asarray(numbers.standard_normal((NUM, f.ambient_dim))) for f in FACTORS
    )


def covectors(seed):
    """Of the structure of points: rotations of the plane are numbers."""
    first, angle, last = vectors(seed)
    return first, angle[:, 0], last


def tangents(x, seed):
    sphere, *rest = vectors(seed)
    return (FACTORS[0].to_tangent(x[0], sphere), *rest)


def test_distances_and_norms_are_weighted_sums_of_squares():
    x, y, dT = sample(0), sample(1), covectors(2)
    u, v = tangents(x, 3), tangents(x, 4)
    parts = [f.distance(a, b) for f, a, b in zip(FACTORS, x, y, strict=True)]
    want = np.sqrt(sum((w * d) ** 2 for w, d in zip(WEIGHTS, parts, strict=True)))
    np.testing.assert_allclose(SPACE.distance(x, y), want, rtol=1e-15)
    parts = [f.dual_norm(a, b) for f, a, b in zip(FACTORS, x, dT, strict=True)]
    want = np.sqrt(sum((n / w) ** 2 for w, n in zip(WEIGHTS, parts, strict=True)))
    np.testing.assert_allclose(SPACE.dual_norm(x, dT), want, rtol=1e-15)
    raised = SPACE.raise_index(x, dT)
    np.testing.assert_allclose(SPACE.inner(x, raised, raised), want**2, rtol=1e-14)
    # <grad T, u> = dT u, whatever the weights are.
    flat = (dT[0], dT[1][:, None], dT[2])
    want = sum(np.sum(a * b, axis=1) for a, b in zip(flat, u, strict=True))
    np.testing.assert_allclose(SPACE.inner(x, raised, u), want, rtol=1e-12)
    np.testing.assert_allclose(SPACE.inner(x, u, v), SPACE.inner(x, v, u), rtol=1e-15)
    flat_space = Product(FACTORS)
    assert np.all(flat_space.distance(x, x) == 0)


def test_distance_of_a_short_step_is_its_length_and_solves_the_eikonal_equation():
    x, y = sample(0), sample(1)
    u = jax.tree.map(lambda leaf: 0.1 * leaf, tangents(x, 3))
    length = np.sqrt(SPACE.inner(x, u, u))
    np.testing.assert_allclose(SPACE.distance(x, SPACE.exp(x, u)), length, rtol=1e-13)
    gradient = jax.vmap(jax.grad(SPACE.distance, argnums=1))(x, y)
    np.testing.assert_allclose(SPACE.dual_norm(y, gradient), 1, rtol=1e-13)


def test_maps_act_factor_by_factor():
    x, y, u = sample(0), sample(1), tangents(sample(0), 3)
    arguments = {
        "exp": (x, u),
        "log": (x, y),
        "retract": (x, u),
        "project": (x,),
        "to_tangent": (x, vectors(5)),
        "transport": (x, y, u),
    }
    for method in METHODS:
        got = getattr(SPACE, method)(*arguments[method])
        for i, factor in enumerate(FACTORS):
            want = getattr(factor, method)(*(part[i] for part in arguments[method]))
            np.testing.assert_array_equal(got[i], want)
    flat = Product((Euclidean(2), Torus((2.0,))))
    frames = flat.frame((jnp.zeros(2), jnp.zeros(1)))
    assert [f.shape for f in frames] == [(2, 2), (1, 1)]
    with pytest.raises(ValueError, match="has no continuous frame"):
        SPACE.frame(x)


def test_products_of_groups_and_common_groups_act_by_isometries():
    x, y = sample(0), sample(1)
    g = SPACE.group.sample(key=jax.random.key(5))
    moved = SPACE.distance(SPACE.act(g, x), SPACE.act(g, y))
    np.testing.assert_allclose(moved, SPACE.distance(x, y), rtol=1e-12)
    # One rotation of both factors, and the same as a tuple of them.
    both, turns = Product((Sphere(2), Euclidean(3))), groups.SO(3)
    p, q = ((a[0], jnp.concatenate([a[2], a[1][:, None]], axis=1)) for a in (x, y))
    h = turns.sample(key=jax.random.key(6))
    together = both.act(h, p, group=turns), both.act(h, q, group=turns)
    np.testing.assert_allclose(
        both.distance(*together), both.distance(p, q), rtol=1e-13
    )
    np.testing.assert_array_equal(together[0][1], turns.act(h, p[1]))


def test_gradients_vanish_where_points_coincide():
    x = jax.tree.map(lambda leaf: leaf[0], sample(0))
    for leaf in jax.tree.leaves(jax.grad(SPACE.distance)(x, x)):
        np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


def test_dimensions_dtypes_and_leading_axes():
    assert (SPACE.dim, SPACE.ambient_dim, SPACE.tangent_dim) == (5, 6, 6)
    single = SPACE.sample(dtype=jnp.float32, key=jax.random.key(0))
    assert SPACE.distance(single, single).dtype == jnp.float32
    x = jax.tree.map(lambda leaf: leaf[:3, None], sample(0))
    y = jax.tree.map(lambda leaf: leaf[:2], sample(1))
    assert SPACE.distance(x, y).shape == (3, 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Product(()), "`factors` must hold at least one space"),
        (lambda: Product(FACTORS, (1.0,)), "`weights` must hold 3 numbers"),
        (lambda: Product(FACTORS, (1.0, 0.0, 1.0)), "`weights` must be a positive"),
        (lambda: SPACE.project((jnp.zeros(3),)), "tuples of 3 parts, got tuple of 1"),
    ],
)
def test_wrong_arguments_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
