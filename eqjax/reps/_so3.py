"""SO(3): real Clebsch-Gordan coefficients and irreps, in e3nn's order and sign."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from eqjax.reps._xp import einsum

_FACTORIAL = np.array([float(math.factorial(k)) for k in range(171)])


@functools.lru_cache(maxsize=4096)
def wigner_coupling(l1: int, l2: int, l3: int) -> np.ndarray:
    """The real invariant of l1 x l2 x l3, shape (2l1+1, 2l2+1, 2l3+1).

    The complex coefficients of Racah's formula, in the real basis whose l = 1 is
    (x, y, z). The sum of squares is 1; zero unless |l1 - l2| <= l3 <= l1 + l2.

    References:
        Varshalovich, Moskalev, Khersonskii, "Quantum theory of angular momentum"
        (1988), equation 8.2.1(5).
    """
    shape = (2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1)
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        return _read_only(np.zeros(shape))
    m1, m2 = np.meshgrid(np.arange(-l1, l1 + 1), np.arange(-l2, l2 + 1), indexing="ij")
    m3 = m1 + m2
    inside = np.abs(m3) <= l3
    m1, m2, m3 = m1[inside], m2[inside], m3[inside]
    f = _FACTORIAL
    size = f[l1 + l2 - l3] * f[l1 - l2 + l3] * f[l2 + l3 - l1] / f[l1 + l2 + l3 + 1]
    size = size * f[l1 + m1] * f[l1 - m1] * f[l2 + m2] * f[l2 - m2]
    size = size * f[l3 + m3] * f[l3 - m3]
    k = np.arange(l1 + l2 - l3 + 1)[:, None]
    terms = [l1 + l2 - l3 - k + 0 * m1, l1 - m1 - k, l2 + m2 - k]
    terms += [l3 - l2 + m1 + k, l3 - l1 - m2 + k]
    good = np.min(terms, axis=0) >= 0
    below = f[k] * np.prod([f[np.maximum(term, 0)] for term in terms], axis=0)
    total = np.sum(np.where(good, (-1.0) ** k / below, 0.0), axis=0)
    complex_form = np.zeros(shape)
    complex_form[m1 + l1, m2 + l2, m3 + l3] = np.sqrt(size) * total
    coupling = np.einsum(
        "ai,bj,ck,abc->ijk",
        _real_basis(l1),
        _real_basis(l2),
        _real_basis(l3).conj(),
        complex_form,
        optimize=True,
    )
    return _read_only(np.real(coupling))


@functools.lru_cache(maxsize=64)
def _real_basis(l: int) -> np.ndarray:
    """Column c: the real function c in spherical harmonics of order m = row - l."""
    basis = np.zeros((2 * l + 1, 2 * l + 1), complex)
    basis[l, l] = 1
    half = math.sqrt(0.5)
    for m in range(1, l + 1):
        basis[l - m, l + m], basis[l - m, l - m] = half, -1j * half
        sign = (-1) ** m
        basis[l + m, l + m], basis[l + m, l - m] = sign * half, 1j * sign * half
    # This phase makes the couplings real.
    return (-1j) ** l * basis


@functools.lru_cache(maxsize=64)
def raising(l: int) -> np.ndarray:
    """The isometry from l into (l - 1) x 1, rows of shape (2l+1, 3 (2l-1)), l >= 2."""
    coupling = wigner_coupling(l - 1, 1, l) * math.sqrt(2 * l + 1)
    return _read_only(np.ascontiguousarray(coupling.reshape(-1, 2 * l + 1).T))


def wigner(l: int, m: Any, xp: Any) -> Any:
    """The matrix of the rotation matrix m, shape (*batch, 2l+1, 2l+1), polynomial in m.

    Args:
        l: Degree.
        m: Rotation matrices, shape (*batch, 3, 3).
        xp: `numpy` or `jax.numpy`, the library of m.
    """
    batch = m.shape[:-2]
    if l == 0:
        return xp.ones((*batch, 1, 1), m.dtype)
    d = m
    for k in range(2, l + 1):
        up = raising(k).reshape(2 * k + 1, 2 * k - 1, 3)
        up = up if xp is np else xp.asarray(up, m.dtype)
        half = einsum(xp, "aij,...jm->...aim", up, m)
        half = einsum(xp, "...aim,...ik->...akm", half, d)
        d = einsum(xp, "...akm,bkm->...ab", half, up)
    return d


def wigner_algebra(l: int, x: np.ndarray) -> np.ndarray:
    """The derivative of `wigner` at the identity in the direction x, (..., 3, 3)."""
    if l == 0:
        return np.zeros((*x.shape[:-2], 1, 1))
    d = x
    for k in range(2, l + 1):
        up = raising(k)
        left = np.einsum("...ij,kl->...ikjl", d, np.eye(3))
        right = np.einsum("ij,...kl->...ikjl", np.eye(2 * k - 1), x)
        size = 3 * (2 * k - 1)
        d = up @ (left + right).reshape(*x.shape[:-2], size, size) @ up.T
    return d


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
