"""Moments of a steerable network, as the example's users train it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "moments"


@pytest.mark.slow
def test_turns_of_the_grid_change_nothing(tmp_path: Path) -> None:
    options = ("--smoke", "--out", str(tmp_path))
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    models = json.loads((tmp_path / "result.json").read_text())["models"]
    assert len(models) == 3
    for name, row in models.items():
        # float32, through norms and a division by deviations of features.
        assert row["change_at_90_degrees"] < 1e-4, name
        assert row["accuracies"], name
    assert (tmp_path / "angles.png").exists()
