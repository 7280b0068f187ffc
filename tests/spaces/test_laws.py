"""The laws of a space, one file for all of them.

Points come from four samplers: generic pairs, close pairs (1e-9), coincident pairs and,
on spheres, antipodal ones. Tolerances in float64: 1e-14 is a few dozen roundings of
quantities of size one; where it is another number, a comment says why.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, spaces

SPACES = (
    spaces.Euclidean(2),
    spaces.Euclidean(5),
    spaces.Sphere(1),
    spaces.Sphere(2),
    spaces.PositionOrientation(2),
    spaces.PositionOrientation(2, xi=1.0, eps=0.1),
    spaces.PositionOrientation(2, xi=0.1, eps=0.5),
    spaces.PositionOrientation(2, xi=0.9, eps=0.0),
)
every_space = pytest.mark.parametrize("space", SPACES, ids=str)

ROUNDING = 1e-14
NUM = 7

# Compiling takes most of the time of this file, running almost none.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def is_exact(space):
    """Whether `distance` is a distance, not an approximation of one."""
    return not isinstance(space, spaces.PositionOrientation) or space.eps == 1


def has_metric(space):
    return not isinstance(space, spaces.PositionOrientation) or space.eps > 0


def close(got, want, atol=ROUNDING):
    got, want = np.broadcast_arrays(np.asarray(got), np.asarray(want))
    np.testing.assert_allclose(got, want, rtol=0, atol=atol)


@functools.cache
def samples(space):
    keys = jax.random.split(jax.random.key(2), 3000)
    return np.asarray(jit(jax.vmap(lambda key: space.sample(key=key)))(keys))


def points(space, seed=0):
    """Generic points, (NUM, ambient)."""
    return jnp.asarray(samples(space)[seed * NUM : (seed + 1) * NUM])


@functools.cache
def tangents(space, seed=0):
    """Tangent vectors at `points(space)` of length below 3, (NUM, tangent)."""
    numbers = np.random.default_rng(seed)
    ambient = jnp.asarray(numbers.standard_normal((NUM, space.ambient_dim)))
    v = np.array(space.to_tangent(points(space), ambient))
    turning = isinstance(space, spaces.PositionOrientation)
    lengths = np.abs(v[:, 2]) if turning else np.linalg.norm(v, axis=1)
    return jnp.asarray(v * np.minimum(1, 3 / lengths)[:, None])


def apply_everything(space, x, y, z, u, v, dT):
    """All that a space can do with three points, two vectors and a covector at x."""
    reached = space.exp(x, u)
    results = {
        "d(x,y)": space.distance(x, y),
        "d(y,x)": space.distance(y, x),
        "d(x,z)": space.distance(x, z),
        "d(z,y)": space.distance(z, y),
        "d(x,x)": space.distance(x, x),
        "d(x,exp)": space.distance(x, reached),
        "exp": reached,
        "log(exp)": space.log(x, reached),
        "exp(log)": space.exp(x, space.log(x, y)),
        "retract": space.retract(x, u),
        "project": space.project(reached),
        "tangent": space.to_tangent(x, dT),
        "transport": space.transport(x, y, u),
        "transport v": space.transport(x, y, v),
        "to x and back": space.transport(y, x, space.transport(x, y, u)),
        "dual": space.dual_norm(x, dT),
        "2 dual": space.dual_norm(x, -2.0 * dT),
        "raised": space.raise_index(x, dT),
        "d(x,y) again": space.distance(x, space.project(y)),
    }
    if has_metric(space):
        raised = space.raise_index(x, dT)
        results |= {
            "<u,v>": space.inner(x, u, v),
            "<v,u>": space.inner(x, v, u),
            "<u,u>": space.inner(x, u, u),
            "<u,u> at y": space.inner(
                y, space.transport(x, y, u), space.transport(x, y, u)
            ),
            "<u,v> at y": space.inner(
                y, space.transport(x, y, u), space.transport(x, y, v)
            ),
            "<raised,u>": space.inner(x, raised, u),
            "<raised,raised>": space.inner(x, raised, raised),
        }
    return results


def arguments(space):
    numbers = np.random.default_rng(3)
    dT = jnp.asarray(numbers.standard_normal((NUM, space.ambient_dim)))
    return (
        *(points(space, seed) for seed in range(3)),
        tangents(space, 0),
        tangents(space, 1),
        dT,
    )


@functools.cache
def results(space):
    fn = jit(functools.partial(apply_everything, space))
    return jax.tree.map(np.asarray, fn(*arguments(space)))


def same_point(space, x, y):
    """Headings are equal modulo a turn."""
    difference = np.array(x) - np.array(y)
    if isinstance(space, spaces.PositionOrientation):
        difference[..., 2] -= 2 * np.pi * np.round(difference[..., 2] / (2 * np.pi))
    close(difference, 0)


# Distances ---------------------------------------------------------------------------


@every_space
def test_distances_are_symmetric_positive_and_definite(space):
    r = results(space)
    close(r["d(x,y)"], r["d(y,x)"])
    assert np.all(r["d(x,y)"] > 0)
    assert np.all(r["d(x,x)"] == 0)
    close(r["d(x,y) again"], r["d(x,y)"])


@every_space
def test_triangle_inequality_where_distances_are_exact(space):
    r = results(space)
    if is_exact(space):
        assert np.all(r["d(x,y)"] <= r["d(x,z)"] + r["d(z,y)"] + ROUNDING)


def test_distances_on_spheres_keep_their_digits_near_both_ends():
    space, x = spaces.Sphere(2), jnp.array([0.6, 0.0, 0.8])
    aside = jnp.array([0.0, 1.0, 0.0])
    for angle in (1e-12, 1e-6, 0.3, np.pi - 1e-6, np.pi - 1e-12):
        y = math.cos(angle) * x + math.sin(angle) * aside
        # One rounding of the angle, two of the coordinates.
        close(space.distance(x, y), angle, 1e-15)
    close(space.distance(x, -x), np.pi, 1e-15)


@every_space
def test_distance_of_a_short_step_is_its_length(space):
    """What makes `distance` belong to `inner`: d(x, exp(x, h u)) = h |u| + O(h^2)."""
    if not has_metric(space):
        return
    x, u = points(space), tangents(space)
    h = 1e-7
    if not is_exact(space):
        # There the approximation is max(lower, min(., full)); along the axes of the
        # frame the middle one is it to first order.
        u = jnp.zeros_like(u).at[:, 0].set(1.0)
    got = space.distance(x, space.exp(x, h * u)) / h
    # First order in h, and roundings of x divided by h.
    np.testing.assert_allclose(got, np.sqrt(space.inner(x, u, u)), rtol=1e-6)


@pytest.mark.parametrize("xi", [1.0, 0.3])
def test_position_orientation_with_equal_costs_is_flat(xi):
    space = spaces.PositionOrientation(2, xi=xi)
    x, y = points(space, 0), 3 * points(space, 1)
    difference = np.asarray(y - x)
    turn = np.angle(np.exp(1j * difference[:, 2]))
    want = np.sqrt(xi**2 * np.sum(difference[:, :2] ** 2, axis=1) + turn**2)
    np.testing.assert_allclose(space.distance(x, y), want, rtol=1e-14)


@pytest.mark.parametrize("space", SPACES[4:], ids=str)
def test_position_orientation_does_not_see_full_turns(space):
    x, y = points(space, 0), points(space, 1)
    turned = y + 2 * np.pi * jnp.array([[0.0, 0.0, 3.0]])
    # Headings of size 20 have roundings of 20 eps; the distance has slope 1 in them.
    close(space.distance(x, turned), space.distance(x, y), 1e-13)


@pytest.mark.parametrize("space", SPACES[4:], ids=str)
def test_position_orientation_distance_lies_between_its_bounds(space):
    flat = spaces.PositionOrientation(2, xi=space.xi)
    x, y = points(space, 0), points(space, 1)
    # Sideways motion costs at least as much as forward motion, at eps = 1 the same.
    assert np.all(space.distance(x, y) >= flat.distance(x, y) - ROUNDING)
    # Driving ahead and turning on the spot are shortest curves for every eps.
    for direction, length in (
        ([1.3, 0.0, 0.0], 1.3 * space.xi),
        ([0.0, 0.0, 1.3], 1.3),
    ):
        v = jnp.broadcast_to(jnp.array(direction), (NUM, 3))
        # The distance has the slope of a square root in the sideways coordinate, whose
        # rounding is 1e-16.
        close(space.distance(x, space.exp(x, v)), length, 1e-7)


# Exponential map and transport -------------------------------------------------------


@every_space
def test_exp_and_log_are_inverse(space):
    r = results(space)
    close(r["log(exp)"], tangents(space), 3e-14)
    same_point(space, r["exp(log)"], points(space, 1))
    if is_exact(space) and not isinstance(space, spaces.PositionOrientation):
        close(r["d(x,exp)"], np.linalg.norm(tangents(space), axis=1))


@pytest.mark.parametrize("length", [1e-12, 1e-6, 1e-2, np.pi - 1e-6])
@pytest.mark.parametrize("n", [1, 2])
def test_exp_and_log_are_inverse_near_their_singular_points(n, length):
    space = spaces.Sphere(n)
    x, u = points(space), tangents(space)
    u = u * (length / jnp.linalg.norm(u, axis=1, keepdims=True))
    got = space.log(x, space.exp(x, u))
    # The end point is known to rounding, so its direction from the nearer one of x and
    # -x to rounding over the sine of the angle, and its length to rounding.
    close(got, u, 1e-15 * (1 + length / math.sin(length)))
    # It is a tangent vector to all its digits.
    np.testing.assert_array_less(np.abs(np.sum(x * got, axis=1)), 1e-15 * (1 + length))


@every_space
def test_maps_stay_in_the_space(space):
    r = results(space)
    for name in ("exp", "retract", "project"):
        same_point(space, space.project(jnp.asarray(r[name])), r[name])
    if isinstance(space, spaces.Sphere):
        close(np.sum(points(space) * r["tangent"], axis=1), 0)
        # To rounding over the distance of y from -x, which fixes the direction.
        x, y = points(space, 0), points(space, 1)
        apart = np.linalg.norm(x + y, axis=1)
        close(apart * np.sum(y * r["transport"], axis=1), 0)


@every_space
def test_retract_agrees_with_exp_to_first_order(space):
    x, u = points(space), tangents(space)
    h = 1e-4
    difference = space.retract(x, h * u) - space.exp(x, h * u)
    # Second order would be 1e-8 |u|^2; on spheres the two agree to third.
    assert np.max(np.abs(difference)) < 1e-7


@every_space
def test_transport_is_isometric_and_returns(space):
    r = results(space)
    close(r["to x and back"], tangents(space), 1e-13)
    if has_metric(space):
        close(r["<u,u> at y"], r["<u,u>"], 1e-13 * np.max(r["<u,u>"]))
        close(r["<u,v> at y"], r["<u,v>"], 1e-13 * np.max(r["<u,u>"]))


def test_transport_along_a_great_circle_keeps_its_direction():
    space = spaces.Sphere(2)
    x, u = points(space), tangents(space)
    y = space.exp(x, 0.4 * u)
    # The velocity of the geodesic is transported to the velocity farther along.
    _, velocity = jax.jvp(
        lambda s: space.exp(x, s * u), (jnp.asarray(0.4),), (jnp.asarray(1.0),)
    )
    close(space.transport(x, y, u), velocity)


@pytest.mark.parametrize("distance", [0.0, 1e-9, np.pi - 1e-6, np.pi - 1e-12, np.pi])
def test_transport_on_the_sphere_is_isometric_up_to_its_singular_points(distance):
    space = spaces.Sphere(2)
    x, u = points(space), tangents(space)
    y = space.exp(x, u * (distance / jnp.linalg.norm(u, axis=1, keepdims=True)))
    y = -x if distance == np.pi else y
    v = space.transport(x, y, tangents(space, 1))
    before, after = (np.linalg.norm(w, axis=1) for w in (tangents(space, 1), v))
    close(after, before)
    # Tangent to rounding of y over its distance from -x, which fixes the direction.
    tolerance = ROUNDING if distance == np.pi else 1e-15 / (np.pi - distance) + ROUNDING
    close(np.sum(y * v, axis=1), 0, tolerance)


# Covectors ---------------------------------------------------------------------------


@every_space
def test_dual_norm_is_the_norm_of_derivatives_along_an_orthonormal_frame(space):
    """|dT| is that of w -> T(retract(x, E w)) at w = 0, E an orthonormal frame at x."""
    x, dT = points(space), arguments(space)[-1]
    if isinstance(space, spaces.PositionOrientation):
        # Sideways steps of unit length vanish as eps goes to 0.
        scales = [1 / space.xi, space.eps / space.xi, 1.0]
        frames = jnp.broadcast_to(jnp.diag(jnp.asarray(scales)), (NUM, 3, 3))
    else:
        frames = jnp.asarray(np.stack([tangent_basis(space, p) for p in x]))

    def norm(x, dT, frame):
        def along(w):
            # T is linear with differential dT, minus its value at x.
            return jnp.dot(dT, space.retract(x, w @ frame))

        return jnp.linalg.norm(jax.grad(along)(jnp.zeros(space.dim)))

    want = jit(jax.vmap(norm))(x, dT, frames)
    np.testing.assert_allclose(results(space)["dual"], want, rtol=1e-13)


def tangent_basis(space, x):
    """Orthonormal rows that span the tangent space at x."""
    x = np.asarray(x)
    if isinstance(space, spaces.Euclidean):
        return np.eye(space.dim)
    return np.linalg.svd(x[None])[2][1:]


@every_space
def test_dual_norm_is_homogeneous(space):
    r = results(space)
    np.testing.assert_allclose(r["2 dual"], 2 * r["dual"], rtol=1e-14)


@every_space
def test_raised_index_is_the_gradient(space):
    r = results(space)
    if not has_metric(space):
        # The gradient has no sideways part, and the rest has the norm of the covector.
        assert np.all(r["raised"][:, 1] == 0)
        scaled = r["raised"] * np.array([space.xi, 0.0, 1.0])
        np.testing.assert_allclose(
            np.linalg.norm(scaled, axis=1), r["dual"], rtol=1e-13
        )
        return
    np.testing.assert_allclose(r["<raised,raised>"], r["dual"] ** 2, rtol=1e-12)
    # <grad T, u> is the derivative of T along u.
    x, u, dT = points(space), tangents(space), arguments(space)[-1]
    _, velocity = jax.jvp(
        lambda s: space.exp(x, s * u), (jnp.asarray(0.0),), (jnp.asarray(1.0),)
    )
    want = np.sum(np.asarray(dT * velocity), axis=1)
    np.testing.assert_allclose(r["<raised,u>"], want, rtol=1e-11, atol=1e-13)


@every_space
def test_inner_is_symmetric_and_positive(space):
    r = results(space)
    if has_metric(space):
        close(r["<u,v>"], r["<v,u>"])
        assert np.all(r["<u,u>"] > 0)
    else:
        with pytest.raises(ValueError, match="`inner` needs eps > 0"):
            space.inner(points(space), tangents(space), tangents(space))


FRAMED = (SPACES[0], SPACES[2], spaces.Sphere(3), *SPACES[4:])


@pytest.mark.parametrize("space", FRAMED, ids=str)
def test_frames_are_the_coordinates_of_tangent_vectors(space):
    x = points(space)
    frame = np.asarray(space.frame(x))
    assert frame.shape == (NUM, space.dim, space.ambient_dim)
    close(frame @ np.swapaxes(frame, 1, 2), np.eye(space.dim))
    if isinstance(space, spaces.PositionOrientation):
        for i, vector in enumerate(np.eye(3)):
            components = space.to_tangent(x, jnp.asarray(frame[:, i]))
            close(components, vector)
    elif isinstance(space, spaces.Sphere):
        close(np.einsum("bia,ba->bi", frame, np.asarray(x)), 0)
        # Left-invariant: the columns of x -> a x move with it.
        matrices = np.stack([np.asarray(x), *np.moveaxis(frame, 1, 0)], axis=-1)
        a, x = matrices[0], np.asarray(x)[1:]
        close(space.frame(jnp.asarray(x @ a.T)), frame[1:] @ a.T)


# Singular points ---------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES[2:], ids=str)
def test_gradients_are_finite_at_singular_pairs(space):
    x, u = points(space), tangents(space)
    pairs = [(x, x, 0 * u), (x, space.exp(x, 1e-9 * u), 1e-9 * u)]
    if isinstance(space, spaces.Sphere):
        pairs += [(x, -x, u), (x, space.exp(-x, 1e-9 * u), u)]
    if isinstance(space, spaces.PositionOrientation):
        pairs += [(x, x + jnp.array([[0.0, 0.0, np.pi]]), u)]
        for direction in np.eye(3)[:2]:
            pairs += [(x, space.exp(x, jnp.asarray(direction)), u)]

    def total(x, y, u, dT):
        vectors = (
            space.log(x, y),
            space.exp(x, u),
            space.retract(x, u),
            space.transport(x, y, u),
            space.raise_index(x, dT),
        )
        lengths = space.distance(x, y) + space.dual_norm(x, dT)
        return lengths + sum(jnp.sum(vector) for vector in vectors)

    values_and_gradients = jit(
        jax.vmap(jax.value_and_grad(total, argnums=(0, 1, 2, 3)))
    )
    batch = jax.tree.map(lambda *parts: jnp.concatenate(parts), *pairs)
    for leaf in jax.tree.leaves(values_and_gradients(*batch, 0 * batch[0])):
        assert np.all(np.isfinite(leaf))


@every_space
def test_gradient_of_the_distance_vanishes_where_it_has_none(space):
    x = jnp.asarray(np.asarray(points(space))[0])
    gradient = jit(jax.grad(space.distance, argnums=(0, 1)))
    assert all(np.all(part == 0) for part in gradient(x, x))
    if isinstance(space, spaces.Sphere):
        # Its ambient gradient there has no tangent part.
        g = np.asarray(gradient(x, -x)[0])
        assert np.all(g - np.dot(x, g) * np.asarray(x) == 0)


@every_space
def test_distance_is_an_eikonal_function_where_it_is_exact(space):
    """The dual norm of the distance's gradient is one."""
    if not is_exact(space):
        return
    x, y = points(space, 0), points(space, 1)
    gradient = jit(jax.vmap(jax.grad(space.distance, argnums=1)))(x, y)
    np.testing.assert_allclose(space.dual_norm(y, gradient), 1, rtol=1e-13)


