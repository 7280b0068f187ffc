"""Latents cover their domain and start as they are asked to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import fields
from eqjax.fields._spreading import spread_generic
from eqjax.groups import (
    SE,
    SO,
    E,
    Lorentz,
    O,
    Product,
    Scaling,
    Semidirect,
    Translation,
)
from eqjax.spaces import (
    Ball,
    Box,
    Euclidean,
    Hyperbolic,
    PositionOrientation,
    Sphere,
    Torus,
)
from tests import field_cases as cases
from tests.latent_cases import (
    BIG,
    KEY,
    MIXED,
    RADIAL,
    RADIAL_PLANE,
    init,
    manifold_error,
)

LONG = Torus((0.7, 12.0))


def hyperbolic_area(radius):
    return 2 * np.pi * (np.cosh(radius) - 1)


# Poses, domain, its measure and dimension; a metric turns 2 acos|q.p| into an angle.
DOMAINS = [
    (Translation(1), None, 2.0, 1),
    (SE(2), None, 4.0, 2),
    (Euclidean(2), BIG, 49.0, 2),
    (E(2), Ball(2, 2.5), np.pi * 2.5**2, 2),
    (PositionOrientation(2), None, 4.0, 2),
    (cases.AFFINE, None, 4.0, 2),
    (SE(3), None, 8.0, 3),
    (Euclidean(3), Ball(3), 4 / 3 * np.pi, 3),
    (cases.NEEDLES, None, 8.0, 3),
    (RADIAL_PLANE, None, np.pi, 2),
    (RADIAL, Ball(3, 6371.0), 4 / 3 * np.pi * 6371.0**3, 3),
    (cases.TORUS, None, 10.0, 2),
    (LONG, None, 8.4, 2),
    (Torus((2.0, 3.0, 5.0)), None, 30.0, 3),
    (Sphere(1), None, 2 * np.pi, 1),
    (Sphere(2), None, 4 * np.pi, 2),
    (Sphere(3), None, 2 * np.pi**2, 3),
    (Hyperbolic(1), Ball(1, 3.0), 6.0, 1),
    (Hyperbolic(2), None, hyperbolic_area(1), 2),
    (Hyperbolic(2), Ball(2, 3.0), hyperbolic_area(3), 2),
    (Hyperbolic(3), Ball(3, 2.0), np.pi * (np.sinh(4) - 4), 3),
    (Lorentz(2, reflections="space"), None, hyperbolic_area(1), 2),
    (SO(2), None, 2 * np.pi, 1),
    (SO(3), None, 8 * np.pi**2, 3),
    (SO(4), None, 16 * np.pi**4, 6),
    (MIXED, None, 6 * np.pi, 2),
]


def candidates_and_distances(poses, domain, pose):
    """Points everywhere in the domain, and their distances from every pose."""
    rng, num = np.random.default_rng(1), 4000
    if isinstance(poses, SO) and poses.n > 3:
        points = np.linalg.qr(rng.normal(size=(num, poses.n, poses.n)))[0]
        points[:, :, 0] *= np.linalg.det(points)[:, None]
        # Chords, at most the distances.
        chords = points[:, None] - np.asarray(pose)[None]
        return np.linalg.norm(chords, axis=(2, 3)) / np.sqrt(2)
    if poses == SO(2):
        pose = np.stack([np.cos(pose), np.sin(pose)], -1)
    if poses == MIXED:
        points = jax.vmap(lambda k: MIXED.sample(key=k))(jax.random.split(KEY, num))
        pairs = jax.vmap(jax.vmap(MIXED.distance, (None, 0)), (0, None))
        return np.asarray(pairs(points, pose))
    if isinstance(poses, (SE, E, Semidirect)):
        pose = pose[0]
    elif isinstance(poses, Product):
        frames = poses.groups[0].matrix(pose[0])
        pose = np.asarray(frames[..., -1]) * np.asarray(pose[1])
        domain = domain or Ball(pose.shape[1])
    elif isinstance(poses, PositionOrientation):
        pose = pose[:, : poses.n]
    elif isinstance(poses, Lorentz):
        poses, pose = Hyperbolic(poses.n), pose[:, 1:, 0]
    pose = np.asarray(pose)
    if isinstance(poses, (SO, Sphere)):
        points = cases.unit_vectors(rng, num, pose.shape[1])
        cosines = np.clip(points @ pose.T, -1, 1)
        if poses == SO(3):
            return 2 * np.arccos(np.abs(cosines))
        return np.arccos(cosines)
    if isinstance(poses, Torus):
        periods = np.asarray(poses.periods)
        points = periods * rng.uniform(size=(num, poses.dim))
        gaps = points[:, None] - pose[None]
        return np.linalg.norm(gaps - periods * np.round(gaps / periods), axis=-1)
    if isinstance(poses, Hyperbolic):
        radius = domain.radius if domain else 1.0
        lengths = radius * rng.uniform(size=(num, 1)) ** 0.5
        points = np.sinh(lengths) * cases.unit_vectors(rng, num, poses.n)
        times = [np.sqrt(1 + np.sum(x**2, axis=-1)) for x in (points, pose)]
        return np.arccosh(np.maximum(np.outer(*times) - points @ pose.T, 1))
    domain = domain or Box((-1.0,) * pose.shape[1], (1.0,) * pose.shape[1])
    if isinstance(domain, Ball):
        points = domain.radius * cases.unit_vectors(rng, num, domain.n)
        points *= rng.uniform(size=(num, 1)) ** (1 / domain.n)
    else:
        points = rng.uniform(domain.lower, domain.upper, (num, domain.dim))
    return np.linalg.norm(points[:, None] - pose[None], axis=-1)


def is_costly(poses, num_latents):
    """Whether this compiles many small operations for each number of latents."""
    matrices = isinstance(poses, (Product, Lorentz))
    return poses == MIXED or (matrices and num_latents != 5)


@pytest.mark.parametrize(
    ("poses", "domain", "measure", "dim", "num_latents"),
    [
        pytest.param(
            *domain,
            num,
            marks=pytest.mark.slow if is_costly(domain[0], num) else (),
            id=f"{domain[0]}-{domain[1]}-{num}",
        )
        for domain in DOMAINS
        for num in (5, 7, 9, 13)
    ],
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


@pytest.mark.parametrize(
    "b", {b.poses: b for b in cases.ALL_BI_INVARIANTS}.values(), ids=cases.row_name
)
@pytest.mark.parametrize("orientation", ["aligned", "random"])
def test_latents_are_poses_of_the_asked_dtype(b, orientation):
    """Without any number: also while they are being traced."""

    def make(key):
        return fields.init_latents(
            b.space,
            b.poses,
            num_latents=5,
            context_dim=3,
            orientation=orientation,
            jitter=0.3,
            dtype=jnp.float32,
            key=key,
        )

    latents = jax.eval_shape(make, KEY)
    assert latents["context"].shape == (5, 3)
    assert latents["window"].shape == (5,)
    want = jax.eval_shape(lambda: cases.random_poses(b, 5, 0))
    assert jax.tree.map(jnp.shape, latents["pose"]) == jax.tree.map(jnp.shape, want)
    element = jax.eval_shape(
        lambda: jax.tree.map(
            lambda leaf: leaf if leaf.dtype == jnp.int32 else leaf.astype("float32"),
            jax.tree.map(lambda leaf: leaf[0], cases.random_elements(b.symmetry, 2, 0)),
        )
    )
    moved = jax.eval_shape(lambda g, z: cases.move_latents(b, g, z), element, latents)
    for tree in (latents, moved):
        for leaf, like in zip(
            jax.tree.leaves(tree["pose"]), jax.tree.leaves(want), strict=True
        ):
            integer = like.dtype == jnp.int32
            assert leaf.dtype == (jnp.int32 if integer else jnp.float32)


@pytest.mark.parametrize(
    "poses",
    [
        cases.NEEDLES,
        cases.similarities(2),
        RADIAL,
        Lorentz(3, reflections="space"),
        pytest.param(SO(4), marks=pytest.mark.slow),
        pytest.param(E(3), marks=pytest.mark.slow),
        pytest.param(Sphere(3), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_random_orientations_and_noise_stay_on_the_manifold(poses):
    make = functools.partial(init, poses, orientation="random", jitter=0.3)
    pose = jax.jit(lambda: make()["pose"])()
    assert manifold_error(poses, pose) < 1e-14
    if isinstance(poses, Semidirect):
        # Turned, but of the same size.
        np.testing.assert_allclose(jnp.linalg.det(pose[1]), 1, rtol=1e-12)


def test_groups_with_reflections_start_with_both_kinds():
    for group in (O(2), O(3), E(2), E(3), RADIAL_PLANE):
        pose = init(group)["pose"]
        turns = {E: pose[1], Product: pose[0]}.get(type(group), pose)
        assert turns[1].tolist() == [0, 1, 0, 1, 0]
        assert turns[1].dtype == jnp.int32
    for group in (O(4), Lorentz(2, reflections="space")):
        signs = np.linalg.det(init(group)["pose"])
        np.testing.assert_allclose(signs, [1, -1, 1, -1, 1], rtol=1e-12)


def test_aligned_means_the_identity_and_random_does_not():
    assert not np.any(init(SE(2))["pose"][1])
    turns = np.asarray(init(SE(2), orientation="random")["pose"][1])
    assert len(np.unique(turns)) == 5
    np.testing.assert_array_equal(init(SE(3))["pose"][1], np.eye(4)[[0] * 5])
    assert not np.any(init(cases.CAR)["pose"][:, 2])
    np.testing.assert_array_equal(
        init(cases.NEEDLES)["pose"][:, 3:], np.eye(3)[[2] * 5]
    )


@pytest.mark.parametrize("orientation", ["aligned", "random"])
def test_poses_with_radius_point_to_their_positions(orientation):
    domain = Ball(3, 2.0)

    @jax.jit
    def ends():
        # One of the 27 is the center, in the direction of which nothing lies.
        z = init(RADIAL, num_latents=27, domain=domain, orientation=orientation)
        turns, radius = z["pose"]
        return SO(3).matrix(turns)[..., -1] * radius

    np.testing.assert_allclose(ends(), domain.spread(27), atol=1e-14)


def test_translations_cover_a_torus_as_its_points_do():
    make = functools.partial(
        fields.init_latents, LONG, num_latents=7, context_dim=3, jitter=0.2, key=KEY
    )
    ours, points = make(Translation(2)), make(LONG)
    for name, leaf in ours.items():
        np.testing.assert_array_equal(leaf, points[name], err_msg=name)


@pytest.mark.parametrize(
    ("group", "orientation"), [(SO(3), "aligned"), (O(3), "random")], ids=str
)
def test_rotations_point_to_what_covers_the_sphere(group, orientation):
    sphere = Sphere(2)
    make = functools.partial(
        fields.init_latents, sphere, num_latents=7, context_dim=3, key=KEY
    )
    # Compiled once, as one program.
    ours, matrices = jax.jit(
        lambda: (z := make(group, orientation=orientation), group.matrix(z["pose"]))
    )()
    points = make(sphere)
    np.testing.assert_allclose(matrices[..., -1], points["pose"], atol=1e-14)
    np.testing.assert_array_equal(ours["window"], points["window"])
    kinds = np.ones(7) if group == SO(3) else (-1.0) ** np.arange(7)
    np.testing.assert_allclose(np.linalg.det(matrices), kinds, rtol=1e-12)


def test_contexts_may_be_scaled():
    z = init(SE(2), context_scale=0.25)
    np.testing.assert_array_equal(z["context"], 0.25)


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


def test_spaces_of_users_need_samples_and_distances():
    with pytest.raises(ValueError, match="it needs `sample`"):
        spread_generic(object(), 5)


def test_groups_without_positions_start_with_samples():
    z = init(Scaling(2), dtype=jnp.float32)
    assert z["pose"].shape == (5,)
    assert z["pose"].dtype == jnp.float32
    # Log-scales with a standard deviation of 1/2, far from each other.
    scales = np.sort(np.asarray(z["pose"], float))
    assert np.all(scales[1:] - scales[:-1] > 0.1)


@pytest.mark.parametrize(
    ("poses", "options", "message"),
    [
        (SE(2), {"num_latents": 0}, "`num_latents`"),
        (SE(2), {"jitter": -0.1}, "`jitter`"),
        (SE(2), {"domain": Ball(3)}, "`domain` must have the 2 dimensions"),
        (Sphere(2), {"domain": Ball(2)}, "`domain` must be None"),
        (SO(3), {"domain": Ball(3)}, "`domain` must be None"),
        (cases.TORUS, {"domain": Ball(2)}, "`domain` must be None"),
        (Hyperbolic(2), {"domain": BIG}, "`domain` must be a Ball"),
        (Lorentz(2), {"domain": Ball(3)}, "`domain` must be a Ball"),
        (RADIAL, {"domain": Ball(2)}, "`domain` must have the 3 dimensions"),
        (SE(2), {"context_scale": 0.0}, "`context_scale`"),
    ],
)
def test_bad_arguments_are_refused(poses, options, message):
    with pytest.raises(ValueError, match=message):
        init(poses, **options)


def test_poses_must_fit_the_space():
    with pytest.raises(ValueError, match="vectors of size 3, those of the space on 2"):
        fields.init_latents(Euclidean(2), SE(3), num_latents=5, context_dim=3, key=KEY)
