"""Pictures hold what they should, and touch nothing outside of themselves."""

import io
import subprocess
import sys
from typing import Any

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.contour import ContourSet
from matplotlib.image import AxesImage

from eqjax.plot import travel_time_curve, travel_time_map

EXTENT = (-1.0, 3.0, 0.0, 2.0)
X, Y = np.meshgrid(np.linspace(-1, 3, 23), np.linspace(0, 2, 13), indexing="ij")
TIMES = np.hypot(X, Y)
CIRCLE = np.array([1.0, 1.0]) + np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 60)), np.sin(np.linspace(0, 2 * np.pi, 60))],
    axis=-1,
)


def artists(axes, kind) -> list[Any]:
    return [a for a in axes.get_children() if type(a) is kind]


def contours(axes) -> list[Any]:
    return [a for a in axes.get_children() if isinstance(a, ContourSet)]


def render(figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=50)
    return file.getvalue()


def test_map_holds_background_wavefronts_rays_and_source():
    rays = [np.linspace([0.0, 0.0], [t, 2.0], n) for n, t in ((2, 0.5), (3, 1), (5, 2))]
    figure = travel_time_map(
        TIMES,
        EXTENT,
        source=(0.0, 0.0),
        rays=rays,
        velocity=1 + X**2,
        levels=[0.5, 1.0, 2.0],
        title="a map",
    )
    axes, bar = figure.axes
    (image,) = artists(axes, AxesImage)
    assert image.get_array().shape == (13, 23)  # rows are y
    np.testing.assert_array_equal(image.get_array(), (1 + X**2).T)
    # Nodes are centers of pixels, so the picture reaches half a pixel further.
    half = 2 / 22
    np.testing.assert_allclose(
        image.get_extent(), (-1 - half, 3 + half, -1 / 12, 2 + 1 / 12)
    )
    assert image.origin == "lower"
    assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 3), (0, 2))
    assert axes.get_aspect() == 1
    (wavefronts,) = contours(axes)
    np.testing.assert_array_equal(wavefronts.levels, [0.5, 1.0, 2.0])
    (lines,) = artists(axes, LineCollection)
    assert len(lines.get_segments()) == 3
    (star,) = axes.get_lines()
    assert (star.get_marker(), np.asarray(star.get_xydata()).tolist()) == (
        "*",
        [[0, 0]],
    )
    assert axes.get_title() == "a map"
    assert axes.get_xlabel() == "x (km)"
    assert bar.get_ylabel() == "wave speed (km/s)"
    assert render(figure)


def test_wavefronts_lie_where_the_times_say():
    axes = travel_time_map(TIMES, EXTENT, levels=[1.0]).axes[0]
    (path,) = contours(axes)[0].get_paths()
    # Linear interpolation between nodes of spacing h = 0.18 errs by h^2 / 8 at radius
    # 1, where the second derivative of the distance is 1.
    radius = np.hypot(*path.vertices.T)
    assert np.max(np.abs(radius - 1)) < 0.18**2 / 8 * 1.2


def test_without_velocity_the_times_are_the_background():
    figure = travel_time_map(TIMES, EXTENT, unit="ms", length_unit="m")
    (image,) = artists(figure.axes[0], AxesImage)
    np.testing.assert_array_equal(image.get_array(), TIMES.T)
    assert figure.axes[1].get_ylabel() == "travel time (ms)"
    assert figure.axes[0].get_ylabel() == "y (m)"


@pytest.mark.parametrize("scale", [1e-3, 0.37, 1.0, 113.0, 1e5])
def test_default_levels_are_round_and_inside(scale):
    axes = travel_time_map(scale * TIMES, EXTENT).axes[0]
    levels = np.array(contours(axes)[0].levels)
    assert 4 <= len(levels) <= 14
    assert levels[0] > 0
    assert levels[-1] < scale * TIMES.max()
    step = levels[1] - levels[0]
    mantissa = step / 10 ** np.floor(np.log10(step) + 1e-9)
    assert np.min(np.abs(mantissa - np.array([1, 2, 2.5, 5]))) < 1e-6


def test_masked_and_non_finite_nodes_are_left_out():
    times, mask = TIMES.copy(), np.ones(TIMES.shape, bool)
    times[3, 4], times[5, 6], mask[7, 8] = np.inf, np.nan, False
    figure = travel_time_map(times, EXTENT, mask=mask)
    shown = artists(figure.axes[0], AxesImage)[0].get_array()
    hidden = {(int(i), int(j)) for j, i in np.argwhere(np.ma.getmaskarray(shown))}
    hidden |= {(int(i), int(j)) for j, i in np.argwhere(np.isnan(np.asarray(shown)))}
    assert hidden == {(3, 4), (5, 6), (7, 8)}
    assert render(figure)


