"""What a prior costs: squares or moduli of derivatives on a grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from eqjax._core._checks import check_choice, check_condition, check_positive

Prior = Callable[[Any], PyTree[Array]]


def roughness(
    values: Float[Array, "*shape"],
    spacing: tuple[float, ...],
    *,
    order: Literal[1, 2] = 1,
) -> Float[Array, "*shape dim"]:
    """First or second derivatives of values on a grid, as residuals of a prior.

    Forward differences at every node, or second differences along every axis, with
    zeros where a neighbor is missing: constants, or functions linear along the axes,
    are free. Times the square root of a cell's volume, squares sum to the integral of
    |grad u|^2; times the volume, moduli sum to the total variation, whatever the grid.

    Args:
        values: Numbers at the nodes, e.g. log v.
        spacing: Distance of the nodes per axis.
        order: 1 or 2.

    Returns:
        Derivatives, per unit of length or its square; the axes of the grid last.

    Raises:
        ValueError: If `spacing` does not have one positive value per axis, or `order`
            is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> eikonal.roughness(jnp.array([1.0, 2.0, 4.0]), (0.5,)).ravel().tolist()
        [2.0, 4.0, 0.0]

    References:
        Tarantola, "Inverse problem theory" (2005), section 5.3. Rudin, Osher, Fatemi,
        "Nonlinear total variation based noise removal algorithms" (1992).
    """
    check_choice("order", order, (1, 2))
    check_condition(
        len(spacing) == values.ndim > 0,
        f"`spacing` must have one value per axis of `values`, got {len(spacing)} for "
        f"{values.ndim} axes.",
    )
    parts = []
    for axis, h in enumerate(spacing):
        check_positive("spacing", h)
        difference = jnp.diff(values, n=order, axis=axis) / h**order
        missing = [(0, 0)] * values.ndim
        missing[axis] = (order - 1, 1)
        parts.append(jnp.pad(difference, missing))
    return jnp.stack(parts, axis=-1)


class Penalty(NamedTuple):
    """What a prior costs, and the squares that stand for it."""

    prior: Prior | None
    norm: str
    scale: float

    def sizes(self, u: Any) -> list[Array]:
        """sqrt(|p_i|^2 + delta^2) of the vectors of every leaf."""
        leaves = [] if self.prior is None else jax.tree.leaves(self.prior(u))
        return [
            jnp.sqrt(jnp.sum(jnp.atleast_1d(p) ** 2, axis=-1) + self.scale**2)
            for p in leaves
        ]

    def cost(self, u: Any) -> Array | float:
        """Of the prior at u."""
        if self.norm == "l2":
            return half_square(self.prior, u)
        return sum((jnp.sum(size - self.scale) for size in self.sizes(u)), 0.0)

    def squares_at(self, start: Any) -> Prior | None:
        """u -> residuals whose squares touch the norm from above at the start."""
        check_choice("prior_norm", self.norm, ("l2", "l1"))
        check_positive("prior_scale", self.scale)
        prior = self.prior
        if prior is None or self.norm == "l2":
            return prior
        roots = [1 / jnp.sqrt(size) for size in self.sizes(start)]

        def squares(u: Any) -> list[Array]:
            leaves = jax.tree.leaves(prior(u))
            return [
                root[..., None] * jnp.atleast_1d(p)
                for root, p in zip(roots, leaves, strict=True)
            ]

        return squares


def half_square(prior: Prior | None, u: Any) -> Array | float:
    """|p(u)|^2 / 2."""
    if prior is None:
        return 0.0
    return sum((jnp.sum(p**2) / 2 for p in jax.tree.leaves(prior(u))), 0.0)
