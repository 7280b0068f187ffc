"""The equivariant MLP: what it can represent, and how it composes.

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
from eqjax._core._specs import spec_from_json, spec_to_json
from eqjax.nn._equivariant_mlp import EquivariantMLP
from eqjax.reps._uniform import uniform

KEY = jax.random.key(7)
O3 = groups.O(3)
SCALAR, VECTOR = reps.irrep(O3, "0e"), reps.irrep(O3, "1o")
LAYER = EquivariantMLP(
    SCALAR + 2 * VECTOR, VECTOR, 1, 1, hidden=3 * SCALAR + 2 * VECTOR, depth=1
)


@functools.cache
def parameters():
    return jax.jit(lambda: LAYER.init(key=KEY))()


def test_batch_is_a_loop_and_gradients_are_right():
    params = parameters()
    xs = jax.random.normal(KEY, (2, LAYER.rep_in.dim, 1))
    apply = jax.jit(LAYER.apply)
    want = jnp.stack([apply(params, x) for x in xs])
    got = jax.jit(jax.vmap(LAYER.apply, (None, 0)))(params, xs)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)

    @jax.jit
    def line(h, direction):
        moved = jax.tree.map(lambda a, d: a + h * d, (params, xs[0]), direction)
        y: Any = LAYER.apply(*moved)
        return jnp.sum(y**2)

    leaves, form = jax.tree.flatten((params, xs[0]))
    keys = jax.random.split(KEY, len(leaves))
    direction = jax.tree.unflatten(
        form, [jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
    )
    slope = jax.jit(jax.grad(line))(0.0, direction)
    h = 1e-5  # errors h^2 of the formula, 1e-16 / h of rounding
    finite = (line(h, direction) - line(-h, direction)) / (2 * h)
    np.testing.assert_allclose(slope, finite, rtol=1e-7)


def test_without_gates_it_is_a_polynomial():
    """Of degree 2^depth: differences of one order more vanish."""
    layer = EquivariantMLP(
        VECTOR, SCALAR, 1, 1, hidden=2 * SCALAR + 2 * VECTOR, depth=2, gate_scale=0.0
    )
    params = layer.init(key=KEY)
    x = jax.random.normal(KEY, (3, 1))
    steps = jnp.arange(6.0)[:, None, None] - 2.5
    values = jax.jit(jax.vmap(layer.apply, (None, 0)))(params, steps * x[None])
    values = np.asarray(values).ravel()
    fifth = np.diff(values, 5)
    # Differences sum 2^5 roundings of the values.
    assert np.max(np.abs(fifth)) < 1e-13 * np.max(np.abs(values))
    assert np.max(np.abs(np.diff(values, 4))) > 1e-3 * np.max(np.abs(values))


def test_survives_json_and_has_layers_to_learn():
    assert spec_from_json(spec_to_json(LAYER)) == LAYER
    params = parameters()
    assert set(params) == {"block_0", "out"}
    shapes = jax.tree.map(lambda a: a.shape, params["block_0"]["left"]["weights"])
    # Two vectors have a gate each.
    assert shapes == {"0e": (1, 1, 5), "1o": (1, 2, 2)}


@pytest.mark.usefixtures("user_errors")
def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="different groups"):
        EquivariantMLP(VECTOR, VECTOR, 1, 1, hidden=uniform(groups.SO(3), 9))
    with pytest.raises(ValueError, match="must be a sum of irreps"):
        EquivariantMLP(VECTOR, VECTOR, 1, 1, hidden=reps.standard(O3) ** 2)
    with pytest.raises(ValueError, match=r"every irrep of `rep_in`.*1o"):
        EquivariantMLP(VECTOR, SCALAR, 1, 1, hidden=3 * SCALAR)
    with pytest.raises(ValueError, match=r"every irrep of `rep_out`.*1o"):
        EquivariantMLP(SCALAR, VECTOR, 1, 1, hidden=3 * SCALAR)
