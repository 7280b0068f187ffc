"""Products of two features."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import check_choice, check_same_dtype
from eqjax._core._dense import split_named
from eqjax._core._specs import register_spec
from eqjax.nn._features import (
    Feature,
    Params,
    Precision,
    check_feature,
    default_dtype,
)
from eqjax.nn._linear import (
    channels_of_irreps,
    check_linear,
    join_feature,
    split_feature,
)
from eqjax.o3._polynomial import ZERO, Term, Terms, polynomial
from eqjax.reps import Irrep, clebsch_gordan
from eqjax.reps._decompose import _coupled

# Beyond, a product with the whole table is faster; and compiling takes time too.
_MAX_TERMS = 64


@register_spec
@dataclass(frozen=True)
class Bilinear:
    """Products of two features of one representation, by Clebsch-Gordan coefficients.

    For every path from irreps a, b to an irrep c of the result, with coefficients C of
    sum of squares c.dim (`reps.clebsch_gordan`),

        y_c[k, w] = P_c^(-1/2) sum_paths W[w] sum_ij C[k, i, j] u_a[i, w] v_b[j, w]

    if `mixing` is "depthwise": channel w of the result is made of channel w of each
    factor, counted modulo their number where irreps have fewer than the result; and

        y_c[k, w] = P_c^(-1/2) sum_paths,p,q W[p, q, w] sum_ij C[k, i, j] u_a[i, p]
                    v_b[j, q]

    if it is "full". P_c is the number of terms. Weights start as standard normal
    numbers: products of independent features of unit variance have unit variance.

    See `Linear` for the layouts of features; all copies of an irrep count as channels
    here, the copy being slow. Of a feature with itself, "depthwise" leaves
    antisymmetric products zero: put a `Linear` in front of one factor.

    Args:
        rep_in: Representation of both factors.
        rep_out: Representation of the result.
        channels_in: Number of channels of the factors, or None.
        channels_out: Number of channels of the result, or None.
        mixing: "depthwise" or "full".
        precision: Of products with weights, where `mixing` is "full".

    Raises:
        ValueError: If the groups differ, a number of channels does not fit, or there is
            no such `mixing`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> vector = reps.irrep(groups.SO(3), 1)
        >>> cross = nn.Bilinear(vector, vector, 1, 1)
        >>> u, v = jnp.eye(3)[0, :, None], jnp.eye(3)[1, :, None]
        >>> y = cross.apply({"1": {"1 x 1": jnp.ones((1, 1))}}, u, v)
        >>> (y / y[2]).round(5).ravel().tolist()
        [0.0, 0.0, 1.0]
    """

    rep_in: Any
    rep_out: Any
    channels_in: int | None = None
    channels_out: int | None = None
    mixing: str = field(default="depthwise", kw_only=True)
    precision: Precision = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_linear(self)
        check_choice("mixing", self.mixing, ("depthwise", "full"))

    @property
    def group(self) -> Any:
        """The group of both representations."""
        return self.rep_in.group

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Random weights {c: {"a x b": array}}, by names of irreps.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: A random key.

        Returns:
            Arrays (copies of c in a x b, channels of c), or (copies, channels of a, of
            b, of c) if `mixing` is "full".

        Raises:
            ValueError: If no product is in `rep_out`.
        """
        dtype = default_dtype(dtype)
        fan_in = channels_of_irreps(self.rep_in, self.channels_in)
        fan_out = channels_of_irreps(self.rep_out, self.channels_out)
        shapes: dict[tuple[str, str], tuple[int, ...]] = {}
        for path in self._paths:
            sizes = (fan_in[path.a], fan_in[path.b]) if self.mixing == "full" else ()
            shape = (len(path.table), *sizes, fan_out[path.c])
            shapes[path.c.name, path.name] = shape
        if not shapes:
            raise ValueError(
                f"No product of two features of {self.rep_in} is in {self.rep_out}. "
                "Add an irrep of their tensor product to `rep_out`."
            )
        keys = split_named(key, [f"{c}: {name}" for c, name in shapes])
        params: Params = {}
        for (c, name), shape in shapes.items():
            weights = jax.random.normal(keys[f"{c}: {name}"], shape, dtype)
            params.setdefault(c, {})[name] = weights
        return params

    def apply(self, params: Params, x: Feature, y: Feature) -> Feature:
        """The products of two features, at every point of their grid.

        Args:
            params: As `init` makes them.
            x: A feature of `rep_in`, of the dtype of the parameters.
            y: Another one.

        Returns:
            A feature of `rep_out`; irreps that no product reaches are zero.

        Raises:
            ValueError: If shapes or dtypes do not fit.
        """
        for name, value in (("x", x), ("y", y)):
            check_feature(name, value, self.rep_in, self.channels_in)
            for array in jax.tree.leaves(value):
                check_same_dtype(name, array, jax.tree.leaves(params)[0])
        left = split_feature(self.rep_in, self.channels_in, x)
        right = split_feature(self.rep_in, self.channels_in, y)
        like = next(iter(left.values()))
        paths: dict[Irrep, list[_Path]] = {}
        for path in self._paths:
            paths.setdefault(path.c, []).append(path)
        multiply = _full if self.mixing == "full" else _depthwise
        result = {}
        sizes = channels_of_irreps(self.rep_out, self.channels_out)
        for irrep, size in sizes.items():
            if irrep in paths:
                weights = params[irrep.name]
                result[irrep] = multiply(
                    tuple(paths[irrep]), weights, left, right, self.precision
                )
            else:
                shape = (*like.shape[:-2], irrep.dim, size)
                result[irrep] = jnp.zeros(shape, like.dtype)
        return join_feature(self.rep_out, self.channels_out, result)

    @property
    def _paths(self) -> tuple[_Path, ...]:
        a = channels_of_irreps(self.rep_in, self.channels_in)
        c = channels_of_irreps(self.rep_out, self.channels_out)
        return _find_paths(tuple(a), tuple(c))


