"""Triangle meshes: files, points of the surface, signed distances."""

from __future__ import annotations

import itertools
import os
import pathlib
import zipfile
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from eqjax._core._checks import check_condition, check_size


class Mesh(NamedTuple):
    """A surface of triangles.

    Attributes:
        vertices: Corners, (vertices, 3), float64.
        triangles: Three indices of vertices each, (triangles, 3), counterclockwise as
            seen from outside.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    triangles: Int[np.ndarray, "triangles 3"]


def read_mesh(path: str | os.PathLike[str]) -> Mesh:
    r"""Reads a triangle mesh from an OBJ or an npz file.

    Of an OBJ file the lines `v x y z` and `f a b c ...` are read: indices from 1 or,
    negative, from the end, each maybe followed by /texture/normal; polygons are cut
    into triangles from their first corner. An npz file holds `vertices`
    (vertices, 3) and `triangles`, `faces` or `simplices` (triangles, 3), from 0.

    Args:
        path: File that ends in .obj or .npz.

    Returns:
        The mesh.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind or damaged, holds no triangles, or
            an index or a coordinate that is none.

    Example:
        >>> import pathlib, tempfile
        >>> from eqjax.data import read_mesh
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "square.obj"
        ...     _ = path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4")
        ...     mesh = read_mesh(path)
        >>> mesh.triangles.tolist()
        [[0, 1, 2], [0, 2, 3]]

    References:
        Wavefront, "Advanced Visualizer manual" (1995), appendix B1, "Object files".
    """
    path = pathlib.Path(path)
    if path.suffix.lower() == ".obj":
        vertices, triangles = _read_obj(path)
    elif path.suffix.lower() == ".npz":
        vertices, triangles = _read_npz(path)
    else:
        raise ValueError(
            f"`path` must end in .obj or .npz, got {path.name}. Convert the mesh."
        )
    check_condition(
        vertices.ndim == 2
        and vertices.shape[1] == 3
        and triangles.ndim == 2
        and triangles.shape[1] == 3
        and triangles.dtype.kind in "iu"
        and len(triangles) > 0,
        f"{path} must hold vertices (vertices, 3) and indices of triangles "
        f"(triangles, 3), got shapes {vertices.shape} and {triangles.shape}.",
    )
    check_condition(
        bool(np.all(np.isfinite(vertices))),
        f"{path} must hold finite vertices, got NaN or infinite ones.",
    )
    check_condition(
        bool(triangles.min() >= 0 and triangles.max() < len(vertices)),
        f"{path} must hold indices of its {len(vertices)} vertices, got "
        f"{triangles.min()} .. {triangles.max()} (counted from 0).",
    )
    return Mesh(vertices.astype(np.float64), triangles.astype(np.int64))


def fit_mesh(mesh: Mesh, *, radius: float = 0.9) -> Mesh:
    """The mesh moved and scaled so that the ball of `radius` about 0 just holds it.

    The center of its bounding box becomes the origin.

    Args:
        mesh: A mesh.
        radius: Largest distance of a vertex from the origin.

    Returns:
        The scaled mesh.

    Raises:
        ValueError: If all vertices coincide.
    """
    used = mesh.vertices[np.unique(mesh.triangles)]
    centered = mesh.vertices - (used.min(0) + used.max(0)) / 2
    size = np.linalg.norm(centered[np.unique(mesh.triangles)], axis=1).max()
    check_condition(
        bool(size > 0), "`mesh` must have extent, but all vertices coincide."
    )
    return mesh._replace(vertices=centered * (radius / size))


def sample_surface(
    mesh: Mesh, num_points: int, *, seed: int
) -> Float[np.ndarray, "num_points 3"]:
    """Points drawn uniformly from the surface of a mesh.

    Args:
        mesh: A mesh of positive area.
        num_points: Number of points.
        seed: Seed of the generator.

    Returns:
        The points.

    Raises:
        ValueError: If the area is zero.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import Mesh, sample_surface
        >>> mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]))
        >>> sample_surface(mesh, 4, seed=0).sum(axis=1).round(6).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    check_size("num_points", num_points)
    rng = np.random.default_rng(seed)
    corners = mesh.vertices[mesh.triangles]
    sides = corners[:, 1:] - corners[:, :1]
    areas = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    check_condition(bool(areas.sum() > 0), "`mesh` must have an area, got zero.")
    chosen = rng.choice(len(areas), num_points, p=areas / areas.sum())
    weights = rng.uniform(size=(2, num_points, 1))
    # The half of the parallelogram beyond the triangle is turned back into it.
    weights = np.where(weights.sum(0) > 1, 1 - weights, weights)
    moved = corners[chosen, 0] + weights[0] * sides[chosen, 0]
    return moved + weights[1] * sides[chosen, 1]


