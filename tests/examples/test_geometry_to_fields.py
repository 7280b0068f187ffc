"""From shapes to flows, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

RUN = Path(__file__).parents[2] / "examples" / "geometry_to_fields" / "run.py"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), "--smoke", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_flows_turn_with_bodies_and_inflows(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    # In float32, after a dozen layers.
    assert result["error of the law"] < 1e-5
    assert set(result["test"]) == {
        "latents",
        "pointwise",
        "PCA and ridge",
        "PCA, squares",
    }
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_simulations_are_read_from_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for k in range(3):
            values = rng.normal(size=(300, 12))
            values[:, :2] = rng.uniform(0, 1, (300, 2)) - [0, 0.5]
            values[:, 2:4] = [50.0, 2.0]
            values[:, 4] = -np.abs(values[:, 4])
            values[:, 11] = np.arange(300) % 5 == 0
            np.save(tmp_path / split / f"{k}.npy", values)
    done = run("--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert set(result["test"]) == {"latents", "pointwise"}


@pytest.mark.slow
def test_missing_files_are_named(tmp_path: Path) -> None:
    done = run("--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "train/*.npy" in done.stdout
