"""Attention from a coordinate to latents through invariants, in folded form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_choice, check_positive, check_size
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
from eqjax.fields._embeddings import Embedding

Block: TypeAlias = Literal["film_norm", "film_norm_per_head", "film_linear"]
BLOCKS: tuple[Block, ...] = ("film_norm", "film_norm_per_head", "film_linear")


@register_spec
@dataclass(frozen=True)
class CrossAttention:
    """Attention whose queries are invariants and whose keys are contexts of latents.

    For a coordinate with invariants b_i to the latents i = 1 .. L, with contexts c_i,
    H heads of size D, and optional logit offsets o_i (windows), `block="film_norm"` is

        a_i     = LayerNorm(stem(c_i))
        q, k, v = linear maps of phi_q(b_i), a_i, a_i                    (each H D)
        att_ih  = softmax over i of logit_scale q_ih . k_ih + o_i
        g, d    = FiLM(phi_v(b_i)): linear, linear, gelu, LayerNorm, linear
        u_i     = mixer(v_i (1 + g) + d): linear, gelu, LayerNorm, linear
        y       = out(concatenation over h of sum_i att_ih u_ih)

    "film_norm_per_head" applies one mixer of size D to every head by itself.
    "film_linear" has no stem, no normalization and a linear FiLM; its values have the
    size `hidden`, and so has every head of u. It is the cheapest by far.

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
        num_out: Size of y; default H D.
        block: Which of the three forms.
        logit_scale: Factor of the products of queries and keys; default 1/sqrt(hidden),
            and 1/sqrt(head_dim) for "film_linear".
        precision: Of the products with weights and latents; phases always have all
            their digits. Default: the platform's.

    References:
        Wessels, Knigge, Valperga et al., "Grounding continuous representations in
        geometry: equivariant neural fields" (2025), section 3; its code enf-jax is
        "film_norm_per_head", enf-min-jax "film_linear" with `logit_scale=1`.
        García-Castellanos, Wessels, van den Berg et al., "Equivariant eikonal neural
        networks" (2025), section 4: "film_norm".
    """

    invariant_dim: int
    context_dim: int
    hidden: int
    num_heads: int
    head_dim: int
    query_embedding: Embedding
    value_embedding: Embedding
    num_out: int | None = None
    block: Block = "film_norm"
    logit_scale: float | None = None
    precision: jax.lax.PrecisionLike = None

    def __post_init__(self) -> None:
        """Checks the fields."""
        for name in ("invariant_dim", "context_dim", "hidden", "num_heads", "head_dim"):
            check_size(name, getattr(self, name))
        if self.num_out is not None:
            check_size("num_out", self.num_out)
        check_choice("block", self.block, BLOCKS)
        if self.logit_scale is not None:
            check_positive("logit_scale", self.logit_scale)

    @property
    def width(self) -> int:
        """Size of the result y."""
        return self.num_heads * self.head_dim if self.num_out is None else self.num_out

    @property
    def _value_width(self) -> int:
        """Size of the values of a latent, before the mixer."""
        linear = self.block == "film_linear"
        return self.hidden if linear else self.num_heads * self.head_dim

    @property
    def _mixed_dim(self) -> int:
        """Size of a head of u."""
        return self.hidden if self.block == "film_linear" else self.head_dim

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Parameters as a nested dict."""
        names = ("stem", "query", "value", "to_query", "to_key", "to_value", "film")
        keys = split_named(key, [*names, "film_out", "mixer", "mixer_out", "out"])
        hidden, attended = self.hidden, self.num_heads * self.head_dim
        width, mixed = self._value_width, self.num_heads * self._mixed_dim

        def embed(embedding: Embedding, key: Key[Array, ""]) -> Params:
            key_embedding, key_head = jax.random.split(key)
            num = embedding.num_out(self.invariant_dim)
            return {
                "embedding": embedding.init(
                    self.invariant_dim, dtype=dtype, key=key_embedding
                ),
                "head": init_dense(num, hidden, dtype=dtype, key=key_head),
            }

        def linear(name: str, num_in: int, num_out: int) -> dict[str, Array]:
            return init_dense(num_in, num_out, dtype=dtype, key=keys[name])

        params: Params = {
            "query": embed(self.query_embedding, keys["query"]),
            "value": embed(self.value_embedding, keys["value"]),
            "to_query": linear("to_query", hidden, attended),
            "out": linear("out", mixed, self.width),
        }
        if self.block == "film_linear":
            return params | {
                "to_key": linear("to_key", self.context_dim, attended),
                "to_value": linear("to_value", self.context_dim, width),
                "film": linear("film", hidden, 2 * width),
                "mixer": linear("mixer", width, width),
                "mixer_out": linear("mixer_out", width, mixed),
            }
        size = self.head_dim if self.block == "film_norm_per_head" else width
        return params | {
            "stem": linear("stem", self.context_dim, hidden),
            "stem_norm": init_norm(hidden, dtype=dtype),
            "to_key": linear("to_key", hidden, attended),
            "to_value": linear("to_value", hidden, width),
            "film": linear("film", hidden, hidden),
            "film_norm": init_norm(hidden, dtype=dtype),
            "film_out": linear("film_out", hidden, 2 * width),
            "mixer": linear("mixer", size, size),
            "mixer_norm": init_norm(size, dtype=dtype),
            "mixer_out": linear("mixer_out", size, size),
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
            following: A linear map {"kernel": (width, n), "bias": (n,)} that the caller
                would apply to y first; it is folded too.

        Returns:
            What `apply` reads.
        """
        heads = (self.num_heads, self.head_dim)
        to_key, to_value = params["to_key"], params["to_value"]
        mixer_out, out, a = params["mixer_out"], params["out"], contexts
        film = {"film": fold_dense(params["value"]["head"], params["film"])}
        if self.block != "film_linear":
            a = standardize(dense(params["stem"], a, precision=self.precision))
            to_key = fold_norm(params["stem_norm"], to_key)
            to_value = fold_norm(params["stem_norm"], to_value)
            mixer_out = fold_norm(params["mixer_norm"], mixer_out)
            film["film_out"] = fold_norm(params["film_norm"], params["film_out"])
        if following is not None:
            out = fold_dense(out, following)
        keys = dense(to_key, a, precision=self.precision) * self._logit_scale
        keys = keys.reshape(-1, *heads)
        query = fold_dense(params["query"]["head"], params["to_query"])
        return {
            "key_map": jnp.einsum(
                "uhd,lhd->luh",
                query["kernel"].reshape(-1, *heads),
                keys,
                precision="highest",
            ),
            "key_bias": jnp.einsum(
                "hd,lhd->lh",
                query["bias"].reshape(heads),
                keys,
                precision="highest",
            ),
            "values": dense(to_value, a, precision=self.precision),
            "tail": self._fold_tail(mixer_out, out),
            **film,
        }

    @property
    def _logit_scale(self) -> float:
        if self.logit_scale is not None:
            return self.logit_scale
        return (self.head_dim if self.block == "film_linear" else self.hidden) ** -0.5

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
        phi_query = self._features(self.query_embedding, params["query"], invariants)
        phi_value = self._features(self.value_embedding, params["value"], invariants)
        logits = jnp.einsum(
            "lu,luh->lh", phi_query, prepared["key_map"], precision=self.precision
        )
        logits = logits + prepared["key_bias"]
        if offsets is not None:
            logits = logits + offsets[:, None]
        attention = jax.nn.softmax(logits, axis=0)
        film = self._dense(prepared["film"], phi_value)
        if self.block != "film_linear":
            film = self._dense(prepared["film_out"], standardize(jax.nn.gelu(film)))
        scale, shift = jnp.split(film, 2, axis=-1)
        values = prepared["values"] * (1 + scale) + shift
        per_head = self.block == "film_norm_per_head"
        if per_head:
            values = values.reshape(-1, self.num_heads, self.head_dim)
        mixed = jax.nn.gelu(self._dense(params["mixer"], values))
        if self.block != "film_linear":
            mixed = standardize(mixed)
        pooled = jnp.einsum(
            "lh,lht->ht" if per_head else "lh,lt->ht",
            attention,
            mixed,
            precision=self.precision,
        )
        return self._apply_tail(prepared["tail"], pooled)

    def _dense(self, params: dict[str, Array], x: Array) -> Array:
        return dense(params, x, precision=self.precision)

    def _features(
        self, embedding: Embedding, params: Params, invariants: Array
    ) -> Array:
        """Features of every latent, averaged over the views."""
        features = embedding.apply(
            params["embedding"], invariants, precision=self.precision
        )
        num_views = invariants.shape[0]
        if num_views == 1:
            return features[0]
        return sum(features[i] for i in range(1, num_views)) / num_views + (
            features[0] / num_views
        )

    def _fold_tail(self, mixer_out: dict, out: dict) -> dict[str, Array]:
        """The two linear maps behind the sum: as one per head if that is less work."""
        num_heads, size = self.num_heads, self._mixed_dim
        num_out = out["kernel"].shape[1]
        kernel, bias = mixer_out["kernel"], mixer_out["bias"]
        width = kernel.shape[0]
        if self.block == "film_norm_per_head":
            first = jnp.broadcast_to(kernel, (num_heads, width, size))
            bias = jnp.tile(bias, num_heads)
        else:
            first = jnp.swapaxes(kernel.reshape(width, num_heads, size), 0, 1)
        second = out["kernel"].reshape(num_heads, size, num_out)
        shift = jnp.matmul(bias, out["kernel"], precision="highest")
        bias = shift + out["bias"]
        if width * num_out < width * size + size * num_out:
            merged = jnp.matmul(first, second, precision="highest")
            return {"bias": bias, "merged": merged}
        return {"bias": bias, "first": first, "second": second}

    def _apply_tail(self, tail: dict[str, Array], pooled: Array) -> Array:
        def product(subscripts: str, x: Array, kernel: Array) -> Array:
            return jnp.einsum(subscripts, x, kernel, precision=self.precision)

        if "merged" in tail:
            return product("ht,hto->o", pooled, tail["merged"]) + tail["bias"]
        values = product("ht,htd->hd", pooled, tail["first"])
        return product("hd,hdo->o", values, tail["second"]) + tail["bias"]
