"""Layer norms that compare degrees, for features of `eqjax.o3`."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_condition, check_positive, check_size
from eqjax._core._specs import register_spec
from eqjax.nn._features import Params, check_feature, default_dtype
from eqjax.nn._layer import KeepsRep
from eqjax.o3 import Degrees, merged_layer_norm, separable_layer_norm


@dataclass(frozen=True)
class _DegreesNorm(KeepsRep):
    """A normalization of `eqjax.o3` with weights, at every point of a grid."""

    rep: Degrees
    channels: int
    epsilon: float = field(default=1e-5, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_condition(
            isinstance(self.rep, Degrees),
            f"`rep` must be `o3.Degrees`, got {self.rep}. `LayerNorm` takes others.",
        )
        check_size("channels", self.channels)
        check_positive("epsilon", self.epsilon)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Scales of one and biases of zero.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: Not used: nothing is random.

        Returns:
            A dict with "scale", (irreps, channels), and "bias", (channels,).
        """
        del key
        dtype = default_dtype(dtype)
        return {
            "scale": jnp.ones((len(self.rep.irreps), self.channels), dtype),
            "bias": jnp.zeros((self.channels,), dtype),
        }

    def apply(
        self, params: Params, x: Float[Array, "*grid dim channels"]
    ) -> Float[Array, "*grid dim channels"]:
        """The normalized feature.

        Args:
            params: What `init` returns.
            x: A feature; statistics are apart for every point of a grid.

        Returns:
            A feature like `x`.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        weights = {name: array.astype(x.dtype) for name, array in params.items()}

        def at(x: Array) -> Array:
            return self._norm(x, **weights, epsilon=self.epsilon)

        if x.ndim == 2:
            return at(x)
        return jax.vmap(at)(x.reshape(-1, *x.shape[-2:])).reshape(x.shape)

    @property
    @abc.abstractmethod
    def _norm(self) -> Callable[..., Array]:
        """The function of one feature."""


@register_spec
@dataclass(frozen=True)
class SeparableLayerNorm(_DegreesNorm):
    """`o3.separable_layer_norm` with weights: scalars apart from all other degrees.

    Args:
        rep: The degrees.
        channels: Number of channels.
        epsilon: Added to the variances, positive.

    Raises:
        ValueError: If a number is out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import nn, o3
        >>> layer = nn.SeparableLayerNorm(o3.Degrees(1), 2)
        >>> params = layer.init(key=jax.random.key(0))
        >>> x = jnp.array([[3.0, 1.0], [2.0, 2.0], [2.0, 2.0], [2.0, 2.0]])
        >>> layer.apply(params, x).round(3)[:, 1].tolist()
        [-1.0, 1.0, 1.0, 1.0]

    References:
        Liao, Wood, Das, Smidt, "EquiformerV2: improved equivariant transformer for
        scaling to higher-degree representations" (2024).
    """

    @property
    def _norm(self) -> Callable[..., Array]:
        return separable_layer_norm


@register_spec
@dataclass(frozen=True)
class MergedLayerNorm(_DegreesNorm):
    """`o3.merged_layer_norm` with weights: one variance for all degrees.

    Args:
        rep: The degrees.
        channels: Number of channels.
        epsilon: Added to the variance, positive.

    Raises:
        ValueError: If a number is out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import nn, o3
        >>> layer = nn.MergedLayerNorm(o3.Degrees(1), 2)
        >>> params = layer.init(key=jax.random.key(0))
        >>> x = jnp.array([[3.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
        >>> layer.apply(params, x).round(3)[:, 0].tolist()
        [1.0, 1.0, 1.0, 1.0]

    References:
        Liao, Hoffman, Shen, Duval, Norwood, Smidt, "EquiformerV3: scaling efficient,
        expressive, and general SE(3)-equivariant graph attention transformers" (2026).
    """

    @property
    def _norm(self) -> Callable[..., Array]:
        return merged_layer_norm