def mesh_distance(
    mesh: Mesh,
    points: Float[np.ndarray, "points 3"],
    *,
    chunk_size: int = 200_000,
) -> Float[np.ndarray, " points"]:
    """Signed distance from a surface of triangles, negative inside, exact in float64.

    The size is the distance from the closest point of all triangles; those whose
    bounding balls are too far off are left out. A point is inside where the winding
    number, the solid angles of the triangles over 4 pi, is above 1/2: exact for closed
    surfaces, and sensible for surfaces with holes. Points beyond the bounding box are
    outside. A point costs about as many operations as there are triangles, times 60.

    Args:
        mesh: A mesh with triangles counterclockwise as seen from outside.
        points: Where.
        chunk_size: Pairs of point and triangle in memory at once.

    Returns:
        Distances.

    Raises:
        ValueError: If the points have another shape or are not finite.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import Mesh, mesh_distance
        >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
        >>> faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
        >>> x = np.array([[0.1, 0.2, 0.2], [-2.0, 0.1, 0.1]])
        >>> mesh_distance(Mesh(corners, faces), x).round(6).tolist()
        [-0.1, 2.0]

    References:
        Ericson, "Real-time collision detection" (2005), section 5.1.5; van Oosterom,
        Strackee, "The solid angle of a plane triangle" (1983), equation 8; Jacobson,
        Kavan, Sorkine-Hornung, "Robust inside-outside segmentation using generalized
        winding numbers" (2013).
    """
    check_size("chunk_size", chunk_size)
    check_condition(
        points.ndim == 2 and points.shape[1] == 3 and bool(np.isfinite(points).all()),
        f"`points` must be finite and of shape (points, 3), got {points.shape}.",
    )
    points = points.astype(np.float64)
    size = _distances(mesh, points, chunk_size)
    corners = mesh.vertices[np.unique(mesh.triangles)]
    near = np.all((points >= corners.min(0)) & (points <= corners.max(0)), axis=1)
    inside = _winding_numbers(mesh, points[near], chunk_size) > 0.5
    size[near] = np.where(inside, -size[near], size[near])
    return size


def _distances(mesh: Mesh, points: np.ndarray, chunk_size: int) -> np.ndarray:
    """Distances from the closest point of the surface."""
    # Imported here: scipy comes with jax, but takes a while to load.
    from scipy.spatial import KDTree

    corners = mesh.vertices[mesh.triangles]
    centers = corners.mean(axis=1)
    reach = np.linalg.norm(corners - centers[:, None], axis=-1).max()
    tree = KDTree(centers)
    # The closest triangle is no farther than the triangle of the closest center,
    # whose center lies on it; triangles farther by `reach` cannot be closer.
    bounds = tree.query(points)[0] * (1 + 1e-12) + reach
    counts = tree.query_ball_point(points, bounds, return_length=True)
    found = np.empty(len(points))
    stops = np.searchsorted(
        np.cumsum(counts), np.arange(chunk_size, counts.sum(), chunk_size)
    )
    for rows in np.split(np.arange(len(points)), np.unique(stops + 1)):
        if len(rows) == 0:
            continue
        near = tree.query_ball_point(points[rows], bounds[rows])
        starts = np.concatenate([[0], np.cumsum(counts[rows])[:-1]])
        pairs = np.concatenate([np.asarray(one, np.int64) for one in near])
        from_corner = np.repeat(points[rows], counts[rows], axis=0) - corners[pairs, 0]
        squares = _squared_distances(from_corner, corners[pairs])
        found[rows] = np.sqrt(np.minimum.reduceat(squares, starts))
    return found


