"""Products of small matrices, one for each edge, as one JAX primitive.

XLA on a CPU is three times slower at a batch of products whose left factor is
transposed, and transposing `dot_general` gives one. Here what is transposed is written
out first; on other devices it is left to XLA.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from eqjax._core._primitives import bind, explicit_spec, result_type
from eqjax.o3._constants import Precision


def frame_product(
    a: Array, b: Array, *, transpose: bool = False, precision: Precision = "highest"
) -> Array:
    """a b, or a^T b with `transpose`; matrices of one dtype."""
    return bind(_frame_product_p, a, b, swap=(transpose, False), precision=precision)


def _evaluate(a: Array, b: Array, *, swap: tuple[bool, bool], precision: Any) -> Array:
    batch = tuple(range(a.ndim - 2))
    contract = (a.ndim - (2 if swap[0] else 1),), (b.ndim - (1 if swap[1] else 2),)
    return jax.lax.dot_general(a, b, (contract, (batch, batch)), precision=precision)


def _evaluate_on_cpu(
    a: Array, b: Array, *, swap: tuple[bool, bool], precision: Any
) -> Array:
    if swap[0]:
        # Without the barrier XLA would put the transpose back into the product.
        a = jax.lax.optimization_barrier(jnp.swapaxes(a, -1, -2))
    return _evaluate(a, b, swap=(False, swap[1]), precision=precision)


def _abstract(a: Any, b: Any, *, swap: tuple[bool, bool], precision: Any) -> Any:
    rows, columns = a.shape[-1 if swap[0] else -2], b.shape[-2 if swap[1] else -1]
    named = zip(explicit_spec(a)[:-2], explicit_spec(b)[:-2], strict=True)
    batch = [left if left is not None else right for left, right in named]
    return result_type(a, (*a.shape[:-2], rows, columns), (*batch, None, None))


def _transpose_a(
    ct: Array, a: Any, b: Array, *, swap: tuple[bool, bool], precision: Any
) -> Array:
    if swap[0]:
        return bind(_frame_product_p, b, ct, swap=(swap[1], True), precision=precision)
    return bind(_frame_product_p, ct, b, swap=(False, not swap[1]), precision=precision)


def _transpose_b(
    ct: Array, a: Array, b: Any, *, swap: tuple[bool, bool], precision: Any
) -> Array:
    if swap[1]:
        return bind(_frame_product_p, ct, a, swap=(True, swap[0]), precision=precision)
    return bind(_frame_product_p, a, ct, swap=(not swap[0], False), precision=precision)


def _batch(args: Any, dims: Any, **params: Any) -> tuple[Array, int]:
    (size,) = {
        array.shape[dim]
        for array, dim in zip(args, dims, strict=True)
        if dim is not None
    }
    a, b = (
        jnp.broadcast_to(array[None], (size, *array.shape))
        if dim is None
        else jnp.moveaxis(array, dim, 0)
        for array, dim in zip(args, dims, strict=True)
    )
    return bind(_frame_product_p, a, b, **params), 0


_frame_product_p = Primitive("frame_product")
_frame_product_p.def_impl(_evaluate)
_frame_product_p.def_abstract_eval(_abstract)
mlir.register_lowering(
    _frame_product_p, mlir.lower_fun(_evaluate, multiple_results=False)
)
mlir.register_lowering(
    _frame_product_p,
    mlir.lower_fun(_evaluate_on_cpu, multiple_results=False),
    platform="cpu",
)
ad.defbilinear(_frame_product_p, _transpose_a, _transpose_b)
batching.primitive_batchers[_frame_product_p] = _batch
