"""Latents stay on their manifold, and move with the group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import fields
from eqjax.fields import RelativePoint, RelativePose
from eqjax.fields._poses import retract_pose
from eqjax.groups import (
    SE,
    SO,
    E,
    Lorentz,
    Translation,
)
from eqjax.spaces import (
    Euclidean,
    Hyperbolic,
    LieGroupSpace,
    PositionOrientation,
    Sphere,
    Torus,
)
from tests import field_cases as cases
from tests.latent_cases import MIXED, RADIAL, init, manifold_error

# Every kind of elements and points that rounding could take off its manifold.
WALKS = (
    RelativePose(E(3)),
    RelativePose(cases.similarities(2), scale=1.7),
    RelativePose(Lorentz(3, reflections="space")),
    RelativePoint(cases.NEEDLES, scale=1.7),
)


def quick(rows, *chosen):
    """The rows, of which only the chosen ones are no slow tests."""
    return pytest.mark.parametrize(
        "b",
        [pytest.param(b, marks=() if b in chosen else pytest.mark.slow) for b in rows],
        ids=cases.row_name,
    )


@quick(dict.fromkeys((*WALKS, *cases.ALL_BI_INVARIANTS)), *WALKS)
def test_a_thousand_steps_stay_on_the_manifold(b):
    """In single precision, where unnormalized products would drift."""
    latents = cases.random_latents(b, 0)
    zero = fields.zero_tangent(b.poses, latents)
    rng = np.random.default_rng(1)
    # Boosts add up: of larger ones the entries would overflow.
    size = 0.03 if isinstance(b.poses, Lorentz) else 0.1
    steps = jax.tree.map(
        lambda leaf: jnp.asarray(size * rng.normal(size=(1000, *leaf.shape))), zero
    )
    latents, steps = jax.tree.map(
        lambda leaf: leaf if leaf.dtype == jnp.int32 else leaf.astype(jnp.float32),
        (latents, steps),
    )

    @jax.jit
    def walk(latents, steps):
        def step(latents, tangent):
            return fields.retract_latents(b.poses, latents, tangent), None

        return jax.lax.scan(step, latents, steps)[0]

    end = walk(latents, steps)
    # Some roundings of one step, not of a thousand.
    assert manifold_error(b.poses, end["pose"]) < 1e-6
    assert jax.tree.map(jnp.shape, end) == jax.tree.map(jnp.shape, latents)


@quick(
    cases.ALL_BI_INVARIANTS,
    RelativePose(SO(4)),
    RelativePoint(cases.CAR, group=E(2)),
    RelativePoint(cases.NEEDLES, scale=1.7),
    RelativePoint(Hyperbolic(2), scale=1.7),
    RelativePoint(Sphere(2), group=SO(2)),
)
def test_steps_commute_with_the_group(b):
    """g retract(z, dz) = retract(g z, dz), where vectors in space turn with g."""
    latents = cases.random_latents(b, 0)
    g = jax.tree.map(lambda leaf: leaf[0], cases.random_elements(b.symmetry, 2, 1))
    rng = np.random.default_rng(2)
    zero = fields.zero_tangent(b.poses, latents)
    tangent = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), zero)

    @jax.jit
    def both(tangent):
        turned = tangent["pose"]
        if isinstance(b, RelativePoint):
            turned = jax.vmap(lambda p, v: turn_tangent(b, g, p, v))(
                latents["pose"], turned
            )
        moved = fields.retract_latents(
            b.poses, cases.move_latents(b, g, latents), {**tangent, "pose": turned}
        )
        stepped = fields.retract_latents(b.poses, latents, tangent)
        return moved, cases.move_latents(b, g, stepped)

    for got, leaf in zip(*map(jax.tree.leaves, both(tangent)), strict=True):
        size = np.max(np.abs(leaf))
        np.testing.assert_allclose(got, leaf, atol=1e-13 * max(size, 1))


def turn_tangent(b, g, p, v):
    """The tangent vector at g p that a tangent vector at p becomes."""
    if isinstance(b.poses, (LieGroupSpace, Torus)):
        return v
    if isinstance(b.poses, Hyperbolic):
        frame = b.poses.frame(cases.move_pose(b, g, p))
        ambient = jnp.sum(v[:, None] * b.poses.frame(p), axis=0)
        _, pushed = jax.jvp(lambda x: cases.move_pose(b, g, x), (p,), (ambient,))
        return jnp.linalg.solve(frame.T, pushed)
    if isinstance(b.poses, PositionOrientation) and b.poses.n == 2:
        # On the frame of a mirrored heading left is right.
        mirror = isinstance(b.symmetry, E) and g[1][1] == 1
        return v * jnp.where(mirror, jnp.array([1.0, -1.0, -1.0]), jnp.ones(3))

    def act(x):
        return Euclidean(x.shape[0]).act(g, x, group=b.symmetry)

    if b.poses == cases.NEEDLES:
        turn = b.symmetry.linear_part.act
        return jnp.concatenate([turn(g[1], v[:3]), turn(g[1], v[3:])])
    if b.poses == Sphere(2) and b.symmetry == SO(2):
        return jnp.concatenate([b.symmetry.act(g, v[:2]), v[2:]])
    return act(v) - act(0 * v)


def test_gradient_steps_commute_with_boosts():
    """A gradient with respect to v is a tangent vector, its coordinates orthonormal."""
    b = RelativePoint(Hyperbolic(2))
    p, x = cases.random_points(b.space, 2, 0)
    g = cases.random_elements(b.symmetry, 1, 1)[0]

    def descend(p, x):
        cost = jax.grad(lambda v: b(x, retract_pose(b.space, p, v))[0])
        return retract_pose(b.space, p, -0.1 * cost(jnp.zeros(2)))

    @jax.jit
    def both_ways():
        q, y = (cases.move_point(b, g, point) for point in (p, x))
        return cases.move_point(b, g, descend(p, x)), descend(q, y)

    np.testing.assert_allclose(*both_ways(), rtol=1e-12)


@pytest.mark.parametrize("poses", [SE(2), E(3), cases.NEEDLES, RADIAL], ids=str)
def test_zero_tangent_is_a_zero_of_retract(poses):
    latents = init(poses)
    zero = fields.zero_tangent(poses, latents)
    assert {leaf.dtype for leaf in jax.tree.leaves(zero)} == {jnp.dtype("float64")}
    same = jax.jit(lambda: fields.retract_latents(poses, latents, zero))()
    for got, want in zip(*map(jax.tree.leaves, (same, latents)), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-15)


def test_transform_moves_nothing_but_poses():
    b = RelativePose(SE(2))
    latents = cases.random_latents(b, 0)
    moved = fields.transform_latents(
        SE(2), (jnp.ones(2), jnp.asarray(0.3)), latents, group=SE(2)
    )
    assert moved["context"] is latents["context"]
    assert moved["window"] is latents["window"]
    assert not np.allclose(moved["pose"][0], latents["pose"][0])


def test_subgroups_move_latents_too():
    b = RelativePose(SE(2))
    latents, angle = cases.random_latents(b, 0), jnp.asarray(0.3)
    by_turn = fields.transform_latents(SE(2), angle, latents, group=SO(2))
    by_motion = fields.transform_latents(SE(2), (jnp.zeros(2), angle), latents)
    for got, want in zip(*map(jax.tree.leaves, (by_turn, by_motion)), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-15)


def test_poses_in_a_product_of_spaces_move_part_by_part():
    turns, shifts = (cases.random_points(factor, 5, 0) for factor in MIXED.factors)
    z = cases.random_latents(RelativePoint(Sphere(1)), 0) | {"pose": (turns, shifts)}
    v = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)))
    moved = fields.retract_latents(
        MIXED, z, {**fields.zero_tangent(MIXED, z), "pose": v}
    )["pose"]
    parts = (
        (Sphere(1), z["pose"][0], v[:, :2]),
        (MIXED.factors[1], z["pose"][1], v[:, 2:]),
    )
    for got, (space, pose, step) in zip(moved, parts, strict=True):
        np.testing.assert_allclose(got, space.retract(pose, step), atol=1e-15)


def test_group_of_an_element_must_be_that_of_the_poses():
    latents = cases.random_latents(RelativePose(SE(2)), 0)
    with pytest.raises(ValueError, match="`group` must be SE"):
        fields.transform_latents(SE(2), jnp.ones(2), latents, group=Translation(3))
