"""Bases of steerable kernels between two representations."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax.groups import O
from eqjax.nn._grid import moves_grid
from eqjax.nn._kernel_basis import KernelBasis, sampled
from eqjax.o3._constants import read_only
from eqjax.reps import Irrep, Rep, hom, irrep
from eqjax.reps._permutation import Quotient
from eqjax.reps._standard import Trivial

# Smaller kernels are rounding: pixels cannot show e.g. sin(4 t) on a window of three.
_SHOWN = 1e-6


@dataclass(frozen=True)
class Harmonics(Rep):
    """Circular or spherical harmonics of one degree, moved by a group of matrices.

    The restriction of an irrep of O(2) or O(3), also where the group is not registered
    as their subgroup.
    """

    group: Any
    degree: int

    @property
    def _irrep(self) -> Irrep:
        full = O(self.group.degree)
        if full.n == 2:
            return irrep(full, self.degree or "0e")
        return irrep(full, (self.degree, (-1) ** self.degree))

    @property
    def dim(self) -> int:
        """2 l + 1 in space; 1 or 2 in the plane."""
        return self._irrep.dim

    def _rho(self, g: Any, dtype: Any) -> Array:
        full = O(self.group.degree)
        return self._irrep._rho(full.from_matrix(self.group.matrix(g)), dtype)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return self._irrep._matrix_at(m)

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return self._irrep._algebra_at(x)


class DenseKernels(NamedTuple):
    """A list of kernels.

    Attributes:
        kernels: (functions, pixels, out, in), float64; the sum of squares of each is
            the number of components of the output.
    """

    kernels: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights, but for channels."""
        return self.kernels.shape[:1]

    def expand(self, weights: Array) -> Array:
        """(functions, c_in, c_out) to (pixels, in, c_in, out, c_out)."""
        constant = jnp.asarray(self.kernels, weights.dtype)
        return jnp.einsum("bkoi,bxy->kixoy", constant, weights, precision="highest")


