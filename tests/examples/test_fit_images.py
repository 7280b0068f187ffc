"""Images as fields, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "fit_images"


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / script), "--smoke", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_set_of_images_is_fitted_and_moved(tmp_path: Path) -> None:
    done = run("run.py", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    # In float32: one attention of a few hundred units, on values of size one.
    assert result["change_when_moved"] < 1e-5
    assert (tmp_path / "moved.png").read_bytes().startswith(b"\x89PNG")


def test_a_photograph_is_fitted_and_moved(tmp_path: Path) -> None:
    done = run("photograph.py", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["change_when_moved"] < 1e-5
    for name in ("fitted.png", "enlarged.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_missing_files_are_named(tmp_path: Path) -> None:
    done = run("run.py", "--data", str(tmp_path), "--out", str(tmp_path / "runs"))
    assert done.returncode == 2
    assert "train-images-idx3-ubyte" in done.stdout


@pytest.mark.parametrize(
    ("name", "num_out", "count"),
    [
        ("enf_min_cifar", 3, 179_587),
        ("enf_min_cifar", 1, 178_817),
    ],
)
def test_published_sizes(name: str, num_out: int, count: int) -> None:
    code = (
        "import jax, presets\n"
        f"field = presets.PRESETS['{name}']({num_out}).field\n"
        "shapes = jax.eval_shape(lambda key: field.init(key=key), jax.random.key(0))\n"
        "print(sum(leaf.size for leaf in jax.tree.leaves(shapes)))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=FOLDER
    )
    assert int(done.stdout) == count
