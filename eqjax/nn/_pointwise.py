"""A function of every component by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.nn._activations import ODD, activation, activation_scale, check_activation
from eqjax.nn._features import Feature, check_channels, check_feature
from eqjax.nn._layer import KeepsRep
from eqjax.nn._terms import entries, terms_of
from eqjax.reps import Rep


@register_spec
@dataclass(frozen=True)
class Pointwise(KeepsRep):
    """Applies a function to every component: y_i = fn(x_i).

    It commutes with representations by permutations (trivial, regular, quotient, tensor
    powers of those, and whatever restricts or induces to one); odd functions commute
    with changes of sign too. With any other representation, irreps above all, it would
    break the symmetry, so that these are refused.

    Args:
        rep: A representation by permutations; up to signs for "tanh", "sin" and
            "identity".
        channels: Number of channels; None if `rep` is a sum of irreps whose
            multiplicities are the channels.
        fn: Name of the function: "abs", "elu", "gelu", "identity", "leaky_relu",
            "relu", "sigmoid", "silu", "sin", "softplus", "square" or "tanh".
        normalize: Whether to multiply by E[fn(z)^2]^(-1/2), z ~ N(0, 1), so that
            features of size one stay so.

    Raises:
        ValueError: If the function is unknown, or does not commute with `rep`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.Pointwise(reps.regular(groups.Cyclic(3)), 1, normalize=False)
        >>> layer.apply(jnp.array([[-1.0], [2.0], [0.0]])).ravel().tolist()
        [0.0, 2.0, 0.0]

    References:
        Cohen, Welling, "Group equivariant convolutional networks" (2016), section 6.2.
    """

    rep: Rep
    channels: int | None = None
    fn: str = field(default="relu", kw_only=True)
    normalize: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_channels("channels", self.rep, self.channels)
        check_activation("fn", self.fn)
        for term in terms_of(self.rep, self.channels).terms:
            found = entries(term.rep)
            good = found == "permuted" or (found != "mixed" and self.fn in ODD)
            odd = ", ".join(f'"{name}"' for name in sorted(ODD))
            check_condition(
                good,
                f'`fn="{self.fn}"` does not commute with {term.rep}, whose components '
                f"are {found} by {self.rep.group}. `Pointwise` takes representations "
                f"by permutations; up to signs for the odd functions {odd}. Admissible "
                "here: `Gate`; `NormActivation` for orthogonal representations; "
                "`InducedNorm` and `InducedGate` for induced ones; `Fourier` for "
                "irreps that make up functions on the group.",
            )

    def apply(self, x: Feature) -> Feature:
        """The function of all components.

        Args:
            x: A feature, shape (*grid, dim, channels), or a dict for ragged ones.

        Returns:
            A feature like `x`.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        scale = activation_scale(self.fn) if self.normalize else 1.0
        return jax.tree.map(activation(self.fn, scale=scale), x)
