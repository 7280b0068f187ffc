"""The couplings that a tensor product has: paths, their terms, their sizes."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from eqjax._core._checks import check_condition
from eqjax.o3._clebsch_gordan import clebsch_gordan
from eqjax.o3._degrees import Degrees
from eqjax.o3._polynomial import Term, Terms

PathSet: TypeAlias = Literal["all", "even"] | tuple[tuple[int, int, int], ...]

# Below are rounding errors of zero in the coefficients.
_ZERO = 1e-12
# Coefficients that are equal but for rounding shall be equal numbers.
_DECIMALS = 14


class Path(NamedTuple):
    """One coupling of irreps l1 x l2 -> l3, by their places in the features."""

    x: int
    y: int
    out: int


@functools.lru_cache(maxsize=256)
def find_paths(
    degrees_x: Degrees, degrees_y: Degrees, degrees_out: Degrees, chosen: PathSet
) -> tuple[Path, ...]:
    """All couplings that the symmetry allows, ordered by result, then by x and y.

    Raises:
        ValueError: If none is left, or a chosen one is not allowed.
    """
    found = []
    for out, c in enumerate(degrees_out.irreps):
        for x, a in enumerate(degrees_x.irreps):
            for y, b in enumerate(degrees_y.irreps):
                l1, l2, l3 = a.label[0], b.label[0], c.label[0]
                allowed = abs(l1 - l2) <= l3 <= l1 + l2
                if degrees_x.parity != "none":
                    allowed = allowed and a.label[1] * b.label[1] == c.label[1]
                wanted = chosen == "all" or (
                    (l1 + l2 + l3) % 2 == 0
                    if chosen == "even"
                    else (l1, l2, l3) in chosen
                )
                if allowed and wanted:
                    found.append(Path(x, y, out))
    if not isinstance(chosen, str):
        have = {degrees_of((degrees_x, degrees_y, degrees_out), path) for path in found}
        missing = [triple for triple in chosen if triple not in have]
        check_condition(
            not missing,
            f"`paths` names {missing}, which are no couplings of {degrees_x} and "
            f"{degrees_y} to {degrees_out}: |l1 - l2| <= l3 <= l1 + l2 and parities "
            "multiply.",
        )
    check_condition(
        len(found) > 0,
        f"There is no coupling of {degrees_x} and {degrees_y} to {degrees_out} among "
        f"the paths {chosen!r}.",
    )
    return tuple(found)


def degrees_of(
    features: tuple[Degrees, Degrees, Degrees], path: Path
) -> tuple[int, int, int]:
    """The degrees (l1, l2, l3) of a path."""
    l1, l2, l3 = (
        feature.irreps[i].label[0] for feature, i in zip(features, path, strict=True)
    )
    return l1, l2, l3


@functools.lru_cache(maxsize=256)
def path_terms(
    degrees_x: Degrees,
    degrees_y: Degrees,
    degrees_out: Degrees,
    chosen: PathSet,
    *,
    separate: bool,
) -> Terms:
    """The terms (k, i, j, n, coefficient) of all paths n, the weight being last.

    Args:
        degrees_x: Of the first factor.
        degrees_y: Of the second factor.
        degrees_out: Of the result.
        chosen: The paths.
        separate: Keep the results of the paths apart, one after the other.
    """
    features = (degrees_x, degrees_y, degrees_out)
    paths = find_paths(*features, chosen)
    entries = []
    start = 0
    for n, path in enumerate(paths):
        l1, l2, l3 = degrees_of(features, path)
        table = clebsch_gordan(l1, l2, l3)
        x, y = degrees_x.slices[path.x].start, degrees_y.slices[path.y].start
        out = start if separate else degrees_out.slices[path.out].start
        for i, j, k in np.argwhere(np.abs(table) > _ZERO).tolist():
            value = round(float(table[i, j, k]), _DECIMALS)
            entries.append(Term(out + k, ((x + i,), (y + j,), (n,)), value))
        start += 2 * l3 + 1
    rows = start if separate else degrees_out.dim
    return Terms(entries, (rows, degrees_x.dim, degrees_y.dim, len(paths)))
