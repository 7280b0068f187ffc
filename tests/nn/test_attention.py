"""Attention: invariant weights that sum to one, and sets without an order.

That it commutes with its groups is in tests/registry_nn_linear.py.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, reps
from eqjax.nn._attention import Attention
from tests.registry_nn_linear import feature

KEY = jax.random.key(5)
O3, LORENTZ = groups.O(3), groups.Lorentz(3)
VECTOR = reps.standard(O3)
NODES = 5
NAMES = ("query", "key", "value", "out")
LAYER = Attention(VECTOR, 4, heads=2, num_invariants=3)


@functools.partial(jax.jit, static_argnums=0)
def attend(layer, params, x, pairs=None, mask=None):
    return layer.apply(params, x, pairs=pairs, mask=mask)


def example():
    params = LAYER.init(key=KEY)
    params["pairs"] = jax.random.normal(KEY, params["pairs"].shape)
    x = feature(KEY, VECTOR, 4, grid=(NODES,))
    return params, x, jax.random.normal(KEY, (NODES, NODES, 3))


def test_is_the_formula():
    """Head by head, with loops in NumPy."""
    params, x, pairs = example()
    matrices = {name: params[name]["weights"]["1o"][0] for name in NAMES}
    q, k, v = (np.asarray(x @ matrices[name]) for name in NAMES[:3])
    total = np.zeros((NODES, 3, 4))
    for h in range(2):
        heads = slice(h, None, 2)
        logits = np.einsum("idc,jdc->ij", q[:, :, heads], k[:, :, heads]) / np.sqrt(6)
        logits += pairs @ params["pairs"][:, h]
        w = np.exp(logits)
        w /= w.sum(axis=1, keepdims=True)
        total[:, :, heads] = np.einsum("ij,jdc->idc", w, v[:, :, heads])
    want = total @ np.asarray(matrices["out"])
    got = attend(LAYER, params, x, pairs)
    # Some twenty products of size one.
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)


def test_masked_nodes_count_for_nothing():
    params, x, pairs = example()
    mask = jnp.ones((NODES, NODES), bool).at[:, -1].set(False).at[0].set(False)
    got = attend(LAYER, params, x, pairs, mask)
    other = attend(LAYER, params, x.at[-1].set(7.0), pairs, mask)
    np.testing.assert_allclose(got[:-1], other[:-1], rtol=0, atol=1e-14)
    np.testing.assert_array_equal(got[0], 0)
    few = attend(LAYER, params, x[:-1], pairs[:-1, :-1])
    np.testing.assert_allclose(got[1:-1], few[1:], rtol=0, atol=1e-13)

    def total(params, x, pairs):
        y: Any = LAYER.apply(params, x, pairs=pairs, mask=mask)
        return jnp.sum(y**2)

    gradients = jax.jit(jax.grad(total, (0, 1, 2)))(
        *jax.tree.map(lambda a: a.astype(jnp.float32), (params, 1e3 * x, pairs))
    )
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(gradients))


def test_follows_a_permutation_of_the_nodes():
    params, x, pairs = example()
    order = np.array([3, 0, 4, 1, 2])
    got = attend(LAYER, params, x[order], pairs[order][:, order])
    want = attend(LAYER, params, x, pairs)[order]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)


def test_lorentz_keys_have_the_metric():
    """Of one irrep, ragged and dense: the same sums with signs (+, -, -, -)."""
    momentum = reps.irrep(LORENTZ, "(1/2,1/2)")
    layer = Attention(2 * momentum)
    q, k = (jax.random.normal(key, (3, 4, 2)) for key in jax.random.split(KEY))
    logits = layer._logits({momentum: q[..., None]}, {momentum: k[..., None]})[0]
    eta = np.diag([1.0, -1.0, -1.0, -1.0])
    want = np.einsum("idc,de,jec->ij", q, eta, k) / np.sqrt(8)
    sign = np.sign(logits[0, 0] * want[0, 0])
    np.testing.assert_allclose(sign * logits, want, rtol=0, atol=1e-13)


@pytest.mark.usefixtures("user_errors")
def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="`heads` must divide"):
        Attention(VECTOR, 3, heads=2)
    triplet = reps.irrep(groups.SL(3), (1, 0))
    with pytest.raises(ValueError, match="Add the duals"):
        Attention(2 * triplet)
    params, x, _ = example()
    with pytest.raises(ValueError, match="`pairs` must be an array"):
        LAYER.apply(params, x)
    with pytest.raises(ValueError, match="one axis of nodes"):
        LAYER.apply(params, x[0])
