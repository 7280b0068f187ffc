"""Equivariant neural fields."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, PyTree

from eqjax._core._checks import check_condition, check_shape, check_size
from eqjax._core._chunks import map_in_chunks
from eqjax._core._dense import Params, dense, init_dense, split_named
from eqjax._core._specs import register_spec
from eqjax.fields._bi_invariant import BiInvariant
from eqjax.fields._coordinates import check_point
from eqjax.fields._cross_attention import Block, CrossAttention
from eqjax.fields._embeddings import Embedding, FourierEmbedding
from eqjax.fields._latents import Latents
from eqjax.fields._pose_pair import PosePair


@register_spec
@dataclass(frozen=True)
class EquivariantField:
    """A signal on a space, given by latents whose poses move with it.

    f(x; z) reads the latents z through invariants of (x, pose), so it is steerable:
    f(g x; g z) = f(x; z), where g acts on the poses alone (`transform_latents`). The
    decoder is `CrossAttention` with Gaussian windows, softmax logits minus
    squared_distance(x, p_i) / s_i^2, followed by dense layers behind gelus. A
    coordinate far from all windows is served by the nearest latent: it has a value.

    Args:
        bi_invariant: Invariant of a coordinate and a pose.
        context_dim: Size of a latent's context.
        num_out: Number of channels of the signal.
        hidden: Width of the layers.
        num_heads: Number of attention heads.
        head_dim: Size of a head.
        query_embedding: Embedding of the invariants for queries.
        value_embedding: Embedding of the invariants for values.
        window: Whether latents have Gaussian windows.
        num_neighbors: Attend to that many nearest latents only (in units of
            `squared_distance`); default all. The field jumps where the k-th neighbor
            changes, unless its window has decayed there: never differentiate such a
            field in space without windows.
        block: Form of the attention, see `CrossAttention`.
        head_layers: Number of dense layers behind the attention; 0 for none.
        num_self_attention_layers: Number of layers in which latents attend to each
            other before, through `PosePair`, with residual connections. They run in
            `prepare`, so they cost nothing per coordinate.
        logit_scale: Of the attention; see there.
        precision: Of products with weights and latents; see there.

    Raises:
        ValueError: If a number is out of range, or windows or neighbors are asked of an
            invariant without poses.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields, groups, spaces
        >>> field = fields.EquivariantField(
        ...     fields.RelativePose(groups.SE(2)), context_dim=8, num_out=3, hidden=16,
        ...     head_dim=16)
        >>> key_field, key_latents = jax.random.split(jax.random.key(0))
        >>> params = field.init(key=key_field)
        >>> z = fields.init_latents(spaces.Euclidean(2), groups.SE(2), num_latents=9,
        ...                         context_dim=8, key=key_latents)
        >>> field.apply(params, field.prepare(params, z), jnp.zeros(2)).shape
        (3,)

    References:
        Wessels, Knigge, Valperga et al., "Grounding continuous representations in
        geometry: equivariant neural fields" (2025), section 3.
    """

    bi_invariant: BiInvariant
    context_dim: int = 32
    num_out: int = 1
    hidden: int = 128
    num_heads: int = 2
    head_dim: int = 128
    query_embedding: Embedding = FourierEmbedding(128, scale=0.05)
    value_embedding: Embedding = FourierEmbedding(128, scale=0.2)
    window: bool = True
    num_neighbors: int | None = None
    block: Block = "film_norm"
    head_layers: int = 3
    num_self_attention_layers: int = 0
    logit_scale: float | None = None
    precision: jax.lax.PrecisionLike = None

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("num_out", self.num_out)
        check_size("head_layers", self.head_layers, minimum=0)
        if self.num_neighbors is not None:
            check_size("num_neighbors", self.num_neighbors)
        check_condition(
            self.bi_invariant.has_pose_axis
            or not (self.window or self.num_neighbors is not None),
            "`window` and `num_neighbors` need an invariant with poses, got "
            f"{self.bi_invariant}. Pass `window=False`.",
        )
        check_size(
            "num_self_attention_layers", self.num_self_attention_layers, minimum=0
        )
        _ = self.attention
        if self.num_self_attention_layers:
            _ = self.self_attention

    @property
    def attention(self) -> CrossAttention:
        """The spec of the decoder's attention."""
        alone = not self.num_self_attention_layers
        return CrossAttention(
            invariant_dim=self.bi_invariant.dim,
            context_dim=self.context_dim if alone else self.hidden,
            hidden=self.hidden,
            num_heads=self.num_heads,
            head_dim=self.head_dim,
            query_embedding=self.query_embedding,
            value_embedding=self.value_embedding,
            num_out=None if self.head_layers else self.num_out,
            block=self.block,
            logit_scale=self.logit_scale,
            precision=self.precision,
        )

    @property
    def self_attention(self) -> CrossAttention:
        """The spec of the attention of latents to each other."""
        return dataclasses.replace(
            self.attention,
            invariant_dim=PosePair(self.bi_invariant).dim,
            context_dim=self.hidden,
            num_out=self.hidden,
        )

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Parameters as a nested dict; needs no sample input."""
        layers = [f"layer_{i}" for i in range(self.head_layers)]
        among = [f"self_attention_{i}" for i in range(self.num_self_attention_layers)]
        keys = split_named(key, ["attention", *layers, "embed", *among])
        inner = [self.hidden] * (self.head_layers - 1)
        sizes = [self.attention.width, *inner, self.num_out]
        params = {
            name: init_dense(n_in, n_out, dtype=dtype, key=keys[name])
            for name, n_in, n_out in zip(layers, sizes, sizes[1:], strict=False)
        }
        params["attention"] = self.attention.init(dtype=dtype, key=keys["attention"])
        if among:
            params["embed"] = init_dense(
                self.context_dim, self.hidden, dtype=dtype, key=keys["embed"]
            )
        for name in among:
            params[name] = self.self_attention.init(dtype=dtype, key=keys[name])
        return params

    def prepare(self, params: Any, latents: Latents) -> dict[str, Any]:
        """Folds everything that sees no coordinate; latents of ONE signal.

        Raises:
            ValueError: If the contexts do not fit, or there are fewer latents than
                neighbors.
        """
        context = latents["context"]
        check_shape("latents['context']", context, (None, self.context_dim))
        check_condition(
            self.num_neighbors is None or self.num_neighbors <= context.shape[0],
            f"`num_neighbors` is {self.num_neighbors}, but there are only "
            f"{context.shape[0]} latents.",
        )
        if self.num_self_attention_layers:
            context = self._attend_to_each_other(params, context, latents["pose"])
        prepared = self.attention.prepare(params["attention"], context)
        return {
            **prepared,
            "pose": latents["pose"],
            "inverse_window_squared": jnp.exp(-2 * latents["window"]),
        }

    def _attend_to_each_other(self, params: Any, context: Array, poses: Any) -> Array:
        """Contexts (L, hidden) that know of all latents."""
        spec, pair = self.self_attention, PosePair(self.bi_invariant)
        pairs = jax.vmap(jax.vmap(pair, (None, 0)), (0, None))(poses, poses)
        a = dense(params["embed"], context, precision=self.precision)
        for i in range(self.num_self_attention_layers):
            layer = params[f"self_attention_{i}"]
            prepared = spec.prepare(layer, a)
            update = functools.partial(spec.apply, layer, prepared)
            a = a + jax.vmap(lambda b, update=update: update(b[None]))(pairs)
        return a

    def apply(
        self, params: Any, prepared: dict[str, Any], x: Any
    ) -> Float[Array, " num_out"]:
        """The signal at ONE coordinate; batch with `jax.vmap` or `evaluate`.

        Args:
            params: Of `init`.
            prepared: Of `prepare`.
            x: A point of the invariant's space, (ambient,); on `LieGroupSpace` an
                element.

        Raises:
            ValueError: If `x` is no such point.
        """
        check_point(self.bi_invariant.space, x)
        offsets = None
        if self.window or self.num_neighbors is not None:
            distances = jax.vmap(self.bi_invariant.squared_distance, (None, 0))(
                x, prepared["pose"]
            )
            if self.num_neighbors is not None:
                per_latent = ("key_map", "key_bias", "values", "pose")
                per_latent = (*per_latent, "inverse_window_squared")
                _, nearest = jax.lax.top_k(
                    -jax.lax.stop_gradient(distances), self.num_neighbors
                )
                distances = distances[nearest]
                prepared = {
                    name: jax.tree.map(lambda leaf: leaf[nearest], value)
                    if name in per_latent
                    else value
                    for name, value in prepared.items()
                }
            if self.window:
                offsets = -distances * prepared["inverse_window_squared"]
        if self.bi_invariant.has_pose_axis:
            b = jax.vmap(self.bi_invariant, (None, 0))(x, prepared["pose"])
        else:
            num = prepared["values"].shape[0]
            b = jnp.broadcast_to(
                self.bi_invariant(x, None), (num, self.bi_invariant.dim)
            )
        y = self.attention.apply(params["attention"], prepared, b[None], offsets)
        for i in range(self.head_layers):
            y = dense(params[f"layer_{i}"], jax.nn.gelu(y), precision=self.precision)
        return y


@runtime_checkable
class Field(Protocol):
    """What `evaluate` asks of a field."""

    def apply(self, params: Any, prepared: Any, x: Any) -> Array:
        """The signal at ONE coordinate."""
        ...


def evaluate(
    field: Field,
    params: Any,
    prepared: dict[str, Any],
    xs: PyTree[Array],
    *,
    chunk_size: int = 4096,
) -> Float[Array, "points num_out"]:
    """The field at many coordinates, in chunks of bounded memory.

    Args:
        field: Any spec with `apply(params, prepared, x)`.
        params: Of `field.init`.
        prepared: Of `field.prepare`.
        xs: Coordinates, (points, ambient), or elements with a leading axis.
        chunk_size: Number of coordinates per chunk.

    Returns:
        The values, one row per coordinate.
    """
    return map_in_chunks(lambda x: field.apply(params, prepared, x), xs, chunk_size)
