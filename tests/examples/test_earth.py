"""The Earth example as its users run it: models, files, resuming, what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "earth" / "run.py"
TVEL = """simple Earth, P
simple Earth, S
   0.0   6.0   3.4   2.7
  35.0   6.5   3.7   2.7
  35.0   8.0   4.5   3.3
2900.0  13.5   7.3   5.5
2900.0   8.0   0.0   9.9
6371.0  11.0   3.5  13.0
"""


def run(*options: str) -> subprocess.CompletedProcess:
    """Runs the example as a script, with JAX as its users have it."""
    command = [sys.executable, str(SCRIPT), "--smoke", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def radial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of a published model and a user's file."""
    folder = tmp_path_factory.mktemp("radial")
    (folder / "simple.tvel").write_text(TVEL)
    models = ("--models", "prem", str(folder / "simple.tvel"))
    done = run(*models, "--out", str(folder / "run"))
    assert done.returncode == 0, done.stderr
    return folder


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def assert_png(path: Path) -> None:
    assert path.read_bytes().startswith(b"\x89PNG"), path


def test_published_model_and_file(radial: Path) -> None:
    result = read(radial / "run" / "result.json")
    assert [*result["models"]] == ["prem", "simple"]
    for name, row in result["models"].items():
        assert 0 < row["reference_re"] < row["re"] < 0.2
        assert row["arrivals_s"].keys() == {"30", "60", "90"}
        assert_png(radial / "run" / f"{name}_map.png")
        assert_png(radial / "run" / f"{name}_curve.png")
    assert result["equivariance_error"] < 1e-5
    assert result["swap_error"] == 0.0


@pytest.mark.slow  # tests/train has the same law, of a smaller run
def test_resumed_run_is_bit_exact(radial: Path) -> None:
    whole, resumed = radial / "run", radial / "resumed"
    shutil.copytree(whole, resumed)
    shutil.rmtree(resumed / "checkpoints" / "10")  # as if stopped after five steps
    (resumed / "result.json").unlink()
    models = ("--models", "prem", str(radial / "simple.tvel"))
    done = run(*models, "--out", str(resumed), "--resume")
    assert done.returncode == 0, done.stderr
    # The manifest of a checkpoint holds a digest of every array.
    manifests = [read(r / "checkpoints/10/manifest/metadata") for r in (whole, resumed)]
    assert manifests[0] == manifests[1]
    results = [read(r / "result.json") for r in (whole, resumed)]
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]


@pytest.mark.slow
def test_speeds_on_grids(tmp_path: Path) -> None:
    x, y = np.linspace(0, 1, 41)[:, None], np.linspace(0, 1, 31)
    np.save(tmp_path / "gradient.npy", 2 + 1.5 * y + 0 * x)
    np.save(tmp_path / "waves.npy", 2 + 0.5 * np.sin(6 * x) * np.cos(6 * y))
    models = [str(tmp_path / name) for name in ("gradient.npy", "waves.npy")]
    out = tmp_path / "run"
    options = ("--spacing-km", "0.1", "--no-teacher", "--out", str(out))
    done = run("--models", *models, *options)
    assert done.returncode == 0, done.stderr
    result = read(out / "result.json")
    assert [*result["models"]] == ["gradient", "waves"]
    assert all(0 < row["re"] < 0.2 for row in result["models"].values())
    assert result["swap_error"] == 0.0
    assert_png(out / "waves_map.png")


def test_finished_or_missing_run_is_not_touched(radial: Path) -> None:
    models = ("--models", "prem", str(radial / "simple.tvel"))
    before = sorted((radial / "run").rglob("*"))
    again = run(*models, "--out", str(radial / "run"))
    other = run("--models", "prem", "--out", str(radial / "run"), "--resume")
    missing = run(*models, "--out", str(radial / "none"), "--resume")
    for done, words in (
        (again, "holds a run already"),
        (other, "has other settings"),
        (missing, "no run to resume"),
    ):
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert words in done.stderr
    assert sorted((radial / "run").rglob("*")) == before
    assert not (radial / "none").exists()


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (None, (), "No such file"),
        ("no table\n", (), "bad"),
        (TVEL.replace("13.5", "-13.5"), (), "-13.5"),
        (np.array([[1.0, np.nan], [1.0, 1.0]]), ("--spacing-km", "1"), "nan"),
        (np.ones((2, 2)), (), "--spacing-km"),
    ],
    ids=["missing", "no table", "negative", "NaN", "no spacing"],
)
def test_bad_models_are_refused_before_any_work(
    tmp_path: Path, content: object, options: tuple, words: str
) -> None:
    path = tmp_path / "bad.tvel"
    if isinstance(content, np.ndarray):
        path = tmp_path / "bad.npy"
        np.save(path, content)
    elif isinstance(content, str):
        path.write_text(content)
    out = tmp_path / "run"
    done = run("--models", str(path), *options, "--out", str(out))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert words.lower() in done.stderr.lower()
    assert not out.exists()
