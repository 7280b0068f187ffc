"""Comparison of two pytrees, leaf by leaf, with the place of the worst mismatch."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Mismatch(NamedTuple):
    """The worst disagreement of two pytrees.

    Attributes:
        where: Path of the leaf and index of the entry, e.g. "['pose'][0][2, 1]".
        error: Largest |got - want| of that leaf over its largest |want|.
        ratio: Largest |got - want| of that leaf over what was allowed; above 1 fails.
        text: Both values and the allowed difference.
    """

    where: str
    error: float
    ratio: float
    text: str


def is_real_floating(leaf: Any) -> bool:
    """True for real floating-point arrays and numbers."""
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def default_rtol(*trees: Any) -> float:
    """eps^(2/3) of the least precise floating-point leaf.

    A third of the digits is left to rounding, accumulated and amplified by
    cancellation; what breaks a symmetry is larger by orders of magnitude.
    """
    dtypes = [jnp.result_type(leaf) for leaf in jax.tree.leaves(trees)]
    precisions = [
        float(jnp.finfo(dtype).eps)
        for dtype in dtypes
        if jnp.issubdtype(dtype, jnp.inexact)
    ]
    return max(precisions, default=float(jnp.finfo(jnp.float64).eps)) ** (2 / 3)


def worst_mismatch(
    got: Any, want: Any, *, rtol: float, atol: float, dtypes: bool = False
) -> Mismatch:
    """Compares two pytrees; the allowed difference is per leaf, not per entry.

    Args:
        got: The tree under test.
        want: The tree it should equal.
        rtol: Allowed difference, relative to the largest entry of a leaf of `want`.
        atol: Allowed difference, added to the relative one.
        dtypes: Whether dtypes must agree too.

    Returns:
        The leaf that exceeds its allowance by the largest factor.

    Raises:
        AssertionError: If structures, shapes or (with `dtypes`) dtypes differ.
    """
    got_leaves, got_structure = jax.tree_util.tree_flatten_with_path(got)
    want_leaves, want_structure = jax.tree_util.tree_flatten_with_path(want)
    if got_structure != want_structure:
        raise AssertionError(
            f"the structures differ: {got_structure} instead of {want_structure}"
        )
    worst = Mismatch("", 0.0, 0.0, "no leaf")
    for (path, have), (_, should) in zip(got_leaves, want_leaves, strict=True):
        name = jax.tree_util.keystr(path)
        different_dtype = jnp.result_type(have) != jnp.result_type(should)
        if np.shape(have) != np.shape(should) or (dtypes and different_dtype):
            raise AssertionError(
                f"the leaf {name or 'itself'} is {_describe(have)} instead of "
                f"{_describe(should)}"
            )
        mismatch = _compare_leaves(name, have, should, rtol=rtol, atol=atol)
        if mismatch.ratio >= worst.ratio:
            worst = mismatch
    return worst


def _compare_leaves(
    name: str, got: Any, want: Any, *, rtol: float, atol: float
) -> Mismatch:
    exact = not jnp.issubdtype(jnp.result_type(want), jnp.inexact)
    have, should = _to_numpy(got), _to_numpy(want)
    if have.size == 0:
        return Mismatch(name, 0.0, 0.0, "empty")
    if exact:
        difference = np.asarray(have != should, np.float64)
        size, allowed = 1.0, 0.0
    else:
        with np.errstate(invalid="ignore"):
            # Equal infinities agree; NaN agrees with nothing.
            difference = np.where(have == should, 0.0, np.abs(have - should))
        difference = np.where(np.isnan(difference), np.inf, difference)
        size = float(np.max(np.abs(np.where(np.isfinite(should), should, 0.0))))
        allowed = atol + rtol * size
    index = np.unravel_index(np.argmax(difference), difference.shape)
    largest = float(difference[index])
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return Mismatch(
        where=f"{name}{place}",
        error=_ratio(largest, size),
        ratio=_ratio(largest, allowed),
        text=f"{have[index]!s} instead of {should[index]!s}, "
        f"allowed difference {allowed:.2e}",
    )


def _ratio(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole > 0 else float("inf")


def _to_numpy(leaf: Any) -> np.ndarray:
    """The leaf as float64, complex128, or as it is (keys: their bits)."""
    dtype = jnp.result_type(leaf)
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    elif jnp.issubdtype(dtype, jnp.complexfloating):
        return np.asarray(leaf, np.complex128)
    elif jnp.issubdtype(dtype, jnp.floating):
        return np.asarray(leaf, np.float64)
    return np.asarray(leaf)


def _describe(leaf: Any) -> str:
    return f"{jnp.result_type(leaf)}{list(np.shape(leaf))}"
