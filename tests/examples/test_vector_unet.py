"""Velocities from vorticity, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "examples" / "vector_unet" / "run.py"


@pytest.mark.slow
def test_vectors_move_with_the_image(tmp_path: Path) -> None:
    command = [sys.executable, str(RUN), "--smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    # In float32, after thirteen layers.
    assert result["D4"]["change_under_D4"] < 1e-5
    assert result["no symmetry"]["change_under_D4"] > 0.1
    assert (tmp_path / "velocities.png").read_bytes().startswith(b"\x89PNG")
