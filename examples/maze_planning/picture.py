"""The picture of ways through mazes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def draw(walls: np.ndarray, plans: list[Any], half: float, path: Path) -> None:
    """Ways in the first mazes of [-half, half]^2, with arrows for the headings."""
    columns = min(3, len(plans))
    rows = min(2, -(-len(plans) // columns))
    figure = Figure(figsize=(3.2 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, maze, found in zip(panels, walls, plans, strict=False):
        edge = half + half / (max(maze.shape) - 1)
        axes.imshow(
            maze.T,
            origin="lower",
            cmap="Greys",
            vmax=1.6,
            extent=tuple(edge * n for n in (-1, 1, -1, 1)),
        )
        for i, (points, valid) in enumerate(found["ways"]):
            points = points[valid]
            axes.plot(points[:, 0], points[:, 1], color=f"C{i}", linewidth=1.2)
            some = points[:: max(1, len(points) // 12)]
            axes.quiver(
                some[:, 0],
                some[:, 1],
                np.cos(some[:, 2]),
                np.sin(some[:, 2]),
                color=f"C{i}",
                scale=26,
                width=0.007,
            )
        axes.plot(*found["goal"][:2], marker="*", color="black", markersize=9)
        axes.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=150)
