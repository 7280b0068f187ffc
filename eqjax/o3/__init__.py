"""Steerable operations for SO(3) and O(3): the fast path."""

from eqjax.o3._clebsch_gordan import clebsch_gordan as clebsch_gordan
from eqjax.o3._degrees import Degrees as Degrees
from eqjax.o3._matrix_product import matrix_product as matrix_product
from eqjax.o3._signal_products import gaunt_product as gaunt_product
from eqjax.o3._spherical_harmonics import spherical_harmonics as spherical_harmonics
from eqjax.o3._symmetric_contraction import SymmetricContraction as SymmetricContraction
from eqjax.o3._tensor_product import TensorProduct as TensorProduct
from eqjax.o3._wigner import wigner_d as wigner_d
