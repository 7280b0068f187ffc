"""Matrices of rotations on spherical harmonics."""

from __future__ import annotations

import functools
import math
from typing import Literal, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import block_diag
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_floating, check_size
from eqjax.groups import SO
from eqjax.o3._clebsch_gordan import check_table
from eqjax.o3._constants import read_only
from eqjax.o3._harmonics_table import harmonics

# Where the square of the cosine of the polar angle is larger, another axis is polar.
POLE = 0.5


@overload
def wigner_d(
    max_degree: int, rotation: Float[Array, "..."], *, dense: Literal[False] = False
) -> list[Array]: ...


@overload
def wigner_d(
    max_degree: int, rotation: Float[Array, "..."], *, dense: Literal[True]
) -> Array: ...


def wigner_d(
    max_degree: int, rotation: Float[Array, "..."], *, dense: bool = False
) -> list[Array] | Array:
    """The Wigner matrices D_l of a rotation R, l = 0, .., max_degree.

        Y_l(R r) = D_l(R) Y_l(r),  D_l(R S) = D_l(R) D_l(S),  D_l^T D_l = 1

    R is the product of rotations about y, x and y by three angles. That about y
    multiplies by their cosines and sines, and that about x is the same between two
    constant matrices. Cosines and sines come from the entries of R without an angle,
    and near the poles, where the first axis and the last are the same, those of R times
    a fixed quarter turn are used: derivatives are right everywhere, also at the
    identity, and of every order.

    Args:
        max_degree: The largest degree L, from 0 to 12.
        rotation: A rotation matrix, shape (3, 3), or a unit quaternion wxyz, shape
            (4,), which is an element of `groups.SO(3)`.
        dense: Whether to return one block-diagonal matrix.

    Returns:
        Matrices of shape (2 l + 1, 2 l + 1), or one of shape (dim, dim),
        dim = (L + 1)^2.

    Raises:
        ValueError: If the degree is beyond the tables, or `rotation` has another shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> turn = jnp.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
        >>> [d.shape for d in o3.wigner_d(2, turn)]
        [(1, 1), (3, 3), (5, 5)]
        >>> bool(jnp.allclose(o3.wigner_d(1, turn, dense=True)[1:, 1:], turn))
        True

    References:
        Pinchon, Hoggan, "Rotation matrices for real spherical harmonics: general
        rotations of atomic orbitals in space-fixed axes" (2007), section 4.
    """
    check_size("max_degree", max_degree, minimum=0)
    check_table("max_degree", max_degree)
    check_floating("rotation", rotation)
    check_condition(
        rotation.shape in ((3, 3), (4,)),
        "`rotation` must be a matrix of shape (3, 3) or a quaternion of shape (4,), "
        f"got shape {rotation.shape}. Use `jax.vmap` for many.",
    )
    r = rotation if rotation.shape == (3, 3) else SO(3).matrix(rotation)
    blocks = [jnp.ones((1, 1), r.dtype), r][: max_degree + 1]
    if max_degree > 1:
        blocks += _from_angles(max_degree, r)
    return block_diag(*blocks) if dense else blocks


def _from_angles(max_degree: int, r: Array) -> list[Array]:
    """The matrices of degrees 2, .., max_degree."""
    # R = Y(a) X(b) Y(c): the middle row and column of R have the angles. Where they
    # are near the pole, those of R times the inverse quarter turn are not.
    right_x, yy, yz = jax.lax.split(r[1], (1, 1, 1))
    near = yy * yy > POLE
    y, right_z = jnp.where(near, -yz, yy), jnp.where(near, yy, yz)
    left_x = jnp.where(near, -r[0, 2:], r[0, 1:2])
    left_z = jnp.where(near, -r[2, 2:], r[2, 1:2])
    sine = jnp.sqrt(left_x * left_x + left_z * left_z)
    scale = jax.lax.rsqrt(right_x * right_x + right_z * right_z)
    first = multiples(max_degree, left_z / sine, left_x / sine)
    middle = multiples(max_degree, y, sine)
    last = multiples(max_degree, -right_z * scale, right_x * scale)
    blocks = []
    for l in range(2, max_degree + 1):
        terms = jnp.concatenate(
            [middle[: l + 1], middle[max_degree + 1 : max_degree + 1 + l]]
        )
        same, mixed = _turn_tables(l)
        cos_a, sin_a = signed(l, first)
        cos_c, sin_c = signed(l, last)
        by_order = _multiply(terms, same), _multiply(terms, mixed)
        types = _same_type(l)
        left = jnp.where(types, cos_a[:, None], sin_a[:, None])
        crossed = jnp.where(types, sin_a[:, None], cos_a[:, None])
        d = by_order[0] * left * cos_c[None] + by_order[1] * crossed * sin_c[None]
        turned = _multiply(d, quarter_turn(l))
        blocks.append(jnp.where(near[None], turned, d))
    return blocks


