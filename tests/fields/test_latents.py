"""Latents cover their domain, stay on their manifold, and move with the group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import fields
from eqjax.fields import RelativePoint, RelativePose
from eqjax.groups import SE, SO, E, Group, O, Translation
from eqjax.spaces import Ball, Box, Euclidean, PositionOrientation, Sphere
from tests import field_cases as cases

KEY = jax.random.key(0)
BIG = Box((-3.0, 1.0), (4.0, 8.0))

# Poses, domain, its measure and dimension; a metric turns 2 acos|q.p| into an angle.
DOMAINS = [
    (Translation(1), None, 2.0, 1),
    (SE(2), None, 4.0, 2),
    (Euclidean(2), BIG, 49.0, 2),
    (E(2), Ball(2, 2.5), np.pi * 2.5**2, 2),
    (PositionOrientation(2), None, 4.0, 2),
    (SE(3), None, 8.0, 3),
    (Euclidean(3), Ball(3), 4 / 3 * np.pi, 3),
    (Sphere(1), None, 2 * np.pi, 1),
    (Sphere(2), None, 4 * np.pi, 2),
    (SO(2), None, 2 * np.pi, 1),
    (SO(3), None, 8 * np.pi**2, 3),
]


def init(poses, *, num_latents=5, **options):
    space = Euclidean(poses.degree) if isinstance(poses, Group) else poses
    return fields.init_latents(
        space, poses, num_latents=num_latents, context_dim=3, key=KEY, **options
    )


def candidates_and_distances(poses, domain, pose):
    """Points everywhere in the domain, and their distances from every pose."""
    rng = np.random.default_rng(0)
    if poses == SO(2):
        pose = np.stack([np.cos(pose), np.sin(pose)], -1)
    if isinstance(poses, (SE, E)):
        pose = pose[0]
    elif isinstance(poses, PositionOrientation):
        pose = pose[:, :2]
    pose = np.asarray(pose)
    if isinstance(poses, (SO, Sphere)):
        points = cases.unit_vectors(rng, 4000, pose.shape[1])
        cosines = np.clip(points @ pose.T, -1, 1)
        if poses == SO(3):
            return 2 * np.arccos(np.abs(cosines))
        return np.arccos(cosines)
    domain = domain or Box((-1.0,) * pose.shape[1], (1.0,) * pose.shape[1])
    if isinstance(domain, Ball):
        points = domain.radius * cases.unit_vectors(rng, 4000, domain.n)
        points *= rng.uniform(size=(4000, 1)) ** (1 / domain.n)
    else:
        points = rng.uniform(domain.lower, domain.upper, (4000, domain.dim))
    return np.linalg.norm(points[:, None] - pose[None], axis=-1)


@pytest.mark.parametrize("num_latents", [5, 7, 9, 13])
@pytest.mark.parametrize(
    ("poses", "domain", "measure", "dim"),
    DOMAINS,
    ids=[f"{poses}-{domain}" for poses, domain, _, _ in DOMAINS],
)
def test_latents_cover_the_domain(poses, domain, measure, dim, num_latents):
    """No point is farther than 1.5 spacings of an ideal grid from its latent.

    On the grid itself it is half the diagonal of a cell, up to 0.87 spacings.
    """
    latents = init(poses, num_latents=num_latents, domain=domain)
    distances = candidates_and_distances(poses, domain, latents["pose"])
    spacing = (measure / num_latents) ** (1 / dim)
    assert np.max(np.min(distances, axis=1)) <= 1.5 * spacing
    # Windows of neighbors overlap, and few others: exp(-1) at half to two spacings.
    assert np.all(np.abs(latents["window"] - np.log(spacing)) <= np.log(2.001))


@pytest.mark.parametrize("b", cases.BI_INVARIANTS, ids=cases.row_name)
@pytest.mark.parametrize("orientation", ["aligned", "random"])
def test_latents_are_poses_of_the_asked_dtype(b, orientation):
    latents = init(b.poses, orientation=orientation, jitter=0.3, dtype=jnp.float32)
    assert latents["context"].shape == (5, 3)
    assert latents["window"].shape == (5,)
    for leaf in jax.tree.leaves(latents):
        assert leaf.dtype in (jnp.float32, jnp.int32)
    # A pose composes with its like, and lies on its manifold.
    element = jax.tree.map(
        lambda leaf: leaf.astype(leaf.dtype if leaf.dtype == jnp.int32 else "float32"),
        jax.tree.map(lambda leaf: leaf[0], cases.random_elements(b.symmetry, 2, 0)),
    )
    moved = cases.move_latents(b, element, latents)
    assert jax.tree.map(jnp.shape, moved) == jax.tree.map(jnp.shape, latents)
    assert manifold_error(b.poses, latents["pose"]) < 1e-6


def manifold_error(poses, pose):
    """How far unit vectors and unit quaternions are from length one."""
    if isinstance(poses, (SE, E)):
        poses, pose = poses.linear_part, pose[1]
    if isinstance(poses, O):
        poses, pose = poses.rotations, pose[0]
    if isinstance(poses, Sphere) or poses == SO(3):
        return float(np.max(np.abs(np.linalg.norm(np.asarray(pose), axis=-1) - 1)))
    return 0.0


def test_groups_with_reflections_start_with_both_kinds():
    for group in (O(2), O(3), E(2), E(3)):
        pose = init(group)["pose"]
        flips = pose[1][1] if isinstance(group, E) else pose[1]
        assert flips.tolist() == [0, 1, 0, 1, 0]
        assert flips.dtype == jnp.int32


def test_aligned_means_the_identity_and_random_does_not():
    assert not np.any(init(SE(2))["pose"][1])
    turns = np.asarray(init(SE(2), orientation="random")["pose"][1])
    assert len(np.unique(turns)) == 5
    np.testing.assert_array_equal(init(SE(3))["pose"][1], np.eye(4)[[0] * 5])
    assert not np.any(init(cases.CAR)["pose"][:, 2])


def test_jitter_moves_positions_and_contexts_but_no_orientation():
    calm, moved = init(SE(2)), init(SE(2), jitter=0.1)
    # Five normal vectors of 0.1 of the spacing 1 / sqrt(5).
    distance = np.linalg.norm(moved["pose"][0] - calm["pose"][0], axis=-1)
    assert np.all((distance > 0) & (distance < 0.5 / np.sqrt(5)))
    assert np.array_equal(moved["pose"][1], calm["pose"][1])
    assert np.all(np.asarray(calm["context"]) == 1)
    noise = np.asarray(moved["context"]) - 1
    assert 0.05 < np.std(noise) < 0.15


def test_domain_scales_everything():
    small, large = init(SE(2), domain=Ball(2)), init(SE(2), domain=Ball(2, 6371.0))
    np.testing.assert_allclose(large["pose"][0], 6371 * small["pose"][0], rtol=1e-13)
    np.testing.assert_allclose(
        np.exp(large["window"]), 6371 * np.exp(small["window"]), rtol=1e-13
    )


@pytest.mark.parametrize(
    "b",
    [
        RelativePose(SO(3)),
        RelativePose(SE(2)),
        RelativePose(E(3)),
        RelativePoint(Sphere(2)),
        RelativePoint(cases.CAR),
    ],
    ids=cases.row_name,
)
def test_a_thousand_steps_stay_on_the_manifold(b):
    latents = cases.random_latents(b, 0)
    zero = fields.zero_tangent(b.poses, latents)
    rng = np.random.default_rng(1)
    steps = jax.tree.map(
        lambda leaf: jnp.asarray(0.1 * rng.normal(size=(1000, *leaf.shape))), zero
    )

    @jax.jit
    def walk(latents, steps):
        def step(latents, tangent):
            return fields.retract_latents(b.poses, latents, tangent), None

        return jax.lax.scan(step, latents, steps)[0]

    end = walk(latents, steps)
    assert manifold_error(b.poses, end["pose"]) < 1e-14
    assert jax.tree.map(jnp.shape, end) == jax.tree.map(jnp.shape, latents)
    # In single precision too, where unnormalized products would drift.
    single = jax.tree.map(
        lambda leaf: leaf if leaf.dtype == jnp.int32 else leaf.astype(jnp.float32),
        (latents, steps),
    )
    assert manifold_error(b.poses, walk(*single)["pose"]) < 3e-7


@pytest.mark.parametrize("b", cases.BI_INVARIANTS, ids=cases.row_name)
def test_steps_commute_with_the_group(b):
    """g retract(z, dz) = retract(g z, dz), where vectors in space turn with g."""
    latents = cases.random_latents(b, 0)
    g = jax.tree.map(lambda leaf: leaf[0], cases.random_elements(b.symmetry, 2, 1))
    rng = np.random.default_rng(2)
    zero = fields.zero_tangent(b.poses, latents)
    tangent = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), zero)
    turned = tangent["pose"]
    if isinstance(b, RelativePoint) and isinstance(b.poses, (Euclidean, Sphere)):
        act = jax.vmap(lambda x: cases.move_point(b, g, x))
        turned = act(turned) - act(0 * turned)
    moved = fields.retract_latents(
        b.poses, cases.move_latents(b, g, latents), {**tangent, "pose": turned}
    )
    want = cases.move_latents(b, g, fields.retract_latents(b.poses, latents, tangent))
    for got, leaf in zip(jax.tree.leaves(moved), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(got, leaf, atol=1e-13)


def test_zero_tangent_is_a_zero_of_retract():
    for poses in (SE(2), E(3), O(2), Sphere(2), cases.CAR):
        latents = init(poses)
        zero = fields.zero_tangent(poses, latents)
        assert {leaf.dtype for leaf in jax.tree.leaves(zero)} == {jnp.dtype("float64")}
        same = fields.retract_latents(poses, latents, zero)
        for got, want in zip(
            jax.tree.leaves(same), jax.tree.leaves(latents), strict=True
        ):
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


@pytest.mark.parametrize(
    ("poses", "options", "message"),
    [
        (SE(2), {"num_latents": 0}, "`num_latents`"),
        (SE(2), {"jitter": -0.1}, "`jitter`"),
        (SE(2), {"domain": Ball(3)}, "`domain` must have the 2 dimensions"),
        (Sphere(2), {"domain": Ball(2)}, "`domain` must be None"),
        (SO(3), {"domain": Ball(3)}, "`domain` must be None"),
    ],
)
def test_bad_arguments_are_refused(poses, options, message):
    with pytest.raises(ValueError, match=message):
        init(poses, **options)


def test_poses_must_fit_the_space():
    with pytest.raises(ValueError, match="vectors of size 3, those of the space on 2"):
        fields.init_latents(Euclidean(2), SE(3), num_latents=5, context_dim=3, key=KEY)


def test_group_of_an_element_must_be_that_of_the_poses():
    latents = cases.random_latents(RelativePose(SE(2)), 0)
    with pytest.raises(ValueError, match="`group` must be SE"):
        fields.transform_latents(SE(2), jnp.ones(2), latents, group=Translation(2))
