"""Features of steerable layers: dense arrays, or one array per irrep."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqjax._core._checks import check_condition, check_floating, check_size
from eqjax.reps import Irrep, Rep, decompose
from eqjax.reps._sum import Sum

# An array (*grid, dim, channels), or a dict of arrays (*grid, irrep.dim, multiplicity)
# by irrep. Not a union, since which one a layer returns depends on its fields: users
# would have to say it again for their type checkers. `check_feature` checks.
Feature: TypeAlias = Any
Params: TypeAlias = dict[str, Any]
# The type of `precision=`: what `jax.lax.dot_general` takes.
Precision: TypeAlias = jax.lax.PrecisionLike


def multiplicities(rep: Rep) -> dict[Irrep, int]:
    """How often each irrep occurs in a sum of irreps, sorted.

    Raises:
        ValueError: If it is no sum of irreps.
    """
    terms = rep.terms if isinstance(rep, Sum) else ((rep, 1),)
    found: dict[Irrep, int] = {}
    for term, count in terms:
        if not isinstance(term, Irrep):
            raise ValueError(
                f"{rep} must be a sum of irreps where no number of channels is given: "
                "the multiplicities are the channels then. Pass `channels`, or a sum "
                "of `reps.irrep`."
            )
        found[term] = found.get(term, 0) + count
    return {irrep: found[irrep] for irrep in sorted(found)}


def check_channels(name: str, rep: Rep, channels: int | None) -> None:
    """Checks a number of channels: positive, or None for a sum of irreps.

    Raises:
        ValueError: If it is neither.
    """
    if channels is None:
        multiplicities(rep)
    else:
        check_size(name, channels)


def check_feature(name: str, x: Any, rep: Rep, channels: int | None) -> None:
    """Checks that x is a feature of the representation, on any grid.

    Raises:
        ValueError: If a shape differs, or the arrays of irreps are not those of `rep`.
    """
    for part in jax.tree.leaves(x):
        check_floating(name, part)
    if channels is not None:
        want = (rep.dim, channels)
        came = getattr(x, "shape", type(x).__name__)
        check_condition(
            getattr(x, "shape", ())[-2:] == want,
            f"`{name}` must be an array of shape (*grid, {rep.dim}, {channels}), the "
            f"components of {rep} and channels, got {came}.",
        )
        return
    wanted = {irrep: (irrep.dim, count) for irrep, count in multiplicities(rep).items()}
    if isinstance(x, dict):
        shapes = {irrep: getattr(part, "shape", ()) for irrep, part in x.items()}
        fits = {irrep: shape[-2:] for irrep, shape in shapes.items()} == wanted
        grids = {shape[:-2] for shape in shapes.values()}
        if fits and len(grids) == 1:
            return
        came = f"{shapes}"
    else:
        came = f"{getattr(x, 'shape', type(x).__name__)}"
    raise ValueError(
        f"`{name}` must be a dict of arrays (*grid, dim, multiplicity) for the irreps "
        f"{wanted}, as `reps.split` makes it, got {came}."
    )


def default_dtype(dtype: Any) -> Any:
    """The given dtype, or JAX's default."""
    return jnp.result_type(float) if dtype is None else jnp.dtype(dtype)


def is_sum_of_irreps(rep: Rep) -> bool:
    """Whether components stand in irreps as they are, without a change of basis."""
    terms = rep.terms if isinstance(rep, Sum) else ((rep, 1),)
    return all(isinstance(term, Irrep) for term, _ in terms)


def unit_variance(num: int) -> float:
    """The deviation of weights that keep the variance of sums of `num` terms."""
    return max(num, 1) ** -0.5


def to_parts(rep: Rep, x: Array) -> dict[Irrep, Array]:
    """A dense feature (*grid, dim, channels) by irrep: (*grid, irrep.dim, m, channels).

    Multiplicity m is slow, channels are fast. A change of basis where needed.
    """
    decomposition = decompose(rep)
    grid, channels = x.shape[:-2], x.shape[-1]
    basis = jnp.asarray(decomposition.basis.T, x.dtype)
    y = jnp.einsum("ij,...jc->...ic", basis, x, precision="highest")
    parts, start = {}, 0
    for irrep, count in decomposition.terms:
        stop = start + count * irrep.dim
        part = y[..., start:stop, :].reshape(*grid, count, irrep.dim, channels)
        parts[irrep] = jnp.moveaxis(part, -3, -2)
        start = stop
    return parts


def from_parts(rep: Rep, parts: dict[Irrep, Array]) -> Array:
    """The inverse of `to_parts`."""
    decomposition = decompose(rep)
    rows = []
    for irrep, _ in decomposition.terms:
        part = jnp.moveaxis(parts[irrep], -2, -3)
        rows.append(part.reshape(*part.shape[:-3], -1, part.shape[-1]))
    y = jnp.concatenate(rows, axis=-2)
    basis = jnp.asarray(decomposition.basis, y.dtype)
    return jnp.einsum("ij,...jc->...ic", basis, y, precision="highest")
