"""Flows of the AirfRANS collection."""

from __future__ import annotations

import os
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from eqjax._core._checks import check_condition

_NUM_COLUMNS = 12


class PointFlow(NamedTuple):
    """A flow about a body, at scattered points.

    Attributes:
        points: Positions, m.
        inflow: Velocity far away, m/s.
        distance: Distance from the body, m, positive outside.
        normals: Unit normals of the body, 0 elsewhere.
        velocity: Velocity, m/s.
        pressure: Pressure over density, m^2/s^2.
        viscosity: Turbulent kinematic viscosity, m^2/s.
        on_surface: Whether the point lies on the body.
    """

    points: Float[np.ndarray, "points 2"]
    inflow: Float[np.ndarray, "2"]
    distance: Float[np.ndarray, " points"]
    normals: Float[np.ndarray, "points 2"]
    velocity: Float[np.ndarray, "points 2"]
    pressure: Float[np.ndarray, " points"]
    viscosity: Float[np.ndarray, " points"]
    on_surface: Bool[np.ndarray, " points"]


def read_airfrans(path: str | os.PathLike[str]) -> PointFlow:
    """Reads one simulation of AirfRANS from a npy file of shape (points, 12).

    The columns are those of the arrays that `airfrans.dataset.load` of the package
    airfrans returns: x, y; inflow u, v; distance; normal x, y; velocity u, v; pressure
    over density; turbulent viscosity; 1 on the surface and 0 elsewhere. That package
    reads the collection's own files; save each of its arrays with `numpy.save`. All
    points lie outside, so the size of the distance is taken, whatever its sign.

    Args:
        path: The file.

    Returns:
        The flow, float64.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no npy file of that shape, holds values that are not
            finite, or inflows that differ between points.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from eqjax.data import read_airfrans
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "one.npy"
        ...     np.save(path, np.ones((5, 12)))
        ...     flow = read_airfrans(path)
        >>> flow.velocity.shape, flow.inflow.tolist()
        ((5, 2), [1.0, 1.0])

    References:
        Bonnet, Mazari, Cinnella, Gallinari, "AirfRANS: high fidelity computational
        fluid dynamics dataset for approximating Reynolds-averaged Navier-Stokes
        solutions" (2022), section 3.
    """
    path = pathlib.Path(path)
    try:
        values = np.load(path)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no readable npy file: {error}.") from error
    fits = isinstance(values, np.ndarray) and values.dtype.kind in "iuf"
    check_condition(
        fits
        and values.ndim == 2
        and values.shape[1] == _NUM_COLUMNS
        and values.size > 0,
        f"{path} must hold numbers of shape (points, {_NUM_COLUMNS}), got "
        f"{getattr(values, 'shape', type(values).__name__)}. Save the arrays of "
        "`airfrans.dataset.load`, each in a file of its own.",
    )
    values = values.astype(np.float64)
    check_condition(
        bool(np.isfinite(values).all()),
        f"{path} must hold finite values, got {int(np.sum(~np.isfinite(values)))} that "
        "are not.",
    )
    inflow = values[0, 2:4]
    check_condition(
        bool(np.allclose(values[:, 2:4], inflow, rtol=1e-5)),
        f"{path} must hold one inflow in columns 2 and 3, got several.",
    )
    return PointFlow(
        points=values[:, :2],
        inflow=inflow,
        distance=np.abs(values[:, 4]),
        normals=values[:, 5:7],
        velocity=values[:, 7:9],
        pressure=values[:, 9],
        viscosity=values[:, 10],
        on_surface=values[:, 11] > 0.5,
    )
