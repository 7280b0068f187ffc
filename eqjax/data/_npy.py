"""Arrays of numbers in `.npy` files."""

from __future__ import annotations

import os
import pathlib

import numpy as np


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an array of numbers or booleans from a `.npy` file, in C order.

    Args:
        path: The file.

    Returns:
        The array as stored, whatever order its file is in.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no `.npy` array of real numbers or booleans.
    """
    path = pathlib.Path(path)
    with path.open("rb") as file:
        try:
            # Object arrays are pickles, which run code when they are read.
            stored = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"{path} is not a readable .npy array of numbers: {error} Write it "
                "with `numpy.save`."
            ) from error
    if stored.dtype.kind not in "fiub":
        raise ValueError(
            f"{path} must hold real numbers, got dtype {stored.dtype}. Save its real "
            "values."
        )
    return np.ascontiguousarray(stored)
