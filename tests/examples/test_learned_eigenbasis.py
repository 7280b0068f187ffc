"""An eigenbasis of the sphere, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "learned_eigenbasis"


@pytest.mark.slow
def test_smoke(tmp_path: Path) -> None:
    options = ("--smoke", "--out", str(tmp_path))
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    # Four functions already span the harmonics of degree 1 after twenty steps.
    assert result["smallest_cosine"] > 0.9
    assert (tmp_path / "functions.png").read_bytes().startswith(b"\x89PNG")