def test_log_of_antipodes_is_a_half_turn_and_reaches_them():
    for n in (1, 2):
        space = spaces.Sphere(n)
        x = jnp.concatenate([points(space), jnp.eye(n + 1)])
        v = space.log(x, -x)
        np.testing.assert_allclose(np.linalg.norm(v, axis=1), np.pi, rtol=1e-15)
        close(np.sum(x * v, axis=1), 0)
        close(space.exp(x, v), -x)


# Precision, batches, groups ----------------------------------------------------------


# One of each kind, and every branch of the distance of positions and orientations.
@pytest.mark.parametrize("space", [SPACES[i] for i in (1, 3, 4, 5, 7)], ids=str)
def test_float32_and_vmap_agree_with_float64_and_batches(space):
    args = tuple(jnp.asarray(np.asarray(a, np.float32)) for a in arguments(space))
    got = jit(jax.vmap(functools.partial(apply_everything, space)))(*args)
    eps = float(jnp.finfo(jnp.float32).eps)
    sideways = space.eps < 1 if isinstance(space, spaces.PositionOrientation) else False
    for name, want in results(space).items():
        assert got[name].dtype == jnp.float32, name
        assert got[name].shape == want.shape, name
        # 50 roundings of the largest entry: arguments, and three sums behind another.
        atol = 50 * eps * max(1.0, float(np.max(np.abs(want))))
        if sideways and name == "d(x,exp)":
            # The square root of a rounding, where a step has no sideways part.
            atol = math.sqrt(eps)
        np.testing.assert_allclose(got[name], want, rtol=0, atol=atol, err_msg=name)


