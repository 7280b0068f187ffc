"""Coordinates, poses and symmetries that fields are tested on, and tiny fields."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from eqjax import eikonal, fields, groups, spaces
from eqjax.fields import RelativePoint, RelativePose
from eqjax.groups import (
    SE,
    SO,
    E,
    GLPlus,
    Group,
    Lorentz,
    O,
    Product,
    Semidirect,
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

PLANE, SPACE = Euclidean(2), Euclidean(3)
CAR, SIDLING_CAR = PositionOrientation(2), PositionOrientation(2, xi=0.8, eps=0.1)
NEEDLES = PositionOrientation(3)
TORUS = Torus((2.0, 5.0))
TURNS = LieGroupSpace(SO(3))

# Scales other than one, so that a forgotten one is seen.
BI_INVARIANTS: tuple[RelativePose | RelativePoint, ...] = (
    RelativePose(Translation(2), scale=1.7),
    RelativePose(Translation(5)),
    RelativePose(SO(2)),
    RelativePose(SO(3)),
    RelativePose(O(2)),
    RelativePose(O(3)),
    RelativePose(SO(2), PLANE, scale=1.7),
    RelativePose(O(3), SPACE),
    RelativePose(SE(2), scale=1.7),
    RelativePose(SE(3)),
    RelativePose(E(2)),
    RelativePose(E(3)),
    RelativePose(SE(2), SIDLING_CAR, scale=1.7),
    RelativePoint(PLANE, scale=1.7),
    RelativePoint(PLANE, group=SE(2)),
    RelativePoint(SPACE),
    RelativePoint(SPACE, group=SE(3)),
    RelativePoint(PLANE, pose_space=CAR, scale=1.7),
    RelativePoint(Sphere(1)),
    RelativePoint(Sphere(1), group=SO(2)),
    RelativePoint(Sphere(2)),
    RelativePoint(Sphere(2), group=SO(3)),
    RelativePoint(SIDLING_CAR),
)


def similarities(n: int) -> Semidirect:
    """Rotations, scalings and translations of R^n."""
    lie = [*SO(n).generators.lie, np.eye(n)]
    linear = groups.from_generators(f"CO+({n})", lie=np.stack(lie))
    return Semidirect(Translation(n), linear)


AFFINE = Semidirect(Translation(2), GLPlus(2))

# Rows of which no pair invariants are known, or which these tests leave out.
MORE_BI_INVARIANTS: tuple[RelativePose | RelativePoint, ...] = (
    RelativePose(similarities(2), scale=1.7),
    RelativePose(AFFINE, scale=1.7),
    RelativePose(E(3), NEEDLES, scale=1.7),
    RelativePose(Translation(2), TORUS),
    RelativePose(SO(4)),
    RelativePose(SO(2), PLANE, scale=1.7, with_radius=True),
    RelativePose(O(3), SPACE, with_radius=True),
    RelativePose(Lorentz(2), scale=1.7),
    RelativePose(Lorentz(3, reflections="space")),
    RelativePose(SO(3), TURNS),
    RelativePose(SE(2), LieGroupSpace(SE(2)), scale=1.7),
    RelativePoint(Euclidean(5)),
    RelativePoint(PLANE, pose_space=CAR, group=E(2), scale=1.7),
    RelativePoint(CAR, group=E(2)),
    RelativePoint(SPACE, pose_space=NEEDLES, scale=1.7),
    RelativePoint(NEEDLES, scale=1.7),
    RelativePoint(NEEDLES, group=E(3)),
    RelativePoint(TORUS, scale=1.7),
    RelativePoint(Sphere(3)),
    RelativePoint(Sphere(2), group=SO(2)),
    RelativePoint(Hyperbolic(1), group=Lorentz(1)),
    RelativePoint(Hyperbolic(2), scale=1.7),
    RelativePoint(Hyperbolic(3), group=Lorentz(3)),
    RelativePoint(TURNS),
)
ALL_BI_INVARIANTS = BI_INVARIANTS + MORE_BI_INVARIANTS


def row_name(b: Any) -> str:
    """What tells the rows apart."""
    return f"{type(b).__name__}-{b.space}-{b.poses}-{b.symmetry}"


def random_elements(group: Group, num: int, seed: int) -> Any:
    """Random elements with one leading axis; every second one is a reflection.

    NumPy draws here and below: JAX would compile each of the many small operations.
    """
    rng = np.random.default_rng(seed)
    if isinstance(group, Translation):
        return jnp.asarray(rng.normal(size=(num, group.n)))
    if isinstance(group, (SE, E, Semidirect)):
        t = jnp.asarray(rng.normal(size=(num, group.degree)))
        return t, random_elements(group.linear_part, num, seed + 1)
    if isinstance(group, Product):
        return tuple(random_elements(factor, num, seed) for factor in group.groups)
    if isinstance(group, O) and group.n < 4:
        flips = jnp.asarray(np.arange(1, num + 1, dtype=np.int32) % 2)
        return random_elements(group.rotations, num, seed), flips
    if group == SO(2):
        return jnp.asarray(rng.uniform(-np.pi, np.pi, num))
    if group == SO(3):
        return jnp.asarray(unit_vectors(rng, num, 4))
    lie, discrete = group.generators
    numbers = 0.7 * rng.normal(size=(num, len(lie)))
    matrices = scipy.linalg.expm(np.einsum("nd,dij->nij", numbers, lie))
    if len(discrete):
        matrices[::2] = matrices[::2] @ discrete[0]
    return jnp.asarray(matrices)


def random_points(space: Any, num: int, seed: int) -> Any:
    """Random points with one leading axis."""
    rng = np.random.default_rng(seed)
    if isinstance(space, LieGroupSpace):
        return random_elements(space.of, num, seed)
    if isinstance(space, Sphere):
        return jnp.asarray(unit_vectors(rng, num, space.ambient_dim))
    points = rng.normal(size=(num, space.ambient_dim))
    if isinstance(space, PositionOrientation) and space.n == 2:
        points[:, 2] = rng.uniform(-np.pi, np.pi, num)
    elif isinstance(space, PositionOrientation):
        points[:, 3:] = unit_vectors(rng, num, 3)
    return jnp.asarray(points)


def unit_vectors(rng: np.random.Generator, num: int, size: int) -> np.ndarray:
    """Uniformly distributed unit vectors."""
    vectors = rng.normal(size=(num, size))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def random_poses(b: Any, num: int, seed: int) -> Any:
    """Random poses with one leading axis; half of those of O(n), E(n) are reflected."""
    draw = random_elements if isinstance(b, RelativePose) else random_points
    return draw(b.poses, num, seed)


def move_pose(b: Any, g: Any, pose: Any) -> Any:
    """The pose g p."""
    if not isinstance(b, RelativePose):
        return b.poses.act(g, pose, group=b.symmetry)
    if b.with_radius:
        return b.group.compose(g, pose[0]), pose[1]
    return b.group.compose(g, pose)


def move_point(b: Any, g: Any, x: Any) -> Any:
    """The point g x."""
    return b.space.act(g, x, group=b.symmetry)


def base_point(b: Any, pose: Any) -> Any:
    """The point of the coordinates' space for which a pose stands.

    That is where `squared_distance` vanishes.
    """
    if isinstance(b, RelativePoint):
        flat = isinstance(b.space, Euclidean)
        return pose[: b.space.ambient_dim] if flat else pose
    group: Group = b.group
    if isinstance(b.space, (LieGroupSpace, Torus)):
        return pose
    if isinstance(b.space, Hyperbolic):
        return pose[1:, 0]
    if b.space == NEEDLES:
        up = jnp.array([0.0, 0.0, 1.0])
        return jnp.concatenate([pose[0], b.group.linear_part.act(pose[1], up)])
    if isinstance(b.space, PositionOrientation):
        return jnp.concatenate([pose[0], pose[1][None]])
    origin = jnp.zeros(b.space.ambient_dim)
    if b.with_radius:
        return group.act(pose[0], origin.at[-1].set(pose[1][0]))
    if isinstance(group, (SO, O)):
        origin = origin.at[-1].set(1 if isinstance(b.space, Sphere) else b.scale)
    return group.act(pose, origin)


def random_latents(b: Any, seed: int, *, num_latents: int = 5) -> dict[str, Any]:
    """Latents with random poses, contexts of size 3 and windows about 1."""
    rng = np.random.default_rng(seed)
    return {
        "pose": None if b.poses is None else random_poses(b, num_latents, seed),
        "context": jnp.asarray(rng.normal(size=(num_latents, 3))),
        "window": jnp.asarray(0.2 * rng.normal(size=num_latents)),
    }


def move_latents(b: Any, g: Any, latents: dict[str, Any]) -> dict[str, Any]:
    """The latents of the moved signal."""
    return fields.transform_latents(b.poses, g, latents, group=b.symmetry)


def tiny_field(b: Any, **options: Any) -> fields.EquivariantField:
    """A field of small unequal sizes."""
    sizes: dict[str, Any] = dict(
        num_out=2, hidden=8, num_heads=2, head_dim=7, head_layers=2
    )
    return fields.EquivariantField(
        b,
        context_dim=3,
        query_embedding=fields.FourierEmbedding(6, scale=0.3),
        value_embedding=fields.FourierEmbedding(10, scale=0.2),
        **(sizes | options),
    )


def tiny_travel_times(b: Any, **options: Any) -> eikonal.TravelTimeField:
    """A travel-time field of small sizes."""
    sizes: dict[str, Any] = dict(hidden=6, num_heads=3, query_scale=0.3, head_layers=2)
    return eikonal.TravelTimeField(
        eikonal.PairInvariant(b), context_dim=3, **(sizes | options)
    )


def random_params(field: Any, seed: int) -> Any:
    """Parameters of the shapes of `field.init`, none of them zero or one.

    Kernels are large and biases small, so that values depend on what goes in.
    """
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: field.init(key=key), jax.random.key(0))

    def draw(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        numbers = rng.normal(size=leaf.shape)
        if path[-1].key == "frequencies":
            return jnp.asarray(0.3 * numbers)
        if leaf.ndim == 2:
            return jnp.asarray(2 * numbers / leaf.shape[0] ** 0.5)
        near_zero = path[-1].key in ("bias", "offset")
        return jnp.asarray(0.2 * numbers + (0 if near_zero else 1))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def domain_of(space: Any) -> Any:
    """Where points of a space are drawn."""
    return spaces.Ball(space.n) if isinstance(space, Euclidean) else space


def vectors_from_poses(b: Any, poses: Any, *points: jax.Array) -> np.ndarray:
    """Rows that tell the tuple (points, pose) up to the translations of the symmetry.

    A motion maps one tuple onto another one if and only if its linear part maps these
    rows onto those of the other: positions as seen from the pose, headings and frames.
    Points and poses have one leading axis; the result is (num, rows, n).
    """
    n = b.symmetry.degree
    rows, origins = [], np.zeros((len(points[0]), n))
    if isinstance(b, RelativePose):
        if not isinstance(b.group, Translation):
            frames = np.asarray(b.group.matrix(poses))[:, :n, :n]
            rows += [frames[..., i] for i in range(n)]
        if has_translations(b):
            origins = poses if isinstance(b.group, Translation) else poses[0]
    elif has_translations(b):
        origins = poses[:, :n]
        if isinstance(b.poses, PositionOrientation):
            rows.append(headings(poses))
    else:
        rows.append(poses)
    for x in points:
        if isinstance(b.space, PositionOrientation):
            rows.append(headings(x))
        rows.append(np.asarray(x)[:, :n] - np.asarray(origins))
    return np.stack(rows, axis=1)


def has_translations(b: Any) -> bool:
    """Whether the symmetry moves the origin."""
    return isinstance(b.symmetry, (Translation, SE, E, Semidirect))


def headings(x: jax.Array) -> np.ndarray:
    """The directions of positions with heading."""
    if x.shape[1] == 6:
        return np.asarray(x[:, 3:])
    return np.stack([np.cos(x[:, 2]), np.sin(x[:, 2])], axis=-1)


def mirror_images(b: Any, poses: Any, *points: jax.Array, seed: int) -> list[jax.Array]:
    """Points as seen in a mirror that holds their pose; headings stay."""
    rng, n = np.random.default_rng(seed), b.symmetry.degree
    normals = unit_vectors(rng, len(points[0]), n)
    bases = np.asarray(jax.vmap(lambda pose: base_point(b, pose))(poses))[:, :n]
    if not has_translations(b):
        # It must hold the origin too.
        along = np.sum(normals * bases, 1) / np.sum(bases**2, 1)
        normals = normals - along[:, None] * bases
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        bases = np.zeros_like(bases)
    images = []
    for x in points:
        image = np.array(x)
        heights = np.sum(normals * (image[:, :n] - bases), 1)
        image[:, :n] -= 2 * heights[:, None] * normals
        images.append(jnp.asarray(image))
    return images


def orbit_distances(b: Any, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """min |rows h - others| over the linear parts h of the symmetry (Procrustes).

    The orthogonal matrix that brings rows closest to others comes from the singular
    vectors of their product; without reflections, the least of them turns its sign.
    """
    if not isinstance(b.symmetry, Translation):
        u, _, vt = np.linalg.svd(np.swapaxes(rows, 1, 2) @ others)
        signs = np.ones(u.shape[:2])
        if not len(b.symmetry.generators.discrete):
            signs[:, -1] = np.sign(np.linalg.det(u @ vt))
        rows = rows @ (u * signs[:, None] @ vt)
    return np.linalg.norm(rows - others, axis=(1, 2))


def check_orbits(b: Any, invariant: Any, points: Any, poses: Any) -> dict[str, Any]:
    """Checks that tuples have equal invariants just where a motion joins them.

    Against the Procrustes distance, which knows nothing of invariants, for copies of
    tuples, their mirror images, and other tuples, all moved at random.

    Returns:
        For each kind, which of the tuples are joined by a motion.
    """
    num = len(points[0])
    elements = random_elements(b.symmetry, num, 10)
    moved = jax.vmap(lambda g, pose: move_pose(b, g, pose))(elements, poses)
    others = {
        "copies": points,
        "mirror images": mirror_images(b, poses, *points, seed=11),
        "others": [jnp.roll(x, 1, axis=0) for x in points],
    }
    rows, values = vectors_from_poses(b, poses, *points), invariant(*points, poses)
    joined = {}
    for name, tuples in others.items():
        ys = [jax.vmap(lambda g, y: move_point(b, g, y))(elements, y) for y in tuples]
        differences = np.max(np.abs(invariant(*ys, moved) - values), axis=1)
        distances = orbit_distances(b, rows, vectors_from_poses(b, moved, *ys))
        # Rounding is 1e-15 (Procrustes: its root); random numbers are never as close.
        joined[name] = distances < 1e-7
        np.testing.assert_array_equal(differences < 1e-12, joined[name], err_msg=name)
    assert np.all(joined["copies"])
    return joined
