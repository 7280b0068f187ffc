"""Bi-invariants forget nothing but their group, and are smooth.

That they do not change under their group is tested by tests/registry_fields.py.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from eqjax.fields import Absolute, RelativePoint, RelativePose
from eqjax.fields._poses import retract_pose, tangent_size
from eqjax.groups import SE, SO, E, Group, Lorentz, O, Translation
from eqjax.spaces import (
    Euclidean,
    Hyperbolic,
    LieGroupSpace,
    PositionOrientation,
    Sphere,
    Torus,
)
from tests import field_cases as cases

rows = pytest.mark.parametrize("b", cases.ALL_BI_INVARIANTS, ids=cases.row_name)
# Where an orthogonal map joins tuples of an orbit.
RIGID = cases.BI_INVARIANTS + tuple(
    b
    for b in cases.MORE_BI_INVARIANTS
    if isinstance(b, RelativePoint)
    and isinstance(b.space, (Euclidean, PositionOrientation))
)
# Where nothing but the rank tells that b is complete.
CURVED = tuple(
    b
    for b in cases.MORE_BI_INVARIANTS
    if isinstance(b, RelativePoint) and b not in RIGID
)
NUM = 60


def quick(*chosen, rows=cases.ALL_BI_INVARIANTS):
    """The rows, of which only the chosen ones are no slow tests."""
    return pytest.mark.parametrize(
        "b",
        [pytest.param(b, marks=() if b in chosen else pytest.mark.slow) for b in rows],
        ids=cases.row_name,
    )


def tuples(b, num=NUM, seed=0):
    """Random points and poses."""
    return cases.random_points(b.space, num, seed), cases.random_poses(b, num, seed + 1)


def pick(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


@rows
def test_has_the_size_it_says(b):
    x, pose = pick(tuples(b), 0)
    assert jax.eval_shape(b, x, pose).shape == (b.dim,)
    assert jax.eval_shape(b.squared_distance, x, pose).shape == ()
    assert b.has_pose_axis


@quick(*RIGID[::3], *(b for b in RIGID if b in cases.MORE_BI_INVARIANTS), rows=RIGID)
def test_equal_values_mean_equal_orbits(b):
    xs, poses = tuples(b)
    joined = cases.check_orbits(b, jax.vmap(b), [xs], poses)
    assert not np.any(joined["others"])


@quick(RelativePose(SE(2), scale=1.7), RelativePoint(cases.SPACE), *CURVED)
def test_loses_no_more_dimensions_than_the_orbit_has(b):
    """rank of the derivative = dim(points x poses) - dim(orbit)."""
    x, pose = pick(tuples(b), 0)

    @jax.jit
    def variants():
        steps = small_elements(b.symmetry)
        moved = (
            jax.vmap(lambda g: cases.move_point(b, g, x))(steps),
            jax.vmap(lambda g: cases.move_pose(b, g, pose))(steps),
        )
        xs, poses = variations(b.space, x), variations(b.poses, pose)
        values = jax.vmap(b, (0, None))(xs, pose), jax.vmap(b, (None, 0))(x, poses)
        return moved, xs, poses, values

    moved, *tangents, values = variants()
    dim_tuples = sum(rank(change_of(tangent)) for tangent in tangents)
    dim_orbit = rank(np.hstack([change_of(leaf) for leaf in moved]))
    changes = np.vstack([change_of(value) for value in values])
    assert rank(changes) == dim_tuples - dim_orbit


STEP = 1e-5


def small_elements(group):
    """exp(+-h e_i) for the basis of the Lie algebra, without its costly derivative."""
    steps = STEP * np.asarray(group.generators.lie)
    matrices = scipy.linalg.expm(np.concatenate([steps, -steps]))
    return group.from_matrix(jnp.asarray(matrices))


def variations(space, point):
    """Points on both sides of a point, in all directions."""
    if isinstance(space, Group):
        elements = small_elements(space)
        return jax.vmap(lambda g: space.compose(point, g))(elements)
    if isinstance(space, LieGroupSpace):
        return variations(space.of, point)
    basis = STEP * np.eye(tangent_size(space))
    steps = jnp.asarray(np.concatenate([basis, -basis]))
    return jax.vmap(lambda v: retract_pose(space, point, v))(steps)


def change_of(values):
    """Central differences as rows: the second half is on the other side."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(values) if is_real(leaf)]
    table = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
    there, back = np.split(table, 2)
    return (there - back) / (2 * STEP)


def rank(matrix):
    """Differences are right to 1e-10; random derivatives are not below 1e-5."""
    return np.linalg.matrix_rank(matrix, tol=1e-6)


