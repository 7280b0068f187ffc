"""Direct sums with multiplicities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition, check_size
from eqjax._core._specs import register_spec
from eqjax.reps._rep import Rep, check_same_group


@register_spec
@dataclass(frozen=True, order=True)
class Sum(Rep):
    """The direct sum of `multiplicity` copies of each representation, in order.

    Args:
        terms: Pairs (representation, multiplicity).

    Raises:
        ValueError: If there is no term, a multiplicity is no positive integer, or the
            groups differ.
    """

    terms: tuple[tuple[Any, int], ...]

    def __post_init__(self) -> None:
        """Checks the terms."""
        check_condition(len(self.terms) > 0, "`terms` must not be empty.")
        for rep, multiplicity in self.terms:
            check_size("multiplicity", multiplicity)
            check_same_group(self.terms[0][0], rep)

    @property
    def group(self) -> Any:
        """The group of all terms."""
        return self.terms[0][0].group

    @property
    def dim(self) -> int:
        """Sum of the dimensions."""
        return sum(multiplicity * rep.dim for rep, multiplicity in self.terms)

    def _rho(self, g: Any, dtype: Any) -> Array:
        blocks = []
        for rep, multiplicity in self.terms:
            blocks += [rep._rho(g, dtype)] * multiplicity
        return jax.scipy.linalg.block_diag(*blocks)

    def _apply(self, g: Any, x: Array) -> Array:
        parts, start = [], 0
        for rep, multiplicity in self.terms:
            size = multiplicity * rep.dim
            part = x[start : start + size].reshape(multiplicity, rep.dim, *x.shape[1:])
            moved = rep._apply(g, jnp.moveaxis(part, 0, 1))
            parts.append(jnp.moveaxis(moved, 1, 0).reshape(size, *x.shape[1:]))
            start += size
        return jnp.concatenate(parts)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return self._blocks([rep._matrix_at(m) for rep, _ in self.terms])

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return self._blocks([rep._algebra_at(x) for rep, _ in self.terms])

    def _permutations(self) -> np.ndarray | None:
        parts, start = [], 0
        for rep, multiplicity in self.terms:
            images = rep._permutations()
            if images is None:
                return None
            size = multiplicity * rep.dim
            offsets = start + rep.dim * np.arange(multiplicity)[None, :, None]
            parts.append((offsets + images[:, None, :]).reshape(len(images), size))
            start += size
        return np.concatenate(parts, axis=1)

    def _blocks(self, blocks: list[np.ndarray]) -> np.ndarray:
        """The block-diagonal matrices."""
        full = np.zeros((*blocks[0].shape[:-2], self.dim, self.dim))
        start = 0
        for (rep, multiplicity), block in zip(self.terms, blocks, strict=True):
            for _ in range(multiplicity):
                stop = start + rep.dim
                full[..., start:stop, start:stop] = block
                start = stop
        return full


def copies(rep: Rep, multiplicity: int) -> Rep:
    """The sum of copies of one representation."""
    check_size("multiplicity", multiplicity)
    if isinstance(rep, Sum):
        if len(rep.terms) == 1:
            ((inner, times),) = rep.terms
            return Sum(((inner, times * multiplicity),))
        return Sum(((rep, multiplicity),))
    return Sum(((rep, multiplicity),)) if multiplicity > 1 else rep


def add(a: Rep, b: Rep) -> Rep:
    """The direct sum; neighbors that are equal join."""
    terms: list[tuple[Rep, int]] = []
    for rep in (a, b):
        new = rep.terms if isinstance(rep, Sum) else ((rep, 1),)
        for term, multiplicity in new:
            if terms and terms[-1][0] == term:
                terms[-1] = (term, terms[-1][1] + multiplicity)
            else:
                terms.append((term, multiplicity))
    return Sum(tuple(terms))
