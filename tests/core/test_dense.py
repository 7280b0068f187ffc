"""Dense layers, normalizations, and that folding them changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax._core import _dense
from eqjax._core._dense import dense, standardize

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(2, 3, 5)))


def random_dense(num_in, num_out):
    return {
        "kernel": jnp.asarray(RNG.normal(size=(num_in, num_out))),
        "bias": jnp.asarray(RNG.normal(size=num_out)),
    }


def test_dense_is_affine_and_broadcasts():
    params = random_dense(5, 7)
    kernel, bias = np.asarray(params["kernel"]), np.asarray(params["bias"])
    want = np.asarray(X) @ kernel + bias
    np.testing.assert_allclose(dense(params, X), want, atol=1e-14)
    np.testing.assert_allclose(dense(params, X[1, 2]), want[1, 2], atol=1e-14)


def test_standardize_gives_mean_0_and_variance_1():
    y = np.asarray(standardize(100 * X))
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-14)
    # The variance lacks 1e-5 of 10^4.
    np.testing.assert_allclose(y.var(-1), 1, atol=1e-7)


def test_standardize_is_finite_where_all_are_equal():
    value, slope = jax.value_and_grad(lambda x: standardize(x)[0])(jnp.ones(5))
    assert value == 0
    assert np.all(np.isfinite(slope))


def test_folded_norm_and_dense_equal_one_after_the_other():
    norm = {
        "scale": jnp.asarray(RNG.normal(size=5)),
        "offset": jnp.asarray(RNG.normal(size=5)),
    }
    following, last = random_dense(5, 7), random_dense(7, 2)
    scale, offset = np.asarray(norm["scale"]), np.asarray(norm["offset"])
    plain = np.asarray(standardize(X)) * scale + offset
    want = dense(following, jnp.asarray(plain))
    folded = _dense.fold_norm(norm, following)
    np.testing.assert_allclose(dense(folded, standardize(X)), want, atol=1e-13)
    both = _dense.fold_dense(folded, last)
    np.testing.assert_allclose(
        dense(both, standardize(X)), dense(last, want), atol=1e-13
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", None])
def test_initial_layers(dtype):
    key = jax.random.key(0)
    uniform = _dense.init_dense(100, 80, dtype=dtype, key=key)
    normal = _dense.init_dense_he(100, 80, dtype=dtype, key=key)
    norm = _dense.init_norm(80, dtype=dtype)
    for leaf in jax.tree.leaves((uniform, normal, norm)):
        assert leaf.dtype == (dtype or jnp.result_type(float))
    assert uniform["kernel"].shape == normal["kernel"].shape == (100, 80)
    assert uniform["bias"].shape == normal["bias"].shape == (80,)
    for leaf in uniform.values():
        assert np.all(np.abs(leaf) <= 0.1)
        # The mean of 80 absolute values of +-0.1 has a standard error of 6 %.
        assert np.mean(np.abs(leaf)) == pytest.approx(0.05, rel=0.2)
    # 8,000 numbers: 0.8 % standard error of the deviation.
    assert np.std(normal["kernel"]) == pytest.approx(0.02**0.5, rel=0.04)
    assert not np.any(normal["bias"])
    assert np.all(np.asarray(norm["scale"]) == 1)
    assert not np.any(norm["offset"])


def test_named_keys_differ():
    keys = _dense.split_named(jax.random.key(0), ["a", "b", "c"])
    assert list(keys) == ["a", "b", "c"]
    data = {tuple(jax.random.key_data(key).tolist()) for key in keys.values()}
    assert len(data) == 3