def multiples(max_degree: int, cos: Array, sin: Array) -> Array:
    """cos(m t), m = 0, .., L, then sin(m t), m > 0, from those of t, shape (1,)."""
    c, s = [jnp.ones_like(cos), cos], [sin]
    for _ in range(2, max_degree + 1):
        c_next = cos * c[-1] - sin * s[-1]
        s.append(sin * c[-1] + cos * s[-1])
        c.append(c_next)
    return jnp.concatenate([*c[: max_degree + 1], *s[:max_degree]])


def signed(l: int, multiple: Array) -> tuple[Array, Array]:
    """cos(m t) and sin(m t), m = -l, .., l, from `multiples`."""
    size = (len(multiple) + 1) // 2
    c, s = multiple[1 : l + 1], multiple[size : size + l]
    return (
        jnp.concatenate([c[::-1], multiple[:1], c]),
        jnp.concatenate([-s[::-1], jnp.zeros_like(multiple[:1]), s]),
    )


def _multiply(x: Array, constant: np.ndarray) -> Array:
    """The last axis of x times the first one of a constant, in full precision."""
    return jnp.tensordot(x, jnp.asarray(constant, x.dtype), axes=1, precision="highest")


# Constants, float64 ---------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def of_matrix(l: int, matrix: tuple[float, ...]) -> np.ndarray:
    """D of a fixed orthogonal matrix (row by row): Y_l(M r) = D Y_l(r), parity natural.

    Solved for at more points than there are unknowns.
    """
    # Spread evenly, so that the problem is well conditioned.
    num = 6 * (2 * l + 1)
    height = (2 * np.arange(num) + 1) / num - 1
    angle = math.pi * (3 - math.sqrt(5)) * np.arange(num)
    radius = np.sqrt(1 - height**2)
    points = np.stack([radius * np.sin(angle), height, radius * np.cos(angle)], axis=1)
    m = np.array(matrix).reshape(3, 3)
    before = harmonics(l, points)[:, l * l :]
    after = harmonics(l, points @ m.T)[:, l * l :]
    d = np.linalg.lstsq(before, after, rcond=None)[0].T
    # The nearest orthogonal matrix; and what is zero becomes so.
    left, _, right = np.linalg.svd(d)
    d = left @ right
    return read_only(np.where(np.abs(d) < 1e-14, 0.0, d))


def exchange(l: int) -> np.ndarray:
    """J: of the reflection (x, y, z) -> (-y, -x, z), its own inverse."""
    return of_matrix(l, (0.0, -1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0))


def quarter_turn(l: int) -> np.ndarray:
    """Of the rotation about x that takes y to z."""
    return of_matrix(l, (1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0))


@functools.lru_cache(maxsize=64)
def tilt_table(l: int) -> np.ndarray:
    """The rotations about x, by `multiples`, shape (2 l + 1, 2 l + 1, 2 l + 1).

    Their matrix J Y(b) J, where Y is the one of the rotation about y, is the sum of the
    multiples of b times the entries of this.
    """
    j, size = exchange(l), 2 * l + 1
    table = np.zeros((size, size, size))
    table[0] = np.outer(j[:, l], j[l])
    for k in range(1, l + 1):
        plus, minus = l + k, l - k
        table[k] = np.outer(j[:, plus], j[plus]) + np.outer(j[:, minus], j[minus])
        table[l + k] = np.outer(j[:, minus], j[plus]) - np.outer(j[:, plus], j[minus])
    # A rotation about x does not mix what is even in x with what is odd.
    return read_only(np.where(_same_type(l), table, 0.0))


@functools.lru_cache(maxsize=64)
def _turn_tables(l: int) -> tuple[np.ndarray, np.ndarray]:
    """What multiplies cos(n c) and sin(n c), columns n, in D = Y(a) X(b) Y(c).

    Rows m, columns n. Where m and n are of one type X(b) has [m, n] and [-m, -n],
    otherwise [-m, n] and [m, -n]; the others are zero.
    """
    x, types = tilt_table(l), _same_type(l)
    return (
        read_only(np.where(types, x, -x[:, ::-1])),
        read_only(np.where(types, -x[:, ::-1, ::-1], x[:, :, ::-1])),
    )


def _same_type(l: int) -> np.ndarray:
    """Whether the orders of row and column are both cosines or both sines."""
    sine = np.arange(-l, l + 1) < 0
    return sine[:, None] == sine[None, :]
