"""A map of travel times: wavefronts and rays over the wave speed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from eqjax._core._checks import check_condition, check_shape
from eqjax.plot import _style

_RAY = "#ffb000"
_BACKGROUND = _style.dark_part("viridis", upper=0.75)


def travel_time_map(
    times: Float[np.ndarray, "nodes_x nodes_y"],
    extent: tuple[float, float, float, float],
    *,
    source: Sequence[float] | Float[np.ndarray, "2"] | None = None,
    rays: Sequence[Float[np.ndarray, "_ 2"]] = (),
    velocity: Float[np.ndarray, "nodes_x nodes_y"] | None = None,
    mask: Bool[np.ndarray, "nodes_x nodes_y"] | None = None,
    outline: Float[np.ndarray, "vertices 2"] | None = None,
    boundaries: Sequence[Float[np.ndarray, "_ 2"]] = (),
    levels: Sequence[float] | None = None,
    title: str | None = None,
    unit: str = "s",
    length_unit: str = "km",
    velocity_unit: str = "km/s",
) -> Figure:
    """Draws wavefronts at round times, over the wave speed if it is given.

    Node (i, j) lies at x = x_min + i (x_max - x_min) / (nodes_x - 1), and likewise y
    with j: arrays are indexed (x, y), as in `eqjax.eikonal`. Nodes that are not finite
    are left out. The figure belongs to no window: write it with `figure.savefig(path)`.

    Args:
        times: Travel times at the nodes, in `unit`.
        extent: `(x_min, x_max, y_min, y_max)` of the outermost nodes, in `length_unit`.
        source: Position of the source, drawn as a star.
        rays: Curves from receivers to the source, each `(points, 2)`.
        velocity: Wave speeds at the nodes, in `velocity_unit`, for the background; the
            times themselves are shown if it is left out.
        mask: True at the nodes to show; all by default.
        outline: Vertices of a closed curve, e.g. a circle. What lies outside is cut
            off, and a bar of length stands for the frame of the axes.
        boundaries: Curves drawn as thin lines, e.g. the discontinuities of a model.
        levels: Times of the wavefronts, increasing; about ten round ones by default.
        title: Text above the map.
        unit: Unit of the times.
        length_unit: Unit of lengths.
        velocity_unit: Unit of the wave speeds.

    Returns:
        The figure; the map is its first axes, the color bar its second.

    Raises:
        ValueError: If a shape does not fit, `extent` is empty, `levels` do not
            increase, or no node to show is finite.

    Example:
        >>> import numpy as np
        >>> from eqjax.plot import travel_time_map
        >>> x, y = np.meshgrid(np.linspace(0, 4, 41), np.linspace(0, 2, 21))
        >>> figure = travel_time_map(
        ...     np.hypot(x, y).T / 5.0, (0.0, 4.0, 0.0, 2.0), source=(0.0, 0.0)
        ... )
        >>> [axes.get_label() for axes in figure.axes][1]
        '<colorbar>'
    """
    check_shape("times", times, (None, None))
    check_condition(
        min(times.shape) >= 2,
        f"`times` must have at least 2 nodes along each axis, got {times.shape}.",
    )
    _check_extent(extent)
    remedy = "It must have the shape of `times`."
    if velocity is not None:
        check_shape("velocity", velocity, times.shape, remedy=remedy)
    if mask is not None:
        check_shape("mask", mask, times.shape, remedy=remedy)
    if source is not None:
        check_shape("source", np.asarray(source), (2,))
    if outline is not None:
        check_shape("outline", outline, (None, 2))
    for name, curves in (("rays", rays), ("boundaries", boundaries)):
        for i, curve in enumerate(curves):
            check_shape(f"{name}[{i}]", curve, (None, 2))
    shown = np.isfinite(times) if mask is None else mask & np.isfinite(times)
    check_condition(
        bool(np.any(shown)), "`times` must be finite at one node to show at least."
    )
    x = np.linspace(extent[0], extent[1], times.shape[0])
    y = np.linspace(extent[2], extent[3], times.shape[1])
    # The times that an outline leaves visible choose the levels.
    visible = shown
    if outline is not None:
        nodes = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
        visible = shown & Path(outline).contains_points(nodes).reshape(times.shape)
        visible = visible if np.any(visible) else shown
    seen = times[visible]
    if levels is None:
        steps = [1, 2, 2.5, 5, 10]
        levels = MaxNLocator(14, steps=steps).tick_values(seen.min(), seen.max())
        levels = [time for time in levels if 0 < time < seen.max()]
    check_condition(
        bool(np.all(np.diff(np.asarray(levels)) > 0)),
        f"`levels` must increase, got {list(levels)}.",
    )

    aspect = (extent[3] - extent[2]) / (extent[1] - extent[0])
    # A map of 5 inches along its longer side, with room for labels and color bar.
    width, height = (5.0, 5.0 * aspect) if aspect <= 1 else (5.0 / aspect, 5.0)
    figure = _style.new_figure(
        width + (1.6 if outline is None else 1.2),
        height + (0.6 if outline is None else 0.2) + (0.4 if title else 0.0),
    )
    axes = figure.add_subplot()
    values, label = (
        (times, f"travel time ({unit})")
        if velocity is None
        else (velocity, f"wave speed ({velocity_unit})")
    )
    values = np.where(shown & np.isfinite(values), values, np.nan)
    background = values[visible & np.isfinite(values)]
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    image = axes.imshow(
        values.T,
        origin="lower",
        extent=(x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y),
        cmap=_BACKGROUND,
        interpolation="bilinear",
        vmin=float(background.min()) if background.size else None,
        vmax=float(background.max()) if background.size else None,
        zorder=0,
    )
    clip = _frame(axes, extent, outline)
    image.set_clip_path(clip)
    _draw_wavefronts(axes, x, y, np.where(shown, times, np.nan), levels, clip)
    if len(boundaries):
        lines = LineCollection(
            [np.asarray(curve) for curve in boundaries],
            colors="white",
            linewidths=0.5,
            alpha=0.45,
            zorder=2,
        )
        axes.add_collection(lines, autolim=False)
        lines.set_clip_path(clip)
    if len(rays):
        lines = LineCollection(
            [np.asarray(ray) for ray in rays],
            colors=_RAY,
            linewidths=1.1,
            capstyle="round",
            joinstyle="round",
            path_effects=[withStroke(linewidth=2.0, foreground="#00000080")],
            zorder=4,
        )
        axes.add_collection(lines, autolim=False)
    if source is not None:
        axes.plot(
            *np.asarray(source, dtype=float)[:, None],
            marker="*",
            markersize=15,
            markerfacecolor="white",
            markeredgecolor=_style.INK,
            markeredgewidth=0.9,
            linestyle="none",
            clip_on=False,
            zorder=6,
        )
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=28, pad=0.03)
    bar.set_label(label, size=_style.LABEL_SIZE, color=_style.INK)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.ax.tick_params(
        labelsize=_style.TICK_SIZE, color=_style.FAINT, labelcolor=_style.INK, width=0.6
    )
    if outline is None:
        axes.set_xlabel(f"x ({length_unit})")
        axes.set_ylabel(f"y ({length_unit})")
        _style.clean_axes(axes)
    else:
        axes.set_axis_off()
        _draw_scale(axes, length_unit)
    if title is not None:
        axes.set_title(title, size=_style.TITLE_SIZE, color=_style.INK, pad=10)
    return figure


def _check_extent(extent: tuple[float, float, float, float]) -> None:
    check_condition(
        len(extent) == 4
        and bool(np.all(np.isfinite(extent)))
        and extent[0] < extent[1]
        and extent[2] < extent[3],
        f"`extent` must be (x_min, x_max, y_min, y_max), got {tuple(extent)}.",
    )


def _frame(
    axes: Axes,
    extent: tuple[float, float, float, float],
    outline: np.ndarray | None,
) -> PathPatch | Polygon:
    """Sets the limits and returns the patch beyond which nothing is drawn."""
    axes.set_aspect("equal")
    if outline is None:
        corners = np.array(extent)[[[0, 2], [1, 2], [1, 3], [0, 3]]]
        clip = Polygon(corners, closed=True, transform=axes.transData)
        axes.set_xlim(extent[0], extent[1])
        axes.set_ylim(extent[2], extent[3])
        return clip
    clip = Polygon(
        np.asarray(outline),
        closed=True,
        facecolor="none",
        edgecolor=_style.INK,
        linewidth=1.0,
        zorder=5,
    )
    axes.add_patch(clip)
    low, high = np.min(outline, axis=0), np.max(outline, axis=0)
    margin = 0.02 * np.max(high - low)
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_ylim(low[1] - margin, high[1] + margin)
    return clip


def _draw_scale(axes: Axes, unit: str) -> None:
    """A bar of round length in the lower left corner, instead of ticks."""
    (x_min, x_max), (y_min, y_max) = axes.get_xlim(), axes.get_ylim()
    longest = (x_max - x_min) / 5
    power = 10.0 ** np.floor(np.log10(longest))
    length = power * max(n for n in (1, 2, 5) if n * power <= longest)
    left, base = x_min + 0.02 * (x_max - x_min), y_min + 0.02 * (y_max - y_min)
    axes.plot(
        [left, left + length],
        [base, base],
        color=_style.INK,
        linewidth=1.5,
        solid_capstyle="butt",
    )
    axes.annotate(
        f"{length:g} {unit}",
        (left + length / 2, base),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        size=_style.TICK_SIZE,
        color=_style.INK,
    )


def _draw_wavefronts(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    times: np.ndarray,
    levels: Sequence[float],
    clip: PathPatch | Polygon,
) -> None:
    reached = [time for time in levels if np.nanmin(times) <= time <= np.nanmax(times)]
    if not reached:
        return
    lines = axes.contour(
        x,
        y,
        np.ma.masked_invalid(times).T,
        levels=reached,
        colors="white",
        linewidths=0.9,
        alpha=0.9,
        zorder=3,
    )
    lines.set_clip_path(clip)
    every = 1 if len(reached) <= 8 else 2
    labels = axes.clabel(
        lines,
        levels=reached[every - 1 :: every],
        fmt="%g",
        fontsize=_style.SMALL_SIZE,
        inline=True,
        inline_spacing=3,
    )
    for label in labels:
        label.set_path_effects([withStroke(linewidth=1.2, foreground="#00000066")])
        label.set_zorder(5)
        label.set_clip_path(clip)
