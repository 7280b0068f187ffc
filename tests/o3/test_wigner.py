"""Matrices of rotations on spherical harmonics."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, reps
from eqjax.o3._harmonics_table import harmonics
from eqjax.o3._wigner import exchange, quarter_turn, wigner_d
from eqjax.reps._so3 import wigner_algebra

SO3 = groups.SO(3)
L = 3
HALF = np.sqrt(0.5)
# The identity, half turns about the axes, quarter turns about y and x, and rotations
# near the identity and near a turn about y.
SPECIAL = np.array(
    [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [HALF, 0, HALF, 0],
        [HALF, HALF, 0, 0],
        [0, HALF, 0, HALF],
        [1, 0, 1e-9, 0],
        [1, 1e-6, 0, 0],
        [0.6, 1e-7, 0.8, -1e-7],
    ]
)


def quaternions() -> np.ndarray:
    random = np.random.default_rng(0).normal(size=(10, 4))
    q = np.concatenate([SPECIAL, random])
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def matrices() -> np.ndarray:
    return np.asarray(SO3.matrix(jnp.asarray(quaternions())))


@jax.jit
@jax.vmap
def dense(rotation):
    return wigner_d(L, rotation, dense=True)


def test_moves_spherical_harmonics():
    """Y(R r) = D(R) Y(r), and D is orthogonal, also where angles are not unique."""
    m = matrices()
    d = np.asarray(dense(jnp.asarray(m)))
    r = np.random.default_rng(1).normal(size=(6, 3))
    r /= np.linalg.norm(r, axis=1, keepdims=True)
    want = np.stack([harmonics(L, r @ rotation.T) for rotation in m])
    got = np.einsum("bij,pj->bpi", d, harmonics(L, r))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)
    square = np.einsum("bij,bkj->bik", d, d)
    want = np.broadcast_to(np.eye(d.shape[1]), square.shape)
    np.testing.assert_allclose(square, want, rtol=0, atol=1e-13)


def test_is_a_homomorphism():
    m = matrices()
    product = np.einsum("bij,bjk->bik", m, np.roll(m, 1, axis=0))
    d = np.asarray(dense(jnp.asarray(m)))
    got = np.asarray(dense(jnp.asarray(product)))
    want = np.einsum("bij,bjk->bik", d, np.roll(d, 1, axis=0))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)


def test_of_a_quaternion_agrees_with_the_irreps():
    q = jnp.asarray(quaternions())
    d = dense(jnp.asarray(matrices()))
    np.testing.assert_allclose(dense(q), d, rtol=0, atol=1e-13)
    for l in (1, L):
        block = d[:, l * l : (l + 1) ** 2, l * l : (l + 1) ** 2]
        want = jax.jit(jax.vmap(reps.irrep(SO3, l).rho))(q)
        np.testing.assert_allclose(block, want, rtol=0, atol=1e-13)


def test_derivatives_are_those_of_the_representation():
    """d/dt D(exp(t w) R) = d(w) D(R), everywhere, and second ones are d(w)^2 D(R)."""
    m = matrices()
    w = np.array([[0.0, -0.3, 0.5], [0.3, 0.0, -0.7], [-0.5, 0.7, 0.0]])

    @jax.jit
    @jax.vmap
    def along(rotation):
        def curve(t):
            step = jnp.eye(3) + t * w + t * t / 2 * (w @ w)
            return wigner_d(2, step @ rotation, dense=True)

        zero = jnp.zeros(())
        return jax.jacfwd(curve)(zero), jax.jacfwd(jax.jacfwd(curve))(zero)

    first, second = along(jnp.asarray(m))
    d = np.asarray(dense(jnp.asarray(m)))[:, :9, :9]
    algebra = np.zeros((9, 9))
    for l in range(3):
        block = slice(l * l, (l + 1) ** 2)
        algebra[block, block] = wigner_algebra(l, w)
    np.testing.assert_allclose(first, algebra @ d, rtol=0, atol=1e-12)
    # The curve is a rotation to second order only, which enters here through
    # normalised cosines and sines, so to that order it is exact.
    np.testing.assert_allclose(second, algebra @ algebra @ d, rtol=0, atol=1e-11)


def test_constants_are_what_they_should_be():
    """J Y(r) = Y(P r) within 1e-13, J J = 1 and four quarter turns are none."""
    r = np.random.default_rng(2).normal(size=(40, 3))
    r /= np.linalg.norm(r, axis=1, keepdims=True)
    x, y, z = r.T
    before = harmonics(12, r)
    exchanged = harmonics(12, np.stack([-y, -x, z], axis=1))
    turned = harmonics(12, np.stack([x, -z, y], axis=1))
    for l in range(13):
        block = slice(l * l, (l + 1) ** 2)
        for matrix, after in ((exchange(l), exchanged), (quarter_turn(l), turned)):
            got = before[:, block] @ matrix.T
            np.testing.assert_allclose(got, after[:, block], rtol=0, atol=1e-13)
        eye = np.eye(2 * l + 1)
        np.testing.assert_allclose(exchange(l) @ exchange(l), eye, rtol=0, atol=1e-14)
        four = np.linalg.matrix_power(quarter_turn(l), 4)
        np.testing.assert_allclose(four, eye, rtol=0, atol=2e-14)
    assert not exchange(3).flags.writeable


def test_float32_error():
    m = matrices()
    exact = dense(jnp.asarray(m))
    got = dense(jnp.asarray(m, jnp.float32))
    assert got.dtype == jnp.float32
    # Entries of at most 1, each after about ten roundings, amplified by at most 1.4.
    np.testing.assert_allclose(got, exact, rtol=0, atol=2e-6)


def test_largest_degree():
    rotation = jnp.asarray(matrices()[-1])
    d = np.asarray(jax.jit(lambda rotation: wigner_d(12, rotation)[12])(rotation))
    r = np.random.default_rng(3).normal(size=(6, 3))
    r /= np.linalg.norm(r, axis=1, keepdims=True)
    want = harmonics(12, r @ np.asarray(rotation).T)[:, 144:]
    # Harmonics of degree 12 have derivatives of up to 12 times their size.
    np.testing.assert_allclose(harmonics(12, r)[:, 144:] @ d.T, want, atol=5e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wigner_d(13, jnp.eye(3)), "`max_degree` must be at most 12"),
        (lambda: wigner_d(2, jnp.ones((5, 3, 3))), "Use `jax.vmap`"),
        (lambda: wigner_d(2, jnp.ones(3)), r"matrix of shape \(3, 3\) or a quaternion"),
        (lambda: wigner_d(2, jnp.eye(3, dtype=int)), "floating-point"),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
