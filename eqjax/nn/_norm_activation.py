"""A function of the norms of features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import check_positive
from eqjax._core._specs import register_spec
from eqjax.nn._activations import activation, check_activation, norm_activation_scale
from eqjax.nn._features import (
    Feature,
    Params,
    check_channels,
    check_feature,
    default_dtype,
)
from eqjax.nn._layer import KeepsRep
from eqjax.nn._terms import check_orthogonal, terms_of
from eqjax.o3._norms import widen
from eqjax.reps import Rep


@register_spec
@dataclass(frozen=True)
class NormActivation(KeepsRep):
    """Scales every term, copy and channel by a function of its norm.

        y = x fn(n + b) / n,    n = sqrt(|x|^2 + epsilon^2),

    with one weight b for each copy and channel. It commutes with every orthogonal
    representation. Zero stays zero, and derivatives are finite there. Computed in
    float32 or wider.

    Args:
        rep: An orthogonal representation.
        channels: Number of channels; None if `rep` is a sum of irreps whose
            multiplicities are the channels.
        fn: Name of the function, see `Pointwise`.
        normalize: Whether to multiply by (E[fn(|z|)^2] / dim)^(-1/2), z ~ N(0, I), so
            that features of size one stay so.
        epsilon: Far below the size of features, which is one; positive.

    Raises:
        ValueError: If the function is unknown, or the representation not orthogonal.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> rep = reps.standard(groups.SO(3))
        >>> layer = nn.NormActivation(rep, 1, fn="square", normalize=False)
        >>> params = layer.init(key=jax.random.key(0))
        >>> layer.apply(params, jnp.array([[3.0], [0.0], [4.0]])).round(3).tolist()
        [[15.0], [0.0], [20.0]]

    References:
        Worrall, Garbin, Turmukhambetov, Brostow, "Harmonic networks: deep translation
        and rotation equivariance" (2017), section 4.1.
    """

    rep: Rep
    channels: int | None = None
    fn: str = field(default="silu", kw_only=True)
    normalize: bool = field(default=True, kw_only=True)
    epsilon: float = field(default=1e-4, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_channels("channels", self.rep, self.channels)
        check_activation("fn", self.fn)
        check_positive("epsilon", self.epsilon)
        check_orthogonal("NormActivation", self.rep, "`Gate` needs no norms.")

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """No bias.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: Not used: nothing is random.

        Returns:
            A dict with "bias": zeros of shape (copies, channels); by the name of each
            irrep (multiplicity,) for ragged features.
        """
        del key
        terms = terms_of(self.rep, self.channels)
        return {"bias": terms.full(0.0, default_dtype(dtype))}

    def apply(self, params: Params, x: Feature) -> Feature:
        """The scaled feature.

        Args:
            params: What `init` returns.
            x: A feature, shape (*grid, dim, channels), or a dict for ragged ones.

        Returns:
            A feature like `x`.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        terms = terms_of(self.rep, self.channels)
        biases = terms.unpack(params["bias"])
        parts = []
        for term, part, bias in zip(terms.terms, terms.split(x), biases, strict=True):
            scale = norm_activation_scale(self.fn, term.rep.dim)
            fn = activation(self.fn, scale=scale if self.normalize else 1.0)
            parts.append(scale_norms(part, bias, fn, self.epsilon))
        return terms.join(parts)


def scale_norms(x: Array, bias: Array, fn: Any, epsilon: float) -> Array:
    """x fn(n + bias) / n with norms n over the last axis but one.

    Args:
        x: Vectors, (*grid, copies, dim, channels).
        bias: Shape (copies, channels).
        fn: A function of numbers.
        epsilon: Added to the norms in squares.
    """
    wide = widen(x)
    norm = jnp.sqrt(jnp.sum(wide * wide, axis=-2, keepdims=True) + epsilon**2)
    shift = jnp.expand_dims(bias[:, None, :].astype(wide.dtype), range(x.ndim - 3))
    return (wide * (fn(norm + shift) / norm)).astype(x.dtype)
