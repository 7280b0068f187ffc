"""Earth models: tables, readers, first arrivals, and what is refused."""

import dataclasses
import math
import pathlib

import numpy as np
import pytest

from eqjax._core._specs import spec_from_json, spec_to_json
from eqjax.data import (
    EarthModel,
    earth_model,
    first_p_arrivals,
    radial_first_arrivals,
    radial_speeds,
    read_earth_model,
    read_velocity_grid,
)

NAMES = ("ak135", "iasp91", "prem")
SIMPLE = EarthModel(
    name="simple",
    depths_km=(0.0, 35.0, 35.0, 2900.0, 2900.0, 6371.0),
    vp_km_s=(6.0, 6.5, 8.0, 13.5, 8.0, 11.0),
    vs_km_s=(3.4, 3.7, 4.5, 7.3, 0.0, 3.5),
)


def uniform(speed: float = 10.0, radius_km: float = 6371.0) -> EarthModel:
    return EarthModel(
        "uniform", (0.0, radius_km), (speed, speed), (5.0, 5.0), radius_km
    )


def write(folder: pathlib.Path, name: str, text: str) -> pathlib.Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        # Rows printed in the papers: surface, Moho, 410/400, core-mantle and
        # inner-core boundary.
        (
            "ak135",
            [
                (0.0, 5.8, 3.46),
                (35.0, 6.5, 3.85),
                (35.0, 8.04, 4.48),
                (410.0, 9.36, 5.08),
                (2891.5, 13.6602, 7.2811),
                (2891.5, 8.0, 0.0),
                (5153.5, 11.0427, 3.5043),
            ],
        ),
        (
            "iasp91",
            [
                (0.0, 5.8, 3.36),
                (35.0, 6.5, 3.75),
                (35.0, 8.04, 4.47),
                (410.0, 9.36, 5.07),
                (2889.0, 13.6908, 7.3015),
                (2889.0, 8.0088, 0.0),
                (5153.9, 11.0914, 3.4385),
            ],
        ),
        (
            "prem",
            [
                (0.0, 5.8, 3.2),
                (15.0, 6.8, 3.9),
                (24.4, 8.11061, 4.49094),
                (400.0, 9.13397, 4.93259),
                (2891.0, 13.7166, 7.26466),
                (2891.0, 8.06482, 0.0),
                (5149.5, 11.02827, 3.50432),
            ],
        ),
    ],
)
def test_tables_hold_the_published_rows(name, rows):
    model = earth_model(name)
    table = set(zip(model.depths_km, model.vp_km_s, model.vs_km_s, strict=True))
    assert set(rows) <= table
    assert (model.depths_km[0], model.depths_km[-1]) == (0.0, 6371.0)


def test_prem_follows_its_polynomials():
    # Dziewonski & Anderson (1981), Table I, with x = r / 6371 km. The coefficients are
    # rounded to 4 decimals, so that rows differ by up to 5e-5; one row, at 3771 km, by
    # 1.3e-4 (see the table).
    model = earth_model("prem")
    depths, vp = np.array(model.depths_km), np.array(model.vp_km_s)
    x = 1 - depths / 6371
    lower_mantle = 24.9520 - 40.4673 * x + 51.4832 * x**2 - 26.6419 * x**3
    outer_core = 11.0487 - 4.0362 * x + 4.8023 * x**2 - 13.5732 * x**3
    inner_core = 11.2622 - 6.3640 * x**2
    for polynomial, top, bottom in (
        (lower_mantle, 771, 2741),
        (outer_core, 2971, 5071),
        (inner_core, 5171, 6371),
    ):
        inside = (depths >= top) & (depths <= bottom)
        assert np.max(np.abs(polynomial - vp)[inside]) < 1.4e-4


@pytest.mark.parametrize("name", NAMES)
def test_models_are_specs(name):
    model = earth_model(name)
    assert model == earth_model(name)
    assert hash(model) == hash(earth_model(name))
    assert spec_from_json(spec_to_json(model)) == model
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.name = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("phase", ["P", "S"])
@pytest.mark.parametrize("name", NAMES)
def test_radial_speeds_mirror_the_table(name, phase):
    model = earth_model(name)
    radii, speeds = radial_speeds(model, phase=phase)
    assert radii == tuple(sorted(radii))
    assert (radii[0], radii[-1]) == (0.0, 6371.0)
    assert min(speeds) > 0
    stored = model.vp_km_s if phase == "P" else model.vs_km_s
    for depth, vp, value, radius, speed in zip(
        model.depths_km,
        model.vp_km_s,
        stored,
        reversed(radii),
        reversed(speeds),
        strict=True,
    ):
        assert radius == model.radius_km - depth
        assert speed == (value if value > 0 else vp)


