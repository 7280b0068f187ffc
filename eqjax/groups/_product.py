"""Direct products of groups."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Inexact, Int, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.groups import _finite as finite
from eqjax.groups import _matrix_group as matrices
from eqjax.groups._finite import FiniteTables
from eqjax.groups._group import Element, Generators, Group
from eqjax.groups._has_log import has_log


@register_spec
@dataclass(frozen=True, order=True)
class Product:
    """The direct product of groups; an element is the tuple of one element of each.

    Everything goes factor by factor. Coordinates of the Lie algebras and the vectors
    that `act` moves are concatenated; the defining matrix is block diagonal, and
    complex as soon as one block is. Finite factors take the precision of the others.

    Args:
        groups: The factors, at least one.

    Raises:
        ValueError: If `groups` is empty, no tuple, or holds something else.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> G = groups.Product((groups.SO(2), groups.Translation(1)))
        >>> a = (jnp.asarray(jnp.pi / 2), jnp.array([5.0]))
        >>> G.act(a, jnp.array([1.0, 0.0, 2.0])).round(5).tolist()
        [0.0, 1.0, 7.0]
    """

    groups: tuple[Any, ...]

    def __post_init__(self) -> None:
        """Checks the factors."""
        good = isinstance(self.groups, tuple) and len(self.groups) > 0
        check_condition(
            good and all(isinstance(group, Group) for group in self.groups),
            f"`groups` must be a tuple of at least one group, got {self.groups!r}.",
        )

    @property
    def dim(self) -> int:
        """Sum of the factors' dimensions."""
        return sum(group.dim for group in self.groups)

    @property
    def order(self) -> int | None:
        """Product of the factors' orders; None if a factor is infinite."""
        orders = [group.order for group in self.groups]
        return None if None in orders else math.prod(orders)

    @property
    def degree(self) -> int:
        """Sum of the factors' degrees."""
        return sum(group.degree for group in self.groups)

    @property
    def sample_measure(self) -> str:
        """ "haar" if all factors sample theirs, else "declared"."""
        haar = all(group.sample_measure == "haar" for group in self.groups)
        return "haar" if haar else "declared"

    @property
    def tables(self) -> FiniteTables:
        """Multiplication table, inverses and matrices of a product of finite groups.

        Elements are ordered as the tuples of their indices, the last index fastest.

        Raises:
            AttributeError: If a factor has no tables.
            ValueError: If the product is too large for tables.
        """
        if any(not hasattr(group, "tables") for group in self.groups):
            raise AttributeError(f"{self} has no tables: a factor has none.")
        return _tables(self)

    def index(self, a: Any) -> Int[Array, "*batch"]:
        """The place of a in `tables`."""
        total = jnp.zeros((), jnp.int32)
        for group, x in self._pairs(a):
            total = total * np.int32(len(group.tables.product)) + group.index(x)
        return total

    def element(self, index: Int[Array, "*batch"]) -> Element:
        """The element at a place in `tables`."""
        parts, index = [], finite.as_index(index)
        for group in reversed(self.groups):
            index, rest = jnp.divmod(index, np.int32(len(group.tables.product)))
            parts.append(group.element(rest))
        return tuple(reversed(parts))

    def identity(self, *, dtype: DTypeLike | None = None) -> Element:
        """The factors' neutral elements."""
        return tuple(group.identity(dtype=dtype) for group in self.groups)

    def compose(self, a: Any, b: Any) -> Element:
        """The factors' products."""
        return tuple(
            group.compose(x, y)
            for group, x, y in zip(
                self.groups, self._check(a), self._check(b, name="b"), strict=True
            )
        )

    def inverse(self, a: Any) -> Element:
        """The factors' inverses."""
        return tuple(group.inverse(x) for group, x in self._pairs(a))

    def exp(self, v: Float[Array, "*batch dim"]) -> Element:
        """The factors' exponentials."""
        return tuple(
            group.exp(part)
            for group, part in zip(
                self.groups, _split(v, [g.dim for g in self.groups]), strict=True
            )
        )

    def log(self, a: Any) -> Float[Array, "*batch dim"]:
        """The factors' logarithms."""
        parts = [(group.log(x), 1) for group, x in self._pairs(a)]
        return jnp.concatenate(self._same_dtype(match_batch(*parts)), axis=-1)

    def has_log(self, a: Any) -> Bool[Array, "*batch"]:
        """Whether every factor has a logarithm."""
        found = [(has_log(group, x), 0) for group, x in self._pairs(a)]
        return functools.reduce(jnp.logical_and, match_batch(*found))

    def adjoint(self, a: Any) -> Float[Array, "*batch dim dim"]:
        """Block diagonal."""
        return self._join([group.adjoint(x) for group, x in self._pairs(a)])

    def hat(self, v: Float[Array, "*batch dim"]) -> Inexact[Array, "*batch n n"]:
        """Block diagonal."""
        parts = _split(v, [group.dim for group in self.groups])
        return self._join([g.hat(x) for g, x in zip(self.groups, parts, strict=True)])

    def vee(self, m: Inexact[Array, "*batch n n"]) -> Float[Array, "*batch dim"]:
        """The coordinates of the blocks."""
        blocks = self._blocks(m)
        return jnp.concatenate(
            [g.vee(block) for g, block in zip(self.groups, blocks, strict=True)], -1
        )

    def matrix(self, a: Any) -> Inexact[Array, "*batch n n"]:
        """Block diagonal."""
        return self._join([group.matrix(x) for group, x in self._pairs(a)])

    def from_matrix(self, m: Inexact[Array, "*batch n n"]) -> Element:
        """The elements of the blocks."""
        blocks = self._blocks(m)
        return tuple(
            g.from_matrix(block) for g, block in zip(self.groups, blocks, strict=True)
        )

    def act(
        self, a: Any, x: Inexact[Array, "*batch degree"]
    ) -> Inexact[Array, "*out degree"]:
        """Every factor moves its part of x; batch axes of a and x broadcast."""
        parts = _split(x, [group.degree for group in self.groups])
        moved = [
            (_act(group, y, part), 1)
            for (group, y), part in zip(self._pairs(a), parts, strict=True)
        ]
        return jnp.concatenate(self._same_dtype(match_batch(*moved)), axis=-1)

    def sample(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Element:
        """One independent element of each."""
        keys = jax.random.split(key, len(self.groups))
        return tuple(
            group.sample(dtype=dtype, key=subkey)
            for group, subkey in zip(self.groups, keys, strict=True)
        )

    def quadrature(self, degree: int) -> tuple[Any, np.ndarray]:
        """The product of the factors' rules.

        Raises:
            ValueError: If a factor has none.
        """
        rules = [group.quadrature(degree) for group in self.groups]
        sizes = [len(weights) for _, weights in rules]
        grid = [index.ravel() for index in np.indices(sizes)]
        nodes = tuple(
            jax.tree.map(lambda leaf: leaf[index], elements)  # noqa: B023
            for (elements, _), index in zip(rules, grid, strict=True)
        )
        weights = functools.reduce(np.multiply.outer, [rule[1] for rule in rules])
        return nodes, weights.ravel()

    @property
    def generators(self) -> Generators:
        """The factors' generators, with the identity in the other blocks."""
        return _generators(self)

    def _pairs(self, a: Any) -> list[tuple[Any, Any]]:
        """The factors with their elements."""
        return list(zip(self.groups, self._check(a), strict=True))

    def _check(self, a: Any, *, name: str = "a") -> Sequence[Any]:
        """Checks that an element is a tuple of the right length."""
        check_condition(
            isinstance(a, tuple) and len(a) == len(self.groups),
            f"`{name}` must be a tuple of {len(self.groups)} elements, one of each "
            f"factor of {self}.",
        )
        return a

    def _same_dtype(self, arrays: Sequence[Array]) -> list[Array]:
        """One array of each factor, complex if one is; the finite ones follow."""
        own = [
            array.dtype
            for group, array in zip(self.groups, arrays, strict=True)
            if group.order is None or self.order is not None
        ]
        return [array.astype(np.result_type(*own)) for array in arrays]

    def _join(self, blocks: Sequence[Array]) -> Array:
        """The block diagonal matrix, one block of each factor."""
        blocks = self._same_dtype(match_batch(*[(block, 2) for block in blocks]))
        size = sum(block.shape[-1] for block in blocks)
        rows, start = [], 0
        for block in blocks:
            n = block.shape[-1]
            around = (start, size - start - n)
            rows.append(jnp.pad(block, [(0, 0)] * (block.ndim - 1) + [around]))
            start += n
        return jnp.concatenate(rows, axis=-2)

    def _blocks(self, m: Array) -> list[Array]:
        """The diagonal blocks, in the dtypes of the factors."""
        sizes = [group.generators.lie.shape[-1] for group in self.groups]
        matrices.check_element(self, m, sum(sizes), name="m")
        ends = list(itertools.accumulate(sizes, initial=0))
        blocks = [m[..., i:j, i:j] for i, j in itertools.pairwise(ends)]
        return [
            block if np.iscomplexobj(group.generators.lie) else block.real
            for group, block in zip(self.groups, blocks, strict=True)
        ]


@functools.lru_cache(maxsize=16)
def _tables(product: Product) -> FiniteTables:
    """Tables of the factors, combined."""
    factors = [group.tables for group in product.groups]
    shape = tuple(len(tables.inverse) for tables in factors)
    finite.check_order(str(product), math.prod(shape))
    places = np.indices(shape).reshape(len(shape), -1)
    table = np.zeros((places.shape[1],) * 2, np.int32)
    inverse = np.zeros(places.shape[1], np.int32)
    size = sum(tables.matrices.shape[-1] for tables in factors)
    blocks = np.zeros((places.shape[1], size, size))
    generators: list[int] = []
    start, stride = 0, math.prod(shape)
    for tables, place, order in zip(factors, places, shape, strict=True):
        table = table * order + tables.product[np.ix_(place, place)]
        inverse = inverse * order + tables.inverse[place]
        stop = start + tables.matrices.shape[-1]
        blocks[:, start:stop, start:stop] = tables.matrices[place]
        stride //= order
        generators += [stride * index for index in tables.generators]
        start = stop
    table, inverse = table.astype(np.int32), inverse.astype(np.int32)
    return finite.frozen(FiniteTables(table, inverse, blocks, tuple(generators)))


@functools.lru_cache
def _generators(product: Product) -> Generators:
    """Block diagonal generators."""
    parts = [group.generators for group in product.groups]
    sizes = [part.lie.shape[-1] for part in parts]
    dtype = np.result_type(*[part.lie for part in parts])
    size = sum(sizes)
    lie, discrete, start = [], [], 0
    for (own_lie, own_discrete), n in zip(parts, sizes, strict=True):
        stop = start + n
        block = np.zeros((len(own_lie), size, size), dtype)
        block[:, start:stop, start:stop] = own_lie
        lie.append(block)
        block = np.tile(np.eye(size, dtype=dtype), (len(own_discrete), 1, 1))
        block[:, start:stop, start:stop] = own_discrete
        discrete.append(block)
        start = stop
    return Generators(
        matrices.read_only(np.concatenate(lie)),
        matrices.read_only(np.concatenate(discrete)),
    )


def _split(v: Array, sizes: Sequence[int]) -> list[Array]:
    """Parts of the last axis."""
    check_condition(
        v.shape[-1] == sum(sizes),
        f"The last axis must have size {sum(sizes)}, that of all factors together, got "
        f"shape {tuple(v.shape)}.",
    )
    ends = list(itertools.accumulate(sizes, initial=0))
    return [v[..., i:j] for i, j in itertools.pairwise(ends)]


def _act(group: Any, a: Any, x: Array) -> Array:
    """The action of one factor, also of a real group on complex vectors."""
    if not jnp.iscomplexobj(x) or np.iscomplexobj(group.generators.lie):
        return group.act(a, x)
    # Real affine maps x -> h x + t move the imaginary part by h.
    moved = group.act(a, x.imag) - group.act(a, jnp.zeros_like(x.imag))
    return jax.lax.complex(group.act(a, x.real), moved)
