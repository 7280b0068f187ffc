"""Signed distances of shapes and meshes, surfaces, metrics."""

import pathlib
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from eqjax.data import _mesh_distance as meshes
from eqjax.data import _shapes as shapes
from eqjax.data import _surface as surfaces

EXACT = {
    "ball": partial(shapes.ball_distance, radius=0.6),
    "box": partial(shapes.box_distance, half_sides=(0.3, 0.5, 0.7)),
    "rounded box": partial(
        shapes.box_distance, half_sides=(0.3, 0.5, 0.7), rounding=0.1
    ),
    "torus": partial(shapes.torus_distance, major_radius=0.5, minor_radius=0.2),
    "capsule": partial(shapes.capsule_distance, half_length=0.4, radius=0.3),
}
TETRAHEDRON = meshes.Mesh(
    np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)


def gradient(distance: shapes.Distance, points: np.ndarray) -> np.ndarray:
    h = 1e-6
    steps = h * np.eye(3)
    sides = [distance(points + step) - distance(points - step) for step in steps]
    return np.stack(sides, axis=-1) / (2 * h)


@pytest.mark.parametrize("name", EXACT)
def test_signed_distances_lead_to_the_surface(name: str) -> None:
    distance = EXACT[name]
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    d, slope = distance(points), gradient(distance, points)
    # Differences of 1e-6: rounding 1e-10, curvature 1e-12. On the medial axis, which
    # has no volume, the slope jumps; within 1e-6 of it there are no random points.
    np.testing.assert_allclose(np.linalg.norm(slope, axis=1), 1, atol=1e-8)
    feet = points - d[:, None] * slope
    np.testing.assert_allclose(distance(feet), 0, atol=1e-8)
    assert 0.02 < np.mean(d < 0) < 0.5


def test_volumes_are_those_of_the_shapes() -> None:
    volumes = {
        "ball": 4 / 3 * np.pi * 0.6**3,
        "box": 8 * 0.3 * 0.5 * 0.7,
        "torus": 2 * np.pi**2 * 0.5 * 0.2**2,
        "capsule": np.pi * 0.3**2 * 0.8 + 4 / 3 * np.pi * 0.3**3,
    }
    points = surfaces.grid_points(64)
    for name, volume in volumes.items():
        found = 8 * np.mean(EXACT[name](points) < 0)
        # A cell of 1/32 is right or wrong as a whole: 1 % of the volume.
        np.testing.assert_allclose(found, volume, rtol=0.03, err_msg=name)


def test_a_smooth_union_is_smooth_lipschitz_and_a_union() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.uniform(-1, 1, (2, 1000))
    union = shapes.smooth_union(a, b, width=0.3)
    apart = np.abs(a - b) >= 0.3
    np.testing.assert_array_equal(union[apart], np.minimum(a, b)[apart])
    assert np.all(union <= np.minimum(a, b))
    np.testing.assert_array_equal(union, shapes.smooth_union(b, a, width=0.3))
    for other in (a, b):
        moved = shapes.smooth_union(other + 1e-3, np.zeros(1000), width=0.3)
        change = moved - shapes.smooth_union(other, np.zeros(1000), width=0.3)
        assert np.all((change >= 0) & (change <= 1e-3 + 1e-12))
    # The slope is continuous where both are equal.
    around = np.array([-1e-6, 0, 1e-6])
    slopes = np.diff(shapes.smooth_union(around, np.zeros(3), width=0.3)) / 1e-6
    np.testing.assert_allclose(slopes, 0.5, atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_random_shapes_are_functions_of_their_seed(seed: int) -> None:
    shape = shapes.random_shape(seed)
    points = np.random.default_rng(seed).uniform(-1, 1, (2000, 3))
    values = shape(points)
    np.testing.assert_array_equal(values, shapes.random_shape(seed)(points))
    assert not np.allclose(values, shapes.random_shape(seed + 1)(points))
    steps = np.roll(points, 1, axis=0) - points
    lengths = np.linalg.norm(steps, axis=1)
    assert np.all(np.abs(np.roll(values, 1) - values) <= lengths + 1e-12)
    assert np.all(values[np.linalg.norm(points, axis=1) > 0.9] > 0)
    assert np.any(values < 0)


def test_half_of_the_samples_lie_near_the_surface() -> None:
    shape = EXACT["torus"]
    points, distances = shapes.sample_distances(shape, 1001, seed=3)
    np.testing.assert_array_equal(distances, np.clip(shape(points), -0.1, 0.1))
    assert np.all(np.abs(distances[:501]) < 0.05)
    assert np.all(np.abs(points[501:]) <= 1)
    again = shapes.sample_distances(shape, 1001, seed=3)
    np.testing.assert_array_equal(points, again[0])
    assert not np.allclose(points, shapes.sample_distances(shape, 1001, seed=4)[0])
    surface = np.array([[0.7, 0.0, 0.0], [0.5, 0.0, 0.2]])
    points, distances = shapes.sample_distances(shape, 80, surface=surface, seed=0)
    assert np.all(np.abs(distances[:40]) <= 0.05)


def test_bad_shapes_are_refused(user_errors: None) -> None:
    x = np.zeros((2, 3))
    for call, message in [
        (lambda: shapes.ball_distance(x, radius=0.0), "`radius`"),
        (lambda: shapes.box_distance(x, half_sides=(1.0, 1.0)), "`half_sides` must be"),
        (
            lambda: shapes.box_distance(x, half_sides=(0.2, 1.0, 1.0), rounding=0.3),
            "`rounding` must be at most",
        ),
        (
            lambda: shapes.torus_distance(x, major_radius=1.0, minor_radius=1.0),
            "`minor_radius` must be below",
        ),
        (
            lambda: shapes.sample_distances(
                partial(shapes.ball_distance, radius=9.0), 9, seed=0
            ),
            "surface in",
        ),
        (
            lambda: shapes.sample_distances(lambda x: x[:, 0] / 0, 9, seed=0),
            "finite",
        ),
        (
            lambda: shapes.sample_distances(EXACT["ball"], 9, surface=x[:0], seed=0),
            "`surface` must have",
        ),
        (lambda: shapes.random_shape(-1), "`seed`"),
    ]:
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=message):
            call()


