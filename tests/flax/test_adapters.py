"""Adapters: the same numbers, gradients and parameters on both sides."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx, serialization

from eqjax.flax import AsLinen, AsNNX, FromLinen


@dataclasses.dataclass(frozen=True)
class Affine:
    """Two inputs, nested parameters."""

    num_in: int
    num_out: int

    def init(self, *, key):
        names = ("w", "shift")
        keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))
        return {
            "linear": {"w": jax.random.normal(keys["w"], (self.num_out, self.num_in))},
            "shift": jax.random.normal(keys["shift"], (self.num_out,)),
        }

    def apply(self, params, x, y, *, scale=1.0):
        return scale * jnp.tanh(params["linear"]["w"] @ x) * y + params["shift"]


@dataclasses.dataclass(frozen=True)
class Square:
    """No parameters."""

    def init(self, *, key):
        return {}

    def apply(self, params, x):
        assert params == {}
        return x * x


LAYER = Affine(3, 5)
X = jnp.linspace(-1.0, 2.0, 3)
Y = jnp.linspace(0.5, 1.5, 5)


class HandedKey(nn.Module):
    """The key that linen hands to a module at the top."""

    @nn.compact
    def __call__(self):
        return self.make_rng("params")


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def assert_close(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        # The same operations in float64, fused in other ways.
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-13)


def test_linen_parameters_are_those_of_the_layer():
    key = jax.random.key(7)
    variables: Any = AsLinen(LAYER).init(key, X, Y)
    handed, _ = HandedKey().init_with_output(key)
    assert_same(dict(variables), {"params": LAYER.init(key=handed)})
    assert_same(variables, AsLinen(LAYER).init(key, X, Y))
    other: Any = AsLinen(LAYER).init(jax.random.key(8), X, Y)
    assert not np.array_equal(variables["params"]["shift"], other["params"]["shift"])


def test_linen_applies_the_layer():
    module = AsLinen(LAYER)
    params = LAYER.init(key=jax.random.key(1))
    variables = {"params": params}
    expected = LAYER.apply(params, X, Y, scale=2.0)
    apply = jax.jit(lambda v, x, y: module.apply(v, x, y, scale=2.0))
    assert_same(module.apply(variables, X, Y, scale=2.0), expected)
    assert_close(apply(variables, X, Y), expected)
    xs = jnp.stack([X, -X])
    batched = jax.vmap(module.apply, (None, 0, None))(variables, xs, Y)
    assert_close(batched, jax.vmap(LAYER.apply, (None, 0, None))(params, xs, Y))


def test_linen_gradients_are_those_of_the_layer():
    params = LAYER.init(key=jax.random.key(1))
    module: Any = AsLinen(LAYER)
    through = jax.grad(lambda p, x: jnp.sum(module.apply({"params": p}, x, Y)), (0, 1))
    direct = jax.grad(lambda p, x: jnp.sum(LAYER.apply(p, x, Y)), (0, 1))
    assert_close(through(params, X), direct(params, X))


def test_linen_composes_with_modules_and_init_traces():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            shared = AsLinen(LAYER, name="shared")
            h = shared(x, Y)
            h = nn.Dense(3, param_dtype=h.dtype)(h)
            return AsLinen(Square())(shared(h, Y))

    model = Model()
    variables = model.init(jax.random.key(0), X)
    assert set(variables["params"]) == {"shared", "Dense_0"}
    assert set(variables["params"]["shared"]) == {"linear", "shift"}
    abstract: Any = jax.eval_shape(model.init, jax.random.key(0), X)
    assert jax.tree.structure(abstract) == jax.tree.structure(variables)
    assert_close(jax.jit(model.init)(jax.random.key(0), X), variables)
    shared = variables["params"]["shared"]
    dense = variables["params"]["Dense_0"]
    h = LAYER.apply(shared, X, Y) @ dense["kernel"] + dense["bias"]
    assert_close(model.apply(variables, X), LAYER.apply(shared, h, Y) ** 2)
    restored = serialization.from_bytes(variables, serialization.to_bytes(variables))
    assert_same(restored["params"], variables["params"])


@pytest.mark.usefixtures("standard_promotion")
def test_optax_trains_through_linen():
    module: Any = AsLinen(LAYER)
    tx = optax.adam(0.1)
    target = jnp.zeros(5)
    variables = module.init(jax.random.key(0), X, Y)

    def loss(v):
        return jnp.sum((module.apply(v, X, Y) - target) ** 2)

    @jax.jit
    def step(v, opt):
        updates, opt = tx.update(jax.grad(loss)(v), opt)
        return optax.apply_updates(v, updates), opt

    opt, before = tx.init(variables), loss(variables)
    for _ in range(30):
        variables, opt = step(variables, opt)
    assert loss(variables) < before / 10


def test_linen_without_parameters():
    module = AsLinen(Square())
    variables = module.init(jax.random.key(0), X)
    assert "params" not in variables
    assert_same(module.apply(variables, X), X * X)
    assert_same(module.apply({"params": {}}, X), X * X)


def test_nnx_parameters_are_those_of_the_layer():
    key = jax.random.key(7)
    module = AsNNX(LAYER, rngs=nnx.Rngs(key))
    params = LAYER.init(key=nnx.Rngs(key).params())
    state = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    assert_same(state, {"params": params})
    assert isinstance(module.params["linear"]["w"], nnx.Param)


def test_nnx_applies_the_layer():
    module = AsNNX(LAYER, rngs=nnx.Rngs(0))
    params = nnx.to_pure_dict(nnx.state(module, nnx.Param))["params"]
    expected = LAYER.apply(params, X, Y, scale=2.0)
    assert_same(module(X, Y, scale=2.0), expected)
    assert_close(nnx.jit(lambda m, x: m(x, Y, scale=2.0))(module, X), expected)
    xs = jnp.stack([X, -X])
    batched = nnx.vmap(lambda m, x: m(x, Y), in_axes=(None, 0))(module, xs)
    assert_close(batched, jax.vmap(lambda x: LAYER.apply(params, x, Y))(xs))


def test_nnx_gradients_are_those_of_the_layer():
    module = AsNNX(LAYER, rngs=nnx.Rngs(0))
    params = nnx.to_pure_dict(nnx.state(module, nnx.Param))["params"]
    through = nnx.grad(lambda m: jnp.sum(m(X, Y)))(module)
    direct = jax.grad(lambda p: jnp.sum(LAYER.apply(p, X, Y)))(params)
    assert_close(nnx.to_pure_dict(through)["params"], direct)


def test_nnx_splits_and_merges():
    module = AsNNX(LAYER, rngs=nnx.Rngs(0))
    graph, state = nnx.split(module)
    assert_same(nnx.merge(graph, state)(X, Y), module(X, Y))
    doubled = jax.tree.map(lambda x: 2 * x, state)
    params = nnx.to_pure_dict(doubled)["params"]
    assert_same(nnx.merge(graph, doubled)(X, Y), LAYER.apply(params, X, Y))
    nnx.update(module, doubled)
    assert_same(module(X, Y), LAYER.apply(params, X, Y))


@pytest.mark.usefixtures("standard_promotion")
def test_nnx_optimizer_moves_the_parameters():
    module = AsNNX(LAYER, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(module, optax.adam(0.1), wrt=nnx.Param)

    def loss(m):
        return jnp.sum(m(X, Y) ** 2)

    @nnx.jit
    def step(module, optimizer):
        optimizer.update(module, nnx.grad(loss)(module))

    before = loss(module)
    for _ in range(30):
        step(module, optimizer)
    assert loss(module) < before / 10


def test_nnx_without_parameters():
    module = AsNNX(Square(), rngs=nnx.Rngs(0))
    assert not nnx.to_pure_dict(nnx.state(module))
    assert_same(module(X), X * X)


class Bilinear(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x, y, *, double=False):
        shape = (self.features, 3, 5)
        kernel = self.param("kernel", nn.initializers.normal(), shape, x.dtype)
        out = jnp.einsum("fij,i,j->f", kernel, x, y)
        return 2.0 * out if double else out


def test_from_linen_is_a_layer():
    module = Bilinear(2)
    inputs = (X.astype(jnp.float32), Y.astype(jnp.float32))
    layer = FromLinen(module, inputs)
    assert layer == FromLinen(Bilinear(2), inputs)
    assert hash(layer) == hash(FromLinen(Bilinear(2), inputs))
    assert layer != FromLinen(Bilinear(3), inputs)
    key = jax.random.key(3)
    params = layer.init(key=key)
    assert_same(params, module.init(key, *inputs)["params"])
    expected = module.apply({"params": params}, *inputs, double=True)
    assert_same(layer.apply(params, *inputs, double=True), expected)
    grads = jax.jit(jax.grad(lambda p: jnp.sum(layer.apply(p, *inputs))))(params)
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    xs = jnp.stack([inputs[0]] * 4)
    out = jax.vmap(lambda x: layer.apply(params, x, inputs[1]))(xs)
    assert out.shape == (4, 2)


def test_from_linen_passes_random_streams_on():
    layer = FromLinen(nn.Dropout(0.5, deterministic=False), (X,))
    a, b = (
        layer.apply({}, jnp.ones(64), rngs={"dropout": jax.random.key(i)})
        for i in (0, 1)
    )
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("layer", [LAYER, Square()])
def test_round_trip(layer):
    inputs = (X, Y) if layer is LAYER else (X,)
    back = FromLinen(AsLinen(layer), inputs)
    key = jax.random.key(0)
    params = back.init(key=key)
    assert jax.tree.structure(params) == jax.tree.structure(layer.init(key=key))
    assert_same(back.apply(params, *inputs), layer.apply(params, *inputs))
    again = AsNNX(back, rngs=nnx.Rngs(0))
    state = nnx.to_pure_dict(nnx.state(again)).get("params", {})
    assert_same(again(*inputs), layer.apply(state, *inputs))


def test_misuse_is_refused():
    batch_norm = nn.BatchNorm(use_running_average=True)
    layer = FromLinen(batch_norm, (jnp.ones((2, 3), jnp.float32),))
    with pytest.raises(ValueError, match=r"batch_stats.*LayerNorm"):
        layer.init(key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"`inputs\[1\]`"):
        FromLinen(nn.Dense(2), (X, 3.0))
    for wrong in (object(), Affine, nn.Dense(2)):
        with pytest.raises(ValueError, match="`layer` must be a layer spec"):
            AsNNX(wrong, rngs=nnx.Rngs(0))
        with pytest.raises(ValueError, match="`layer` must be a layer spec"):
            AsLinen(wrong)

    @dataclasses.dataclass(frozen=True)
    class Bare:
        def init(self, *, key):
            return jnp.ones(3)

        def apply(self, params, x):
            return params * x

    with pytest.raises(ValueError, match="nested dict"):
        AsNNX(Bare(), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="nested dict"):
        AsLinen(Bare()).init(jax.random.key(0), X)
