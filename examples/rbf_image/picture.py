"""The photograph, its two fits, and where the kernels stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

FRAME = (-1, 1, -1, 1)


def ellipses(kernels: Any) -> dict[str, np.ndarray]:
    """Where each kernel has q = 1: centers, axes, angle of the first, in degrees."""
    packed = np.asarray(kernels["factor"], np.float64)
    lower = np.zeros((len(packed), 2, 2))
    lower[:, 0, 0], lower[:, 1, 1] = np.logaddexp(0, packed[:, [0, 2]]).T
    lower[:, 1, 0] = packed[:, 1]
    values, vectors = np.linalg.eigh(lower @ lower.transpose(0, 2, 1))
    return {
        "widths": 2 / np.sqrt(values[:, 0]),
        "heights": 2 / np.sqrt(values[:, 1]),
        "angles": np.rad2deg(np.arctan2(vectors[:, 1, 0], vectors[:, 0, 0])),
        "offsets": np.asarray(kernels["center"]),
    }


def draw(
    image: np.ndarray, grid: np.ndarray, found: np.ndarray, kernels: Any, out: Path
) -> None:
    """Whole above, a part below; the kernels at the right."""
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    panels = figure.subplots(2, 4)
    part = (-0.45, 0.15, -0.25, 0.35)
    shape = ellipses(kernels)
    for row, view, linewidth in zip(panels, (FRAME, part), (0.3, 0.7), strict=True):
        for axes, picture in zip(row[:3], (image, grid, found), strict=True):
            axes.imshow(np.clip(picture, 0, 1), extent=FRAME, interpolation="nearest")
        row[3].imshow(0.5 + 0.5 * image, extent=FRAME, interpolation="nearest")
        row[3].add_collection(
            EllipseCollection(
                units="xy",
                transOffset=row[3].transData,
                facecolors="none",
                edgecolors="#0072B2",
                linewidths=linewidth,
                **shape,
            )
        )
        for axes in row:
            axes.set(xticks=[], yticks=[], xlim=view[:2], ylim=view[2:])
    names = ("photograph", "bilinear grid", "kernels", "where a kernel is exp(-1/2)")
    for axes, name in zip(panels[0], names, strict=True):
        axes.set_title(name)
    figure.savefig(out / "fits.png", dpi=150)
