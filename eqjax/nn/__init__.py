"""Steerable layers: linear, gates, norms, attention, convolution, moments."""

from eqjax.nn._bias import Bias as Bias
from eqjax.nn._grid import aligned_padding as aligned_padding
from eqjax.nn._kernel_basis import KernelBasis as KernelBasis
from eqjax.nn._linear import Linear as Linear
from eqjax.nn._max_pool import MaxPool as MaxPool
from eqjax.nn._max_pool import NormMaxPool as NormMaxPool
from eqjax.nn._resample import AveragePool as AveragePool
from eqjax.nn._resample import BlurPool as BlurPool
from eqjax.nn._resample import Upsample as Upsample
from eqjax.nn._restrict import Restrict as Restrict
from eqjax.nn._steerable_conv import SteerableConv as SteerableConv
