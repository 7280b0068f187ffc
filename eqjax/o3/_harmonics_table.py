"""Real spherical harmonics as constants."""

from __future__ import annotations

import math

import numpy as np


def harmonics(max_degree: int, points: np.ndarray) -> np.ndarray:
    """Real spherical harmonics of unit vectors, (points, (max_degree + 1)^2), float64.

    Component normalisation: the mean of each square over the sphere is 1. Order and
    sign are e3nn's; the polar axis is y.
    """
    x, y, z = np.asarray(points, np.float64).T
    table = np.empty((len(points), (max_degree + 1) ** 2))
    # Of the azimuth, times the sine of the polar angle to the power m: Re and Im of
    # (z + i x)^m.
    cosine, sine = np.ones_like(x), np.zeros_like(x)
    highest = 1.0
    for m in range(max_degree + 1):
        if m > 0:
            cosine, sine = z * cosine - x * sine, z * sine + x * cosine
            highest *= math.sqrt((2 * m + 1) / (2 * m)) * (
                math.sqrt(2) if m == 1 else 1
            )
        before, legendre = np.zeros_like(x), np.full_like(x, highest)
        for l in range(m, max_degree + 1):
            if l > m:
                a = math.sqrt((4 * l**2 - 1) / (l**2 - m**2))
                b = math.sqrt(((l - 1) ** 2 - m**2) / (4 * (l - 1) ** 2 - 1))
                before, legendre = legendre, a * (y * legendre - b * before)
            # The order 0 has no sine, so that the cosine must be written last.
            table[:, l * l + l - m] = legendre * sine
            table[:, l * l + l + m] = legendre * cosine
    return table
