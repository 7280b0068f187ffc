"""Hidden representations of a given dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eqjax import groups, reps
from eqjax.reps._irrep import Irrep
from eqjax.reps._sum import Sum
from eqjax.reps._uniform import uniform

LISTED = [
    groups.O(3),
    groups.SO(3),
    groups.O(5),
    groups.Lorentz(3, reflections="all"),
    groups.SL(3),
    groups.SU(2),
    groups.Symmetric(4),
]


@pytest.mark.parametrize("group", [*LISTED, groups.SE(2)], ids=str)
@pytest.mark.parametrize("channels", [1, 7, 61, 384])
def test_has_the_dimension(group, channels):
    rep = uniform(group, channels)
    assert rep.dim == channels
    assert rep == uniform(group, channels)


@pytest.mark.parametrize("group", LISTED, ids=str)
def test_is_a_sorted_sum_of_irreps_that_has_invariants(group):
    rep = uniform(group, 384)
    assert isinstance(rep, Sum)
    irreps = [term for term, _ in rep.terms]
    assert all(isinstance(irrep, Irrep) for irrep in irreps)
    assert irreps == sorted(set(irreps))
    # There is an inner product for every irrep: each has its dual beside it.
    for irrep in irreps:
        assert any(reps.hom(other, irrep.dual).num_maps for other in irreps)


def test_orders_have_about_as_many_components():
    cases: Any = (
        (uniform(groups.O(3), 384), {"1o": 1 / 3}),
        (uniform(groups.SE(2), 384), {}),
    )
    for rep, sizes in cases:
        shares = {
            getattr(term, "name", term): count * term.dim / rep.dim
            for term, count in rep.terms
        }
        for name, want in sizes.items():
            # One vector more or less is 3 / 384.
            np.testing.assert_allclose(shares[name], want, rtol=0, atol=0.01)
        assert min(shares.values()) > 0.1


def test_needs_a_positive_size():
    with pytest.raises(ValueError, match="`channels` must be"):
        uniform(groups.O(3), 0)
