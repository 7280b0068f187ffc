"""OpenFWI's format: orientation, units, and what is refused.

The files are written here in that format; none of OpenFWI's own is among them.
"""

import pathlib
from collections.abc import Callable

import jax
import numpy as np
import pytest

from eqjax.data._openfwi import read_openfwi
from eqjax.eikonal import GridEikonal


def draw_models(num_models: int = 3) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.uniform(1500, 4500, (num_models, 1, 70, 70)).astype(np.float32)


def saved(tmp_path: pathlib.Path, stored: np.ndarray) -> pathlib.Path:
    np.save(tmp_path / "models.npy", stored)
    return tmp_path / "models.npy"


@pytest.mark.parametrize("arrange", [np.ascontiguousarray, np.asfortranarray])
def test_axes_and_units(tmp_path: pathlib.Path, arrange: Callable) -> None:
    stored = draw_models()
    path = saved(tmp_path, arrange(stored))
    physical = read_openfwi(path, convention="physical")
    upward = read_openfwi(path, convention="e_nes")
    for model in (physical, upward):
        assert model.velocity.shape == (3, 70, 70)
        assert model.velocity.dtype == np.float32
        assert isinstance(model.velocity, np.ndarray)
        assert model.velocity.flags.c_contiguous
    # One rounding of the division.
    depth, x = 5, 11
    value = stored[1, 0, depth, x].item() / 1000
    assert physical.velocity[1, x, depth].item() == pytest.approx(value, rel=1e-7)
    assert upward.velocity[1, x, 69 - depth].item() == pytest.approx(value, rel=1e-7)
    np.testing.assert_array_equal(physical.velocity, upward.velocity[:, :, ::-1])


def test_boxes(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, draw_models(1))
    for convention, first, last in (("e_nes", -1, 1), ("physical", 0, 0.69)):
        model = read_openfwi(path, convention=convention)
        origin, spacing = np.array(model.origin), np.array(model.spacing)
        np.testing.assert_allclose(origin, first, atol=0)
        np.testing.assert_allclose(origin + 69 * spacing, last, rtol=1e-14)


def test_speed_increases_with_depth(tmp_path: pathlib.Path) -> None:
    """v = 1.5 + g depth: arrivals along the surface are those of the closed form."""
    depths = np.linspace(0, 0.69, 70)
    speeds = (1500 + 4000 * depths).astype(np.float32)
    stored = np.broadcast_to(speeds[:, None], (1, 1, 70, 70))
    path = saved(tmp_path, stored)
    model = read_openfwi(path, convention="physical")
    assert np.all(np.diff(model.velocity[0], axis=1) > 0)
    upward = read_openfwi(path)
    assert np.all(np.diff(upward.velocity[0], axis=1) < 0)
    # Between two points of the surface, 0.69 km apart. The wave dives: at the bottom
    # of the box, or with axes exchanged, the times differ by more than 20 %.
    expected = np.arccosh(1 + (4 * 0.69) ** 2 / (2 * 1.5**2)) / 4
    solve = jax.jit(GridEikonal((70, 70), model.spacing, model.origin).solve)
    times = solve(model.velocity[0], np.array([0, 0], np.float32)).times
    # The solver's error on 70 nodes is 4.7e-5.
    assert times[69, 0].item() == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (draw_models()[:, 0], r"shape \(models, 1, 70, 70\)"),
        (draw_models()[:0], r"shape \(models, 1, 70, 70\)"),
        (draw_models()[:, :, :69], r"got \(3, 1, 69, 70\)"),
        (draw_models().astype(np.float64), "float32"),
        (draw_models() / 1000, "Convert the unit"),
        (draw_models() * np.float32(1.1), "from 1500 to 4500"),
        (draw_models() * np.float32(np.nan), "got nan at index"),
    ],
)
def test_other_arrays_are_refused(
    tmp_path: pathlib.Path, stored: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_openfwi(saved(tmp_path, stored))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
def test_one_bad_value_is_named(tmp_path: pathlib.Path, value: float) -> None:
    stored = draw_models()
    stored[1, 0, 2, 3] = value
    with pytest.raises(ValueError, match=r"index \(1, 0, 2, 3\) and 1 such"):
        read_openfwi(saved(tmp_path, stored))


@pytest.mark.usefixtures("user_errors")
def test_unknown_conventions_and_files_are_refused(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, draw_models(1))
    with pytest.raises(ValueError, match="`convention` must be one of"):
        read_openfwi(path, convention="upside down")
    with pytest.raises(FileNotFoundError):
        read_openfwi(tmp_path / "none.npy")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="not a readable"):
        read_openfwi(path)