def test_readers_return_what_the_files_say(tmp_path):
    rows = [
        f"{d:10.3f} {p:10.4f} {s:10.4f} 3.0"
        for d, p, s in zip(
            SIMPLE.depths_km, SIMPLE.vp_km_s, SIMPLE.vs_km_s, strict=True
        )
    ]
    tvel = write(tmp_path, "simple.tvel", "\n".join(["a - P", "a - S", *rows, ""]))
    assert read_earth_model(tvel) == SIMPLE
    rows = [row + " 1000.0 600.0" for row in rows]
    lines = [*rows[:2], "mantle", *rows[2:4], "outer-core", "", *rows[4:]]
    lines.insert(1, "# a comment")
    nd = write(tmp_path, "other.ND", "\n".join(lines))
    assert read_earth_model(nd, name="simple") == SIMPLE
    assert read_earth_model(nd).name == "other"


def test_reader_takes_another_planet(tmp_path):
    path = write(tmp_path, "moon.nd", "0 1 .5 2\n1737.1 8 4 5\n")
    assert read_earth_model(path, radius_km=1737.1).radius_km == 1737.1
    with pytest.raises(ValueError, match="centre"):
        read_earth_model(path)


GOOD = "0 6 3.5 2.7\n35 6.5 3.7 2.9\n6371 11 6 13\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", GOOD, "must name a .tvel or .nd file"),
        ("a.tvel", "P\nS\n" + GOOD[len("0 6 3.5 2.7\n") :], "must reach from depth 0"),
        ("a.tvel", GOOD, "at least two rows .* below two header lines, got 1"),
        ("a.tvel", "P\nS\n", "at least two rows"),
        ("a.nd", "", "at least two rows"),
        ("a.nd", GOOD.replace("6.5", "fast"), r"Line 2 of .*numbers.*'35 fast"),
        ("a.nd", GOOD.replace("35 6.5 3.7 2.9", "35 6.5"), "Line 2 .*three numbers"),
        ("a.nd", GOOD.replace("3.7 2.9", "3.7"), "Line 2 .*expected 4 columns"),
        ("a.nd", GOOD.replace("6.5", "-6.5"), "Line 2 .*P speed .*-6.5"),
        ("a.nd", GOOD.replace("6.5", "0"), "Line 2 .*P speed .*got 0"),
        ("a.nd", GOOD.replace("6.5", "nan"), "Line 2 .*P speed .*nan"),
        ("a.nd", GOOD.replace("3.7", "-3.7"), "Line 2 .*S speed .*-3.7"),
        ("a.nd", GOOD.replace("3.7", "inf"), "Line 2 .*S speed .*inf"),
        ("a.nd", GOOD.replace("35", "nan"), "Line 2 .*depth .*nan"),
        ("a.nd", "0 6 3 2\n35 6 3 2\n30 6 3 2\n6371 9 5 9\n", "Line 3 .*decreases"),
        ("a.nd", GOOD.replace("6371", "6372"), "Line 3 .*beyond the radius of 6371"),
        ("a.nd", GOOD.replace("6371", "6370"), "from 0 to 6370 km"),
        ("a.nd", "0 6 3 2\n" + GOOD + "6371 11 6 13\n", None),
        ("a.nd", "0 6 3 2\n0 6 3 2\n" + GOOD, "Line 3 .*three times"),
        ("a.nd", "P wave model\n" + GOOD, "Line 1 .*'P wave model'"),
    ],
)
def test_malformed_files_are_refused(tmp_path, name, text, message):
    path = write(tmp_path, name, text)
    if message is None:  # repeated first and last depths are discontinuities
        assert len(read_earth_model(path).depths_km) == 5
        return
    with pytest.raises(ValueError, match=message):
        read_earth_model(path)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_earth_model(tmp_path / "none.tvel")
    path = tmp_path / "binary.nd"
    path.write_bytes(b"\x80\x81\xff" * 100)
    with pytest.raises(ValueError, match="not a text file"):
        read_earth_model(path)


def test_misuse_is_refused():
    with pytest.raises(ValueError, match=r"same length .* at least 2"):
        EarthModel("a", (0.0,), (1.0,), (1.0,))
    with pytest.raises(ValueError, match="same length"):
        EarthModel("a", (0.0, 6371.0), (1.0,), (1.0, 1.0))
    with pytest.raises(ValueError, match="`radius_km`"):
        uniform(radius_km=-1.0)
    with pytest.raises(ValueError, match="`depth_km` must be one of 0, 10"):
        first_p_arrivals("prem", depth_km=100.0)


@pytest.mark.parametrize(
    ("name", "depth_km"),
    [(name, depth) for name in NAMES for depth in (0.0, 10.0)]
    + [("iasp91", 100.0), ("iasp91", 600.0), ("ak135", 100.0)],
)
def test_first_arrivals_reproduce_the_reference_table(name, depth_km):
    table = first_p_arrivals(name, depth_km=depth_km)
    times = radial_first_arrivals(
        earth_model(name), depth_km, np.array(list(table)), step_km=5.0
    )
    # Rounding of the table is 0.005 s and of TauP's own interpolation 0.01 s.
    assert np.max(np.abs(times - np.array(list(table.values())))) < 0.02