def is_real(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


@quick(
    RelativePose(cases.AFFINE, scale=1.7),
    RelativePose(O(3), cases.SPACE, with_radius=True),
    RelativePose(E(3), cases.NEEDLES, scale=1.7),
    RelativePose(Lorentz(2), scale=1.7),
    RelativePose(SE(2), LieGroupSpace(SE(2)), scale=1.7),
    RelativePoint(cases.SIDLING_CAR),
    RelativePoint(cases.SPACE, pose_space=cases.NEEDLES, scale=1.7),
    RelativePoint(cases.NEEDLES, scale=1.7),
    RelativePoint(cases.TORUS, scale=1.7),
    RelativePoint(Hyperbolic(2), scale=1.7),
)
def test_squared_distance_has_its_minimum_where_the_pose_stands(b):
    xs, poses = tuples(b, 3)

    @jax.jit
    def at_points_and_at_base(x, pose):
        base = cases.base_point(b, pose)
        return (
            b.squared_distance(x, pose),
            *jax.value_and_grad(b.squared_distance)(base, pose),
        )

    away, value, slope = jax.vmap(at_points_and_at_base)(xs, poses)
    assert np.all(np.asarray(away) > 0)
    # Squares of roundings, and roundings; affine maps and boosts stretch by tens.
    np.testing.assert_allclose(value, 0, atol=1e-26)
    for leaf in jax.tree.leaves(slope):
        np.testing.assert_allclose(leaf, 0, atol=1e-12)


@pytest.mark.parametrize(
    "b",
    [
        RelativePoint(Hyperbolic(2)),
        RelativePose(Lorentz(2)),
    ],
    ids=cases.row_name,
)
def test_hyperbolic_points_may_be_far(b):
    """In float32 right within 6 of the origin, finite within 20, slopes too."""
    angles = 2 * np.pi * np.arange(12) / 12
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)

    def at(radius):
        """Points on a circle, and poses a little aside, inside and outside."""
        xs, aside = np.sinh(radius) * circle, angles + 0.1 * np.exp(-radius)
        tips = np.stack([np.cos(aside), np.sin(aside)], axis=-1)
        poses = np.sinh(radius + 0.2 * (-1) ** np.arange(12))[:, None] * tips
        return xs, poses if isinstance(b, RelativePoint) else boosts(poses)

    def both(x, pose):
        return b(x, pose), b.squared_distance(x, pose)

    @jax.jit
    def values_and_slopes(*pairs):
        total, back = jax.vjp(jax.vmap(both), *pairs)
        return total, back(jax.tree.map(jnp.ones_like, total))

    for leaf in jax.tree.leaves(values_and_slopes(*map(jnp.float32, at(20.0)))):
        assert np.all(np.isfinite(leaf))
    xs, poses = at(6.0)
    single, _ = values_and_slopes(*map(jnp.float32, (xs, poses)))
    double, _ = values_and_slopes(*map(jnp.asarray, (xs, poses)))
    for got, want in zip(single, double, strict=True):
        # Coordinates of 200, rounded to 1e-5, some of which add up.
        np.testing.assert_allclose(got, want, atol=1e-4)


def boosts(points):
    """The Lorentz matrices without rotation that take the origin to points."""
    time = np.sqrt(1 + np.sum(points**2, axis=-1))[:, None, None]
    column, row = points[:, :, None], points[:, None, :]
    space = np.eye(points.shape[1]) + column * row / (1 + time)
    return np.block([[time, row], [column, space]])


@pytest.mark.parametrize(
    "b",
    [
        RelativePose(E(3), cases.NEEDLES),
        RelativePose(O(3), cases.SPACE, with_radius=True),
        RelativePoint(cases.CAR),
        RelativePoint(cases.NEEDLES),
    ],
    ids=cases.row_name,
)
def test_units_of_length_do_not_matter(b):
    """In larger units with a larger scale the same values."""
    large = dataclasses.replace(b, scale=1000.0)
    x, pose = pick(tuples(b), 0)
    n = b.space.n

    def enlarge(point):
        return jnp.concatenate([1000 * point[:n], point[n:]])

    if isinstance(b, RelativePoint):
        far = enlarge(pose)
    else:
        far = (pose[0], 1000 * pose[1]) if b.with_radius else (1000 * pose[0], pose[1])
    np.testing.assert_allclose(large(enlarge(x), far), b(x, pose), rtol=1e-12)
    np.testing.assert_allclose(
        large.squared_distance(enlarge(x), far) / 1e6,
        b.squared_distance(x, pose),
        rtol=1e-12,
    )


