"""Bi-invariants do not change under their group, and forget nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields import Absolute, RelativePoint, RelativePose
from eqjax.groups import SE, SO, E, O, Translation
from eqjax.spaces import Euclidean, PositionOrientation, Sphere
from tests import field_cases as cases

rows = pytest.mark.parametrize("b", cases.BI_INVARIANTS, ids=cases.row_name)
NUM = 60


def tuples(b, num=NUM, seed=0):
    """Random points and poses."""
    return cases.random_points(b.space, num, seed), cases.random_poses(b, num, seed + 1)


def pick(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


@rows
def test_does_not_change_when_point_and_pose_move(b):
    xs, poses = tuples(b)
    elements = cases.random_elements(b.symmetry, NUM, 2)

    def change(g, x, pose):
        y, moved = cases.move_point(b, g, x), cases.move_pose(b, g, pose)
        return (
            b(y, moved) - b(x, pose),
            b.squared_distance(y, moved) - b.squared_distance(x, pose),
        )

    for difference in jax.vmap(change)(elements, xs, poses):
        # Coordinates are a few units: some tens of roundings of their squares.
        np.testing.assert_allclose(difference, 0, atol=1e-13)


@rows
def test_has_the_size_it_says(b):
    x, pose = pick(tuples(b), 0)
    assert jax.eval_shape(b, x, pose).shape == (b.dim,)
    assert jax.eval_shape(b.squared_distance, x, pose).shape == ()
    assert b.has_pose_axis


@rows
def test_equal_values_mean_equal_orbits(b):
    xs, poses = tuples(b)
    joined = cases.check_orbits(b, jax.vmap(b), [xs], poses)
    assert not np.any(joined["others"])


@rows
def test_loses_no_more_dimensions_than_the_orbit_has(b):
    """rank of the derivative = dim(points x poses) - dim(orbit)."""
    x, pose = pick(tuples(b), 0)
    group, space = b.symmetry, b.space

    def place(x, pose):
        if isinstance(b, RelativePose):
            return jnp.concatenate([x, b.group.matrix(pose).ravel()])
        return jnp.concatenate([x, pose])

    def act(v):
        g = group.exp(v)
        return place(cases.move_point(b, g, x), cases.move_pose(b, g, pose))

    def change(dx, dp):
        if isinstance(b, RelativePose):
            return space.retract(x, dx), b.group.compose(pose, b.group.exp(dp))
        return space.retract(x, dx), b.poses.retract(pose, dp)

    size = b.group.dim if isinstance(b, RelativePose) else b.poses.tangent_dim
    zeros = jnp.zeros(space.tangent_dim), jnp.zeros(size)

    @jax.jit
    def derivatives():
        moves = jax.jacfwd(lambda d: (place(*change(*d)), b(*change(*d))))(zeros)
        return *moves, (jax.jacfwd(act)(jnp.zeros(group.dim)),)

    dim_tuples, rank, dim_orbit = (
        np.linalg.matrix_rank(np.hstack(matrix), tol=1e-9) for matrix in derivatives()
    )
    assert rank == dim_tuples - dim_orbit


@rows
def test_squared_distance_has_its_minimum_where_the_pose_stands(b):
    xs, poses = tuples(b)
    assert np.all(np.asarray(jax.vmap(b.squared_distance)(xs, poses)) > 0)
    bases = jax.vmap(lambda pose: cases.base_point(b, pose))(poses)
    values, slopes = jax.vmap(jax.value_and_grad(b.squared_distance))(bases, poses)
    # Squares of roundings, and roundings.
    np.testing.assert_allclose(values, 0, atol=1e-28)
    np.testing.assert_allclose(slopes, 0, atol=1e-13)


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
        (lambda: RelativePoint(Euclidean(5)), "No invariants"),
        (lambda: RelativePoint(Sphere(2), group=SO(2)), "No invariants"),
        (lambda: RelativePoint(Sphere(2), group=SE(3)), "No invariants"),
        (lambda: RelativePoint(Sphere(2), pose_space=Euclidean(3)), "No invariants"),
        (lambda: RelativePoint(Euclidean(3), pose_space=cases.CAR), "No invariants"),
        (lambda: RelativePoint(cases.CAR, group=E(2)), "No invariants"),
        (lambda: RelativePoint(cases.CAR, pose_space=Euclidean(2)), "No invariants"),
        (lambda: RelativePoint(Sphere(2), scale=-1.0), "`scale`"),
        (lambda: Absolute(Sphere(2), scale=float("nan")), "`scale`"),
    ],
)
def test_impossible_rows_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
