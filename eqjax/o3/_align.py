"""Rotations that take an edge to the polar axis."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_floating, check_shape, check_size
from eqjax.o3._clebsch_gordan import check_table
from eqjax.o3._constants import Precision, read_only
from eqjax.o3._frame_product import frame_product
from eqjax.o3._wigner import POLE, multiples, quarter_turn, signed, tilt_table

# Entries of the largest table for which one product with it is faster than the angles
# one after the other.
_LARGEST_TABLE = 2**20


class Alignment(NamedTuple):
    """What `align` finds: the rotation that takes an edge to the polar axis y.

    Attributes:
        matrix: Its matrix on features, shape (num_rows, (L + 1)^2). Rows stand by
            order: those of m = 0 (l = 0, .., L), then for m = 1, .., max_order those of
            +m (l = m, .., L) and those of -m. Where `max_order` < L rows are left out.
    """

    matrix: Float[Array, "num_rows dim"]


def align(
    vector: Float[Array, "3"],
    max_degree: int,
    *,
    max_order: int | None = None,
    precision: Precision = "highest",
) -> Alignment:
    """The rotation R that takes the direction of an edge to the polar axis y.

        Y_l(R r) = D_l Y_l(r),  R vector = |vector| y

    R is determined up to a rotation about y, which multiplies the pair of rows +m and
    -m by the matrix of an angle. What commutes with these, as `so2_linear` does, gives
    results that do not depend on the choice: between `rotate` and `rotate_back` their
    derivatives are right for every edge, and of every order.

    No smooth choice exists for all directions. Two are used, one about each pole and
    one elsewhere, the first being the second after a fixed quarter turn; so nothing
    small is ever divided by, and nothing is masked.

    Args:
        vector: The edge, shape (3,), of any length. The zero vector counts as y, whose
            frame is the identity, with gradient zero.
        max_degree: The largest degree L, from 0 to 12.
        max_order: The largest order m to keep, from 0 to L. Default: L.
        precision: Of the products with constant matrices.

    Returns:
        The matrix of R, rows by order.

    Raises:
        ValueError: If the degree is beyond the tables, the order larger than the
            degree, or `vector` has another shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> edge = jnp.array([3.0, 0.0, 4.0])
        >>> frame = o3.align(edge, 1)
        >>> y = o3.rotate(frame, o3.spherical_harmonics(1, edge)[:, None])
        >>> [round(abs(float(value)), 4) for value in y[:, 0]]
        [1.0, 8.6603, 0.0, 0.0]

    References:
        Passaro, Zitnick, "Reducing SO(3) convolutions to SO(2) for efficient
        equivariant GNNs" (2023), section 3.
    """
    check_size("max_degree", max_degree, minimum=0)
    check_table("max_degree", max_degree)
    max_order = max_degree if max_order is None else max_order
    check_size("max_order", max_order, minimum=0)
    check_condition(
        max_order <= max_degree,
        f"`max_order` must be at most `max_degree` = {max_degree}, got {max_order}.",
    )
    check_shape("vector", vector, (3,), remedy="Use `jax.vmap` for many edges.")
    check_floating("vector", vector)
    near, azimuth, polar = _angles(max_degree, vector)
    shape = len(row_order(max_degree, max_order)), (max_degree + 1) ** 2
    if 2 * (2 * max_degree + 1) ** 2 * math.prod(shape) <= _LARGEST_TABLE:
        # One product for both charts: what belongs to the other one is zero.
        products = polar[:, None] * azimuth[None]
        nothing = jnp.zeros_like(products)
        chosen = [
            jnp.where(near[None], nothing, products),
            jnp.where(near[None], products, nothing),
        ]
        table = _product_table(max_degree, max_order)
        d = _times(jnp.concatenate(chosen).reshape(-1), table, precision)
        return Alignment(d.reshape(shape))
    tilt = _times(polar, _tilt_table(max_degree, max_order), precision).reshape(shape)
    parts = [signed(l, azimuth) for l in range(max_degree + 1)]
    cos, sin = (jnp.concatenate([part[i] for part in parts]) for i in (0, 1))
    d = tilt * jnp.where(_same_type(max_degree, max_order), cos[None], sin[None])
    turned = _times(d, _quarter_turns(max_degree), precision)
    return Alignment(jnp.where(near[None], turned, d))


def rotate(
    alignment: Alignment,
    x: Float[Array, "dim channels"],
    *,
    precision: Precision = "highest",
) -> Float[Array, "num_rows channels"]:
    """A feature as seen from the frame of an edge, rows by order.

    Args:
        alignment: From `align`.
        x: The feature, shape ((L + 1)^2, channels).
        precision: Of the matrix product.

    Returns:
        Rows as in `Alignment`, shape (num_rows, channels).

    Raises:
        ValueError: If `x` has another number of components or another dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> frame = o3.align(jnp.array([0.0, 0.0, 2.0]), 2, max_order=1)
        >>> o3.rotate(frame, jnp.ones((9, 4))).shape
        (7, 4)
    """
    matrix = alignment.matrix
    check_shape("x", x, (matrix.shape[1], None), remedy="Its degree is `align`'s.")
    _check_dtype(alignment, x)
    return frame_product(matrix, x, precision=precision)


def rotate_back(
    alignment: Alignment,
    x: Float[Array, "num_rows channels"],
    *,
    rescale: bool = True,
    precision: Precision = "highest",
) -> Float[Array, "dim channels"]:
    """The inverse of `rotate`; orders that were left out are zero in the frame.

    With `rescale`, degrees l > `max_order` are multiplied by sqrt((2 l + 1) /
    (2 max_order + 1)): of their 2 l + 1 rows so many only are not zero, and their
    variance becomes what it would be with all.

    Args:
        alignment: From `align`.
        x: Rows by order, shape (num_rows, channels).
        rescale: Whether to make up for the orders left out.
        precision: Of the matrix product.

    Returns:
        The feature, shape ((L + 1)^2, channels).

    Raises:
        ValueError: If `x` has another number of rows or another dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> frame, x = o3.align(jnp.array([1.0, 0.0, 2.0]), 2), jnp.ones((9, 4))
        >>> back = o3.rotate_back(frame, o3.rotate(frame, x))
        >>> bool(jnp.allclose(back, x, atol=1e-5))
        True
    """
    matrix = alignment.matrix
    check_shape("x", x, (matrix.shape[0], None), remedy="Its rows are `rotate`'s.")
    _check_dtype(alignment, x)
    max_degree, max_order = sizes(alignment)
    if rescale and max_order < max_degree:
        factors = _rescaling(max_degree, max_order)
        x = x * jnp.asarray(factors, x.dtype)[:, None]
    return frame_product(matrix, x, transpose=True, precision=precision)


def sizes(alignment: Alignment) -> tuple[int, int]:
    """The largest degree and the largest order."""
    num_rows, dim = alignment.matrix.shape
    max_degree = math.isqrt(dim) - 1
    orders = range(max_degree + 1)
    found = [m for m in orders if len(row_order(max_degree, m)) == num_rows]
    return max_degree, found[0]


@functools.lru_cache(maxsize=256)
def row_order(max_degree: int, max_order: int) -> tuple[tuple[int, int], ...]:
    """Degree and order (l, m) of each row."""
    rows = [(l, 0) for l in range(max_degree + 1)]
    for m in range(1, max_order + 1):
        for sign in (1, -1):
            rows += [(l, sign * m) for l in range(m, max_degree + 1)]
    return tuple(rows)


@functools.lru_cache(maxsize=256)
def row_order_by_degree(max_degree: int) -> tuple[tuple[int, int], ...]:
    """Degree and order (l, m) of each component of a feature."""
    return tuple((l, m) for l in range(max_degree + 1) for m in range(-l, l + 1))


def _check_dtype(alignment: Alignment, x: Array) -> None:
    check_condition(
        x.dtype == alignment.matrix.dtype,
        f"`x` must have the dtype {alignment.matrix.dtype} of the edge, got {x.dtype}. "
        "Convert one of them.",
    )


def _times(x: Array, constant: np.ndarray, precision: Precision) -> Array:
    """The last axis of x times the first one of a constant."""
    return jnp.matmul(x, jnp.asarray(constant, x.dtype), precision=precision)


def _angles(max_degree: int, vector: Array) -> tuple[Array, Array, Array]:
    """Whether the edge is turned first, and multiples of azimuth and polar angle."""
    # Lengths do not matter, so their derivative must not go through the scale.
    scale = jax.lax.stop_gradient(jnp.max(jnp.abs(vector)))
    zero = scale == 0
    unit = vector / jnp.where(zero, 1, scale)
    pole = jnp.asarray([0, 1, 0], vector.dtype)
    x, y, z = jax.lax.split(jnp.where(zero, pole, unit), (1, 1, 1))
    inverse = jax.lax.rsqrt(x * x + y * y + z * z)
    x, y, z = x * inverse, y * inverse, z * inverse
    # The quarter turn takes y to z and z to -y.
    near = y * y > POLE
    y, z = jnp.where(near, -z, y), jnp.where(near, y, z)
    sine = jnp.sqrt(x * x + z * z)
    azimuth = multiples(max_degree, z / sine, x / sine)
    return near, azimuth, multiples(max_degree, y, sine)


# Constants, float64 ---------------------------------------------------------------


# X(b)^T Y(a)^T is the rotation: X(b), about x, keeps the types of orders, cosine or
# sine, so that each entry has one term: [m, n] cos(n a) where the types of m and n are
# the same, -[m, -n] sin(n a) where they are not.


@functools.lru_cache(maxsize=64)
def _tilt_table(max_degree: int, max_order: int) -> np.ndarray:
    """Those terms by `multiples` of b; rows by order, columns by degree, flattened."""
    size = max_degree + 1
    table = np.zeros((2 * max_degree + 1, size**2, size**2))
    for l in range(size):
        block = slice(l * l, (l + 1) ** 2)
        x = tilt_table(l).transpose(0, 2, 1)
        x = np.where(_same_type(l, None)[l * l :, l * l :], x, -x[:, :, ::-1])
        table[: l + 1, block, block] = x[: l + 1]
        table[size : size + l, block, block] = x[l + 1 :]
    index = [l * l + l + m for l, m in row_order(max_degree, max_order)]
    return read_only(table[:, index].reshape(2 * max_degree + 1, -1))


@functools.lru_cache(maxsize=64)
def _same_type(max_degree: int, max_order: int | None) -> np.ndarray:
    """Whether orders of rows and columns are of one type.

    Rows stand by order, without `max_order` by degree.
    """
    columns = row_order_by_degree(max_degree)
    rows = columns if max_order is None else row_order(max_degree, max_order)
    sine = [np.array([m < 0 for _, m in order]) for order in (rows, columns)]
    return read_only(sine[0][:, None] == sine[1][None])


@functools.lru_cache(maxsize=64)
def _product_table(max_degree: int, max_order: int) -> np.ndarray:
    """The rotation by products of multiples of b and of a, in both charts."""
    size, same = max_degree + 1, _same_type(max_degree, max_order)
    turns = np.zeros((2 * max_degree + 1, *same.shape))
    for column, (_, n) in enumerate(row_order_by_degree(max_degree)):
        turns[abs(n), :, column] = same[:, column]
        if n:
            turns[max_degree + abs(n), :, column] = np.sign(n) * ~same[:, column]
    tilts = _tilt_table(max_degree, max_order).reshape(turns.shape)
    d = (tilts[:, None] * turns[None]).reshape(-1, size**2)
    turned = d @ _quarter_turns(max_degree)
    return read_only(np.concatenate([d, turned]).reshape(-1, same.size))


@functools.lru_cache(maxsize=64)
def _quarter_turns(max_degree: int) -> np.ndarray:
    """Those of all degrees, block-diagonal."""
    dim = (max_degree + 1) ** 2
    total = np.zeros((dim, dim))
    for l in range(max_degree + 1):
        block = slice(l * l, (l + 1) ** 2)
        total[block, block] = quarter_turn(l)
    return read_only(total)


@functools.lru_cache(maxsize=256)
def _rescaling(max_degree: int, max_order: int) -> np.ndarray:
    """Of each row."""
    degrees = np.array([l for l, _ in row_order(max_degree, max_order)])
    scale = np.sqrt((2 * degrees + 1) / (2 * max_order + 1))
    return read_only(np.where(degrees > max_order, scale, 1.0))
