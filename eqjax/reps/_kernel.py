"""Equivariant matrices found by iteration: the kernel of X -> B X - X A (NumPy)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eqjax.groups import Generators

_MAX_STEPS = 1000
# Relative to the first residual; conjugate gradients reach this in as many steps as the
# operator has different eigenvalues, which for a group are few.
_ROUNDING = 1e-15
_FLAT = 1e-12


def stacked(generators: Generators) -> np.ndarray:
    """All generators in one array, (k, dim, dim)."""
    return np.concatenate([generators.lie, generators.discrete])


def project(a: np.ndarray, b: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The orthogonal projection of maps onto those with b_k X = X a_k for all k.

    The maps are the kernel of the sum of squares L = sum_k C_k^T C_k of the constraints
    C_k(X) = b_k X - X a_k. For a basis of the Lie algebra that is orthonormal and made
    of symmetric and antisymmetric matrices, L is the Casimir operator of the compact
    real form, whose spectrum has a gap of order 1 above 0 and few different values.

    Args:
        a: Generators on the source, shape (k, d, d).
        b: Generators on the target, shape (k, n, n).
        x: Maps, shape (q, n, d).

    Returns:
        The projected maps, shape (q, n, d).
    """
    count, d, _ = a.shape
    n, q = b.shape[1], len(x)
    if count == 0 or x.size == 0:
        return x
    tall, wide = b.reshape(count * n, n), a.transpose(1, 0, 2).reshape(d, count * d)

    def constraints(x: np.ndarray) -> np.ndarray:
        """(n, q d) to (count, n, q, d)."""
        y = (tall @ x).reshape(count, n, q, d)
        z = (x.reshape(n * q, d) @ wide).reshape(n, q, count, d)
        return y - z.transpose(2, 0, 1, 3)

    def operator(x: np.ndarray) -> np.ndarray:
        y = constraints(x)
        back = tall.T @ y.reshape(count * n, q * d)
        turned = y.transpose(1, 2, 0, 3).reshape(n * q, count * d) @ wide.T
        return back - turned.reshape(n, q * d)

    x = np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(n, q * d)
    residual = -operator(x)
    squared = first = float(np.vdot(residual, residual))
    # The rounding of one product with L. Generators are of order 1, so that where all
    # are rounding errors every map is equivariant.
    scale = max(1.0, float(np.sum(a * a) / d + np.sum(b * b) / n))
    floor = (_ROUNDING * scale) ** 2 * float(np.vdot(x, x))
    direction = residual
    for _ in range(_MAX_STEPS):
        if squared <= max(floor, first * _ROUNDING**2):
            break
        image = operator(direction)
        curvature = float(np.vdot(direction, image))
        # What is left lies in the kernel, as only rounding does.
        if curvature <= _FLAT * scale * float(np.vdot(direction, direction)):
            break
        step = squared / curvature
        x = x + step * direction
        residual = residual - step * image
        last, squared = squared, float(np.vdot(residual, residual))
        direction = residual + (squared / last) * direction
    return x.reshape(n, q, d).transpose(1, 0, 2)


