"""Polar coordinates a = P R of matrices of positive determinant."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax.groups import _matrix_group as matrices


@functools.lru_cache
def general_algebra(n: int) -> matrices.Algebra:
    """gl(n)."""
    off = np.concatenate([_skew_basis(n), np.abs(_skew_basis(n))])
    diagonal = np.eye(n)[:, :, None] * np.eye(n)[:, None, :]
    return matrices.make_algebra(np.concatenate([off, diagonal]))


@functools.lru_cache
def special_algebra(n: int) -> matrices.Algebra:
    """sl(n)."""
    off = np.concatenate([_skew_basis(n), np.abs(_skew_basis(n))])
    diagonal = np.stack(
        [
            np.diag(np.concatenate([np.ones(k), [-k], np.zeros(n - k - 1)]))
            / np.sqrt(k * (k + 1))
            for k in range(1, n)
        ]
    )
    return matrices.make_algebra(np.concatenate([off, diagonal]))


def _skew_basis(n: int) -> np.ndarray:
    return matrices.antisymmetric_basis(n) / np.sqrt(2)


def _num_skew(algebra: matrices.Algebra) -> int:
    n = algebra.basis.shape[-1]
    return n * (n - 1) // 2


def symmetric(algebra: matrices.Algebra, x: Array) -> Array:
    """The symmetric matrix with coordinates x."""
    padding = [(0, 0)] * (x.ndim - 1) + [(_num_skew(algebra), 0)]
    return matrices.hat(algebra, jnp.pad(x, padding))


def from_coordinates(algebra: matrices.Algebra, x: Array, rotation: Array) -> Array:
    """exp(X) R."""
    stretch = jax.scipy.linalg.expm(symmetric(algebra, x))
    return matrices.multiply(stretch, rotation)


def coordinates(algebra: matrices.Algebra, a: Array) -> tuple[Array, Array]:
    """Coordinates of log P in the symmetric basis, and R, for a = P R."""
    rotation = matrices.polar_rotation(a)
    p = matrices.multiply(a, matrices.transpose(rotation))
    p = (p + matrices.transpose(p)) / 2
    if a.shape[-1] == 2:
        v = matrices.vee(algebra, _log_of_two_by_two(p))
    else:
        v = matrices.log(algebra, p)
    return v[..., _num_skew(algebra) :], rotation


def _log_of_two_by_two(p: Array) -> Array:
    """The logarithm of symmetric positive 2 x 2 matrices, smooth at equal eigenvalues.

    log P = F (P - t I) + (log det P) / 2 I with t = tr P / 2 and F = atanh(z)/(z t),
    where z t is half the difference of the eigenvalues.
    """
    t = (p[..., 0, 0] + p[..., 1, 1]) / 2
    half = (p[..., 0, 0] - p[..., 1, 1]) / 2
    off = p[..., 0, 1]
    squared = half * half + off * off
    z2 = squared / (t * t)
    small = z2 < 1e-3
    r = jnp.sqrt(jnp.where(small, 1, squared))
    # The smaller eigenvalue t - r without cancellation.
    larger = t + jnp.where(small, 0, r)
    det = p[..., 0, 0] * p[..., 1, 1] - off * off
    series = 1 + z2 * (1 / 3 + z2 * (1 / 5 + z2 * (1 / 7 + z2 * (1 / 9 + z2 / 11))))
    factor = jnp.where(small, series / t, jnp.log(larger * larger / det) / (2 * r))
    mean = jnp.log(det) / 2
    rows = [
        [mean + factor * half, factor * off],
        [factor * off, mean - factor * half],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def sample(
    algebra: matrices.Algebra, sigma: float, *, dtype: DTypeLike, key: Key[Array, ""]
) -> Array:
    """exp(X) R, coordinates of X from N(0, sigma^2), R a uniform rotation."""
    key_symmetric, key_rotation = jax.random.split(key)
    dim, n, _ = algebra.basis.shape
    x = sigma * jax.random.normal(key_symmetric, (dim - _num_skew(algebra),), dtype)
    rotation = matrices.sample_special(n, dtype=dtype, key=key_rotation)
    return from_coordinates(algebra, x, rotation)


def log_density(algebra: matrices.Algebra, sigma: float, x: Array) -> Array:
    """Logarithm of the density of `sample` with respect to J(X) dX dR."""
    return log_normal(sigma, x) - _log_jacobian(symmetric(algebra, x))


def log_normal(sigma: float, x: Array) -> Array:
    """Logarithm of the density of N(0, sigma^2 I)."""
    constant = x.shape[-1] * math.log(sigma * math.sqrt(2 * math.pi))
    return -jnp.sum(x * x, axis=-1) / (2 * sigma**2) - constant


def _log_jacobian(x: Array) -> Array:
    """Sum of log(sinh(d)/d) over the differences d of the eigenvalues of x."""
    n = x.shape[-1]
    if n == 2:
        half = (x[..., 0, 0] - x[..., 1, 1]) / 2
        return log_sinhc(4 * (half * half + x[..., 0, 1] ** 2))
    # A symmetric function of eigenvalues alone: smooth where they are equal.
    values = jnp.linalg.eigvalsh(x)
    rows, columns = np.tril_indices(n, -1)
    differences = values[..., rows] - values[..., columns]
    return jnp.sum(log_sinhc(differences * differences), axis=-1)


def log_sinhc(squared: Array) -> Array:
    """log(sinh(d)/d) for d = sqrt(squared)."""
    small = squared < 1e-3
    d = jnp.sqrt(jnp.where(small, 1, squared))
    series = squared * (1 / 6 + squared * (-1 / 180 + squared * (1 / 2835)))
    return jnp.where(small, series, d + jnp.log(-jnp.expm1(-2 * d) / (2 * d)))
