"""First P arrivals of the published Earth models, as tables of facts."""

from __future__ import annotations

from typing import Literal

from eqjax._core._checks import check_choice

_DISTANCES_DEG = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 75.0, 90.0)
_TIMES_S = {
    ("iasp91", 0): (76.27, 144.90, 274.09, 370.26, 496.97, 608.28, 703.24, 781.33),
    ("iasp91", 10): (75.07, 143.69, 272.68, 368.73, 495.40, 606.67, 701.60, 779.66),
    ("iasp91", 100): (72.67, 140.62, 264.56, 359.06, 485.21, 595.96, 690.46, 768.17),
    ("iasp91", 600): (92.79, 138.65, 233.62, 321.51, 443.13, 549.88, 641.18, 716.49),
    ("ak135", 0): (76.27, 144.90, 274.09, 370.26, 497.09, 608.32, 703.19, 781.39),
    ("ak135", 10): (75.07, 143.69, 272.68, 368.74, 495.53, 606.71, 701.55, 779.72),
    ("ak135", 100): (72.67, 140.62, 264.56, 359.07, 485.34, 595.99, 690.40, 768.22),
    ("prem", 0): (73.42, 141.67, 273.50, 369.58, 496.12, 607.15, 701.79, 779.69),
    ("prem", 10): (72.21, 140.46, 272.17, 368.05, 494.55, 605.54, 700.14, 778.01),
}


def first_p_arrivals(
    name: Literal["ak135", "iasp91", "prem"], *, depth_km: float = 0.0
) -> dict[float, float]:
    """Reference times of the first P wave at the surface, by epicentral distance.

    The rows of iasp91 and ak135 were computed with the TauP method as implemented in
    ObsPy 1.5.1, from the tables that `earth_model` returns. Those of PREM are
    computed by an integration over shells of 1 km in which v = a r^b, which reproduces
    the other rows to 0.01 s. `radial_first_arrivals` computes such times for any model.

    Args:
        name: "ak135", "iasp91" or "prem".
        depth_km: Depth of the source: 0 or 10 km, for iasp91 and ak135 also 100 km, for
            iasp91 also 600 km.

    Returns:
        Time in seconds for each of the distances 5, 10, 20, 30, 45, 60, 75 and 90
        degrees.

    Raises:
        ValueError: If the name or the depth is not in the table.

    Example:
        >>> from eqjax.data import first_p_arrivals
        >>> first_p_arrivals("iasp91", depth_km=10.0)[60.0]
        606.67

    References:
        Crotwell, Owens & Ritsema (1999), The TauP Toolkit, Seismol. Res. Lett. 70.
    """
    check_choice("name", name, sorted({model for model, _ in _TIMES_S}))
    depths = [depth for model, depth in _TIMES_S if model == name]
    check_choice("depth_km", depth_km, depths)
    times = _TIMES_S[name, int(depth_km)]
    return dict(zip(_DISTANCES_DEG, times, strict=True))
