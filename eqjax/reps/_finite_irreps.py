"""The real irreducible representations of a finite group, from its product table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eqjax._core._checks import check_condition

_DRAWS = 8
# Eigenvalues of one eigenspace agree to rounding times the norm of the matrix, about
# 1e-13; those of different ones differ by about 1 / order for a generic matrix.
_GAP = 1e-8


class FiniteIrrep(NamedTuple):
    """One irreducible real representation of a finite group (NumPy, float64).

    Attributes:
        matrices: The orthogonal matrix of every element, (order, dim, dim).
        character: Their traces, (order,).
        commutant_dim: Real dimension of the algebra of commuting matrices: 1 for real
            type, 2 for complex, 4 for quaternionic.
    """

    matrices: np.ndarray
    character: np.ndarray
    commutant_dim: int


def finite_irreps(product: np.ndarray, *, seed: int = 0) -> tuple[FiniteIrrep, ...]:
    """All irreducible real representations of a finite group.

    The matrices that commute with all left translations h -> g h are the sums of right
    translations. A random symmetric one has the irreducible subspaces of the left
    regular representation as its eigenspaces, each irreducible representation as often
    as its dimension over its commutant's. One eigenspace per character is kept.

    The result does not depend on the machine, but for rounding: random numbers come
    from PCG64, and the basis of an eigenspace is that of projected random vectors,
    orthonormalized in order. Representations are sorted by dimension, then by
    descending character on the elements in their order; the trivial one comes first.

    Args:
        product: Index of the product of elements i and j at [i, j], (order, order);
            element 0 is the identity.
        seed: Of the random numbers.

    Returns:
        The representations; the sum of dim^2 / commutant_dim is the order.

    Raises:
        ValueError: If `product` is no group's table with the identity first.
        RuntimeError: If eight draws do not separate the eigenspaces.

    Example:
        >>> import numpy as np
        >>> from eqjax import reps
        >>> turns = np.arange(4)
        >>> quarter_turns = (turns[:, None] + turns) % 4
        >>> [irrep.character.round().tolist()
        ...  for irrep in reps.finite_irreps(quarter_turns)]
        [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [2.0, 0.0, -2.0, 0.0]]

    References:
        Dixon, "Computing irreducible representations of groups", Mathematics of
        Computation 24 (1970), whose random commuting matrix this takes.
    """
    product = np.asarray(product)
    inverse = _check_table(product)
    order = len(product)
    conjugates = product[
        product[inverse], np.arange(order)[:, None]
    ]  # [i, g]: i^-1 g i
    for draw in range(_DRAWS):
        numbers = np.random.Generator(np.random.PCG64(seed + draw))
        weights = numbers.standard_normal(order)
        vectors = numbers.standard_normal((order, order))
        weights = weights + weights[inverse]
        values, basis = np.linalg.eigh(weights[product[inverse]])
        cuts = np.flatnonzero(np.diff(values) > _GAP * (values[-1] - values[0])) + 1
        found: dict[tuple[float, ...], FiniteIrrep] = {}
        for space in np.split(basis, cuts, axis=1):
            # The projector depends on i^-1 j alone, so its first row holds all of it.
            character = (space[0] @ space.T)[conjugates].sum(0)
            name = tuple(np.round(character, 6) + 0.0)
            if name not in found:
                found[name] = _irrep(space, vectors, product, inverse)
        irreps = tuple(
            found[name] for name in sorted(found, key=lambda c: (c[0], [-x for x in c]))
        )
        if _are_all(irreps, order):
            return irreps
    raise RuntimeError(
        f"The irreducible representations of a group of order {order} could not be "
        f"told apart in {_DRAWS} draws. Pass another `seed`."
    )


def _irrep(
    space: np.ndarray, vectors: np.ndarray, product: np.ndarray, inverse: np.ndarray
) -> FiniteIrrep:
    """The left regular representation on an invariant subspace."""
    dim = space.shape[1]
    basis, upper = np.linalg.qr(space @ (space.T @ vectors[:, :dim]))
    basis = basis * np.sign(np.diag(upper))
    # (L_g f)(h) = f(g^-1 h)
    matrices = np.einsum("ha,ghb->gab", basis, basis[product[inverse]], optimize=True)
    # Averaging over the group leaves rounding of the products alone.
    character = np.einsum("gaa->g", matrices)
    return FiniteIrrep(matrices, character, round(float(np.mean(character**2))))


def _are_all(irreps: tuple[FiniteIrrep, ...], order: int) -> bool:
    """Whether every one is irreducible, and their dimensions exhaust the group."""
    if any(irrep.commutant_dim not in (1, 2, 4) for irrep in irreps):
        return False
    size = sum(i.matrices.shape[1] ** 2 / i.commutant_dim for i in irreps)
    return size == order


def _check_table(product: np.ndarray) -> np.ndarray:
    """The inverses, if the table is a group's."""
    order = len(product)
    index = np.arange(order)
    check_condition(
        product.shape == (order, order)
        and order > 0
        and np.issubdtype(product.dtype, np.integer)
        and np.array_equal(np.sort(product, axis=0), np.tile(index[:, None], order))
        and np.array_equal(np.sort(product, axis=1), np.tile(index, (order, 1))),
        "`product` must hold every index of 0 .. order - 1 once per row and column.",
    )
    check_condition(
        np.array_equal(product[0], index) and np.array_equal(product[:, 0], index),
        "Element 0 of `product` must be the identity.",
    )
    inverse = np.argmin(product, axis=1)
    # Left translations compose as the elements do.
    check_condition(
        all(np.array_equal(product[product[a]], product[a][product]) for a in index),
        "`product` must be associative.",
    )
    return inverse