@every_space
def test_leading_axes_broadcast(space):
    x = jnp.asarray(np.asarray(points(space, 0))[:3, None])
    y = jnp.asarray(np.asarray(points(space, 1))[:2])

    @jit
    def fn(x, y):
        v = space.log(x, y)
        return space.distance(x, y), v, space.exp(x, v)

    distances, logs, reached = fn(x, y)
    assert distances.shape == (3, 2)
    assert logs.shape == (3, 2, space.tangent_dim)
    same_point(space, reached, np.broadcast_to(y, (3, *y.shape)))
    # The same as a list of pairs.
    pairs = fn(jnp.repeat(x[:, 0], 2, axis=0), jnp.tile(y, (3, 1)))
    for got, want in zip((distances, logs, reached), pairs, strict=True):
        close(got.reshape(want.shape), want)


MOVED = (
    (spaces.Euclidean(2), groups.SE(2)),
    (spaces.Euclidean(3), groups.E(3)),
    (spaces.Euclidean(3), groups.SO(3)),
    (spaces.Euclidean(5), groups.Translation(5)),
    (spaces.Sphere(1), groups.O(2)),
    (spaces.Sphere(2), groups.O(3)),
    (spaces.Sphere(2), groups.SO(2)),
    (spaces.Sphere(2), groups.Polyhedral("icosahedral", inversion=True)),
    (spaces.Sphere(3), groups.O(4)),
    (spaces.Hyperbolic(3), groups.Lorentz(3, reflections="space", sigma=1.0)),
    (spaces.PositionOrientation(2, xi=0.9, eps=0.0), groups.SE(2, sigma=2.0)),
    (spaces.PositionOrientation(2, xi=0.9, eps=0.2), groups.E(2, sigma=2.0)),
    (spaces.PositionOrientation(2, xi=0.9, eps=0.2), groups.Cyclic(5)),
    (spaces.PositionOrientation(3, xi=0.9, eps=0.2), groups.E(3, sigma=2.0)),
    (spaces.PositionOrientation(3, xi=0.9, eps=0.2), groups.O(3)),
    (spaces.Torus((2.0, 3.0)), groups.Translation(2)),
)


