"""Bilinear products of features through signals on the sphere."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_floating,
    check_size,
)
from eqjax.o3._clebsch_gordan import MAX_DEGREE, clebsch_gordan
from eqjax.o3._constant_map import constant_map
from eqjax.o3._constants import Precision
from eqjax.o3._harmonics_table import harmonics
from eqjax.o3._s2_grid import (
    check_degree_weights,
    check_same_dtype,
    exact_shape,
    from_grid_matrix,
    grid_points,
    read_only,
    spread,
    to_grid_matrix,
)

# The features of a product, and the keys of its weights.
NAMES = ("x", "y", "out")


def gaunt_product(
    x: Float[Array, "dim_x channels"],
    y: Float[Array, "dim_y channels"],
    *,
    max_degree_out: int,
    weights: Mapping[str, Array] | None = None,
    precision: Precision = "highest",
) -> Float[Array, "dim_out channels"]:
    """The product of two signals on the sphere, projected onto degrees up to l_out.

        out_l3 = c_l3 sum_{l1, l2} g(l1, l2, l3) C^{l1 l2 l3}(a_l1 x_l1, b_l2 y_l2)

    with the coefficients C of `clebsch_gordan` and Gaunt's numbers g, which vanish
    unless l1 + l2 + l3 is even. It commutes with SO(3), and with O(3) where both
    features have natural parity, (-1)^l; so has the result then. If x has parities
    s (-1)^l and y has t (-1)^l, the result has s t (-1)^l.

    The grid is exact, and its matrices are the whole cost. There are 3 (L + 1) weights
    for the 23 couplings of L = 3, so the product is less expressive than one with a
    weight for each coupling: see `expressivity`.

    Args:
        x: Features of degrees 0, .., l_x.
        y: Features of degrees 0, .., l_y.
        max_degree_out: l_out.
        weights: a, b, c by the keys "x", "y", "out": numbers for each degree, or a
            single row for all, and for each channel, or a single one. Default: ones.
        precision: Of the matrix products.

    Returns:
        Features of degrees 0, .., l_out.

    Raises:
        ValueError: If a shape, dtype or key does not fit.

    Example:
        The product of two vectors is their scalar product and a symmetric matrix.

        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x = jnp.asarray([0.0, 1.0, 0.0, 0.0])[:, None]
        >>> abs(o3.gaunt_product(x, x, max_degree_out=1))[:, 0].round(3).tolist()
        [1.0, 0.0, 0.0, 0.0]

    References:
        Luo, Chen, Krishnapriyan, "Enabling efficient equivariant operations in the
        Fourier basis via Gaunt tensor products" (2024), section 3; Xie, Daigavane,
        Kotak, Smidt, "The price of freedom" (2025), for the product on a grid.
    """
    degree_x, degree_y = check_pair(x, y, max_degree_out)
    a, b, c = check_weights(weights, (degree_x, degree_y, max_degree_out), x)
    shape = exact_shape(degree_x + degree_y + max_degree_out)
    f = constant_map(
        to_grid_matrix(shape, degree_x),
        weighted(a, x, degree_x, precision),
        precision=precision,
    )
    g = constant_map(
        to_grid_matrix(shape, degree_y),
        weighted(b, y, degree_y, precision),
        precision=precision,
    )
    project = from_grid_matrix(shape, max_degree_out)
    out = constant_map(project, f * g, precision=precision)
    return weighted(c, out, max_degree_out, precision)


def vector_signal_product(
    x: Float[Array, "dim_x channels"],
    y: Float[Array, "dim_y channels"],
    *,
    max_degree_out: int,
    couplings: Literal["odd", "all"] = "odd",
    weights: Mapping[str, Array] | None = None,
    precision: Precision = "highest",
) -> Float[Array, "dim_out channels"]:
    """The cross product of two vector fields on the sphere, projected.

    Degree j of a feature is the coefficient of vector spherical harmonics, which couple
    scalar ones of degree l' = j - 1, j or j + 1 with the directions of space:

        V(r)_e = sum_{j, l'} a_{l', j} sum_{m, k} C^{l' 1 j}_{m e k} Y_{l' m}(r) x_{jk}

    `couplings="odd"` takes l' = j - 1 and j + 1. Then l1 + l2 + l3 is odd in every
    coupling, e.g. (1, 1, 1), the cross product of vectors, which `gaunt_product` lacks.
    It commutes with SO(3). Under inversion, x of parities s (-1)^l and y of t (-1)^l
    give a result of parities -s t (-1)^l: the product of two features of natural parity
    has the opposite one.

    `couplings="all"` takes all three, and couples both odd and even sums, but for
    (0, 0, 0). It commutes with SO(3) only.

    The grid is exact, with no more points than that of `gaunt_product`.

    Args:
        x: Features of degrees 0, .., l_x.
        y: Features of degrees 0, .., l_y.
        max_degree_out: l_out.
        couplings: Which types l' there are.
        weights: a, b and the same of the result by the keys "x", "y", "out", each of
            shape (types, degrees or 1, channels or 1), types in the order j - 1, (j,)
            j + 1. Those of types that do not exist, for j = 0, have no effect.
            Default: ones.
        precision: Of the matrix products.

    Returns:
        Features of degrees 0, .., l_out.

    Raises:
        ValueError: If a shape, dtype, key or option does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x, y = jnp.eye(4)[:, 1:2], jnp.eye(4)[:, 2:3]
        >>> z = o3.vector_signal_product(x, y, max_degree_out=1)[:, 0]
        >>> bool(jnp.abs(z[3]) > 0.1), z[:3].round(6).tolist()
        (True, [0.0, 0.0, 0.0])

    References:
        Xie, Daigavane, Kotak, Smidt, "The price of freedom" (2025), for the product;
        Varshalovich, Moskalev, Khersonskii, "Quantum theory of angular momentum"
        (1988), section 7.3, for the fields.
    """
    degree_x, degree_y = check_pair(x, y, max_degree_out)
    check_choice("couplings", couplings, ("odd", "all"))
    types = (-1, 1) if couplings == "odd" else (-1, 0, 1)
    degrees = (degree_x, degree_y, max_degree_out)
    for name, degree in zip(NAMES, degrees, strict=True):
        check_condition(
            degree < MAX_DEGREE,
            f"The degrees of `{name}` must be at most {MAX_DEGREE - 1}, since fields "
            f"have one degree more than features, got {degree}.",
        )
    a, b, c = check_weights(weights, degrees, x, types=len(types))
    # What is summed over the points is Y_1 r . (grad Y_2 x grad Y_3), a polynomial of
    # degree l1 + l2 + l3 - 1, and with l' = j also Y_1 grad Y_2 . grad Y_3, of degree
    # l1 + l2 + l3: less than the degrees of the three fields.
    total = degree_x + degree_y + max_degree_out
    shape = exact_shape(total if couplings == "all" else max(total - 1, 0))
    f_r, f_p, f_a = _to_field(shape, degree_x, types, a, x, precision)
    g_r, g_p, g_a = _to_field(shape, degree_y, types, b, y, precision)
    cross = (f_p * g_a - f_a * g_p, f_a * g_r - f_r * g_a, f_r * g_p - f_p * g_r)
    return _from_field(shape, max_degree_out, types, c, cross, precision)


def check_pair(x: Any, y: Any, max_degree_out: int) -> tuple[int, int]:
    """Checks two features and a degree; the largest degrees of the features."""
    check_size("max_degree_out", max_degree_out, minimum=0)
    degrees = []
    for name, array in (("x", x), ("y", y)):
        shape = getattr(array, "shape", ())
        dim = shape[0] if len(shape) == 2 else 0
        degree = math.isqrt(dim) - 1
        check_condition(
            degree >= 0 and (degree + 1) ** 2 == dim,
            f"`{name}` must be an array of shape ((L + 1)^2, channels), of degrees "
            f"0, .., L, got {shape}. Use `jax.vmap` for more axes.",
        )
        check_floating(name, array)
        degrees.append(degree)
    check_condition(
        x.shape[1] == y.shape[1],
        f"`y` must have as many channels as `x`, {x.shape[1]}, got {y.shape[1]}.",
    )
    check_same_dtype("y", y, x)
    return degrees[0], degrees[1]


def check_weights(
    weights: Mapping[str, Array] | None,
    degrees: tuple[int, int, int],
    x: Any,
    *,
    types: int | None = None,
) -> list[Any]:
    """Checks weights per degree (and type), and returns them by "x", "y", "out"."""
    if weights is None:
        return [None, None, None]
    check_condition(
        set(weights) == set(NAMES),
        f"`weights` must have the keys {NAMES}, got {tuple(weights)}.",
    )
    for name, degree in zip(NAMES, degrees, strict=True):
        array = weights[name]
        if types is not None:
            check_condition(
                np.ndim(array) == 3 and np.shape(array)[0] == types,
                f"`weights[{name!r}]` must have shape ({types}, {degree + 1} or 1, "
                f"{x.shape[1]} or 1), got {np.shape(array)}.",
            )
            array = array[0]
        check_degree_weights(f"weights[{name!r}]", array, degree, x)
    return [weights[name] for name in NAMES]


def weighted(
    weights: Array | None, x: Array, max_degree: int, precision: Precision
) -> Array:
    """Features times numbers per degree."""
    if weights is None:
        return x
    return x * spread(weights, max_degree, precision=precision)


@functools.lru_cache(maxsize=64)
def vector_harmonics(shape: tuple[int, int], l: int, j: int) -> np.ndarray:
    """Fields of degree j that couple Y_l with the directions, (points, 3, 2 j + 1).

    The components are along r, along e_p = e_a x r and along e_a, the direction of
    growing azimuth: right-handed, orthonormal, and defined at every point, for no point
    of a grid is a pole.
    """
    points, _ = grid_points(shape)
    y = harmonics(l, points)[:, l * l :]
    fields = np.einsum("nm,mek->nek", y, clebsch_gordan(l, 1, j))
    radius = np.sqrt(points[:, 2] ** 2 + points[:, 0] ** 2)
    azimuthal = np.stack([points[:, 2], 0 * radius, -points[:, 0]], 1) / radius[:, None]
    frame = np.stack([points, np.cross(azimuthal, points), azimuthal], axis=1)
    return read_only(np.einsum("nde,nek->ndk", frame, fields))


@functools.lru_cache(maxsize=64)
def _field_tables(
    shape: tuple[int, int], max_degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parts that fields are made of, and how much of each is in every type.

    At every point, a field of l' = j - 1 or j + 1 is a number times Y_j r plus a number
    times the normalised gradient of Y_j, and one of l' = j a number times r x gradient:
    with weights there is no need to evaluate each type.

    Returns:
        Along e_p and e_a the gradients, both (points, dim), and the numbers, of shape
        (types l' = j - 1, j, j + 1; parts Y r, gradient, r x gradient; degrees).
    """
    points, _ = grid_points(shape)
    # The parts are measured on a grid that is exact for squares of fields.
    fine = exact_shape(2 * max_degree + 2)
    fine_points, fine_weights = grid_points(fine)
    scalars = harmonics(max_degree, fine_points)
    gradients = np.zeros((2, len(points), (max_degree + 1) ** 2))
    amounts = np.zeros((3, 3, max_degree + 1))
    for j in range(max_degree + 1):
        where = slice(j * j, (j + 1) ** 2)
        gradient = np.zeros((len(fine_points), 2, 2 * j + 1))
        if j > 0:
            tangential = vector_harmonics(fine, j - 1, j)[:, 1:]
            square = np.einsum("n,ndk->", fine_weights, tangential**2)
            scale = math.sqrt((2 * j + 1) / square)
            gradient = scale * tangential
            here = scale * vector_harmonics(shape, j - 1, j)[:, 1:]
            gradients[:, :, where] = here.transpose(1, 0, 2)
        turned = np.stack([-gradient[:, 1], gradient[:, 0]], axis=1)
        for index, l in enumerate((j - 1, j, j + 1)):
            if l < 0 or (l, j) == (0, 0):
                continue
            field = vector_harmonics(fine, l, j)
            mean = fine_weights / (2 * j + 1)
            amounts[index, 0, j] = np.einsum(
                "n,nk,nk->", mean, field[:, 0], scalars[:, where]
            )
            for part, basis in ((1, gradient), (2, turned)):
                amounts[index, part, j] = np.einsum(
                    "n,ndk,ndk->", mean, field[:, 1:], basis
                )
    return read_only(gradients[0]), read_only(gradients[1]), read_only(amounts)


