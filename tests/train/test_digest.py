"""The digest: device = host, independent of order and sharding, sees every bit."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.train._digest import check_digestible, device_digests, host_digest

DTYPES = [
    "float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "int64", "int32",
    "int8", "uint64", "uint16", "uint8", "bool", "complex64", "complex128",
]  # fmt: skip


def random_bits(dtype, shape, seed=0):
    """Any bit patterns, NaN and denormal numbers among them."""
    rng = np.random.default_rng(seed)
    kind = jnp.dtype(dtype)
    if kind == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    count = int(np.prod(shape)) * kind.itemsize
    return rng.integers(0, 256, count, dtype=np.uint8).view(kind).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES)
def test_device_equals_host(dtype):
    shapes = [(), (1,), (7,), (3, 5), (2, 3, 5), (0,), (3, 0)]
    arrays = {str(shape): random_bits(dtype, shape) for shape in shapes}
    on_device = device_digests({k: jnp.asarray(x) for k, x in arrays.items()})
    assert on_device == {k: host_digest(x) for k, x in arrays.items()}


def test_follows_its_definition():
    def fmix32(h):
        h ^= h >> 16
        h = h * 0x85EBCA6B % 2**32
        h ^= h >> 13
        h = h * 0xC2B2AE35 % 2**32
        return h ^ (h >> 16)

    words = [5, 2**32 - 1, 0]
    lanes = [
        sum(fmix32(x ^ fmix32((i + c) % 2**32)) for i, x in enumerate(words)) % 2**32
        for c in (0x9E3779B9, 0x7F4A7C15)
    ]
    expected = f"{lanes[0] * 2**32 + lanes[1]:016x}"
    assert host_digest(np.array(words, np.uint32)) == expected
    assert device_digests({"x": jnp.array(words, jnp.uint32)})["x"] == expected


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int8", "complex64"])
def test_every_single_bit_counts(dtype):
    array = random_bits(dtype, (3,))
    digests = {host_digest(array)}
    num_bits = 8 * array.nbytes
    for bit in range(num_bits):
        flipped = np.frombuffer(array.tobytes(), np.uint8).copy()
        flipped[bit // 8] ^= 1 << (bit % 8)
        digests.add(host_digest(flipped.view(array.dtype)))
    assert len(digests) == num_bits + 1


def test_order_of_elements_counts():
    array = np.arange(6.0).reshape(2, 3)
    assert len({host_digest(x) for x in (array, array[::-1], array[:, ::-1])}) == 3


def test_signed_zeros_and_nan_payloads_are_told_apart():
    payloads = np.array([0x7FF8000000000000, 0x7FF8000000000001], np.uint64)
    nans = payloads.view(np.float64)
    values = [np.array(0.0), np.array(-0.0), nans[:1], nans[1:]]
    assert len({host_digest(x) for x in values}) == 4
    on_device = [device_digests({"x": jnp.asarray(x)})["x"] for x in values]
    assert on_device == [host_digest(x) for x in values]


@pytest.mark.parametrize("dtype", ["int4", "uint4", "object", "U3", "datetime64[s]"])
def test_other_dtypes_are_refused(dtype):
    kind = jnp.dtype(dtype) if dtype.endswith("int4") else np.dtype(dtype)
    with pytest.raises(ValueError, match="`params/w` has dtype"):
        check_digestible("params/w", kind)


def test_sharding_does_not_count():
    code = """
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import NamedSharding, PartitionSpec as P
        from eqjax.train._digest import device_digests, host_digest
        mesh = jax.make_mesh((4, 2), ("a", "b"))
        x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
        for spec in (P(), P("a"), P("a", "b"), P(None, "b"), P(("a", "b"))):
            y = jax.device_put(x, NamedSharding(mesh, spec))
            assert device_digests({"y": y})["y"] == host_digest(x), spec
        assert jax.device_count() == 8
    """
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=True, env=env, timeout=120
    )


def test_is_the_same_under_jit_of_several_leaves():
    leaves = {name: jnp.arange(float(n)) for n, name in enumerate("abc", start=1)}
    together = device_digests(leaves)
    alone = {k: device_digests({k: x})[k] for k, x in leaves.items()}
    assert together == alone
    assert jax.tree.structure(together) == jax.tree.structure(leaves)
