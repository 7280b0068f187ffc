"""Maps and means over many examples with the memory of a few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from eqjax._core._checks import check_size


def map_in_chunks(
    fn: Callable[[Any], PyTree[Array]], xs: PyTree[Array], chunk_size: int
) -> PyTree[Array]:
    """`jax.vmap(fn)(xs)`, evaluated by a scan over chunks of `chunk_size` examples.

    The last chunk is filled up with copies of the last example.
    """
    check_size("chunk_size", chunk_size)
    num = jax.tree.leaves(xs)[0].shape[0]
    if num <= chunk_size:
        return jax.vmap(fn)(xs)
    chunks, _ = split_in_chunks(xs, num, chunk_size)
    _, ys = jax.lax.scan(lambda carry, x: (carry, jax.vmap(fn)(x)), None, chunks)
    return jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:])[:num], ys)


def mean_in_chunks(
    fn: Callable[[Any, Any], Float[Array, ""]],
    args: PyTree[Array],
    xs: PyTree[Array],
    chunk_size: int | None,
) -> Float[Array, ""]:
    """mean_i fn(args, xs_i), whose gradient needs the memory of one chunk.

    Value and gradient are accumulated by one scan over chunks: the gradient is taken
    inside the body, so nothing of a chunk outlives it, and nothing is computed twice.
    Differentiable once, in reverse mode, with respect to the floating leaves of `args`
    and `xs`. Do not close over traced values in `fn`.

    Args:
        fn: (args, x) -> scalar, for ONE example.
        args: Shared by all examples.
        xs: Examples along the leading axis of every leaf.
        chunk_size: Examples per chunk; `None` takes all at once, without restrictions.

    Returns:
        The mean.
    """
    num = jax.tree.leaves(xs)[0].shape[0]
    if chunk_size is None or chunk_size >= num:
        return jnp.mean(jax.vmap(lambda x: fn(args, x))(xs))
    check_size("chunk_size", chunk_size)
    chunks, weights = split_in_chunks(xs, num, chunk_size)
    shared, shared_rest, join_args = _partition(args)
    own, own_rest, join_xs = _partition(chunks)

    def chunk_mean(shared: list[Array], own: list[Array], rest: Any) -> Array:
        shared_rest, own_rest, weight = rest
        args, xs = join_args(shared, shared_rest), join_xs(own, own_rest)
        values = jax.vmap(lambda x: fn(args, x))(xs)
        return jnp.sum(values * weight.astype(values.dtype)) / num

    def scan(step: Callable, own: list[Array], rest: Any) -> Any:
        """Sums of the first result of `step` over chunks, and its second results."""
        shared_rest, own_rest, weights = rest

        def body(total: Any, chunk: Any) -> tuple[Any, Any]:
            own, own_rest, weight = chunk
            value, extra = step(own, (shared_rest, own_rest, weight))
            return jax.tree.map(jnp.add, total, value), extra

        chunks = (own, own_rest, weights)
        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        shapes = jax.eval_shape(lambda c: step(c[0], (shared_rest, *c[1:]))[0], first)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.scan(body, zeros, chunks)

    @jax.custom_vjp
    def mean(shared: list[Array], own: list[Array], rest: Any) -> Array:
        return scan(lambda own, rest: (chunk_mean(shared, own, rest), ()), own, rest)[0]

    def forward(shared: list[Array], own: list[Array], rest: Any) -> tuple:
        def step(own: list[Array], rest: Any) -> tuple:
            gradient = jax.value_and_grad(chunk_mean, (0, 1))
            value, (for_shared, for_own) = gradient(shared, own, rest)
            return (value, for_shared), for_own

        (value, for_shared), for_own = scan(step, own, rest)
        return value, (for_shared, for_own)

    def backward(gradients: tuple, cotangent: Array) -> tuple:
        scaled = jax.tree.map(lambda g: cotangent.astype(g.dtype) * g, gradients)
        return *scaled, None

    mean.defvjp(forward, backward)
    return mean(shared, own, (shared_rest, own_rest, weights))


def _partition(tree: Any) -> tuple[list[Array], list[Array], Callable[..., Any]]:
    """Floating leaves, other leaves, and the function that joins them again."""
    leaves, structure = jax.tree.flatten(tree)
    floating = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]

    def join(floats: list[Array], others: list[Array]) -> Any:
        parts = iter(floats), iter(others)
        return structure.unflatten([next(parts[not is_float]) for is_float in floating])

    pairs = list(zip(leaves, floating, strict=True))
    floats = [leaf for leaf, is_float in pairs if is_float]
    return floats, [leaf for leaf, is_float in pairs if not is_float], join


def split_in_chunks(xs: Any, num: int, chunk_size: int) -> tuple[Any, Array]:
    """Leaves of shape (chunks, chunk_size, ...), and 1 or 0 for real and filled-up."""
    num_chunks = -(-num // chunk_size)
    missing = num_chunks * chunk_size - num

    def split(leaf: Array) -> Array:
        filler = jnp.repeat(leaf[-1:], missing, axis=0)
        full = jnp.concatenate([leaf, filler]) if missing else leaf
        return full.reshape(num_chunks, chunk_size, *leaf.shape[1:])

    weights = jnp.arange(num_chunks * chunk_size) < num
    return jax.tree.map(split, xs), weights.reshape(num_chunks, chunk_size)
