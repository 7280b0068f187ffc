"""Digits at every angle, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "examples" / "rotated_digits" / "run.py"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), "--smoke", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_quarter_turns_change_nothing(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    networks = json.loads((tmp_path / "result.json").read_text())["networks"]
    # In float32, after three layers, on images turned by splines.
    assert networks["C4"]["change_of_logits_at_90"] < 1e-4
    assert networks["plain"]["change_of_logits_at_90"] > 1e-2
    assert networks["C4"]["at_90"] == networks["C4"]["upright"]
    assert (tmp_path / "orbit.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_missing_files_are_named(tmp_path: Path) -> None:
    done = run("--data", str(tmp_path), "--out", str(tmp_path / "runs"))
    assert done.returncode == 2
    assert "train-images-idx3-ubyte" in done.stdout
