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

    The last chunk is filled up with copies of its first example.
    """
    check_size("chunk_size", chunk_size)
    num = jax.tree.leaves(xs)[0].shape[0]
    if num <= chunk_size:
        return jax.vmap(fn)(xs)
    chunks, _ = _split(xs, num, chunk_size)
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
    Differentiable once, in reverse mode, with respect to the floating leaves of `args`;
    `xs` gets the gradient zero. Do not close over traced values in `fn`.

    Args:
        fn: (args, x) -> scalar, for ONE example.
        args: What is differentiated.
        xs: Examples along the leading axis of every leaf.
        chunk_size: Examples per chunk; `None` takes all at once, without restrictions.

    Returns:
        The mean.
    """
    num = jax.tree.leaves(xs)[0].shape[0]
    if chunk_size is None or chunk_size >= num:
        return jnp.mean(jax.vmap(lambda x: fn(args, x))(xs))
    check_size("chunk_size", chunk_size)
    chunks, weights = _split(xs, num, chunk_size)
    leaves, structure = jax.tree.flatten(args)
    floating = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]
    fixed = [
        leaf for leaf, is_float in zip(leaves, floating, strict=True) if not is_float
    ]

    def chunk_mean(varied: list[Array], fixed: list[Array], chunk: Any) -> Array:
        x, weight = chunk
        floats, others = iter(varied), iter(fixed)
        merged = [next(floats) if is_float else next(others) for is_float in floating]
        values = jax.vmap(lambda x: fn(jax.tree.unflatten(structure, merged), x))(x)
        return jnp.sum(values * weight.astype(values.dtype)) / num

    @jax.custom_vjp
    def mean(varied: list[Array], fixed: list[Array], chunks: Any) -> Array:
        def body(total: Array, chunk: Any) -> tuple[Array, None]:
            return total + chunk_mean(varied, fixed, chunk), None

        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        shape = jax.eval_shape(chunk_mean, varied, fixed, first)
        return jax.lax.scan(body, jnp.zeros(shape.shape, shape.dtype), chunks)[0]

    def forward(varied: list[Array], fixed: list[Array], chunks: Any) -> tuple:
        gradient = jax.value_and_grad(chunk_mean)

        def body(total: Any, chunk: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, gradient(varied, fixed, chunk)), None

        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        shapes = jax.eval_shape(gradient, varied, fixed, first)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        (value, gradients), _ = jax.lax.scan(body, zeros, chunks)
        return value, gradients

    def backward(gradients: list[Array], cotangent: Array) -> tuple:
        scaled = [cotangent.astype(leaf.dtype) * leaf for leaf in gradients]
        return scaled, None, None

    mean.defvjp(forward, backward)
    varied = [leaf for leaf, is_float in zip(leaves, floating, strict=True) if is_float]
    return mean(varied, fixed, (chunks, weights))


def _split(xs: Any, num: int, chunk_size: int) -> tuple[Any, Array]:
    """Leaves of shape (chunks, chunk_size, ...), and 1 or 0 for real and filled-up."""
    num_chunks = -(-num // chunk_size)
    missing = num_chunks * chunk_size - num

    def split(leaf: Array) -> Array:
        filler = jnp.repeat(leaf[-1:], missing, axis=0)
        full = jnp.concatenate([leaf, filler]) if missing else leaf
        return full.reshape(num_chunks, chunk_size, *leaf.shape[1:])

    weights = jnp.arange(num_chunks * chunk_size) < num
    return jax.tree.map(split, xs), weights.reshape(num_chunks, chunk_size)
