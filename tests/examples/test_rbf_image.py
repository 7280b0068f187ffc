"""A photograph by kernels, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "rbf_image"


@pytest.mark.slow
def test_smoke(tmp_path: Path) -> None:
    options = ("--smoke", "--out", str(tmp_path))
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    weights = result["weights"]
    # As many weights, rounded in favor of the grid.
    assert weights["kernels"] <= weights["grid"]
    assert result["psnr"]["grid"] > 20
    assert (tmp_path / "fits.png").read_bytes().startswith(b"\x89PNG")
