"""Embeddings of invariants into features."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_condition, check_positive, check_size
from eqjax._core._dense import Params, dense, init_dense, init_dense_he
from eqjax._core._specs import register_spec


@runtime_checkable
class Embedding(Protocol):
    """Features phi(b) of invariants b; a linear map follows them."""

    def num_out(self, num_in: int) -> int:
        """Number of features of invariants of size `num_in`."""
        ...

    def init(
        self, num_in: int, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Params:
        """Parameters as a nested dict."""
        ...

    def apply(
        self,
        params: Params,
        b: Float[Array, "*batch num_in"],
        *,
        precision: jax.lax.PrecisionLike = None,
    ) -> Float[Array, "*batch num_out"]:
        """The features of b; `precision` is that of dense layers."""
        ...


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
        _check_waves(self.num_features, self.scale)

    def num_out(self, num_in: int) -> int:
        """`num_features`."""
        return self.num_features

    def init(
        self, num_in: int, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Params:
        """Frequencies (num_in, num_features / 2) and a dense layer."""
        num = self.num_features
        key_frequencies, key_kernel = jax.random.split(key)
        return {
            "frequencies": _frequencies(
                num_in, num, self.scale, dtype, key_frequencies
            ),
            **init_dense_he(num, num, dtype=dtype, key=key_kernel),
        }

    def apply(
        self,
        params: Params,
        b: Float[Array, "*batch num_in"],
        *,
        precision: jax.lax.PrecisionLike = None,
    ) -> Float[Array, "*batch num_features"]:
        """The features of b."""
        angle = 2 * jnp.pi * _phases(params, b)
        waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
        return jax.nn.relu(dense(params, waves, precision=precision))


@register_spec
@dataclass(frozen=True)
class SineEmbedding:
    """phi(b) = sin([b, t, t + pi/2]) with t = pi C (b + 1), learned frequencies C.

    C starts as `scale` times a standard normal matrix. There is no dense layer, so it
    costs a quarter of a `FourierEmbedding`, and its largest frequencies pass unchanged.

    Args:
        num_features: Number of sines and cosines, even; the invariants themselves are
            features besides.
        scale: Standard deviation of the initial frequencies, in half cycles per unit
            of b.

    Raises:
        ValueError: If `num_features` is odd or `scale` is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields
        >>> embedding = fields.SineEmbedding(16, scale=3.0)
        >>> params = embedding.init(2, key=jax.random.key(0))
        >>> embedding.apply(params, jnp.ones(2)).shape
        (18,)

    References:
        Knigge, Wessels et al., enf-min-jax (2024), class `PosEmb`.
    """

    num_features: int
    scale: float

    def __post_init__(self) -> None:
        """Checks the fields."""
        _check_waves(self.num_features, self.scale)

    def num_out(self, num_in: int) -> int:
        """`num_features` and the invariants themselves."""
        return self.num_features + num_in

    def init(
        self, num_in: int, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Params:
        """Frequencies (num_in, num_features / 2)."""
        num = self.num_features
        return {"frequencies": _frequencies(num_in, num, self.scale, dtype, key)}

    def apply(
        self,
        params: Params,
        b: Float[Array, "*batch num_in"],
        *,
        precision: jax.lax.PrecisionLike = None,
    ) -> Float[Array, "*batch num_out"]:
        """The features of b; no product depends on `precision`."""
        t = jnp.pi * _phases(params, b + 1)
        return jnp.concatenate([jnp.sin(b), jnp.sin(t), jnp.cos(t)], axis=-1)


@register_spec
@dataclass(frozen=True)
class MlpEmbedding:
    """phi(b) = gelu(W b + w): one dense layer, for signals without high frequencies.

    Args:
        num_features: Number of features.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields
        >>> embedding = fields.MlpEmbedding(16)
        >>> params = embedding.init(2, key=jax.random.key(0))
        >>> embedding.apply(params, jnp.ones(2)).shape
        (16,)
    """

    num_features: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("num_features", self.num_features)

    def num_out(self, num_in: int) -> int:
        """`num_features`."""
        return self.num_features

    def init(
        self, num_in: int, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Params:
        """A dense layer."""
        return init_dense(num_in, self.num_features, dtype=dtype, key=key)

    def apply(
        self,
        params: Params,
        b: Float[Array, "*batch num_in"],
        *,
        precision: jax.lax.PrecisionLike = None,
    ) -> Float[Array, "*batch num_features"]:
        """The features of b."""
        return jax.nn.gelu(dense(params, b, precision=precision))


@register_spec
@dataclass(frozen=True)
class PolynomialEmbedding:
    """phi(b) = gelu(W m(b) + w), m all monomials of b of degrees 1 to `degree`.

    Args:
        num_features: Number of features.
        degree: Largest degree, at least 1. (The references count products, one less.)

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields
        >>> embedding = fields.PolynomialEmbedding(16, degree=3)
        >>> params = embedding.init(2, key=jax.random.key(0))
        >>> params["kernel"].shape  # b1, b2; b1 b1, b1 b2, b2 b2; four cubes
        (9, 16)

    References:
        Bekkers, Vadgama, Hesselink et al., "Fast, expressive SE(n) equivariant networks
        through weight-sharing in position-orientation space" (2024), section 4.
    """

    num_features: int
    degree: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("num_features", self.num_features)
        check_size("degree", self.degree)

    def num_out(self, num_in: int) -> int:
        """`num_features`."""
        return self.num_features

    def init(
        self, num_in: int, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Params:
        """A dense layer on the monomials."""
        num = math.comb(num_in + self.degree, num_in) - 1
        return init_dense(num, self.num_features, dtype=dtype, key=key)

    def apply(
        self,
        params: Params,
        b: Float[Array, "*batch num_in"],
        *,
        precision: jax.lax.PrecisionLike = None,
    ) -> Float[Array, "*batch num_features"]:
        """The features of b."""
        axes = range(b.shape[-1])
        monomials: dict[tuple[int, ...], Array] = {(i,): b[..., i] for i in axes}
        for degree in range(2, self.degree + 1):
            for factors in itertools.combinations_with_replacement(axes, degree):
                rest = monomials[factors[:-1]]
                monomials[factors] = rest * b[..., factors[-1]]
        m = jnp.stack(list(monomials.values()), axis=-1)
        return jax.nn.gelu(dense(params, m, precision=precision))


def _check_waves(num_features: int, scale: float) -> None:
    """Refuses odd numbers of sines and cosines, and scales that are not positive."""
    check_size("num_features", num_features, minimum=2)
    check_condition(
        num_features % 2 == 0, f"`num_features` must be even, got {num_features}."
    )
    check_positive("scale", scale)


def _frequencies(
    num_in: int, num_features: int, scale: float, dtype: DTypeLike | None, key: Array
) -> Array:
    """`scale` times a standard normal matrix, one column per sine and cosine."""
    dtype = jnp.result_type(float) if dtype is None else dtype
    return scale * jax.random.normal(key, (num_in, num_features // 2), dtype)


def _phases(params: Params, b: Array) -> Array:
    """C b with all digits, whatever the precision of other products."""
    return jnp.matmul(b, params["frequencies"], precision="highest")
