"""Photographs, and images as functions on a square of the plane."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eqjax._core._checks import check_choice, check_condition, check_size

_PHOTOS = ("china", "flower")


def pixel_coordinates(
    height: int, width: int, *, keep_aspect: bool = False
) -> Float[np.ndarray, "height width 2"]:
    """Centers (x, y) of the pixels of an image, whose frame is [-1, 1]^2.

    Entry (row, column) is (x, y) = ((2 column + 1) / width - 1,
    1 - (2 row + 1) / height): x to the right, y upwards, so that the first row of the
    array is the top of the picture and a rotation by +90 degrees is `np.rot90(image)`.
    `image.reshape(-1, channels)` and `pixel_coordinates(...).reshape(-1, 2)` fit.

    Args:
        height: Number of rows.
        width: Number of columns.
        keep_aspect: Keep pixels square: the longer side is [-1, 1], the other one
            shorter. Rotations of the plane move pictures rigidly only then.

    Returns:
        float32.

    Raises:
        ValueError: If a size is no positive integer.

    Example:
        >>> from eqjax.data import pixel_coordinates
        >>> xy = pixel_coordinates(2, 4)
        >>> xy[0, 0].tolist(), xy[1, 3].tolist()
        ([-0.75, 0.5], [0.75, -0.5])
    """
    check_size("height", height)
    check_size("width", width)
    longer = max(height, width)
    half_width, half_height = (
        (width / longer, height / longer) if keep_aspect else (1, 1)
    )
    x = half_width * ((2 * np.arange(width) + 1) / width - 1)
    y = half_height * (1 - (2 * np.arange(height) + 1) / height)
    return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)


def resize_area(
    image: Float[np.ndarray, "height width *channels"], height: int, width: int
) -> Float[np.ndarray, "new_height new_width *channels"]:
    """An image of another size, each new pixel the mean over its area.

    Pixels are squares of constant color; the mean of all is kept exactly, also where
    sizes do not divide each other.

    Args:
        image: Gray or with channels last, floating-point.
        height: New number of rows.
        width: New number of columns.

    Returns:
        The new image, of the same dtype, computed in float64.

    Raises:
        ValueError: If the image has no pixels or another number of axes, does
            not hold floating-point numbers, or holds NaN or infinite values.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import resize_area
        >>> resize_area(np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]), 1, 2)[0].round(3)
        array([0.333, 1.667])
    """
    check_size("height", height)
    check_size("width", width)
    check_condition(
        image.ndim in (2, 3) and image.size > 0,
        "`image` must have shape (height, width) or (height, width, channels) and "
        f"pixels, got {image.shape}.",
    )
    check_condition(
        np.issubdtype(image.dtype, np.floating),
        f"`image` must hold floating-point numbers, got {image.dtype}, which cannot "
        "hold means. Divide bytes by 255.",
    )
    bad = int(np.sum(~np.isfinite(image)))
    check_condition(
        bad == 0,
        f"`image` must hold finite values, got {bad} that are NaN or infinite. "
        "Fill them in, or leave those pixels out of the fit.",
    )
    rows = _area_matrix(image.shape[0], height)
    columns = _area_matrix(image.shape[1], width)
    values = np.tensordot(rows, image.astype(np.float64), axes=(1, 0))
    values = np.moveaxis(np.tensordot(columns, values, axes=(1, 1)), 0, 1)
    return values.astype(image.dtype)


def sample_photo(name: str, size: int) -> Float[np.ndarray, "size size 3"]:
    """A photograph of a temple or a flower, that comes with scikit-learn.

    The largest square in the middle (427 x 427 pixels), reduced by `resize_area`.

    Args:
        name: "china" or "flower".
        size: Number of rows and of columns.

    Returns:
        Red, green, blue in [0, 1], float32.

    Raises:
        ImportError: If scikit-learn, or the Pillow that it decodes with, is not
            installed.
        ValueError: If there is no such photograph or `size` is no positive integer.

    Example:
        >>> from eqjax.data import sample_photo
        >>> sample_photo("china", 32).shape
        (32, 32, 3)
    """
    check_choice("name", name, _PHOTOS)
    check_size("size", size)
    try:
        from sklearn.datasets import load_sample_image

        photo = load_sample_image(f"{name}.jpg")
    except ImportError as error:
        raise ImportError(
            "`sample_photo` takes its photographs from scikit-learn, which needs "
            f"Pillow to decode them: {error}. Install scikit-learn and pillow."
        ) from error
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    square = photo[top : top + side, left : left + side].astype(np.float64) / 255
    return resize_area(square, size, size).astype(np.float32)


def _area_matrix(old: int, new: int) -> np.ndarray:
    """(new, old): what part of a new cell each old cell covers; rows sum to 1."""
    edges_old, edges_new = np.arange(old + 1) / old, np.arange(new + 1) / new
    upper = np.minimum(edges_new[1:, None], edges_old[None, 1:])
    lower = np.maximum(edges_new[:-1, None], edges_old[None, :-1])
    return new * np.maximum(upper - lower, 0)
