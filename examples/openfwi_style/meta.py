"""Steps of a fit that are learned (Meta-SGD), for a decoder that is trained already."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from problem import Problem, Setting
from training import Preset, residual_loss

from eqjax import eikonal, fitting

NUM_STEPS = 5  # of a fit, as published
BATCH = 2
LEARNING_RATE = 3e-3
SCALES = {"context": 1.0, "pose": 0.05, "window": 0.05}  # of a first step of 1


def fit(
    setting: Setting,
    field: eikonal.TravelTimeField,
    preset: Preset,
    params: Any,
    learned: Any,
    example: Problem,
    key: jax.Array,
) -> Any:
    """The latents of ONE field after the learned steps."""
    tangent = setting.moves["zero_tangent"](learned["latents"])
    scales = jax.tree.map(
        lambda scale, leaf: jnp.full(leaf.shape, scale, leaf.dtype), SCALES, tangent
    )
    return fitting.meta_sgd(
        lambda params, z, key: residual_loss(
            setting, field, preset, params, z, (example, key)
        ),
        params,
        learned["rates"],
        learned["latents"],
        jax.random.split(key, NUM_STEPS),
        num_steps=NUM_STEPS,
        scales=scales,
        **setting.moves,
    ).latents


def learn(
    setting: Setting,
    field: eikonal.TravelTimeField,
    preset: Preset,
    params: Any,
    start: Any,
    problem: Problem,
    num_steps: int,
    seed: int,
) -> tuple[dict[str, Any], jax.Array]:
    """Latents to start from and rates of every coordinate; the losses on the way."""
    tangent = setting.moves["zero_tangent"](start)
    rates = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.log(0.1)), tangent)
    learned = {"latents": start, "rates": rates}
    schedule = optax.cosine_decay_schedule(LEARNING_RATE, num_steps, alpha=0.05)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.partition(
            {"latents": optax.adam(schedule), "rates": optax.adam(10 * LEARNING_RATE)},
            {"latents": "latents", "rates": "rates"},
        ),
    )

    def loss(learned: Any, example: Problem, key: jax.Array) -> jax.Array:
        key_fit, key_test = jax.random.split(key)
        latents = fit(setting, field, preset, params, learned, example, key_fit)
        batch = (example, key_test)
        return residual_loss(setting, field, preset, params, latents, batch)

    @jax.jit
    def step(learned: Any, state: Any, key: jax.Array) -> Any:
        key_rows, key_fits = jax.random.split(key)
        rows = jax.random.randint(key_rows, (BATCH,), 0, len(problem.speeds))
        batch = jax.tree.map(lambda leaf: leaf[rows], problem)
        keys = jax.random.split(key_fits, BATCH)

        def mean_loss(learned: Any) -> jax.Array:
            return jnp.mean(jax.vmap(loss, (None, 0, 0))(learned, batch, keys))

        value, gradient = jax.value_and_grad(mean_loss)(learned)
        update, state = optimizer.update(gradient, state)
        return optax.apply_updates(learned, update), state, value

    state, losses = optimizer.init(learned), []
    for key in jax.random.split(jax.random.key(seed), num_steps):
        learned, state, value = step(learned, state, key)
        losses.append(value)
    return learned, jnp.stack(losses)