def test_groups_act_by_isometries():
    """d(gx, gy) = d(x, y); so for covectors. Boosts of rapidity 3: test_hyperbolic.py.

    Relative errors of 1e-12 are ten thousand roundings: the sub-Riemannian distance has
    fourth roots, far points of hyperbolic space large coordinates.
    """

    def sides(space, group, key):
        keys = jax.random.split(key, 4)
        g = group.sample(key=keys[0])
        x, y = (space.sample(key=k) for k in keys[1:3])
        dT = jax.random.normal(keys[3], x.shape)
        move = functools.partial(space.act, g, group=group)
        back = functools.partial(space.act, group.inverse(g), group=group)
        moved_dT = jax.grad(lambda p: jnp.dot(dT, back(p)))(move(x))
        moved = (
            space.distance(move(x), move(y)),
            space.dual_norm(move(x), moved_dT),
        )
        return moved, (space.distance(x, y), space.dual_norm(x, dT))

    @jit
    def everything(keys):
        return [
            jax.vmap(functools.partial(sides, space, group))(keys)
            for space, group in MOVED
        ]

    found = everything(jax.random.split(jax.random.key(4), 101))
    for case, (got, want) in zip(MOVED, found, strict=True):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, err_msg=str(case))


def test_groups_that_do_not_act_are_refused():
    x = jnp.zeros(3)
    for space, group in (
        (spaces.Euclidean(3), groups.SE(2)),
        (spaces.Sphere(2), groups.O(4)),
        (spaces.Sphere(2), groups.Translation(3)),
        (spaces.PositionOrientation(2), groups.E(3)),
    ):
        with pytest.raises(ValueError, match="`group` must"):
            space.act(group.identity(), x, group=group)


