"""Content digests of arrays, independent of how they are sharded."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt32

_SEEDS = (0x9E3779B9, 0x7F4A7C15)


def check_digestible(path: str, dtype: np.dtype) -> None:
    """Raises `ValueError` for dtypes whose bits the digest does not define."""
    kind = np.dtype(dtype)
    is_number = jnp.issubdtype(kind, jnp.number) or kind == np.bool_
    if not is_number or (kind != np.bool_ and _num_bits(kind) % 8):
        raise ValueError(
            f"Leaf `{path}` has dtype {kind}, which a checkpoint cannot hold. Use "
            "booleans or numbers of 8 bits at least."
        )


def device_digests(leaves: Mapping[str, Array]) -> dict[str, str]:
    """Digests of arrays on devices, computed there by one program.

    The bits of a leaf are read as unsigned words (booleans as bytes, 8-byte numbers as
    two words, complex numbers as real and imaginary part), widened to 32 bits: x_i with
    row-major index i. Each of two lanes with a seed c is the sum modulo 2^32 of

        fmix32(x_i XOR fmix32(i + c)),

    fmix32 being the finalizer of MurmurHash3. It is a bijection, so a change of one
    element changes both lanes; the sum does not depend on the order, so neither does
    the digest on the number of devices. This detects damage, not malice: it is no
    cryptographic signature.

    Args:
        leaves: Arrays (no typed keys: pass their `jax.random.key_data`).

    Returns:
        For each leaf 16 hexadecimal digits.
    """
    lanes = jax.device_get(_lanes_by_path(dict(leaves)))
    return {path: _to_text(lanes[path]) for path in leaves}


def host_digest(array: np.ndarray) -> str:
    """The same digest of a NumPy array, computed on the host."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype == np.bool_ or flat.dtype.itemsize == 1:
        words = flat.view(np.uint8)
    elif _num_bits(flat.dtype) == 16:
        words = flat.view(np.uint16)
    else:
        words = flat.view(np.uint32)
    x = words.astype(np.uint32)
    index = np.arange(x.size, dtype=np.uint32)
    lanes = [
        np.sum(_fmix32_host(x ^ _fmix32_host(index + np.uint32(c))), dtype=np.uint32)
        for c in _SEEDS
    ]
    return _to_text(np.array(lanes))


@jax.jit
def _lanes_by_path(leaves: dict[str, Array]) -> dict[str, Array]:
    return {path: _lanes(leaf) for path, leaf in leaves.items()}


def _lanes(leaf: Array) -> UInt32[Array, "2"]:
    x = _words(leaf)
    # The index is built without reshaping, which would gather a sharded array.
    index = jnp.zeros(x.shape, jnp.uint32)
    stride = 1
    for axis in reversed(range(x.ndim)):
        iota = jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis)
        index = index + iota * jnp.uint32(stride % 2**32)
        stride *= x.shape[axis]
    lanes = [
        jnp.sum(_fmix32(x ^ _fmix32(index + jnp.uint32(c))), dtype=jnp.uint32)
        for c in _SEEDS
    ]
    return jnp.stack(lanes)


def _words(leaf: Array) -> UInt32[Array, "..."]:
    if leaf.dtype == jnp.bool_:
        return leaf.astype(jnp.uint32)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        leaf = jnp.stack([jnp.real(leaf), jnp.imag(leaf)], axis=-1)
    bits = _num_bits(leaf.dtype)
    # A number of 64 bits becomes a last axis of two words, the lower one first.
    word = {8: jnp.uint8, 16: jnp.uint16}.get(bits, jnp.uint32)
    return jax.lax.bitcast_convert_type(leaf, word).astype(jnp.uint32)


def _fmix32(h: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    h = (h ^ (h >> jnp.uint32(16))) * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
    return h ^ (h >> jnp.uint32(16))


def _fmix32_host(h: np.ndarray) -> np.ndarray:
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def _num_bits(dtype: np.dtype) -> int:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return 8 * np.dtype(dtype).itemsize
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.finfo(dtype).bits
    return jnp.iinfo(dtype).bits


def _to_text(lanes: np.ndarray) -> str:
    return f"{int(lanes[0]):08x}{int(lanes[1]):08x}"
