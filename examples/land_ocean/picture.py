"""Where models are wrong: all around, and seen from above the poles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from tasks import LABELS, NUM_COLORS

WRONG = np.array([0.84, 0.12, 0.0])


def flat_map(size: int) -> np.ndarray:
    """Unit vectors of the pixels of a map of longitude and latitude."""
    north, east = np.meshgrid(
        np.linspace(np.pi / 2, -np.pi / 2, size),
        np.linspace(-np.pi, np.pi, 2 * size, endpoint=False),
        indexing="ij",
    )
    radius = np.cos(north)
    return np.stack([radius * np.cos(east), radius * np.sin(east), np.sin(north)], -1)


def globe(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the pixels of a globe seen from above, and which show it."""
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(1, -1, size))
    squared = x * x + y * y
    points = np.stack([x, y, np.sqrt(np.maximum(1 - squared, 0))], -1)
    return points / np.sqrt(np.maximum(squared, 1))[..., None], squared <= 1


def draw(
    predictors: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    task: str,
    out: Path,
    size: int,
) -> None:
    """True labels, and where they are predicted wrongly."""
    colors = np.array([[0.80, 0.88, 0.94], [0.80, 0.78, 0.68]])
    if task == "checkerboard":
        turns = np.arange(NUM_COLORS)
        colors = 0.5 + 0.5 * np.asarray(colormaps["tab20"](turns))[:, :3]

    def paint(predict: Callable, points: np.ndarray) -> np.ndarray:
        rows = points.reshape(-1, 3)
        truth = LABELS[task](rows)
        right = (truth == predict(rows))[:, None]
        return np.where(right, colors[truth], WRONG).reshape(points.shape)

    figure = Figure(figsize=(9, 5), layout="constrained")
    panels = figure.subplots(len(predictors), 3, width_ratios=[2, 1, 1])
    north, shown = globe(size)
    for row, (name, predict) in zip(panels, predictors.items(), strict=True):
        flat = paint(predict, flat_map(size))
        row[0].imshow(flat, extent=(-180, 180, -90, 90), interpolation="nearest")
        row[0].set(xticks=range(-180, 181, 90), yticks=range(-90, 91, 45))
        row[0].set_title(f"{name}: errors in red")
        for axes, title, flip in zip(
            row[1:], ("north", "south"), ([1, 1, 1], [1, -1, -1]), strict=True
        ):
            image = paint(predict, north * flip)
            image[~shown] = 1.0
            axes.imshow(image, interpolation="nearest")
            axes.set_title(title)
            axes.set_axis_off()
    figure.savefig(out / "errors.png", dpi=150)
