"""Maps of located events with their regions, and what the regions hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, COLORS = "#262626", ("#0072B2", "#D55E00", "#CC79A7", "#009E73")
NUM_SHOWN = 25


def draw(
    speeds: np.ndarray,
    size: float,
    stations: np.ndarray,
    events: np.ndarray,
    located: dict[str, Any],
    rows: dict[str, dict],
    out: Path,
) -> None:
    """Writes location.png.

    Args:
        speeds: v at the nodes.
        size: Of the box, in km.
        stations: Their positions.
        events: True positions.
        located: Locations by the name of the run; the first two are mapped.
        rows: Measured numbers by the same names.
        out: The folder.
    """
    figure = Figure(figsize=(13, 4.2), dpi=130, layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, (name, location) in zip(axes, [*located.items()][:2], strict=False):
        if name.startswith("homogeneous"):
            shown = np.full_like(speeds, 1 / np.mean(1 / speeds))
        else:
            shown = speeds
        ax.imshow(
            shown.T,
            origin="lower",
            extent=(0, size, 0, size),
            cmap="RdBu",
            vmin=speeds.min(),
            vmax=speeds.max(),
            alpha=0.75,
        )
        _map(ax, stations, events[:NUM_SHOWN], location)
        ax.set_title(name, fontsize=11)
        ax.set_xlabel("km")
    figure.colorbar(axes[0].images[0], ax=axes[:2], label="v, km/s", shrink=0.8)
    for (name, row), color in zip(rows.items(), COLORS, strict=True):
        share = (np.arange(len(row["levels"])) + 1) / len(row["levels"])
        axes[2].step(row["levels"], share, color=color, lw=1.6, label=name)
    axes[2].plot([0, 1], [0, 1], color=INK, lw=0.8, ls="--")
    axes[2].axvline(0.9, color="#8a8a8a", lw=0.6)
    axes[2].set(xlabel="region's probability", ylabel="share of events inside")
    axes[2].set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes[2].legend(frameon=False, fontsize=9, loc="upper left")
    figure.savefig(out / "location.png")


def _map(ax: Axes, stations: np.ndarray, events: np.ndarray, location: Any) -> None:
    angles = np.linspace(0, 2 * np.pi, 73)
    circle = np.sqrt(-2 * np.log(0.1)) * np.stack([np.cos(angles), np.sin(angles)])
    for event, mean, covariance in zip(
        events, location.mean, location.covariance, strict=False
    ):
        edge = mean[:, None] + np.linalg.cholesky(covariance) @ circle
        ax.plot(*edge, color=INK, lw=0.9)
        ax.plot(*np.stack([event, mean], -1), color=INK, lw=0.5)
    ax.plot(*events.T, "*", color="#E69F00", mec=INK, mew=0.3, ms=5)
    ax.plot(*stations.T, "v", color="white", mec=INK, mew=0.8, ms=6)
