"""Real spherical harmonics of a vector."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_choice, check_floating, check_shape, check_size

Normalization: TypeAlias = Literal["component", "norm", "integral"]


def spherical_harmonics(
    max_degree: int,
    r: Float[Array, "3"],
    *,
    normalization: Normalization = "component",
    normalize: bool = False,
) -> Float[Array, " dim"]:
    """The spherical harmonics of degrees 0, .., L of a vector, as polynomials.

        Y_l(R r) = D_l(R) Y_l(r),  Y_l(t r) = t^l Y_l(r)

    They are e3nn's in order and sign: component l^2 + l + m is the one of degree l and
    order m = -l, .., l; that of degree 1 is (x, y, z), the polar axis is y, negative
    orders are sines of the azimuth. Being polynomials, they have derivatives of every
    order everywhere; at r = 0 all but Y_0 are zero.

    Up to degree 3 they are written out, above found by recursion in the degree. There
    is no table, so any degree is possible; the compiled program grows as L^2.

    Args:
        max_degree: The largest degree L, at least 0.
        r: The vector, shape (3,).
        normalization: On the unit sphere the mean of each square is 1 ("component"),
            the sum of squares of each degree is 1 ("norm"), or the integral of each
            square is 1 ("integral").
        normalize: Whether to take the harmonics of r / |r|. Those of r = 0 are then the
            ones of the zero vector, with gradient 0.

    Returns:
        The harmonics, shape ((L + 1)^2,).

    Raises:
        ValueError: If `r` is no vector, the degree negative, or the normalization
            unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> y = o3.spherical_harmonics(2, jnp.array([0.0, 2.0, 0.0]))
        >>> [round(float(value), 4) for value in y]
        [1.0, 0.0, 3.4641, 0.0, 0.0, 0.0, 8.9443, 0.0, 0.0]

    References:
        NIST Digital Library of Mathematical Functions (2024), 14.10.3 and 14.30.2.
    """
    check_size("max_degree", max_degree, minimum=0)
    check_shape("r", r, (3,), remedy="Use `jax.vmap` for many vectors.")
    check_floating("r", r)
    check_choice("normalization", normalization, ("component", "norm", "integral"))
    # Slices of size one: their transpose is a concatenation, which XLA keeps apart from
    # what it joins, while that of an index would compute all for each entry.
    x, y, z = _unit(r) if normalize else jax.lax.split(r, (1, 1, 1))
    first = [x, y, z] if normalize else [r]
    rows = [[jnp.ones_like(x)], [math.sqrt(3) * part for part in first]][
        : max_degree + 1
    ]
    if max_degree >= 2:
        rows.append(_degree_2(x, y, z))
    if max_degree >= 3:
        rows.append(_degree_3(x, y, z, rows[2]))
    if max_degree >= 4:
        rows += _by_recursion(max_degree, x, y, z)
    if normalization != "component":
        rows = [
            [_scale(l, normalization) * part for part in degree]
            for l, degree in enumerate(rows)
        ]
    return jnp.concatenate([part for degree in rows for part in degree])


@jax.custom_jvp
def _unit(r: Array) -> tuple[Array, Array, Array]:
    """The components of r / |r|, with value and derivatives 0 at r = 0.

    As in `safe_normalize`; but what is done apart for each component here is done with
    vectors in the derivative: both are what XLA does not compute many times.
    """
    x, y, z, _, nonzero = _scaled(r)
    length = jnp.sqrt(jnp.where(nonzero, x * x + y * y + z * z, 1))
    return x / length, y / length, z / length


@_unit.defjvp
def _unit_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Any, Any]:
    """The part of the tangent that is normal to r, over |r|."""
    (r,), (change,) = primals, tangents
    parts = _unit(r)
    unit = jnp.concatenate(parts)
    x, y, z, size, nonzero = _scaled(r)
    length = size * jnp.sqrt(jnp.where(nonzero, x * x + y * y + z * z, 1))
    normal = change - unit * jnp.sum(unit * change, keepdims=True)
    turned = jnp.where(nonzero, normal / length, 0)
    return parts, tuple(jax.lax.split(turned, (1, 1, 1)))


def _scaled(r: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Components over the largest of them, that one, and whether it is not zero."""
    x, y, z = jax.lax.split(r, (1, 1, 1))
    size = jnp.maximum(jnp.maximum(jnp.abs(x), jnp.abs(y)), jnp.abs(z))
    nonzero = size != 0  # NaN stays NaN
    # A length does not depend on the scale, so its derivative must not go through it.
    size = jax.lax.stop_gradient(jnp.where(nonzero, size, 1))
    x, y, z = (jnp.where(nonzero, part, 0) / size for part in (x, y, z))
    return x, y, z, size, nonzero


