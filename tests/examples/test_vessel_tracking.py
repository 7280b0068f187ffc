"""Paths along vessels, as the example's users compute them."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "vessel_tracking" / "run.py"


def test_a_path_ahead_only_gets_to_the_other_end(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert {result[name]["paths"] for name in ("plane", "ahead_only")} == {3}
    assert result["ahead_only"]["arrived"] == 1
    assert (tmp_path / "paths.png").read_bytes().startswith(b"\x89PNG")
