"""Ways of a car through mazes, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "maze_planning" / "run.py"


def test_cars_arrive_without_collisions(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["ways"] == 2
    assert result["collision_free_arrivals"] == 1
    assert result["solver_results"] == [0]
    assert (tmp_path / "ways.png").read_bytes().startswith(b"\x89PNG")
