"""Travel time against distance, with residuals below."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from eqjax._core._checks import check_condition, check_shape
from eqjax.plot import _style

# Every series has its own length.
Series = tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]


def travel_time_curve(
    distances_deg: Float[np.ndarray, " distances"],
    reference_s: Float[np.ndarray, " distances"],
    curves: Mapping[str, Series],
    *,
    points: Mapping[str, Series] | None = None,
    reference_label: str = "reference",
    title: str | None = None,
) -> Figure:
    """Draws travel-time curves, and below their residuals against a reference.

    The reference is interpolated linearly, so sample it finely (every degree leaves
    about 0.05 s for P waves). Values that are not finite are left out.

    Args:
        distances_deg: Distances of the reference in degrees, increasing.
        reference_s: Times of the reference in seconds.
        curves: Lines by label, each `(distances in degrees, times in seconds)`.
        points: Single values by label, likewise, e.g. published arrivals.
        reference_label: Name of the reference.
        title: Text above the curves.

    Returns:
        The figure; its axes are the curves, then the residuals.

    Raises:
        ValueError: If lengths differ or `distances_deg` does not increase.

    Example:
        >>> import numpy as np
        >>> from eqjax.plot import travel_time_curve
        >>> x = np.linspace(0.0, 90.0, 91)
        >>> figure = travel_time_curve(
        ...     x, 14 * x, {"field": (x, 14 * x + 1)}, points={"table": (x, 14 * x)}
        ... )
        >>> len(figure.axes)
        2
    """
    check_shape("distances_deg", distances_deg, (None,))
    check_shape("reference_s", reference_s, distances_deg.shape)
    check_condition(
        len(distances_deg) >= 2 and bool(np.all(np.diff(distances_deg) > 0)),
        "`distances_deg` must hold at least 2 increasing values.",
    )
    points = points or {}
    for name, group in (("curves", curves), ("points", points)):
        for label, series in group.items():
            _check_series(f"{name}[{label!r}]", series)

    figure = _style.new_figure(6.4, 5.2)
    upper, lower = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [2.4, 1.0]}
    )
    upper.plot(
        distances_deg,
        reference_s,
        color=_style.INK,
        linewidth=3.2,
        alpha=0.25,
        solid_capstyle="round",
        label=reference_label,
    )
    lower.axhline(0.0, color=_style.INK, linewidth=3.2, alpha=0.25)
    largest = 0.0
    for i, (label, (x, y)) in enumerate(curves.items()):
        color = _style.COLORS[i % len(_style.COLORS)]
        residual = _residual(x, y, distances_deg, reference_s)
        upper.plot(x, y, color=color, linewidth=1.4, label=label)
        lower.plot(x, residual, color=color, linewidth=1.4)
        largest = max(largest, _largest(residual))
    for i, (label, (x, y)) in enumerate(points.items()):
        style = {
            "linestyle": "none",
            "marker": _style.MARKERS[i % len(_style.MARKERS)],
            "markersize": 5.5,
            "markerfacecolor": "white",
            "markeredgecolor": _style.COLORS[-1 - i % len(_style.COLORS)],
            "markeredgewidth": 1.3,
            "zorder": 3,
        }
        if i == 0:
            style["markeredgecolor"] = _style.INK
        residual = _residual(x, y, distances_deg, reference_s)
        upper.plot(x, y, label=label, **style)
        lower.plot(x, residual, **style)
        largest = max(largest, _largest(residual))
    if largest > 0:
        # Symmetric, so that the sign of an error is seen at a glance.
        lower.set_ylim(-1.15 * largest, 1.15 * largest)
    upper.set_ylabel("travel time (s)")
    upper.set_ylim(bottom=0)
    lower.set_ylabel("residual (s)")
    lower.set_xlabel("epicentral distance (degrees)")
    lower.set_xlim(float(distances_deg[0]), float(distances_deg[-1]))
    for axes in (upper, lower):
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        _style.clean_axes(axes)
        axes.spines[["top", "right"]].set_visible(False)
    upper.legend(
        loc="upper left",
        frameon=False,
        fontsize=_style.TICK_SIZE,
        labelcolor=_style.INK,
    )
    if title is not None:
        upper.set_title(title, size=_style.TITLE_SIZE, color=_style.INK, pad=10)
    figure.align_ylabels()
    return figure


def _check_series(name: str, series: Series) -> None:
    check_condition(
        len(series) == 2,
        f"`{name}` must be a pair (distances, times), got {len(series)} items.",
    )
    check_shape(f"{name}[0]", series[0], (None,))
    check_shape(
        f"{name}[1]",
        series[1],
        series[0].shape,
        remedy="Distances and times must have the same length.",
    )


def _residual(
    x: np.ndarray, y: np.ndarray, distances: np.ndarray, reference: np.ndarray
) -> np.ndarray:
    return y - np.interp(x, distances, reference, left=np.nan, right=np.nan)


def _largest(residual: np.ndarray) -> float:
    finite = np.abs(residual[np.isfinite(residual)])
    return float(finite.max(initial=0.0))
