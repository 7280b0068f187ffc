"""Digits under affine maps, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "affine_digits"


@pytest.mark.slow
def test_affine_digits(tmp_path: Path) -> None:
    options = ("--smoke", "--out", str(tmp_path))
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    models = result["models"]
    assert set(models) == {"plain", "GL+(2)"}
    # Equal numbers of weights, within 5 %.
    sizes = [row["weights"] for row in models.values()]
    assert max(sizes) < 1.05 * min(sizes)
    for row in models.values():
        assert 0 <= row["moved"] <= 1
    for errors in result["equivariance_errors"].values():
        assert len(errors) == len(result["num_samples"])
        assert all(error > 0 for error in errors)
    assert (tmp_path / "affine_digits.png").read_bytes().startswith(b"\x89PNG")
