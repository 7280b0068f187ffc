"""One-dimensional Earth models: the spec, the published ones, and file readers."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import pathlib
from typing import Literal

from eqjax._core._checks import check_choice, check_condition, check_positive
from eqjax._core._specs import register_spec
from eqjax.data._earth_tables import AK135, IASP91, PREM

_TABLES = {"ak135": AK135, "iasp91": IASP91, "prem": PREM}
_COLUMNS = "depth (km), P speed (km/s), S speed (km/s)"


@register_spec
@dataclasses.dataclass(frozen=True)
class EarthModel:
    """A spherically symmetric Earth: wave speeds at depths, linear in between.

    Rows run from the surface (depth 0) to the centre (depth `radius_km`). A depth that
    stands twice is a discontinuity, with the speeds of its upper side first.

    Args:
        name: What the model is called.
        depths_km: Depths in km, not decreasing, from 0 to `radius_km`.
        vp_km_s: P-wave speed at each depth in km/s, positive.
        vs_km_s: S-wave speed at each depth in km/s; 0 in a fluid.
        radius_km: Radius of the Earth in km.

    Raises:
        ValueError: If the columns differ in length, a value is out of its range or not
            finite, or depths decrease, stand three times or end before the centre.

    Example:
        >>> from eqjax.data import EarthModel
        >>> two_layers = EarthModel(
        ...     name="two layers",
        ...     depths_km=(0.0, 35.0, 35.0, 6371.0),
        ...     vp_km_s=(6.0, 6.0, 8.0, 11.0),
        ...     vs_km_s=(3.5, 3.5, 4.6, 6.0),
        ... )
        >>> two_layers.discontinuities_km
        (35.0,)
    """

    name: str
    depths_km: tuple[float, ...]
    vp_km_s: tuple[float, ...]
    vs_km_s: tuple[float, ...]
    radius_km: float = 6371.0

    def __post_init__(self) -> None:
        check_positive("radius_km", self.radius_km)
        lengths = (len(self.depths_km), len(self.vp_km_s), len(self.vs_km_s))
        check_condition(
            len(set(lengths)) == 1 and lengths[0] >= 2,
            "`depths_km`, `vp_km_s` and `vs_km_s` must have the same length of at "
            f"least 2, got {lengths[0]}, {lengths[1]} and {lengths[2]}.",
        )
        rows = list(zip(self.depths_km, self.vp_km_s, self.vs_km_s, strict=True))
        for i, row in enumerate(rows):
            fault = _row_fault(row, rows[:i], self.radius_km)
            check_condition(fault is None, f"Row {i} of model {self.name!r}: {fault}")
        check_condition(
            self.depths_km[0] == 0 and self.depths_km[-1] == self.radius_km,
            f"Model {self.name!r} must reach from depth 0 to the centre at depth "
            f"`radius_km` = {self.radius_km:g} km, got rows from "
            f"{self.depths_km[0]:g} to {self.depths_km[-1]:g} km. Add the missing "
            "rows, or give the radius of this body as `radius_km`.",
        )

    @property
    def discontinuities_km(self) -> tuple[float, ...]:
        """Depths in km at which the speeds jump, or at which the table says they may.

        These are the depths that stand twice, from the surface to the centre.
        """
        pairs = itertools.pairwise(self.depths_km)
        return tuple(upper for upper, lower in pairs if upper == lower)


def earth_model(name: Literal["ak135", "iasp91", "prem"]) -> EarthModel:
    """A published reference model of the whole Earth.

    PREM stands without its ocean (crust of 5.8 km/s from depth 0) and in its isotropic
    form. Values are facts as published, tabulated as they are commonly distributed.

    Args:
        name: "ak135", "iasp91" or "prem".

    Returns:
        The model, from the surface to the centre at 6371 km.

    Raises:
        ValueError: If there is no model of that name.

    Example:
        >>> from eqjax.data import earth_model
        >>> earth_model("iasp91").discontinuities_km[:4]
        (20.0, 35.0, 210.0, 410.0)

    References:
        Kennett, Engdahl & Buland (1995), Geophys. J. Int. 122 (ak135); Kennett &
        Engdahl (1991), Geophys. J. Int. 105 (iasp91); Dziewonski & Anderson (1981),
        Phys. Earth Planet. Inter. 25 (PREM).
    """
    check_choice("name", name, _TABLES)
    return _from_rows(name, list(_TABLES[name]), 6371.0)


def read_earth_model(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    radius_km: float = 6371.0,
) -> EarthModel:
    r"""Reads an Earth model from a `.tvel` or `.nd` file.

    Both formats hold one row per depth: depth in km, P speed, S speed, and further
    columns (density, quality factors) that are not used. A `.tvel` file starts with two
    header lines. In an `.nd` file a line with a single word names the boundary at which
    it stands, and `#` or `//` start a comment. The file is refused rather than
    repaired: nothing is sorted, dropped or extended.

    Args:
        path: The file; its ending tells the format.
        name: Name of the model; the file's name without ending by default.
        radius_km: Radius of the body in km, which must be the last depth.

    Returns:
        The model as stored.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the ending is unknown, the file is no text, a line is not what
            it should be (the message names the line), or the rows make no model.

    Example:
        >>> import pathlib, tempfile
        >>> from eqjax.data import read_earth_model
        >>> text = "my Earth - P\nmy Earth - S\n0 6 3.5 2.7\n6371 11 6 13\n"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "simple.tvel"
        ...     _ = path.write_text(text)
        ...     model = read_earth_model(path)
        >>> model.name, model.vp_km_s
        ('simple', (6.0, 11.0))
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".tvel", ".nd"):
        raise ValueError(
            f"`path` must name a .tvel or .nd file, got {path.name!r}. Rename or "
            "convert the file so that its ending tells its format."
        )
    check_positive("radius_km", radius_km)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file: {error}.") from error
    headers = 2 if suffix == ".tvel" else 0
    rows: list[tuple[float, float, float]] = []
    columns = 0
    for number, line in enumerate(lines[headers:], start=headers + 1):
        if suffix == ".nd":
            line = line.split("#")[0].split("//")[0]
        words = line.split()
        is_boundary_name = len(words) == 1 and not _is_number(words[0])
        if not words or (suffix == ".nd" and is_boundary_name):
            continue
        where = f"Line {number} of {path}"
        if len(words) < 3 or not all(_is_number(word) for word in words):
            raise ValueError(
                f"{where}: expected at least three numbers, {_COLUMNS}, got "
                f"{line.strip()!r}."
            )
        columns = columns or len(words)
        if len(words) != columns:
            raise ValueError(
                f"{where}: expected {columns} columns as in the rows above, got "
                f"{len(words)}. The line may be cut off."
            )
        row = (float(words[0]), float(words[1]), float(words[2]))
        fault = _row_fault(row, rows, float(radius_km))
        if fault is not None:
            raise ValueError(f"{where}: {fault}")
        rows.append(row)
    if len(rows) < 2:
        raise ValueError(
            f"{path} must hold at least two rows of {_COLUMNS}"
            f"{' below two header lines' if headers else ''}, got {len(rows)}."
        )
    return _from_rows(name or path.stem, rows, float(radius_km))


