"""Constant matrices on the component axis, as one JAX primitive.

The transpose of `dot_general` puts the contracted axis last, so that the pull-back of
M x, batched over anything but one trailing axis, copies every array twice into another
order. Here the transpose is M^T on the same axis, and the batch axis stays second.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from eqjax._core._primitives import bind, explicit_spec, result_type

# The type of `precision=`: what `jax.lax.dot_general` takes. A TPU rounds the factors
# of float32 products to bfloat16 by default, and so breaks equivariance in the third
# digit; the default here is the highest.
Precision = jax.lax.PrecisionLike


def read_only(array: np.ndarray) -> np.ndarray:
    """The array, protected from writes, since a cache holds it."""
    array.setflags(write=False)
    return array


def constant_map(
    matrix: np.ndarray, x: Array, *, precision: Precision = "highest"
) -> Array:
    """The matrix times the first axis of x, (columns, *rest), in the dtype of x."""
    return bind(
        _constant_map_p,
        jnp.asarray(matrix, x.dtype),
        x,
        transposed=False,
        precision=precision,
    )


def _evaluate(matrix: Array, x: Array, *, transposed: bool, precision: Any) -> Array:
    contract = (((0 if transposed else 1,), (0,)), ((), ()))
    return jax.lax.dot_general(matrix, x, contract, precision=precision)


def _abstract(matrix: Any, x: Any, *, transposed: bool, precision: Any) -> Any:
    rows = matrix.shape[1 if transposed else 0]
    return result_type(x, (rows, *x.shape[1:]), (None, *explicit_spec(x)[1:]))


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Array, Any]:
    matrix, x = primals
    out = bind(_constant_map_p, matrix, x, **params)
    if type(tangents[1]) is ad.Zero:
        return out, ad.Zero(jax.typeof(out).to_tangent_aval())
    return out, bind(_constant_map_p, matrix, tangents[1], **params)


def _transpose(ct: Any, matrix: Any, x: Any, *, transposed: bool, **params: Any) -> Any:
    if type(ct) is ad.Zero:
        return None, ad.Zero(x.aval)
    back = bind(_constant_map_p, matrix, ct, transposed=not transposed, **params)
    return None, back


def _batch(args: Any, dims: Any, **params: Any) -> tuple[Array, int]:
    matrix, x = args
    return bind(_constant_map_p, matrix, jnp.moveaxis(x, dims[1], 1), **params), 1


_constant_map_p = Primitive("constant_map")
_constant_map_p.def_impl(_evaluate)
_constant_map_p.def_abstract_eval(_abstract)
mlir.register_lowering(
    _constant_map_p, mlir.lower_fun(_evaluate, multiple_results=False)
)
ad.primitive_jvps[_constant_map_p] = _jvp
ad.primitive_transposes[_constant_map_p] = _transpose
batching.primitive_batchers[_constant_map_p] = _batch
