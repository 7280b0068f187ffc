"""A backbone for velocity fields, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "openfwi_style" / "run.py"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--smoke", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_backbone_is_trained_kept_and_used_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    done = run("--out", str(first))
    assert done.returncode == 0, done.stderr
    done = run("--out", str(second), "--backbone", str(first))
    assert done.returncode == 0, done.stderr
    results = [
        json.loads((folder / "result.json").read_text()) for folder in (first, second)
    ]
    name = "Gauss-Newton 2, grid times"
    errors = [result["fits"][name]["RE"]["mean"] for result in results]
    # The same decoder, fields and keys; times of training differ.
    assert errors[0] == errors[1]
    assert results[1]["training_seconds"] == 0
    assert (first / "times.png").read_bytes().startswith(b"\x89PNG")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npy"
    np.save(path, np.full((5, 70, 70), 2000.0, np.float32))
    done = run("--data", str(path), "--out", str(tmp_path))
    assert done.returncode == 2
    assert "(5, 70, 70)" in " ".join(done.stdout.split())  # lines are wrapped