def embeddings(a: np.ndarray, b: np.ndarray, limit: int) -> np.ndarray:
    """Isometries of an irreducible representation into another, with orthogonal images.

    Args:
        a: Generators of the irreducible one, shape (k, d, d).
        b: Generators of the other, shape (k, n, n).
        limit: Largest number of copies.

    Returns:
        The isometries, shape (m, n, d), as many as there are up to `limit`.
    """
    d, n = a.shape[1], b.shape[1]
    numbers = np.random.Generator(np.random.PCG64(0))
    draws = numbers.standard_normal((min(limit, n // d), n, d))
    draws /= np.linalg.norm(draws, axis=(1, 2), keepdims=True)
    found: list[np.ndarray] = []
    for x in project(a, b, draws):
        for _ in range(2):
            for t in found:
                # T^T X is in the commutant of a, so X stays equivariant.
                x = x - t @ (t.T @ x)
        size = np.linalg.norm(x)
        # A generic map has a part of the order of sqrt(1 / (n d)) in the kernel.
        if size > 1e-7:
            found.append(x * (np.sqrt(d) / size))
    # What rounding has grown is taken out: of the constraints, and by a Newton step to
    # the nearest orthonormal columns.
    isometries = project(a, b, np.array(found).reshape(-1, n, d))
    columns = isometries.transpose(1, 0, 2).reshape(n, -1)
    columns = 1.5 * columns - 0.5 * columns @ (columns.T @ columns)
    return columns.reshape(n, -1, d).transpose(1, 0, 2)


def commutant(a: np.ndarray, dim: int) -> np.ndarray:
    """An orthogonal basis {1, J, ..} of what commutes with irreducible generators.

    Args:
        a: Generators, shape (k, d, d).
        dim: Its dimension, 1, 2 or 4.

    Returns:
        Matrices, shape (dim, d, d), orthogonal up to rounding.
    """
    d = a.shape[1]
    found = [np.eye(d)]
    if dim > 1:
        numbers = np.random.Generator(np.random.PCG64(1))
        draws = numbers.standard_normal((dim - 1, d, d))
        for x in project(a, a, project(a, a, draws)):
            for _ in range(2):
                for t in found:
                    x = x - t * np.vdot(t, x) / d
            found.append(x * (np.sqrt(d) / np.linalg.norm(x)))
    return np.array(found)


def commutant_dim(a: np.ndarray) -> int:
    """Dimension of what commutes with irreducible generators: 1, 2 or 4."""
    draws = np.random.Generator(np.random.PCG64(1)).standard_normal((5, *a.shape[1:]))
    maps = project(a, a, draws).reshape(5, -1)
    return int(np.linalg.matrix_rank(maps, tol=1e-7 * np.linalg.norm(maps)))


def split(
    generators: np.ndarray,
    num_lie: int,
    keep: Callable[[np.ndarray], bool] = lambda space: True,
) -> list[np.ndarray]:
    """Splits a representation into irreducible subspaces that are orthogonal.

    First by the eigenspaces of the Casimir operator, then of a random symmetric matrix
    that commutes with the representation. All generators are symmetric or orthogonal.

    Args:
        generators: Those of the Lie algebra, then discrete ones, (k, n, n).
        num_lie: Number of the first kind.
        keep: Orthonormal basis of an invariant subspace to whether it is of interest.

    Returns:
        Orthonormal bases of the subspaces, shapes (n, d).
    """
    n = generators.shape[1]
    numbers = np.random.Generator(np.random.PCG64(2))
    lie = generators[:num_lie]
    spaces = []
    for space in _eigenspaces(np.einsum("kab,kac->bc", lie, lie)):
        if not keep(space):
            continue
        inside = space.T @ generators @ space
        draw = numbers.standard_normal((1, space.shape[1], space.shape[1]))
        matrix = project(inside, inside, project(inside, inside, draw))[0]
        for part in _eigenspaces(matrix + matrix.T):
            basis = space @ part
            draw = numbers.standard_normal((n, basis.shape[1]))
            spaces.append(canonical_basis(basis, draw))
    return spaces


def canonical_basis(space: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """The orthonormal basis of projected vectors, which depends on the space only."""
    basis, upper = np.linalg.qr(space @ (space.T @ draw))
    return basis * np.sign(np.diag(upper))


def _eigenspaces(matrix: np.ndarray) -> list[np.ndarray]:
    """Orthonormal bases of the eigenspaces of a symmetric matrix."""
    values, vectors = np.linalg.eigh(matrix)
    size = max(abs(values[0]), abs(values[-1]))
    cuts = np.flatnonzero(np.diff(values) > 1e-7 * size) + 1
    return np.split(vectors, cuts, axis=1)
