"""Equivariant neural fields: signals given by latents whose poses move with them."""

from eqjax.fields._absolute import Absolute as Absolute
from eqjax.fields._bi_invariant import BiInvariant as BiInvariant
from eqjax.fields._cross_attention import CrossAttention as CrossAttention
from eqjax.fields._embeddings import Embedding as Embedding
from eqjax.fields._embeddings import FourierEmbedding as FourierEmbedding
from eqjax.fields._embeddings import MlpEmbedding as MlpEmbedding
from eqjax.fields._embeddings import PolynomialEmbedding as PolynomialEmbedding
from eqjax.fields._embeddings import SineEmbedding as SineEmbedding
from eqjax.fields._equivariant_field import EquivariantField as EquivariantField
from eqjax.fields._equivariant_field import evaluate as evaluate
from eqjax.fields._geometry_to_field import GeometryToField as GeometryToField
from eqjax.fields._latent_classifier import LatentClassifier as LatentClassifier
from eqjax.fields._latents import init_latents as init_latents
from eqjax.fields._latents import retract_latents as retract_latents
from eqjax.fields._latents import transform_latents as transform_latents
from eqjax.fields._latents import zero_tangent as zero_tangent
from eqjax.fields._location_encoder import LocationEncoder as LocationEncoder
from eqjax.fields._location_encoder import (
    SphericalHarmonicEncoder as SphericalHarmonicEncoder,
)
from eqjax.fields._pose_pair import PosePair as PosePair
from eqjax.fields._rbf_field import RBFField as RBFField
from eqjax.fields._rbf_kernels import ActiveSubspace as ActiveSubspace
from eqjax.fields._rbf_kernels import active_subspace as active_subspace
from eqjax.fields._rbf_kernels import init_kernels as init_kernels
from eqjax.fields._rbf_kernels import transform_kernels as transform_kernels
from eqjax.fields._relative_point import RelativePoint as RelativePoint
from eqjax.fields._relative_pose import RelativePose as RelativePose
from eqjax.fields._siren import Siren as Siren
from eqjax.fields._with_scalars import WithScalars as WithScalars
