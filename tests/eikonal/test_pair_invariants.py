"""Pair invariants do not change under their group, and forget nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal import PairInvariant
from eqjax.fields import Absolute, RelativePoint, RelativePose
from eqjax.groups import SE, SO, E, Lorentz, O
from eqjax.spaces import Hyperbolic, Sphere
from tests import field_cases as cases

rows = pytest.mark.parametrize("b", cases.BI_INVARIANTS, ids=cases.row_name)
NUM = 30


@rows
def test_equal_values_mean_equal_orbits(b):
    points = [cases.random_points(b.space, NUM, seed) for seed in (0, 1)]
    poses = cases.random_poses(b, NUM, 2)
    invariant = PairInvariant(b)
    assert jax.eval_shape(
        invariant, *(x[0] for x in points), jax.tree.map(lambda leaf: leaf[0], poses)
    ).shape == (invariant.dim,)
    joined = cases.check_orbits(b, jax.vmap(invariant), points, poses)
    assert not np.any(joined["others"])
    if isinstance(b, RelativePoint):
        # A mirror that holds the pose: two points of the plane or of S^2 see it.
        seen = b.symmetry in (SE(2), SO(3), SO(2))
        assert np.all(joined["mirror images"] != seen)


def degenerate_tuples(b):
    """Sources and receivers that coincide with each other, the pose or its antipode."""
    num = NUM
    poses = cases.random_poses(b, num, 2)
    base = jax.vmap(lambda pose: cases.base_point(b, pose))(poses)
    x = cases.random_points(b.space, num, 0)
    tuples = {"s = r": (x, x), "s = p": (base, x), "r = p": (x, base)}
    tuples["s = r = p"] = (base, base)
    if isinstance(b.space, Sphere):
        tuples |= {"s = -r": (x, -x), "s = -p": (-base, x), "r = -p": (x, -base)}
        tuples["coplanar"] = (x, b.space.project(base - 2 * x))
    else:
        tuples["collinear"] = (x, base + 3 * (x - base))
        tuples["opposite"] = (x, base - (x - base))
    return tuples, poses


@rows
def test_equal_values_mean_equal_orbits_where_points_coincide(b):
    tuples, poses = degenerate_tuples(b)
    for points in tuples.values():
        cases.check_orbits(b, jax.vmap(PairInvariant(b)), list(points), poses)


@pytest.mark.parametrize(
    "b",
    [
        RelativePose(SE(2)),
        RelativePose(E(3)),
        RelativePose(O(3)),
        RelativePoint(cases.PLANE, group=SE(2)),
        RelativePoint(cases.SPACE),
        RelativePoint(Sphere(2), group=SO(3)),
        RelativePoint(cases.SIDLING_CAR),
    ],
    ids=cases.row_name,
)
def test_second_derivatives_are_finite_where_points_coincide(b):
    """The residual differentiates them twice."""
    tuples, poses = degenerate_tuples(b)
    derivative = jax.jit(jax.vmap(jax.hessian(PairInvariant(b), (0, 1))))
    for s, r in tuples.values():
        for leaf in jax.tree.leaves(derivative(s, r, poses)):
            assert np.all(np.isfinite(leaf))


@rows
def test_tells_source_from_receiver(b):
    s, r = (cases.random_points(b.space, NUM, seed) for seed in (0, 1))
    poses = cases.random_poses(b, NUM, 2)
    invariant = jax.vmap(PairInvariant(b))
    differences = np.max(np.abs(invariant(s, r, poses) - invariant(r, s, poses)), 1)
    assert np.all(differences > 1e-6)


def test_sizes():
    for b, dim in {
        RelativePose(SE(2)): 4,
        RelativePose(SE(3)): 6,
        RelativePose(SE(2), cases.CAR): 8,
        RelativePoint(cases.CAR): 8,
        RelativePoint(cases.PLANE): 3,
        RelativePoint(cases.PLANE, group=SE(2)): 4,
        RelativePoint(cases.SPACE, group=SE(3)): 3,
        RelativePoint(cases.PLANE, pose_space=cases.CAR): 4,
        RelativePoint(Sphere(2)): 3,
        RelativePoint(Sphere(2), group=SO(3)): 4,
        RelativePoint(Sphere(1)): 3,
        RelativePoint(Sphere(1), group=SO(2)): 4,
        RelativePose(Lorentz(2)): 2 * RelativePose(Lorentz(2)).dim,
        RelativePoint(Hyperbolic(2)): 3,
        RelativePoint(Hyperbolic(2), group=Lorentz(2)): 4,
        RelativePoint(Hyperbolic(3)): 3,
        RelativePoint(cases.SPACE, pose_space=cases.NEEDLES): 5,
        Absolute(cases.PLANE): 4,
    }.items():
        assert PairInvariant(b).dim == dim


def test_lengths_and_no_directions_are_scaled():
    """The invariants of the triple shrunk with the scale."""
    b = RelativePoint(cases.SPACE, pose_space=cases.NEEDLES, scale=2.0)
    s, r = jnp.array([2.0, 0.0, 0.0]), jnp.array([0.0, 4.0, 0.0])
    needle = jnp.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    # Squares and product of s / 2, r / 2, and their parts along the needle.
    assert PairInvariant(b)(s, r, needle).tolist() == [1.0, 0.0, 0.0, 4.0, 2.0]


def test_incomplete_invariants_are_refused():
    b = RelativePoint(cases.CAR, group=E(2))
    with pytest.raises(ValueError, match="Use `RelativePose`"):
        PairInvariant(b)


def test_absolute_coordinates_stand_side_by_side():
    invariant = PairInvariant(Absolute(cases.PLANE, scale=2.0))
    value = invariant(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]), None)
    assert value.tolist() == [0.5, 1.0, 1.5, 2.0]
    assert invariant.symmetry is None
    assert invariant.poses is None


def test_facts_come_from_the_bi_invariant():
    invariant = PairInvariant(RelativePoint(cases.PLANE, pose_space=cases.CAR))
    assert invariant.space == cases.PLANE
    assert invariant.poses == cases.CAR
    assert invariant.symmetry == SE(2)
