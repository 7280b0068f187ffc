"""Equivariant neural fields: signals given by latents whose poses move with them."""

from eqjax.fields._bi_invariants import Absolute as Absolute
from eqjax.fields._bi_invariants import BiInvariant as BiInvariant
from eqjax.fields._bi_invariants import RelativePoint as RelativePoint
from eqjax.fields._bi_invariants import RelativePose as RelativePose
from eqjax.fields._cross_attention import CrossAttention as CrossAttention
from eqjax.fields._embeddings import Embedding as Embedding
from eqjax.fields._embeddings import FourierEmbedding as FourierEmbedding
from eqjax.fields._embeddings import MlpEmbedding as MlpEmbedding
from eqjax.fields._embeddings import PolynomialEmbedding as PolynomialEmbedding
from eqjax.fields._embeddings import SineEmbedding as SineEmbedding
from eqjax.fields._equivariant_field import EquivariantField as EquivariantField
from eqjax.fields._equivariant_field import evaluate as evaluate
from eqjax.fields._latents import init_latents as init_latents
from eqjax.fields._latents import retract_latents as retract_latents
from eqjax.fields._latents import transform_latents as transform_latents
from eqjax.fields._latents import zero_tangent as zero_tangent
