"""Hyperbolic space: its laws under boosts and reflections, its precision, its models.

Tolerances in float64: 1e-12 relative is what the distance promises under boosts of
rapidity 3, which stretch coordinates, and their roundings, by e^3 = 20 twice.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.groups import Lorentz
from eqjax.spaces import Hyperbolic

DIMENSIONS = (1, 2, 3)
every_dimension = pytest.mark.parametrize("n", DIMENSIONS)
RAPIDITY = 3.0
NUM = 101

# Compiling takes most of the time of this file, running almost none.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def boosted_element(n, key):
    """A boost of rapidity 3 in a random direction, and a rotation or reflection."""
    keys = jax.random.split(key)
    group = Lorentz(n, reflections="space", sigma=0.01)
    direction = jax.random.normal(keys[0], (n,))
    direction = direction / jnp.linalg.norm(direction)
    rest = jnp.zeros(group.dim - n)
    boost = group.exp(jnp.concatenate([RAPIDITY * direction, rest]))
    return group.compose(boost, group.sample(key=keys[1]))


def laws(n, key):
    """Both sides of every law, for one random tuple."""
    space = Hyperbolic(n)
    keys = jax.random.split(key, 7)
    x, y, z = (space.sample(key=k) for k in keys[:3])
    u, v, dT = (jax.random.normal(k, (n,)) for k in keys[3:6])
    g = boosted_element(n, keys[6])
    move = functools.partial(space.act, g)
    back = functools.partial(space.act, space.group.inverse(g))
    reached = space.exp(x, u)
    arrived = space.transport(x, y, u)
    raised = space.raise_index(x, dT)
    frame = space.frame(x)
    moved_dT = jax.grad(lambda p: jnp.dot(dT, back(p)))(move(x))
    _, moved_u = jax.jvp(move, (x,), (u,))
    gradient = jax.grad(space.distance, argnums=1)(x, y)
    _, velocity = jax.jvp(lambda s: space.exp(x, s * u), (0.7,), (1.0,))
    gram = jax.vmap(lambda a: jax.vmap(lambda b: space.inner(x, a, b))(frame))(frame)
    equal = {
        "symmetry": (space.distance(x, y), space.distance(y, x)),
        "coincident": (space.distance(x, x), 0.0),
        "d(gx, gy)": (space.distance(move(x), move(y)), space.distance(x, y)),
        "dual(gx)": (space.dual_norm(move(x), moved_dT), space.dual_norm(x, dT)),
        "|gu|": (space.inner(move(x), moved_u, moved_u), space.inner(x, u, u)),
        "g exp": (space.exp(move(x), moved_u), move(reached)),
        "eikonal": (space.dual_norm(y, gradient), 1.0),
        "log exp": (space.log(x, reached), u),
        "exp log": (space.exp(x, space.log(x, y)), y),
        "|u|": (space.distance(x, reached), jnp.sqrt(space.inner(x, u, u))),
        "transport": (
            space.inner(y, arrived, space.transport(x, y, v)),
            space.inner(x, u, v),
        ),
        "to y and back": (space.transport(y, x, arrived), u),
        "velocity": (space.transport(x, space.exp(x, 0.7 * u), u), velocity),
        "orthonormal frame": (gram, jnp.eye(n)),
        "dual by frame": (space.dual_norm(x, dT), jnp.linalg.norm(frame @ dT)),
        "gradient": (space.inner(x, raised, u), jnp.dot(dT, u)),
        "half-plane": (space.from_half_plane(space.to_half_plane(x)), x),
        "ball": (space.from_ball(space.to_ball(x)), x),
    }
    below = {
        "triangle": (
            space.distance(x, y),
            space.distance(x, z) + space.distance(z, y),
        ),
    }
    return equal, below


@pytest.mark.parametrize(
    "n", [n if n == 2 else pytest.param(n, marks=pytest.mark.slow) for n in DIMENSIONS]
)
def test_laws(n):
    keys = jax.random.split(jax.random.key(n), NUM)
    equal, below = jit(jax.vmap(functools.partial(laws, n)))(keys)
    for name, (got, want) in equal.items():
        got, want = np.broadcast_arrays(np.asarray(got), np.asarray(want))
        # Relative to the size of each tuple's numbers: vectors have small entries.
        axes = tuple(range(1, got.ndim))
        size = np.max(np.abs(want), axis=axes, keepdims=True)
        error = np.max(np.abs(got - want) / np.maximum(size, 1e-3))
        assert error <= 1e-12, (name, error)
    for name, (smaller, larger) in below.items():
        assert np.all(smaller <= larger + 1e-13), name


def test_distances_agree_with_the_other_models():
    space = Hyperbolic(2)
    numbers = np.random.default_rng(0)
    z, w = numbers.standard_normal((2, NUM, 2))
    z[:, 1], w[:, 1] = np.exp(z[:, 1]), np.exp(w[:, 1])
    squared = np.sum((z - w) ** 2, axis=1)
    got = space.distance(*(space.from_half_plane(jnp.asarray(p)) for p in (z, w)))
    want = np.arccosh(1 + squared / (2 * z[:, 1] * w[:, 1]))
    # The arc cosine loses half of the digits of small distances; none is below 0.01.
    np.testing.assert_allclose(got, want, rtol=1e-11)

    b, c = numbers.uniform(-0.6, 0.6, (2, NUM, 3))
    space = Hyperbolic(3)
    got = space.distance(*(space.from_ball(jnp.asarray(p)) for p in (b, c)))
    factors = [1 - np.sum(p**2, axis=1) for p in (b, c)]
    ratio = np.sum((b - c) ** 2, axis=1) / (factors[0] * factors[1])
    np.testing.assert_allclose(got, 2 * np.arcsinh(np.sqrt(ratio)), rtol=1e-13)


def test_models_keep_their_digits_far_from_the_origin():
    space = Hyperbolic(2)
    for height in (1e-8, 1e-3, 1.0, 1e3, 1e8):
        z = jnp.array([0.3 * height, height])
        got = space.to_half_plane(space.from_half_plane(z))
        np.testing.assert_allclose(got, z, rtol=1e-15)
    line = Hyperbolic(1)
    got = line.distance(*(line.from_half_plane(jnp.array([t])) for t in (0.5, 4.0)))
    np.testing.assert_allclose(got, math.log(8.0), rtol=1e-15)


@pytest.mark.parametrize("n", [2, 3])
def test_distances_in_float32_keep_their_digits(n):
    """Median error of a distance 0.1 at radius R, the rounding of the points included.

    The bound is what a float32 point far out can carry: coordinates grow like e^R / 2,
    and their roundings across the radius with them.
    """
    space = Hyperbolic(n)
    numbers = np.random.default_rng(0)
    for radius, bound in ((2, 4e-8), (4, 4e-7), (6, 3e-6), (8, 2e-5)):
        out, aside = numbers.standard_normal((2, 1001, n))
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        aside /= np.linalg.norm(aside, axis=1, keepdims=True)
        x = jnp.asarray(math.sinh(radius) * out)
        v = 0.1 * np.einsum("bi,bij->bj", aside, np.asarray(space.frame(x)))
        y = space.exp(x, jnp.asarray(v))
        np.testing.assert_allclose(space.distance(x, y), 0.1, atol=1e-12)
        got = space.distance(x.astype(jnp.float32), y.astype(jnp.float32))
        assert got.dtype == jnp.float32
        assert np.median(np.abs(np.asarray(got, np.float64) - 0.1)) < bound


@pytest.mark.parametrize("length", [1e-12, 1e-7, 2e-3, 3e-3, 1.0, 12.0])
def test_exp_and_log_near_and_far(length):
    """At both sides of the switch to series (3e-3 in exp, 6e-3 in log) too."""
    space = Hyperbolic(2)
    x = jnp.array([0.7, -0.4])
    unit = space.frame(x)[0]
    y = space.exp(x, length * unit)
    # Both points have roundings of e-16 times their size.
    atol = 1e-15 * math.exp(length)
    np.testing.assert_allclose(space.distance(x, y), length, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(space.log(x, y), length * unit, rtol=1e-13, atol=atol)


def test_gradients_are_finite_and_right_at_singular_pairs():
    space = Hyperbolic(3)
    x = jnp.array([0.3, -0.5, 0.8])
    aside = jnp.array([0.5, 0.3, 0.0])
    zero = jnp.zeros(3)
    others = (x, x + 1e-12, x + 1e-9 * aside, -x, aside, zero, 2 * x)
    pairs = [(x, y) for y in others] + [(zero, zero), (zero, x)]
    xs, ys = (jnp.stack(parts) for parts in zip(*pairs, strict=True))

    def total(x, y, v):
        moved = space.exp(x, v), space.log(x, y), space.transport(x, y, v)
        lengths = space.distance(x, y) + space.dual_norm(x, v)
        return lengths + sum(jnp.sum(part) for part in moved)

    gradients = jit(jax.vmap(jax.grad(total, argnums=(0, 1, 2))))
    for v in (jnp.zeros_like(xs), jnp.ones_like(xs)):
        assert all(np.all(np.isfinite(leaf)) for leaf in gradients(xs, ys, v))

    # Where the two forms of the distance meet (x . y = 0), against finite differences.
    gradient = jit(jax.grad(space.distance, argnums=1))
    for a, b in ((x, aside), (x, zero)):
        assert abs(float(jnp.dot(a, b))) < 1e-16
        got = gradient(a, b)
        for i, e in enumerate(1e-5 * np.eye(3)):
            ends = (space.distance(a, b + s * jnp.asarray(e)) for s in (1, -1))
            difference = float(next(ends) - next(ends)) / 2e-5
            # Second order in the step, and 1e-16 / 1e-5 of rounding.
            np.testing.assert_allclose(got[i], difference, atol=1e-9)


def test_leading_axes_broadcast():
    space = Hyperbolic(2)
    numbers = np.random.default_rng(1)
    x, y = (jnp.asarray(numbers.standard_normal(s)) for s in ((3, 1, 2), (5, 2)))
    v = space.log(x, y)
    assert space.distance(x, y).shape == (3, 5)
    np.testing.assert_allclose(
        space.exp(x, v), np.broadcast_to(y, (3, 5, 2)), atol=1e-14
    )
    g = Lorentz(2).sample(key=jax.random.key(0))
    assert space.act(g, x, group=Lorentz(2)).shape == (3, 1, 2)


@pytest.mark.parametrize("group", [Lorentz(2, reflections="all"), Lorentz(3)], ids=str)
def test_groups_that_do_not_act_are_refused(group):
    with pytest.raises(ValueError, match="keep the time direction"):
        Hyperbolic(2).act(group.identity(), jnp.zeros(2), group=group)


def test_the_frame_moves_with_the_motions_of_the_half_space():
    """(z, t) -> (a z + b, a t) carry it along; at the origin it is the axes."""
    space, a, b = Hyperbolic(3), 1.7, jnp.array([0.4, -0.8, 0.0])

    def move(x):
        return space.from_half_plane(a * space.to_half_plane(x) + b)

    for x in 2 * np.random.default_rng(2).standard_normal((5, 3)):
        frame = space.frame(jnp.asarray(x))
        moved = jax.vmap(lambda v, x=x: jax.jvp(move, (jnp.asarray(x),), (v,))[1])
        # Vectors at distance 3 have entries of size 10.
        got = space.frame(move(jnp.asarray(x)))
        np.testing.assert_allclose(got, moved(frame), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(space.frame(jnp.zeros(3)), np.eye(3))
