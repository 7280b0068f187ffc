"""Gates: invariant factors for whatever is not invariant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._specs import register_spec
from eqjax.nn._activations import activation, activation_scale, check_activation
from eqjax.nn._features import Feature, check_channels, check_feature
from eqjax.nn._terms import Terms, is_trivial, terms_of, trivial_irrep
from eqjax.reps import Rep, trivial


@register_spec
@dataclass(frozen=True)
class Gate:
    """An activation of scalars; everything else times a function of scalars of its own.

        y = fn_scalar(x)      for trivial parts,
        y = fn_gate(g) x      for all other parts, one gate g per copy and channel.

    It commutes with any group, since gates are invariant. A linear layer in front makes
    the gates: its result has the representation `rep_in`.

    Dense features: `rep_in` is `rep` and, at the end of the component axis, one trivial
    component for each copy of a term that is not trivial, in the order of the terms.
    Ragged features: the gates are the last multiplicities of the trivial irrep, in the
    sorted order of the gated irreps.

    Args:
        rep: Representation of the result.
        channels: Number of channels; None if `rep` is a sum of irreps whose
            multiplicities are the channels.
        fn_scalar: Name of the function of trivial parts, see `Pointwise`.
        fn_gate: Name of the function of gates.
        normalize: Whether to multiply both by E[fn(z)^2]^(-1/2), z ~ N(0, 1), so that
            features of size one stay so.

    Raises:
        ValueError: If a function is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.Gate(reps.standard(groups.SO(3)), 2, normalize=False)
        >>> layer.rep_in.dim
        4
        >>> x = jnp.concatenate([jnp.ones((3, 2)), jnp.zeros((1, 2))])
        >>> layer.apply(x)[:, 0].tolist()
        [0.5, 0.5, 0.5]

    References:
        Weiler, Geiger, Welling, Boomsma, Cohen, "3D steerable CNNs: learning
        rotationally equivariant features in volumetric data" (2018), section 4.3.
    """

    rep: Rep
    channels: int | None = None
    fn_scalar: str = field(default="silu", kw_only=True)
    fn_gate: str = field(default="sigmoid", kw_only=True)
    normalize: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_channels("channels", self.rep, self.channels)
        check_activation("fn_scalar", self.fn_scalar)
        check_activation("fn_gate", self.fn_gate)

    @property
    def group(self) -> Any:
        """The group."""
        return self.rep.group

    @property
    def rep_in(self) -> Rep:
        """The representation of the argument: `rep` and the gates."""
        gated = self._gated.terms
        if not gated:
            return self.rep
        if self.channels is None:
            count = sum(term.channels for term in gated)
            return self.rep + count * trivial_irrep(self.group)
        return self.rep + sum(term.copies for term in gated) * trivial(self.group)

    @property
    def rep_out(self) -> Rep:
        """The representation of the result."""
        return self.rep

    def apply(self, x: Feature) -> Feature:
        """The gated feature.

        Args:
            x: A feature of `rep_in`, shape (*grid, rep_in.dim, channels), or a dict for
                ragged ones.

        Returns:
            A feature of `rep`.

        Raises:
            ValueError: If it is no feature of `rep_in`.
        """
        check_feature("x", x, self.rep_in, self.channels)
        terms, gated = terms_of(self.rep, self.channels), self._gated
        x, gates = self._without_gates(x)
        factors = iter(())
        if gated.terms:
            factors = iter(_split(self._fn(self.fn_gate)(gates), gated))
        scalar = self._fn(self.fn_scalar)
        pairs = zip(terms.terms, terms.split(x), strict=True)
        return terms.join(
            [
                scalar(part) if is_trivial(term.rep) else part * next(factors)
                for term, part in pairs
            ]
        )

    @property
    def _gated(self) -> Terms:
        terms = terms_of(self.rep, self.channels)
        return terms.only([not is_trivial(term.rep) for term in terms.terms])

    def _fn(self, name: str) -> Any:
        scale = activation_scale(name) if self.normalize else 1.0
        return activation(name, scale=scale)

    def _without_gates(self, x: Feature) -> tuple[Feature, Array]:
        """A feature of `rep`, and the gates (*grid, copies, channels)."""
        if not isinstance(x, dict):
            return x[..., : self.rep.dim, :], x[..., self.rep.dim :, :]
        scalars = trivial_irrep(self.group)
        both = x[scalars]
        count = both.shape[-1] - sum(term.channels for term in self._gated.terms)
        rest = {irrep: part for irrep, part in x.items() if irrep != scalars}
        kept = {scalars: both[..., :count]} if count else {}
        return kept | rest, both[..., count:]


def _split(gates: Array, gated: Terms) -> list[Array]:
    """For each gated term its factors (*grid, copies, 1, channels)."""
    # Copies follow each other in dense features, channels in ragged ones.
    sizes = [term.channels if gated.ragged else term.copies for term in gated.terms]
    axis = -1 if gated.ragged else -2
    parts = jnp.split(gates, np.cumsum(sizes[:-1]).tolist(), axis=axis)
    return [part[..., None, :] for part in parts]