@pytest.mark.parametrize("depth_km", [0.0, 137.0, 5003.0])
def test_uniform_earth_has_chords(depth_km):
    angle = np.linspace(0, 180, 31)
    radius = 6371.0 - depth_km
    chord = np.sqrt(
        6371.0**2 + radius**2 - 2 * 6371.0 * radius * np.cos(np.deg2rad(angle))
    )
    times = radial_first_arrivals(uniform(), depth_km, angle)
    # Rays turn every 2 km and are joined by tangents, so the error is of second order
    # in their spacing; 2e-4 s was measured.
    assert np.max(np.abs(times - chord / 10.0)) < 1e-3


def test_power_law_earth_has_closed_form():
    # v = a r^b: T = 2 R^(1-b) sin((1 - b) Delta / 2) / (a (1 - b)) from the surface.
    b, surface = -0.5, 6.0
    depths = np.concatenate([np.linspace(0, 5000, 501), [6371.0]])
    radii = np.maximum(6371.0 - depths, 500.0)
    speeds = tuple((surface * (radii / 6371.0) ** b).tolist())
    model = EarthModel("power", tuple(depths.tolist()), speeds, speeds)
    angle = np.linspace(3, 80, 12)
    exact = 2 * 6371 / surface / (1 - b) * np.sin((1 - b) * np.deg2rad(angle) / 2)
    times = radial_first_arrivals(model, 0.0, angle)
    # Linear pieces of 10 km against the power law: relative speed error (10/r)^2 / 8
    # of order 1e-6 times 1000 s, plus the tangents.
    assert np.max(np.abs(times - exact)) < 5e-3


def test_head_wave_and_diffraction_cost_p_per_radian():
    model = earth_model("iasp91")
    far = radial_first_arrivals(
        model, 0.0, np.array([130.0, 140.0, 150.0]), step_km=5.0
    )
    # Diffracted along the core at the speed on the mantle side: r / v per radian.
    slowness = (6371.0 - 2889.0) / 13.6908 * math.radians(10)
    np.testing.assert_allclose(np.diff(far), slowness, rtol=1e-6)


def test_first_arrivals_grow_no_faster_than_the_surface_wave():
    angle = np.linspace(0, 180, 91)
    times = radial_first_arrivals(earth_model("prem"), 33.0, angle, step_km=10.0)
    assert np.all(np.diff(times) > 0)
    # Two degrees never take longer than along the surface, at 5.8 km/s.
    assert np.all(np.diff(times) < math.radians(2) * 6371.0 / 5.8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, np.array([1.0])), "`source_depth_km`"),
        ((6371.0, np.array([1.0])), "`source_depth_km` must be below"),
        ((0.0, np.array([181.0])), "`distances_deg` must lie"),
        ((0.0, np.array([np.nan])), "`distances_deg` must lie"),
    ],
)
def test_first_arrivals_refuse_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        radial_first_arrivals(SIMPLE, *arguments)


def test_no_distances_give_no_times():
    assert radial_first_arrivals(SIMPLE, 1.0, np.zeros(0), step_km=50.0).shape == (0,)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.uint8])
@pytest.mark.parametrize("order", ["C", "F"])
def test_velocity_grid_is_returned_as_stored(tmp_path, dtype, order):
    stored = np.asarray(np.arange(1, 36).reshape(5, 7), dtype=dtype, order=order)
    np.save(tmp_path / "v.npy", stored)
    velocity = read_velocity_grid(tmp_path / "v.npy")
    assert velocity.dtype == np.float64
    np.testing.assert_array_equal(velocity, stored)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.ones(7), "2-D"),
        (np.ones((3, 5, 1)), "2-D"),
        (np.ones((1, 5)), "at least 2 nodes"),
        (np.zeros((0, 5)), "at least 2 nodes"),
        (np.array([[1.0, 2.0], [3.0, -1.0]]), r"-1.0 at index \(1, 1\)"),
        (np.array([[1.0, 0.0], [3.0, 1.0]]), r"0.0 at index \(0, 1\)"),
        (np.array([[1.0, np.nan], [np.inf, 1.0]]), "nan .* and 2 such values"),
        (np.ones((3, 5), dtype=complex), "real numbers"),
        (np.ones((3, 5), dtype=bool), "real numbers"),
        (np.array([["a", "b"], ["c", "d"]]), "real numbers"),
        (np.full((2, 3), 2**53 + 1), "would round"),
    ],
)
def test_bad_velocity_grids_are_refused(tmp_path, stored, message):
    np.save(tmp_path / "v.npy", stored)
    with pytest.raises(ValueError, match=message):
        read_velocity_grid(tmp_path / "v.npy")


def test_velocity_files_that_are_no_arrays_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_velocity_grid(tmp_path / "none.npy")
    np.save(tmp_path / "pickle.npy", np.array([[{}, {}], [{}, {}]]), allow_pickle=True)
    np.savez(tmp_path / "zip.npy", v=np.ones((3, 5)))
    (tmp_path / "zip.npy.npz").rename(tmp_path / "zip.npy")
    np.save(tmp_path / "cut.npy", np.ones((50, 50)))
    whole = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.npy").write_bytes(b"")
    for name in ("pickle", "zip", "cut", "empty"):
        with pytest.raises(ValueError, match=r"not a readable \.npy array"):
            read_velocity_grid(tmp_path / f"{name}.npy")
