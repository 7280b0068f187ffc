"""Tomography as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "tomography" / "run.py"


@pytest.mark.slow
def test_a_small_checkerboard_is_recovered(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert 0.8 < result["noise_free"]["contrast"] < 1.2
    assert result["noise_free"]["misfit_falls_by"] > 100
    assert result["noisy"]["correlation_covered"] > 0.8
    assert (tmp_path / "tomography.png").read_bytes().startswith(b"\x89PNG")
