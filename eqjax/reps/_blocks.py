"""Maps between sums of irreps: one matrix of multiplicities per irrep (Schur)."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition
from eqjax.reps._decompose import Parts
from eqjax.reps._irrep import Irrep, commutant_of


class Blocks:
    """Per irrep a matrix of multiplicities, times what commutes with the irrep."""

    def __init__(self, parts_in: Parts, parts_out: Parts, is_direct: bool) -> None:
        self.parts_in, self.parts_out, self.is_direct = parts_in, parts_out, is_direct
        common = sorted(irrep for irrep in parts_in if irrep in parts_out)
        self.terms = []
        self.num_maps = 0
        for irrep in common:
            shape = (len(parts_out[irrep]), len(parts_in[irrep]))
            kind = irrep.commutant_dim
            self.terms.append((irrep, self.num_maps, (kind, *shape)))
            self.num_maps += kind * math.prod(shape)

    @functools.cached_property
    def runs_in(self) -> list[tuple[Irrep, int, int]] | None:
        return _runs(self.parts_in)

    @functools.cached_property
    def runs_out(self) -> list[tuple[Irrep, int, int]] | None:
        return _runs(self.parts_out)

    @property
    def is_sorted(self) -> bool:
        """Whether both representations are sums of irreps as they stand."""
        return self.is_direct and None not in (self.runs_in, self.runs_out)

    def blocks(self, weights: Any) -> list[tuple[Irrep, Any]]:
        """Per irrep the weights (kind, m_out, m_in) of maps of Frobenius norm 1."""
        return [
            (
                irrep,
                weights[start : start + math.prod(shape)].reshape(shape)
                * (1 / math.sqrt(irrep.dim)),
            )
            for irrep, start, shape in self.terms
        ]

    def expand(self, weights: Any, xp: Any) -> Any:
        rows = next(iter(self.parts_out.values())).shape[1]
        columns = next(iter(self.parts_in.values())).shape[1]
        total = xp.zeros((rows, columns), weights.dtype)
        for irrep, block in self.blocks(weights):
            left = self.parts_out[irrep]
            right = self.parts_in[irrep]
            kind = len(block)
            moved = left[None]
            if kind > 1:
                moved = left[None] @ commutant_of(irrep)[:, None]
            size = len(left) * irrep.dim
            moved = moved.transpose(0, 2, 1, 3).reshape(kind, rows, size)
            right = right.transpose(0, 2, 1).reshape(len(right), irrep.dim * columns)
            left_j, right_j = (
                xp.asarray(moved, weights.dtype),
                xp.asarray(right, weights.dtype),
            )
            options = {} if xp is np else {"precision": "highest"}
            for k in range(kind):
                mixed = xp.matmul(block[k], right_j, **options).reshape(size, columns)
                total = total + xp.matmul(left_j[k], mixed, **options)
        return total

    def apply_irreps(
        self, weights: Array, x: Mapping[Irrep, Array]
    ) -> dict[Irrep, Array]:
        known = {irrep: len(parts) for irrep, parts in self.parts_in.items()}
        for irrep, array in x.items():
            check_condition(
                irrep in known
                and getattr(array, "shape", ())[:2] == (irrep.dim, known[irrep]),
                f"`x` must hold arrays of shape (dim, multiplicity, *channels) for the "
                f"irreps {known}, got {getattr(array, 'shape', type(array).__name__)} "
                f"for {irrep}.",
            )
        check_condition(len(x) > 0, "`x` must hold the array of at least one irrep.")
        like = next(iter(x.values()))
        blocks = dict(self.blocks(weights))
        result = {}
        for irrep in sorted(self.parts_out):
            shape = (irrep.dim, len(self.parts_out[irrep]), *like.shape[2:])
            if irrep not in blocks or irrep not in x:
                result[irrep] = jnp.zeros(shape, like.dtype)
                continue
            result[irrep] = _mixed(irrep, blocks[irrep], x[irrep])
        return result

    def apply_sorted(self, weights: Array, x: Array) -> Array:
        """On sums of irreps as they stand, without any change of basis."""
        parts: dict[Irrep, list[Array]] = {}
        for irrep, start, count in self.runs_in or ():
            part = x[start : start + count * irrep.dim]
            part = part.reshape(count, irrep.dim, *x.shape[1:])
            parts.setdefault(irrep, []).append(jnp.moveaxis(part, 0, 1))
        mixed = {
            irrep: _mixed(irrep, block, jnp.concatenate(parts[irrep], axis=1))
            for irrep, block in self.blocks(weights)
        }
        results, used = [], dict.fromkeys(self.parts_out, 0)
        for irrep, _, count in self.runs_out or ():
            size = count * irrep.dim
            if irrep in mixed:
                first = used[irrep]
                part = jnp.moveaxis(mixed[irrep][:, first : first + count], 1, 0)
                results.append(part.reshape(size, *x.shape[1:]))
                used[irrep] += count
            else:
                results.append(jnp.zeros((size, *x.shape[1:]), x.dtype))
        return jnp.concatenate(results)


def _mixed(irrep: Irrep, block: Array, x: Array) -> Array:
    """Copies mixed by (kind, m_out, m_in), for x of shape (dim, m_in, *channels)."""
    if len(block) > 1:
        commutant = jnp.asarray(commutant_of(irrep), x.dtype)
        moved = jnp.einsum("kij,jm...->ikm...", commutant, x, precision="highest")
        return jnp.einsum("knm,ikm...->in...", block, moved, precision="highest")
    return jnp.einsum("nm,im...->in...", block[0], x, precision="highest")


def _runs(parts: Parts) -> list[tuple[Irrep, int, int]] | None:
    """Irrep, start and number of neighboring copies.

    None, unless every isometry is a part of the identity matrix, in order.
    """
    starts: list[tuple[int, Irrep]] = []
    for irrep, isometries in parts.items():
        places = np.argmax(isometries[:, :, 0] != 0, axis=1).tolist()
        if places != sorted(places):
            return None
        for start, isometry in zip(places, isometries, strict=True):
            block = isometry[start : start + irrep.dim]
            if np.count_nonzero(isometry) != irrep.dim or not np.array_equal(
                block, np.eye(irrep.dim)
            ):
                return None
            starts.append((start, irrep))
    runs: list[tuple[Irrep, int, int]] = []
    for start, irrep in sorted(starts, key=lambda pair: pair[0]):
        if runs and runs[-1][0] == irrep:
            runs[-1] = (irrep, runs[-1][1], runs[-1][2] + 1)
        else:
            runs.append((irrep, start, 1))
    return runs