def _squared_distances(p: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Squared distances of points from triangles; p is relative to the first corner."""

    def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nk->n", a, b)

    def to_segment(q: np.ndarray, side: np.ndarray) -> np.ndarray:
        length = dot(side, side)
        t = np.clip(dot(q, side) / np.where(length > 0, length, 1), 0, 1)
        rest = q - t[:, None] * side
        return dot(rest, rest)

    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(u, v)
    area = dot(normal, normal)
    edges = np.minimum(to_segment(p, u), to_segment(p, v))
    edges = np.minimum(edges, to_segment(p - u, v - u))
    # Barycentric coordinates of the foot of the perpendicular.
    beta, gamma = dot(np.cross(p, v), normal), dot(np.cross(u, p), normal)
    inside = (beta >= 0) & (gamma >= 0) & (beta + gamma <= area) & (area > 0)
    return np.where(inside, dot(p, normal) ** 2 / np.where(inside, area, 1), edges)


def _winding_numbers(mesh: Mesh, points: np.ndarray, chunk_size: int) -> np.ndarray:
    """Sums of solid angles over 4 pi."""
    first, second, third = mesh.triangles.T
    found = np.empty(len(points))
    step = max(1, chunk_size // max(len(mesh.triangles), len(mesh.vertices)))
    for start in range(0, len(points), step):
        x, y, z = (mesh.vertices[:, None] - points[start : start + step]).T
        length = np.sqrt(x * x + y * y + z * z)
        x1, x2, x3 = x[:, first], x[:, second], x[:, third]
        y1, y2, y3 = y[:, first], y[:, second], y[:, third]
        z1, z2, z3 = z[:, first], z[:, second], z[:, third]
        l1, l2, l3 = length[:, first], length[:, second], length[:, third]
        volume = x1 * (y2 * z3 - z2 * y3) + y1 * (z2 * x3 - x2 * z3)
        volume += z1 * (x2 * y3 - y2 * x3)
        scale = l1 * l2 * l3 + (x1 * x2 + y1 * y2 + z1 * z2) * l3
        scale += (x2 * x3 + y2 * y3 + z2 * z3) * l1
        scale += (x3 * x1 + y3 * y1 + z3 * z1) * l2
        angles = 2 * np.arctan2(volume, scale)
        found[start : start + step] = angles.sum(axis=1) / (4 * np.pi)
    return found


def _read_obj(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of an OBJ file."""
    vertices: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be a text file, but: {error}.") from error
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].split()
        if not words or words[0] not in ("v", "f"):
            continue
        try:
            if words[0] == "v":
                vertices.append([float(word) for word in words[1:4]])
                if len(words) < 4:
                    raise ValueError("a vertex needs three coordinates")
                continue
            corners = [int(word.split("/")[0]) for word in words[1:]]
            if len(corners) < 3 or 0 in corners:
                raise ValueError("a face needs three corners, counted from 1")
        except ValueError as error:
            raise ValueError(
                f"Line {number} of {path} is no vertex or face: {error}."
            ) from error
        indices = [k - 1 if k > 0 else len(vertices) + k for k in corners]
        triangles += [(indices[0], b, c) for b, c in itertools.pairwise(indices[1:])]
    check_condition(bool(triangles), f"{path} must hold faces (`f a b c`), got none.")
    return np.array(vertices).reshape(-1, 3), np.array(triangles)


def _read_npz(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of an npz file."""
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, AttributeError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is no readable npz file: {error}.") from error
    names = [n for n in ("triangles", "faces", "simplices") if n in arrays]
    check_condition(
        "vertices" in arrays and bool(names),
        f"{path} must hold `vertices` and one of `triangles`, `faces`, `simplices`, "
        f"got {', '.join(arrays) or 'nothing'}.",
    )
    return arrays["vertices"], arrays[names[0]]