def _parts(
    shape: tuple[int, int],
    max_degree: int,
    types: tuple[int, ...],
    weights: Array | None,
    like: Array,
) -> list[Array]:
    """Weights (degrees, channels or 1) of the parts Y r, gradient, (r x gradient)."""
    amounts = _field_tables(shape, max_degree)[2]
    found = []
    for part in range(len(types)):
        total: Any = 0.0
        for index, type_ in enumerate(types):
            amount = jnp.asarray(amounts[type_ + 1, part][:, None], like.dtype)
            total = total + (amount if weights is None else amount * weights[index])
        found.append(total)
    return found


def _to_field(
    shape: tuple[int, int],
    max_degree: int,
    types: tuple[int, ...],
    weights: Array | None,
    x: Array,
    precision: Precision,
) -> tuple[Array, Array, Array]:
    """Radial, polar and azimuthal components of the field at the points."""
    polar, azimuthal, _ = _field_tables(shape, max_degree)
    parts = [
        weighted(part, x, max_degree, precision)
        for part in _parts(shape, max_degree, types, weights, x)
    ]
    radial = to_grid_matrix(shape, max_degree)
    tangent = parts[1]
    if len(parts) == 3:
        tangent = jnp.concatenate(parts[1:])
        polar, azimuthal = (
            np.concatenate([polar, -azimuthal], axis=1),
            np.concatenate([azimuthal, polar], axis=1),
        )
    return (
        constant_map(radial, parts[0], precision=precision),
        constant_map(polar, tangent, precision=precision),
        constant_map(azimuthal, tangent, precision=precision),
    )


def _from_field(
    shape: tuple[int, int],
    max_degree: int,
    types: tuple[int, ...],
    weights: Array | None,
    field: tuple[Array, Array, Array],
    precision: Precision,
) -> Array:
    """The coefficients of a field: the transpose of `_to_field`, averaged."""
    polar, azimuthal, _ = _field_tables(shape, max_degree)
    radial = to_grid_matrix(shape, max_degree)
    mean = grid_points(shape)[1]

    def project(table: np.ndarray, values: Array) -> Array:
        return constant_map((table * mean[:, None]).T, values, precision=precision)

    f_r, f_p, f_a = field
    found = [project(radial, f_r), project(polar, f_p) + project(azimuthal, f_a)]
    if len(types) == 3:
        found.append(project(polar, f_a) - project(azimuthal, f_p))
    parts = _parts(shape, max_degree, types, weights, f_r)
    rows = [
        weighted(part, values, max_degree, precision)
        for part, values in zip(parts, found, strict=True)
    ]
    return functools.reduce(jnp.add, rows)
