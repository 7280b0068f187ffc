"""What the irreducible representations of one group offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Array

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

    def all_labels(self) -> tuple[Label, ...]:
        """Every label, in order; finite groups only."""
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
