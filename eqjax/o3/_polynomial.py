"""Sparse polynomial maps as one JAX primitive, closed under differentiation.

JAX differentiates `x[i] * y[j]` into padded additions, which makes the pull-back of an
unrolled product far slower than the product. But the derivative of a polynomial map is
a polynomial map, linear in the tangent, and the transpose of a map in one of its linear
arguments exchanges that argument and the result. So every derivative of any order is
the same primitive with other terms, a list that is derived before anything is traced.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from eqjax._core._primitives import bind, explicit_spec, result_type

# Measured on 2 cores: with more rows, or fewer terms in each, copying them costs more
# than the second core brings.
_MAX_STACKED = 32
_MIN_TERMS = 3
# Coefficients that are equal but for rounding shall be equal numbers.
_DECIMALS = 14
# Coefficients below are what rounding leaves of zero.
ZERO = 1e-10


class Term(NamedTuple):
    """coefficient * prod_q prod_(i in monomials[q]) a_q[i], a part of out[row]."""

    row: int
    monomials: tuple[tuple[int, ...], ...]
    coefficient: float


class Terms:
    """The terms of a polynomial map of arguments a_1, .., a_r. Hashable.

    Args:
        entries: The terms, in any order; monomials are sorted. Coefficients are of size
            one, and rounded to 14 decimals.
        dims: Number of components of the result and of each argument.
    """

    __slots__ = ("_hash", "dims", "entries")

    def __init__(self, entries: Sequence[Term], dims: Sequence[int]) -> None:
        """Sorts the terms, rounds coefficients, and computes the hash once."""
        self.entries = tuple(
            sorted(Term(r, m, round(float(c), _DECIMALS)) for r, m, c in entries)
        )
        self.dims = tuple(dims)
        self._hash = hash((self.entries, self.dims))

    def __hash__(self) -> int:
        """Of the terms."""
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Whether the maps have the same terms."""
        return isinstance(other, Terms) and (
            self is other or (self.entries, self.dims) == (other.entries, other.dims)
        )

    def __repr__(self) -> str:
        """A summary."""
        return f"Terms({len(self.entries)} terms, dims={self.dims})"


def polynomial(terms: Terms, *arguments: Array) -> Array:
    """out[o] = sum over the terms of row o, elementwise along all other axes.

    Args:
        terms: The terms.
        arguments: Arrays (dim_q, *rest_q) of one dtype and one rank, whose rests
            broadcast.

    Returns:
        The result, shape (out_dim, *rest).
    """
    return bind(
        _polynomial_p, *arguments, terms=terms, axes=(0,) * len(terms.dims), reduced=()
    )


# Derived terms -----------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def is_linear(terms: Terms, q: int) -> bool:
    """Whether every term has argument q exactly once."""
    return all(len(term.monomials[q]) == 1 for term in terms.entries)


@functools.lru_cache(maxsize=4096)
def derivative(terms: Terms, q: int) -> Terms:
    """The derivative in argument q; its tangent is a new argument before it."""
    totals: dict[tuple[int, tuple[tuple[int, ...], ...]], float] = {}
    for row, monomials, coefficient in terms.entries:
        mono = monomials[q]
        for i in dict.fromkeys(mono):
            left = list(mono)
            left.remove(i)
            key = (row, (*monomials[:q], (i,), tuple(left), *monomials[q + 1 :]))
            totals[key] = totals.get(key, 0.0) + coefficient * mono.count(i)
    dims = (*terms.dims[: q + 1], terms.dims[q + 1], *terms.dims[q + 1 :])
    return Terms([Term(*key, value) for key, value in totals.items()], dims)


@functools.lru_cache(maxsize=4096)
def transposed(terms: Terms, q: int) -> Terms:
    """The terms with the result and argument q, which is linear, exchanged."""
    entries = []
    for row, monomials, coefficient in terms.entries:
        ((i,), places) = monomials[q], list(monomials)
        places[q] = (row,)
        entries.append(Term(i, tuple(places), coefficient))
    dims = list(terms.dims)
    dims[0], dims[q + 1] = terms.dims[q + 1], terms.dims[0]
    return Terms(entries, dims)


# Evaluation --------------------------------------------------------------------------


def _evaluate(
    *arguments: Array, terms: Terms, axes: tuple[int, ...], reduced: tuple[int, ...]
) -> Array:
    """The terms, unrolled.

    Args:
        arguments: The arguments.
        terms: The terms.
        axes: Where the components stand, in the result and in each argument.
        reduced: Axes of the rest that are summed over and stay with size 1.
    """
    out = jnp.stack(_rows(*arguments, terms=terms, axes=axes), axis=axes[0])
    return _summed(out, axes[0], reduced).astype(arguments[0].dtype)


