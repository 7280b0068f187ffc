"""Fields of radial basis functions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields._rbf_field import RBFField
from eqjax.fields._rbf_kernels import precision_factors

PLAIN: dict[str, Any] = {"waves": None, "normalize": False, "num_neighbors": None}
PLAIN |= {"num_layers": 0}


def random_kernels(num: int, dim: int, num_features: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    shapes = {"center": (num, dim), "factor": (num, dim * (dim + 1) // 2)}
    shapes["feature"] = (num, num_features)
    return {name: jnp.asarray(rng.normal(size=s)) for name, s in shapes.items()}


def test_plain_sum_of_kernels() -> None:
    kernels = random_kernels(5, 3, 2)
    x = np.array([0.3, -0.2, 0.5])
    factor = np.asarray(precision_factors(kernels))
    seen = np.einsum("kij,ki->kj", factor, x - np.asarray(kernels["center"]))
    q = np.sum(seen * seen, axis=-1)
    kernels_of: dict[Any, Any] = {"gaussian": np.exp(-q / 2)}
    kernels_of["inverse_quadratic"] = 1 / (1 + q)
    for kernel, phi in kernels_of.items():
        field = RBFField(3, num_out=2, num_features=2, kernel=kernel, **PLAIN)
        f = field.apply({}, field.prepare({}, kernels), jnp.asarray(x))
        np.testing.assert_allclose(f, phi @ np.asarray(kernels["feature"]), rtol=1e-13)


def test_published_form() -> None:
    """Normalized kernels, sines of them, a first layer with sines: eight lines."""
    field = RBFField(2, num_out=3, num_features=4, hidden=5)
    kernels = random_kernels(7, 2, 4)
    params = jax.jit(field.init)(key=jax.random.key(0))
    prepared, x = field.prepare(params, kernels), jnp.array([0.3, -0.2])
    layers = [
        jax.tree.map(np.asarray, params[f"layer_{i}"]) for i in range(len(params))
    ]
    offset = np.asarray(x) - np.asarray(kernels["center"])
    q = np.sum(np.einsum("kij,ki->kj", np.asarray(prepared["factor"]), offset) ** 2, -1)
    near = np.argsort(q)[:4]
    phi = 1 / (1 + q[near])
    phi = phi / (np.sum(phi) + 1e-8)
    waves = np.sin(phi[:, None] * np.geomspace(2.0**-3, 2.0**12, 4))
    h = np.sum(np.asarray(kernels["feature"])[near] * waves, axis=0)
    for i, layer in enumerate(layers):
        h = h @ layer["kernel"] + layer["bias"]
        if i == 0:
            h = h + np.sin(np.geomspace(10, 100, 5) * h)
        elif i < 3:
            h = np.maximum(h, 0)
    f, given = jax.jit(
        lambda x: [
            field.apply(params, prepared, x, neighbors=near)
            for near in (None, field.nearest(prepared, x))
        ]
    )(x)
    # Waves of frequency 4096 and then 100 multiply rounding.
    np.testing.assert_allclose(f, h, rtol=1e-9)
    np.testing.assert_allclose(given, f, rtol=1e-9)


def test_all_neighbors_are_no_neighbors() -> None:
    kernels, x = random_kernels(5, 2, 1), jnp.array([0.3, -0.2])
    every = RBFField(2, num_features=1, **PLAIN)
    few = dataclasses.replace(every, num_neighbors=5)
    f, g = (net.apply({}, net.prepare({}, kernels), x) for net in (few, every))
    np.testing.assert_allclose(f, g, rtol=1e-14)


def test_neighbors_are_near_in_the_kernels_own_metric() -> None:
    field = RBFField(2, num_features=1, num_neighbors=1)
    # The farther center has the flatter kernel.
    kernels = {"center": jnp.array([[1.0, 0.0], [-2.0, 0.0]])}
    kernels["factor"] = jnp.array([[5.0, 0.0, 5.0], [-2.0, 0.0, -2.0]])
    kernels["feature"] = jnp.ones((2, 1))
    prepared = field.prepare({}, kernels)
    assert field.nearest(prepared, jnp.zeros(2)).tolist() == [1]


@pytest.mark.parametrize("num_factors", [1, 1536])
def test_many_kernels_at_many_coordinates(num_factors: int) -> None:
    """Sizes at which a compiler has been wrong."""
    field = RBFField(2, num_features=1, kernel="gaussian", num_neighbors=3)
    rng = np.random.default_rng(0)
    factor = np.tril(rng.normal(size=(num_factors, 2, 2)))
    center, xs = rng.normal(size=(1536, 2)), rng.normal(size=(3, 2))
    prepared = {"factor": jnp.asarray(factor), "center": jnp.asarray(center)}
    found = jax.jit(jax.vmap(lambda x: field.nearest(prepared, x)))(jnp.asarray(xs))
    offset = xs[:, None] - center[None]
    q = np.sum(
        np.einsum("kij,xki->xkj", np.tile(factor, (1536 // num_factors, 1, 1)), offset)
        ** 2,
        -1,
    )
    np.testing.assert_array_equal(found, np.argsort(q, axis=-1)[:, :3])


def test_a_shared_factor_stands_for_equal_ones() -> None:
    field = RBFField(2, num_features=1, kernel="gaussian", **PLAIN)
    kernels = random_kernels(5, 2, 1)
    one = {**kernels, "factor": kernels["factor"][:1]}
    copies = {**kernels, "factor": jnp.tile(kernels["factor"][:1], (5, 1))}
    f, g = (field.apply({}, field.prepare({}, k), jnp.ones(2)) for k in (one, copies))
    np.testing.assert_allclose(f, g, rtol=1e-15)


@pytest.mark.usefixtures("user_errors")
def test_misuse() -> None:
    with pytest.raises(ValueError, match="`num_features` must be `num_out` = 1"):
        RBFField(2, num_layers=0)
    with pytest.raises(ValueError, match="`waves` must be a positive number"):
        RBFField(2, waves=(0.0, 1.0))
    field = RBFField(2, num_features=3)
    with pytest.raises(ValueError, match=r"`num_neighbors` is 4, but .* only 3"):
        field.prepare({}, random_kernels(3, 2, 3))
    with pytest.raises(ValueError, match=r"kernels\['feature'\].*\(5, 3\).*\(5, 2\)"):
        field.prepare({}, random_kernels(5, 2, 2))
