"""Tensor products of features: all couplings, three ways to mix channels."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_shape,
    check_size,
)
from eqjax._core._specs import register_spec
from eqjax.o3._clebsch_gordan import check_table, clebsch_gordan
from eqjax.o3._constants import Precision, apply_constant
from eqjax.o3._degrees import Degrees
from eqjax.o3._paths import PathSet, degrees_of, find_paths, path_terms
from eqjax.o3._polynomial import Term, Terms, polynomial
from eqjax.reps import Rep

Params: TypeAlias = dict[str, Any]
Mode: TypeAlias = Literal["uuu", "uvu", "uvw"]
Method: TypeAlias = Literal["auto", "sparse", "block"]

# Degrees up to 4, all couplings. Beyond, compiling the unrolled terms takes longer than
# about 10 seconds.
_MAX_SPARSE = 2100


@register_spec
@dataclass(frozen=True, order=True)
class TensorProduct:
    """The equivariant bilinear maps of two features, with a weight for every path.

    A path couples degrees l1 x l2 -> l3. For one example,

    - "uuu": out[l3, u] = sum_paths w[path, u] C(x[l1, u], y[l2, u]);
    - "uvu": y has one channel, such as the spherical harmonics of an edge, and the
      paths stay apart: out[path, u] = w[path, u] C(x[l1, u], y[l2]);
    - "uvw": the same, then mixed over paths and channels:
      out[l3, v] = sum_(path, u) m[path, u, v] w[path, u] C(x[l1, u], y[l2]).

    All methods compute the same maps with the same parameters:

    - "sparse": the non-zero coefficients, unrolled, as one primitive that is closed
      under differentiation of any order; the components of many examples at once;
    - "block": small dense products, in plain `jax.numpy`;
    - "auto": sparse up to degree 4, block above, where compiling takes too long.

    Args:
        degrees_x: Of the first factor.
        degrees_y: Of the second factor.
        degrees_out: Of the result; all three of the same kind of parity, or the factors
            "natural" and the result "both".
        channels: Of the first factor; for "uuu" of all.
        channels_out: Of the result, for "uvw" only; default: `channels`.
        mode: How channels are combined.
        paths: "all" couplings, those with "even" l1 + l2 + l3, or chosen (l1, l2, l3).
        method: How it is computed.

    Raises:
        ValueError: If the degrees belong to different groups or go beyond the tables, a
            chosen path does not exist, or there is none.

    Example:
        >>> import jax
        >>> from eqjax import o3
        >>> degrees = o3.Degrees(2)
        >>> product = o3.TensorProduct(degrees, degrees, degrees, channels=4)
        >>> params = product.init(key=jax.random.key(0))
        >>> x = jax.random.normal(jax.random.key(1), (9, 4))
        >>> product.apply(params, x, x).shape
        (9, 4)
    """

    degrees_x: Degrees
    degrees_y: Degrees
    degrees_out: Degrees
    channels: int = 1
    channels_out: int | None = None
    mode: Mode = "uuu"
    paths: PathSet = "all"
    method: Method = "auto"

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("mode", self.mode, ("uuu", "uvu", "uvw"))
        check_choice("method", self.method, ("auto", "sparse", "block"))
        if isinstance(self.paths, str):
            check_choice("paths", self.paths, ("all", "even"))
        check_size("channels", self.channels)
        if self.channels_out is not None:
            check_size("channels_out", self.channels_out)
            check_condition(
                self.mode == "uvw",
                f'`channels_out` belongs to the mode "uvw", got {self.channels_out} '
                f'for "{self.mode}", which keeps the channels of x.',
            )
        groups = {degrees.group for degrees in self._features}
        check_condition(
            len(groups) == 1,
            f"`degrees_x`, `degrees_y` and `degrees_out` must belong to one group, got "
            f'{self._features}. Parity "none" is SO(3), the others are O(3).',
        )
        for degrees in self._features:
            check_table("max_degree", degrees.max_degree)
        find_paths(*self._features, self.paths)

    @property
    def num_paths(self) -> int:
        """Number of couplings, and so of weights per channel."""
        return len(self._paths)

    @property
    def rep_out(self) -> Rep:
        """The representation of the result: one irrep for each path for "uvu"."""
        if self.mode != "uvu":
            return self.degrees_out
        irreps = [self.degrees_out.irreps[path.out] for path in self._paths]
        return functools.reduce(lambda a, b: a + b, irreps)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Weights for results of variance 1 from independent inputs of variance 1.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: A random key.

        Returns:
            For "uuu" and "uvu" `{"weights": (num_paths, channels)}`, uniform in
            +-sqrt(3 / n) where n results are summed. For "uvw" `{"mixing": {irrep:
            (n channels, channels_out)}}`, uniform in +-sqrt(3 / (n channels)).
        """
        dtype = jnp.result_type(float) if dtype is None else dtype
        counts = _counts(self)
        if self.mode == "uvw":
            keys = jax.random.split(key, len(counts))
            mixing = {}
            for part, (out, count) in zip(keys, sorted(counts.items()), strict=True):
                size = count * self.channels
                name = self.degrees_out.irreps[out].name
                mixing[name] = np.sqrt(3 / size) * jax.random.uniform(
                    part, (size, self._channels_out), dtype, -1, 1
                )
            return {"mixing": mixing}
        shape = (self.num_paths, self.channels)
        weights = jax.random.uniform(key, shape, dtype, -1, 1)
        sums = [1 if self.mode == "uvu" else counts[path.out] for path in self._paths]
        return {
            "weights": jnp.asarray(np.sqrt(3 / np.array(sums)), dtype)[:, None]
            * weights
        }

    def apply(
        self,
        params: Params,
        x: Float[Array, "dim_x channels"],
        y: Float[Array, "dim_y *channels"],
        *,
        weights: Float[Array, "paths channels"] | None = None,
        precision: Precision = "highest",
    ) -> Float[Array, "dim channels_out"]:
        """The product of one example; `jax.vmap` makes a batch of it.

        For `vmap`, `in_axes=1, out_axes=1` keeps components first, which is fastest;
        arrays (batch, dim, channels) are read and written without being moved.

        Args:
            params: As `init` makes them; those that `weights` replaces may be missing.
            x: The first factor, shape (degrees_x.dim, channels).
            y: The second factor, shape (degrees_y.dim, channels) for "uuu",
                (degrees_y.dim,) otherwise.
            weights: Weights of this example, e.g. functions of an edge's length, shape
                (num_paths, channels). Default: those of `params`; 1 for "uvw".
            precision: Of matrix products.

        Returns:
            The product, shape (rep_out.dim, channels), for "uvw" (rep_out.dim,
            channels_out).

        Raises:
            ValueError: If a shape or dtype differs, or weights are missing.
        """
        check_shape("x", x, (self.degrees_x.dim, self.channels))
        if self.mode == "uuu":
            check_shape("y", y, (self.degrees_y.dim, self.channels))
        else:
            check_shape(
                "y", y, (self.degrees_y.dim,), remedy=f'"{self.mode}" has one channel.'
            )
            y = y[:, None]
        if weights is None and self.mode != "uvw":
            check_condition(
                "weights" in params,
                '`weights` must be given, or stand in `params["weights"]`.',
            )
            weights = params["weights"]
        if weights is not None:
            check_shape("weights", weights, (self.num_paths, self.channels))
        given = [x, y] if weights is None else [x, y, weights]
        dtypes = {str(array.dtype) for array in given}
        check_condition(
            len(dtypes) == 1,
            f"`x`, `y` and `weights` must have one dtype, got {sorted(dtypes)}. "
            "Convert with `astype`.",
        )
        if self._is_sparse:
            out = polynomial(_terms(self, weights is not None), *given)
        else:
            out = _block(self, x, y, weights, precision)
        return self._mix(params, out, precision) if self.mode == "uvw" else out

    def _mix(self, params: Params, paths: Array, precision: Precision) -> Array:
        """(sum over paths of 2 l3 + 1, channels) to (dim, channels_out)."""
        counts, start, parts = _counts(self), 0, []
        for out, irrep in enumerate(self.degrees_out.irreps):
            if out not in counts:
                parts.append(jnp.zeros((irrep.dim, self._channels_out), paths.dtype))
                continue
            matrix = params["mixing"][irrep.name]
            check_shape(
                f'params["mixing"]["{irrep.name}"]',
                matrix,
                (counts[out] * self.channels, self._channels_out),
            )
            stop = start + counts[out] * irrep.dim
            part = paths[start:stop].reshape(counts[out], irrep.dim, self.channels)
            matrix = matrix.reshape(counts[out], self.channels, self._channels_out)
            parts.append(
                jax.lax.dot_general(
                    part, matrix, (((0, 2), (0, 1)), ((), ())), precision=precision
                )
            )
            start = stop
        return jnp.concatenate(parts)

    @property
    def _features(self) -> tuple[Degrees, Degrees, Degrees]:
        return self.degrees_x, self.degrees_y, self.degrees_out

    @property
    def _paths(self) -> tuple[Any, ...]:
        return find_paths(*self._features, self.paths)

    @property
    def _channels_out(self) -> int:
        return self.channels if self.channels_out is None else self.channels_out

    @property
    def _is_sparse(self) -> bool:
        if self.method != "auto":
            return self.method == "sparse"
        return len(_terms(self, True).entries) <= _MAX_SPARSE