def _evaluate_on_cpu(
    *arguments: Array, terms: Terms, axes: tuple[int, ...], reduced: tuple[int, ...]
) -> Array:
    """The same as XLA on a CPU wants it.

    It copies what it stacks, but updates in place; an update runs on one core only, so
    that what is not much to copy, or is summed at once, is stacked there too. And it
    would compute a cheap result again in everything that uses it, which the barrier
    prevents.
    """
    # An update must have the sharding of what it goes into; a stack finds its own.
    sharded = any(any(explicit_spec(jax.typeof(a))) for a in arguments)
    num_rows = terms.dims[0]
    few = num_rows <= _MAX_STACKED and len(terms.entries) > _MIN_TERMS * num_rows
    if few or sharded or reduced:
        out = _evaluate(*arguments, terms=terms, axes=axes, reduced=reduced)
        return jax.lax.optimization_barrier(out)
    rows = _rows(*arguments, terms=terms, axes=axes)
    shape = list(rows[0].shape)
    shape.insert(axes[0], len(rows))
    out = jax.lax.empty(tuple(shape), rows[0].dtype)
    for o, row in enumerate(rows):
        start = [0] * len(shape)
        start[axes[0]] = o
        out = jax.lax.dynamic_update_slice(
            out, jnp.expand_dims(row, axes[0]), tuple(start)
        )
    return jax.lax.optimization_barrier(out.astype(arguments[0].dtype))


def _summed(out: Array, axis: int, reduced: tuple[int, ...]) -> Array:
    """The sum over axes of the rest, which stay with size 1."""
    if not reduced:
        return out
    where = [r + (r >= axis) for r in reduced]
    return jnp.sum(out, axis=where, keepdims=True)


def _rows(*arguments: Array, terms: Terms, axes: tuple[int, ...]) -> list[Array]:
    """The components of the result, in float32 at least."""
    dtype = arguments[0].dtype
    dtype = jnp.float32 if dtype.itemsize < 4 else dtype
    parts = [
        [
            jax.lax.index_in_dim(a, i, axis, keepdims=False).astype(dtype)
            for i in range(dim)
        ]
        for a, axis, dim in zip(arguments, axes[1:], terms.dims[1:], strict=True)
    ]
    rest = jnp.broadcast_shapes(*(part[0].shape for part in parts))
    products: dict[tuple[tuple[int, int], ...], Array] = {}

    def product(factors: tuple[tuple[int, int], ...]) -> Array:
        """The product of components (argument, index), each prefix of it once."""
        if factors not in products:
            (q, i), before = factors[-1], factors[:-1]
            products[factors] = product(before) * parts[q][i] if before else parts[q][i]
        return products[factors]

    # Terms that share the last argument are summed before they are multiplied by it,
    # and those among them that share a coefficient up to sign before that.
    groups: dict[int, dict[Any, dict[float, Any]]] = {}
    for row, monomials, coefficient in terms.entries:
        first, last = (
            tuple((q, i) for q in where for i in monomials[q])
            for where in (range(len(monomials) - 1), [len(monomials) - 1])
        )
        group = groups.setdefault(row, {}).setdefault(last, {})
        sums = group.setdefault(abs(coefficient), [])
        sums.append((first, coefficient > 0))

    rows = []
    for o in range(terms.dims[0]):
        total: Any = None
        for last, group in groups.get(o, {}).items():
            inner: Any = None
            for size, signed in group.items():
                piece = size * _signed_sum(signed, product)
                inner = piece if inner is None else inner + piece
            inner = inner * product(last) if last else inner
            total = inner if total is None else total + inner
        if total is None:
            total = jnp.zeros((), dtype)
        rows.append(jnp.broadcast_to(jnp.asarray(total, dtype), rest))
    return rows


def _signed_sum(signed: Any, product: Any) -> Any:
    """The sum of +- products; that of no factors is 1."""
    total: Any = None
    for factors, positive in signed:
        piece = product(factors) if factors else 1.0
        if total is None:
            total = piece if positive else -piece
        else:
            total = total + piece if positive else total - piece
    return total


# The primitive -----------------------------------------------------------------------

_polynomial_p = Primitive("polynomial")
_polynomial_p.def_impl(_evaluate)
mlir.register_lowering(_polynomial_p, mlir.lower_fun(_evaluate, multiple_results=False))
mlir.register_lowering(
    _polynomial_p,
    mlir.lower_fun(_evaluate_on_cpu, multiple_results=False),
    platform="cpu",
)


