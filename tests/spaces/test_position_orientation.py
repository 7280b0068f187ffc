"""Positions and orientations: forms of the distance, forward motion, R^3 x S^2.

The laws that hold for every space stand in test_laws.py (n = 2) and below (n = 3).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups
from eqjax.spaces import PositionOrientation

FORMS = (
    "combined",
    "combined_covariant",
    "half_angle",
    "sub_riemannian",
    "sub_riemannian_covariant",
    "lower_bound",
)
NUM = 101

# Compiling takes most of the time of this file, running almost none.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

# d(gx, gy) = d(x, y): roundings of positions of size 3 and of angles; the
# sub-Riemannian forms take a fourth root, whose slope is large at small distances.
INVARIANCE = 1e-12


def group_of(n, key):
    """SE(2), or E(3) with its reflections."""
    group = groups.SE(2, sigma=2.0) if n == 2 else groups.E(3, sigma=2.0)
    return group, group.sample(key=key)


def forms(n, xi, eps):
    return [
        PositionOrientation(n, xi=xi, eps=eps, form=form)
        for form in FORMS
        if eps > 0 or form != "half_angle"
    ]


@functools.cache
def distances(n, xi, eps):
    """Of one set of pairs: {form: d(x, y)}, and d(y, x), d(gx, gy) likewise."""

    def one(key):
        keys = jax.random.split(key, 3)
        group, g = group_of(n, keys[2])
        found = []
        for space in forms(n, xi, eps):
            x, y = (space.sample(key=k) for k in keys[:2])
            move = functools.partial(space.act, g, group=group)
            found.append(
                (
                    space.distance(x, y),
                    space.distance(y, x),
                    space.distance(move(x), move(y)),
                    space.distance(x, x),
                )
            )
        return found

    found = jit(jax.vmap(one))(jax.random.split(jax.random.key(0), NUM))
    names = [space.form for space in forms(n, xi, eps)]
    return dict(zip(names, (jax.tree.map(np.asarray, f) for f in found), strict=True))


CASES = [(2, 1.0, 0.3), (2, 0.7, 0.0), (3, 1.0, 1.0), (3, 0.7, 0.2)]
every_case = pytest.mark.parametrize(("n", "xi", "eps"), CASES)


@every_case
def test_every_form_is_symmetric_invariant_and_above_its_bound(n, xi, eps):
    found = distances(n, xi, eps)
    bound = found["lower_bound"][0]
    for form, (there, back, moved, zero) in found.items():
        np.testing.assert_allclose(there, back, rtol=INVARIANCE)
        np.testing.assert_allclose(moved, there, rtol=INVARIANCE)
        assert np.all(there > 0), form
        assert np.all(zero == 0), form
        if not form.startswith("sub"):
            assert np.all(there >= bound * (1 - 1e-15)), form
    for kind in ("", "_covariant"):
        upper = found["sub_riemannian" + kind][0]
        if eps > 0:
            upper = np.minimum(upper, found["half_angle"][0])
        want = np.maximum(upper, bound)
        np.testing.assert_allclose(found["combined" + kind][0], want, rtol=1e-15)


def test_all_forms_are_the_distance_where_both_weights_are_equal():
    found = distances(3, 1.0, 1.0)
    for form in ("combined", "combined_covariant", "half_angle"):
        np.testing.assert_allclose(found[form][0], found["lower_bound"][0], rtol=1e-15)


def test_forms_follow_their_formulas():
    x = jnp.zeros(3)
    y = jnp.array([0.3, 1.1, 0.9])
    xi, eps, turn = 0.8, 0.25, 0.9
    b1 = 0.3 * math.cos(turn / 2) + 1.1 * math.sin(turn / 2)
    b2 = 1.1 * math.cos(turn / 2) - 0.3 * math.sin(turn / 2)
    flat = (xi * b1) ** 2 + turn**2
    wants = {
        "half_angle": math.sqrt(flat + (xi / eps * b2) ** 2),
        "sub_riemannian": ((1.6 * (xi + 1)) ** 4 * b2**2 + flat**2) ** 0.25,
        "sub_riemannian_covariant": ((4 * math.pi * xi * b2) ** 2 + flat**2) ** 0.25,
        "lower_bound": math.sqrt(flat + (xi * b2) ** 2),
    }
    for form, want in wants.items():
        space = PositionOrientation(2, xi=xi, eps=eps, form=form)
        np.testing.assert_allclose(space.distance(x, y), want, rtol=1e-14)
        # In space, where all lies in one plane, the same.
        space = PositionOrientation(3, xi=xi, eps=eps, form=form)
        o = [0.0, math.cos(turn), math.sin(turn)]
        got = space.distance(
            jnp.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0]), jnp.array([0.0, 0.3, 1.1, *o])
        )
        np.testing.assert_allclose(got, want, rtol=1e-14)


def test_the_covariant_form_scales_with_the_unit_of_length():
    """Lengths times 10 at a tenth of the cost: the same distance."""
    x, y = jnp.array([0.0, 0.0, 0.2]), jnp.array([0.1, 0.7, 0.6])
    scale = jnp.array([10.0, 10.0, 1.0])
    for form, invariant in (("combined_covariant", True), ("combined", False)):
        small = PositionOrientation(2, xi=1.0, eps=0.01, form=form)
        large = PositionOrientation(2, xi=0.1, eps=0.01, form=form)
        ratio = large.distance(scale * x, scale * y) / small.distance(x, y)
        # Of (1.6 (w1 + w3))^2 / w1, the other's square root changes by half.
        assert (abs(float(ratio) - 1) < 1e-13) == invariant


# R^3 x S^2 ---------------------------------------------------------------------------


def laws(space, key):
    """Both sides of every law in R^3 x S^2, for one random tuple."""
    keys = jax.random.split(key, 6)
    x, y = (space.sample(key=k) for k in keys[:2])
    dT, a, b = (jax.random.normal(k, (6,)) for k in keys[2:5])
    u, v = space.to_tangent(x, a), space.to_tangent(x, b)
    group, g = group_of(3, keys[5])
    move = functools.partial(space.act, g, group=group)
    back = functools.partial(space.act, group.inverse(g), group=group)
    moved_dT = jax.grad(lambda p: jnp.dot(dT, back(p)))(move(x))
    _, moved_u = jax.jvp(move, (x,), (u,))
    raised = space.raise_index(x, dT)
    reached = space.exp(x, u)
    _, velocity = jax.jvp(lambda s: space.exp(x, s * u), (0.0,), (1.0,))
    arrived = space.transport(x, y, u)
    log = space.log(x, y)
    equal = {
        "unit": (jnp.linalg.norm(reached[3:]), 1.0),
        "project": (space.project(reached), reached),
        "log exp": (space.log(x, reached), u),
        "exp log": (space.exp(x, space.log(x, y)), y),
        "velocity": (velocity, u),
        "g exp": (space.exp(move(x), moved_u), move(reached)),
        "g transport": (
            space.transport(move(x), move(y), moved_u),
            jax.jvp(move, (y,), (arrived,))[1],
        ),
        "dual(gx)": (space.dual_norm(move(x), moved_dT), space.dual_norm(x, dT)),
        "tangent": (space.to_tangent(x, u), u),
        "to y and back": (space.transport(y, x, arrived), u),
        "no radial part": (
            space.dual_norm(x, dT.at[3:].add(x[3:])),
            space.dual_norm(x, dT),
        ),
        "gradient": (space.inner(x, raised, u), jnp.dot(dT, u)),
        "|raised|": (space.inner(x, raised, raised), space.dual_norm(x, dT) ** 2),
        "isometry": (
            space.inner(y, arrived, space.transport(x, y, v)),
            space.inner(x, u, v),
        ),
        "half angle": (jnp.sqrt(space.inner(x, log, log)), space.distance(x, y)),
    }
    return equal


def test_laws_in_space():
    space = PositionOrientation(3, xi=0.8, eps=0.3, form="half_angle")
    keys = jax.random.split(jax.random.key(1), NUM)
    # Turns stay below pi, where the logarithm is unique.
    equal = jit(jax.vmap(functools.partial(laws, space)))(keys)
    turns = None
    for name, (got, want) in equal.items():
        got, want = np.broadcast_arrays(np.asarray(got), np.asarray(want))
        if name == "log exp":
            turns = np.linalg.norm(want[:, 3:], axis=1)
            assert np.sum(turns < 3) > 90
            got, want = got[turns < 3], want[turns < 3]
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=2e-13, err_msg=name)


def test_the_exact_distance_is_an_eikonal_function():
    space = PositionOrientation(3, xi=0.8)

    def one(key):
        x, y = (space.sample(key=k) for k in jax.random.split(key))
        return space.dual_norm(y, jax.grad(space.distance, argnums=1)(x, y))

    keys = jax.random.split(jax.random.key(3), NUM)
    np.testing.assert_allclose(jit(jax.vmap(one))(keys), 1, rtol=1e-13)


def test_gradients_are_finite_at_singular_pairs():
    x = jnp.array([0.3, -0.2, 0.5, 0.6, 0.0, 0.8])
    flipped = x.at[3:].multiply(-1)
    others = [
        x,
        flipped,
        flipped.at[0].add(1.0),
        x.at[:3].add(1e-9),
        x.at[:3].add(x[3:]),
        x.at[1].add(1.0),
        x.at[3:].set(jnp.array([0.0, 1.0, 0.0])),
    ]
    xs, ys = jnp.broadcast_to(x, (len(others), 6)), jnp.stack(others)

    def total(space, x, y, v):
        parts = (space.exp(x, v), space.log(x, y), space.transport(x, y, v))
        return space.distance(x, y) + space.dual_norm(x, v) + sum(map(jnp.sum, parts))

    @jit
    def gradients(v):
        return [
            jax.vmap(jax.grad(functools.partial(total, space), argnums=(0, 1, 2)))(
                xs, ys, v
            )
            for space in (*forms(3, 0.7, 0.2), PositionOrientation(3, eps=0.0))
        ]

    for leaf in jax.tree.leaves(gradients(jnp.zeros_like(xs))):
        assert np.all(np.isfinite(leaf))


def test_opposite_directions_have_the_lower_bound():
    x = jnp.array([0.0, 0.0, 0.0, 0.6, 0.0, 0.8])
    y = jnp.array([0.3, 0.4, 0.0, -0.6, 0.0, -0.8])
    for space in forms(3, 2.0, 0.1):
        want = math.hypot(2.0 * 0.5, math.pi)
        np.testing.assert_allclose(space.distance(x, y), want, rtol=1e-15)


# Forward motion ----------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3])
def test_forward_motion_drops_derivatives_backwards(n):
    space = PositionOrientation(n, xi=0.8, eps=0.3)
    forward = PositionOrientation(n, xi=0.8, eps=0.3, forward_only=True)

    def one(key):
        keys = jax.random.split(key)
        x = space.sample(key=keys[0])
        dT = jax.random.normal(keys[1], (space.ambient_dim,))
        heading = jnp.stack([jnp.cos(x[2]), jnp.sin(x[2])]) if n == 2 else x[3:]
        ahead = jnp.dot(heading, dT[:n])
        raised = forward.raise_index(x, dT)
        return (
            ahead,
            space.dual_norm(x, dT),
            forward.dual_norm(x, dT),
            forward.dual_norm(x, -dT),
            jnp.dot(heading, raised[:n]) if n == 3 else raised[0],
            forward.inner(x, raised, raised),
        )

    ahead, both, there, back, speed, squared = (
        np.asarray(a)
        for a in jit(jax.vmap(one))(jax.random.split(jax.random.key(2), NUM))
    )
    positive = ahead > 0
    assert 30 < np.sum(positive) < 70
    np.testing.assert_allclose(np.where(positive, there, back), both, rtol=1e-14)
    without = np.sqrt(both**2 - (ahead / 0.8) ** 2)
    np.testing.assert_allclose(np.where(positive, back, there), without, rtol=1e-12)
    # The velocity of steepest ascent never points backwards, and has that length.
    np.testing.assert_allclose(speed, np.maximum(ahead, 0) / 0.64, atol=1e-14)
    np.testing.assert_allclose(squared, there**2, rtol=1e-12)


def geodesics_from_the_identity(weights, num, length, steps=100):
    """Ends of geodesics by the Lie-Poisson equations of their momenta."""
    rng = np.random.default_rng(0)
    squares = np.square(weights)
    p = rng.normal(size=(num, 3)) * weights * np.exp(rng.normal(size=(num, 3)))
    p /= np.sqrt(np.sum(p**2 / squares, axis=1, keepdims=True))
    state = np.concatenate([np.zeros((num, 3)), p], axis=1)

    def rate(state):
        _, _, theta, p1, p2, p3 = state.T
        ahead, aside, turn = p1 / squares[0], p2 / squares[1], p3 / squares[2]
        c, s = np.cos(theta), np.sin(theta)
        return np.stack(
            [
                c * ahead - s * aside,
                s * ahead + c * aside,
                turn,
                turn * p2,
                -turn * p1,
                aside * p1 - ahead * p2,
            ],
            axis=1,
        )

    h = length / steps
    for _ in range(steps):
        a = rate(state)
        b = rate(state + h / 2 * a)
        c = rate(state + h / 2 * b)
        d = rate(state + h * c)
        state = state + h / 6 * (a + 2 * b + 2 * c + d)
    return state[:, :3]


@pytest.mark.parametrize("xi", [0.2, 1.0])
@pytest.mark.parametrize("eps", [0.1, 0.5])
def test_lengths_of_geodesics_lie_within_the_stated_ratio(xi, eps):
    space = PositionOrientation(2, xi=xi, eps=eps)
    least, _ = space.distance_ratio
    ratios = []
    for length in (0.3, 0.6, 1.0):
        ends = geodesics_from_the_identity((xi, xi / eps, 1.0), 2000, length)
        distance = np.asarray(space.distance(jnp.zeros(3), jnp.asarray(ends)))
        ratios.append(length / distance)
    # The lower end is not far off: 0.56 for xi = 0.2, eps = 0.1.
    assert least <= np.min(ratios) < 1
    assert (xi, eps) != (0.2, 0.1) or np.min(ratios) < 0.6
    # Some geodesics are longer than the distance, but not those to close points.
    assert np.max(ratios[0]) < 1.05


def test_ratios_of_other_forms_to_the_distance():
    def ratio(**options):
        return PositionOrientation(2, xi=0.7, **options).distance_ratio

    assert ratio(eps=1.0) == (1, 1)
    assert ratio(eps=0.2, form="half_angle") == (0.2, 1.5)
    assert ratio(eps=0.25, form="lower_bound") == (1, 4)
    assert ratio(eps=0.2, form="sub_riemannian") == (0, np.inf)


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="`form` must be one of"):
        PositionOrientation(2, form="exact")
    with pytest.raises(ValueError, match='`form` "half_angle" needs eps > 0'):
        PositionOrientation(2, eps=0.0, form="half_angle")
    with pytest.raises(ValueError, match="`n` must be one of 2, 3, got 4"):
        PositionOrientation(4)
    with pytest.raises(ValueError, match="has no continuous left-invariant frame"):
        PositionOrientation(3).frame(jnp.zeros(6))
    with pytest.raises(ValueError, match=r"`group` must be SE\(3\), E\(3\)"):
        PositionOrientation(3).act(None, jnp.zeros(6), group=groups.SO(4))
