"""First arrivals in a radial Earth by integration along rays (the tau-p method)."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
from jaxtyping import Float

from eqjax._core._checks import check_condition, check_positive, check_shape
from eqjax.data._earth_models import EarthModel, radial_speeds

_CHUNK = 256  # rays integrated at once: bounds the memory


def radial_first_arrivals(
    model: EarthModel,
    source_depth_km: float,
    distances_deg: Float[np.ndarray, " distances"],
    *,
    phase: Literal["P", "S"] = "P",
    step_km: float = 2.0,
) -> Float[np.ndarray, " distances"]:
    """Times of the first wave at the surface of a radial Earth.

    A ray of parameter p runs where eta(r) = r / v(r) >= p and turns where they are
    equal. In a shell with v = a r^b the angle and the time along it are

        Delta = [acos(p / eta)] / (1 - b),    T = [sqrt(eta^2 - p^2)] / (1 - b),

    differences between the upper and the lower side. A ray may also creep along the
    circle at which it turns, which costs p per radian: this is the head wave below a
    jump of the speed and the diffracted wave around the core. So the first arrival of
    the rays that leave downward is the minimum of T(p) + p (Delta - Delta(p)) over all
    turning points with Delta(p) <= Delta. The rays that leave upward form a convex
    branch, the maximum of its tangents. This is the viscosity solution of the eikonal
    equation at the surface; reflections and conversions do not enter.

    Args:
        model: The Earth model.
        source_depth_km: Depth of the source in km, from 0 to below the radius.
        distances_deg: Epicentral distances in degrees, in [0, 180].
        phase: "P", or "S" with P speed in fluids (see `radial_speeds`).
        step_km: Thickness of the shells in km, at most; halving it changes the times of
            the published models by less than 0.01 s.

    Returns:
        Times in seconds, float64.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import earth_model, radial_first_arrivals
        >>> model = earth_model("iasp91")
        >>> time = radial_first_arrivals(model, 10.0, np.array([60.0]), step_km=20.0)
        >>> print(np.round(time, 1))  # published: 606.67 s
        [606.7]

    References:
        Buland & Chapman (1983), The computation of seismic travel times, Bull. Seismol.
        Soc. Am. 73; Bullen & Bolt (1985), An Introduction to the Theory of Seismology.
    """
    check_shape("distances_deg", distances_deg, (None,))
    check_positive("source_depth_km", source_depth_km, zero=True)
    check_condition(
        source_depth_km < model.radius_km,
        f"`source_depth_km` must be below the radius of {model.radius_km:g} km, got "
        f"{source_depth_km:g}.",
    )
    check_positive("step_km", step_km)
    check_condition(
        bool(np.all((distances_deg >= 0) & (distances_deg <= 180))),
        "`distances_deg` must lie in [0, 180] degrees, got values from "
        f"{np.min(distances_deg, initial=np.inf):g} to "
        f"{np.max(distances_deg, initial=-np.inf):g}.",
    )
    radius = model.radius_km - float(source_depth_km)
    shells = _Shells(*radial_speeds(model, phase=phase), radius, float(step_km))
    target = np.deg2rad(np.asarray(distances_deg, dtype=np.float64))
    return np.minimum(_downward(shells, target), _upward(shells, target))


class _Shells:
    """Shells from the surface to the centre, cut at the source."""

    def __init__(
        self,
        radii: tuple[float, ...],
        speeds: tuple[float, ...],
        source_radius: float,
        step_km: float,
    ) -> None:
        outer, inner, v_outer, v_inner = [], [], [], []
        rows = list(zip(radii, speeds, strict=True))[::-1]
        for (r0, v0), (r1, v1) in itertools.pairwise(rows):
            if r0 == r1:
                continue
            cuts = np.linspace(r0, r1, math.ceil((r0 - r1) / step_km) + 1)
            if r1 < source_radius < r0:
                cuts = np.unique(np.append(cuts, source_radius))[::-1]
            v = v0 + (v1 - v0) * (cuts - r0) / (r1 - r0)
            outer.append(cuts[:-1])
            inner.append(cuts[1:])
            v_outer.append(v[:-1])
            v_inner.append(v[1:])
        self.outer = np.concatenate(outer)
        self.inner = np.concatenate(inner)
        v_outer = np.concatenate(v_outer)
        v_inner = np.concatenate(v_inner)
        # v = a r^b has no finite b down to the centre: there the speed is constant.
        v_outer[-1] = v_inner[-1]
        self.eta_outer = self.outer / v_outer
        self.eta_inner = self.inner / v_inner
        with np.errstate(divide="ignore"):
            self.log_ratio = np.log(self.outer) - np.log(self.inner)
        # 1 - b = d ln eta / d ln r
        self.slope = np.ones_like(self.outer)
        self.slope[:-1] = (
            np.log(self.eta_outer[:-1] / self.eta_inner[:-1]) / self.log_ratio[:-1]
        )
        self.below_source = self.outer <= source_radius

    def integrate(
        self, p: Float[np.ndarray, " rays"], through: np.ndarray
    ) -> tuple[Float[np.ndarray, " rays"], Float[np.ndarray, " rays"]]:
        """Angle and time of each ray through the shells in which it runs.

        Args:
            p: Ray parameters in s/rad.
            through: How often each ray crosses each shell, `(rays, shells)`.
        """
        p = p[:, None]
        eta_outer, eta_inner = self.eta_outer[None], self.eta_inner[None]
        root_outer = np.sqrt(np.maximum(eta_outer**2 - p**2, 0))
        root_inner = np.sqrt(np.maximum(eta_inner**2 - p**2, 0))
        # atan2(sqrt(eta^2 - p^2), p) is acos(p / eta) without loss near eta = p.
        angle = np.arctan2(root_outer, p) - np.arctan2(root_inner, p)
        time = root_outer - root_inner
        # Where eta is constant over a shell (b = 1) the quotients are 0 / 0, and the
        # integrands are constants. The limit is taken below 1e-6, where the difference
        # of roots has lost six digits and the neglected terms are of that size.
        flat = np.abs(self.slope) < 1e-6
        slope = np.where(flat, 1, self.slope)[None]
        if np.any(flat):
            root = np.maximum(root_outer, 1e-300)
            log_ratio = np.where(flat, self.log_ratio, 0)[None]
            angle = np.where(flat[None], p / root * log_ratio, angle)
            time = np.where(flat[None], eta_outer**2 / root * log_ratio, time)
        return (
            np.sum(through * angle / slope, axis=1),
            np.sum(through * time / slope, axis=1),
        )


def _downward(
    shells: _Shells, target: Float[np.ndarray, " distances"]
) -> Float[np.ndarray, " distances"]:
    """First arrival of rays that leave downward or horizontally."""
    floor = np.minimum.accumulate(np.minimum(shells.eta_outer, shells.eta_inner))
    above = np.append(np.inf, floor[:-1])
    num_shells = len(shells.outer)
    index = np.arange(num_shells)
    # A ray turns at the top or the bottom of a shell whose eta is lower than all above.
    at_top = (shells.eta_outer <= above) & shells.below_source
    at_bottom = (shells.eta_inner <= np.minimum(above, shells.eta_outer)) & (
        shells.below_source
    )
    p = np.concatenate([shells.eta_outer[at_top], shells.eta_inner[at_bottom]])
    depth = np.concatenate([index[at_top], index[at_bottom] + 1])
    crossings = 1 + shells.below_source.astype(np.float64)
    first = np.full_like(target, np.inf)
    for start in range(0, len(p), _CHUNK):
        rays = p[start : start + _CHUNK]
        turn = depth[start : start + _CHUNK]
        through = np.where(index[None] < turn[:, None], crossings[None], 0)
        angle, time = shells.integrate(rays, through)
        creep = target[None] - angle[:, None]
        # Rounding may put the vertical ray (angle pi) just beyond the antipode.
        arrival = np.where(
            creep >= -1e-9, time[:, None] + rays[:, None] * creep, np.inf
        )
        first = np.minimum(first, np.min(arrival, axis=0))
    return first


def _upward(
    shells: _Shells, target: Float[np.ndarray, " distances"]
) -> Float[np.ndarray, " distances"]:
    """First arrival of rays that leave upward, and creep below a faster shell."""
    above = ~shells.below_source
    if not np.any(above):
        return np.where(target == 0, 0.0, np.inf)
    largest = min(np.min(shells.eta_outer[above]), np.min(shells.eta_inner[above]))
    # Angles near the grazing ray go like the root of its distance in p, hence cos.
    p = largest * np.cos(np.linspace(np.pi / 2, 0, 4 * _CHUNK))
    through = np.broadcast_to(above.astype(np.float64), (_CHUNK, len(above)))
    parts = [
        shells.integrate(p[i : i + _CHUNK], through) for i in range(0, len(p), _CHUNK)
    ]
    angle = np.concatenate([part[0] for part in parts])
    time = np.concatenate([part[1] for part in parts])
    tangents = time[:, None] + p[:, None] * (target[None] - angle[:, None])
    # Beyond the grazing ray its tangent, the creeping wave, is the largest one.
    return np.max(tangents, axis=0)
