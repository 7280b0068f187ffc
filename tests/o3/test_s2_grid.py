"""Grids on the sphere: exactness, transforms, and functions of signals."""

from __future__ import annotations

from typing import Any

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import o3
from eqjax._core._specs import spec_from_json, spec_to_json
from eqjax.o3._constants import constant_map
from eqjax.o3._degrees import Degrees
from eqjax.o3._harmonics_table import harmonics
from eqjax.o3._s2_grid import (
    SEPARABLE_FROM,
    S2Grid,
    exact_shape,
    from_grid_matrix,
    to_grid_matrix,
)

rng = np.random.default_rng(0)


def rotations_of(max_degree: int) -> list[np.ndarray]:
    """Matrices of a rotation, a reflection and the inversion on features."""
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    q = q * np.sign(np.linalg.det(q))
    mirror = np.diag([1.0, -1.0, 1.0])
    return [Degrees(max_degree)._matrix_at(m) for m in (q, q @ mirror, -np.eye(3))]


def feature(max_degree: int, channels: int) -> jax.Array:
    return jnp.asarray(rng.normal(size=((max_degree + 1) ** 2, channels)))


def relative(a: Any, b: Any) -> float:
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def test_harmonics_are_those_of_e3nn():
    points = rng.normal(size=(17, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    # The poles and the seam of the azimuth.
    points = np.concatenate([points, np.eye(3), -np.eye(3)])
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        want = e3nn_jax.spherical_harmonics(
            e3nn_jax.s2_irreps(5), jnp.asarray(points), True, normalization="component"
        )
    # Values up to sqrt(11); rounding of some ten operations.
    np.testing.assert_allclose(harmonics(5, points), want.array, rtol=0, atol=2e-14)


@pytest.mark.parametrize("max_degree", [0, 1, 4, 12])
def test_harmonics_are_orthonormal_on_an_exact_grid_and_on_no_coarser(max_degree: int):
    grid = S2Grid(max_degree, 2)
    y = harmonics(max_degree, grid.points)
    gram = y.T @ (grid.weights[:, None] * y)
    np.testing.assert_allclose(gram, np.eye(grid.dim), rtol=0, atol=1e-13)
    assert abs(np.sum(grid.weights) - 1) < 1e-14
    polar, azimuth = grid.shape
    if max_degree:
        for shape in ((polar - 1, azimuth), (polar, azimuth - 1)):
            coarse = S2Grid(max_degree, 2, resolution=shape, exact=False)
            y = harmonics(max_degree, coarse.points)
            gram = y.T @ (coarse.weights[:, None] * y)
            assert np.max(np.abs(gram - np.eye(grid.dim))) > 0.1


def test_signals_have_the_values_of_their_harmonics():
    grid = S2Grid(3)
    x = feature(3, 2)
    want = harmonics(3, grid.points) @ np.asarray(x)
    np.testing.assert_allclose(grid.to_grid(x), want, rtol=0, atol=1e-13)
    back = grid.from_grid(grid.to_grid(x))
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-13)


def test_the_separable_transform_has_the_values_of_the_dense_one():
    degree = SEPARABLE_FROM
    grid = S2Grid(degree, 2)
    x = feature(degree, 2)
    f = jnp.asarray(rng.normal(size=(len(grid.points), 2)))

    @jax.jit
    def transforms(x, f):
        batched = jax.vmap(grid.to_grid, 1, 1)(x[:, None])
        coefficients, pull_back = jax.vjp(grid.from_grid, f)
        return batched[:, 0], coefficients, pull_back(x)[0]

    values, coefficients, ct = transforms(x, f)
    to_grid = to_grid_matrix(grid.shape, degree)
    from_grid = from_grid_matrix(grid.shape, degree)
    # Sums of 81 products of size one to four.
    np.testing.assert_allclose(values, to_grid @ x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(coefficients, from_grid @ f, rtol=0, atol=1e-13)
    np.testing.assert_allclose(ct, from_grid.T @ x, rtol=0, atol=1e-13)


def test_constant_maps_transform_like_matrix_products():
    """Every transformation of the primitive, against plain jax.numpy."""
    matrix = rng.normal(size=(5, 3))
    x = jnp.asarray(rng.normal(size=(3, 2, 4)))

    def plain(x):
        return jnp.tensordot(jnp.asarray(matrix), x, axes=1)

    def energy(fn):
        return lambda x: jnp.sum(fn(x) ** 3)

    def ours(x):
        return constant_map(matrix, x)

    def results(fn):
        return {
            "value": fn(x),
            "jvp": jax.jvp(fn, (x,), (x,))[1],
            "vjp": jax.vjp(fn, x)[1](fn(x))[0],
            "hessian": jax.hessian(energy(fn))(x[:, 0]),
            "third": jax.jacrev(jax.hessian(energy(fn)))(x[:, 0, 0]),
            "vmap": jax.vmap(fn, 1, 1)(x),
            "vmap of grad": jax.vmap(jax.grad(energy(fn)), 2)(x),
            "remat": jax.grad(jax.checkpoint(energy(fn)))(x),
            "linear_transpose": jax.linear_transpose(fn, x)(fn(x))[0],
        }

    got, want = jax.jit(lambda: (results(ours), results(plain)))()
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(ours(x), plain(x), rtol=0, atol=1e-14)
    assert ours(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_products_of_signals_commute_with_o3_on_exact_grids_only():
    degree = 2
    x = feature(degree, 6)
    gates = jnp.asarray(rng.normal(size=(degree + 1, 3)))
    exact = S2Grid(degree)
    polar, azimuth = exact.shape
    coarse = [
        S2Grid(degree, resolution=shape, exact=False)
        for shape in ((polar, azimuth - 1), (polar - 1, azimuth))
    ]
    moved = jnp.stack([x, *(d @ x for d in rotations_of(degree))])

    @jax.jit
    def products(moved):
        one = jax.vmap(lambda x: o3.swiglu_s2(exact, x, gates=gates))(moved)
        others = [jax.vmap(lambda x, g=g: o3.swiglu_s2(g, x))(moved) for g in coarse]
        return one, others

    found, approximate = products(moved)
    for d, y in zip(rotations_of(degree), found[1:], strict=True):
        # Rounding of sums over 28 points.
        assert relative(y, d @ found[0]) < 1e-13
    for wrong in approximate:
        assert relative(wrong[1], rotations_of(degree)[0] @ wrong[0]) > 0.1


def test_polynomial_activations_are_exact_and_others_converge():
    degree = 2
    x = feature(degree, 3)
    rotation = rotations_of(degree)[0]

    def error(exact_for, activation):
        grid = S2Grid(degree, exact_for)
        fn = jax.jit(lambda x: o3.s2_activation(grid, activation, x))
        return relative(fn(rotation @ x), rotation @ fn(x))

    # A cubic takes four factors.
    assert error(4, lambda f: f**3) < 1e-13
    assert error(3, lambda f: f**3) > 1e-3
    errors = [error(k, jax.nn.silu) for k in (3, 9)]
    # 7% and 0.1% in the mean; the largest component may be several times worse.
    assert errors[0] < 0.3
    assert errors[1] < 0.01


def test_gates_multiply_degrees():
    x = feature(1, 4)
    grid = S2Grid(1)
    gates = jnp.asarray([[30.0, -800.0], [-800.0, 0.0]])

    @jax.jit
    def results():
        values = grid.to_grid(x)
        return (
            grid.from_grid(values[:, :2] * values[:, 2:]),
            o3.swiglu_s2(grid, x),
            o3.swiglu_s2(grid, x, gates=gates),
            o3.swiglu_s2(grid, x, gates=jnp.zeros((1, 1))),
        )

    want, plain, gated, row = results()
    np.testing.assert_allclose(plain, want, rtol=0, atol=1e-14)
    factors = jnp.asarray([[1.0, 0.0]] + 3 * [[0.0, 0.5]])
    np.testing.assert_allclose(gated, plain * factors, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(row, plain / 2, rtol=1e-14)


def test_dtypes_are_kept():
    dtypes = (jnp.float64, jnp.float32, jnp.bfloat16)
    x = feature(2, 4)

    @jax.jit
    def results():
        return [o3.swiglu_s2(S2Grid(2), x.astype(dtype)) for dtype in dtypes]

    want, *found = results()
    for y, dtype in zip(found, dtypes[1:], strict=True):
        assert y.dtype == dtype
        # Some ten roundings, to one part in 2^23 or 2^8.
        assert relative(np.asarray(y, float), want) < 10 * float(jnp.finfo(dtype).eps)


def test_spec_round_trips_and_shapes_are_those_needed():
    assert [S2Grid(degree).shape for degree in (2, 4, 6)] == [(4, 7), (7, 13), (10, 19)]
    assert exact_shape(0) == (1, 1)
    for grid in (S2Grid(3), S2Grid(2, 2, resolution=(6, 7)), S2Grid(2, exact=False)):
        assert spec_from_json(spec_to_json(grid)) == grid
        assert hash(spec_from_json(spec_to_json(grid))) == hash(grid)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: S2Grid(-1), "`max_degree` must be an integer of at least 0"),
        (lambda: S2Grid(2, 0), "`exact_for`"),
        (lambda: S2Grid(2, resolution=(4, 6)), r"need at least \(4, 7\)"),
        (lambda: S2Grid(2, resolution=(3, 7)), r"need at least \(4, 7\)"),
        (lambda: S2Grid(2, resolution=(4, 0)), "`resolution` must be an integer"),
        (
            lambda: S2Grid(2, resolution=(4,)),  # pyright: ignore[reportArgumentType]
            "tuple of two integers",
        ),
        (lambda: S2Grid(2).to_grid(jnp.ones((8, 1))), r"`x` must .* \(9, channels\)"),
        (lambda: S2Grid(2).from_grid(jnp.ones((9, 1))), r"`f` must .* \(28, channels"),
        (lambda: S2Grid(2).to_grid(jnp.ones((9, 1), int)), "floating-point"),
        (lambda: o3.swiglu_s2(S2Grid(2, 2), jnp.ones((9, 2))), r"needs \(4, 7\)"),
        (lambda: o3.swiglu_s2(S2Grid(2), jnp.ones((9, 3))), "even number of channels"),
        (
            lambda: o3.swiglu_s2(S2Grid(2), jnp.ones((9, 2)), gates=jnp.ones((2, 1))),
            r"`gates` must have shape \(3 or 1, 1 or 1\)",
        ),
        (
            lambda: o3.swiglu_s2(
                S2Grid(2), jnp.ones((9, 2)), gates=jnp.ones((3, 1), jnp.float32)
            ),
            "dtype float64 of `x`",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
