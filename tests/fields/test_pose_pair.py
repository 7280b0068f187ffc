"""Invariants of two poses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields import (
    Absolute,
    PosePair,
    RelativePoint,
    RelativePose,
    WithScalars,
)
from eqjax.groups import SE, SO, E, Lorentz, O, Translation
from eqjax.spaces import Torus
from tests import field_cases as cases

ROWS = (
    RelativePose(Translation(2), scale=1.7),
    RelativePose(SE(2), scale=1.7),
    RelativePose(E(3)),
    RelativePose(O(3)),
    RelativePose(SO(3), cases.SPACE, with_radius=True),
    RelativePose(Translation(2), Torus((2.0, 3.0))),
    RelativePose(Lorentz(2)),
    RelativePoint(cases.PLANE, pose_space=cases.CAR, scale=1.7),
    RelativePoint(cases.SPACE),
)


@functools.partial(jax.jit, static_argnums=0)
def all_pairs(pair, poses):
    return jax.vmap(jax.vmap(pair, (None, 0)), (0, None))(poses, poses)


@pytest.mark.parametrize("b", ROWS, ids=cases.row_name)
def test_is_invariant(b):
    pair, poses = PosePair(b), cases.random_poses(b, 4, 0)
    values = all_pairs(pair, poses)
    assert values.shape == (4, 4, pair.dim)
    # Poses differ from each other, each looks the same to itself.
    assert np.ptp(values[0], axis=0).max() > 0.1
    elements = cases.random_elements(b.symmetry, 2, 3)
    for i in range(2):
        g = jax.tree.map(lambda leaf, i=i: leaf[i], elements)
        moved = jax.jit(jax.vmap(lambda p, g=g: cases.move_pose(b, g, p)))(poses)
        # Entries of size ten from products of four matrices.
        np.testing.assert_allclose(all_pairs(pair, moved), values, atol=1e-11)


def test_lengths_are_in_units_of_the_scale():
    poses = cases.random_poses(ROWS[1], 2, 0)
    pair, plain = (PosePair(RelativePose(SE(2), scale=s)) for s in (1.7, 1.0))
    p, q = (jax.tree.map(lambda leaf, i=i: leaf[i], poses) for i in range(2))
    units = np.array([1.7, 1.7, 1, 1])
    np.testing.assert_allclose(pair(p, q) * units, plain(p, q), atol=1e-14)


def test_numbers_that_points_carry_are_not_of_poses():
    b = ROWS[1]
    carrying = WithScalars(WithScalars(b, 1), 2)
    p, q = (cases.random_poses(b, 1, seed) for seed in range(2))
    np.testing.assert_array_equal(
        jax.vmap(PosePair(carrying))(p, q), jax.vmap(PosePair(b))(p, q)
    )


def test_a_field_whose_latents_attend_to_each_other_is_steerable():
    b = ROWS[1]
    field = cases.tiny_field(b, num_self_attention_layers=2)
    params, z = cases.random_params(field, 0), cases.random_latents(b, 1)
    xs = cases.random_points(b.space, 3, 2)

    @jax.jit
    def values(z, xs):
        prepared = field.prepare(params, z)
        return jax.vmap(lambda x: field.apply(params, prepared, x))(xs)

    want = values(z, xs)
    # Rounding in four attentions of sums over 5 latents, relative to values of size 10.
    close = functools.partial(
        np.testing.assert_allclose, rtol=0, atol=1e-11 * np.max(np.abs(want))
    )
    g = (jnp.array([0.3, -1.1]), jnp.asarray(2.0))
    moved = jax.vmap(lambda x: cases.move_point(b, g, x))(xs)
    close(values(cases.move_latents(b, g, z), moved), want)
    order = jnp.array([3, 0, 4, 2, 1])
    close(values(jax.tree.map(lambda leaf: leaf[order], z), xs), want)
    # A latent that all windows hide still speaks through the others.
    far = {**z, "window": z["window"].at[0].set(-20.0)}
    changed = {**far, "context": far["context"].at[0].add(1.0)}
    assert np.max(np.abs(values(changed, xs) - values(far, xs))) > 1e-3


def test_what_has_no_pairs_is_refused():
    with pytest.raises(ValueError, match="with poses"):
        PosePair(Absolute(cases.PLANE))

    @dataclasses.dataclass(frozen=True)
    class Headed:
        space, poses = cases.PLANE, cases.CAR
        symmetry, dim, has_pose_axis = SE(2), 1, True

        def __call__(self, x, pose):
            return jnp.sum((x - pose[:2]) ** 2, keepdims=True)

        def squared_distance(self, x, pose):
            return jnp.sum((x - pose[:2]) ** 2)

    with pytest.raises(ValueError, match="No invariants of two poses"):
        PosePair(Headed())
