"""Spherical harmonic transforms as Legendre sums and Fourier sums, one JAX primitive.

Both sums are matrix products on (rows, everything else). Written for one example, their
reshapes would let `jax.vmap` put the batch between the axes of the grid, and copy.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from eqjax._core._primitives import explicit_spec, result_type
from eqjax.o3._constants import Precision, constant_map
from eqjax.o3._harmonics_table import harmonics


@dataclass(frozen=True)
class Transform:
    """The matrix (points, dim) of spherical harmonics on a grid, or its transpose.

    Args:
        shape: Numbers of polar angles and azimuths.
        max_degree: Largest degree.
        weighted: Whether the points are multiplied by their weights.
        transposed: From values to coefficients.
    """

    shape: tuple[int, int]
    max_degree: int
    weighted: bool
    transposed: bool

    @property
    def rows(self) -> int:
        """Number of rows of the result."""
        dims = (self.shape[0] * self.shape[1], (self.max_degree + 1) ** 2)
        return dims[self.transposed]

    @property
    def transpose(self) -> Transform:
        """The transposed matrix."""
        return Transform(
            self.shape, self.max_degree, self.weighted, not self.transposed
        )


def separable_transform(
    transform: Transform, x: Array, *, precision: Precision = "highest"
) -> Array:
    """The matrix times the first axis of x, (columns, *rest), in the dtype of x."""
    return _separable_p.bind(x, transform=transform, precision=precision)


@functools.lru_cache(maxsize=64)
def _tables(
    shape: tuple[int, int], max_degree: int, weighted: bool
) -> tuple[list[np.ndarray], np.ndarray]:
    """Legendre parts (polar, degrees from |m|) by order; Fourier part.

    Y_lm = legendre[m + L][polar, l - |m|] fourier[m + L, azimuth].
    """
    num_polar, num_azimuth = shape
    y, weights = np.polynomial.legendre.leggauss(num_polar)
    # At azimuth 0 the cosines are 1.
    table = harmonics(max_degree, np.stack([0 * y, y, np.sqrt(1 - y**2)], axis=1))
    if weighted:
        table = table * (weights / (2 * num_azimuth))[:, None]
    orders = np.arange(-max_degree, max_degree + 1)
    legendre = []
    for m in np.abs(orders).tolist():
        degrees = np.arange(m, max_degree + 1)
        legendre.append(table[:, degrees**2 + degrees + m])
    phases = np.outer(np.abs(orders), 2 * np.pi * np.arange(num_azimuth) / num_azimuth)
    fourier = np.where(orders[:, None] < 0, np.sin(phases), np.cos(phases))
    return legendre, fourier


def _evaluate(x: Array, *, transform: Transform, precision: Any) -> Array:
    rest = x.shape[1:]
    num_polar, num_azimuth = transform.shape
    top = transform.max_degree
    orders = range(-top, top + 1)
    legendre, fourier = _tables(transform.shape, top, transform.weighted)
    x = x.reshape(len(x), -1)
    if transform.transposed:
        # (azimuths, polar, rest) -> (orders, polar, rest)
        x = x.reshape(num_azimuth, -1)
        parts = constant_map(fourier, x, precision=precision)
        parts = parts.reshape(len(orders), num_polar, -1)
        found = [
            constant_map(table.T, part, precision=precision)
            for table, part in zip(legendre, parts, strict=True)
        ]
        rows = [
            found[m + top][l - abs(m) : l - abs(m) + 1]
            for l in range(top + 1)
            for m in range(-l, l + 1)
        ]
        return jnp.concatenate(rows).reshape(-1, *rest)
    parts = []
    for m, table in zip(orders, legendre, strict=True):
        places = [l * l + l + m for l in range(abs(m), top + 1)]
        rows = jnp.concatenate([x[i : i + 1] for i in places])
        parts.append(constant_map(table, rows, precision=precision))
    x = jnp.stack(parts).reshape(len(orders), -1)
    return constant_map(fourier.T, x, precision=precision).reshape(-1, *rest)


def _abstract(x: Any, *, transform: Transform, precision: Any) -> Any:
    shape = (transform.rows, *x.shape[1:])
    return result_type(x, shape, (None, *explicit_spec(x)[1:]))


def _transpose(ct: Any, x: Any, *, transform: Transform, precision: Any) -> list[Any]:
    if type(ct) is ad.Zero:
        return [ad.Zero(x.aval)]
    back = transform.transpose
    return [_separable_p.bind(ct, transform=back, precision=precision)]


def _batch(args: Any, dims: Any, **params: Any) -> tuple[Array, int]:
    return _separable_p.bind(jnp.moveaxis(args[0], dims[0], 1), **params), 1


_separable_p = Primitive("separable_transform")
_separable_p.def_impl(_evaluate)
_separable_p.def_abstract_eval(_abstract)
mlir.register_lowering(_separable_p, mlir.lower_fun(_evaluate, multiple_results=False))
ad.deflinear2(_separable_p, _transpose)
batching.primitive_batchers[_separable_p] = _batch
