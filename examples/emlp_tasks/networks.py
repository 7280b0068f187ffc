"""The two networks of a task, of about as many weights, and how both are trained."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from tasks import Task

from eqjax import nn

CLIP = 1.0  # of the gradient's norm


@dataclass(frozen=True)
class Equivariant:
    """`nn.EquivariantMLP` on vectors, which are features of one channel."""

    layers: nn.EquivariantMLP
    learning_rate: float = 2e-2

    def init(self, *, key: jax.Array) -> Any:
        """As the layers do."""
        return self.layers.init(key=key)

    def apply(self, params: Any, x: jax.Array) -> Any:
        """From a vector to a vector."""
        y: Any = self.layers.apply(params, x[:, None])
        return y[:, 0]


@dataclass(frozen=True)
class Mlp:
    """What one would take without a group."""

    sizes: tuple[int, ...]
    learning_rate: float = 3e-3

    def init(self, *, key: jax.Array) -> Any:
        """Normal weights that keep variances, and zero biases."""
        keys = jax.random.split(key, len(self.sizes) - 1)
        pairs = zip(keys, itertools.pairwise(self.sizes), strict=True)
        return [
            {"w": jax.random.normal(key, (a, b)) / math.sqrt(a), "b": jnp.zeros(b)}
            for key, (a, b) in pairs
        ]

    def apply(self, params: Any, x: jax.Array) -> Any:
        """From a vector to a vector."""
        for layer in params[:-1]:
            x = jax.nn.silu(x @ layer["w"] + layer["b"])
        return x @ params[-1]["w"] + params[-1]["b"]


def find_networks(task: Task) -> dict[str, Any]:
    """By name; the width of the MLP is that which brings it to the same size."""
    layers = nn.EquivariantMLP(
        task.rep_in,
        task.rep_out,
        1,
        1,
        hidden=task.hidden,
        depth=2,
        product_scale=1.0,
        gate_scale=task.gate_scale,
    )
    ours = Equivariant(layers)
    num_in, num_out, width = task.rep_in.dim, task.rep_out.dim, 2
    while num_weights(Mlp((num_in, *[width] * 3, num_out))) < num_weights(ours):
        width += 1
    return {"equivariant": ours, "MLP": Mlp((num_in, *[width] * 3, num_out))}


def num_weights(network: Any) -> int:
    """The number of all parameters."""
    leaves = jax.eval_shape(partial(network.init, key=jax.random.key(0)))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(leaves))


def mean_square_error(network: Any, params: Any, x: jax.Array, y: jax.Array) -> Any:
    """Over examples and components."""
    return jnp.mean((jax.vmap(partial(network.apply, params))(x) - y) ** 2)


@partial(jax.jit, static_argnums=0)
@partial(jax.vmap, in_axes=(None, 0, 0, 0, 0))
def train(
    network: Any, xs: jax.Array, ys: jax.Array, batches: jax.Array, key: jax.Array
) -> tuple[Any, jax.Array]:
    """Adam on the mean square error, with a cosine schedule, for every seed.

    Args:
        network: Has `init`, `apply` and a learning rate.
        xs: Inputs, (seeds, samples, size).
        ys: Targets, likewise.
        batches: Which samples each step sees, (seeds, steps, batch).
        key: Of the initialization, (seeds,).

    Returns:
        Parameters, and the losses of all steps.
    """
    schedule = optax.cosine_decay_schedule(network.learning_rate, len(batches))
    optimizer = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(schedule))

    def step(carry: Any, rows: jax.Array) -> Any:
        params, state = carry
        loss = partial(mean_square_error, network)
        value, gradient = jax.value_and_grad(loss)(params, xs[rows], ys[rows])
        update, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, update), state), value

    params = network.init(key=key)
    (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), batches)
    return params, losses
