"""Bilinear products of features through products of matrices."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_choice
from eqjax.o3._clebsch_gordan import check_table, clebsch_gordan
from eqjax.o3._constants import Precision, constant_map, read_only
from eqjax.o3._polynomial import Term, Terms, polynomial
from eqjax.o3._signal_products import (
    NAMES,
    bilinear_terms,
    check_pair,
    check_weights,
    weighted,
)

Couplings: TypeAlias = Literal["all", "even", "odd"]

# Measured on 2 cores: up to this many terms, one loop over the couplings takes less
# time than changes of basis to matrices and back.
MAX_DIRECT_TERMS = 64


def matrix_product(
    x: Float[Array, "dim_x channels"],
    y: Float[Array, "dim_y channels"],
    *,
    max_degree_out: int,
    couplings: Couplings = "all",
    weights: Mapping[str, Array] | None = None,
    precision: Precision = "highest",
) -> Float[Array, "dim_out channels"]:
    """The product of two features as matrices, for each channel.

    Degrees l <= 2 n are the matrices that a rotation R sends to D_n(R) X D_n(R)^T:

        X = sqrt(2 n + 1) sum_lk C^{n n l}_{..k} a_l x_lk,    out: of X Y, times c_l

    with the coefficients C of `clebsch_gordan` and the least n for all degrees, half
    the largest, rounded up. The feature 1 (of degree 0) is the identity matrix. All
    couplings (l1, l2, l3) occur with l1 + l2 + l3 even and odd, but for few where a
    6j symbol vanishes; each degree has one weight, so it is less expressive than a
    product with a weight for each coupling: see `expressivity`.

    What it commutes with:

    - SO(3), always.
    - O(3), where x has one parity s for all its degrees, y has t, and the result s t.
    - With natural parities (-1)^l the inversion transposes the matrices, which
      exchanges the factors: P (x y) = (P y)(P x). So `couplings="even"`, which is
      (X Y + Y X) / 2, commutes with O(3) for natural parities in and out; and
      `couplings="odd"`, (X Y - Y X) / 2, for natural x and y and a result of the
      opposite parities.

    Args:
        x: Features of degrees 0, .., l_x.
        y: Features of degrees 0, .., l_y.
        max_degree_out: l_out.
        couplings: The parities of l1 + l2 + l3 that couple.
        weights: a, b (for Y) and c by the keys "x", "y", "out": numbers for each
            degree, or a single row for all, and for each channel, or a single one.
            Default: ones.
        precision: Of the matrix products.

    Returns:
        Features of degrees 0, .., l_out.

    Raises:
        ValueError: If a shape, dtype, key or option does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> one, y = jnp.eye(4)[:, :1], jnp.arange(9.0)[:, None]
        >>> z = o3.matrix_product(one, y, max_degree_out=2)
        >>> bool(jnp.allclose(z, y, atol=1e-5))
        True

    References:
        Xie, Daigavane, Kotak, Smidt, "The price of freedom" (2025), for the product.
    """
    degrees = (*check_pair(x, y, max_degree_out), max_degree_out)
    check_choice("couplings", couplings, ("all", "even", "odd"))
    for name, degree in zip(NAMES, degrees, strict=True):
        check_table(name, degree)
    a, b, c = check_weights(weights, degrees, x)
    n = math.ceil(max(degrees) / 2)
    x = weighted(a, x, degrees[0], precision)
    y = weighted(b, y, degrees[1], precision)
    direct = None
    if n <= 1:
        direct = _direct_terms(n, degrees, couplings)
    if direct is not None:
        out = polynomial(direct, x, y)
    else:
        p = constant_map(_matrices(n, degrees[0]), x, precision=precision)
        q = constant_map(_matrices(n, degrees[1]), y, precision=precision)
        back = _matrices(n, max_degree_out).T / (2 * n + 1)
        product = polynomial(_product_terms(n, couplings), p, q)
        out = constant_map(back, product, precision=precision)
    return weighted(c, out, max_degree_out, precision)


@functools.lru_cache(maxsize=32)
def _matrices(n: int, max_degree: int) -> np.ndarray:
    """From features to matrices, ((2 n + 1)^2, dim), orthogonal to a factor."""
    size = 2 * n + 1
    blocks = [clebsch_gordan(n, n, l) for l in range(max_degree + 1)]
    table = math.sqrt(size) * np.concatenate(blocks, axis=2)
    return read_only(table.reshape(size**2, -1))


@functools.lru_cache(maxsize=32)
def _product_terms(n: int, couplings: Couplings) -> Terms:
    """X Y, or half the sum or difference of X Y and Y X, entry by entry."""
    size = 2 * n + 1
    found: dict[tuple[int, int, int], float] = {}
    for i in range(size):
        for j in range(size):
            for k in range(size):
                o, ij, jk = i * size + k, i * size + j, j * size + k
                first, second = {"all": (1, 0), "even": (0.5, 0.5), "odd": (0.5, -0.5)}[
                    couplings
                ]
                for key, value in (((o, ij, jk), first), ((o, jk, ij), second)):
                    found[key] = found.get(key, 0.0) + value
    entries = [
        Term(o, ((i,), (j,)), value) for (o, i, j), value in found.items() if value
    ]
    return Terms(entries, (size**2,) * 3)


@functools.lru_cache(maxsize=32)
def _direct_terms(
    n: int, degrees: tuple[int, int, int], couplings: Couplings
) -> Terms | None:
    """The product of features, without matrices in between."""
    size = 2 * n + 1
    p, q, r = (_matrices(n, degree).reshape(size, size, -1) for degree in degrees)
    table = np.einsum("abi,bcj,ack->kij", p, q, r) / size
    if couplings != "all":
        swapped = np.einsum("bci,abj,ack->kij", p, q, r) / size
        table = (table + (swapped if couplings == "even" else -swapped)) / 2
    return bilinear_terms(table, MAX_DIRECT_TERMS)
