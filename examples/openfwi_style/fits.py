"""Fits of the latents of ONE new velocity field, with the decoder frozen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from problem import Problem, Setting
from training import Preset, residual_loss

from eqjax import eikonal, fitting

FIT_PAIRS = 256  # of Adam, fresh in every step


def adam(
    setting: Setting,
    field: eikonal.TravelTimeField,
    preset: Preset,
    params: Any,
    start: Any,
    example: Problem,
    num_steps: int,
    rates: tuple[float, float],
    key: jax.Array,
) -> Any:
    """Adam on the eikonal residual; `rates` of contexts and of poses."""
    schedule = optax.cosine_decay_schedule(1.0, num_steps, alpha=0.05)
    context, pose = rates
    scales = dict.fromkeys(start, pose) | {"context": context}
    optimizer = optax.chain(
        optax.scale_by_adam(),
        optax.scale_by_learning_rate(schedule),
        optax.stateless(lambda update, _: jax.tree.map(jnp.multiply, scales, update)),
    )
    few = replace(preset, num_pairs=FIT_PAIRS, chunk_size=None)
    return fitting.autodecode(
        lambda params, z, key: residual_loss(
            setting, field, few, params, z, (example, key)
        ),
        optimizer,
        params,
        start,
        jax.random.split(key, num_steps),
        num_steps=num_steps,
        **setting.moves,
    ).latents


def newton_on_residual(
    setting: Setting,
    field: eikonal.TravelTimeField,
    params: Any,
    start: Any,
    example: Problem,
    num_steps: int,
    num_pairs: int,
    key: jax.Array,
) -> Any:
    """Gauss-Newton on the Hamiltonian's residual at the same pairs in every step."""

    def residuals(params: Any, z: Any, pair: Any) -> jax.Array:
        s, r, speeds = pair
        prepared = field.prepare(params, z)
        return eikonal.eikonal_residual(
            field, params, prepared, s, r, speeds, example.bounds
        )

    return fitting.gauss_newton(
        residuals,
        params,
        start,
        setting.pairs(example.speeds, num_pairs, key),
        num_steps=num_steps,
        robust="l1",
        **setting.moves,
    ).latents


def newton_on_times(
    setting: Setting,
    field: eikonal.TravelTimeField,
    params: Any,
    start: Any,
    example: Problem,
    num_steps: int,
    num_pairs: int,
    num_sources: int,
    key: jax.Array,
) -> Any:
    """Gauss-Newton on T / T* - 1, the grid solver's T* computed here and now."""
    key_sources, key_pairs = jax.random.split(key)
    taught = setting.solve(example.speeds, num_sources, key_sources)

    def residuals(params: Any, z: Any, pair: Any) -> jax.Array:
        s, r, target = pair
        time = field.times(params, field.prepare(params, z), s, r, example.bounds)
        usable = target > 0
        error = time / jnp.where(usable, target, 1) - 1
        return jnp.where(usable, error, 0)[None]

    return fitting.gauss_newton(
        residuals,
        params,
        start,
        setting.taught_pairs(taught, num_pairs, key_pairs),
        num_steps=num_steps,
        **setting.moves,
    ).latents
