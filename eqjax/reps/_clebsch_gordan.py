"""Clebsch-Gordan coefficients of any group."""

from __future__ import annotations

import numpy as np

from eqjax._core._checks import check_condition
from eqjax.reps._hom import hom
from eqjax.reps._irrep import Irrep, family
from eqjax.reps._rep import check_same_group


def clebsch_gordan(a: Irrep, b: Irrep, c: Irrep) -> np.ndarray:
    """The bilinear equivariant maps from a and b to c.

    sum_jk C[n, i, j, k] (rho_a(g) x)_j (rho_b(g) y)_k = sum_i' rho_c(g)_ii' C(x, y)_i'
    for every n. For SO(3) and O(3) these are e3nn's coefficients times sqrt(c.dim).

    Args:
        a: First irrep.
        b: Second irrep.
        c: Irrep of the result.

    Returns:
        Orthogonal arrays (multiplicity, c.dim, a.dim, b.dim) in float64, each with
        c.dim as its sum of squares. The first entry larger than 1e-6 is positive,
        except for SO(3) and O(3), whose signs are e3nn's.

    Raises:
        ValueError: If one is not irreducible, or the groups differ.

    Example:
        >>> from eqjax import groups, reps
        >>> spin = reps.irrep(groups.SO(3), 1)
        >>> reps.clebsch_gordan(spin, spin, spin).shape
        (1, 3, 3, 3)

    References:
        Varshalovich, Moskalev, Khersonskii, "Quantum theory of angular momentum"
        (1988), chapter 8.
    """
    for name, rep in (("a", a), ("b", b), ("c", c)):
        check_condition(
            isinstance(rep, Irrep),
            f"`{name}` must be an irrep, as `reps.irrep` makes it, got {rep}. Split it "
            "with `reps.decompose` first.",
        )
        check_same_group(a, rep)
    shape = (-1, c.dim, a.dim, b.dim)
    for label, isometries in family(a.group).couple(a.label, b.label) or ():
        if label == c.label:
            return isometries.transpose(0, 2, 1).reshape(shape)
    found = hom(a * b, c).basis.reshape(shape) * np.sqrt(c.dim)
    for array in found:
        flat = array.ravel()
        array *= np.sign(flat[np.argmax(np.abs(flat) > 1e-6)])
    return found
