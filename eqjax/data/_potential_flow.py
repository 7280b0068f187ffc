"""Flow without friction about Joukowski airfoils, in closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

from eqjax._core._checks import check_condition, check_positive, check_size

# Half of the distance between the images of zeta = -1 and 1: chords are close to 1.
_SCALE = 0.25


class Airfoil(NamedTuple):
    """A Joukowski airfoil: the image of a circle through 1 under zeta + 1 / zeta.

    The image is divided by 4, so the cusp at the trailing edge is the point (1/2, 0),
    and the leading edge lies near (-1/2, 0).

    Attributes:
        thickness: -Re of the circle's center, positive; the airfoil is about
            1.3 x thickness thick.
        camber: Im of the circle's center; positive where the middle is arched upwards.
    """

    thickness: float
    camber: float

    @property
    def center(self) -> complex:
        """The circle's center c."""
        return complex(-self.thickness, self.camber)

    @property
    def radius(self) -> float:
        """The circle's radius R = |1 - c|."""
        return abs(1 - self.center)


class Flow(NamedTuple):
    """A flow at points.

    Attributes:
        velocity: (u, v), in units of the inflow.
        pressure: Pressure coefficient cp = 1 - |velocity|^2 / |inflow|^2.
    """

    velocity: Float[np.ndarray, "points 2"]
    pressure: Float[np.ndarray, " points"]


def airfoil_outline(
    airfoil: Airfoil, num_points: int
) -> Float[np.ndarray, "num_points 2"]:
    """Points of the outline, counterclockwise from the trailing edge.

    They are images of equal steps on the circle, dense at both edges.

    Args:
        airfoil: The airfoil.
        num_points: Number of points; the first is not repeated.

    Returns:
        The points.

    Raises:
        ValueError: If the thickness is not positive.

    Example:
        >>> from eqjax.data import Airfoil, airfoil_outline
        >>> airfoil_outline(Airfoil(0.1, 0.05), 40)[0].round(6).tolist()
        [0.5, 0.0]
    """
    _check(airfoil)
    check_size("num_points", num_points)
    angles = 2 * np.pi * np.arange(num_points) / num_points
    return _to_points(_outline(airfoil, angles))


def airfoil_distance(
    airfoil: Airfoil, points: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, " points"]:
    """Signed distance from the outline, negative inside.

    The closest of 2,000 points of the outline, refined by Newton steps on the angle of
    the circle.

    Args:
        airfoil: The airfoil.
        points: Where.

    Returns:
        Distances, correct to 1e-9.

    Raises:
        ValueError: If the thickness is not positive, or the points are not finite.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import Airfoil, airfoil_distance
        >>> airfoil_distance(Airfoil(0.1, 0.05), np.array([[1.5, 0.0]])).tolist()
        [1.0]
    """
    # Imported here: scipy comes with jax, but takes a while to load.
    from scipy.spatial import KDTree

    _check(airfoil)
    z = _to_complex(points)
    angles = 2 * np.pi * np.arange(2000) / 2000
    tree = KDTree(_to_points(_outline(airfoil, angles)))
    nearest = angles[tree.query(_to_points(z))[1]]
    # Where the sides of the cusp almost touch, the closest point may lie on the side
    # opposite of the closest sample, at about the opposite angle.
    best = np.minimum(*(_refine(airfoil, z, start) for start in (nearest, -nearest)))
    return np.where(_is_inside(airfoil, _to_circle(airfoil, z)), -best, best)


def airfoil_flow(
    airfoil: Airfoil,
    inflow: Float[np.ndarray, "2"],
    points: Float[np.ndarray, "points 2"],
) -> Flow:
    """Velocity and pressure about an airfoil in a uniform inflow.

    With zeta the preimage of the point and s = zeta - c, U the speed and a the angle of
    the inflow, the flow about the circle that leaves at zeta = 1 (Kutta condition) has
    the velocity

        u - i v = U exp(-i a) (s - s2) zeta^2 / (s^2 (zeta + 1)),
        s2 = -exp(2 i a) R^2 / (1 - c),

    in which the zero at the trailing edge is already divided out. It is free of
    divergence and curl, tangential to the outline, and has the circulation
    -4 pi U R sin(a - arg(1 - c)), counterclockwise, times the scale 1/4.

    Args:
        airfoil: The airfoil.
        inflow: Velocity far away.
        points: Points outside of the airfoil or on its outline.

    Returns:
        Velocity and pressure coefficient.

    Raises:
        ValueError: If the thickness is not positive, the inflow is zero, or points lie
            inside.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import Airfoil, airfoil_flow
        >>> inflow, far = np.array([1.0, 0.0]), np.array([[1e6, 1e6]])
        >>> airfoil_flow(Airfoil(0.1, 0.05), inflow, far).velocity.round(5) + 0.0
        array([[1., 0.]])

    References:
        Milne-Thomson, "Theoretical aerodynamics" (1958), chapters 6 and 7.
    """
    _check(airfoil)
    stream = complex(*np.asarray(inflow, np.float64).tolist())
    check_positive("|inflow|", abs(stream))
    z = _to_complex(points)
    zeta = _to_circle(airfoil, z)
    inside = int(np.sum(_is_inside(airfoil, zeta)))
    check_condition(
        inside == 0,
        f"`points` must lie outside of the airfoil, got {inside} inside. Keep those "
        "with a positive `airfoil_distance`.",
    )
    c = airfoil.center
    s = zeta - c
    direction = stream / abs(stream)
    other = -(direction**2) * airfoil.radius**2 / (1 - c)
    conjugate = stream.conjugate() * (s - other) * zeta**2 / (s**2 * (zeta + 1))
    velocity = _to_points(conjugate.conjugate())
    pressure = 1 - np.abs(conjugate) ** 2 / abs(stream) ** 2
    return Flow(velocity, pressure)