def test_tori_are_closed():
    """The period is the whole one: half of it away is the farthest point."""
    b = RelativePoint(Torus((2.0, 5.0)))
    p = jnp.array([0.3, 4.9])
    np.testing.assert_allclose(b(p + jnp.array([2.0, -5.0]), p), b(p, p), atol=1e-14)
    half = jnp.array([1.0, 2.5])
    # (P / pi)^2 for every axis.
    np.testing.assert_allclose(
        b.squared_distance(p + half, p), (4 + 25) / np.pi**2, rtol=1e-14
    )
    assert not np.any(np.abs(jax.grad(b.squared_distance)(p + half, p)) > 1e-14)


def test_fields_about_an_axis_see_no_azimuth_at_the_poles():
    """There b has a derivative in every direction, and none of them is special."""
    b, pole = RelativePoint(Sphere(2), group=SO(2)), jnp.array([0.0, 0.0, 1.0])
    p = cases.random_points(Sphere(2), 1, 0)[0]
    derivative = jax.jacfwd(b)(pole, p)[:, :2]
    # |p_12| times a rotation, and nothing for the heights.
    size = jnp.sum(p[:2] ** 2)
    np.testing.assert_allclose(derivative.T @ derivative, size * np.eye(2), atol=1e-15)


def test_headings_enter_without_a_jump():
    b = RelativePose(SE(2), cases.CAR)
    pose = jnp.zeros(2), jnp.asarray(0.0)
    almost, beyond = (jnp.array([0.3, 0.1, np.pi + turn]) for turn in (-1e-9, 1e-9))
    np.testing.assert_allclose(b(almost, pose), b(beyond, pose), atol=1e-8)
    np.testing.assert_allclose(
        b(almost, pose), b(almost - 2 * jnp.pi * jnp.eye(3)[2], pose), atol=1e-12
    )


def test_absolute_coordinates_have_no_symmetry():
    b = Absolute(cases.CAR, scale=2.0)
    x = jnp.array([1.0, 3.0, 0.5])
    np.testing.assert_allclose(
        b(x, None), [0.5, 1.5, np.cos(0.5), np.sin(0.5)], rtol=1e-15
    )
    assert (b.dim, b.poses, b.symmetry, b.has_pose_axis) == (4, None, None, False)
    with pytest.raises(ValueError, match="window=False"):
        b.squared_distance(x, None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RelativePose(Translation(3), Euclidean(2)), "`group` must act"),
        (lambda: RelativePose(SE(2), Euclidean(3)), "`group` must act"),
        (lambda: RelativePose(SE(2), Sphere(1)), "`group` must act"),
        (lambda: RelativePose(SO(2), Sphere(2)), "`group` must act"),
        (lambda: RelativePose(E(2), PositionOrientation(2)), "`group` must act"),
        (lambda: RelativePose(SE(3), PositionOrientation(2)), "`group` must act"),
        (lambda: RelativePose(SE(2), scale=0.0), "`scale`"),
        (lambda: RelativePoint(Euclidean(2), group=Translation(2)), "No invariants"),
        (lambda: RelativePoint(Euclidean(2), group=E(3)), "No invariants"),
        (lambda: RelativePoint(Euclidean(2), group=O(2)), "No invariants"),
        (lambda: RelativePoint(Euclidean(1)), "No invariants"),
        (lambda: RelativePoint(Sphere(3), group=SO(2)), "No invariants"),
        (lambda: RelativePoint(Sphere(2), group=SE(3)), "No invariants"),
        (lambda: RelativePoint(Sphere(2), pose_space=Euclidean(3)), "No invariants"),
        (lambda: RelativePoint(Euclidean(3), pose_space=cases.CAR), "No invariants"),
        (lambda: RelativePoint(cases.CAR, pose_space=Euclidean(2)), "No invariants"),
        (lambda: RelativePoint(Sphere(2), scale=-1.0), "`scale`"),
        (lambda: Absolute(Sphere(2), scale=float("nan")), "`scale`"),
    ],
)
def test_impossible_rows_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_large_batches_in_hyperbolic_space_are_those_of_small_ones():
    # Written as sums of products, XLA for CPUs compiled them to wrong numbers.
    b = RelativePose(Lorentz(2))
    keys = jax.random.split(jax.random.key(0), 9)
    poses = jax.vmap(lambda key: Lorentz(2).sample(dtype=jnp.float32, key=key))(keys)
    x = jax.random.normal(jax.random.key(1), (14_400, 2), jnp.float32)
    run = jax.jit(jax.vmap(jax.vmap(b, (None, 0)), (0, None)))
    parts = [run(part, poses) for part in jnp.split(x, 144)]
    # Roundings of entries up to 10.
    np.testing.assert_allclose(run(x, poses), jnp.concatenate(parts), atol=1e-4)
