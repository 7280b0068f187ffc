"""The table of complete invariants, as the example's users compute it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "invariants_of_everything"


@pytest.mark.slow
def test_every_row_is_invariant_and_complete(tmp_path: Path) -> None:
    options = ("--smoke", "--out", str(tmp_path))
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert len(rows) == 24
    for row in rows:
        assert row["rank"] == row["dim"] <= row["num_values"], row
        # Relative to the largest value; terms of determinants are up to 100 times it.
        assert row["invariance_error"] < 1e-12, row
        assert row["separation_residual"] < 1e-8, row
        # Printed with its tuple and group.
        assert row["group"] in done.stdout
    assert "2 directions in R^3 x S^2" in done.stdout
