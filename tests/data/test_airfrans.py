"""Files of simulated flows."""

import pathlib

import numpy as np
import pytest

from eqjax.data._airfrans import read_airfrans


def rows(num: int) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(num, 12))
    values[:, 2:4] = [40.0, 5.0]
    values[:, 11] = np.arange(num) % 2
    return values


def test_columns_are_named(tmp_path: pathlib.Path) -> None:
    values, path = rows(7), tmp_path / "one.npy"
    np.save(path, values.astype(np.float32))
    flow = read_airfrans(path)
    values = values.astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(flow.points, values[:, :2])
    np.testing.assert_array_equal(flow.inflow, [40, 5])
    np.testing.assert_array_equal(flow.distance, np.abs(values[:, 4]))
    np.testing.assert_array_equal(flow.normals, values[:, 5:7])
    np.testing.assert_array_equal(flow.velocity, values[:, 7:9])
    np.testing.assert_array_equal(flow.pressure, values[:, 9])
    np.testing.assert_array_equal(flow.viscosity, values[:, 10])
    assert flow.on_surface.tolist() == [False, True] * 3 + [False]


def test_bad_files_are_value_errors(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "one.npy"
    several, holes = rows(4), rows(4)
    several[2, 3] = 6
    holes[1, 9] = np.nan
    for values, message in [
        (rows(4)[:, :11], r"shape \(points, 12\), got \(4, 11\)"),
        (rows(0), r"got \(0, 12\)"),
        (rows(4)[0], r"got \(12,\)"),
        (rows(4).astype(str), "must hold numbers"),
        (several, "one inflow"),
        (holes, "finite values, got 1"),
    ]:
        np.save(path, values)
        with pytest.raises(ValueError, match=message):
            read_airfrans(path)
    path.write_bytes(b"no array")
    with pytest.raises(ValueError, match="no readable npy"):
        read_airfrans(path)
    with pytest.raises(FileNotFoundError):
        read_airfrans(tmp_path / "none.npy")
