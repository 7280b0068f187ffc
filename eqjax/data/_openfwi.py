"""The velocity models of OpenFWI's files."""

from __future__ import annotations

import os

import numpy as np

from eqjax._core._checks import check_choice, check_condition
from eqjax.data._npy import read_npy
from eqjax.data._velocity_models import VelocityGrid

_NODES, _SPACING_KM = 70, 0.01
_SPEEDS_M_S = (1500.0, 4500.0)
# Files are float32, in which 4500 m/s has a rounding error of 2e-4 m/s.
_SLACK_M_S = 1.0


def read_openfwi(
    path: str | os.PathLike[str],
    *,
    convention: str = "e_nes",
) -> VelocityGrid:
    """Reads a stack of velocity models from an OpenFWI `.npy` file.

    Such files hold float32 speeds in m/s, from 1500 to 4500, of shape
    (models, 1, 70, 70) with axes (depth, x), depth downward, nodes 10 m apart. Here
    they are in km/s and indexed (x, z):

    - `"e_nes"`: z upward, so that the last node is the surface, on the box [-1, 1]^2 of
      published neural solvers. One unit of length is 0.345 km there, which times
      have to be multiplied by to be seconds.
    - `"physical"`: z is the depth, so that the first node is the surface; x and z in
      km, from 0 to 0.69; times are seconds.

    Args:
        path: The file.
        convention: "e_nes" or "physical".

    Returns:
        Speeds in km/s, float32, (models, 70, 70), and the grid of one model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no `.npy` array of float32 of that shape, holds
            values that are not finite or outside of the range, or `convention` is
            unknown.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from eqjax import data, eikonal
        >>> speeds = np.linspace(1500, 4500, 70, dtype=np.float32)  # over depth
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "model.npy"
        ...     np.save(path, np.broadcast_to(speeds[:, None], (3, 1, 70, 70)))
        ...     models = data.read_openfwi(path)
        >>> models.velocity.shape, models.velocity[0, 0, -1].item()  # at the surface
        ((3, 70, 70), 1.5)
        >>> solver = eikonal.GridEikonal((70, 70), models.spacing, models.origin)

    References:
        Deng, Feng, Wang et al., "OpenFWI: large-scale multi-structural benchmark
        datasets for full waveform inversion", 2022. García-Castellanos, Wessels, van
        den Berg et al., "Equivariant eikonal neural networks", 2025 (`"e_nes"`).
    """
    check_choice("convention", convention, ("e_nes", "physical"))
    stored = read_npy(path)
    expected = (1, _NODES, _NODES)
    check_condition(
        stored.ndim == 4 and stored.shape[1:] == expected and len(stored) > 0,
        f"{path} must hold models of shape (models, 1, {_NODES}, {_NODES}) with axes "
        f"(depth, x) last, got {stored.shape}. Pass a file of velocity models, not of "
        "seismic data.",
    )
    check_condition(
        stored.dtype == np.float32,
        f"{path} must hold float32, got dtype {stored.dtype}. Convert it with "
        "`astype(np.float32)`, in m/s.",
    )
    low, high = _SPEEDS_M_S
    # NaN fails every comparison.
    good = (stored >= low - _SLACK_M_S) & (stored <= high + _SLACK_M_S)
    if not good.all():
        index = tuple(int(i) for i in np.argwhere(~good)[0])
        raise ValueError(
            f"{path} must hold speeds from {low:g} to {high:g} m/s, got "
            f"{stored[index]} at index {index} and {int(np.sum(~good))} such values "
            "in all. Convert the unit to m/s, and undo any normalization."
        )
    velocity = np.swapaxes(stored[:, 0], 1, 2) / np.float32(1000)
    if convention == "physical":
        spacing, start = _SPACING_KM, 0.0
    else:
        velocity = velocity[:, :, ::-1]
        spacing, start = 2 / (_NODES - 1), -1.0
    return VelocityGrid(
        np.ascontiguousarray(velocity), (spacing, spacing), (start, start)
    )