class _Path(NamedTuple):
    """Irreps a x b -> c with coefficients (copies, c.dim, a.dim, b.dim)."""

    a: Irrep
    b: Irrep
    c: Irrep
    table: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.a.name} x {self.b.name}"

    @property
    def is_sparse(self) -> bool:
        """Whether its terms are cheaper one by one than as a product of matrices."""
        return int(np.count_nonzero(np.abs(self.table) > ZERO)) <= _MAX_TERMS


@functools.lru_cache(maxsize=256)
def _find_paths(irreps: tuple[Irrep, ...], results: tuple[Irrep, ...]) -> Any:
    """In the order of results, then of the factors."""
    found = []
    for c in results:
        for a in irreps:
            for b in irreps:
                # The whole product is split once, for all c.
                if any(c == irrep for irrep, _ in _coupled(a, b)):
                    found.append(_Path(a, b, c, clebsch_gordan(a, b, c)))
    return tuple(found)


def _depthwise(
    paths: tuple[_Path, ...], weights: Params, left: Any, right: Any, _: Precision
) -> Array:
    """Channel by channel, (*grid, c.dim, channels of c)."""
    size = next(iter(weights.values())).shape[-1]
    scale = sum(len(path.table) for path in paths) ** -0.5
    totals = []
    sparse = tuple(path for path in paths if path.is_sparse)
    if sparse:
        plan = _plan(sparse)
        u, v = (
            jnp.concatenate([_first(part[irrep], size) for irrep in irreps], axis=-2)
            for part, irreps in ((left, plan.left), (right, plan.right))
        )
        w = jnp.concatenate([weights[path.name] for path in sparse])
        w = jnp.expand_dims(w, tuple(range(1, u.ndim - 1)))
        u, v = jnp.moveaxis(u, -2, 0), jnp.moveaxis(v, -2, 0)
        totals.append(jnp.moveaxis(polynomial(plan.terms, u, v, w), 0, -2))
    for path in (path for path in paths if not path.is_sparse):
        u, v = _first(left[path.a], size), _first(right[path.b], size)
        w = weights[path.name]
        totals.append(jnp.sum(w[:, None] * _couple(path, u, v), axis=-3))
    return scale * functools.reduce(jnp.add, totals)


