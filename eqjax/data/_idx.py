"""The idx format of the MNIST family of image sets."""

from __future__ import annotations

import gzip
import math
import os
import pathlib

import numpy as np

# The third byte of the magic number. All numbers in the file are big-endian.
_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an array from an idx file, plain or compressed by gzip.

    The file is a magic number of four bytes 0, 0, code of the dtype, number of axes
    (0x00000803 for images, 0x00000801 for labels, both of bytes), the sizes of the axes
    as big-endian 32-bit integers, and the values, big-endian, last axis fastest.

    Args:
        path: The file; whether it is compressed is seen from its first two bytes.

    Returns:
        The values as stored, in the byte order of this machine.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the magic number is no idx file's, or if the file is truncated,
            too long, or damaged.

    Example:
        >>> import pathlib, tempfile
        >>> from eqjax.data import read_idx
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "labels-idx1-ubyte"
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
        ...     labels = read_idx(path)
        >>> labels.tolist(), labels.dtype.name
        ([5, 0, 4], 'uint8')

    References:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits" (1998),
        section "File formats for the MNIST database".
    """
    path = pathlib.Path(path)
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(
                f"{path} is not a readable gzip file: {error}. It may be truncated; "
                "get it again."
            ) from error
    if len(content) < 4:
        raise ValueError(
            f"{path} must begin with the magic number of an idx file, 4 bytes, got "
            f"{len(content)} bytes. It is truncated; get it again."
        )
    code, num_axes = content[2], content[3]
    if content[:2] != b"\0\0" or code not in _DTYPES or num_axes == 0:
        raise ValueError(
            f"{path} must begin with the magic number of an idx file (0x00000803 for "
            "images, 0x00000801 for labels; third byte one of "
            f"{', '.join(f'0x{known:02X}' for known in _DTYPES)}), got "
            f"0x{content[:4].hex().upper()}. Pass an idx file, plain or as .gz."
        )
    start = 4 + 4 * num_axes
    if len(content) < start:
        raise ValueError(
            f"{path} must hold the sizes of {num_axes} axes, {start} bytes with the "
            f"magic number, got {len(content)} bytes. It is truncated; get it again."
        )
    shape = tuple(np.frombuffer(content, ">u4", num_axes, offset=4).tolist())
    dtype = np.dtype(_DTYPES[code])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        damage = "truncated" if len(content) < expected else "too long"
        raise ValueError(
            f"{path} must have {expected} bytes for an array of shape {shape} and "
            f"dtype {dtype.name}, got {len(content)}. It is {damage}; get it again."
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))
