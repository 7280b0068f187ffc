"""Bases of equivariant linear maps."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_shape
from eqjax.reps._decompose import Parts, parts_of
from eqjax.reps._irrep import Irrep, commutant_of, has_family
from eqjax.reps._kernel import project, stacked
from eqjax.reps._rep import Rep, check_same_group
from eqjax.reps._standard import Trivial
from eqjax.reps._tensor import Tensor

# Up to as many unknowns the constraints are solved as one dense system.
_DENSE = 64
_MAX_UNKNOWNS = 4096
_RESIDUAL, _SAFETY = 1e-8, 1e3


@dataclass(frozen=True, eq=False)
class EquivariantMaps:
    """A basis of the linear maps with rho_out(g) X = X rho_in(g); see `hom`.

    Attributes:
        rep_in: Representation of the arguments.
        rep_out: Representation of the results.
        num_maps: Number of basis maps; it may be zero.
        method: "orbits" of pairs of indices, "schur" between irreps, "null space" of
            the constraints, or "projection" of random maps.
        residual: Largest entry of rho_out X - X rho_in over the group's generators,
            relative to that of X, for X a random combination of all maps.
        gap: How far the maps are from the others: the smallest positive singular value
            of the constraints ("null space"), the smallest singular value of the
            projected maps ("projection"), infinite where nothing was cut off.
    """

    rep_in: Rep
    rep_out: Rep
    num_maps: int
    method: str
    residual: float
    gap: float
    _form: Any

    @functools.cached_property
    def basis(self) -> np.ndarray:
        """Orthonormal maps (NumPy, float64), (num_maps, rep_out.dim, rep_in.dim)."""
        eye = np.eye(self.num_maps)
        rows = [self._form.expand(row, np) for row in eye]
        shape = (self.num_maps, self.rep_out.dim, self.rep_in.dim)
        return np.array(rows).reshape(shape)

    def expand(self, weights: Float[Array, " maps"]) -> Float[Array, "out in"]:
        """The map sum_k weights_k basis_k, without building the basis.

        Args:
            weights: Shape (num_maps,).

        Returns:
            The matrix, shape (rep_out.dim, rep_in.dim), of the dtype of `weights`.

        Raises:
            ValueError: If `weights` has another shape.
        """
        check_shape("weights", weights, (self.num_maps,))
        matrix = self._form.expand(weights, jnp)
        return matrix.reshape(self.rep_out.dim, self.rep_in.dim)

    def apply(
        self, weights: Float[Array, " maps"], x: Float[Array, "in *channels"]
    ) -> Float[Array, "out *channels"]:
        """The map applied to vectors along the first axis.

        Args:
            weights: Shape (num_maps,).
            x: Vectors, shape (rep_in.dim, *channels), of the dtype of `weights`.

        Returns:
            Vectors, shape (rep_out.dim, *channels).

        Raises:
            ValueError: If a shape differs.
        """
        check_shape("weights", weights, (self.num_maps,))
        check_condition(
            getattr(x, "shape", ())[:1] == (self.rep_in.dim,),
            f"`x` must be an array of shape ({self.rep_in.dim}, *channels), got "
            f"{getattr(x, 'shape', type(x).__name__)}.",
        )
        if isinstance(self._form, _Blocks) and self._form.is_sorted:
            return self._form.apply_sorted(weights, x)
        return jnp.tensordot(self.expand(weights), x, axes=1, precision="highest")

    def apply_irreps(
        self, weights: Float[Array, " maps"], x: Mapping[Irrep, Array]
    ) -> dict[Irrep, Array]:
        """The map between features that are split into irreps; see `split`.

        This is the way to compose layers: features stay split, and an irrep of
        dimension d and multiplicity m costs one product with an (m_out, m_in) matrix.

        Args:
            weights: Shape (num_maps,).
            x: Arrays (irrep.dim, multiplicity, *channels) by irrep. Irreps that are
                missing count as zero.

        Returns:
            The same for the irreps of `rep_out`.

        Raises:
            ValueError: If a shape differs, or the maps were not found between irreps.
        """
        check_shape("weights", weights, (self.num_maps,))
        if not (isinstance(self._form, _Blocks) and self._form.is_direct):
            raise ValueError(
                f"The maps from {self.rep_in} to {self.rep_out} were found by "
                f"{self.method!r}, so that they have no blocks between irreps. Use "
                "`apply`, or pass sums of irreps to `reps.hom`."
            )
        return self._form.apply_irreps(weights, x)


def hom(rep_in: Rep, rep_out: Rep) -> EquivariantMaps:
    """All linear maps X with rho_out(g) X = X rho_in(g) for every g.

    The methods, in this order:

    1. Between permutation representations: one map per orbit of pairs of indices.
    2. Where the group's irreps are listed: both sides are split into irreps, and by
       Schur's lemma a map is a matrix of multiplicities per irrep (times 2 or 4 for
       complex or quaternionic type). Factors of tensor products change sides so that
       both have about the same dimension.
    3. Else the kernel of the constraints of all generators: by an eigendecomposition
       for up to 64 unknowns, by conjugate gradients from random maps beyond.

    Args:
        rep_in: Representation of the arguments.
        rep_out: Representation of the results.

    Returns:
        The maps, orthonormal. There may be none: `num_maps` is 0 then.

    Raises:
        ValueError: If the groups differ, or the third method would have more than 4,096
            unknowns.
        RuntimeError: If the maps found do not satisfy the constraints to 1e-8, or
            cannot be told from others.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, reps
        >>> vector = reps.standard(groups.SO(3))
        >>> maps = reps.hom(vector, vector**2)  # the cross product with a vector
        >>> maps.num_maps
        1
        >>> maps.expand(jnp.ones(1)).shape
        (9, 3)

    References:
        Finzi, Welling, Wilson, "A practical method for constructing equivariant
        multilayer perceptrons for arbitrary matrix groups" (2021), theorem 1 (the
        constraints of the generators suffice).
        Maron, Ben-Hamu, Shamir, Lipman, "Invariant and equivariant graph networks"
        (2019), section 3 (orbits).
    """
    check_same_group(rep_in, rep_out)
    return _hom(rep_in, rep_out)


@functools.lru_cache(maxsize=256)
def _hom(a: Rep, b: Rep) -> EquivariantMaps:
    images_a, images_b = a._permutations(), b._permutations()
    if images_a is not None and images_b is not None:
        form: Any = _orbits(images_a, images_b)
        return EquivariantMaps(a, b, form.num_maps, "orbits", 0.0, math.inf, form)
    if has_family(a.group):
        try:
            rows, columns, is_direct = _cut(a, b)
            form = _Blocks(parts_of(columns), parts_of(rows), is_direct)
            return _checked(a, b, columns, rows, "schur", form, math.inf)
        except RuntimeError:
            # Not completely reducible, or not with orthogonal complements: only the
            # constraints themselves are left.
            pass
    return _checked(a, b, a, b, *_kernel(a, b))


def _checked(
    a: Rep, b: Rep, columns: Rep, rows: Rep, method: str, form: Any, gap: float
) -> EquivariantMaps:
    """Measures the residual, as maps from `columns` to `rows`."""
    residual = 0.0
    if form.num_maps:
        numbers = np.random.Generator(np.random.PCG64(4))
        x = form.expand(numbers.standard_normal(form.num_maps), np)
        error = stacked(rows.generators) @ x - x @ stacked(columns.generators)
        residual = float(np.max(np.abs(error), initial=0.0) / np.max(np.abs(x)))
    if residual > _RESIDUAL or gap < _SAFETY * residual:
        raise RuntimeError(
            f"The equivariant maps from {a} to {b} could not be found safely: residual "
            f"{residual:.1e}, gap {gap:.1e}. Check with `testing.assert_homomorphism` "
            "that both are representations."
        )
    return EquivariantMaps(a, b, form.num_maps, method, residual, gap, form)


# Orbits ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Orbits:
    """Indicators of the orbits, divided by the roots of their sizes."""

    index: np.ndarray
    sizes: np.ndarray

    @property
    def num_maps(self) -> int:
        return len(self.sizes)

    def expand(self, weights: Any, xp: Any) -> Any:
        scale = xp.asarray(1 / np.sqrt(self.sizes), weights.dtype)
        return (weights * scale)[self.index]


def _orbits(images_a: np.ndarray, images_b: np.ndarray) -> _Orbits:
    """The orbits of pairs of indices, numbered by their first pair."""
    size_a, size_b = images_a.shape[1], images_b.shape[1]
    total = size_a * size_b
    moves = images_b[:, :, None] * size_a + images_a[:, None, :]
    moves = moves.reshape(len(moves), total)
    first = np.arange(total)
    while True:
        last = first
        for move in moves:
            low = np.minimum(first, first[move])
            first = low.copy()
            first[move] = np.minimum(low[move], low)
        first = first[first]
        if np.array_equal(first, last):
            break
    number = np.cumsum(first == np.arange(total)) - 1
    index = number[first]
    index = index.reshape(size_b, size_a).astype(np.int32)
    return _Orbits(index, np.bincount(index.ravel()))


# Schur -------------------------------------------------------------------------------


class _Blocks:
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


def _cut(a: Rep, b: Rep) -> tuple[Rep, Rep, bool]:
    """Rows, columns: the tensor b x a* cut into two of about the same dimension.

    The entries of a map stand in the same order before and after. The last value says
    whether these are b and a themselves.
    """
    factors_b = b.factors if isinstance(b, Tensor) else (b,)
    factors_a = a.factors if isinstance(a, Tensor) else (a,)
    total = [*factors_b, *(rep.dual for rep in factors_a)]
    direct = len(factors_b)
    if max(a.dim, b.dim) <= 4 * min(a.dim, b.dim):
        # Maps between the irreps of a and b themselves are worth a little more work.
        return b, a, True
    sizes = np.cumprod([rep.dim for rep in total])
    widest = np.maximum(sizes, sizes[-1] // sizes)[:-1]
    cut = 1 + int(np.argmin(widest))
    if cut == direct:
        return b, a, True
    return _product(total[:cut]), _product([rep.dual for rep in total[cut:]]), False


def _product(factors: list[Rep]) -> Rep:
    factors = [rep for rep in factors if not isinstance(rep, Trivial)] or factors[:1]
    return Tensor(tuple(factors)) if len(factors) > 1 else factors[0]


# Kernels -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Dense:
    """The maps themselves, (num_maps, rows, columns)."""

    maps: np.ndarray

    @property
    def num_maps(self) -> int:
        return len(self.maps)

    def expand(self, weights: Any, xp: Any) -> Any:
        maps = xp.asarray(self.maps, weights.dtype)
        if xp is np:
            return np.tensordot(weights, maps, 1)
        return jnp.tensordot(weights, maps, axes=1, precision="highest")


def _kernel(a: Rep, b: Rep) -> tuple[str, _Dense, float]:
    """The kernel of the constraints of all generators."""
    unknowns = a.dim * b.dim
    check_condition(
        unknowns <= _MAX_UNKNOWNS,
        f"The maps from {a} to {b} have {unknowns} unknown entries, which is more than "
        f"the {_MAX_UNKNOWNS} that are solved for at once. Write the representations "
        "as sums or tensor products of smaller ones whose irreps are listed, or solve "
        "for the summands one at a time.",
    )
    left, right = stacked(b.generators), stacked(a.generators)
    if unknowns <= _DENSE:
        return _null_space(left, right)
    numbers = np.random.Generator(np.random.PCG64(5))
    count = 8
    while True:
        draws = numbers.standard_normal((min(count, unknowns), b.dim, a.dim))
        maps = project(right, left, project(right, left, draws))
        _, sizes, rows = np.linalg.svd(maps.reshape(len(maps), -1), full_matrices=False)
        rank = int(np.sum(sizes > 1e-6 * math.sqrt(unknowns)))
        if rank < len(draws) or rank == unknowns:
            break
        count *= 2
    rows = rows[:rank].reshape(rank, b.dim, a.dim)
    gap = float(sizes[rank - 1]) if rank else math.inf
    return "projection", _Dense(rows), gap


def _null_space(left: np.ndarray, right: np.ndarray) -> tuple[str, _Dense, float]:
    """By an eigendecomposition of the sum of squares of the constraints."""
    rows, columns = left.shape[1], right.shape[1]
    constraint = np.einsum("kij,ab->kiajb", left, np.eye(columns))
    constraint = constraint - np.einsum("ij,kba->kiajb", np.eye(rows), right)
    flat = constraint.reshape(-1, rows * columns)
    values, vectors = np.linalg.eigh(flat.T @ flat)
    size = max(1.0, float(values[-1]))
    # Rounding leaves squares of singular values of about 1e-15 behind.
    rank = int(np.sum(values <= 1e-11 * size))
    gap = float(np.sqrt(values[rank])) if rank < len(values) else math.inf
    maps = vectors[:, :rank].T.reshape(rank, rows, columns)
    return "null space", _Dense(maps), gap
