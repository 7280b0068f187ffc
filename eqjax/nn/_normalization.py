"""What all normalizations share: blocks of numbers with one mean and one variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

from eqjax._core._checks import check_positive
from eqjax.nn._features import Feature, Params, check_channels, default_dtype
from eqjax.nn._terms import Terms, check_orthogonal, entries, terms_of
from eqjax.reps import Rep


def check_fields(layer: str, rep: Rep, channels: int | None, epsilon: float) -> None:
    """Checks the fields that all normalizations have.

    Raises:
        ValueError: If one is out of its range, or norms are not invariant.
    """
    check_channels("channels", rep, channels)
    check_positive("epsilon", epsilon)
    check_orthogonal(layer, rep, "Bound its features with `Gate` instead.")


def is_centered(terms: Terms) -> list[bool]:
    """Which terms have a mean: those whose components are only permuted.

    The mean over components is invariant there, and no other vector need be.
    """
    return [entries(term.rep) == "permuted" for term in terms.terms]


def init_affine(
    rep: Rep, channels: int | None, dtype: DTypeLike | None, *, shift: bool = True
) -> Params:
    """A scale 1 for every copy and channel, a shift 0 for those with a mean."""
    terms, dtype = terms_of(rep, channels), default_dtype(dtype)
    params = {"scale": terms.full(1.0, dtype)}
    centered = terms.only(is_centered(terms))
    if shift and centered.terms:
        params["shift"] = centered.full(0.0, dtype)
    return params


def affine(terms: Terms, params: Params, parts: Sequence[Array], like: Feature) -> Any:
    """The parts times the scale, plus the shift, as a feature of the first dtype."""
    shifts = iter(())
    if "shift" in params:
        shifts = iter(terms.only(is_centered(terms)).unpack(params["shift"]))
    dtype = jax.tree.leaves(like)[0].dtype
    found = []
    scales = terms.unpack(params["scale"])
    is_shifted = [mean and "shift" in params for mean in is_centered(terms)]
    for part, scale, shifted in zip(parts, scales, is_shifted, strict=True):
        y = part * beside(scale, part)
        if shifted:
            y = y + beside(next(shifts), part)
        found.append(y.astype(dtype))
    return terms.join(found)


def beside(numbers: Array, x: Array) -> Array:
    """Numbers (copies, channels) for a part (*grid, copies, dim, channels)."""
    return jnp.expand_dims(numbers[:, None, :].astype(x.dtype), range(x.ndim - 3))


def standardize(
    x: Array, axes: tuple[int, ...], *, centered: bool, epsilon: float
) -> Array:
    """(x - mean) (var + epsilon)^(-1/2), or without the mean, over some axes."""
    if centered:
        x = x - jnp.mean(x, axis=axes, keepdims=True)
    variance = jnp.mean(x * x, axis=axes, keepdims=True)
    return x * jax.lax.rsqrt(variance + epsilon)
