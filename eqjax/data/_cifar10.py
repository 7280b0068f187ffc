"""The python files of the CIFAR-10 images."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from eqjax._core._checks import check_condition

_TRAIN = tuple(f"data_batch_{k}" for k in range(1, 6))
_TEST = ("test_batch",)
_SIDE, _CHANNELS, _NUM_CLASSES = 32, 3, 10

# What pickled arrays and plain values are made of, under the module names of all
# versions. Nothing here calls, opens or imports anything.
_NUMPY_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_ALLOWED = {
    *((module, "_reconstruct") for module in _NUMPY_MODULES),
    *((module, "scalar") for module in _NUMPY_MODULES),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *((m, "_frombuffer") for m in ("numpy.core.numeric", "numpy._core.numeric")),
    *(("builtins", name) for name in ("bytes", "bytearray", "list", "dict", "tuple")),
    *(("builtins", name) for name in ("int", "float", "str", "bool")),
}


class ColorImages(NamedTuple):
    """Color images and their classes, to train on and to test on.

    Attributes:
        train_images: Red, green, blue in [0, 1], float32, (images, height, width, 3).
        train_labels: Classes from 0, int32, (images,).
        test_images: Like `train_images`.
        test_labels: Like `train_labels`.
    """

    train_images: Float[np.ndarray, "train height width 3"]
    train_labels: Int[np.ndarray, " train"]
    test_images: Float[np.ndarray, "test height width 3"]
    test_labels: Int[np.ndarray, " test"]


def read_cifar10(folder: str | os.PathLike[str]) -> ColorImages:
    """Reads CIFAR-10 from the files of its python version.

    Each file is a pickled dict with `data`, bytes (images, 3072) that hold the red, the
    green and the blue 32 x 32 plane of an image one after the other, rows first, and
    `labels`, numbers from 0 to 9. Pickles can run code; here they may name arrays of
    NumPy and plain builtin types, and everything else is refused.

    Args:
        folder: Folder of data_batch_1 .. data_batch_5 and test_batch
            ("cifar-10-batches-py").

    Returns:
        Images in [0, 1] and labels.

    Raises:
        FileNotFoundError: If files are missing; the message names them.
        ValueError: If a file is no pickle of that form, or names other types.

    Example:
        >>> import pathlib, pickle, tempfile
        >>> import numpy as np
        >>> from eqjax.data import read_cifar10
        >>> batch = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [3, 9]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        ...         path = pathlib.Path(folder) / name
        ...         _ = path.write_bytes(pickle.dumps(batch))
        ...     images = read_cifar10(folder)
        >>> images.train_images.shape, images.test_labels.tolist()
        ((10, 32, 32, 3), [3, 9])

    References:
        Krizhevsky, "Learning multiple layers of features from tiny images" (2009),
        chapter 3.
    """
    folder = pathlib.Path(folder)
    missing = [name for name in _TRAIN + _TEST if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"`folder` {folder} must hold the files {', '.join(_TRAIN + _TEST)} of "
            f"CIFAR-10's python version; missing: {', '.join(missing)}. Unpack the "
            "archive and pass its folder cifar-10-batches-py."
        )
    arrays: list[np.ndarray] = []
    for names in (_TRAIN, _TEST):
        images, labels = zip(*(_read_batch(folder / n) for n in names), strict=True)
        arrays += [np.concatenate(images), np.concatenate(labels)]
    return ColorImages(*arrays)


def _read_batch(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one file."""
    try:
        batch = _Unpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    # A damaged pickle is a program gone astray: it can fail in any of these ways.
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        MemoryError,
        OverflowError,
    ) as error:
        raise ValueError(
            f"{path} must be a pickled batch of CIFAR-10's python version, but: "
            f"{error}. It is damaged or another file; get it again."
        ) from error
    check_condition(
        isinstance(batch, dict),
        f"{path} must hold a dict, got {type(batch).__name__}. "
        "Pass a batch of CIFAR-10's python version.",
    )
    entries = {_text(key): value for key, value in batch.items()}
    for name in ("data", "labels"):
        check_condition(
            name in entries,
            f"{path} must hold `{name}`, got {', '.join(map(str, entries))}. "
            "Pass a batch of CIFAR-10 (CIFAR-100 names its labels otherwise).",
        )
    values, size = entries["data"], _CHANNELS * _SIDE**2
    fits = isinstance(values, np.ndarray) and values.dtype == np.uint8
    check_condition(
        fits and values.ndim == 2 and values.shape[1] == size,
        f"`data` of {path} must be bytes of shape (images, {size}), got "
        f"{_describe(values)}.",
    )
    try:
        labels = np.asarray(entries["labels"])
    except ValueError:
        labels = np.zeros(0, object)
    check_condition(
        labels.shape == values.shape[:1]
        and labels.dtype.kind in "iu"
        and bool(np.all((labels >= 0) & (labels < _NUM_CLASSES))),
        f"`labels` of {path} must be {len(values)} numbers from 0 to "
        f"{_NUM_CLASSES - 1}, one per image, got {_describe(labels)}.",
    )
    planes = values.reshape(-1, _CHANNELS, _SIDE, _SIDE)
    images = np.moveaxis(planes, 1, -1).astype(np.float32) / 255
    return images, labels.astype(np.int32)


class _Unpickler(pickle.Unpickler):
    """Refuses every name but those that arrays and plain values need."""

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is refused")
        return super().find_class(module, name)


def _text(key: Any) -> Any:
    """Python 2 wrote its keys as bytes."""
    return key.decode("latin1") if isinstance(key, bytes) else key


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"shape {value.shape} and dtype {value.dtype}"
    return type(value).__name__