def _rest(shape: tuple[Any, ...], axis: int) -> tuple[Any, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def _abstract(
    *arguments: Any, terms: Terms, axes: tuple[int, ...], reduced: tuple[int, ...]
) -> Any:
    places = list(zip(arguments, axes[1:], strict=True))
    shape = list(jnp.broadcast_shapes(*(_rest(a.shape, axis) for a, axis in places)))
    specs = [_rest(explicit_spec(a), axis) for a, axis in places]
    named = zip(*specs, strict=True)
    spec = [next((n for n in names if n is not None), None) for names in named]
    for axis in reduced:
        shape[axis], spec[axis] = 1, None
    shape.insert(axes[0], terms.dims[0])
    spec.insert(axes[0], None)
    return result_type(arguments[0], shape, spec)


_polynomial_p.def_abstract_eval(_abstract)


def _jvp(
    primals: Any, tangents: Any, *, terms: Terms, axes: tuple[int, ...], reduced: Any
) -> tuple[Array, Any]:
    """The sum of the derivatives in the arguments that vary."""
    out = bind(_polynomial_p, *primals, terms=terms, axes=axes, reduced=reduced)
    total: Any = ad.Zero(jax.typeof(out).to_tangent_aval())
    for q, tangent in enumerate(tangents):
        if type(tangent) is ad.Zero:
            continue
        if is_linear(terms, q):
            derived, places = terms, axes
            moved = [*primals[:q], tangent, *primals[q + 1 :]]
        else:
            derived = derivative(terms, q)
            places = (*axes[: q + 1], axes[q + 1], *axes[q + 1 :])
            moved = [*primals[:q], tangent, *primals[q:]]
        change = bind(
            _polynomial_p, *moved, terms=derived, axes=places, reduced=reduced
        )
        total = change if type(total) is ad.Zero else total + change
    return out, total


ad.primitive_jvps[_polynomial_p] = _jvp


def _transpose(
    cotangent: Any,
    *arguments: Any,
    terms: Terms,
    axes: tuple[int, ...],
    reduced: tuple[int, ...],
) -> list[Any]:
    """The result and the linear argument change places.

    The cotangent of a result that was summed over axes is broadcast along them; the
    argument's is summed over the axes along which it was broadcast.
    """
    (q,) = [i for i, a in enumerate(arguments) if ad.is_undefined_primal(a)]
    aval = arguments[q].aval
    found: list[Any] = [None] * len(arguments)
    if type(cotangent) is ad.Zero:
        found[q] = ad.Zero(aval)
        return found
    others = [*arguments[:q], cotangent, *arguments[q + 1 :]]
    places = list(axes)
    places[0], places[q + 1] = axes[q + 1], axes[0]
    own = _rest(aval.shape, axes[q + 1])
    full = jnp.broadcast_shapes(
        *(_rest(a.shape, axis) for a, axis in zip(others, places[1:], strict=True))
    )
    summed = tuple(i for i, size in enumerate(own) if size == 1 and full[i] != 1)
    change = bind(
        _polynomial_p,
        *others,
        terms=transposed(terms, q),
        axes=tuple(places),
        reduced=summed,
    )
    # Along an axis where this argument alone is not broadcast all entries are equal.
    found[q] = jnp.broadcast_to(change, aval.shape)
    return found


ad.primitive_transposes[_polynomial_p] = _transpose


def _batch(
    arguments: Any,
    batched: Any,
    *,
    terms: Terms,
    axes: tuple[int, ...],
    reduced: tuple[int, ...],
) -> tuple[Array, int]:
    """The batch axis becomes the first one of the rest, without moving any data.

    An array (batch, components, ..) has it before the components, (components, batch,
    ..) behind; the result follows the first argument that is batched.
    """
    moved, places = [], []
    leading = None
    for a, where, axis in zip(arguments, batched, axes[1:], strict=True):
        if where is None:
            moved.append(jnp.expand_dims(a, 0))
            places.append(axis + 1)
        elif where == 1 and axis == 0:
            moved.append(a)
            places.append(0)
        else:
            moved.append(jnp.moveaxis(a, where, 0))
            places.append(axis + 1)
        if where is not None and leading is None:
            leading = places[-1] != 0
    first = axes[0] + 1 if leading or axes[0] else 0
    out = bind(
        _polynomial_p,
        *moved,
        terms=terms,
        axes=(first, *places),
        reduced=tuple(axis + 1 for axis in reduced),
    )
    return out, 0 if first else 1


batching.primitive_batchers[_polynomial_p] = _batch
