"""Dual representations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array

from eqjax._core._specs import register_spec
from eqjax.reps._rep import Rep


@register_spec
@dataclass(frozen=True, order=True)
class Dual(Rep):
    """The dual rho(g^-1)^T, of linear forms. See `Rep.dual`.

    Args:
        rep: The representation.
    """

    rep: Any

    @property
    def group(self) -> Any:
        """The group of the representation."""
        return self.rep.group

    @property
    def dim(self) -> int:
        """Dimension of the representation."""
        return self.rep.dim

    def _rho(self, g: Any, dtype: Any) -> Array:
        return self.rep._rho(self.group.inverse(g), dtype).T

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return np.swapaxes(self.rep._matrix_at(np.linalg.inv(m)), -1, -2)

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return -np.swapaxes(self.rep._algebra_at(x), -1, -2)

    def _permutations(self) -> np.ndarray | None:
        return self.rep._permutations()
