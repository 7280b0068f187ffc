"""Rotations that take an edge to the polar axis."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.o3 import _align
from eqjax.o3._align import align, rotate, rotate_back, row_order, sizes
from eqjax.o3._frame_product import frame_product
from eqjax.o3._harmonics_table import harmonics

L, ORDER = 3, 2
# The poles and what is near them, where charts change, and other axes.
SPECIAL = np.array(
    [
        [0, 1, 0],
        [0, -1, 0],
        [1e-6, 1, 0],
        [1e-9, -1, 1e-9],
        [0, 1, 1],
        [1, -1, 1e-8],
        [1, 0, 0],
        [0, 0, -1],
        [1e-200, 0, 1e-200],
        [1e200, -1e200, 0],
        [0, 0, 0],
    ]
)


def edges() -> np.ndarray:
    return np.concatenate([SPECIAL, np.random.default_rng(0).normal(size=(10, 3))])


def units() -> np.ndarray:
    r = edges()
    scale = np.max(np.abs(r), axis=1, keepdims=True)
    # The zero edge counts as the polar axis.
    r = np.where(scale > 0, r / np.where(scale > 0, scale, 1), [[0.0, 1.0, 0.0]])
    return r / np.linalg.norm(r, axis=1, keepdims=True)


def frames(r: np.ndarray, max_degree: int = L, max_order: int = ORDER) -> np.ndarray:
    def matrix(r):
        return align(r, max_degree, max_order=max_order).matrix

    return np.asarray(jax.jit(jax.vmap(matrix))(jnp.asarray(r)))


@pytest.mark.parametrize("table", [2**20, 0])
def test_takes_the_edge_to_the_polar_axis(table, monkeypatch):
    """D Y(r) = Y(y), rows orthonormal, by both ways to compute D."""
    monkeypatch.setattr(_align, "_LARGEST_TABLE", table)
    d = frames(edges())
    rows = [l * l + l + m for l, m in row_order(L, ORDER)]
    want = harmonics(L, np.array([[0.0, 1.0, 0.0]]))[:, rows]
    got = np.einsum("bij,bj->bi", d, harmonics(L, units()))
    np.testing.assert_allclose(got, np.broadcast_to(want, got.shape), atol=1e-14)
    square = np.einsum("bij,bkj->bik", d, d)
    want = np.broadcast_to(np.eye(len(rows)), square.shape)
    np.testing.assert_allclose(square, want, rtol=0, atol=1e-14)
    # The frame of the zero edge is the identity.
    zero = d[len(SPECIAL) - 1]
    np.testing.assert_allclose(zero, np.eye(16)[rows], rtol=0, atol=1e-14)


def test_rows_stand_by_order():
    assert row_order(2, 1) == ((0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (1, -1), (2, -1))
    for max_degree in (0, 1, 3):
        for max_order in range(max_degree + 1):
            frame = jax.eval_shape(
                functools.partial(align, max_degree=max_degree, max_order=max_order),
                jax.ShapeDtypeStruct((3,), jnp.float32),
            )
            assert frame.matrix.dtype == jnp.float32
            assert sizes(frame) == (max_degree, max_order)


def test_rotating_back_projects_and_rescales():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(16, 5)))
    r = jnp.asarray([0.3, -0.8, 0.1])
    whole, cut = align(r, L), align(r, L, max_order=1)
    back = rotate_back(whole, rotate(whole, x))
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-14)
    once = rotate_back(cut, rotate(cut, x), rescale=False)
    twice = rotate_back(cut, rotate(cut, once), rescale=False)
    np.testing.assert_allclose(twice, once, rtol=0, atol=1e-14)
    # Of degree l, 3 of 2 l + 1 orders are left.
    factors = np.repeat([1, 1, np.sqrt(5 / 3), np.sqrt(7 / 3)], [1, 3, 5, 7])
    scaled = rotate_back(cut, rotate(cut, x))
    np.testing.assert_allclose(scaled, factors[:, None] * once, rtol=0, atol=1e-14)


def _invariant_mix(weights, x, r, turn):
    """Rotates, turns about the polar axis, mixes degrees order by order, and back."""
    frame = align(r, L, max_order=ORDER)
    rows, out, start = rotate(frame, x), [], 0
    for m in range(ORDER + 1):
        size = L + 1 - m
        real = weights[0, m:, m:] @ rows[start : start + size]
        if m == 0:
            out.append(real)
            start += size
            continue
        a, b = rows[start : start + size], rows[start + size : start + 2 * size]
        c, s = jnp.cos(m * turn), jnp.sin(m * turn)
        a, b = c * a - s * b, s * a + c * b
        re, im = weights[0, m:, m:], weights[1, m:, m:]
        a, b = re @ a - im @ b, re @ b + im @ a
        out += [c * a + s * b, c * b - s * a]
        start += 2 * size
    return rotate_back(frame, jnp.concatenate(out))


def _case(dtype) -> tuple:
    random = np.random.default_rng(2)
    shapes = ((2, L + 1, L + 1), (16, 2), (16, 2))
    return tuple(jnp.asarray(random.normal(size=shape), dtype) for shape in shapes)


@functools.partial(jax.jit, static_argnames="second")
def _slopes(weights, x, ct, r, turn, *, second):
    """The slope in r, and its derivative along the edge."""

    def one(r, turn):
        slope = jax.grad(lambda r: jnp.sum(ct * _invariant_mix(weights, x, r, turn)))
        return jax.jvp(slope, (r,), (r,)) if second else (slope(r),)

    return jax.vmap(one)(r, turn)


# Distances from the poles, and the poles themselves.
NEAR = np.array(
    [[eps, sign, eps / 2] for eps in (1e-2, 1e-3, 1e-4, 1e-6, 0) for sign in (1, -1)]
)


def test_derivatives_at_the_poles_and_gauge():
    """In float32 within 1e-5 of float64; and nothing depends on the rotation about y.

    With one chart the relative error is 1 at 1e-6 from a pole.
    """
    r = NEAR.astype(np.float32)
    # The edges twice, the second time turned about the polar axis.
    twice = np.concatenate([r, r]).astype(np.float64)
    turn = np.concatenate([np.zeros(len(r)), np.linspace(0.1, 3, len(r))])
    results = _slopes(
        *_case(jnp.float64), jnp.asarray(twice), jnp.asarray(turn), second=True
    )
    first, along = (np.asarray(part) for part in results)
    exact, turned = np.split(first, 2)
    scale = np.max(np.abs(exact))
    np.testing.assert_allclose(turned, exact, rtol=0, atol=1e-13 * scale)
    # Second derivatives are right too: the slope of what does not depend on the length
    # of the edge is inverse to it.
    np.testing.assert_allclose(along, -first, rtol=0, atol=1e-12 * scale)
    (single,) = _slopes(
        *_case(jnp.float32),
        jnp.asarray(r),
        jnp.zeros(len(r), jnp.float32),
        second=False,
    )
    error = np.linalg.norm(np.asarray(single, float) - exact, axis=1)
    assert np.max(error / np.linalg.norm(exact, axis=1)) < 1e-5


@pytest.mark.parametrize("transpose", [False, True])
def test_frame_product_differentiates_as_a_product(transpose):
    random = np.random.default_rng(3)
    shapes = ((2, 4, 3), (2, 3, 5), (2, 4, 3), (2, 3, 5))
    a, b, da, db = (jnp.asarray(random.normal(size=shape)) for shape in shapes)
    if transpose:
        a, da = jnp.swapaxes(a, 1, 2), jnp.swapaxes(da, 1, 2)

    def ours(a, b):
        return frame_product(a, b, transpose=transpose)

    def plain(a, b):
        return jnp.matmul(a.T if transpose else a, b, precision="highest")

    @jax.jit
    def results(a, b, da, db):
        def all_of(product):
            def energy(a, b):
                return jnp.sum(jnp.sin(jax.vmap(product)(a, b)))

            gradient = jax.grad(energy, (0, 1))
            both = jax.jvp(gradient, (a, b), (da, db))
            # Second derivatives in reverse mode, and one operand without a batch.
            again = jax.grad(lambda a, b: jnp.sum(gradient(a, b)[0] * da), (0, 1))
            shared = [
                jax.vmap(product, in_axes=axes, out_axes=1)(*args)
                for axes, args in (((None, 0), (a[0], b)), ((0, None), (a, b[0])))
            ]
            return both, again(a, b), shared

        return all_of(ours), all_of(plain)

    got, want = results(a, b, da, db)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-13)
    np.testing.assert_allclose(ours(a[0], b[0]), plain(a[0], b[0]), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: align(jnp.ones(3), 13), "`max_degree` must be at most 12"),
        (lambda: align(jnp.ones(3), 2, max_order=3), "`max_order` must be at most"),
        (lambda: align(jnp.ones((4, 3)), 2), "Use `jax.vmap`"),
        (lambda: rotate(align(jnp.ones(3), 1), jnp.ones((9, 2))), "`x` must be an"),
        (
            lambda: rotate_back(align(jnp.ones(3), 2, max_order=1), jnp.ones((9, 2))),
            "`x` must be an",
        ),
        (
            lambda: rotate(align(jnp.ones(3), 1), jnp.ones((4, 2), jnp.float32)),
            "`x` must have the dtype float64",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
