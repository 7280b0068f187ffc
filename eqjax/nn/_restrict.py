"""From a group to a subgroup, between layers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.groups import is_subgroup, left_cosets, subgroup_indices
from eqjax.nn._features import Feature, check_channels, check_feature, multiplicities
from eqjax.reps import Irrep, Rep, decompose, regular, restrict
from eqjax.reps._permutation import Quotient
from eqjax.reps._standard import Trivial
from eqjax.reps._sum import Sum, add, copies


@register_spec
@dataclass(frozen=True)
class Restrict:
    """The same feature, of a subgroup H: for layers that need less symmetry.

    - Components of a regular representation are sorted into |G| / |H| regular ones of
      H: component (j, h) is the one of the element h s_j.
    - Irreps are split into irreps of H by their isometries. In a feature by irrep, the
      parts of all irreps that give the same one are joined.
    - Other representations stay as they are, as `reps.restrict` has them.

    It commutes with H: moving the input by an element of H in G is moving the result by
    that element.

    Args:
        rep: Representation of a group G.
        subgroup: A registered subgroup H, see `groups.embed`.
        channels: Number of channels; None: the multiplicities of irreps.

    Raises:
        ValueError: If the subgroup is not registered; when applied: if a shape does not
            fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> D4, C4 = groups.Dihedral(4), groups.Cyclic(4)
        >>> layer = nn.Restrict(reps.regular(D4), C4, 3)
        >>> layer.rep_out == 2 * reps.regular(C4), layer.apply(jnp.ones((8, 3))).shape
        (True, (8, 3))

    References:
        Weiler, Cesa, "General E(2)-equivariant steerable CNNs" (2019), section 2.7.
    """

    rep: Any
    subgroup: Any
    channels: int | None = None

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_channels("channels", self.rep, self.channels)
        check_condition(
            is_subgroup(self.subgroup, self.rep.group),
            f"`subgroup` must be a registered subgroup of {self.rep.group}, got "
            f"{self.subgroup}. See `groups.embed` for the pairs that are.",
        )

    @property
    def rep_in(self) -> Rep:
        """Representation of the input, of the group."""
        return self.rep

    @property
    def rep_out(self) -> Rep:
        """Representation of the result, of the subgroup."""
        if self.channels is not None:
            return _pieces(self.rep, self.subgroup)[0]
        counts: dict[Irrep, int] = {}
        for irrep, count in multiplicities(self.rep).items():
            for part, times in decompose(restrict(irrep, self.subgroup)).terms:
                counts[part] = counts.get(part, 0) + count * times
        terms = [copies(part, counts[part]) for part in sorted(counts)]
        return functools.reduce(add, terms)

    @property
    def group(self) -> Any:
        """The subgroup, with which the layer commutes."""
        return self.subgroup

    def apply(self, x: Feature) -> Feature:
        """The feature (*grid, rep_out.dim, channels), or such by irrep."""
        check_feature("x", x, self.rep, self.channels)
        if not isinstance(x, dict):
            return _moved(_pieces(self.rep, self.subgroup)[1], x)
        found: dict[Irrep, list[Array]] = {}
        for irrep in sorted(x):
            rep = restrict(irrep, self.subgroup)
            start, moved = 0, _moved(decompose(rep).basis.T, x[irrep])
            for part, times in decompose(rep).terms:
                stop = start + times * part.dim
                rows = moved[..., start:stop, :].reshape(
                    *moved.shape[:-2], times, part.dim, moved.shape[-1]
                )
                found.setdefault(part, []).extend(
                    rows[..., i, :, :] for i in range(times)
                )
                start = stop
        return {part: jnp.concatenate(found[part], axis=-1) for part in sorted(found)}


@functools.lru_cache(maxsize=128)
def _pieces(rep: Rep, subgroup: Any) -> tuple[Rep, np.ndarray]:
    """Of the subgroup, and how to get there: where each component is, or a matrix."""
    if isinstance(rep, Sum):
        pieces = [(_pieces(term, subgroup), count) for term, count in rep.terms]
        reps = [copies(new, count) for (new, _), count in pieces]
        maps = [move for (_, move), count in pieces for _ in range(count)]
        return functools.reduce(add, reps), _stacked(maps)
    if isinstance(rep, Quotient) and rep.subgroup is None:
        cosets = left_cosets(subgroup, rep.group)
        tables = rep.group.tables
        # g = h s where s is the inverse of a representative of g^-1 H.
        right = tables.inverse[cosets.representatives]
        index = tables.product[
            subgroup_indices(subgroup, rep.group)[None], right[:, None]
        ]
        return copies(regular(subgroup), len(right)), index.ravel()
    if isinstance(rep, Trivial):
        return Trivial(subgroup), np.arange(1)
    if isinstance(rep, Irrep):
        decomposition = decompose(restrict(rep, subgroup))
        terms = [copies(part, count) for part, count in decomposition.terms]
        return functools.reduce(add, terms), decomposition.basis.T
    return restrict(rep, subgroup), np.arange(rep.dim)


def _stacked(maps: list[np.ndarray]) -> np.ndarray:
    """Block by block: indices if all are, else a matrix."""
    starts = np.cumsum([0] + [len(move) for move in maps])
    if all(move.ndim == 1 for move in maps):
        return np.concatenate([move + s for move, s in zip(maps, starts, strict=False)])
    full = np.zeros((starts[-1], starts[-1]))
    for move, start in zip(maps, starts, strict=False):
        block = move if move.ndim == 2 else np.eye(len(move))[move]
        full[start : start + len(move), start : start + len(move)] = block
    return full


def _moved(move: np.ndarray, x: Array) -> Array:
    """Components (axis -2) chosen by index, or mixed by a matrix."""
    if move.ndim == 1:
        if np.array_equal(move, np.arange(len(move))):
            return x
        return jnp.take(x, jnp.asarray(move), axis=-2)
    constant = jnp.asarray(move, x.dtype)
    return jnp.einsum("ij,...jc->...ic", constant, x, precision="highest")
