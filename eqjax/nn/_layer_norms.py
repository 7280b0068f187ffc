"""Normalizations by statistics of one example: instance, layer and RMS norms."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.nn._features import Feature, Params, check_feature
from eqjax.nn._layer import KeepsRep
from eqjax.nn._normalization import (
    affine,
    check_fields,
    init_affine,
    is_centered,
    standardize,
)
from eqjax.nn._terms import Terms, terms_of
from eqjax.o3._norms import widen
from eqjax.reps import Rep


@register_spec
@dataclass(frozen=True)
class InstanceNorm(KeepsRep):
    """Normalization of every channel of one field by its own mean and variance.

        y = scale (x - mean) (var + epsilon)^(-1/2) + shift

    Statistics are over the grid and the components of each copy of a term; which terms
    have a mean and a shift is the same as for `BatchNorm`. It commutes with the group.
    Computed in float32 or wider; finite for zero features, derivatives too.

    Without means and shifts an empty background stays zero. With them it does not, and
    zero padding then shows the next convolution the edges of the image, which do not
    turn with its content.

    Args:
        rep: An orthogonal representation.
        channels: Number of channels; None if `rep` is a sum of irreps whose
            multiplicities are the channels.
        centered: Whether there are means and shifts.
        epsilon: Added to the variance, positive.

    Raises:
        ValueError: If a number is out of its range, or `rep` is not orthogonal.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.InstanceNorm(reps.trivial(groups.SO(2)), 1)
        >>> params = layer.init(key=jax.random.key(0))
        >>> layer.apply(params, jnp.array([[[3.0]], [[5.0]]])).round(3).ravel().tolist()
        [-1.0, 1.0]

    References:
        Ulyanov, Vedaldi, Lempitsky, "Instance normalization: the missing ingredient for
        fast stylization" (2016).
    """

    rep: Rep
    channels: int | None = None
    centered: bool = field(default=True, kw_only=True)
    epsilon: float = field(default=1e-5, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_fields("InstanceNorm", self.rep, self.channels, self.epsilon)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Scales of one and shifts of zero, see `BatchNorm.init`."""
        del key
        return init_affine(self.rep, self.channels, dtype, shift=self.centered)

    def apply(self, params: Params, x: Feature) -> Feature:
        """The normalized feature.

        Args:
            params: What `init` returns.
            x: A feature, shape (*grid, dim, channels), or a dict for ragged ones.

        Returns:
            A feature like `x`.

        Raises:
            ValueError: If it is no feature of `rep`, or there is no grid to take the
                mean of scalars over.
        """
        check_feature("x", x, self.rep, self.channels)
        terms = terms_of(self.rep, self.channels)
        normalized = []
        means = [self.centered and mean for mean in is_centered(terms)]
        for term, part, centered in zip(
            terms.terms, terms.split(x), means, strict=True
        ):
            check_condition(
                part.ndim > 3 or term.rep.dim > 1 or not centered,
                f"`x` has no grid, so that scalars less their mean are zero: {term.rep}"
                " has one component. Use `LayerNorm`.",
            )
            axes = (*range(part.ndim - 3), part.ndim - 2)
            normalized.append(
                standardize(widen(part), axes, centered=centered, epsilon=self.epsilon)
            )
        return affine(terms, params, normalized, x)


