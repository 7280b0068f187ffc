"""An active direction, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "active_subspace"


@pytest.mark.slow
def test_smoke(tmp_path: Path) -> None:
    options = ("--smoke", "--out", str(tmp_path))
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    row = result["functions"][0]
    assert 0 <= row["cosine"] <= 1 + 1e-6
    assert sorted(row["eigenvalues"], reverse=True) == row["eigenvalues"]
    assert (tmp_path / "active_subspace.png").read_bytes().startswith(b"\x89PNG")