@functools.lru_cache(maxsize=256)
def _terms(product: TensorProduct, weighted: bool) -> Terms:
    separate = product.mode != "uuu"
    terms = path_terms(*product._features, product.paths, separate=separate)
    if weighted:
        return terms
    entries = [Term(o, m[:-1], c) for o, m, c in terms.entries]
    return Terms(entries, terms.dims[:-1])


def _counts(product: TensorProduct) -> dict[int, int]:
    """Number of paths into each irrep of the result that has one."""
    counts: dict[int, int] = {}
    for path in product._paths:
        counts[path.out] = counts.get(path.out, 0) + 1
    return counts


def _block(
    product: TensorProduct,
    x: Array,
    y: Array,
    weights: Array | None,
    precision: Precision,
) -> Array:
    """By dense products, for each pair of degrees ("uuu") or each degree of x."""
    # Each part is cut out once: the transpose of cutting adds a padded array.
    xs = [x[where] for where in product.degrees_x.slices]
    found: dict[int, Array] = {}
    if product.mode == "uuu":
        ys = [y[where] for where in product.degrees_y.slices]
        for (a, b), matrix, numbers in _pair_matrices(product):
            pairs = xs[a][:, None] * ys[b][None]
            rows = apply_constant(
                matrix, pairs.reshape(matrix.shape[1], -1), precision=precision
            )
            found |= _by_path(product, rows, numbers)
    else:
        for a, matrix, numbers in _single_matrices(product):
            size = xs[a].shape[0]
            small = apply_constant(matrix, y[:, 0], precision=precision)
            rows = jnp.matmul(small.reshape(-1, size), xs[a], precision=precision)
            found |= _by_path(product, rows, numbers)
    if weights is not None:
        found = {n: rows * weights[n] for n, rows in found.items()}
    if product.mode != "uuu":
        return jnp.concatenate([found[n] for n in range(product.num_paths)])
    totals: dict[int, Array] = {}
    for n, path in enumerate(product._paths):
        rows = found[n]
        totals[path.out] = totals[path.out] + rows if path.out in totals else rows
    return jnp.concatenate(
        [
            totals.get(out, jnp.zeros((irrep.dim, x.shape[1]), x.dtype))
            for out, irrep in enumerate(product.degrees_out.irreps)
        ]
    )


