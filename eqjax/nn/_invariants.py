"""Invariants of degree two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from eqjax._core._specs import register_spec
from eqjax.nn._features import Feature, check_channels, check_feature
from eqjax.nn._terms import check_orthogonal, is_trivial, terms_of, trivial_irrep
from eqjax.reps import Rep, trivial

_METRIC = "`Bilinear` into trivial representations finds the invariants of others."


@register_spec
@dataclass(frozen=True)
class InvariantNorm:
    """The squared norm of every copy and channel; scalars stay as they are.

        y = |x|^2,    y = x for trivial parts, which are invariant themselves

    Args:
        rep: An orthogonal representation.
        channels: Number of channels; None if `rep` is a sum of irreps whose
            multiplicities are the channels.

    Raises:
        ValueError: If the representation is not orthogonal.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> rep = reps.trivial(groups.SO(2)) + reps.standard(groups.SO(2))
        >>> layer = nn.InvariantNorm(rep, 1)
        >>> layer.apply(jnp.array([[-2.0], [3.0], [4.0]])).tolist()
        [[-2.0], [25.0]]
    """

    rep: Rep
    channels: int | None = None

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_channels("channels", self.rep, self.channels)
        check_orthogonal("InvariantNorm", self.rep, _METRIC)

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
        """Trivial representations: one for each copy, and channel of ragged ones."""
        terms = terms_of(self.rep, self.channels).terms
        if self.channels is None:
            return sum(term.channels for term in terms) * trivial_irrep(self.group)
        return sum(term.copies for term in terms) * trivial(self.group)

    @property
    def channels_out(self) -> int | None:
        """Number of channels of the result; None for ragged features."""
        return self.channels

    def apply(self, x: Feature) -> Feature:
        """The invariants.

        Args:
            x: A feature, shape (*grid, dim, channels), or a dict for ragged ones.

        Returns:
            A feature of `rep_out`: (*grid, copies, channels), or for ragged ones
            {trivial irrep: (*grid, 1, sum of multiplicities)}.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        terms = terms_of(self.rep, self.channels)
        found = [
            part[..., 0, :] if is_trivial(term.rep) else jnp.sum(part * part, axis=-2)
            for term, part in zip(terms.terms, terms.split(x), strict=True)
        ]
        if self.channels is None:
            return {trivial_irrep(self.group): jnp.concatenate(found, axis=-1)}
        return jnp.concatenate(found, axis=-2)


@register_spec
@dataclass(frozen=True)
class InvariantGram:
    """All inner products between copies and channels of equal representations.

        y = <x_a, x_b>,  a <= b,    and x itself for trivial parts

    n vectors of one representation give n (n + 1) / 2 numbers, which determine them up
    to one orthogonal matrix: angles between channels are kept, that `InvariantNorm`
    loses.

    Args:
        rep: An orthogonal representation.
        channels: Number of channels; None if `rep` is a sum of irreps whose
            multiplicities are the channels.

    Raises:
        ValueError: If the representation is not orthogonal.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.InvariantGram(reps.standard(groups.SO(2)), 2)
        >>> layer.channels_out
        3
        >>> layer.apply(jnp.array([[1.0, 3.0], [0.0, 4.0]])).tolist()
        [[1.0, 3.0, 25.0]]

    References:
        Weyl, "The classical groups" (1939), section II.9, for orthogonal groups.
    """

    rep: Rep
    channels: int | None = None

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_channels("channels", self.rep, self.channels)
        check_orthogonal("InvariantGram", self.rep, _METRIC)

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
        """The trivial representation; for ragged features one for each invariant."""
        if self.channels is None:
            return self._size * trivial_irrep(self.group)
        return trivial(self.group)

    @property
    def channels_out(self) -> int | None:
        """Number of channels of the result; None for ragged features."""
        return None if self.channels is None else self._size

    def apply(self, x: Feature) -> Feature:
        """The invariants.

        Args:
            x: A feature, shape (*grid, dim, channels), or a dict for ragged ones.

        Returns:
            A feature of `rep_out`: (*grid, 1, channels_out), or for ragged ones
            {trivial irrep: (*grid, 1, number of invariants)}. Kinds of representations
            follow each other; copies are slow and channels fast, pairs (a, b) are
            sorted.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        parts = terms_of(self.rep, self.channels).split(x)
        found = []
        for rep, places in self._kinds.items():
            # (*grid, dim, vectors)
            vectors = jnp.concatenate(
                [
                    jnp.moveaxis(parts[i], -3, -2).reshape(
                        *parts[i].shape[:-3], rep.dim, -1
                    )
                    for i in places
                ],
                axis=-1,
            )
            if is_trivial(rep):
                found.append(vectors)
                continue
            first, second = np.triu_indices(vectors.shape[-1])
            products = vectors[..., first] * vectors[..., second]
            found.append(jnp.sum(products, axis=-2, keepdims=True))
        y = jnp.concatenate(found, axis=-1)
        return {trivial_irrep(self.group): y} if self.channels is None else y

    @property
    def _kinds(self) -> dict[Rep, list[int]]:
        """Where each representation stands."""
        places: dict[Rep, list[int]] = {}
        for i, term in enumerate(terms_of(self.rep, self.channels).terms):
            places.setdefault(term.rep, []).append(i)
        return places

    @property
    def _size(self) -> int:
        """Number of invariants."""
        terms, total = terms_of(self.rep, self.channels).terms, 0
        for rep, places in self._kinds.items():
            count = sum(terms[i].copies * terms[i].channels for i in places)
            total += count if is_trivial(rep) else count * (count + 1) // 2
        return total
