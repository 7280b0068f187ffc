"""Velocity given at the nodes of a grid."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_positive,
    check_shape,
    check_size,
)
from eqjax._core._specs import register_spec

INTERPOLATIONS = ("linear", "slowness_linear", "cell", "cubic")


@register_spec
@dataclasses.dataclass(frozen=True)
class GridVelocity:
    """Velocity given at the nodes of a grid, with an explicit interpolant.

    Node (i, j, ...) lies at `origin` + (i h_1, j h_2, ...). Every interpolant returns
    the node values at the nodes, is positive, and is homogeneous: values times a
    constant give v times that constant.

    - `"linear"`: multilinear in v.
    - `"slowness_linear"`: multilinear in 1 / v.
    - `"cell"`: constant on the box of size h around every node; on the face between
      boxes, the mean.
    - `"cubic"`: cubic convolution of log v, continuously differentiable.

    Outside the box spanned by the nodes, v is that of the nearest point of the box.

    Attributes:
        shape: Number of nodes per axis, at least 3.
        spacing: Distance h between nodes per axis.
        origin: Position of the first node; default 0.
        interpolation: One of the names above.

    Raises:
        ValueError: If a size, a spacing or the name is not valid.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> grid = eikonal.GridVelocity(shape=(3, 3), spacing=(1.0, 1.0))
        >>> values = jnp.arange(1.0, 10.0).reshape(3, 3)
        >>> grid.at(values, jnp.array([0.5, 1.0])).item()
        3.5
        >>> grid.refine(values, 4).shape
        (9, 9)

    References:
        Keys, "Cubic convolution interpolation for digital image processing", 1981,
        equation 15.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...] | None = None
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        shape, spacing, origin = checked_box(self.shape, self.spacing, self.origin)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spacing", spacing)
        object.__setattr__(self, "origin", origin)

    def at(self, values: Float[Array, "*grid"], x: Float[Array, "dim"]) -> Array:
        """v at one point.

        Args:
            values: v at the nodes, positive.
            x: The point.

        Returns:
            v(x), with derivatives with respect to both arguments.

        Raises:
            ValueError: If `values` or `x` has another shape than the spec says.
        """
        check_shape("values", values, self.shape)
        check_shape("x", x, (len(self.shape),))
        position = grid_position(self.spacing, self.origin, x)
        patch = self._transform(values)
        stencils = [
            _stencil(self.interpolation, position[axis], size)
            for axis, size in enumerate(self.shape)
        ]
        patch = patch[jnp.ix_(*(index for index, _ in stencils))]
        for _, weights in reversed(stencils):
            patch = jnp.tensordot(patch, weights, axes=1, precision="highest")
        return self._inverse(patch)

    def refine(self, values: Float[Array, "*grid"], factor: int) -> Array:
        """v at the nodes of the grid that is `factor` times finer.

        Args:
            values: v at the nodes, positive.
            factor: At least 1.

        Returns:
            An array of (n - 1) factor + 1 nodes per axis; every factor-th is a node
            of this grid.

        Raises:
            ValueError: If `values` has another shape than the spec says, or `factor`
                is not positive.
        """
        check_shape("values", values, self.shape)
        check_size("factor", factor)
        fine = self._transform(values)
        for axis, size in enumerate(self.shape):
            steps = np.arange((size - 1) * factor + 1)
            position = jnp.asarray(steps / factor, dtype=values.dtype)
            index, weights = jax.vmap(
                lambda at, size=size: _stencil(self.interpolation, at, size)
            )(position)
            # (..., fine nodes, nodes of the stencil)
            patches = jnp.moveaxis(fine, axis, -1)[..., index]
            fine = jnp.einsum("...fk,fk->...f", patches, weights, precision="highest")
            fine = jnp.moveaxis(fine, -1, axis)
        return self._inverse(fine)

    def refined(self, factor: int) -> GridVelocity:
        """The spec of the grid on which `refine` returns values."""
        check_size("factor", factor)
        return dataclasses.replace(
            self,
            shape=tuple((n - 1) * factor + 1 for n in self.shape),
            spacing=tuple(h / factor for h in self.spacing),
        )

    def _transform(self, values: Array) -> Array:
        match self.interpolation:
            case "slowness_linear":
                return 1 / values
            case "cubic":
                return jnp.log(values)
            case _:
                return values

    def _inverse(self, values: Array) -> Array:
        match self.interpolation:
            case "slowness_linear":
                return 1 / values
            case "cubic":
                return jnp.exp(values)
            case _:
                return values


