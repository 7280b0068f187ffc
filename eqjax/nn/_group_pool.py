"""Pooling over the fibre of permutation representations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_choice, check_size
from eqjax._core._specs import register_spec
from eqjax.nn._features import check_feature
from eqjax.nn._terms import check_permuted, terms_of
from eqjax.reps import Rep, trivial


@register_spec
@dataclass(frozen=True)
class GroupPool:
    """One invariant number for every copy of a permutation representation.

    | kind | of the components x_i |
    |---|---|
    | "max" | the largest |
    | "mean" | the mean |
    | "softmax" | sum_i x_i exp(x_i) / sum_i exp(x_i), between these two |

    What regular features say about orientations is lost; `InvariantGram` and
    `MomentHead` keep more.

    Args:
        rep: A representation by permutations (regular, quotient, ..), or a sum of such.
        channels: Number of channels.
        kind: What is taken.

    Raises:
        ValueError: If components are not only permuted, or the kind is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.GroupPool(reps.regular(groups.Cyclic(4)), 1)
        >>> layer.apply(jnp.array([[1.0], [7.0], [3.0], [0.0]])).tolist()
        [[7.0]]

    References:
        Cohen, Welling, "Group equivariant convolutional networks" (2016), section 6.3.
    """

    rep: Rep
    channels: int
    kind: Literal["max", "mean", "softmax"] = field(default="max", kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("channels", self.channels)
        check_choice("kind", self.kind, ("max", "mean", "softmax"))
        check_permuted("GroupPool", self.rep, self.channels)

    @property
    def group(self) -> Any:
        """The group."""
        return self.rep.group

    @property
    def rep_in(self) -> Rep:
        """The representation of the argument."""
        return self.rep

    @property
    def rep_out(self) -> Rep:
        """One trivial representation for each copy."""
        terms = terms_of(self.rep, self.channels).terms
        return sum(term.copies for term in terms) * trivial(self.group)

    def apply(
        self, x: Float[Array, "*grid dim channels"]
    ) -> Float[Array, "*grid copies channels"]:
        """The invariants.

        Args:
            x: A feature, on any grid.

        Returns:
            A feature of `rep_out`, on the same grid.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        parts = terms_of(self.rep, self.channels).split(x)
        return jnp.concatenate([self._pooled(part) for part in parts], axis=-2)

    def _pooled(self, x: Array) -> Array:
        """Of (*grid, copies, dim, channels) the components, pooled."""
        if self.kind == "max":
            return _largest(x)
        if self.kind == "mean":
            return jnp.mean(x, axis=-2)
        return jnp.sum(x * jax.nn.softmax(x, axis=-2), axis=-2)


def _largest(x: Array) -> Array:
    """The largest over the last axis but one, as a knock-out.

    The derivative of `jnp.max` looks for components equal to the result. Where XLA
    computes either one anew, rounded differently, there is none, and it is 0 / 0.
    """
    while (num := x.shape[-2]) > 1:
        half = num // 2
        a, b, rest = jnp.split(x, (half, 2 * half), axis=-2)
        x = jnp.concatenate([jnp.where((a >= b) | jnp.isnan(a), a, b), rest], axis=-2)
    return x[..., 0, :]
