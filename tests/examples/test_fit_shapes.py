"""Shapes as fields, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "examples" / "fit_shapes" / "run.py"
SQUARES = "f 1 4 3 2\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), "--smoke", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_shapes_move_with_their_poses(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    # In float32, after a dozen layers.
    assert result["train"]["change"] < 1e-5
    assert result["new"]["change"] < 1e-5
    assert (tmp_path / "surfaces.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_meshes_are_fitted_instead(tmp_path: Path) -> None:
    corners = [(x, y) for x, y in ((0, 0), (2, 0), (2, 1), (0, 1))]
    lines = [f"v {x} {y} {z}\n" for z in (0, 3) for x, y in corners]
    path = tmp_path / "box.obj"
    path.write_text("".join(lines) + SQUARES)
    options = ("--mesh", str(path), "--poses", "translations")
    done = run(*options, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result["shapes"]["train"]) == 1
    assert "new" not in result
