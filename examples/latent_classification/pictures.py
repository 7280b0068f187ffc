"""The picture: digits rebuilt from latents, with their poses, and accuracies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from latents import LatentField
from matplotlib.figure import Figure
from training import Pixels

from eqjax import fields


def draw(
    field: LatentField,
    weights: Any,
    pixels: Pixels,
    latents: dict[str, Any],
    accuracies: dict[str, dict[int, float]],
    path: Path,
) -> None:
    """Digits rebuilt from latents, poses as arrows; accuracy against the angle.

    Args:
        field: With poses in SE(2).
        weights: Of the field.
        pixels: Where the fields are shown.
        latents: By the title of their panel.
        accuracies: By network and angle.
        path: Of the picture.
    """
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    widths = [*[1] * len(latents), 2]
    *panels, right = figure.subplots(1, len(widths), width_ratios=widths)
    side, half = round(len(pixels.inside) ** 0.5), pixels.half_width
    for axes, (title, z) in zip(panels, latents.items(), strict=True):
        prepared = field.decoder.prepare(weights["decoder"], z)
        image = np.full(len(pixels.inside), np.nan)
        image[pixels.inside] = fields.evaluate(
            field.decoder, weights["decoder"], prepared, pixels.xs
        )[:, 0]
        extent = (-half, half, -half, half)
        image = image.reshape(side, side)
        axes.imshow(image, extent=extent, cmap="gray_r", vmin=0, vmax=1.5)
        (x, y), angle = np.asarray(z["pose"][0]).T, np.asarray(z["pose"][1])
        axes.quiver(
            x,
            y,
            np.cos(angle),
            np.sin(angle),
            np.arange(len(x)),
            cmap="hsv",
            scale=9,
            width=0.014,
            clim=(0, len(x)),
            pivot="mid",
        )
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10)
    for name, row in accuracies.items():
        angles = sorted(row)
        values = [100 * row[angle] for angle in angles]
        right.plot([*angles, 360], [*values, values[0]], "o-", ms=3, label=name)
    right.set(
        xlabel="angle of the test images (degrees)",
        ylabel="accuracy (%)",
        ylim=(0, 100),
        xticks=range(0, 361, 90),
    )
    right.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    figure.savefig(path, dpi=150)
