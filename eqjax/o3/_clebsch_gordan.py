"""Coupling coefficients of degrees."""

from __future__ import annotations

import functools

import numpy as np

from eqjax._core._checks import check_condition, check_size
from eqjax.groups import SO
from eqjax.o3._constants import read_only
from eqjax.reps import clebsch_gordan as couplings
from eqjax.reps import irrep

# Of all tables of rotations and couplings. Couplings are exact to 3e-15 up to there.
MAX_DEGREE = 12


@functools.lru_cache(maxsize=4096)
def clebsch_gordan(l1: int, l2: int, l3: int) -> np.ndarray:
    """The real coupling coefficients C of l1 x l2 -> l3, for unit variance.

    out_k = sum_ij C[i, j, k] x_i y_j has components of variance 1 if those of x and y
    are independent and have variance 1 ("component" normalisation): the sum of squares
    is 2 l3 + 1. Signs and order are e3nn's. It is `reps.clebsch_gordan` with the axes
    in another order.

    Args:
        l1: Degree of the first factor, at most 12.
        l2: Degree of the second factor, at most 12.
        l3: Degree of the product, |l1 - l2| <= l3 <= l1 + l2, at most 12.

    Returns:
        float64 (NumPy, read-only), shape (2 l1 + 1, 2 l2 + 1, 2 l3 + 1).

    Raises:
        ValueError: If there is no such coupling, or a degree is beyond the tables.

    Example:
        >>> from eqjax import o3
        >>> cross = o3.clebsch_gordan(1, 1, 1)
        >>> round(float(cross[0, 1, 2]), 4), cross.shape
        (0.7071, (3, 3, 3))

    References:
        Varshalovich, Moskalev, Khersonskii, "Quantum theory of angular momentum"
        (1988), equation 8.2.1(5).
    """
    for name, l in (("l1", l1), ("l2", l2), ("l3", l3)):
        check_size(name, l, minimum=0)
        check_table(name, l)
    check_condition(
        abs(l1 - l2) <= l3 <= l1 + l2,
        f"`l3` must be in |l1 - l2|, .., l1 + l2 = {abs(l1 - l2)}, .., {l1 + l2}, got "
        f"{l3}.",
    )
    irreps = [irrep(SO(3), l) for l in (l1, l2, l3)]
    return read_only(np.ascontiguousarray(couplings(*irreps)[0].transpose(1, 2, 0)))


def check_table(name: str, l: int) -> None:
    """Raises `ValueError` where a degree is beyond the tables."""
    check_condition(
        l <= MAX_DEGREE,
        f"`{name}` must be at most {MAX_DEGREE}, the largest degree of the tables of "
        f"rotations and couplings, got {l}.",
    )
