"""Embeddings of invariants into features."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_condition, check_positive, check_size
from eqjax._core._dense import Params, dense, init_dense_he
from eqjax._core._specs import register_spec


@register_spec
@dataclass(frozen=True)
class FourierEmbedding:
    """phi(b) = relu(W [sin, cos](2 pi C b) + w) with learned frequencies C.

    C starts as `scale` times a standard normal matrix, W with He's normal
    initialization.

    Args:
        num_features: Number of features, even.
        scale: Standard deviation of the initial frequencies, in cycles per unit of b.

    Raises:
        ValueError: If `num_features` is odd or `scale` is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields
        >>> embedding = fields.FourierEmbedding(16, scale=0.2)
        >>> params = embedding.init(3, key=jax.random.key(0))
        >>> embedding.apply(params, jnp.ones(3)).shape
        (16,)

    References:
        Tancik, Srinivasan, Mildenhall et al., "Fourier features let networks learn high
        frequency functions in low dimensional domains" (2020), equation 5.
    """

    num_features: int
    scale: float

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("num_features", self.num_features, minimum=2)
        check_condition(
            self.num_features % 2 == 0,
            f"`num_features` must be even, got {self.num_features}.",
        )
        check_positive("scale", self.scale)

    def init(
        self, num_in: int, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Params:
        """Frequencies (num_in, num_features / 2) and a dense layer."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        num = self.num_features
        key_frequencies, key_kernel = jax.random.split(key)
        frequencies = jax.random.normal(key_frequencies, (num_in, num // 2), dtype)
        return {
            "frequencies": self.scale * frequencies,
            **init_dense_he(num, num, dtype=dtype, key=key_kernel),
        }

    def apply(
        self, params: Params, b: Float[Array, "*batch num_in"]
    ) -> Float[Array, "*batch num_features"]:
        """The features of b."""
        # Phases need all their digits, whatever the precision of other products.
        turns = jnp.matmul(b, params["frequencies"], precision="highest")
        angle = 2 * jnp.pi * turns
        waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
        return jax.nn.relu(dense(params, waves))