def checked_box(
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    origin: tuple[float, ...] | None,
) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Shape, spacing and origin of a grid as plain Python values.

    Raises:
        ValueError: If their lengths differ, or a value is not valid.
    """
    shape, spacing = tuple(shape), tuple(spacing)
    for size in shape:
        check_size("shape", size, minimum=3)
    for h in spacing:
        check_positive("spacing", h)
    origin = (0.0,) * len(shape) if origin is None else tuple(origin)
    check_condition(
        len(shape) == len(spacing) == len(origin),
        "`shape`, `spacing` and `origin` must have one value per axis, got "
        f"{len(shape)}, {len(spacing)} and {len(origin)}.",
    )
    check_condition(
        all(map(math.isfinite, origin)), f"`origin` must be finite, got {origin}."
    )
    return (
        tuple(int(size) for size in shape),
        tuple(float(h) for h in spacing),
        tuple(float(start) for start in origin),
    )


def grid_position(
    spacing: tuple[float, ...], origin: tuple[float, ...] | None, x: Array
) -> Array:
    """The point in units of nodes: integer at nodes."""
    start = jnp.zeros_like(x) if origin is None else jnp.asarray(origin, dtype=x.dtype)
    return (x - start) / jnp.asarray(spacing, dtype=x.dtype)


def linear_stencil(position: Array, size: int) -> tuple[Array, Array]:
    """The two nodes around a position on an axis, and their weights."""
    position = jnp.clip(position, 0, size - 1)
    index = jnp.clip(jnp.floor(position), 0, size - 2)
    t = position - index
    return index.astype(int) + jnp.arange(2), jnp.stack([1 - t, t])


def cubic_stencil(position: Array, size: int) -> tuple[Array, Array]:
    """The four nodes around a position on an axis, and their weights.

    In the first and last cell the node that is missing is extrapolated by a parabola,
    which the weights of the other three absorb.
    """
    index, (_, t) = linear_stencil(position, size)
    a = t * (-0.5 + t * (1 - 0.5 * t))
    b = 1 + t * t * (-2.5 + 1.5 * t)
    c = t * (0.5 + t * (2 - 1.5 * t))
    d = t * t * (-0.5 + 0.5 * t)
    none = jnp.zeros_like(t)
    first, last = index[0] == 0, index[0] == size - 2
    a, b, c, d = (
        jnp.where(first, new, old)
        for new, old in zip(
            (none, b + 3 * a, c - 3 * a, d + a), (a, b, c, d), strict=True
        )
    )
    a, b, c, d = (
        jnp.where(last, new, old)
        for new, old in zip(
            (a + d, b - 3 * d, c + 3 * d, none), (a, b, c, d), strict=True
        )
    )
    nodes = jnp.clip(index[0] + jnp.arange(-1, 3), 0, size - 1)
    return nodes, jnp.stack([a, b, c, d])


def _stencil(interpolation: str, position: Array, size: int) -> tuple[Array, Array]:
    if interpolation == "cubic":
        return cubic_stencil(position, size)
    index, weights = linear_stencil(position, size)
    if interpolation == "cell":
        # 0 or 1 by which node is nearer, 1/2 each at equal distance.
        weights = (1 + jnp.sign(weights - 0.5)) / 2
    return index, weights
