"""Networks of sines."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields._siren import Siren

NETWORK = Siren(
    3, 2, hidden=7, num_layers=2, first_frequency=11.0, hidden_frequency=2.0
)


def network_on_rows(network: Siren, params: Any, xs: jax.Array) -> jax.Array:
    """The outputs for many inputs."""
    return jax.vmap(lambda x: network.apply(params, x))(xs)


def test_it_is_sines_and_a_linear_layer() -> None:
    params = jax.jit(NETWORK.init)(key=jax.random.key(0))
    x = np.array([0.3, -0.7, 0.5])
    y = x
    for k, frequency in enumerate((11.0, 2.0)):
        layer = jax.tree.map(np.asarray, params[f"sine_{k}"])
        y = np.sin(frequency * (y @ layer["kernel"] + layer["bias"]))
    y = y @ np.asarray(params["linear"]["kernel"]) + np.asarray(
        params["linear"]["bias"]
    )
    # Rounding of phases of size ten.
    np.testing.assert_allclose(NETWORK.apply(params, jnp.asarray(x)), y, atol=1e-14)


def test_initial_bounds() -> None:
    network = Siren(3, 500, hidden=400, hidden_frequency=2.0)
    params = jax.jit(network.init)(key=jax.random.key(0))
    later = np.sqrt(6 / 400) / 2
    for name, bound in (("sine_0", 1 / 3), ("sine_1", later), ("linear", later)):
        for leaf in jax.tree.leaves(params[name]):
            # The largest of 400 uniform numbers misses the bound by more than 5 %
            # once in 1e9 times.
            assert 0.95 * bound < np.max(np.abs(leaf)) <= bound


def test_size_of_the_results() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (200, 3))
    variance = 1.0
    for num_layers in (1, 2):
        network = Siren(3, 300, hidden=300, num_layers=num_layers)
        params = jax.jit(network.init)(key=jax.random.key(0))
        y = network_on_rows(network, params, jnp.asarray(x))
        # 1 behind sines of uniform phases, whose variance is 1/2; sines of normal
        # phases of variance v have (1 - exp(-2 v)) / 2. Errors are a few percent, as
        # there are 300 sines.
        np.testing.assert_allclose(np.std(y), np.sqrt(variance), rtol=0.05)
        variance = 1 - np.exp(-2 * variance)


def test_no_layers_are_a_linear_map() -> None:
    network = Siren(3, 2, num_layers=0)
    params = jax.jit(network.init)(key=jax.random.key(0))
    assert set(params) == {"linear"}
    x, y = np.random.default_rng(0).normal(size=(2, 3))
    line = jnp.asarray(np.stack([x, y, (x + y) / 2]))
    f = network_on_rows(network, params, line)
    np.testing.assert_allclose(f[2], (f[0] + f[1]) / 2, atol=1e-15)


def test_keeps_the_dtype() -> None:
    init = functools.partial(NETWORK.init, dtype=jnp.float32)
    params = jax.eval_shape(init, key=jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    x = jnp.ones(3, jnp.float32)
    assert jax.eval_shape(NETWORK.apply, params, x).dtype == jnp.float32


@pytest.mark.usefixtures("user_errors")
def test_misuse() -> None:
    with pytest.raises(ValueError, match=r"`x` must be .*\(3\).*\(5, 3\).*vmap"):
        NETWORK.apply({}, jnp.ones((5, 3)))
    with pytest.raises(ValueError, match="`hidden_frequency` must be a positive"):
        Siren(3, 2, hidden_frequency=0.0)
    with pytest.raises(ValueError, match="`num_layers` must be an integer"):
        Siren(3, 2, num_layers=-1)
