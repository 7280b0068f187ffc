"""Where components stand in a feature, here and in other libraries."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_choice, check_condition, check_shape
from eqjax.groups import SO, O
from eqjax.o3._clebsch_gordan import check_table
from eqjax.o3._constants import Precision, constant_map, read_only
from eqjax.o3._degrees import Degrees
from eqjax.o3._wigner import of_matrix
from eqjax.reps import Irrep, irrep

Axes: TypeAlias = Literal["kept", "renamed"]
Layout: TypeAlias = Literal["ir_mul", "mul_ir"]

# The rotation (x, y, z) -> (y, z, x), from e3x's polar axis z to ours, y.
_RENAMING = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
_TERM = re.compile(r"(?:(\d+)x)?(\d+)([eo]?)")


def from_e3x(
    x: Float[Array, "parity size channels"],
    *,
    cartesian_order: bool = True,
    axes: Axes = "kept",
    precision: Precision = "highest",
) -> Float[Array, "dim channels"]:
    """A feature of e3x, in our order of components.

    The polar axis of e3x is z and ours is y, so that harmonics of the same degree span
    the same functions but are other ones: e3x has 3 z^2 - r^2 where we have
    3 y^2 - r^2. With `axes="kept"`, positions mean the same in both libraries, and each
    degree goes through a constant orthogonal matrix. With `axes="renamed"`, the
    position (x, y, z) of e3x is (y, z, x) here; then components are only permuted,
    which is exact to the last bit, but vectors and positions that do not go through
    this function must be renamed too. In formulas, with harmonics of either library,

        from_e3x(Y_e3x(r)) = Y(r)                               if axes are kept,
        from_e3x(Y_e3x(r)) = Y((r_y, r_z, r_x))                 if they are renamed,

    where the norms of harmonics agree ("racah" there is "norm" here).

    Args:
        x: One example of e3x, shape (1 or 2, (L + 1)^2, channels). Two parities, even
            and odd ones, become `Degrees(L, parity="both")`; one becomes
            `Degrees(L)`, natural parity. L is at most 12 where axes are kept.
        cartesian_order: What e3x was told: whether l = 1 is (x, y, z) in `x`, or
            (y, z, x).
        axes: Whether coordinates keep their names.
        precision: Of the matrix product, where axes are kept.

    Returns:
        The feature, shape (dim, channels).

    Raises:
        ValueError: If the shape is not one of e3x, or a degree is beyond the tables.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x = jnp.array([7.0, 1.0, 2.0, 3.0])[None, :, None]
        >>> o3.from_e3x(x).ravel().tolist()
        [7.0, 1.0, 2.0, 3.0]
        >>> o3.from_e3x(x, axes="renamed").ravel().tolist()
        [7.0, 2.0, 3.0, 1.0]

    References:
        Unke, Maennel, "E3x: E(3)-equivariant deep learning made easy" (2024).
    """
    check_shape("x", x, (None, None, None), remedy="Use `jax.vmap` for many examples.")
    parities, size, _ = x.shape
    check_condition(
        parities in (1, 2) and math.isqrt(size) ** 2 == size > 0,
        f"`x` must be of shape (1 or 2, (L + 1)^2, channels), got {x.shape}.",
    )
    max_degree = math.isqrt(size) - 1
    blocks = []
    for parity in range(parities):
        block = x[parity]
        if cartesian_order:
            block = jnp.take(block, _from_cartesian(max_degree), axis=0)
        blocks.append(_rename(block, max_degree, axes, precision, back=False))
    return jnp.concatenate(blocks)


def to_e3x(
    x: Float[Array, "dim channels"],
    *,
    cartesian_order: bool = True,
    axes: Axes = "kept",
    precision: Precision = "highest",
) -> Float[Array, "parity size channels"]:
    """The inverse of `from_e3x`: exact if axes are renamed, else to rounding.

    Args:
        x: A feature of `Degrees`, shape (dim, channels).
        cartesian_order: What e3x is told.
        axes: Whether coordinates keep their names.
        precision: Of the matrix product, where axes are kept.

    Returns:
        The feature of e3x: with two parities if `x` has dim = 2 (L + 1)^2, with one
        if it has (L + 1)^2.

    Raises:
        ValueError: If there are other numbers of components, or a degree is beyond
            the tables.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x = jnp.array([7.0, 1.0, 2.0, 3.0])[:, None]
        >>> o3.to_e3x(x, cartesian_order=False).ravel().tolist()
        [7.0, 2.0, 3.0, 1.0]
    """
    degrees = feature_degrees("x", x)
    max_degree, size = degrees.max_degree, (degrees.max_degree + 1) ** 2
    blocks = []
    for start in range(0, degrees.dim, size):
        block = x[start : start + size]
        block = _rename(block, max_degree, axes, precision, back=True)
        if cartesian_order:
            block = jnp.take(block, np.argsort(_from_cartesian(max_degree)), axis=0)
        blocks.append(block)
    return jnp.stack(blocks)


def from_cue(
    x: Float[Array, " size"], irreps: Any, *, layout: Layout = "ir_mul"
) -> dict[Irrep, Array]:
    """A feature of cuequivariance, split into irreps.

    Components of an irrep stand as here; only the order of axes and parts may differ.
    With the layout "ir_mul" and equal multiplicities of l = 0, .., L, the array of
    cuequivariance is `feature.reshape(-1)` of a feature of `Degrees`.

    Args:
        x: Its array of one example, shape (irreps.dim,); `jax.vmap` takes many.
        irreps: `cuequivariance.Irreps` of "O3" or "SO3", or their text.
        layout: Its layout: "ir_mul" has the multiplicity last, "mul_ir" first.

    Returns:
        Arrays (dim, multiplicity) by irrep, sorted; what stands in several places of
        `irreps` is joined in order.

    Raises:
        ValueError: If the text does not parse, the layout is unknown or the shape
            differs.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> parts = o3.from_cue(jnp.arange(8.0), "2x0e + 2x1o")
        >>> [(rep.name, part.shape) for rep, part in parts.items()]
        [('0e', (1, 2)), ('1o', (3, 2))]
        >>> feature = jnp.concatenate(list(parts.values()))
        >>> feature.shape == (o3.Degrees(1).dim, 2)
        True
    """
    check_choice("layout", layout, ("ir_mul", "mul_ir"))
    terms = _parse(irreps)
    size = sum(mul * rep.dim for mul, rep in terms)
    check_shape("x", x, (size,), remedy="Use `jax.vmap` for many examples.")
    found: dict[Irrep, list[Array]] = {}
    start = 0
    for mul, rep in terms:
        part = x[start : start + mul * rep.dim]
        shape = (rep.dim, mul) if layout == "ir_mul" else (mul, rep.dim)
        part = part.reshape(shape)
        found.setdefault(rep, []).append(part if layout == "ir_mul" else part.T)
        start += mul * rep.dim
    return {rep: jnp.concatenate(found[rep], axis=1) for rep in sorted(found)}


def to_cue(
    parts: Mapping[Irrep, Array], irreps: Any, *, layout: Layout = "ir_mul"
) -> Float[Array, " size"]:
    """The inverse of `from_cue`, exact to the last bit.

    Args:
        parts: Arrays (dim, multiplicity) by irreps of O(3) or SO(3).
        irreps: Their order in the result: `cuequivariance.Irreps`, or their text.
        layout: Layout of the result.

    Returns:
        The array of a feature of cuequivariance, shape (irreps.dim,).

    Raises:
        ValueError: If the text does not parse, the layout is unknown or the
            multiplicities of `irreps` are not those of `parts`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> x, degrees = jnp.arange(8.0).reshape(4, 2), o3.Degrees(1)
        >>> parts = {
        ...     rep: x[rows]
        ...     for rep, rows in zip(degrees.irreps, degrees.slices, strict=True)
        ... }
        >>> o3.to_cue(parts, "2x0e + 2x1o").tolist() == x.reshape(-1).tolist()
        True
    """
    check_choice("layout", layout, ("ir_mul", "mul_ir"))
    terms = _parse(irreps)
    want: dict[Irrep, int] = {}
    for mul, rep in terms:
        want[rep] = want.get(rep, 0) + mul
    shapes = {rep: (rep.dim, mul) for rep, mul in want.items()}
    came = {rep: np.shape(part) for rep, part in parts.items()}
    check_condition(
        came == shapes,
        f"`parts` must hold arrays of these shapes, as `irreps` says: {shapes}, got "
        f"{came}.",
    )
    start = dict.fromkeys(want, 0)
    rows = []
    for mul, rep in terms:
        part = parts[rep][:, start[rep] : start[rep] + mul]
        rows.append((part if layout == "ir_mul" else part.T).reshape(-1))
        start[rep] += mul
    return jnp.concatenate(rows)


def feature_degrees(name: str, x: Any) -> Degrees:
    """The degrees of a feature (dim, channels), found from dim.

    No number is both (L + 1)^2 and 2 (M + 1)^2. Where parities are not tracked, the
    blocks stand as with natural ones.
    """
    check_shape(name, x, (None, None), remedy="Use `jax.vmap` for many examples.")
    dim = x.shape[0]
    root, half = math.isqrt(dim), math.isqrt(dim // 2)
    if dim == root**2 > 0:
        return Degrees(root - 1)
    if dim == 2 * half**2 > 0:
        return Degrees(half - 1, parity="both")
    raise ValueError(
        f"`{name}` must have (L + 1)^2 components, or twice as many for both parities, "
        f"got {dim}, shape {x.shape}."
    )


def per_component(
    factors: Float[Array, "irreps *rest"], degrees: Degrees, *, start: int = 0
) -> Float[Array, "dim *rest"]:
    """What each irrep has, from the given one on, for each component of them."""
    index = _irrep_of_component(degrees)[degrees.slices[start].start :] - start
    return jnp.take(factors, index, axis=0, mode="clip", indices_are_sorted=True)


@functools.lru_cache(maxsize=256)
def _irrep_of_component(degrees: Degrees) -> np.ndarray:
    dims = [rep.dim for rep in degrees.irreps]
    return read_only(np.repeat(np.arange(len(dims), dtype=np.int32), dims))


def _from_cartesian(max_degree: int) -> np.ndarray:
    """Where each component stands in e3x: orders are l, -l, l - 1, .., -1, 0 there."""
    index = []
    for l in range(max_degree + 1):
        for m in range(-l, l + 1):
            index.append(l * l + (2 * (l - abs(m)) + (m < 0) if m else 2 * l))
    return np.array(index, np.int32)


def _rename(
    block: Array, max_degree: int, axes: Axes, precision: Precision, *, back: bool
) -> Array:
    """From the components about z to those about y, or back, if axes are kept."""
    check_choice("axes", axes, ("kept", "renamed"))
    if axes == "renamed":
        return block
    check_table("max_degree", max_degree)
    parts = []
    for l in range(max_degree + 1):
        d = of_matrix(l, _RENAMING)
        part = block[l * l : (l + 1) ** 2]
        parts.append(constant_map(d if back else d.T, part, precision=precision))
    return jnp.concatenate(parts)


def _parse(irreps: Any) -> list[tuple[int, Irrep]]:
    """Multiplicities and irreps of a text like "2x0e + 1o", or "2x0 + 1"."""
    found = [_TERM.fullmatch(term.strip()) for term in str(irreps).split("+")]
    matches = [match for match in found if match]
    parities = {match[3] != "" for match in matches}
    check_condition(
        len(matches) == len(found) and len(parities) == 1,
        "`irreps` must be like '8x0e + 4x1o' for O(3) or '8x0 + 4x1' for SO(3), got "
        f"{irreps!r}.",
    )
    terms = []
    for match in matches:
        mul, l = int(match[1] or 1), int(match[2])
        if match[3]:
            rep = irrep(O(3), (l, 1 if match[3] == "e" else -1))
        else:
            rep = irrep(SO(3), l)
        if mul:
            terms.append((mul, rep))
    check_condition(
        len(terms) > 0, f"`irreps` must hold at least one irrep, got {irreps!r}."
    )
    return terms