def _by_path(
    product: TensorProduct, rows: Array, numbers: tuple[int, ...]
) -> dict[int, Array]:
    """Cuts results into those of the paths with these numbers."""
    sizes = [product.degrees_out.irreps[product._paths[n].out].dim for n in numbers]
    parts = jnp.split(rows, np.cumsum(sizes)[:-1].tolist())
    return dict(zip(numbers, parts, strict=True))


@functools.lru_cache(maxsize=64)
def _pair_matrices(
    product: TensorProduct,
) -> list[tuple[tuple[int, int], np.ndarray, tuple[int, ...]]]:
    """For irreps (a, b): from products of components to the results of their paths."""
    found: dict[tuple[int, int], tuple[list[np.ndarray], list[int]]] = {}
    for n, path in enumerate(product._paths):
        table = clebsch_gordan(*degrees_of(product._features, path))
        tables, numbers = found.setdefault((path.x, path.y), ([], []))
        tables.append(table.reshape(-1, table.shape[2]).T)
        numbers.append(n)
    return [
        (pair, np.concatenate(tables), tuple(numbers))
        for pair, (tables, numbers) in found.items()
    ]


@functools.lru_cache(maxsize=64)
def _single_matrices(
    product: TensorProduct,
) -> list[tuple[int, np.ndarray, tuple[int, ...]]]:
    """For an irrep a of x: from y to the matrices of its paths on a, flattened."""
    found: dict[int, tuple[list[np.ndarray], list[int]]] = {}
    for n, path in enumerate(product._paths):
        table = clebsch_gordan(*degrees_of(product._features, path))
        rows = np.zeros((table.shape[2], table.shape[0], product.degrees_y.dim))
        rows[:, :, product.degrees_y.slices[path.y]] = table.transpose(2, 0, 1)
        tables, numbers = found.setdefault(path.x, ([], []))
        tables.append(rows.reshape(-1, product.degrees_y.dim))
        numbers.append(n)
    return [
        (a, np.concatenate(tables), tuple(numbers))
        for a, (tables, numbers) in found.items()
    ]
