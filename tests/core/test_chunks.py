"""Chunks change neither values nor gradients, only memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax._core._chunks import map_in_chunks, mean_in_chunks

RNG = np.random.default_rng(0)
ARGS = {
    "weight": jnp.asarray(RNG.normal(size=(3, 2))),
    "order": jnp.array([2, 0, 1]),
    "shift": jnp.asarray(0.3),
}
XS = {"x": jnp.asarray(RNG.normal(size=(7, 3))), "which": jnp.arange(7) % 2}
CHUNKS = [1, 3, 4, 6, 7, 100, None]


def fn(args, x):
    y = jnp.tanh(x["x"][args["order"]] @ args["weight"] + args["shift"][None])
    return y[x["which"]] + jnp.sum(y * y)


def plain(args, xs):
    return jnp.mean(jax.vmap(lambda x: fn(args, x))(xs))


def gradients(mean, args, xs):
    return jax.value_and_grad(mean, (0, 1), allow_int=True)(args, xs)


def assert_equal(got, want):
    """Sums of seven numbers in another order: some roundings."""
    for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert leaf.dtype == other.dtype
        if leaf.dtype != jax.dtypes.float0:
            np.testing.assert_allclose(leaf, other, rtol=0, atol=1e-15)


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("compiled", [False, True])
def test_mean_and_its_gradients(chunk_size, compiled):
    def mean(args, xs):
        return mean_in_chunks(fn, args, xs, chunk_size)

    def both(args, xs):
        return mean(args, xs), gradients(mean, args, xs)

    got = (jax.jit(both) if compiled else both)(ARGS, XS)
    assert_equal(got, (plain(ARGS, XS), gradients(plain, ARGS, XS)))


@pytest.mark.parametrize("chunk_size", [3, 7])
def test_mean_under_vmap(chunk_size):
    table = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), XS)
    shifts = jnp.array([0.1, -0.2])

    def mean(shift, xs):
        return mean_in_chunks(fn, ARGS | {"shift": shift}, xs, chunk_size)

    got = jax.jit(jax.vmap(jax.value_and_grad(mean)))(shifts, table)
    for i in range(2):
        xs = jax.tree.map(lambda leaf, i=i: leaf[i], table)
        want = jax.value_and_grad(lambda s, xs=xs: plain(ARGS | {"shift": s}, xs))
        assert_equal([leaf[i] for leaf in got], list(want(shifts[i])))


def test_mean_is_scaled_by_what_follows_it():
    slope = jax.grad(lambda w: 3 * mean_in_chunks(fn, ARGS | {"weight": w}, XS, 3) ** 2)
    want = jax.grad(lambda w: 3 * plain(ARGS | {"weight": w}, XS) ** 2)
    np.testing.assert_allclose(slope(ARGS["weight"]), want(ARGS["weight"]), atol=1e-14)


def test_mean_needs_the_memory_of_one_chunk():
    """Activations of 10^6 numbers in all, and of 10^4 per chunk."""
    xs, weight = jnp.zeros((1000, 10)), jnp.zeros((10, 1000))

    def memory(chunk_size):
        def mean(weight, xs):
            return mean_in_chunks(
                lambda w, x: jnp.sum(jnp.sin(jnp.sin(x @ w))), weight, xs, chunk_size
            )

        compiled = jax.jit(jax.grad(mean)).lower(weight, xs).compile()
        analysis = compiled.memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert memory(10) < memory(None) / 20


def test_mean_in_single_precision_stays_there():
    args, xs = jax.tree.map(
        lambda leaf: leaf.astype("float32") if leaf.dtype == "float64" else leaf,
        (ARGS, XS),
    )
    value, slopes = gradients(lambda a, x: mean_in_chunks(fn, a, x, 3), args, xs)
    assert value.dtype == slopes[0]["weight"].dtype == slopes[1]["x"].dtype == "float32"


@pytest.mark.parametrize("chunk_size", CHUNKS[:-1])
def test_map(chunk_size):
    def one(x):
        return {"y": fn(ARGS, x), "x": x["x"]}

    got = jax.jit(lambda xs: map_in_chunks(one, xs, chunk_size))(XS)
    assert_equal(got, jax.vmap(one)(XS))


def test_map_over_keys():
    keys = jax.random.split(jax.random.key(0), 7)
    got = map_in_chunks(lambda key: jax.random.normal(key, (2,)), keys, 3)
    assert_equal(got, jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys))


@pytest.mark.parametrize("chunk_size", [0, -1])
def test_bad_chunk_sizes_are_refused(chunk_size):
    with pytest.raises(ValueError, match="`chunk_size`"):
        map_in_chunks(lambda x: x, XS, chunk_size)
    with pytest.raises(ValueError, match="`chunk_size`"):
        mean_in_chunks(fn, ARGS, XS, chunk_size)