def _full(
    paths: tuple[_Path, ...],
    weights: Params,
    left: Any,
    right: Any,
    precision: Precision,
) -> Array:
    """All pairs of channels, (*grid, c.dim, channels of c)."""
    pairs, mixing = [], []
    for path in paths:
        u, v, w = left[path.a], right[path.b], weights[path.name]
        p, q = u.shape[-1], v.shape[-1]
        products = _couple(path, jnp.repeat(u, q, axis=-1), jnp.tile(v, p))
        products = jnp.moveaxis(products, -3, -2)  # (*grid, c.dim, copies, p q)
        pairs.append(products.reshape(*products.shape[:-2], -1))
        mixing.append(w.reshape(-1, w.shape[-1]))
    mixed = jnp.concatenate(mixing)
    scale = len(mixed) ** -0.5
    products = jnp.concatenate(pairs, axis=-1)
    return scale * jnp.matmul(products, mixed, precision=precision)


def _couple(path: _Path, u: Array, v: Array) -> Array:
    """sum_ij C[n, k, i, j] u[i] v[j], (*grid, copies, c.dim, channels)."""
    table = jnp.asarray(path.table, u.dtype)
    copies, rows = table.shape[:2]
    if copies * rows < path.b.dim:
        half = jnp.einsum("nkij,...jw->...nkiw", table, v, precision="highest")
        return jnp.sum(half * u[..., None, None, :, :], axis=-2)
    outer = u[..., :, None, :] * v[..., None, :, :]
    return jnp.einsum("nkij,...ijw->...nkw", table, outer, precision="highest")


def _first(x: Array, size: int) -> Array:
    """The first channels, from the start again where there are too few."""
    channels = x.shape[-1]
    if channels < size:
        x = jnp.tile(x, -(-size // channels))
    return x[..., :size]


class _Plan(NamedTuple):
    """Several products into one irrep as a polynomial of components and weights.

    Attributes:
        left: Irreps of the first factor whose components are stacked.
        right: Those of the second factor.
        terms: The polynomial in the two stacks and the weights.
    """

    left: tuple[Irrep, ...]
    right: tuple[Irrep, ...]
    terms: Terms


def _plan(paths: tuple[_Path, ...]) -> _Plan:
    return _plan_of(tuple((path.a, path.b, path.c) for path in paths))


@functools.lru_cache(maxsize=1024)
def _plan_of(paths: tuple[tuple[Irrep, Irrep, Irrep], ...]) -> _Plan:
    left = tuple(dict.fromkeys(a for a, _, _ in paths))
    right = tuple(dict.fromkeys(b for _, b, _ in paths))
    starts_left, starts_right = _starts(left), _starts(right)
    entries, num = [], 0
    for a, b, c in paths:
        table = clebsch_gordan(a, b, c)
        for n, k, i, j in np.argwhere(np.abs(table) > ZERO).tolist():
            places = ((starts_left[a] + i,), (starts_right[b] + j,), (num + n,))
            entries.append(Term(k, places, table[n, k, i, j]))
        num += len(table)
    dims = [paths[0][2].dim, *(sum(irrep.dim for irrep in f) for f in (left, right))]
    return _Plan(left, right, Terms(entries, [*dims, num]))


def _starts(irreps: tuple[Irrep, ...]) -> dict[Irrep, int]:
    stops = np.cumsum([irrep.dim for irrep in irreps]).tolist()
    return dict(zip(irreps, [0, *stops], strict=False))
