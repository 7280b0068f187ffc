"""The terms of which a feature is a sum, and numbers that belong to each of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition, check_shape
from eqjax.nn._features import Feature, multiplicities
from eqjax.o3 import Degrees
from eqjax.reps import Irrep, Rep
from eqjax.reps._irrep import family
from eqjax.reps._sum import Sum

# Beyond rounding, the matrices of generators are permutations or they are not.
_ROUNDING = 1e-9


class Term(NamedTuple):
    """Consecutive copies of one representation, or an irrep of a ragged feature.

    Attributes:
        rep: The representation.
        copies: How many; 1 in a ragged feature.
        channels: Number of channels; the multiplicity in a ragged feature.
    """

    rep: Rep
    copies: int
    channels: int


@dataclass(frozen=True)
class Terms:
    """A feature as a list of arrays (*grid, copies, dim, channels), one per term.

    Numbers that belong to copies and channels are listed likewise, as arrays (copies,
    channels). In parameters and states they are one array (copies, channels), or by the
    name of the irrep arrays (multiplicity,) where the feature is ragged.

    Attributes:
        terms: The terms, in the order of the components or of the sorted irreps.
        ragged: Whether the feature is a dict.
    """

    terms: tuple[Term, ...]
    ragged: bool

    def split(self, x: Feature) -> list[Array]:
        """The parts of a feature."""
        if isinstance(x, dict):
            # Not x.values(): the order of keys may be another one.
            return [x[term.rep][..., None, :, :] for term in self.terms]  # pyright: ignore[reportArgumentType]
        parts, start = [], 0
        for rep, count, channels in self.terms:
            stop = start + count * rep.dim
            rows = x if len(self.terms) == 1 else x[..., start:stop, :]
            parts.append(rows.reshape(*x.shape[:-2], count, rep.dim, channels))
            start = stop
        return parts

    def join(self, parts: Sequence[Array]) -> Feature:
        """The inverse of `split`; parts may have another number of components."""
        if self.ragged:
            pairs = zip(self.terms, parts, strict=True)
            return {term.rep: part[..., 0, :, :] for term, part in pairs}  # pyright: ignore[reportReturnType]
        rows = [part.reshape(*part.shape[:-3], -1, part.shape[-1]) for part in parts]
        return rows[0] if len(rows) == 1 else jnp.concatenate(rows, axis=-2)

    def pack(self, numbers: Sequence[Array]) -> Any:
        """Arrays (copies, channels) as they stand in parameters."""
        if self.ragged:
            pairs = zip(self.terms, numbers, strict=True)
            return {_name(term): array[0] for term, array in pairs}
        return numbers[0] if len(numbers) == 1 else jnp.concatenate(numbers)

    def unpack(self, packed: Any) -> list[Array]:
        """The inverse of `pack`.

        Raises:
            ValueError: If the numbers are those of another feature.
        """
        remedy = "They were made for another representation or number of channels."
        if self.ragged:
            for term in self.terms:
                numbers = packed[_name(term)]
                check_shape("params", numbers, (term.channels,), remedy=remedy)
            return [packed[_name(term)][None] for term in self.terms]
        if self.terms:
            copies = sum(term.copies for term in self.terms)
            shape = (copies, self.terms[0].channels)
            check_shape("params", packed, shape, remedy=remedy)
        if len(self.terms) == 1:
            return [packed]
        stops = np.cumsum([term.copies for term in self.terms])
        return jnp.split(packed, stops[:-1].tolist())

    def full(self, value: float, dtype: Any) -> Any:
        """The same number everywhere, packed."""
        shapes = [(term.copies, term.channels) for term in self.terms]
        return self.pack([jnp.full(shape, value, dtype) for shape in shapes])

    def only(self, chosen: Sequence[bool]) -> Terms:
        """Some of the terms."""
        pairs = zip(self.terms, chosen, strict=True)
        return Terms(tuple(term for term, take in pairs if take), self.ragged)


@functools.lru_cache(maxsize=512)
def terms_of(rep: Rep, channels: int | None) -> Terms:
    """The terms of a feature of this representation and number of channels."""
    if channels is None:
        counts = multiplicities(rep).items()
        return Terms(tuple(Term(irrep, 1, count) for irrep, count in counts), True)
    joined: list[Term] = []
    for term, count in _flat(rep):
        if joined and joined[-1].rep == term:
            count += joined.pop().copies
        joined.append(Term(term, count, channels))
    return Terms(tuple(joined), False)


@functools.lru_cache(maxsize=1024)
def entries(rep: Rep) -> Literal["permuted", "permuted up to signs", "mixed"]:
    """What every rho(g) does with the components of a vector.

    Found from the generators, so that restricted, induced and decomposed
    representations are recognised too.
    """
    if rep.is_permutation:
        return "permuted"
    lie, discrete = rep.generators
    if np.max(np.abs(lie), initial=0.0) > _ROUNDING:
        return "mixed"
    size = np.abs(discrete)
    is_unit = np.abs(size - 1) < _ROUNDING
    single = np.all(is_unit.sum(axis=-1) == 1) and np.all(is_unit.sum(axis=-2) == 1)
    if not single or np.max(np.where(is_unit, 0, size), initial=0.0) > _ROUNDING:
        return "mixed"
    return "permuted up to signs" if np.any(discrete < -0.5) else "permuted"


def is_trivial(rep: Rep) -> bool:
    """Whether it is the trivial representation, in whatever form."""
    return rep.dim == 1 and entries(rep) == "permuted"


def trivial_irrep(group: Any) -> Irrep:
    """The trivial representation as an irrep, the key of a ragged feature."""
    return Irrep(group, family(group).trivial)


def check_permuted(layer: str, rep: Rep, channels: int) -> None:
    """Checks that components are only permuted.

    Raises:
        ValueError: If those of a term are not.
    """
    for term in terms_of(rep, channels).terms:
        found = entries(term.rep)
        check_condition(
            found == "permuted",
            f"`rep` of `{layer}` must be a sum of representations by permutations "
            f"(trivial, regular, quotient), got {term.rep}, whose components are "
            f"{found} by {rep.group}. `InvariantNorm` and `InvariantGram` find the "
            "invariants of orthogonal ones.",
        )


def check_orthogonal(layer: str, rep: Rep, instead: str) -> None:
    """Checks that norms of features are invariant.

    Raises:
        ValueError: If some rho(g) is not orthogonal.
    """
    check_condition(
        rep.is_orthogonal,
        f"`rep` of `{layer}` must be orthogonal, so that norms are invariant, got "
        f"{rep} of {rep.group}, which is not. {instead}",
    )


def _name(term: Term) -> str:
    assert isinstance(term.rep, Irrep)
    return term.rep.name


def _flat(rep: Rep) -> list[tuple[Rep, int]]:
    """Pairs (representation, copies) in the order of the components."""
    if isinstance(rep, Degrees):
        return [(irrep, 1) for irrep in rep.irreps]
    if not isinstance(rep, Sum):
        return [(rep, 1)]
    found: list[tuple[Rep, int]] = []
    for term, count in rep.terms:
        inner = _flat(term)
        found += [(term, count)] if inner == [(term, 1)] else inner * count
    return found
