"""Adapters between eqjax layers and flax: linen and nnx."""

from eqjax.flax._linen import AsLinen as AsLinen
from eqjax.flax._linen import FromLinen as FromLinen
from eqjax.flax._nnx import AsNNX as AsNNX
