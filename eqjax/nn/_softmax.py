"""Softmax over the fibre."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_size
from eqjax._core._specs import register_spec
from eqjax.nn._features import check_feature
from eqjax.nn._layer import KeepsRep
from eqjax.nn._terms import check_permuted, terms_of
from eqjax.reps import Rep


@register_spec
@dataclass(frozen=True)
class Softmax(KeepsRep):
    """Softmax over the components of every copy of a permutation representation.

        y_i = exp(x_i) / sum_j exp(x_j)

    It commutes with permutations of the components.

    Args:
        rep: A representation by permutations, or a sum of such.
        channels: Number of channels.

    Raises:
        ValueError: If components are not only permuted.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.Softmax(reps.regular(groups.Cyclic(2)), 1)
        >>> layer.apply(jnp.array([[0.0], [jnp.log(3.0)]])).round(3).ravel().tolist()
        [0.25, 0.75]
    """

    rep: Rep
    channels: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("channels", self.channels)
        check_permuted("Softmax", self.rep, self.channels)

    def apply(
        self, x: Float[Array, "*grid dim channels"]
    ) -> Float[Array, "*grid dim channels"]:
        """The shares of the components.

        Args:
            x: A feature, on any grid.

        Returns:
            A feature like `x`; components of a copy have the sum 1.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        terms = terms_of(self.rep, self.channels)
        parts = [jax.nn.softmax(part, axis=-2) for part in terms.split(x)]
        return jnp.asarray(terms.join(parts))
