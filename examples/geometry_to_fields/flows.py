"""Flows about airfoils: made, read, compared, and predicted by a linear map."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eqjax import data

CELLS = 64
# Part of the plane where the shape is looked at.
LOOK = np.array([0.7, 0.35])


class Flows(NamedTuple):
    """Flows about some shapes; the first axis is the shape.

    Attributes:
        inflow: Velocity far away, (shapes, 2).
        shape_points: Where the shape is looked at, (shapes, points, 2).
        distance: Signed distances there, (shapes, points, 1).
        points: (x, y, signed distance) outside, to train on, (shapes, points, 3).
        values: (u, v, cp) there.
        test_points: The same, where errors are measured; those inside do not count.
        test_values: (u, v, cp) there, 0 inside.
        outline: The shape, (shapes, corners, 2).
    """

    inflow: Any
    shape_points: Any
    distance: Any
    points: Any
    values: Any
    test_points: Any
    test_values: Any
    outline: Any


def make_flows(num: int, num_points: int, seed: int) -> Flows:
    """Potential flows about Joukowski airfoils.

    Half of the points to train on are near the outline, and errors are measured on a
    grid of the square.
    """
    rng = np.random.default_rng(seed)
    return _stack([_make_flow(rng, num_points) for _ in range(num)])


def read_flows(folder: Path, num_points: int, seed: int) -> list[Flows]:
    """Training, validation and test flows from files of AirfRANS; see the README.

    A fifth of the training files is for validation. Lengths are in chords about the
    middle of the chord, velocities in 50 m/s.
    """
    paths = [sorted((folder / name).glob("*.npy")) for name in ("train", "test")]
    if not all(paths):
        raise FileNotFoundError(
            f"`data` {folder} must hold train/*.npy and test/*.npy; see the README."
        )
    rng = np.random.default_rng(seed)
    train = [paths[0][k] for k in rng.permutation(len(paths[0]))]
    num_validation = max(1, len(train) // 5)
    parts = [train[num_validation:], train[:num_validation], paths[1]]
    return [_stack([_read_flow(rng, p, num_points) for p in part]) for part in parts]


def _stack(rows: list[tuple[np.ndarray, ...]]) -> Flows:
    columns = zip(*rows, strict=True)
    return Flows(*(np.stack(column).astype(np.float32) for column in columns))


def _make_flow(rng: np.random.Generator, num_points: int) -> tuple[np.ndarray, ...]:
    airfoil = data.Airfoil(rng.uniform(0.06, 0.18), rng.uniform(-0.02, 0.1))
    speed, angle = rng.uniform(0.8, 1.2), np.deg2rad(rng.uniform(-6, 10))
    inflow = speed * np.array([np.cos(angle), np.sin(angle)])
    outline = data.airfoil_outline(airfoil, 200)

    def values(x: np.ndarray) -> np.ndarray:
        flow = data.airfoil_flow(airfoil, inflow, x)
        return np.concatenate([flow.velocity, flow.pressure[:, None]], axis=1)

    half = num_points // 2
    near = outline[rng.integers(200, size=8 * half)]
    near = near + 0.05 * rng.normal(size=near.shape)
    chosen = []
    for x in (near, rng.uniform(-1, 1, (4 * half, 2))):
        d = data.airfoil_distance(airfoil, x)
        chosen.append(np.column_stack([x, d])[d > 0.002][:half])
    points = np.concatenate(chosen)
    grid = data.grid_points(CELLS, dim=2).reshape(-1, 2)
    grid = np.column_stack([grid, data.airfoil_distance(airfoil, grid)])
    outside = grid[:, 2] > 0
    grid_values = np.zeros((len(grid), 3))
    grid_values[outside] = values(grid[outside, :2])
    look = data.grid_points(22, dim=2)[:, ::2].reshape(-1, 2) * LOOK
    distance = data.airfoil_distance(airfoil, look)[:, None]
    trained = values(points[:, :2])
    return inflow, look, distance, points, trained, grid, grid_values, outline


def _read_flow(
    rng: np.random.Generator, path: Path, num_points: int
) -> tuple[np.ndarray, ...]:
    flow = data.read_airfrans(path)
    speed = np.linalg.norm(flow.inflow)
    x = flow.points - [0.5, 0.0]
    pressure = 2 * flow.pressure[:, None] / speed**2
    points = np.column_stack([x, flow.distance])
    values = np.column_stack([flow.velocity / 50, pressure])

    def choose(where: np.ndarray, num: int) -> np.ndarray:
        return rng.choice(np.flatnonzero(where), num)

    square = np.all(np.abs(x) <= 1, axis=1)
    look = choose(np.all(np.abs(x) <= LOOK, axis=1), 242)
    rows = choose(square, num_points)
    test = choose(square & (flow.distance > 0), CELLS**2)
    outline = x[flow.on_surface]
    order = np.argsort(np.arctan2(outline[:, 1], outline[:, 0]))
    corners = order[np.linspace(0, len(order) - 1, 200).astype(int)]
    shape = x[look], flow.distance[look, None]
    trained, tested = (points[rows], values[rows]), (points[test], values[test])
    return flow.inflow / 50, *shape, *trained, *tested, outline[corners]


def shape_errors(
    found: np.ndarray,
    flows: Flows,
    *,
    within: float = np.inf,
    channels: slice = slice(None),
) -> np.ndarray:
    """Relative L2 error of each shape, outside of its body and so near to it."""
    distance = flows.test_points[..., 2:]
    where = (distance > 0) & (distance < within)
    gap = np.where(where, found - flows.test_values, 0)[..., channels]
    truth = np.where(where, flows.test_values, 0)[..., channels]
    sizes = [np.linalg.norm(a.reshape(len(a), -1), axis=1) for a in (gap, truth)]
    return sizes[0] / sizes[1]


def errors(found: np.ndarray, flows: Flows) -> dict[str, float]:
    """Relative L2 errors outside of the bodies, means over shapes.

    Of (u, v, cp) as one vector, of each alone, and of the vector within 0.1 of the
    body.
    """
    options: dict[str, dict[str, Any]] = {"all": {}}
    for k, name in enumerate(("u", "v", "cp")):
        options[name] = {"channels": slice(k, k + 1)}
    options["near"] = {"within": 0.1}
    return {
        name: float(np.mean(shape_errors(found, flows, **option)))
        for name, option in options.items()
    }


def pca_ridge(
    train: Flows, validation: Flows, test: Flows, *, squares: bool
) -> tuple[dict[str, float], dict[str, Any]]:
    """Errors of a ridge regression between principal components.

    Of signed distances on the grid, with the inflow, to (u, v, cp) on the grid. With
    squares, products of two inputs are inputs too. Components and penalty are chosen on
    the validation shapes.
    """

    def distances(flows: Flows) -> np.ndarray:
        return flows.test_points[..., 2].astype(np.float64)

    fields = train.test_values.reshape(len(train.inflow), -1).astype(np.float64)
    mean_shape, mean_field = distances(train).mean(0), fields.mean(0)
    shape_axes = np.linalg.svd(distances(train) - mean_shape, full_matrices=False)[2]
    field_axes = np.linalg.svd(fields - mean_field, full_matrices=False)[2]
    targets = (fields - mean_field) @ field_axes.T

    def inputs(flows: Flows, num: int) -> np.ndarray:
        shape = (distances(flows) - mean_shape) @ shape_axes[:num].T
        return np.concatenate([shape, flows.inflow], axis=1)

    def features(flows: Flows, num: int) -> np.ndarray:
        known = inputs(train, num)
        x = (inputs(flows, num) - known.mean(0)) / known.std(0)
        parts = [np.ones((len(x), 1)), x]
        if squares:
            rows, columns = np.triu_indices(x.shape[1])
            parts.append(x[:, rows] * x[:, columns])
        return np.concatenate(parts, axis=1)

    def predict(flows: Flows, num: int, weights: np.ndarray) -> np.ndarray:
        found = features(flows, num) @ weights @ field_axes + mean_field
        return found.reshape(flows.test_values.shape)

    trials = []
    for num, penalty in itertools.product((2, 4, 8, 16), (1e-6, 1e-4, 1e-2, 1.0)):
        a = features(train, num)
        squared = a.T @ a + penalty * np.eye(a.shape[1])
        weights = np.linalg.solve(squared, a.T @ targets)
        error = errors(predict(validation, num, weights), validation)["all"]
        trials.append((error, num, penalty, weights))
    _, num, penalty, weights = min(trials, key=lambda trial: trial[0])
    chosen = {"components of the shape": num, "penalty": penalty}
    return errors(predict(test, num, weights), test), chosen
