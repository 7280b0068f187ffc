"""Digits from latents of their fields, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "examples" / "latent_classification" / "run.py"


@pytest.mark.slow
def test_quarter_turns_change_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(RUN), "--smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    row = result["classifiers"]["SE(2), invariant"]
    # In float32: latents that are turned, and latents fitted to turned images by three
    # steps, which add up the rounding of sums over pixels in another order.
    assert row["change_moved_by_90"] < 1e-5
    assert row["change_fitted_at_90"] < 1e-4
    assert row["at_90"] == row["upright"]
    assert (tmp_path / "angles.png").read_bytes().startswith(b"\x89PNG")
