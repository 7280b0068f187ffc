"""Two-point travel times of one model, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "marmousi" / "run.py"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--smoke", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_generated_model_is_trained_and_drawn(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    # Untrained, but between its bounds, which are a factor of 3 apart.
    assert 0 < result["rmae"] < 1
    assert result["reference_error"] < 0.02
    assert (tmp_path / "times.png").read_bytes().startswith(b"\x89PNG")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npy"
    np.save(path, np.full((300, 281), 2000.0))
    done = run("--data", str(path), "--out", str(tmp_path))
    assert done.returncode == 2
    assert "(300, 281)" in " ".join(done.stdout.split())  # lines are wrapped
