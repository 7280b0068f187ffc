"""Tensor products."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.reps._rep import Rep, check_same_group, kron, kron_sum
from eqjax.reps._standard import Trivial


@register_spec
@dataclass(frozen=True, order=True)
class Tensor(Rep):
    """The tensor product of two or more representations, the last index fastest.

    Args:
        factors: The representations.

    Raises:
        ValueError: If there are fewer than two, or the groups differ.
    """

    factors: tuple[Any, ...]

    def __post_init__(self) -> None:
        """Checks the factors."""
        check_condition(
            len(self.factors) >= 2,
            f"`factors` must hold two or more representations, got {self.factors}.",
        )
        for rep in self.factors:
            check_same_group(self.factors[0], rep)

    @property
    def group(self) -> Any:
        """The group of all factors."""
        return self.factors[0].group

    @property
    def dim(self) -> int:
        """Product of the dimensions."""
        return math.prod(rep.dim for rep in self.factors)

    def _rho(self, g: Any, dtype: Any) -> Array:
        return functools.reduce(jnp.kron, [rep._rho(g, dtype) for rep in self.factors])

    def _apply(self, g: Any, x: Array) -> Array:
        # Every turn moves the first axis and puts it behind the other factors.
        y = x.reshape(*(rep.dim for rep in self.factors), -1)
        for rep in self.factors:
            y = jnp.moveaxis(rep._apply(g, y), 0, len(self.factors) - 1)
        return y.reshape(x.shape)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return functools.reduce(kron, [rep._matrix_at(m) for rep in self.factors])

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return functools.reduce(kron_sum, [rep._algebra_at(x) for rep in self.factors])

    def _permutations(self) -> np.ndarray | None:
        total = self.factors[0]._permutations()
        for rep in self.factors[1:]:
            images = rep._permutations()
            if total is None or images is None:
                return None
            pairs = total[:, :, None] * rep.dim + images[:, None, :]
            total = pairs.reshape(len(images), total.shape[1] * rep.dim)
        return total


def multiply(a: Rep, b: Rep) -> Rep:
    """The tensor product; products of products are flat."""
    factors: list[Rep] = []
    for rep in (a, b):
        factors += rep.factors if isinstance(rep, Tensor) else (rep,)
    return Tensor(tuple(factors))


def power(rep: Rep, exponent: int) -> Rep:
    """The tensor power."""
    if exponent == 0:
        return Trivial(rep.group)
    return functools.reduce(multiply, [rep] * exponent)
