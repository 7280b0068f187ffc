"""The picture of paths along vessels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from images import Image
from matplotlib.figure import Figure

COLORS = {"plane": "#E69F00", "with_way_back": "#CC79A7", "ahead_only": "#0072B2"}


def draw(images: list[Image], found: list[Any], path: Path) -> None:
    """For the first images, the paths of each method in a row of panels."""
    columns = min(4, len(images))
    figure = Figure(figsize=(2.7 * columns, 8.4), layout="constrained")
    panels = figure.subplots(len(COLORS), columns, squeeze=False)
    for row, (name, color) in zip(panels, COLORS.items(), strict=True):
        for axes, image, rows in zip(row, images, found, strict=False):
            axes.imshow(image.pixels.T, origin="lower", cmap="Greys", vmax=2.2)
            for number, line in enumerate(image.lines):
                axes.plot(*line[[0, -1]].T, "o", color="black", markersize=3)
                paths = [r["path"] for r in rows if r["method"] == name]
                style = "-" if number == 0 else "--"
                axes.plot(*paths[number].T, style, color=color, linewidth=1.6)
            limits = (-0.5, len(image.pixels) - 0.5)
            axes.set(xticks=[], yticks=[], xlim=limits, ylim=limits)
        row[0].set_ylabel(name.replace("_", " "))
    figure.savefig(path, dpi=130)
