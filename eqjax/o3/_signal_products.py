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
    check_same_dtype,
    check_size,
)
from eqjax.o3._clebsch_gordan import MAX_DEGREE
from eqjax.o3._constants import Precision, constant_map
from eqjax.o3._polynomial import ZERO, Term, Terms, polynomial
from eqjax.o3._s2_grid import (
    check_degree_weights,
    exact_shape,
    from_grid_matrix,
    grid_points,
    spread,
    to_grid_matrix,
)
from eqjax.o3._vector_harmonics import field_matrices, field_tables

# Measured on 2 cores: up to this many terms, one loop over the couplings takes less
# time than going to a grid and back. For fields also beyond, but that compiles slowly.
MAX_GAUNT_TERMS = 100
MAX_VECTOR_TERMS = 800
# The largest sum of degrees whose terms are counted.
MAX_DIRECT_DEGREE = 9
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

    with the coefficients C of `clebsch_gordan` and Gaunt's numbers g, the square root
    of (2 l1 + 1)(2 l2 + 1) / (2 l3 + 1) times the entry of C at orders (0, 0, 0), which
    vanish unless l1 + l2 + l3 is even. It commutes with SO(3), and with O(3) where both
    features have natural parity, (-1)^l; so has the result then. If x has parities
    s (-1)^l and y has t (-1)^l, the result has s t (-1)^l.

    It is evaluated on an exact grid or, for the smallest degrees, coupling by coupling.
    There are 12 weights for the 23 couplings of degrees up to 3, so the product is less
    expressive than one with a weight for each coupling: see `expressivity`.

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
    x = weighted(a, x, degree_x, precision)
    y = weighted(b, y, degree_y, precision)
    direct = _gaunt_terms(degree_x, degree_y, max_degree_out)
    if direct is not None:
        out = polynomial(direct, x, y)
    else:
        shape = exact_shape(degree_x + degree_y + max_degree_out)
        f = constant_map(to_grid_matrix(shape, degree_x), x, precision=precision)
        g = constant_map(to_grid_matrix(shape, degree_y), y, precision=precision)
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

    It is evaluated on an exact grid, with no more points than that of `gaunt_product`,
    or coupling by coupling for small degrees.

    Args:
        x: Features of degrees 0, .., l_x.
        y: Features of degrees 0, .., l_y.
        max_degree_out: l_out.
        couplings: Which types l' there are.
        weights: a, b and the same of the result by the keys "x", "y", "out", each of
            shape (types, degrees or 1, channels or 1), types in the order j - 1,
            (j,) j + 1. Those of types that do not exist, for j = 0, have no effect.
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
    xs = _weighted_parts(types, a, x, degree_x, precision)
    ys = _weighted_parts(types, b, y, degree_y, precision)
    direct = _vector_terms(shape, degrees, len(types))
    if direct is not None:
        out = polynomial(direct, jnp.concatenate(xs), jnp.concatenate(ys))
        outs = jnp.split(out, len(types))
    else:
        f_r, f_p, f_a = _to_field(shape, degree_x, xs, precision)
        g_r, g_p, g_a = _to_field(shape, degree_y, ys, precision)
        cross = (f_p * g_a - f_a * g_p, f_a * g_r - f_r * g_a, f_r * g_p - f_p * g_r)
        outs = _from_field(shape, max_degree_out, len(types), cross, precision)
    parts = _parts(types, c, max_degree_out, x)
    rows = [
        weighted(part, values, max_degree_out, precision)
        for part, values in zip(parts, outs, strict=True)
    ]
    return functools.reduce(jnp.add, rows)


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


def bilinear_terms(table: np.ndarray, limit: int) -> Terms | None:
    """The terms of out_k = sum_ij table[k, i, j] x_i y_j, or None if too many."""
    places = np.argwhere(np.abs(table) > ZERO).tolist()
    if len(places) > limit:
        return None
    entries = [Term(k, ((i,), (j,)), table[k, i, j]) for k, i, j in places]
    return Terms(entries, table.shape)


@functools.lru_cache(maxsize=64)
def _gaunt_terms(degree_x: int, degree_y: int, degree_out: int) -> Terms | None:
    """The couplings of a Gaunt product."""
    if degree_x + degree_y + degree_out > MAX_DIRECT_DEGREE:
        return None
    shape = exact_shape(degree_x + degree_y + degree_out)
    f, g = (to_grid_matrix(shape, degree) for degree in (degree_x, degree_y))
    project = from_grid_matrix(shape, degree_out)
    table = np.einsum("kn,ni,nj->kij", project, f, g, optimize=True)
    return bilinear_terms(table, MAX_GAUNT_TERMS)


@functools.lru_cache(maxsize=64)
def _vector_terms(
    shape: tuple[int, int], degrees: tuple[int, int, int], num_parts: int
) -> Terms | None:
    """The couplings of a vector signal product, between the parts of fields."""
    if sum(degrees) > MAX_DIRECT_DEGREE:
        return None
    f, g, h = (field_matrices(shape, degree, num_parts) for degree in degrees)
    cross = np.zeros((3, 3, 3))
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        cross[a, b, c], cross[a, c, b] = 1, -1
    mean = grid_points(shape)[1]
    table = np.einsum("n,abc,ank,bni,cnj->kij", mean, cross, h, f, g, optimize=True)
    return bilinear_terms(table, MAX_VECTOR_TERMS)


def _parts(
    types: tuple[int, ...], weights: Array | None, max_degree: int, like: Array
) -> list[Array]:
    """Weights (degrees, channels or 1) of the parts Y r, gradient, (r x gradient)."""
    # Any grid will do.
    amounts = field_tables((1, 1), max_degree)[2]
    found = []
    for part in range(len(types)):
        total: Any = 0.0
        for index, type_ in enumerate(types):
            amount = jnp.asarray(amounts[type_ + 1, part][:, None], like.dtype)
            total = total + (amount if weights is None else amount * weights[index])
        found.append(total)
    return found


def _weighted_parts(
    types: tuple[int, ...],
    weights: Array | None,
    x: Array,
    max_degree: int,
    precision: Precision,
) -> list[Array]:
    """The coefficients of the parts of a field."""
    parts = _parts(types, weights, max_degree, x)
    return [weighted(part, x, max_degree, precision) for part in parts]


def _to_field(
    shape: tuple[int, int], max_degree: int, parts: list[Array], precision: Precision
) -> list[Array]:
    """Radial, polar and azimuthal components of the field at the points."""
    radial, *tangent = field_matrices(shape, max_degree, len(parts))
    dim = len(parts[0])
    along = jnp.concatenate(parts[1:])
    return [
        constant_map(radial[:, :dim], parts[0], precision=precision),
        *(constant_map(a[:, dim:], along, precision=precision) for a in tangent),
    ]


def _from_field(
    shape: tuple[int, int],
    max_degree: int,
    num_parts: int,
    field: tuple[Array, Array, Array],
    precision: Precision,
) -> list[Array]:
    """The parts of a field: the transpose of `_to_field`, averaged over the points."""
    matrices = field_matrices(shape, max_degree, num_parts)
    radial, *tangent = matrices * grid_points(shape)[1][:, None]
    dim = (max_degree + 1) ** 2
    along = [
        constant_map(a[:, dim:].T, f, precision=precision)
        for a, f in zip(tangent, field[1:], strict=True)
    ]
    first = constant_map(radial[:, :dim].T, field[0], precision=precision)
    return [first, *jnp.split(along[0] + along[1], num_parts - 1)]
