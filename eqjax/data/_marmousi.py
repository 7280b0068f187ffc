"""The Marmousi model of a sedimentary basin, from the files it is distributed in."""

from __future__ import annotations

import os
import pathlib

import numpy as np
from jaxtyping import Float

from eqjax._core._checks import check_condition, check_shape
from eqjax.data._velocity_grids import read_velocity_grid
from eqjax.data._velocity_models import VelocityGrid

_NPY_SHAPE, _NPY_SPACING_KM = (1361, 281), 0.0125
_MAT_SHAPE, _MAT_SPACING_M = (301, 941), 10.0
_MAT_CORNER_M = (0.0, -200.0)
# Rocks and water, generously: other units lie far outside.
_PLAUSIBLE_M_S = (500.0, 10_000.0)
_CROP = slice(600, 881)
_CROP_SIDE_KM = 3.5125
_CROP_FILTER_NODES = 3.0


def read_marmousi(path: str | os.PathLike[str]) -> VelocityGrid:
    """Reads the P-wave speeds of the Marmousi model, in km/s.

    Two formats are known, which hold different versions of the model:

    - `.npy`: (1361, 281) speeds in m/s with axes (x, depth), 12.5 m apart, from x = 0:
      the wider version, 17 km by 3.5 km, with half a kilometer of water on top.
    - `.mat` (MATLAB, version 5): `vel`, (301, 941) speeds in m/s with axes (depth, x),
      10 m apart, and their coordinates `z`, from 0, and `x`, from -200 m.

    Args:
        path: The file; its ending tells the format.

    Returns:
        Speeds in km/s, float64, indexed (x, depth), and the grid in km: the first
        node of the last axis is the surface.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the ending is unknown, or the file is not what its format says:
            shape, coordinates, finite speeds that may be those of rocks in m/s.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from eqjax import data, eikonal
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "marmousi.npy"
        ...     np.save(path, np.full((1361, 281), 1500.0))
        ...     model = data.read_marmousi(path)
        >>> model.velocity.max().item(), model.spacing
        (1.5, (0.0125, 0.0125))
        >>> solver = eikonal.GridEikonal((1361, 281), model.spacing, model.origin)

    References:
        Versteeg, "The Marmousi experience: velocity model determination on a synthetic
        complex data set", 1994. Martin, Wiley, Marfurt, "Marmousi2: an elastic upgrade
        for Marmousi", 2006, for the wider version.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        velocity = read_velocity_grid(path)
        check_condition(
            velocity.shape == _NPY_SHAPE,
            f"{path} must hold speeds of shape {_NPY_SHAPE} with axes (x, depth), got "
            f"{velocity.shape}. Other models are read by `read_velocity_grid`.",
        )
        spacing, origin = _NPY_SPACING_KM, (0.0, 0.0)
    elif suffix == ".mat":
        velocity = _read_mat(path).T
        spacing = _MAT_SPACING_M / 1000
        origin = (_MAT_CORNER_M[1] / 1000, _MAT_CORNER_M[0] / 1000)
    else:
        raise ValueError(
            f"`path` must name a .npy or .mat file, got {path.name!r}. Rename the file "
            "so that its ending tells its format."
        )
    low, high = _PLAUSIBLE_M_S
    least, most = velocity.min(), velocity.max()
    check_condition(
        bool(low <= least and most <= high),
        f"{path} must hold speeds in m/s, from {low:g} to {high:g}, got {least:g} to "
        f"{most:g}. Convert their unit.",
    )
    return VelocityGrid(
        np.ascontiguousarray(velocity) / 1000, (spacing, spacing), origin
    )


def nes_benchmark(model: VelocityGrid) -> VelocityGrid:
    """The square of the Marmousi model on which neural eikonal solvers are compared.

    Nodes 600 to 880 along x, from the surface to the bottom, filtered by a Gaussian of
    3 nodes (the array mirrored at its edges, including the last node). As in the
    benchmark, the 281 x 281 nodes span [0, 3.5125]^2 km, so that they stand
    12.545 m apart rather than the model's own 12.5 m. Published tests have sources at
    the nodes (31, 31), (140, 140) and (255, 255).

    Args:
        model: What `read_marmousi` returned for the `.npy` file.

    Returns:
        Speeds in km/s, float64, (281, 281), indexed (x, depth), and the grid in km.

    Raises:
        ValueError: If `model` is another one.

    Example:
        >>> import numpy as np
        >>> from eqjax import data
        >>> velocity = np.full((1361, 281), 1.5)
        >>> model = data.VelocityGrid(velocity, (0.0125, 0.0125), (0.0, 0.0))
        >>> data.nes_benchmark(model).velocity.shape
        (281, 281)

    References:
        Grubas, Duchkov, Loginov, "Neural eikonal solver: improving accuracy of
        physics-informed neural networks for solving eikonal equation in case of
        caustics", 2023.
    """
    check_shape(
        "model.velocity",
        model.velocity,
        _NPY_SHAPE,
        remedy="Pass `read_marmousi` of the .npy file.",
    )
    # Imported here: scipy comes with jax, but takes a while to load.
    from scipy import ndimage

    square = np.asarray(model.velocity)[_CROP]
    smooth = ndimage.gaussian_filter(square, _CROP_FILTER_NODES)
    spacing = _CROP_SIDE_KM / (len(square) - 1)
    return VelocityGrid(smooth, (spacing, spacing), (0.0, 0.0))


def _read_mat(path: pathlib.Path) -> Float[np.ndarray, "depths xs"]:
    """Speeds in m/s, after checks of everything that the file says."""
    # Imported here: scipy comes with jax, but takes a while to load.
    from scipy import io

    names = ("vel", "z", "x")
    with path.open("rb") as file:
        try:
            stored = io.loadmat(file, variable_names=names)
        # A damaged file fails in whatever way its bytes say.
        except Exception as error:
            raise ValueError(
                f"{path} is not a readable .mat file of version 5: {error} Save it "
                "again with MATLAB's `save -v6` or `scipy.io.savemat`."
            ) from error
    for name in names:
        values = stored.get(name)
        check_condition(
            isinstance(values, np.ndarray) and values.dtype.kind in "fiu",
            f"{path} must hold real numbers named `{name}`, got "
            f"{getattr(values, 'dtype', 'none')}. Its speeds are `vel`, with the "
            "coordinates `z` and `x` in m.",
        )
    speeds = stored["vel"].astype(np.float64)
    check_condition(
        speeds.shape == _MAT_SHAPE,
        f"`vel` of {path} must have shape {_MAT_SHAPE} with axes (depth, x), got "
        f"{speeds.shape}. Pass the model at 10 m.",
    )
    for name, size, start in zip(names[1:], _MAT_SHAPE, _MAT_CORNER_M, strict=True):
        # Whole numbers are stored as unsigned ones, whose differences may wrap.
        found = stored[name].astype(np.float64).ravel()
        expected = start + _MAT_SPACING_M * np.arange(size)
        check_condition(
            found.shape == expected.shape and np.allclose(found, expected),
            f"`{name}` of {path} must be {size} coordinates from {start:g} to "
            f"{expected[-1]:g} m, got {found.size} from {found.min(initial=np.inf):g}.",
        )
    check_condition(
        bool(np.isfinite(speeds).all()),
        f"`vel` of {path} must be finite, but is not at "
        f"{int(np.sum(~np.isfinite(speeds)))} nodes. Fill them before saving.",
    )
    return speeds