@register_spec
@dataclass(frozen=True)
class LayerNorm(KeepsRep):
    """Normalization over channels, apart for every kind of representation.

        y = scale (x - mean) (var + epsilon)^(-1/2) + shift

    Statistics are over all channels and components of all copies of one representation,
    apart for every point of a grid; which terms have a mean and a shift is the same as
    for `BatchNorm`. It commutes with the group. Computed in float32 or wider; finite
    for zero features, derivatives too.

    Args:
        rep: An orthogonal representation.
        channels: Number of channels; None if `rep` is a sum of irreps whose
            multiplicities are the channels.
        epsilon: Added to the variance, positive.

    Raises:
        ValueError: If a number is out of its range, or `rep` is not orthogonal.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> rep = reps.trivial(groups.O(2)) + reps.standard(groups.O(2))
        >>> layer = nn.LayerNorm(rep, 2)
        >>> params = layer.init(key=jax.random.key(0))
        >>> x = jnp.array([[3.0, 5.0], [2.0, 2.0], [2.0, 2.0]])
        >>> layer.apply(params, x).round(3).tolist()
        [[-1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]

    References:
        Ba, Kiros, Hinton, "Layer normalization" (2016).
    """

    rep: Rep
    channels: int | None = None
    epsilon: float = field(default=1e-5, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_fields("LayerNorm", self.rep, self.channels, self.epsilon)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Scales of one and shifts of zero, see `BatchNorm.init`."""
        del key
        return init_affine(self.rep, self.channels, dtype)

    def apply(self, params: Params, x: Feature) -> Feature:
        """The normalized feature.

        Args:
            params: What `init` returns.
            x: A feature, shape (*grid, dim, channels), or a dict for ragged ones.

        Returns:
            A feature like `x`.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        terms = terms_of(self.rep, self.channels)
        normalized = _over_channels(terms, x, is_centered(terms), self.epsilon)
        return affine(terms, params, normalized, x)


@register_spec
@dataclass(frozen=True)
class RMSNorm(KeepsRep):
    """Normalization by root mean squares over channels, without any mean.

        y = scale x (mean |x|^2 / dim + epsilon)^(-1/2)

    The mean is over all channels and copies of one representation, apart for every
    point of a grid. It commutes with the group. Computed in float32 or wider; finite
    for zero features, derivatives too.

    Args:
        rep: An orthogonal representation.
        channels: Number of channels; None if `rep` is a sum of irreps whose
            multiplicities are the channels.
        epsilon: Added to the mean square, positive.

    Raises:
        ValueError: If a number is out of its range, or `rep` is not orthogonal.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.RMSNorm(reps.standard(groups.SO(2)), 1)
        >>> params = layer.init(key=jax.random.key(0))
        >>> layer.apply(params, jnp.array([[1.0], [7.0]])).round(3).tolist()
        [[0.2], [1.4]]

    References:
        Zhang, Sennrich, "Root mean square layer normalization" (2019).
    """

    rep: Rep
    channels: int | None = None
    epsilon: float = field(default=1e-5, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_fields("RMSNorm", self.rep, self.channels, self.epsilon)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Scales of one, see `BatchNorm.init`."""
        del key
        return init_affine(self.rep, self.channels, dtype, shift=False)

    def apply(self, params: Params, x: Feature) -> Feature:
        """The normalized feature.

        Args:
            params: What `init` returns.
            x: A feature, shape (*grid, dim, channels), or a dict for ragged ones.

        Returns:
            A feature like `x`.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        terms = terms_of(self.rep, self.channels)
        nowhere = [False] * len(terms.terms)
        normalized = _over_channels(terms, x, nowhere, self.epsilon)
        return affine(terms, params, normalized, x)


def _over_channels(
    terms: Terms, x: Feature, centered: list[bool], epsilon: float
) -> list[Array]:
    """Every part, standardized with all other copies of its representation."""
    parts = [widen(part) for part in terms.split(x)]
    places: dict[Rep, list[int]] = {}
    for i, term in enumerate(terms.terms):
        places.setdefault(term.rep, []).append(i)
    for same in places.values():
        one = len(same) == 1
        both = parts[same[0]] if one else jnp.concatenate([parts[i] for i in same], -3)
        found = standardize(
            both, (-3, -2, -1), centered=centered[same[0]], epsilon=epsilon
        )
        start = 0
        for i in same:
            stop = start + terms.terms[i].copies
            parts[i] = found[..., start:stop, :, :]
            start = stop
    return parts
