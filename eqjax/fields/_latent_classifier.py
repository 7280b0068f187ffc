"""Classification of signals from their latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_shape, check_size
from eqjax._core._dense import (
    Params,
    dense,
    fold_norm,
    init_dense,
    init_norm,
    split_named,
    standardize,
)
from eqjax._core._specs import register_spec
from eqjax.fields._bi_invariant import BiInvariant
from eqjax.fields._embeddings import Embedding, PolynomialEmbedding
from eqjax.fields._latents import Latents
from eqjax.fields._pose_pair import PosePair

# Of the residual branches at the start: nearly nothing, as in ConvNeXt.
_LAYER_SCALE = 1e-2


@register_spec
@dataclass(frozen=True)
class LatentClassifier:
    """Logits of one signal from its latents, invariant when they move together.

    Message passing between all L latents, with features h_i = W c_i at the start; each
    layer is

        m_i = mean over j of (K phi(i(p_i, p_j))) * h_j,   i(p, q) of `PosePair`
        h_i = h_i + s * (linear, gelu, linear)(LayerNorm(m_i)),

    with the product entry by entry, 4 `hidden` units inside and a learned scale s, and
    the logits are a linear map of the mean of LayerNorm(h_i). So logits(g z) =
    logits(z), and the order of latents does not matter. Window widths are not read.

    Args:
        bi_invariant: The invariant of the field that the latents belong to.
        context_dim: Size of a context; standardize contexts by those of training.
        num_classes: Number of logits.
        hidden: Size of features.
        num_layers: Number of layers.
        embedding: phi.

    Raises:
        ValueError: If a number is out of range or there are no poses.

    Example:
        >>> import jax
        >>> from eqjax import fields, groups, spaces
        >>> motions = groups.SE(2)
        >>> net = fields.LatentClassifier(
        ...     fields.RelativePose(motions), context_dim=4, num_classes=10, hidden=8)
        >>> params = net.init(key=jax.random.key(0))
        >>> z = fields.init_latents(spaces.Euclidean(2), motions, num_latents=9,
        ...                         context_dim=4, key=jax.random.key(1))
        >>> net.apply(params, z).shape
        (10,)

    References:
        Bekkers, Vadgama, Hesselink et al., "Fast, expressive SE(n) equivariant networks
        through weight-sharing in position-orientation space" (2024), section 4;
        Wessels, Knigge, Valperga et al., "Grounding continuous representations in
        geometry: equivariant neural fields" (2025), section 4.
    """

    bi_invariant: BiInvariant
    context_dim: int
    num_classes: int
    hidden: int = 128
    num_layers: int = 3
    embedding: Embedding = PolynomialEmbedding(64, degree=3)

    def __post_init__(self) -> None:
        """Checks the fields."""
        for name in ("context_dim", "num_classes", "hidden", "num_layers"):
            check_size(name, getattr(self, name))
        _ = self.pair

    @property
    def pair(self) -> PosePair:
        """What one latent knows of another one's place."""
        return PosePair(self.bi_invariant)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Parameters as a nested dict."""
        layers = [f"layer_{i}" for i in range(self.num_layers)]
        keys = split_named(key, ["stem", "embedding", "out", *layers])
        hidden, num = self.hidden, self.embedding.num_out(self.pair.dim)

        def layer(key: Key[Array, ""]) -> Params:
            keys = split_named(key, ["kernel", "wide", "narrow"])
            return {
                "kernel": init_dense(num, hidden, dtype=dtype, key=keys["kernel"]),
                "norm": init_norm(hidden, dtype=dtype),
                "wide": init_dense(hidden, 4 * hidden, dtype=dtype, key=keys["wide"]),
                "narrow": init_dense(
                    4 * hidden, hidden, dtype=dtype, key=keys["narrow"]
                ),
                "scale": _LAYER_SCALE * jnp.ones(hidden, dtype),
            }

        return {
            "stem": init_dense(self.context_dim, hidden, dtype=dtype, key=keys["stem"]),
            "embedding": self.embedding.init(
                self.pair.dim, dtype=dtype, key=keys["embedding"]
            ),
            **{name: layer(keys[name]) for name in layers},
            "norm": init_norm(hidden, dtype=dtype),
            "out": init_dense(hidden, self.num_classes, dtype=dtype, key=keys["out"]),
        }

    def apply(self, params: Any, latents: Latents) -> Float[Array, " classes"]:
        """The logits of ONE signal; batch with `jax.vmap`.

        Raises:
            ValueError: If the contexts do not fit.
        """
        poses, context = latents["pose"], latents["context"]
        check_shape("latents['context']", context, (None, self.context_dim))
        pairs = jax.vmap(jax.vmap(self.pair, (None, 0)), (0, None))(poses, poses)
        phi = self.embedding.apply(params["embedding"], pairs)
        h = dense(params["stem"], context)
        for i in range(self.num_layers):
            layer = params[f"layer_{i}"]
            messages = dense(layer["kernel"], phi) * h[None]
            m = standardize(jnp.mean(messages, axis=1))
            m = jax.nn.gelu(dense(fold_norm(layer["norm"], layer["wide"]), m))
            h = h + layer["scale"][None] * dense(layer["narrow"], m)
        pooled = jnp.mean(standardize(h), axis=0)
        return dense(fold_norm(params["norm"], params["out"]), pooled)