class OrbitKernels(NamedTuple):
    """Kernels between permutation representations of which one is regular.

    K[s, t](x) = sum_b w[p(s, t), b] psi_b(g^-1 x): an orbit p of pairs of components
    has one kernel, seen in the frame of the regular side's element g = s or g = t.

    Attributes:
        functions: psi_b(g^-1 x), (order, pixels, functions), float64.
        orbits: p, (out, in).
        is_out: Whether g is the component of the output.
    """

    functions: np.ndarray
    orbits: np.ndarray
    is_out: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights, but for channels: orbits, functions."""
        return int(self.orbits.max()) + 1, self.functions.shape[2]

    def expand(self, weights: Array) -> Array:
        """(orbits, functions, c_in, c_out) to (pixels, in, c_in, out, c_out)."""
        # One small product for each element: as one batched product, its result would
        # be transposed, which takes longer than the products.
        _, pixels, count = self.functions.shape
        table = self.orbits if self.is_out else self.orbits.T
        frames = []
        for functions, orbits in zip(self.functions, table, strict=True):
            # (functions, other side, c_in, c_out), or c_in before the other side
            chosen = jnp.moveaxis(weights[orbits], 1, 0)
            chosen = chosen if self.is_out else jnp.swapaxes(chosen, 1, 2)
            psi = jnp.asarray(functions, weights.dtype)
            flat = chosen.reshape(count, -1)
            frame = jnp.matmul(psi, flat, precision="highest")
            frames.append(frame.reshape(pixels, *chosen.shape[1:]))
        return jnp.stack(frames, axis=3 if self.is_out else 1)


@functools.lru_cache(maxsize=512)
def steerable_kernels(
    rep_in: Rep, rep_out: Rep, basis: KernelBasis, size: int
) -> DenseKernels | OrbitKernels | None:
    """The kernels with K(g x) = rho_out(g) K(x) rho_in(g)^-1 on size^d pixels.

    Where one side is regular, any function seen in the frame of its element is one, so
    that nothing is solved. Otherwise K(x) = sum_m psi_lm(x) X_m with X equivariant from
    Y_l x rho_in to rho_out (Wigner and Eckart's theorem).

    Returns:
        The kernels, or None if there are none.
    """
    for regular in (rep_out, rep_in):
        if _is_regular(regular):
            if not moved_functions(rep_in.group, basis, size).size:
                return None
            return _framed(rep_in, rep_out, basis, size, regular is rep_out)
    found = _solved(rep_in, rep_out, basis, size)
    return DenseKernels(read_only(found)) if len(found) else None


def _framed(
    rep_in: Rep, rep_out: Rep, basis: KernelBasis, size: int, is_out: bool
) -> DenseKernels | OrbitKernels:
    group: Any = rep_in.group
    functions = moved_functions(group, basis, size)
    tables = group.tables
    # [g, i]: where g^-1 sends component i of the other side.
    other = rep_in if is_out else rep_out
    if isinstance(other, (Quotient, Trivial)):
        images = _images(other)[tables.inverse]
        if not is_out:
            functions = functions * np.sqrt(rep_out.dim / group.order)
        return OrbitKernels(functions, images if is_out else images.T, is_out)
    back = other._matrix_at(tables.matrices[tables.inverse])
    if is_out:
        # K[g, i](x) = sum_j psi_b(g^-1 x) rho_in(g^-1)[j, i]
        kernels = np.einsum("gkb,gji->bjkgi", functions, back)
    else:
        # K[i, g](x) = rho_out(g)[i, j] psi_b(g^-1 x)
        moved = other._matrix_at(tables.matrices)
        kernels = np.einsum("gkb,gij->bjkig", functions, moved)
    return DenseKernels(read_only(_normalized(kernels.reshape(-1, *kernels.shape[2:]))))


def _solved(rep_in: Rep, rep_out: Rep, basis: KernelBasis, size: int) -> np.ndarray:
    group = rep_in.group
    found = [np.zeros((0, size**group.degree, rep_out.dim, rep_in.dim))]
    for degree, values in sampled(basis, size, group.degree):
        harmonics = Harmonics(group, degree)
        maps = hom(harmonics * rep_in, rep_out).basis
        maps = maps.reshape(-1, rep_out.dim, harmonics.dim, rep_in.dim)
        kernels = np.einsum("rkm,nomi->rnkoi", values, maps, optimize=True)
        found.append(kernels.reshape(-1, *kernels.shape[2:]))
    return _normalized(np.concatenate(found))


@functools.lru_cache(maxsize=64)
def moved_functions(group: Any, basis: KernelBasis, size: int) -> np.ndarray:
    """psi_b(g^-1 x) for every element of a finite group, (order, pixels, functions)."""
    matrices = group.tables.matrices
    parts = []
    for degree, values in sampled(basis, size, group.degree):
        moves = Harmonics(group, degree)._matrix_at(matrices)
        # psi(g^-1 x) = rho(g)^T psi(x)
        part = np.einsum("gmn,rkm->gkrn", moves, values, optimize=True)
        parts.append(part.reshape(*part.shape[:2], -1))
    empty = np.zeros((len(matrices), size**group.degree, 0))
    functions = np.concatenate([empty, *parts], axis=2)
    # Mean over the group of the sum of squares is 1.
    norms = np.sqrt(np.sum(functions**2, axis=(0, 1)) / len(functions))
    shown = norms > _SHOWN
    return read_only(functions[:, :, shown] / norms[shown])


def check_grid_group(rep: Rep) -> None:
    """Checks that the group turns and mirrors the plane or space.

    Raises:
        ValueError: If it does not.
    """
    check_condition(
        moves_grid(rep.group),
        "Fields on a grid need a group of turns and mirrors of the plane or of space, "
        f"such as Cyclic(n), Dihedral(n), O(2), Polyhedral(...), O(3); got "
        f"{rep.group} of {rep}.",
    )


def _normalized(kernels: np.ndarray) -> np.ndarray:
    """Each with the number of components of the output as its sum of squares."""
    squares = np.sum(kernels**2, axis=(1, 2, 3), keepdims=True)
    shown = squares[:, 0, 0, 0] > _SHOWN**2
    return kernels[shown] * np.sqrt(kernels.shape[2] / squares[shown])


def _is_regular(rep: Rep) -> bool:
    return isinstance(rep, Quotient) and rep.subgroup is None


def _images(rep: Rep) -> np.ndarray:
    """Where every element of a finite group sends each component, (order, dim)."""
    matrices = rep._matrix_at(rep.group.tables.matrices)
    return np.argmax(matrices, axis=1)