def airfoil_circulation(airfoil: Airfoil, inflow: Float[np.ndarray, "2"]) -> float:
    """Counterclockwise circulation of the velocity about an airfoil.

    The lift per density and span is minus the speed times the circulation, at right
    angles to the inflow (Kutta and Joukowski).

    Args:
        airfoil: The airfoil.
        inflow: Velocity far away.

    Returns:
        The circulation.

    Raises:
        ValueError: If the thickness is not positive.
    """
    _check(airfoil)
    u, v = np.asarray(inflow, np.float64).tolist()
    angle = math.atan2(v, u) - math.atan2(-airfoil.camber, 1 + airfoil.thickness)
    speed = math.hypot(u, v)
    return -4 * math.pi * speed * airfoil.radius * math.sin(angle) * _SCALE


def _check(airfoil: Airfoil) -> None:
    check_positive("thickness", airfoil.thickness)
    check_condition(
        math.isfinite(airfoil.camber),
        f"`camber` must be finite, got {airfoil.camber}.",
    )


def _spoke(airfoil: Airfoil, angles: np.ndarray) -> np.ndarray:
    """zeta - c on the circle; angle 0 is the trailing edge."""
    return (1 - airfoil.center) * np.exp(1j * angles)


def _outline(airfoil: Airfoil, angles: np.ndarray) -> np.ndarray:
    circle = airfoil.center + _spoke(airfoil, angles)
    return _SCALE * (circle + 1 / circle)


def _refine(airfoil: Airfoil, z: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Distances from the outline near the given angles, by guarded Newton steps."""
    best = np.abs(_outline(airfoil, angle) - z)
    for _ in range(8):
        turn = _spoke(airfoil, angle)
        circle = airfoil.center + turn
        # First and second derivatives of the outline.
        first = _SCALE * (1 - circle**-2) * 1j * turn
        second = -_SCALE * (2 * circle**-3 * turn**2 + (1 - circle**-2) * turn)
        gap = _outline(airfoil, angle) - z
        slope = (first.conjugate() * gap).real
        bend = np.abs(first) ** 2 + (second.conjugate() * gap).real
        convex = bend > 1e-12
        step = np.where(convex, -slope / np.where(convex, bend, 1), 0)
        trial = angle + np.clip(step, -2e-3, 2e-3)
        distance = np.abs(_outline(airfoil, trial) - z)
        closer = distance < best
        best, angle = np.where(closer, distance, best), np.where(closer, trial, angle)
    return best


def _to_circle(
    airfoil: Airfoil, z: Complex[np.ndarray, " points"]
) -> Complex[np.ndarray, " points"]:
    """Preimages on or outside of the circle, if there are any."""
    half = z / (2 * _SCALE)
    root = np.sqrt(half - 1) * np.sqrt(half + 1)
    roots = np.stack([half + root, half - root])
    far = np.argmax(np.abs(roots - airfoil.center), axis=0)
    return np.take_along_axis(roots, far[None], axis=0)[0]


def _is_inside(airfoil: Airfoil, zeta: np.ndarray) -> np.ndarray:
    """Whether preimages lie inside; roots of rounding errors do not count."""
    return np.abs(zeta - airfoil.center) < airfoil.radius * (1 - 1e-7)


def _to_complex(points: np.ndarray) -> np.ndarray:
    check_condition(
        points.ndim == 2 and points.shape[1] == 2 and bool(np.isfinite(points).all()),
        f"`points` must be finite and of shape (points, 2), got {points.shape}.",
    )
    points = points.astype(np.float64)
    return points[:, 0] + 1j * points[:, 1]


def _to_points(z: np.ndarray) -> np.ndarray:
    return np.stack([np.real(z), np.imag(z)], axis=-1)
