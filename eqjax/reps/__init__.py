"""Representations of groups."""

from eqjax.reps._finite_irreps import FiniteIrrep as FiniteIrrep
from eqjax.reps._finite_irreps import finite_irreps as finite_irreps