def test_outline_cuts_off_and_chooses_range():
    figure = travel_time_map(
        TIMES, EXTENT, outline=CIRCLE, boundaries=[1 + (CIRCLE - 1) / 2]
    )
    axes = figure.axes[0]
    (image,) = artists(axes, AxesImage)
    assert image.get_clip_path() is not None
    # The disc reaches from 0.41 to 2.41 from the origin, the box to 3.6.
    assert 0.3 < image.norm.vmin < 0.6
    assert 2.2 < image.norm.vmax < 2.42
    assert not axes.axison
    assert [text.get_text() for text in axes.texts if "km" in text.get_text()] == [
        "0.2 km"
    ]
    (lines,) = artists(axes, LineCollection)
    assert len(lines.get_segments()) == 1
    assert render(figure)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": TIMES[0]}, "`times`"),
        ({"times": TIMES[:1]}, "at least 2 nodes"),
        ({"times": np.full_like(TIMES, np.nan)}, "finite at one node"),
        ({"mask": np.zeros(TIMES.shape, bool)}, "finite at one node"),
        ({"velocity": TIMES.T}, "`velocity` must be an array of shape"),
        ({"mask": np.ones((2, 3), bool)}, "`mask` must be an array of shape"),
        ({"extent": (1.0, 1.0, 0.0, 2.0)}, "`extent`"),
        ({"extent": (0.0, 1.0, np.nan, 2.0)}, "`extent`"),
        ({"source": (1.0, 2.0, 3.0)}, "`source`"),
        ({"rays": [np.ones((5, 3))]}, r"`rays\[0\]`"),
        ({"outline": np.ones((5, 3))}, "`outline`"),
        ({"levels": [2.0, 1.0]}, "`levels` must increase"),
    ],
)
@pytest.mark.usefixtures("user_errors")
def test_bad_maps_are_refused(changes, message):
    arguments: dict[str, Any] = {"times": TIMES, "extent": EXTENT} | changes
    with pytest.raises(ValueError, match=message):
        travel_time_map(**arguments)


DISTANCES = np.linspace(0.0, 90.0, 31)


def test_curve_and_its_residuals():
    x = np.array([10.0, 33.3, 80.0, 95.0])
    figure = travel_time_curve(
        DISTANCES,
        14 * DISTANCES,
        {"field": (x, 14 * x + 1.5), "grid": (x, 14 * x - 0.5)},
        points={"published": (x[:2], 14 * x[:2])},
        reference_label="tau-p",
        title="a curve",
    )
    upper, lower = figure.axes
    labels = [line.get_label() for line in upper.get_lines()]
    assert labels == ["tau-p", "field", "grid", "published"]
    zero, field, grid, published = (
        np.asarray(line.get_ydata(), float) for line in lower.get_lines()
    )
    np.testing.assert_array_equal(zero, [0, 0])
    # The reference is linear, so its interpolation is exact up to rounding of 1e3.
    np.testing.assert_allclose(field, [1.5, 1.5, 1.5, np.nan], atol=1e-9)
    np.testing.assert_allclose(grid, [-0.5, -0.5, -0.5, np.nan], atol=1e-9)
    np.testing.assert_allclose(published, [0, 0], atol=1e-9)
    low, high = lower.get_ylim()
    assert low == -high
    assert high > 1.5
    assert lower.get_xlim() == (0, 90)
    assert upper.get_legend() is not None
    assert upper.get_title() == "a curve"
    assert render(figure)


def test_many_series_have_their_own_looks():
    series = {f"c{i}": (DISTANCES, 13 * DISTANCES + i) for i in range(4)}
    figure = travel_time_curve(DISTANCES, 13 * DISTANCES, series, points=series)
    lines = figure.axes[0].get_lines()[1:]
    looks = {(a.get_color(), a.get_marker()) for a in lines[:4]}
    looks |= {(a.get_markeredgecolor(), a.get_marker()) for a in lines[4:]}
    assert len(looks) == 8


def test_curve_of_the_reference_alone():
    times = 13 * DISTANCES
    times[3] = np.nan
    assert render(travel_time_curve(DISTANCES, times, {}))


@pytest.mark.parametrize(
    ("distances", "reference", "curves", "message"),
    [
        (DISTANCES[::-1], DISTANCES, {}, "increasing"),
        (DISTANCES[:1], DISTANCES[:1], {}, "at least 2"),
        (DISTANCES, DISTANCES[:-1], {}, "`reference_s`"),
        (DISTANCES, DISTANCES, {"a": (DISTANCES, DISTANCES[:3])}, "curves"),
        (DISTANCES, DISTANCES, {"a": (DISTANCES,)}, "pair"),
    ],
)
@pytest.mark.usefixtures("user_errors")
def test_bad_curves_are_refused(distances, reference, curves, message):
    with pytest.raises(ValueError, match=message):
        travel_time_curve(distances, reference, curves)


def test_nothing_global_changes():
    before = dict(mpl.rcParams)
    render(travel_time_map(TIMES, EXTENT, source=(0.0, 0.0)))
    render(travel_time_curve(DISTANCES, 13 * DISTANCES, {}))
    assert dict(mpl.rcParams) == before


def test_pyplot_is_not_imported_and_figures_are_free():
    code = (
        "import sys, numpy as np; from eqjax.plot import travel_time_map\n"
        "f = travel_time_map(np.ones((3, 4)) + np.eye(3, 4), (0., 1., 0., 1.))\n"
        "f.savefig(__import__('io').BytesIO())\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
    assert type(travel_time_map(TIMES, EXTENT)) is matplotlib.figure.Figure
