"""Steerable operations for SO(3) and O(3): the fast path."""

from eqjax.o3._clebsch_gordan import clebsch_gordan as clebsch_gordan
from eqjax.o3._cp_factors import CPFactors as CPFactors
from eqjax.o3._cp_factors import cp_factors as cp_factors
from eqjax.o3._cp_product import cp_product as cp_product
from eqjax.o3._degrees import Degrees as Degrees
from eqjax.o3._gates import gate as gate
from eqjax.o3._gates import norm_activation as norm_activation
from eqjax.o3._layouts import from_cue as from_cue
from eqjax.o3._layouts import from_e3x as from_e3x
from eqjax.o3._layouts import to_cue as to_cue
from eqjax.o3._layouts import to_e3x as to_e3x
from eqjax.o3._linear import init_linear as init_linear
from eqjax.o3._linear import linear as linear
from eqjax.o3._matrix_product import matrix_product as matrix_product
from eqjax.o3._norms import merged_layer_norm as merged_layer_norm
from eqjax.o3._norms import rms_norm as rms_norm
from eqjax.o3._norms import separable_layer_norm as separable_layer_norm
from eqjax.o3._signal_products import gaunt_product as gaunt_product
from eqjax.o3._spherical_harmonics import spherical_harmonics as spherical_harmonics
from eqjax.o3._symmetric_contraction import SymmetricContraction as SymmetricContraction
from eqjax.o3._tensor_product import TensorProduct as TensorProduct
from eqjax.o3._wigner import wigner_d as wigner_d
