"""The formats of the Marmousi model, on files that are generated in them."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from scipy import io

from eqjax.data._marmousi import nes_benchmark, read_marmousi
from eqjax.data._velocity_models import VelocityGrid


def speed(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """In m/s, at coordinates in m: different along both axes, and smooth."""
    return 1500 + 0.7 * z[None] + 0.1 * x[:, None] + 30 * np.sin(x / 900)[:, None]


def npy_model() -> np.ndarray:
    return speed(12.5 * np.arange(1361), 12.5 * np.arange(281))


def mat_model() -> dict[str, np.ndarray]:
    x, z = np.arange(-200, 9201, 10), np.arange(0, 3001, 10)
    # As the distributed file has them.
    return {
        "vel": speed(x, z).T,
        "x": x.astype(np.int16)[None],
        "z": z.astype(np.uint16)[None],
    }


@pytest.mark.parametrize("arrange", [np.ascontiguousarray, np.asfortranarray])
def test_npy(tmp_path: pathlib.Path, arrange: Callable) -> None:
    np.save(tmp_path / "m.npy", arrange(npy_model()))
    model = read_marmousi(tmp_path / "m.npy")
    np.testing.assert_allclose(model.velocity, npy_model() / 1000, rtol=1e-15)
    assert model.spacing == (0.0125, 0.0125)
    assert model.origin == (0, 0)


@pytest.mark.parametrize("compress", [False, True])
def test_mat(tmp_path: pathlib.Path, compress: bool) -> None:
    io.savemat(tmp_path / "m.mat", mat_model(), do_compression=compress)
    model = read_marmousi(tmp_path / "m.mat")
    assert model.velocity.shape == (941, 301)
    assert isinstance(model.velocity, np.ndarray)
    assert model.velocity.flags.c_contiguous
    assert model.spacing == (0.01, 0.01)
    assert model.origin == (-0.2, 0)
    # The same places have the same speeds in both formats.
    x = 1000 * (model.origin[0] + model.spacing[0] * np.arange(941))
    z = 1000 * (model.origin[1] + model.spacing[1] * np.arange(301))
    np.testing.assert_allclose(model.velocity, speed(x, z) / 1000, rtol=1e-12)


def test_square_of_the_benchmark() -> None:
    x, z = np.arange(1361), np.arange(281)
    velocity = 1.5 + 1e-3 * z[None] + 2e-3 * x[:, None]
    square = nes_benchmark(VelocityGrid(velocity, (0.0125, 0.0125), (0.0, 0.0)))
    assert square.velocity.shape == (281, 281)
    last = np.array(square.origin) + 280 * np.array(square.spacing)
    np.testing.assert_allclose(last, 3.5125, rtol=1e-14)
    # A symmetric filter keeps linear functions where no edge is near: 12 nodes.
    inner = slice(12, -12)
    np.testing.assert_allclose(
        square.velocity[inner, inner], velocity[600:881][inner, inner], rtol=1e-12
    )
    # And of a wave exp(i k x) it leaves exp(-k^2 9 / 2).
    wave = 3 + np.cos(0.4 * x)[:, None] * np.ones(281)
    square = nes_benchmark(VelocityGrid(wave, (0.0125, 0.0125), (0.0, 0.0)))
    expected = 3 + np.exp(-(0.4**2) * 9 / 2) * (wave[600:881] - 3)
    # The filter is cut off at 4 deviations, outside of which are 6e-5.
    np.testing.assert_allclose(square.velocity[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.full((281, 1361), 1500.0), r"axes \(x, depth\), got \(281, 1361\)"),
        (np.full((1361, 281), 1.5), "Convert their unit"),
        (np.full((1361, 281), np.nan), "finite"),
        (np.full((1361, 281), -1.0), "positive"),
    ],
)
def test_other_npy_files_are_refused(
    tmp_path: pathlib.Path, stored: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "m.npy", stored)
    with pytest.raises(ValueError, match=message):
        read_marmousi(tmp_path / "m.npy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vel": np.full((941, 301), 1500.0)}, r"axes \(depth, x\), got \(941, 301\)"),
        ({"vel": mat_model()["vel"] / 1000}, "Convert their unit"),
        ({"vel": np.where(mat_model()["vel"] < 1600, np.nan, 1500)}, "finite"),
        ({"vel": "text"}, "real numbers named `vel`"),
        ({"x": np.arange(0, 9401, 10)}, "`x` .* from -200 to 9200 m, got 941 from 0"),
        ({"z": np.arange(300)}, "`z` .* 301 coordinates"),
        ({"z": None}, "real numbers named `z`"),
    ],
)
def test_other_mat_files_are_refused(
    tmp_path: pathlib.Path, changes: dict, message: str
) -> None:
    stored = {k: v for k, v in (mat_model() | changes).items() if v is not None}
    io.savemat(tmp_path / "m.mat", stored)
    with pytest.raises(ValueError, match=message):
        read_marmousi(tmp_path / "m.mat")


def test_other_files_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"must name a .npy or .mat file"):
        read_marmousi(tmp_path / "m.segy")
    for name in ("m.npy", "m.mat"):
        with pytest.raises(FileNotFoundError):
            read_marmousi(tmp_path / name)
        (tmp_path / name).write_bytes(b"not an array" * 50)
        with pytest.raises(ValueError, match="not a readable"):
            read_marmousi(tmp_path / name)
    square = VelocityGrid(np.ones((281, 281)), (0.01, 0.01), (0.0, 0.0))
    with pytest.raises(ValueError, match=r"`model.velocity` .* of the .npy file"):
        nes_benchmark(square)
