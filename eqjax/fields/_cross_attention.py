"""Attention from a coordinate to latents through invariants, in folded form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_size
from eqjax._core._dense import (
    Params,
    dense,
    fold_dense,
    fold_norm,
    init_dense,
    init_norm,
    split_named,
    standardize,
)
from eqjax._core._specs import register_spec
from eqjax.fields._embeddings import FourierEmbedding


@register_spec
@dataclass(frozen=True)
class CrossAttention:
    """Attention whose queries are invariants and whose keys are contexts of latents.

    For a coordinate with invariants b_i to the latents i = 1 .. L, with contexts c_i,
    H heads of size D, and optional logit offsets o_i (windows):

        a_i     = LayerNorm(stem(c_i))
        q, k, v = linear maps of phi_q(b_i), a_i, a_i                    (each H D)
        att_ih  = softmax over i of q_ih . k_ih / sqrt(hidden) + o_i
        g, d    = FiLM(phi_v(b_i)): linear, linear, gelu, LayerNorm, linear
        u_i     = mixer(v_i (1 + g) + d): linear, gelu, LayerNorm, linear
        y       = out(concatenation over h of sum_i att_ih u_ih)

    Everything that sees no coordinate is folded into `prepare` exactly: queries into
    keys, adjacent linear maps and LayerNorm weights into one, and the mixer's last
    linear map behind the sum over latents, as attention weights sum to 1.

    Several views of one coordinate (the two orders of a pair) are averaged behind the
    embeddings, which makes the result exactly symmetric in them.

    Args:
        invariant_dim: Size of an invariant.
        context_dim: Size of a context.
        hidden: Width of the stem and of FiLM's first layer.
        num_heads: Number of heads H.
        head_dim: Size of a head D.
        query_embedding: Embedding of the invariants for queries.
        value_embedding: Embedding of the invariants for values.

    References:
        Wessels, Knigge, Valperga et al., "Grounding continuous representations in
        geometry: equivariant neural fields" (2025), section 3.
        Castanyer, Knigge, Bekkers et al., "Equivariant eikonal neural networks" (2025).
    """

    invariant_dim: int
    context_dim: int
    hidden: int
    num_heads: int
    head_dim: int
    query_embedding: FourierEmbedding
    value_embedding: FourierEmbedding

    def __post_init__(self) -> None:
        """Checks the fields."""
        for name in ("invariant_dim", "context_dim", "hidden", "num_heads", "head_dim"):
            check_size(name, getattr(self, name))

    @property
    def width(self) -> int:
        """Size of the result, H D."""
        return self.num_heads * self.head_dim

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Parameters as a nested dict."""
        names = ("stem", "query", "value", "to_query", "to_key", "to_value", "film")
        keys = split_named(key, [*names, "film_out", "mixer", "mixer_out", "out"])
        hidden, width = self.hidden, self.width

        def embed(embedding: FourierEmbedding, key: Key[Array, ""]) -> Params:
            key_embedding, key_head = jax.random.split(key)
            num = embedding.num_features
            return {
                "embedding": embedding.init(
                    self.invariant_dim, dtype=dtype, key=key_embedding
                ),
                "head": init_dense(num, hidden, dtype=dtype, key=key_head),
            }

        def linear(name: str, num_in: int, num_out: int) -> dict[str, Array]:
            return init_dense(num_in, num_out, dtype=dtype, key=keys[name])

        return {
            "stem": linear("stem", self.context_dim, hidden),
            "stem_norm": init_norm(hidden, dtype=dtype),
            "query": embed(self.query_embedding, keys["query"]),
            "value": embed(self.value_embedding, keys["value"]),
            "to_query": linear("to_query", hidden, width),
            "to_key": linear("to_key", hidden, width),
            "to_value": linear("to_value", hidden, width),
            "film": linear("film", hidden, hidden),
            "film_norm": init_norm(hidden, dtype=dtype),
            "film_out": linear("film_out", hidden, 2 * width),
            "mixer": linear("mixer", width, width),
            "mixer_norm": init_norm(width, dtype=dtype),
            "mixer_out": linear("mixer_out", width, width),
            "out": linear("out", width, width),
        }

    def prepare(
        self,
        params: Any,
        contexts: Float[Array, "latents context_dim"],
        following: dict[str, Array] | None = None,
    ) -> dict[str, Any]:
        """Folds everything that depends on parameters and contexts alone.

        Args:
            params: Of `init`.
            contexts: One context per latent.
            following: A linear map {"kernel": (H D, n), "bias": (n,)} that the caller
                would apply to y first; it is folded too.

        Returns:
            What `apply` reads.
        """
        num = contexts.shape[0]
        heads = (self.num_heads, self.head_dim)
        stem = standardize(dense(params["stem"], contexts))
        norm = params["stem_norm"]
        to_key = fold_norm(norm, params["to_key"])
        to_value = fold_norm(norm, params["to_value"])
        keys = dense(to_key, stem).reshape(num, *heads) * self.hidden**-0.5
        query = fold_dense(params["query"]["head"], params["to_query"])
        mixer_out = fold_norm(params["mixer_norm"], params["mixer_out"])
        out = params["out"]
        if following is not None:
            out = fold_dense(out, following)
        return {
            "key_map": jnp.einsum(
                "uhd,lhd->luh", query["kernel"].reshape(-1, *heads), keys
            ),
            "key_bias": jnp.einsum("hd,lhd->lh", query["bias"].reshape(heads), keys),
            "values": dense(to_value, stem),
            "film": fold_dense(params["value"]["head"], params["film"]),
            "film_out": fold_norm(params["film_norm"], params["film_out"]),
            "tail": self._fold_tail(mixer_out, out),
        }

    def apply(
        self,
        params: Any,
        prepared: dict[str, Any],
        invariants: Float[Array, "views latents invariant_dim"],
        offsets: Float[Array, " latents"] | None = None,
    ) -> Float[Array, " n"]:
        """y, or its image under the map given to `prepare`, for ONE coordinate.

        Args:
            params: Of `init`.
            prepared: Of `prepare`.
            invariants: One row per latent; one view, or the views to average.
            offsets: Added to the logits, e.g. minus squared distance over window.

        Returns:
            Array of shape (n,).
        """
        phi_query = self._features(
            self.query_embedding, params["query"]["embedding"], invariants
        )
        phi_value = self._features(
            self.value_embedding, params["value"]["embedding"], invariants
        )
        logits = jnp.einsum("lu,luh->lh", phi_query, prepared["key_map"])
        logits = logits + prepared["key_bias"]
        if offsets is not None:
            logits = logits + offsets[:, None]
        attention = jax.nn.softmax(logits, axis=0)
        film = standardize(jax.nn.gelu(dense(prepared["film"], phi_value)))
        scale, shift = jnp.split(dense(prepared["film_out"], film), 2, axis=-1)
        values = prepared["values"] * (1 + scale) + shift
        mixed = standardize(jax.nn.gelu(dense(params["mixer"], values)))
        pooled = attention.T @ mixed
        return self._apply_tail(prepared["tail"], pooled)

    def _features(
        self, embedding: FourierEmbedding, params: Params, invariants: Array
    ) -> Array:
        """Features of every latent, averaged over the views."""
        features = embedding.apply(params, invariants)
        num_views = invariants.shape[0]
        if num_views == 1:
            return features[0]
        return sum(features[i] for i in range(1, num_views)) / num_views + (
            features[0] / num_views
        )

    def _fold_tail(self, mixer_out: dict, out: dict) -> dict[str, Array]:
        """The two linear maps behind the sum: as one per head if that is less work."""
        width, size = self.width, self.head_dim
        num_out = out["kernel"].shape[1]
        first = mixer_out["kernel"].reshape(width, self.num_heads, size)
        first = jnp.swapaxes(first, 0, 1)
        second = out["kernel"].reshape(self.num_heads, size, num_out)
        bias = mixer_out["bias"] @ out["kernel"] + out["bias"]
        if width * num_out < width * size + size * num_out:
            return {"bias": bias, "merged": first @ second}
        return {"bias": bias, "first": first, "second": second}

    def _apply_tail(self, tail: dict[str, Array], pooled: Array) -> Array:
        if "merged" in tail:
            return jnp.einsum("ht,hto->o", pooled, tail["merged"]) + tail["bias"]
        values = jnp.einsum("ht,htd->hd", pooled, tail["first"])
        return jnp.einsum("hd,hdo->o", values, tail["second"]) + tail["bias"]
