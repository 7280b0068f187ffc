"""Land or ocean, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "land_ocean"


@pytest.mark.slow
def test_smoke(tmp_path: Path) -> None:
    options = ("--smoke", "--out", str(tmp_path))
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result["models"]) == 3
    for rows in result["models"].values():
        assert 0 <= rows[0]["accuracy"] <= 1
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
