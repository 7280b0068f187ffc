"""Images moved by linear maps and shifts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eqjax._core._checks import check_condition, check_floating, check_size

# Spline coefficients of an edge fall by 0.27 (cubic) to 0.43 (order 5) a pixel.
_PADDING = 12


def warp(
    images: Float[np.ndarray, "images height width"],
    matrices: Float[np.ndarray, "*images 2 2"],
    shifts: Float[np.ndarray, "*images 2"] | None = None,
    *,
    order: int = 3,
) -> Float[np.ndarray, "images height width"]:
    """Moves images by affine maps: (A, t) f (x) = f(A^-1 (x - t)), by splines.

    Coordinates are x = column - centre, y = centre - row, in pixels about the image
    centre, y upwards: the rotation by +90 degrees is `np.rot90(image, 1)`. Outside of
    the image is zero. The map is linear in the images, so values are not clipped, and
    splines of order 2 and higher overshoot at sharp edges: `np.clip` where a range is
    required.

    Args:
        images: Images of one channel, (images, height, width).
        matrices: Invertible matrices A, one for each image or one for all.
        shifts: Vectors t, pixels, one for each image or one for all; default: zero.
        order: Of the splines, 0 (nearest pixel) to 5.

    Returns:
        The moved images, of the same dtype, computed in float64.

    Raises:
        ValueError: If shapes do not fit, a matrix is singular, or `order` is out of
            range.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import warp
        >>> image = np.zeros((1, 3, 3))
        >>> image[0, 1, 2] = 1.0  # on the x axis
        >>> quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
        >>> warp(image, quarter)[0].round(6).argmax()  # top row, middle column
        np.int64(1)

    References:
        Unser, Aldroubi, Eden, "B-spline signal processing: part I" (1993).
    """
    # Imported here: scipy comes with jax, but takes a while to load.
    from scipy import ndimage

    check_condition(
        images.ndim == 3,
        f"`images` must have shape (images, height, width), got {images.shape}.",
    )
    check_floating("images", images)
    check_size("order", order, minimum=0)
    check_condition(order <= 5, f"`order` must be at most 5, got {order}.")
    num, height, width = images.shape
    shifts = np.zeros(2) if shifts is None else shifts
    for name, array, shape in (
        ("matrices", matrices, (2, 2)),
        ("shifts", shifts, (2,)),
    ):
        check_condition(
            array.shape in (shape, (num, *shape)),
            f"`{name}` must have shape {shape} or {(num, *shape)}, one for all or one "
            f"for each of the images, got {array.shape}.",
        )
    a = np.broadcast_to(matrices.astype(np.float64), (num, 2, 2))
    t = np.broadcast_to(shifts.astype(np.float64), (num, 2))
    determinants = a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] * a[:, 1, 0]
    good = np.isfinite(determinants) & (determinants != 0)
    check_condition(
        bool(good.all()),
        f"`matrices` must be invertible, got {a[int(np.argmin(good))].tolist()} at "
        f"index {int(np.argmin(good))}."
        if num
        else "",
    )

    pad = ((0, 0), (_PADDING, _PADDING), (_PADDING, _PADDING))
    coefficients = np.pad(images.astype(np.float64), pad)
    if order > 1:
        for axis in (1, 2):
            coefficients = ndimage.spline_filter1d(coefficients, order, axis=axis)
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    rows, columns = np.mgrid[:height, :width]
    x = np.stack([columns - centre[1], centre[0] - rows]).reshape(2, -1)
    found = np.empty_like(images)
    for k in range(num):
        source = np.linalg.solve(a[k], x - t[k][:, None])
        places = np.stack([centre[0] - source[1], source[0] + centre[1]]) + _PADDING
        values = ndimage.map_coordinates(
            coefficients[k], places, order=order, prefilter=False
        )
        found[k] = values.reshape(height, width)
    return found
