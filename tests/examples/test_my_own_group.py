"""A network for a group from generators, as the example's users run it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "my_own_group"
# Of the proper Lorentz group: the field strength is a complex triplet, so that its
# maps come in pairs, with and without the dual field.
NUM_MAPS = {
    "scalar -> scalar": 1,
    "vector -> vector": 1,
    "field -> field": 2,
    "vector x vector -> scalar": 1,
    "vector x vector -> field": 2,
    "field x vector -> vector": 2,
    "field x field -> scalar": 2,
    "field x field -> field": 2,
    # 1 + 1 + 2 to scalars, 2 + 4 to vectors, 4 + 2 + 2 to fields.
    "feature x feature -> feature": 18,
}


@pytest.mark.slow
def test_maps_and_networks(tmp_path: Path) -> None:
    options = ("--smoke", "--out", str(tmp_path))
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    for name, row in result["maps"].items():
        assert row["maps"] == NUM_MAPS.get(name, 0), name
        assert row["residual"] < 1e-12, name

    models = result["models"]
    sizes = [row["weights"] for row in models.values()]
    assert max(sizes) < 1.2 * min(sizes)
    # Boosts of rapidity 3 multiply fields by 20, and powers of them rounding errors.
    boosted = np.array(models["equivariant"]["errors_boosted"])
    np.testing.assert_allclose(boosted, boosted[0], rtol=1e-7)
    assert models["MLP"]["errors_boosted"][-1] > 5 * models["MLP"]["errors"][-1]
    assert models["equivariant"]["errors"][-1] < 0.5 * models["MLP"]["errors"][-1]
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
