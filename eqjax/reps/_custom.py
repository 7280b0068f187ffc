"""Representations that users bring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax.groups import Group
from eqjax.reps._rep import Rep


@dataclass(frozen=True)
class Custom(Rep):
    """A representation given by a function. See `custom`."""

    group: Any
    name: str
    function: Callable[[Any], Array]
    derivative: Callable[[Array], Array] | None
    size: int

    def __repr__(self) -> str:
        """The group and the name."""
        return f"Custom({self.group}, {self.name!r})"

    @property
    def dim(self) -> int:
        """Size of the matrices."""
        return self.size

    def _rho(self, g: Any, dtype: Any) -> Array:
        return jnp.asarray(self.function(g)).astype(dtype)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        def at(matrix: np.ndarray) -> Array:
            return self.function(self.group.from_matrix(jnp.asarray(matrix)))

        return self._evaluate(at, m)

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        def at(matrix: np.ndarray) -> Array:
            v = self.group.vee(jnp.asarray(matrix))
            if self.derivative is not None:
                return self.derivative(v)
            zero = jnp.zeros_like(v)
            return jax.jvp(lambda v: self.function(self.group.exp(v)), (zero,), (v,))[1]

        return self._evaluate(at, x)

    def _evaluate(self, at: Callable[[np.ndarray], Array], m: np.ndarray) -> np.ndarray:
        """The function on every matrix, in float64 and outside of any trace."""
        flat = m.reshape(-1, *m.shape[-2:])
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            rows = [np.asarray(at(matrix), np.float64) for matrix in flat]
        stacked = np.array(rows).reshape(*m.shape[:-2], self.dim, self.dim)
        return stacked


def custom(
    group: Group,
    name: str,
    rho: Callable[[Any], Array],
    drho: Callable[[Array], Array] | None = None,
) -> Rep:
    """A representation given by its matrices.

    Args:
        group: The group.
        name: For messages.
        rho: One element to its matrix, shape (dim, dim). Two representations are equal
            only if they hold the same function object, so define it once.
        drho: Coordinates in the Lie algebra to its matrix. Default: the derivative of
            rho(exp(v)) at v = 0.

    Returns:
        The representation. `testing.assert_homomorphism` checks that it is one.

    Raises:
        ValueError: If `rho` does not return a square matrix.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, reps
        >>> def doubled(angle):
        ...     return groups.SO(2).matrix(2 * angle)
        >>> rep = reps.custom(groups.SO(2), "doubled", doubled)
        >>> reps.decompose(rep).terms
        ((Irrep(SO(n=2), '2'), 1),)
    """
    shape = jax.eval_shape(lambda: jnp.asarray(rho(group.identity()))).shape
    check_condition(
        len(shape) == 2 and shape[0] == shape[1],
        f"`rho` must return square matrices, got shape {shape}.",
    )
    return Custom(group, name, rho, drho, shape[0])
