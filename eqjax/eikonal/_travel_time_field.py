"""Neural travel times between any two points of a space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_positive,
    check_shape,
    check_size,
)
from eqjax._core._dense import (
    Params,
    dense,
    fold_norm,
    init_dense,
    init_dense_he,
    init_norm,
    split_named,
    standardize,
)
from eqjax._core._specs import register_spec
from eqjax.eikonal._bounded_times import (
    BoundedTimes,
    bounded_slowness,
    bumps,
    check_space,
    symmetric_distance,
)
from eqjax.eikonal._pair_invariants import PairInvariant
from eqjax.fields import CrossAttention, FourierEmbedding
from eqjax.spaces import Space


@register_spec
@dataclass(frozen=True)
class TravelTimeField(BoundedTimes):
    """Travel times T(s, r; z) of one velocity field per set of latents z.

        T(s, r; z) = d(s, r) m,   m = 1 / v_max + (1 / v_min - 1 / v_max) sigmoid(a u)

    d is the distance of the space, u a decoder that reads the latents through
    invariants of (source, receiver, pose). So, for any parameters: T(s, s) = 0;
    d / v_max <= T <= d / v_min; T(s, r) = T(r, s) exactly; T of the speed c v is T / c;
    and T(g s, g r; g z) = T(s, r; z) where g acts on the poses of z. Where d is an
    approximation, as for `PositionOrientation` with eps < 1, m has bounds wide enough
    for the true distance (`distance_ratio`), and so have the times.

    Sizes default to those of the published two-dimensional models.

    Args:
        pair_invariant: Invariant of two points and a pose; fixes the space.
        context_dim: Size of a latent's context.
        hidden: Width of the layers.
        num_heads: Number of attention heads.
        query_scale: Initial frequencies of the query embedding, cycles per unit.
        value_scale: The same of the value embedding.
        head_layers: Number of hidden layers with the activation exp(-(c x)^2), c
            learned, one per layer.
        bound: "linear" as above; "log" spaces m geometrically between its bounds, for
            speeds that vary by more than a factor of ten.

    Raises:
        ValueError: If a number is out of range, `bound` unknown, or the distance of
            the space unrelated to travel times (forward motion only).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import eikonal, fields, groups, spaces
        >>> invariant = eikonal.PairInvariant(fields.RelativePose(groups.SE(2)))
        >>> field = eikonal.TravelTimeField(invariant, context_dim=4, hidden=8)
        >>> params = field.init(key=jax.random.key(0))
        >>> z = fields.init_latents(field.space, groups.SE(2), num_latents=4,
        ...                         context_dim=4, key=jax.random.key(1))
        >>> prepared = field.prepare(params, z)
        >>> s, r = jnp.array([-0.5, 0.0]), jnp.array([0.5, 0.0])
        >>> float(field.times(params, prepared, s, r, jnp.array([2.0, 2.0])))
        0.5

    References:
        García-Castellanos, Wessels, van den Berg et al., "Equivariant eikonal neural
        networks" (2025), sections 4 and 5.
        Grubas, Duchkov, Loginov, "Neural eikonal solver: improving accuracy of
        physics-informed neural networks for solving eikonal equation in case of
        caustics" (2023), equation 11 (bounded factored form).
    """

    pair_invariant: PairInvariant
    context_dim: int = 32
    hidden: int = 128
    num_heads: int = 2
    query_scale: float = 0.05
    value_scale: float = 0.2
    head_layers: int = 3
    bound: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("hidden", self.hidden, minimum=2)
        check_condition(
            self.hidden % 2 == 0,
            f"`hidden` must be even (sines and cosines), got {self.hidden}.",
        )
        check_positive("query_scale", self.query_scale)
        check_positive("value_scale", self.value_scale)
        check_size("head_layers", self.head_layers)
        check_choice("bound", self.bound, ("linear", "log"))
        check_space(self.space)
        _ = self.attention

    @property
    def space(self) -> Space:
        """Space of sources and receivers; its metric is that of unit speed."""
        return self.pair_invariant.space

    @property
    def attention(self) -> CrossAttention:
        """The spec of the decoder's attention."""
        return CrossAttention(
            invariant_dim=self.pair_invariant.dim,
            context_dim=self.context_dim,
            hidden=self.hidden,
            num_heads=self.num_heads,
            head_dim=self.hidden,
            query_embedding=FourierEmbedding(self.hidden, self.query_scale),
            value_embedding=FourierEmbedding(self.hidden, self.value_scale),
        )

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Parameters as a nested dict; needs no sample input."""
        layers = [f"layer_{i}" for i in range(self.head_layers)]
        keys = split_named(key, ["attention", "mix", "mix_out", "out", *layers])
        width, hidden = self.attention.width, self.hidden
        sizes = [width] + [hidden] * self.head_layers
        params: Params = {
            "attention": self.attention.init(dtype=dtype, key=keys["attention"]),
            "mix": init_dense(width, width, dtype=dtype, key=keys["mix"]),
            "mix_norm": init_norm(width, dtype=dtype),
            "mix_out": init_dense(width, width, dtype=dtype, key=keys["mix_out"]),
            "out": init_dense_he(hidden, 1, dtype=dtype, key=keys["out"]),
            "alpha": jnp.ones((), dtype),
        }
        for name, n_in, n_out in zip(layers, sizes[:-1], sizes[1:], strict=True):
            init_layer = init_dense if name == "layer_0" else init_dense_he
            layer = init_layer(n_in, n_out, dtype=dtype, key=keys[name])
            params[name] = {**layer, "width": jnp.ones((), dtype)}
        return params

    def prepare(self, params: Any, latents: dict[str, Any]) -> dict[str, Any]:
        """Folds everything that sees no coordinate; latents of ONE signal."""
        context = latents["context"]
        check_shape("latents['context']", context, (None, self.context_dim))
        return {
            "attention": self.attention.prepare(
                params["attention"], context, params["mix"]
            ),
            "mix_out": fold_norm(params["mix_norm"], params["mix_out"]),
            "pose": latents["pose"],
        }

    def _factors(
        self,
        params: Any,
        prepared: dict[str, Any],
        source: Array,
        receiver: Array,
        speed_bounds: Array,
    ) -> tuple[Array, Array]:
        """The distance d, and m between its bounds."""
        size = self.space.ambient_dim
        check_shape("source", source, (size,))
        check_shape("receiver", receiver, (size,))
        u = params["alpha"] * self._decode(params, prepared, source, receiver)
        d = symmetric_distance(self.space, source, receiver)
        return d, bounded_slowness(u, self.space, speed_bounds, self.bound)

    def _decode(
        self, params: Any, prepared: dict[str, Any], source: Array, receiver: Array
    ) -> Array:
        """The decoder's output u, symmetric in source and receiver."""

        def view(first: Array, second: Array) -> Array:
            if self.pair_invariant.poses is None:
                num = prepared["attention"]["values"].shape[0]
                invariant = self.pair_invariant(first, second, None)
                return jnp.broadcast_to(invariant, (num, self.pair_invariant.dim))
            return jax.vmap(self.pair_invariant, (None, None, 0))(
                first, second, prepared["pose"]
            )

        views = jnp.stack([view(source, receiver), view(receiver, source)])
        y = self.attention.apply(params["attention"], prepared["attention"], views)
        y = jax.nn.gelu(dense(prepared["mix_out"], standardize(jax.nn.gelu(y))))
        for i in range(self.head_layers):
            y = bumps(params[f"layer_{i}"], y)
        return dense(params["out"], y)[0]
