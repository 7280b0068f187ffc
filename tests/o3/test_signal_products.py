"""Products through signals and matrices: what they couple and commute with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.o3._clebsch_gordan import clebsch_gordan
from eqjax.o3._degrees import Degrees
from eqjax.o3._harmonics_table import harmonics
from eqjax.o3._matrix_product import matrix_product
from eqjax.o3._s2_grid import exact_shape, grid_points
from eqjax.o3._signal_products import (
    _gaunt_terms,
    gaunt_product,
    vector_signal_product,
)
from eqjax.o3._vector_harmonics import field_tables, vector_harmonics

rng = np.random.default_rng(0)
INVERSION = -np.eye(3)
# Sums of some hundred products of numbers of size one to ten.
ROUNDING = 1e-12


def rotation() -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def moved(max_degree: int, m: np.ndarray) -> np.ndarray:
    """What a matrix of O(3) does to features of natural parity."""
    return Degrees(max_degree)._matrix_at(m)


def feature(max_degree: int, channels: int = 2) -> jax.Array:
    return jnp.asarray(rng.normal(size=((max_degree + 1) ** 2, channels)))


def weights_for(
    degrees: tuple[int, int, int], channels: int = 2, types: int | None = None
) -> dict[str, jax.Array]:
    front = () if types is None else (types,)
    return {
        name: jnp.asarray(rng.normal(size=(*front, degree + 1, channels)))
        for name, degree in zip(("x", "y", "out"), degrees, strict=True)
    }


def check_equivariance(
    product: Callable[..., jax.Array],
    degrees: tuple[int, int, int],
    inversion: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
    types: int | None = None,
) -> None:
    """With SO(3), and under inversion as `inversion` says, given out and P out."""
    weights = weights_for(degrees, types=types)
    x, y = feature(degrees[0]), feature(degrees[1])
    turns = [np.eye(3), rotation(), INVERSION]
    xs, ys = (
        jnp.stack([moved(l, m) @ a for m in turns])
        for l, a in zip(degrees, (x, y), strict=False)
    )
    fn = jax.jit(jax.vmap(lambda x, y: product(x, y, weights=weights)))
    out, turned, inverted = np.asarray(fn(xs, ys))
    scale = np.max(np.abs(out))
    np.testing.assert_allclose(
        turned, moved(degrees[2], turns[1]) @ out, rtol=0, atol=ROUNDING * scale
    )
    image = moved(degrees[2], INVERSION) @ out
    if inversion is not None:
        want = inversion(out, image)
        np.testing.assert_allclose(inverted, want, rtol=0, atol=ROUNDING * scale)
    else:
        for want in (out, -out, image, -image):
            assert np.max(np.abs(inverted - want)) > 0.1 * scale


def blocks(product: Callable[..., jax.Array], degree: int) -> np.ndarray:
    """The bilinear map, (dim_x, dim_y, dim_out)."""
    eye = jnp.eye((degree + 1) ** 2)[:, :, None]
    over_y = jax.vmap(product, in_axes=(None, 0))
    return np.asarray(jax.jit(jax.vmap(over_y, (0, None)))(eye, eye))[..., 0]


def test_gaunt_blocks_are_couplings_times_gaunts_numbers():
    degree = 3
    table = blocks(lambda x, y: gaunt_product(x, y, max_degree_out=degree), degree)
    for a in range(degree + 1):
        for b in range(degree + 1):
            for c in range(degree + 1):
                block = table[
                    a * a : (a + 1) ** 2, b * b : (b + 1) ** 2, c * c : (c + 1) ** 2
                ]
                want = np.zeros(block.shape)
                if abs(a - b) <= c <= a + b and (a + b + c) % 2 == 0:
                    coupling = clebsch_gordan(a, b, c)
                    number = (2 * a + 1) * (2 * b + 1) / (2 * c + 1)
                    want = np.sqrt(number) * coupling[a, b, c] * coupling
                    assert np.max(np.abs(want)) > 0.1
                np.testing.assert_allclose(block, want, rtol=0, atol=1e-12)


def test_the_gaunt_product_is_the_product_of_signals():
    x, y = feature(1), feature(2)
    out = gaunt_product(x, y, max_degree_out=3)
    points, _ = grid_points((3, 5))
    f, g, h = (
        harmonics(l, points) @ np.asarray(a) for l, a in ((1, x), (2, y), (3, out))
    )
    np.testing.assert_allclose(h, f * g, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("degrees", [(1, 1, 2), (3, 2, 3)])
def test_what_the_gaunt_product_commutes_with(degrees: tuple[int, int, int]):
    """Coupling by coupling, and on a grid."""

    def product(x, y, weights):
        return gaunt_product(x, y, max_degree_out=degrees[2], weights=weights)

    assert (_gaunt_terms(*degrees) is None) == (degrees == (3, 2, 3))
    check_equivariance(product, degrees, lambda out, image: image)


def test_vector_harmonics_are_orthonormal_fields_of_three_parts():
    """The parts that the product evaluates add up to each type, at every point."""
    degree = 3
    shape = exact_shape(2 * degree + 2)
    points, weights = grid_points(shape)
    polar, azimuthal, amounts = field_tables(shape, degree)
    found = []
    for j in range(degree + 1):
        where = slice(j * j, (j + 1) ** 2)
        scalar = harmonics(degree, points)[:, where]
        p, a = polar[:, where], azimuthal[:, where]
        for index, l in enumerate((j - 1, j, j + 1)):
            if l < 0 or l == j == 0:
                continue
            field = vector_harmonics(shape, l, j)
            radial, gradient, turned = amounts[index, :, j]
            want = [
                radial * scalar,
                gradient * p - turned * a,
                gradient * a + turned * p,
            ]
            np.testing.assert_allclose(field, np.stack(want, 1), rtol=0, atol=1e-13)
            found.append(field)
    fields = np.concatenate(found, axis=2)
    gram = np.einsum("n,ndi,ndj->ij", weights, fields, fields)
    np.testing.assert_allclose(gram, np.eye(len(gram)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("degrees", [(1, 1, 2), (4, 3, 3)])
@pytest.mark.parametrize("couplings", ["odd", "all"])
def test_what_the_vector_signal_product_commutes_with(
    couplings: Any, degrees: tuple[int, int, int]
):
    """Coupling by coupling, and on a grid."""

    def product(x, y, weights):
        return vector_signal_product(
            x, y, max_degree_out=degrees[2], couplings=couplings, weights=weights
        )

    def opposite(out, image):
        return -image

    odd = couplings == "odd"
    check_equivariance(product, degrees, opposite if odd else None, 2 if odd else 3)


def test_the_vector_signal_product_has_the_odd_couplings():
    degree = 1

    def product(x, y):
        return vector_signal_product(x, y, max_degree_out=degree)

    table = blocks(product, degree)
    cross = table[1:4, 1:4, 1:4]
    coupling = clebsch_gordan(1, 1, 1)
    number = np.sum(cross * coupling) / 3
    assert abs(number) > 0.1
    np.testing.assert_allclose(cross, number * coupling, rtol=0, atol=1e-13)
    degrees = np.repeat([0, 1], [1, 3])
    total = degrees[:, None, None] + degrees[:, None] + degrees
    assert np.max(np.abs(table[total % 2 == 0])) < 1e-13


@pytest.mark.parametrize("degrees", [(1, 1, 1), (4, 3, 3)])
def test_the_vector_signal_product_is_the_cross_product_of_fields(
    degrees: tuple[int, int, int],
):
    """Against the fields in space, on a grid that is exact for any three fields."""
    types = (-1, 0, 1)
    x, y = feature(degrees[0], 1), feature(degrees[1], 1)
    weights = weights_for(degrees, channels=1, types=3)
    points, mean = grid_points(exact_shape(sum(degrees) + 3))

    def parts(name, degree):
        """Of each degree and type: fields (points, 3, 2 j + 1) times its weight."""
        for j in range(degree + 1):
            for index, l in enumerate(j + t for t in types):
                if l >= 0 and (l, j) != (0, 0):
                    y_l = harmonics(l, points)[:, l * l :]
                    field = np.einsum("nm,mek->nek", y_l, clebsch_gordan(l, 1, j))
                    yield j, field * float(weights[name][index, j, 0])

    def field(name, degree, a):
        rows = np.asarray(a)[:, 0]
        return sum(v @ rows[j * j : (j + 1) ** 2] for j, v in parts(name, degree))

    cross = np.cross(field("x", degrees[0], x), field("y", degrees[1], y))
    want = np.zeros((degrees[2] + 1) ** 2)
    for j, v in parts("out", degrees[2]):
        want[j * j : (j + 1) ** 2] += np.einsum("n,ne,nek->k", mean, cross, v)
    got = jax.jit(
        lambda: vector_signal_product(
            x, y, max_degree_out=degrees[2], couplings="all", weights=weights
        )
    )()
    np.testing.assert_allclose(got[:, 0], want, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("couplings", ["all", "even", "odd"])
def test_what_the_matrix_product_commutes_with(couplings: Any):
    def product(x, y, weights):
        return matrix_product(
            x, y, max_degree_out=2, couplings=couplings, weights=weights
        )

    laws = {
        "all": None,
        "even": lambda out, image: image,
        "odd": lambda out, image: -image,
    }
    check_equivariance(product, (2, 2, 2), laws[couplings])
    check_equivariance(product, (1, 1, 2), laws[couplings])


def test_inversion_exchanges_the_factors_of_matrices():
    x, y = feature(2), feature(2)
    p = jnp.asarray(moved(2, INVERSION))
    product = jax.jit(lambda x, y: matrix_product(x, y, max_degree_out=2))
    got = p @ product(x, y)
    np.testing.assert_allclose(got, product(p @ y, p @ x), rtol=0, atol=ROUNDING)


def test_matrices_multiply_associatively_with_a_unit():
    """Degrees up to 2 n are all matrices, so nothing is cut off."""
    x, y, z = feature(2), feature(2), feature(2)
    product = jax.jit(lambda x, y: matrix_product(x, y, max_degree_out=2))
    np.testing.assert_allclose(
        product(product(x, y), z), product(x, product(y, z)), rtol=0, atol=ROUNDING
    )
    one = jnp.zeros((9, 2)).at[0].set(1)
    np.testing.assert_allclose(product(one, y), y, rtol=0, atol=1e-13)
    np.testing.assert_allclose(product(y, one), y, rtol=0, atol=1e-13)
    both = [
        jax.jit(lambda c=c: matrix_product(x, y, max_degree_out=2, couplings=c))()
        for c in ("even", "odd")
    ]
    np.testing.assert_allclose(sum(both), product(x, y), rtol=0, atol=1e-13)


def test_matrix_blocks_are_couplings():
    """All of them for L = 2, of either parity, in one loop or through matrices."""
    for degree in (1, 2):
        table = blocks(
            lambda x, y, l=degree: matrix_product(x, y, max_degree_out=l), degree
        )
        for a in range(degree + 1):
            for b in range(degree + 1):
                for c in range(abs(a - b), min(a + b, degree) + 1):
                    block = table[
                        a * a : (a + 1) ** 2, b * b : (b + 1) ** 2, c * c : (c + 1) ** 2
                    ]
                    coupling = clebsch_gordan(a, b, c)
                    number = np.sum(block * coupling) / (2 * c + 1)
                    assert abs(number) > 0.1
                    want = number * coupling
                    np.testing.assert_allclose(block, want, rtol=0, atol=1e-13)


def products() -> dict[str, Callable[..., jax.Array]]:
    return {
        "gaunt": lambda x, y, w: gaunt_product(x, y, max_degree_out=1, weights=w),
        "vector": lambda x, y, w: vector_signal_product(
            x, y, max_degree_out=1, weights=w
        ),
        "matrix": lambda x, y, w: matrix_product(x, y, max_degree_out=1, weights=w),
        "matrix, large": lambda x, y, w: matrix_product(
            x, y, max_degree_out=2, weights=w
        ),
    }


@pytest.mark.parametrize("name", sorted(products()))
def test_weights_multiply_degrees_and_transformations_compose(name: str):
    product = products()[name]
    out = 2 if name == "matrix, large" else 1
    degrees = (2, 2, 2) if out == 2 else (1, 1, 1)
    x, y, z = (feature(degree, 3) for degree in degrees)
    types = 2 if name == "vector" else None
    full = weights_for(degrees, 3, types)
    if types is None:
        spread = {k: np.repeat(w, [1, 3, 5][: len(w)], axis=0) for k, w in full.items()}
        plain = jax.jit(lambda x, y: product(x, y, None))
        want = plain(spread["x"] * x, spread["y"] * y) * spread["out"]
    else:
        # A single row of weights for the whole field.
        full = {k: w[:, :1, :1] * jnp.ones_like(w) for k, w in full.items()}
        want = jax.jit(product)(x, y, {k: w[:, :1, :1] for k, w in full.items()})

    def energy(x):
        return jnp.sum(product(x, y, full) ** 2)

    @jax.jit
    def results(x):
        hessian = jax.jvp(jax.grad(energy), (x,), (z,))[1]
        tangent = jax.jvp(energy, (x,), (z,))[1]
        both = jax.vmap(product, (1, 1, None), 1)
        batch = both(jnp.stack([x, y], 1), jnp.stack([y, x], 1), full)
        return product(x, y, full), hessian, tangent, jax.grad(energy)(x), batch

    value, hessian, tangent, gradient, batch = results(x)
    np.testing.assert_allclose(value, want, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(batch[:, 0], value, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(tangent, jnp.sum(gradient * z), rtol=1e-12)
    # A quadratic function of x is its own central difference, for any step.
    differences = (results(x + z)[3] - results(x - z)[3]) / 2
    np.testing.assert_allclose(hessian, differences, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", sorted(products()))
def test_dtypes_are_kept_and_zero_is_smooth(name: str):
    product = products()[name]
    degree = 2 if name == "matrix, large" else 1
    x, y = feature(degree, 3), feature(degree, 3)
    zero = jnp.zeros_like(x)

    @jax.jit
    def results():
        found = [
            product(x.astype(dtype), y.astype(dtype), None)
            for dtype in (jnp.float64, jnp.float32, jnp.bfloat16)
        ]
        gradient = jax.grad(lambda x: jnp.sum(product(x, zero, None)))
        return found, gradient(zero)

    (want, *found), gradient = results()
    assert [a.dtype for a in found] == [jnp.float32, jnp.bfloat16]
    for got, tolerance in zip(found, (3e-6, 0.1), strict=True):
        # Some twenty roundings, to one part in 2^24 or 2^8.
        error = np.abs(np.asarray(got, float) - want)
        assert np.max(error) < tolerance * np.max(np.abs(want))
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gaunt_product(jnp.ones((5, 1)), jnp.ones((4, 1)), max_degree_out=1),
            r"`x` must be an array of shape \(\(L \+ 1\)\^2, channels\)",
        ),
        (
            lambda: gaunt_product(jnp.ones((4, 1)), jnp.ones((4, 2)), max_degree_out=1),
            "as many channels",
        ),
        (
            lambda: matrix_product(
                jnp.ones((4, 1)), jnp.ones((4, 1), jnp.float32), max_degree_out=1
            ),
            "`y` must have the dtype float64 of `x`",
        ),
        (
            lambda: matrix_product(
                jnp.ones((4, 1), int), jnp.ones((4, 1)), max_degree_out=1
            ),
            "floating-point",
        ),
        (
            lambda: gaunt_product(
                jnp.ones((4, 1)), jnp.ones((4, 1)), max_degree_out=-1
            ),
            "`max_degree_out`",
        ),
        (
            lambda: gaunt_product(
                jnp.ones((4, 1)), jnp.ones((4, 1)), max_degree_out=1, weights={}
            ),
            "must have the keys",
        ),
        (
            lambda: gaunt_product(
                jnp.ones((4, 1)),
                jnp.ones((4, 1)),
                max_degree_out=1,
                weights={k: jnp.ones((3, 1)) for k in ("x", "y", "out")},
            ),
            r"`weights\['x'\]` must have shape \(2 or 1, 1 or 1\)",
        ),
        (
            lambda: vector_signal_product(
                jnp.ones((4, 1)),
                jnp.ones((4, 1)),
                max_degree_out=1,
                weights={k: jnp.ones((3, 2, 1)) for k in ("x", "y", "out")},
            ),
            r"must have shape \(2, 2 or 1, 1 or 1\)",
        ),
        (
            lambda: vector_signal_product(
                jnp.ones((4, 1)), jnp.ones((4, 1)), max_degree_out=12
            ),
            "at most 11",
        ),
        (
            lambda: matrix_product(
                jnp.ones((4, 1)), jnp.ones((4, 1)), max_degree_out=13
            ),
            "at most 12",
        ),
        (
            lambda: matrix_product(
                jnp.ones((4, 1)),
                jnp.ones((4, 1)),
                max_degree_out=1,
                couplings="some",  # pyright: ignore[reportArgumentType]
            ),
            "`couplings` must be one of",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