def box_mesh(half_sides: tuple[float, float, float]) -> meshes.Mesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    quads = [
        (0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4),
        (1, 5, 7, 3),
    ]  # fmt: skip
    triangles = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return meshes.Mesh(corners * np.array(half_sides), np.array(triangles))


@pytest.mark.parametrize("chunk_size", [13, 1_000_000])
def test_meshes_of_boxes_have_their_distance(chunk_size: int) -> None:
    half_sides = (0.3, 0.5, 0.7)
    points = np.random.default_rng(0).uniform(-1, 1, (300, 3))
    # On the faces, edges and corners, and far away.
    special = np.array(
        [[0.3, 0, 0], [0.3, 0.5, 0], [0.3, 0.5, 0.7], [0, 0, 0], [9, 9, 9], [1, 0, 0]]
    )
    points = np.concatenate([points, special])
    found = meshes.mesh_distance(box_mesh(half_sides), points, chunk_size=chunk_size)
    expected = shapes.box_distance(points, half_sides=half_sides)
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_distances_of_meshes_do_not_depend_on_triangles_left_out() -> None:
    rng = np.random.default_rng(2)
    soup = meshes.Mesh(rng.normal(size=(60, 3)), rng.integers(60, size=(40, 3)))
    points = rng.normal(size=(50, 3))
    found = np.abs(meshes.mesh_distance(soup, points))
    # Brute force: a fine net of points on every triangle.
    steps = np.arange(41) / 40
    nets = [(1 - s - t, s, t) for s in steps for t in steps if s + t <= 1 + 1e-9]
    net = np.einsum("nk,tkd->tnd", np.array(nets), soup.vertices[soup.triangles])
    rough = np.linalg.norm(points[:, None] - net.reshape(1, -1, 3), axis=-1).min(1)
    assert np.all(found <= rough + 1e-12)
    # No point of a triangle is farther from the net than 1/40 of its longest side.
    np.testing.assert_allclose(found, rough, atol=6 / 40)
    assert np.median(rough - found) < 6 / 400


def test_open_surfaces_have_an_inside() -> None:
    mesh = box_mesh((0.5, 0.5, 0.5))
    opened = mesh._replace(triangles=mesh.triangles[:-2])  # without its lid
    found = meshes.mesh_distance(opened, np.array([[0, 0, -0.2], [0, 0, 0.9]]))
    np.testing.assert_allclose(found, [-0.3, np.hypot(0.4, 0.5)])


def test_samples_of_meshes_are_uniform() -> None:
    points = meshes.sample_surface(TETRAHEDRON, 4000, seed=0)
    np.testing.assert_allclose(meshes.mesh_distance(TETRAHEDRON, points), 0, atol=1e-15)
    skew = np.abs(points.sum(1) - 1) < 1e-9
    # The skew face has sqrt 3 of the area 3 + sqrt 3 of the others; sigma is 0.8 %.
    assert abs(skew.mean() - 3**0.5 / (3 + 3**0.5)) < 0.03
    np.testing.assert_allclose(points[skew].mean(0), 1 / 3, atol=0.02)
    with pytest.raises(ValueError, match="`mesh` must have an area"):
        meshes.sample_surface(
            meshes.Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), 2, seed=0
        )


def test_meshes_are_fitted_into_a_ball() -> None:
    moved = TETRAHEDRON._replace(vertices=5 * TETRAHEDRON.vertices + 3)
    fitted = meshes.fit_mesh(moved, radius=0.8).vertices
    np.testing.assert_allclose(fitted.min(0), -fitted.max(0))
    np.testing.assert_allclose(np.linalg.norm(fitted, axis=1).max(), 0.8)
    with pytest.raises(ValueError, match="`mesh` must have extent"):
        meshes.fit_mesh(meshes.Mesh(np.ones((3, 3)), np.array([[0, 1, 2]])))


