"""Sample efficiency on the tasks of EMLP, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "emlp_tasks"


@pytest.mark.slow
def test_inertia(tmp_path: Path) -> None:
    options = ("--smoke", "--out", str(tmp_path))
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    rows = result["tasks"]["inertia"]
    ours, other = rows["equivariant"], rows["MLP"]
    assert ours["weights"] <= other["weights"] < 1.1 * ours["weights"]
    # In float32, after three layers.
    assert ours["equivariance_error"] < 1e-5
    assert other["equivariance_error"] > 0.01
    assert max(ours["errors"][0]) < min(other["errors"][0])
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
