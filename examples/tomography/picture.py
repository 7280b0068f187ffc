"""True and recovered models, ray coverage and misfits in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def draw(
    true: np.ndarray,
    inversions: dict[str, Any],
    coverage: dict[str, np.ndarray],
    rings: list[np.ndarray],
    path: Path,
) -> None:
    """Writes the picture.

    Args:
        true: log v at the nodes.
        inversions: By name, noise-free first.
        coverage: Ray coverage by the same names.
        rings: Positions of sources and of receivers.
        path: The file.
    """
    figure = Figure(figsize=(13, 3.3), dpi=130, layout="constrained")
    axes = figure.subplots(1, 5, width_ratios=[1, 1, 1, 1, 0.9])
    limit = 100 * np.abs(true).max()
    models = {"true": true}
    models |= {name: found.unknowns for name, found in inversions.items()}
    for ax, (name, log_v) in zip(axes, models.items(), strict=False):
        ax.imshow(
            100 * log_v.T,
            origin="lower",
            extent=(0, 1, 0, 1),
            cmap="RdBu",
            vmin=-1.2 * limit,
            vmax=1.2 * limit,
        )
        ax.set_title(name.replace("_", "-"), fontsize=11)
    figure.colorbar(axes[0].images[0], ax=axes[:3], label="change of v, %", shrink=0.85)
    rays = axes[3].imshow(
        coverage["noise_free"].T, origin="lower", extent=(0, 1, 0, 1), cmap="viridis"
    )
    axes[3].set_title("ray coverage", fontsize=11)
    figure.colorbar(rays, ax=axes[3], label="length of rays per node", shrink=0.85)
    for ax in axes[:4]:
        ax.plot(*rings[0].T, "*", color="#E69F00", mec="#262626", mew=0.4, ms=7)
        ax.plot(*rings[1].T, "v", color="white", mec="#262626", mew=0.6, ms=4.5)
        ax.set_xticks([0, 1])
        ax.set_yticks([0, 1])
    for (name, found), color in zip(
        inversions.items(), ("#0072B2", "#D55E00"), strict=True
    ):
        axes[4].semilogy(
            found.misfits, "o-", color=color, ms=4, label=name.replace("_", "-")
        )
    axes[4].axhline(1, color="#8a8a8a", lw=0.8, ls="--")
    axes[4].set_title("misfit", fontsize=11)
    axes[4].set_xlabel("Gauss-Newton step")
    axes[4].set_ylabel("mean square / variance")
    axes[4].legend(frameon=False, fontsize=9)
    figure.savefig(path)
