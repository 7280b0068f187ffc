"""Location as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "earthquake_location" / "run.py"


@pytest.mark.slow
def test_the_right_velocity_locates_better(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runs = json.loads((tmp_path / "result.json").read_text())["runs"]
    right, wrong = (runs[f"{name} velocity"] for name in ("right", "homogeneous"))
    assert right["median_error_km"] < 0.5 * wrong["median_error_km"]
    assert right["covered_by_90_percent"] > wrong["covered_by_90_percent"]
    assert all(len(row["levels"]) == 12 for row in runs.values())
    assert (tmp_path / "location.png").read_bytes().startswith(b"\x89PNG")
