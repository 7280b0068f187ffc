"""The couplings that a tensor product has."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from eqjax._core._checks import check_condition
from eqjax.o3._degrees import Degrees

PathSet: TypeAlias = Literal["all", "even"] | tuple[tuple[int, int, int], ...]


class Path(NamedTuple):
    """One coupling of irreps l1 x l2 -> l3, by their places in the features."""

    x: int
    y: int
    out: int


@dataclass(frozen=True)
class Couplings:
    """All couplings that the symmetry allows, ordered by result, then by x and y.

    Args:
        x: The first factor.
        y: The second factor.
        out: The result.
        chosen: Which couplings are wanted.
    """

    x: Degrees
    y: Degrees
    out: Degrees
    chosen: PathSet

    @property
    def paths(self) -> tuple[Path, ...]:
        """The couplings.

        Raises:
            ValueError: If none is left, or a chosen one is not allowed.
        """
        return _find(self)

    def degrees(self, path: Path) -> tuple[int, int, int]:
        """The degrees (l1, l2, l3)."""
        features = (self.x, self.y, self.out)
        l1, l2, l3 = (
            feature.irreps[i].label[0]
            for feature, i in zip(features, path, strict=True)
        )
        return l1, l2, l3

    def count_into(self) -> dict[int, int]:
        """Number of paths into each irrep of the result that has one."""
        counts: dict[int, int] = {}
        for path in self.paths:
            counts[path.out] = counts.get(path.out, 0) + 1
        return counts


@functools.lru_cache(maxsize=256)
def _find(couplings: Couplings) -> tuple[Path, ...]:
    found = []
    chosen = couplings.chosen
    for out, c in enumerate(couplings.out.irreps):
        for x, a in enumerate(couplings.x.irreps):
            for y, b in enumerate(couplings.y.irreps):
                path = Path(x, y, out)
                l1, l2, l3 = degrees = couplings.degrees(path)
                allowed = abs(l1 - l2) <= l3 <= l1 + l2
                if couplings.x.parity != "none":
                    allowed = allowed and a.label[1] * b.label[1] == c.label[1]
                if chosen == "even":
                    allowed = allowed and sum(degrees) % 2 == 0
                if allowed and (isinstance(chosen, str) or degrees in chosen):
                    found.append(path)
    features = f"{couplings.x} and {couplings.y} to {couplings.out}"
    if not isinstance(chosen, str):
        have = {couplings.degrees(path) for path in found}
        missing = [triple for triple in chosen if triple not in have]
        check_condition(
            not missing,
            f"`paths` names {missing}, which are no couplings of {features}: "
            "|l1 - l2| <= l3 <= l1 + l2, and parities multiply.",
        )
    check_condition(
        len(found) > 0,
        f"There is no coupling of {features} among the paths {chosen!r}.",
    )
    return tuple(found)
