"""Images of handwritten digits."""

from __future__ import annotations

import os
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from eqjax._core._checks import check_condition, check_size
from eqjax.data._idx import read_idx

_NUM_TRAIN = 1_400
_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class LabelledImages(NamedTuple):
    """Images and their classes, to train on and to test on.

    Attributes:
        train_images: Gray values in [0, 1], float32, (images, height, width).
        train_labels: Classes from 0, int32, (images,).
        test_images: Like `train_images`.
        test_labels: Like `train_labels`.
    """

    train_images: Float[np.ndarray, "train height width"]
    train_labels: Int[np.ndarray, " train"]
    test_images: Float[np.ndarray, "test height width"]
    test_labels: Int[np.ndarray, " test"]


def digits(
    *,
    size: int | None = None,
    frame: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> LabelledImages:
    """Handwritten digits: 1,797 small ones, or those of four idx files.

    Without `directory` these are the 8 x 8 digits that come with scikit-learn, 1,400 to
    train on and 397 to test on. With it, the images of the four files of MNIST or of a
    set of the same form, divided as they are.

    Digits are resampled to `size` by cubic splines, clipped to [0, 1], and stand in the
    centre of a black frame, exactly, whatever is even or odd. Those of files keep their
    pixels if `size` is None: in a frame that is an odd number of pixels larger they
    stand half a pixel up and left of the centre.

    Args:
        size: Side of the digits, pixels. Default: 16, or what files hold.
        frame: Side of the images, pixels. Default: 25, or `size`.
        directory: Folder of train-images-idx3-ubyte, train-labels-idx1-ubyte,
            t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte; also with a dot before
            "idx", also ending in .gz.
        seed: Of the division into training and test images; unused for files.

    Returns:
        Images in [0, 1] and labels.

    Raises:
        ImportError: If scikit-learn is needed and not installed.
        FileNotFoundError: If files are missing; the message names them.
        ValueError: If a size is out of range or a file is no such set.

    Example:
        >>> from eqjax.data import digits
        >>> images, labels, *_ = digits(size=12, frame=17)
        >>> images.shape, labels.shape
        ((1400, 17, 17), (1400,))

    References:
        Alpaydin, Kaynak, "Optical recognition of handwritten digits" (1998), UCI
        machine learning repository; LeCun, Cortes, Burges, "The MNIST database of
        handwritten digits" (1998).
    """
    for name, value in (("size", size), ("frame", frame)):
        if value is not None:
            check_size(name, value, minimum=2)
    if directory is None:
        images, labels = _small_digits()
        order = np.random.default_rng(seed).permutation(len(images))
        images, labels = images[order], labels[order]
        found = LabelledImages(
            images[:_NUM_TRAIN],
            labels[:_NUM_TRAIN],
            images[_NUM_TRAIN:],
            labels[_NUM_TRAIN:],
        )
        size, frame = size or 16, frame or 25
    else:
        found = _read_files(pathlib.Path(directory))
    return found._replace(
        train_images=_place(found.train_images, size, frame),
        test_images=_place(found.test_images, size, frame),
    )


def _small_digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits of scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "`digits()` takes its images from scikit-learn, which is not installed. "
            "Install scikit-learn, or pass the `directory` of the four files of MNIST."
        ) from error
    images, labels = load_digits(return_X_y=True)
    images = np.asarray(images, np.float32).reshape(-1, 8, 8) / 16
    return images, np.asarray(labels, np.int32)


def _read_files(directory: pathlib.Path) -> LabelledImages:
    """The arrays of the four files."""
    paths: list[pathlib.Path] = []
    missing = []
    for name in _NAMES:
        names = (name, name.replace("-idx", ".idx"))
        candidates = [directory / f"{n}{end}" for n in names for end in ("", ".gz")]
        present = [path for path in candidates if path.is_file()]
        if present:
            paths.append(present[0])
        else:
            missing.append(name)
    if missing:
        raise FileNotFoundError(
            f"`directory` {directory} must hold the four files {', '.join(_NAMES)} "
            "(also with a dot before 'idx', also ending in .gz); missing: "
            f"{', '.join(missing)}. Put them there."
        )
    arrays = [read_idx(path) for path in paths]
    parts: list[np.ndarray] = []
    for k in (0, 2):
        images, labels = arrays[k], arrays[k + 1]
        check_condition(
            images.dtype == np.uint8
            and images.ndim == 3
            and images.shape[1] == images.shape[2],
            f"{paths[k]} must hold square images of bytes (images, side, side), got "
            f"shape {images.shape} and dtype {images.dtype}.",
        )
        check_condition(
            labels.shape == images.shape[:1] and labels.dtype.kind in "iu",
            f"{paths[k + 1]} must hold one label for each of the {len(images)} images "
            f"of {paths[k].name}, got shape {labels.shape} and dtype {labels.dtype}.",
        )
        parts += [images.astype(np.float32) / 255, labels.astype(np.int32)]
    return LabelledImages(*parts)


def _place(images: np.ndarray, size: int | None, frame: int | None) -> np.ndarray:
    """The images, enlarged to `size`, in frames."""
    side = images.shape[1]
    inner = side if size is None else size
    outer = inner if frame is None else frame
    check_condition(
        outer >= inner,
        f"`frame` must be at least the size of the digits, {inner}, got {outer}. "
        "Enlarge it, or pass a smaller `size`.",
    )
    before, extra = divmod(outer - inner, 2)
    if size is None or (size == side and extra == 0):
        padding = (before, before + extra)
        return np.pad(images, ((0, 0), padding, padding))
    matrix = _resampling_matrix(side, size, outer)
    placed = matrix @ images.astype(np.float64) @ matrix.T
    return np.clip(placed, 0, 1).astype(np.float32)


def _resampling_matrix(side: int, size: int, frame: int) -> np.ndarray:
    """From `side` samples to `frame` samples of their cubic spline, size / side denser.

    Zeros surround the samples, and the centres of both intervals coincide.
    """
    # Imported here: scipy comes with jax, but takes a while to load.
    from scipy import ndimage

    # Coefficients fall by 2 - sqrt(3) a sample: 1e-7 over 12.
    pad = 12
    samples = np.pad(np.eye(side), ((pad, pad), (0, 0)))
    coefficients = ndimage.spline_filter1d(samples, 3, axis=0)
    positions = (np.arange(frame) - (frame - 1) / 2) * side / size + (side - 1) / 2
    t = np.abs(positions[:, None] + pad - np.arange(side + 2 * pad)[None])
    near, far = 2 / 3 - t * t + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6
    return np.where(t < 1, near, far) @ coefficients
