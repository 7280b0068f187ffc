"""What the irreducible representations of one group offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax.reps._rep import Rep, kron, kron_sum
from eqjax.reps._xp import einsum

Label: TypeAlias = tuple[Any, ...]
# Irreducible parts of a product with their isometries (copies, dim, part's dim).
Coupling: TypeAlias = Sequence[tuple[Label, np.ndarray]]


class Model(NamedTuple):
    """One irreducible representation in its basis.

    Attributes:
        dim: Its dimension.
        commutant_dim: 1, 2 or 4 for real, complex or quaternionic type.
        matrix_at: Defining matrices (*batch, n, n) to its matrices (NumPy).
        algebra_at: The same for the Lie algebra.
        rho: Element and dtype to its matrix (JAX).
    """

    dim: int
    commutant_dim: int
    matrix_at: Callable[[np.ndarray], np.ndarray]
    algebra_at: Callable[[np.ndarray], np.ndarray]
    rho: Callable[[Any, Any], Array]


@runtime_checkable
class Family(Protocol):
    """The irreducible representations of one group by their labels."""

    @property
    def trivial(self) -> Label:
        """Label of the trivial representation."""
        ...

    @property
    def standard(self) -> Label | None:
        """Label of the model that equals the standard representation, if one does."""
        ...

    def parse(self, label: Any) -> Label:
        """The label in its canonical form; `ValueError` if there is none such."""
        ...

    def name(self, label: Label) -> str:
        """The label as text."""
        ...

    def sort_key(self, label: Label) -> tuple[Any, ...]:
        """What labels are ordered by; the trivial one comes first."""
        ...

    def all_labels(self) -> tuple[Label, ...] | None:
        """Every label, in order; None if there are infinitely many."""
        ...

    def model(self, label: Label) -> Model:
        """The representation itself."""
        ...

    def candidates(
        self, lie: np.ndarray, discrete: np.ndarray
    ) -> Iterable[tuple[list[Label], int]]:
        """Labels that may occur in a representation with these generators.

        Each entry lists alternatives and how many irreducible subspaces, at most, are
        of one of these kinds together.
        """
        ...

    def couple(self, a: Label, b: Label) -> Coupling | None:
        """The product of two in closed form, if there is one."""
        ...


def constant(character: Callable[[Any, Any], Any] | None = None) -> Model:
    """A representation of dimension 1 that does not see the Lie algebra.

    Args:
        character: Matrices (*batch, n, n), which are the elements too, and `numpy` or
            `jax.numpy` to signs. Default: the trivial representation.
    """

    def matrix_at(m: np.ndarray) -> np.ndarray:
        sign = np.ones(m.shape[:-2]) if character is None else character(m, np)
        return sign[..., None, None]

    def rho(g: Any, dtype: Any) -> Array:
        one = jnp.ones((1, 1), dtype)
        return one if character is None else one * character(g, jnp).astype(dtype)

    def algebra_at(x: np.ndarray) -> np.ndarray:
        return np.zeros((*x.shape[:-2], 1, 1))

    return Model(1, 1, matrix_at, algebra_at, rho)


def part_of_product(
    left: Model, right: Rep, isometry: np.ndarray, commutant_dim: int
) -> Model:
    """An invariant subspace of the tensor product of two representations.

    Args:
        left: The slow factor.
        right: The fast factor.
        isometry: Orthonormal basis of the subspace, (left.dim * right.dim, dim), whose
            orthogonal complement is invariant too.
        commutant_dim: That of the subspace, if it is irreducible.
    """

    def matrix_at(m: np.ndarray) -> np.ndarray:
        return isometry.T @ kron(left.matrix_at(m), right._matrix_at(m)) @ isometry

    def algebra_at(x: np.ndarray) -> np.ndarray:
        full = kron_sum(left.algebra_at(x), right._algebra_at(x))
        return isometry.T @ full @ isometry

    def rho(g: Any, dtype: Any) -> Array:
        a, b = left.rho(g, dtype), right._rho(g, dtype)
        basis = jnp.asarray(isometry, dtype).reshape(len(a), len(b), -1)
        half = einsum(jnp, "ij,jac->iac", a, basis)
        half = einsum(jnp, "ab,ibc->iac", b, half)
        return einsum(jnp, "iad,iac->dc", basis, half)

    return Model(isometry.shape[1], commutant_dim, matrix_at, algebra_at, rho)
