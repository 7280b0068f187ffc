"""Colors and sizes shared by all pictures, set per artist and never globally."""

from __future__ import annotations

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

INK = "#262626"
FAINT = "#8a8a8a"
# Okabe & Ito (2008), told apart with every common kind of color vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "P")
TITLE_SIZE, LABEL_SIZE, TICK_SIZE, SMALL_SIZE = 12.0, 10.0, 9.0, 8.0


def dark_part(name: str, *, upper: float) -> ListedColormap:
    """The part [0, upper] of a colormap, on which light lines stand out."""
    # A part of a perceptually uniform map is uniform too.
    samples = colormaps[name]([i * upper / 255 for i in range(256)])
    return ListedColormap(samples, name=f"{name}_dark")


def new_figure(width: float, height: float) -> Figure:
    """A figure outside of pyplot, so that nothing keeps it alive or shows it."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def clean_axes(axes: Axes) -> None:
    """Thin frame, outward ticks, one ink."""
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
        spine.set_color(FAINT)
    axes.tick_params(
        labelsize=TICK_SIZE,
        color=FAINT,
        labelcolor=INK,
        width=0.6,
        length=3,
        direction="out",
    )
    axes.xaxis.label.set(size=LABEL_SIZE, color=INK)
    axes.yaxis.label.set(size=LABEL_SIZE, color=INK)
