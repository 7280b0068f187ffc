"""Two-dimensional velocity models stored as NumPy arrays."""

from __future__ import annotations

import os

import numpy as np
from jaxtyping import Float

from eqjax.data._npy import read_npy


def read_velocity_grid(path: str | os.PathLike[str]) -> Float[np.ndarray, "rows cols"]:
    """Reads a 2-D array of velocities from a `.npy` file.

    The axes, their spacing and the unit are those of the file; values are returned as
    stored (other number types are widened to float64, which is refused where it would
    round).

    Args:
        path: The file.

    Returns:
        The velocities, float64.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no `.npy` array of real numbers, is not 2-D with at
            least 2 nodes along each axis, or holds a value that is not finite and
            positive (the message names the first such node).

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from eqjax.data import read_velocity_grid
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "model.npy"
        ...     np.save(path, np.full((3, 5), 1.5))
        ...     velocity = read_velocity_grid(path)
        >>> velocity.shape, velocity.dtype.name
        ((3, 5), 'float64')
    """
    stored = read_npy(path)
    if stored.dtype == bool:
        raise ValueError(f"{path} must hold real numbers, got booleans.")
    if stored.ndim != 2 or min(stored.shape) < 2:
        raise ValueError(
            f"{path} must hold a 2-D array with at least 2 nodes along each axis, got "
            f"shape {stored.shape}."
        )
    bad = np.argwhere(~(np.isfinite(stored) & (stored > 0)))
    if len(bad):
        row, col = (int(i) for i in bad[0])
        raise ValueError(
            f"{path} must hold finite, positive velocities, got {stored[row, col]} at "
            f"index ({row}, {col}) and {len(bad)} such values in all. Mask or fill "
            "them before saving."
        )
    velocity = stored.astype(np.float64)
    if not np.array_equal(velocity.astype(stored.dtype), stored):
        raise ValueError(
            f"{path} holds {stored.dtype} values that float64 would round. Save it as "
            "float64."
        )
    return velocity
