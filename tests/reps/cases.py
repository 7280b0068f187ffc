"""Representations of every kind, over every kind of group."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from eqjax import groups, reps

OCTAHEDRAL = groups.Polyhedral("octahedral", inversion=True)
TRIANGLE = groups.FiniteGroup(((1, 2, 0), (1, 0, 2)))
LORENTZ = groups.Lorentz(3)
FULL_LORENTZ = groups.Lorentz(3, reflections="all")
PRODUCT = groups.Product((groups.SO(2), groups.O(3)))
# Left multiplications by i and j, in the basis 1, i, j, k.
QUATERNIONS = groups.from_generators(
    "quaternions",
    discrete=[
        [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]],
        [[0, 0, -1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, -1, 0, 0]],
    ],
)


def irrep(group, *labels):
    return [reps.irrep(group, label) for label in labels]


IRREPS = [
    *irrep(groups.SO(2), 0, 3),
    *irrep(groups.SO(2, elements="matrix"), 2),
    *irrep(groups.O(2), "0e", "0o", 2),
    *irrep(groups.SO(3), 0, 1, 2, 4),
    *irrep(groups.SO(3, elements="matrix"), 3),
    *irrep(groups.O(3), "0o", "1o", "1e", "3o", "2o"),
    *irrep(groups.SU(2), "1/2", 1, "3/2", 2),
    *irrep(groups.SU(3), (1, 0), (1, 1), (2, 1)),
    *irrep(groups.U(2), (1, 0), (1, -1), (2, 1)),
    *irrep(groups.SO(4), (1, 1), (1, -1), (2, 0)),
    *irrep(groups.SO(5), (1, 1), (2, 1)),
    *irrep(groups.O(4), "(0,0)-", "(1,0)-", "(1,1)"),
    *irrep(groups.Sp(2), (1, 1), (2, 0)),
    *irrep(groups.SL(3), (0, 1), (1, 1)),
    *irrep(groups.GLPlus(2), (1, -1), (-1, -1), (2, 0)),
    *irrep(LORENTZ, (1, 0), (1, 1), (1.5, 0.5)),
    *irrep(FULL_LORENTZ, "(1/2,1/2)-+", "(1,0)+", "(0,0)--"),
    *irrep(groups.Cyclic(6), 0, 2, 3),
    *irrep(groups.Dihedral(4), "0o", 1, "2o"),
    *irrep(groups.Symmetric(5), (3, 2), (2, 1, 1, 1)),
    *irrep(groups.Symmetric(4, elements="index"), (2, 2)),
    *irrep(OCTAHEDRAL, "A2u", "Eg", "T1u"),
    *irrep(TRIANGLE, "E"),
    *irrep(PRODUCT, "2.0", (2, 3)),
    *irrep(QUATERNIONS, "1.0"),
]

OTHERS = [
    reps.trivial(groups.SE(2)),
    reps.standard(groups.SE(3)),
    reps.standard(groups.Translation(2)).dual,
    reps.standard(groups.Symmetric(4)),
    reps.standard(groups.SU(3)),
    reps.adjoint(groups.SO(4)),
    reps.adjoint(groups.SU(2)),
    reps.adjoint(groups.E(2)),
    reps.adjoint(LORENTZ),
    2 * reps.standard(PRODUCT) + reps.trivial(PRODUCT),
    reps.standard(groups.O(3)) ** 2,
    reps.standard(LORENTZ) * reps.standard(LORENTZ).dual,
    reps.regular(groups.Dihedral(3)),
    reps.regular(groups.Cyclic(2)) * reps.irrep(groups.Cyclic(2), 1),
    reps.quotient(groups.Dihedral(6), groups.Dihedral(2)),
    reps.permutation(groups.Cyclic(4), [(1, 0)]),
    reps.symmetric_power(reps.standard(groups.SL(2)), 3),
    reps.exterior_power(reps.standard(groups.SO(4)), 2),
    reps.restrict(reps.irrep(groups.SO(3), 2), groups.Polyhedral("icosahedral")),
    reps.restrict(reps.irrep(groups.O(3), "2o"), groups.O(2)),
    reps.restrict(reps.standard(groups.SE(3)), groups.SO(2)),
    reps.restrict(reps.standard(LORENTZ), groups.SO(3)),
    reps.restrict(reps.regular(groups.Dihedral(6)), groups.Cyclic(3)),
    reps.induce(reps.irrep(groups.Cyclic(4), 1), groups.Dihedral(4)),
    reps.induce(reps.irrep(groups.Symmetric(3), (2, 1)), groups.Symmetric(4)),
    reps.outer(reps.irrep(groups.SO(3), 1), reps.standard(groups.Symmetric(3))),
]


def sample_matrices(group, num_elements, seed=0):
    """Elements as defining matrices (NumPy): generic, near the identity, reflected.

    Products of exponentials and of discrete generators. SciPy takes them, because
    compiling exp and `sample` of every group takes a minute.
    """
    numbers = np.random.Generator(np.random.PCG64(seed))
    lie, discrete = group.generators
    found = []
    for i in range(num_elements):
        v = numbers.standard_normal(len(lie)) * (1e-6 if i == 1 else 0.6)
        m = scipy.linalg.expm(np.tensordot(v, lie, 1))
        for k in numbers.integers(len(discrete), size=i) if len(discrete) else ():
            m = m @ discrete[k]
        found.append(m)
    return np.array(found)
