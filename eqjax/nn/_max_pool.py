"""Pooling by the largest pixel of a window."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.nn._features import Feature, check_feature
from eqjax.nn._grid import Padding, grid_dim
from eqjax.nn._layer import KeepsRep
from eqjax.nn._resample import check_pool, pool_padding
from eqjax.nn._terms import check_orthogonal, entries, terms_of


@register_spec
@dataclass(frozen=True)
class MaxPool(KeepsRep):
    """The largest value of each component in windows of pixels.

    The group may only permute the components. It commutes with turns and mirrors of the
    grid where the windows lie symmetrically; see `aligned_padding`.

    Args:
        rep: Representation of the components, by permutations.
        channels: Number of channels; None: the multiplicities of irreps.
        kernel_size: Pixels of a window along each axis.
        stride: From window to window; None: the size of a window.
        padding: "zero" keeps about size / stride windows, of which those at the edge
            overhang; "valid" those inside. Nothing outside is ever the largest.
        allow_misaligned: Accept sizes on which the windows lie asymmetrically.

    Raises:
        ValueError: If the group does more than permute; when applied: if a shape does
            not fit, or the windows do not lie symmetrically.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> pool = nn.MaxPool(reps.regular(groups.Cyclic(4)), 3, kernel_size=2)
        >>> pool.apply(jnp.ones((6, 8, 4, 3))).shape
        (3, 4, 4, 3)
    """

    rep: Any
    channels: int | None = None
    kernel_size: int = field(kw_only=True)
    stride: int | None = field(default=None, kw_only=True)
    padding: Padding = field(default="valid", kw_only=True)
    allow_misaligned: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_pool(self)
        check_condition(
            entries(self.rep) == "permuted",
            f"The largest value of a component is equivariant only where the group "
            f"permutes components; it mixes those of {self.rep}. Use `NormMaxPool`, "
            "`AveragePool` or `BlurPool`.",
        )

    def apply(self, x: Feature) -> Feature:
        """The largest values of one field (*grid, rep.dim, channels)."""
        check_feature("x", x, self.rep, self.channels)

        def one(part: Array) -> Array:
            dim = grid_dim(part, self.rep)
            stride, pads = pool_padding(self, part.shape[:dim])
            for axis in range(dim):
                windows = _windows(part, axis, self.kernel_size, stride, pads[axis])
                part = functools.reduce(jnp.maximum, windows)
            return part

        return jax.tree.map(one, x)


@register_spec
@dataclass(frozen=True)
class NormMaxPool(KeepsRep):
    """The vector of largest norm in windows of pixels.

    One pixel is chosen for each channel and for each copy of each term of the
    representation. The group must leave norms alone. It commutes with turns and mirrors
    of the grid where the windows lie symmetrically, see `aligned_padding`, and where no
    two norms are equal.

    Args:
        rep: Representation of the components, orthogonal.
        channels: Number of channels; None: the multiplicities of irreps.
        kernel_size: Pixels of a window along each axis.
        stride: From window to window; None: the size of a window.
        padding: "zero" keeps about size / stride windows, of which those at the edge
            overhang; "valid" those inside. Nothing outside is ever the largest.
        allow_misaligned: Accept sizes on which the windows lie asymmetrically.

    Raises:
        ValueError: If the representation is not orthogonal; when applied: if a shape
            does not fit, or the windows do not lie symmetrically.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> pool = nn.NormMaxPool(reps.standard(groups.O(2)), 3, kernel_size=2)
        >>> pool.apply(jnp.ones((6, 8, 2, 3))).shape
        (3, 4, 2, 3)
    """

    rep: Any
    channels: int | None = None
    kernel_size: int = field(kw_only=True)
    stride: int | None = field(default=None, kw_only=True)
    padding: Padding = field(default="valid", kw_only=True)
    allow_misaligned: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_pool(self)
        check_orthogonal("NormMaxPool", self.rep, "Use `AveragePool` or `BlurPool`.")

    def apply(self, x: Feature) -> Feature:
        """The vectors of one field (*grid, rep.dim, channels), or such by irrep."""
        check_feature("x", x, self.rep, self.channels)
        for part in jax.tree.leaves(x):
            grid_dim(part, self.rep)
        terms = terms_of(self.rep, self.channels)
        return terms.join([self._chosen(part) for part in terms.split(x)])

    def _chosen(self, x: Array) -> Array:
        """Of (*grid, copies, dim, channels)."""
        dim = x.ndim - 3
        stride, pads = pool_padding(self, x.shape[:dim])
        # The index of a pixel of the window travels with its squared norm, whose
        # derivative is not wanted.
        squared = jnp.sum(jax.lax.stop_gradient(x) ** 2, axis=-2, keepdims=True)
        norms, vectors = [squared], [x]
        for axis in range(dim):
            norms = [
                part
                for norm in norms
                for part in _windows(norm, axis, self.kernel_size, stride, pads[axis])
            ]
            vectors = [
                part
                for vector in vectors
                for part in _windows(vector, axis, self.kernel_size, stride, pads[axis])
            ]
        best, result = norms[0], vectors[0]
        for norm, vector in itertools.islice(zip(norms, vectors, strict=True), 1, None):
            larger = (norm > best) | jnp.isnan(norm)
            best, result = (
                jnp.where(larger, norm, best),
                jnp.where(larger, vector, result),
            )
        return result


def _windows(x: Array, axis: int, size: int, stride: int, pad: int) -> list[Array]:
    """The first, second, .. pixels of all windows along an axis; outside is -inf."""
    widths = [(pad, pad) if i == axis else (0, 0) for i in range(x.ndim)]
    padded = jnp.pad(x, widths, constant_values=-jnp.inf) if pad else x
    count = (padded.shape[axis] - size) // stride + 1
    return [
        jax.lax.slice_in_dim(padded, i, i + stride * (count - 1) + 1, stride, axis)
        for i in range(size)
    ]