def radial_speeds(
    model: EarthModel, *, phase: Literal["P", "S"] = "P"
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Radii and wave speeds of a model in order of ascending radius.

    A discontinuity is a repeated radius with the speed of its inner side first. In a
    fluid, where no S wave exists, phase "S" has the P speed, as for the K leg of SKS;
    so the speeds are positive everywhere.

    Args:
        model: The Earth model.
        phase: "P" or "S".

    Returns:
        Radii in km, from 0 to the radius of the Earth, and speeds in km/s.

    Raises:
        ValueError: If `phase` is neither "P" nor "S".

    Example:
        >>> from eqjax.data import earth_model, radial_speeds
        >>> radii, speeds = radial_speeds(earth_model("ak135"))
        >>> radii[-3:], speeds[-3:]
        ((6351.0, 6351.0, 6371.0), (6.5, 5.8, 5.8))
    """
    check_choice("phase", phase, ("P", "S"))
    if phase == "P":
        speeds = model.vp_km_s
    else:
        pairs = zip(model.vs_km_s, model.vp_km_s, strict=True)
        speeds = tuple(vs if vs > 0 else vp for vs, vp in pairs)
    radii = tuple(model.radius_km - depth for depth in reversed(model.depths_km))
    return radii, tuple(reversed(speeds))


def _from_rows(
    name: str, rows: list[tuple[float, float, float]], radius_km: float
) -> EarthModel:
    depths, vp, vs = zip(*rows, strict=True)
    return EarthModel(name, depths, vp, vs, radius_km)


def _row_fault(
    row: tuple[float, float, float],
    above: list[tuple[float, float, float]],
    radius_km: float,
) -> str | None:
    """What is wrong with a row that follows the rows `above`, or None."""
    depth, vp, vs = row
    if not (math.isfinite(depth) and depth >= 0):
        return f"depth must be zero or a positive number of km, got {depth:g}."
    if depth > radius_km:
        return (
            f"depth {depth:g} km lies beyond the radius of {radius_km:g} km. Give the "
            "radius of this body as `radius_km`."
        )
    if not (math.isfinite(vp) and vp > 0):
        return f"P speed must be a positive number of km/s, got {vp:g}."
    if not (math.isfinite(vs) and vs >= 0):
        return f"S speed must be zero (fluid) or a positive number, got {vs:g}."
    if above and depth < above[-1][0]:
        return f"depth decreases from {above[-1][0]:g} to {depth:g} km."
    if len(above) >= 2 and depth == above[-1][0] == above[-2][0]:
        return f"depth {depth:g} km stands three times; a discontinuity is two rows."
    return None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
