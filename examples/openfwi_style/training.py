"""Joint training of one decoder and the latents of many velocity fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from problem import Problem, Setting

from eqjax import eikonal, fields, fitting


@dataclass(frozen=True)
class Preset:
    """Sizes and rates of the training.

    Attributes:
        hidden: Width of the decoder.
        context_dim: Size of a latent's context.
        num_latents: Latents of a field.
        batch: Fields per step.
        num_pairs: Pairs of the residual, per field and step.
        rate_params: Learning rate of the decoder at the start.
        rate_context: That of contexts.
        rate_pose: That of poses.
        chunk_size: Pairs of the residual per chunk.
    """

    hidden: int = 48
    context_dim: int = 16
    num_latents: int = 9
    batch: int = 4
    num_pairs: int = 128
    rate_params: float = 2e-3
    rate_context: float = 1e-2
    rate_pose: float = 1e-3
    chunk_size: int | None = None


PRESETS = {
    "small": Preset(),
    # García-Castellanos et al. (2025), two-dimensional fields.
    "e_nes": Preset(128, 32, 9, 2, 5120, 1e-4, 1e-2, 1e-3, 640),
    "smoke": Preset(8, 4, 4, 2, 4),
}


def make_field(setting: Setting, preset: Preset) -> eikonal.TravelTimeField:
    """Travel times that move with the poses."""
    invariant = eikonal.PairInvariant(fields.RelativePose(setting.poses))
    return eikonal.TravelTimeField(
        invariant, context_dim=preset.context_dim, hidden=preset.hidden
    )


def begin(
    setting: Setting, field: eikonal.TravelTimeField, preset: Preset, key: jax.Array
) -> Any:
    """Parameters and latents that nothing has trained yet."""
    key_field, key_latents = jax.random.split(key)
    latents = fields.init_latents(
        field.space,
        setting.poses,
        num_latents=preset.num_latents,
        context_dim=preset.context_dim,
        domain=setting.domain,
        key=key_latents,
    )
    return {"params": jax.jit(field.init)(key=key_field), "latents": latents}


def residual_loss(
    setting: Setting,
    field: eikonal.TravelTimeField,
    preset: Preset,
    params: Any,
    latents: Any,
    batch: tuple[Problem, jax.Array],
) -> jax.Array:
    """|H - 1| / 2 at both ends of fresh pairs of ONE field."""
    example, key = batch
    s, r, speeds = setting.pairs(example.speeds, preset.num_pairs, key)
    return eikonal.residual_loss(
        field,
        params,
        latents,
        s,
        r,
        speeds,
        example.bounds,
        chunk_size=preset.chunk_size,
    )


def train(
    setting: Setting,
    field: eikonal.TravelTimeField,
    preset: Preset,
    problem: Problem,
    num_steps: int,
    seed: int,
    report: Callable[[int, jax.Array], None],
) -> fitting.JointState:
    """The decoder and a table of latents, one row per field."""
    num_fields = len(problem.speeds)

    def adam(rate: float, steps: int) -> optax.GradientTransformation:
        schedule = optax.cosine_decay_schedule(rate, steps, alpha=0.01)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    # The latents of a field have an optimizer of their own, which counts its visits.
    visits = max(num_steps * preset.batch // num_fields, 1)

    rates = {
        "context": preset.rate_context,
        "pose": preset.rate_pose,
        "window": preset.rate_pose,
    }
    latents_optimizer = optax.partition(
        {name: adam(rate, visits) for name, rate in rates.items()},
        {n: n for n in rates},
    )

    step = fitting.autodecode_step(
        partial(residual_loss, setting, field, preset),
        adam(preset.rate_params, num_steps),
        latents_optimizer,
        **setting.moves,
    )

    @partial(jax.jit, donate_argnums=0)
    def update(state: Any, rows: jax.Array, key: jax.Array) -> Any:
        keys = jax.random.split(key, preset.batch)
        batch = jax.tree.map(lambda leaf: leaf[rows], problem)
        return step.update(state, rows, (batch, keys))

    key_begin, key_steps = jax.random.split(jax.random.key(seed))
    start = begin(setting, field, preset, key_begin)
    table = jax.tree.map(
        lambda leaf: jnp.repeat(leaf[None], num_fields, axis=0), start["latents"]
    )
    state = step.init(start["params"], table)
    rng = np.random.default_rng(seed)
    for i in range(num_steps):
        rows = jnp.asarray(rng.choice(num_fields, preset.batch, replace=False))
        state, losses = update(state, rows, jax.random.fold_in(key_steps, i))
        report(i + 1, losses)
    return state