def _scale(l: int, normalization: Normalization) -> float:
    """Of a degree, from "component"."""
    square = 2 * l + 1 if normalization == "norm" else 4 * math.pi
    return 1 / math.sqrt(square)


def _degree_2(x: Array, y: Array, z: Array) -> list[Array]:
    a = math.sqrt(15)
    return [
        a * x * z,
        a * x * y,
        math.sqrt(5) * (y * y - 0.5 * (x * x + z * z)),
        a * y * z,
        (a / 2) * (z * z - x * x),
    ]


def _degree_3(x: Array, y: Array, z: Array, second: list[Array]) -> list[Array]:
    """From degree 2, so that no component needs more than four products."""
    xz, xy, yy, yz, zz = second
    outer, inner = math.sqrt(7 / 6), math.sqrt(7)
    by_yy, by_xy = math.sqrt(2.1), math.sqrt(0.7)
    return [
        outer * (z * xz + x * zz),
        inner * (y * xz),
        by_yy * (x * yy) + by_xy * (y * xy),
        math.sqrt(1.4) * (y * yy) - math.sqrt(7 / 15) * (x * xy + z * yz),
        by_yy * (z * yy) + by_xy * (y * yz),
        inner * (y * zz),
        outer * (z * zz - x * xz),
    ]


def _by_recursion(max_degree: int, x: Array, y: Array, z: Array) -> list[list[Array]]:
    """Degrees 4, .., L.

    For each order m a polynomial A in y and x^2 + z^2, times the real or imaginary part
    of (z + i x)^m. The recursion A_l = a y A_{l-1} - b |r|^2 A_{l-2} is written in the
    differences E_l = A_l - c y A_{l-1}, which are small near the poles. There the first
    form cancels, and its errors grow as l^2.
    """
    aside = x * x + z * z
    rows: list[list[Array]] = [[] for _ in range(max_degree - 3)]
    azimuth = [x, z]
    highest = 1.0
    for m in range(max_degree + 1):
        if m > 0:
            highest *= math.sqrt((2 * m + 1) / (m if m == 1 else 2 * m))
        if m > 1:
            sine, cosine = azimuth
            azimuth = [z * sine + x * cosine, z * cosine - x * sine]
        # A_{l-2}, A_{l-1}, A_l, and E_l.
        before = last = difference = jnp.zeros_like(y)
        legendre = jnp.full_like(y, highest)
        for l in range(m, max_degree + 1):
            if l > m:
                c = math.sqrt((2 * l + 1) * (l + m) / ((2 * l - 1) * (l - m)))
                before, last = last, legendre
                legendre = (c * y) * last
                if l > m + 1:
                    a = c * (l - m - 1) / (l + m)
                    b = math.sqrt(
                        (2 * l + 1) * (l + m - 1) * (l - m - 1)
                        / ((2 * l - 3) * (l + m) * (l - m))
                    )  # fmt: skip
                    difference = (a * y) * difference - (b * aside) * before
                    legendre = legendre + difference
            if l < 4:
                continue
            if m == 0:
                rows[l - 4].append(legendre)
            else:
                # Sines, which have negative orders, stand before.
                sine, cosine = legendre * azimuth[0], legendre * azimuth[1]
                rows[l - 4] = [sine, *rows[l - 4], cosine]
    return rows