def test_default_groups():
    assert spaces.Euclidean(3).group == groups.E(3)
    assert spaces.Euclidean(5).group == groups.Translation(5)
    assert spaces.Sphere(2).group == groups.O(3)
    assert spaces.PositionOrientation(2).group == groups.SE(2)


def test_the_sphere_has_no_frame():
    with pytest.raises(ValueError, match="has no continuous frame"):
        spaces.Sphere(2).frame(jnp.array([0.0, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: spaces.Euclidean(0), "`n` must be an integer of at least 1"),
        (lambda: spaces.Sphere(0), "`n` must be an integer of at least 1"),
        (lambda: spaces.PositionOrientation(4), "`n` must be one of 2, 3, got 4"),
        (lambda: spaces.PositionOrientation(2, xi=0.0), "`xi` must be a positive"),
        (lambda: spaces.PositionOrientation(2, eps=-0.1), "`eps` must be zero or"),
        (lambda: spaces.PositionOrientation(2, eps=1.5), "`eps` must be at most 1"),
    ],
)
def test_wrong_specs_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@every_space
def test_samples_have_the_declared_law(space):
    x = samples(space)
    same_point(space, space.project(jnp.asarray(x)), x)
    if isinstance(space, spaces.PositionOrientation):
        # Headings enter by their cosine and sine, of variance 1/2.
        x = np.concatenate([x[:, :2], math.sqrt(2) * circle(x[:, 2])], axis=1)
    elif isinstance(space, spaces.Sphere):
        x = x * math.sqrt(space.ambient_dim)
    # Zero mean and unit covariance, within 5 sigma.
    products = np.einsum("bi,bj->bij", x, x)
    for values, want in ((x, 0.0), (products, np.eye(x.shape[1]))):
        sigma = np.std(values, axis=0) / math.sqrt(len(x))
        assert np.all(np.abs(np.mean(values, axis=0) - want) <= 5 * sigma + 1e-12)


def circle(angle):
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
