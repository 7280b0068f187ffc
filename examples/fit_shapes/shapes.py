"""Shapes as tables of signed distances, and pictures of their surfaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import LightSource
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from eqjax import data

CLAMP = 0.1


class Shape(NamedTuple):
    """A shape and samples of it.

    Attributes:
        distance: From points (n, 3) to signed distances.
        points: Samples in [-1, 1]^3, half of them within 0.05 of the surface.
        values: Signed distances there over 0.1, clipped to [-1, 1].
    """

    distance: Callable[[np.ndarray], np.ndarray]
    points: np.ndarray
    values: np.ndarray


def random_shapes(num: int, num_points: int, *, first_seed: int) -> list[Shape]:
    """Compositions of balls, boxes, rings and capsules."""
    shapes = []
    for seed in range(first_seed, first_seed + num):
        distance = data.random_shape(seed)
        samples = data.sample_distances(distance, num_points, clamp=CLAMP, seed=seed)
        shapes.append(_shape(distance, *samples))
    return shapes


def read_shapes(paths: Sequence[Path], num_points: int, seed: int) -> list[Shape]:
    """Meshes of files, scaled to the ball of radius 0.9."""
    shapes = []
    for path in paths:
        mesh = data.fit_mesh(data.read_mesh(path))
        distance = partial(data.mesh_distance, mesh)
        surface = data.sample_surface(mesh, num_points, seed=seed)
        samples = data.sample_distances(
            distance, num_points, surface=surface, clamp=CLAMP, seed=seed
        )
        shapes.append(_shape(distance, *samples))
    return shapes


def _shape(distance: Any, points: np.ndarray, values: np.ndarray) -> Shape:
    return Shape(
        distance, points.astype(np.float32), (values / CLAMP).astype(np.float32)
    )


def compare(found: np.ndarray, true: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Metrics of values on a grid; no surface is as far off as the cube is wide."""
    result = {"iou": data.intersection_over_union(found, true), "chamfer": 2 * 3**0.5}
    if found.min() < 0 < found.max():
        surfaces = [
            data.sample_surface(data.extract_surface(values), 100_000, seed=seed + k)
            for k, values in enumerate((found, true))
        ]
        result["chamfer"] = data.chamfer_distance(*surfaces)
    return result


def draw_surfaces(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], path: Path
) -> None:
    """One row of surfaces per shape, from values on grids."""
    figure = Figure(figsize=(2.6 * len(titles), 2.4 * len(rows)), layout="constrained")
    light = LightSource(azdeg=225, altdeg=55)
    for i, row in enumerate(rows):
        for j, values in enumerate(row):
            axes: Any = figure.add_subplot(
                len(rows), len(titles), i * len(titles) + j + 1, projection="3d"
            )
            if values.min() < 0 < values.max():
                mesh = data.extract_surface(values)
                axes.add_collection3d(
                    Poly3DCollection(
                        mesh.vertices[mesh.triangles],
                        facecolors=("#6aa7c8", "#d99a5b", "#8dbb7a")[j % 3],
                        shade=True,
                        lightsource=light,
                        antialiased=False,
                    )
                )
            axes.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-0.8, 0.8))
            axes.set_box_aspect((1, 1, 1), zoom=1.5)
            axes.set_axis_off()
            axes.view_init(elev=25, azim=-60)
            if i == 0:
                axes.set_title(titles[j], fontsize=10)
    figure.savefig(path, dpi=130)