def test_mesh_files_hold_what_was_written(tmp_path: pathlib.Path) -> None:
    lines = [f"v {x} {y} {z} 1.0" for x, y, z in TETRAHEDRON.vertices]
    lines = ["# a mesh", "mtllib x", *lines[:3], "vn 0 0 1", "", lines[3]]
    faces = ["f 1 3 2", "f 1/1 2/2 4/4", "f 1//1 4//1 3//1", "f -3/1/1 -2/1/1 -1/1/1"]
    path = tmp_path / "a.OBJ"
    path.write_text("\n".join([*lines, *faces]) + "  # the last\n")
    found = meshes.read_mesh(path)
    np.testing.assert_array_equal(found.vertices, TETRAHEDRON.vertices)
    np.testing.assert_array_equal(found.triangles, TETRAHEDRON.triangles)
    for name in ("triangles", "faces", "simplices"):
        arrays: dict[str, Any] = {name: found.triangles, "vertices": found.vertices}
        np.savez(tmp_path / "b.npz", **arrays)
        np.testing.assert_array_equal(
            meshes.read_mesh(tmp_path / "b.npz").triangles, found.triangles
        )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.obj", b"v 0 0\n", "Line 1 .*three coordinates"),
        ("a.obj", b"v 0 0 0\nv 0 0 x\n", "Line 2 .*could not convert"),
        ("a.obj", b"v 0 0 0\nf 1 1\n", "Line 2 .*three corners"),
        ("a.obj", b"v 0 0 0\nf 0 1 1\n", "counted from 1"),
        ("a.obj", b"v 0 0 0\nf 1 1 2\n", "indices of its 1 vertices"),
        ("a.obj", b"v 0 0 0\nf -2 1 1\n", "indices of its 1 vertices"),
        ("a.obj", b"v 0 0 nan\nf 1 1 1\n", "finite vertices"),
        ("a.obj", b"v 0 0 0\n", "must hold faces"),
        ("a.obj", b"\xff\xfe\x80", "text file"),
        ("a.npz", b"no archive", "no readable npz"),
        ("a.stl", b"", r"end in .obj or .npz, got a.stl"),
    ],
)
def test_bad_mesh_files_are_value_errors(
    tmp_path: pathlib.Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        meshes.read_mesh(tmp_path / name)


def test_npz_meshes_need_their_arrays(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        meshes.read_mesh(tmp_path / "none.npz")
    path = tmp_path / "a.npz"
    np.savez(path, vertices=np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"one of `triangles`.*got vertices"):
        meshes.read_mesh(path)
    np.savez(path, vertices=np.zeros((3, 2)), faces=np.array([[0, 1, 2]]))
    with pytest.raises(ValueError, match=r"got shapes \(3, 2\) and \(1, 3\)"):
        meshes.read_mesh(path)
    np.savez(path, vertices=np.zeros((3, 3)), faces=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="indices of triangles"):
        meshes.read_mesh(path)


def test_extracted_surfaces_are_closed_and_look_outwards() -> None:
    shape = EXACT["torus"]
    values = shape(surfaces.grid_points(32)).astype(np.float32)
    values.flags.writeable = False  # as what JAX returns
    mesh = surfaces.extract_surface(values)
    # Linear interpolation in cells of 1/16 about a curvature of 5: h^2 5 / 8 = 2.4e-3.
    np.testing.assert_allclose(shape(mesh.vertices), 0, atol=2.5e-3)
    points = np.random.default_rng(0).uniform(-1, 1, (40, 3))
    found = meshes.mesh_distance(mesh, points)
    np.testing.assert_allclose(found, shape(points), atol=5e-3)


def test_surfaces_need_both_signs(
    user_errors: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for values, message in [
        (np.ones((3, 3, 3)), "both signs"),
        (np.ones((3, 3, 4)), r"\(n, n, n\)"),
        (np.full((3, 3, 3), np.nan), "finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            surfaces.extract_surface(values)
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(ImportError, match="Install scikit-image"):
        surfaces.extract_surface(np.linspace(-1, 1, 27).reshape(3, 3, 3))


def test_metrics_of_equal_and_of_moved_shapes(user_errors: None) -> None:
    grid = surfaces.grid_points(64)
    ball = EXACT["ball"](grid)
    assert surfaces.intersection_over_union(ball, ball) == 1
    smaller = shapes.ball_distance(grid, radius=0.3)
    # An eighth of the volume, up to the cells that the surface cuts.
    found = surfaces.intersection_over_union(ball, smaller)
    assert found == surfaces.intersection_over_union(smaller, ball)
    np.testing.assert_allclose(found, 1 / 8, rtol=0.02)
    assert surfaces.intersection_over_union(np.ones(3), np.ones(3)) == 1
    points = np.random.default_rng(0).normal(size=(500, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert surfaces.chamfer_distance(points, points) == 0
    np.testing.assert_allclose(surfaces.chamfer_distance(points, 3 * points), 2)
    with pytest.raises(ValueError, match="one grid"):
        surfaces.intersection_over_union(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="not empty"):
        surfaces.chamfer_distance(points, points[:0])
