"""Lie groups with left-invariant metrics."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups
from eqjax.spaces import LieGroupSpace, PositionOrientation

NUM = 31
SPACES = (
    LieGroupSpace(groups.SO(2)),
    LieGroupSpace(groups.SO(3)),
    LieGroupSpace(groups.SO(3), weights=(1.0, 2.0, 3.0)),
    LieGroupSpace(groups.SE(2), weights=(2.0, 2.0, 1.0)),
    LieGroupSpace(groups.SE(3)),
    LieGroupSpace(groups.O(3)),
)
# The others add compile time, no code of their own.
FAST = (SPACES[2], SPACES[3], SPACES[5])
every_space = pytest.mark.parametrize(
    "space",
    [
        space if space in FAST else pytest.param(space, marks=pytest.mark.slow)
        for space in SPACES
    ],
    ids=str,
)

# Compiling takes most of the time of this file, running almost none.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def sides(space, key):
    """Both sides of every law, for one random tuple."""
    keys = jax.random.split(key, 6)
    x, y, g = (space.sample(key=k) for k in keys[:3])
    u, v = (jax.random.normal(k, (space.dim,)) for k in keys[3:5])
    u = u * jnp.minimum(1.0, 2 / jnp.linalg.norm(u))  # turns below pi
    weights = jnp.asarray(space.weights or (1.0,) * space.dim)

    def target(a):
        """A smooth function of the entries of a."""
        return jnp.sum(jnp.sin(0.3 + space.of.matrix(a)))

    def along(a, w):
        return target(space.exp(a, w))

    def moved_target(a):
        return target(space.act(space.of.inverse(g), a))

    dT = jax.grad(target, allow_int=True)(x)
    moved = space.act(g, x)
    moved_dT = jax.grad(moved_target, allow_int=True)(moved)
    derivatives = jax.grad(along, argnums=1)(x, jnp.zeros(space.dim))
    raised = space.raise_index(x, dT)
    frame = space.frame(x)
    return {
        "symmetry": (space.distance(x, y), space.distance(y, x)),
        "coincident": (space.distance(x, x), 0.0),
        "d(gx, gy)": (
            space.distance(space.act(g, x), space.act(g, y)),
            space.distance(x, y),
        ),
        "dual(gx)": (space.dual_norm(moved, moved_dT), space.dual_norm(x, dT)),
        "dual": (space.dual_norm(x, dT), jnp.linalg.norm(derivatives / weights)),
        "log exp": (space.log(x, space.exp(x, u)), u),
        "|u|": (
            space.distance(x, space.exp(x, u)),
            jnp.sqrt(space.inner(x, u, u)),
        ),
        "gradient": (space.inner(x, raised, v), jnp.dot(derivatives, v)),
        "|raised|": (space.inner(x, raised, raised), space.dual_norm(x, dT) ** 2),
        "frame": (space.to_tangent(x, v @ frame), v),
        "transport": (
            space.inner(y, space.transport(x, y, u), space.transport(x, y, v)),
            space.inner(x, u, v),
        ),
        "retract": (
            space.of.matrix(space.retract(x, u)),
            space.of.matrix(space.exp(x, u)),
        ),
    }


@every_space
def test_laws(space):
    keys = jax.random.split(jax.random.key(1), NUM)
    for name, (got, want) in jit(jax.vmap(functools.partial(sides, space)))(
        keys
    ).items():
        got, want = np.broadcast_arrays(np.asarray(got), np.asarray(want))
        # Roundings of rotations by up to pi, where the logarithm loses a digit.
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13, err_msg=name)


def test_distance_is_the_angle_of_rotations():
    space = SPACES[1]
    turn = space.of.exp(jnp.array([0.0, 0.6, -0.8]))
    x = space.sample(key=jax.random.key(0))
    np.testing.assert_allclose(
        space.distance(x, space.of.compose(x, turn)), 1.0, rtol=1e-14
    )
    # Bi-invariant: moving from the right changes nothing either.
    y, h = (space.sample(key=jax.random.key(i)) for i in (1, 2))
    there = space.distance(space.of.compose(x, h), space.of.compose(y, h))
    np.testing.assert_allclose(there, space.distance(x, y), rtol=1e-13)
    # Where the metric is bi-invariant, the distance solves the eikonal equation.
    gradient = jax.grad(space.distance, argnums=1)(x, y)
    np.testing.assert_allclose(space.dual_norm(y, gradient), 1, rtol=1e-13)


@pytest.mark.slow
def test_distance_is_above_the_exact_one_of_the_plane_with_headings():
    """SE(2) with equal costs of steps is flat, and has a closed form."""
    space, exact = SPACES[3], PositionOrientation(2, xi=2.0)
    keys = jax.random.split(jax.random.key(3), 2 * NUM).reshape(2, NUM)
    x, y = jax.vmap(jax.vmap(lambda key: exact.sample(key=key)))(keys)
    got = space.distance((x[:, :2], x[:, 2]), (y[:, :2], y[:, 2]))
    want = np.asarray(exact.distance(x, y))
    assert np.all(got >= want * (1 - 1e-14))
    # Without turns it is exact.
    y = y.at[:, 2].set(x[:, 2])
    got = space.distance((x[:, :2], x[:, 2]), (y[:, :2], y[:, 2]))
    np.testing.assert_allclose(got, exact.distance(x, y), rtol=1e-14)


def test_gradients_are_finite_at_singular_pairs():
    for space in FAST[:2]:
        x = space.sample(key=jax.random.key(0))
        u = np.zeros(space.dim)
        half_turn = u.copy()
        half_turn[-1] = math.pi
        for v in (u, 1e-12 + u, half_turn):
            y = space.exp(x, jnp.asarray(v))
            gradient = jit(jax.grad(space.distance, argnums=(0, 1)))(x, y)
            assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_subgroups_act_as_the_elements_that_they_are():
    space = SPACES[1]
    x = space.sample(key=jax.random.key(0))
    group = groups.Polyhedral("octahedral")
    moved = space.act(jnp.asarray(5), x, group=group)
    want = space.of.matrix(x)
    want = group.matrix(jnp.asarray(5)) @ want
    np.testing.assert_allclose(space.of.matrix(moved), want, atol=1e-15)
    with pytest.raises(ValueError, match="`group` must be SO"):
        space.act(space.of.identity(), x, group=groups.SO(4))


def test_dimensions_and_leading_axes():
    sizes = [(s.dim, s.ambient_dim) for s in SPACES]
    assert sizes == [(1, 1), (3, 4), (3, 4), (3, 3), (6, 7), (3, 4)]
    space = SPACES[4]
    keys = jax.random.split(jax.random.key(0), 5)

    def shapes(keys):
        batch = jax.vmap(lambda key: space.sample(key=key))(keys)
        x = jax.tree.map(lambda leaf: leaf[:3, None], batch)
        y = jax.tree.map(lambda leaf: leaf[3:], batch)
        one = jnp.ones(6)
        single = space.sample(dtype=jnp.float32, key=keys[0])
        return (
            space.distance(x, y),
            space.frame(x),
            space.inner(x, one, one),
            space.transport(x, y, one),
            space.distance(single, single),
        )

    found = jax.eval_shape(shapes, keys)
    want = [(3, 2), (3, 1, 6, 7), (3, 1), (3, 2, 6), ()]
    assert [leaf.shape for leaf in found] == want
    assert found[-1].dtype == jnp.float32


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LieGroupSpace(groups.SO(3), (1.0,)), "`weights` must hold 3 numbers"),
        (lambda: LieGroupSpace(groups.SO(2), (0.0,)), "`weights` must be a positive"),
        (lambda: LieGroupSpace(groups.SU(3)), "must have elements of real numbers"),
        (lambda: LieGroupSpace(groups.Cyclic(3)), "must be a Lie group"),
    ],
)
def test_wrong_specs_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
