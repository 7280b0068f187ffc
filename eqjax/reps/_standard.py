"""The representations that come with the group: trivial, standard, adjoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._specs import register_spec
from eqjax.groups import FiniteGroup, Group, Symmetric
from eqjax.reps._rep import Rep, real_form


@register_spec
@dataclass(frozen=True, order=True)
class Trivial(Rep):
    """The trivial representation rho(g) = 1, of dimension 1."""

    group: Any

    @property
    def dim(self) -> int:
        """1."""
        return 1

    def _rho(self, g: Any, dtype: Any) -> Array:
        return jnp.ones((1, 1), dtype)

    def _apply(self, g: Any, x: Array) -> Array:
        return x

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return np.ones((*m.shape[:-2], 1, 1))

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return np.zeros((*x.shape[:-2], 1, 1))

    def _permutations(self) -> np.ndarray | None:
        generators = self.group.generators
        return None if len(generators.lie) else np.zeros((len(generators[1]), 1), int)


@register_spec
@dataclass(frozen=True, order=True)
class Standard(Rep):
    """The defining matrices: rho(g) = `group.matrix(g)`.

    Complex matrices act on real and imaginary parts, [[Re, -Im], [Im, Re]]. For groups
    with translations these are the affine matrices on (x, 1).
    """

    group: Any

    @property
    def dim(self) -> int:
        """Size of the defining matrices, doubled for complex ones."""
        discrete = self.group.generators.discrete
        return discrete.shape[-1] * (2 if np.iscomplexobj(discrete) else 1)

    def _rho(self, g: Any, dtype: Any) -> Array:
        if hasattr(self.group, "real_matrix"):
            return self.group.real_matrix(g).astype(dtype)
        return self.group.matrix(g).astype(dtype)

    def _apply(self, g: Any, x: Array) -> Array:
        if not isinstance(self.group, (Symmetric, FiniteGroup)):
            return super()._apply(g, x)
        # Where each component comes from.
        return x[self.group.permutation(self.group.inverse(g))]

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return real_form(m)

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return real_form(x)

    def _permutations(self) -> np.ndarray | None:
        lie, discrete = self.group.generators
        if len(lie) or not np.all((discrete == 0) | (discrete == 1)):
            return None
        return np.argmax(discrete, axis=1)


@register_spec
@dataclass(frozen=True, order=True)
class Adjoint(Rep):
    """The group on its Lie algebra: rho(g) = `group.adjoint(g)`."""

    group: Any

    @property
    def dim(self) -> int:
        """Dimension of the group."""
        return self.group.dim

    def _rho(self, g: Any, dtype: Any) -> Array:
        return self.group.adjoint(g).astype(dtype)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        basis = self.group.generators.lie
        return self._coordinates(
            m[..., None, :, :] @ basis @ np.linalg.inv(m)[..., None, :, :]
        )

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        basis, x = self.group.generators.lie, x[..., None, :, :]
        return self._coordinates(x @ basis - basis @ x)

    def _coordinates(self, moved: np.ndarray) -> np.ndarray:
        """Columns of coordinates of the moved basis (*batch, dim, n, n)."""
        basis = self.group.generators.lie
        flat = real_form(basis).reshape(len(basis), -1)
        moved = real_form(moved)
        moved = moved.reshape(*moved.shape[:-2], flat.shape[1])
        return np.swapaxes(moved @ np.linalg.pinv(flat), -1, -2)


def trivial(group: Group) -> Rep:
    """The trivial representation rho(g) = 1.

    Args:
        group: Any group.

    Returns:
        The representation, of dimension 1.

    Example:
        >>> from eqjax import groups, reps
        >>> reps.trivial(groups.SO(3)).dim
        1
    """
    return Trivial(group)


def standard(group: Group) -> Rep:
    """The defining representation rho(g) = `group.matrix(g)`.

    Complex matrices act on real and imaginary parts, [[Re, -Im], [Im, Re]]. S_n has its
    permutation matrices; groups with translations have their affine matrices, which act
    on (x, 1).

    Args:
        group: Any group.

    Returns:
        The representation.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, reps
        >>> cycle = jnp.array([1, 2, 0])
        >>> reps.standard(groups.Symmetric(3)).rho(cycle).astype(int).tolist()
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    """
    return Standard(group)


def adjoint(group: Group) -> Rep:
    """The adjoint representation on the Lie algebra, rho(g) = `group.adjoint(g)`.

    Args:
        group: A group of dimension at least 1.

    Returns:
        The representation, of dimension `group.dim`.

    Raises:
        ValueError: If the group is discrete.

    Example:
        >>> from eqjax import groups, reps
        >>> reps.adjoint(groups.SO(4)).dim
        6
    """
    if group.dim == 0:
        raise ValueError(
            f"`group` must have a Lie algebra, got {group} of dimension 0. Use "
            "`reps.regular` or `reps.standard`."
        )
    return Adjoint(group)
