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
from problem import Problem, Setting, Taught

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
        num_taught: Pairs of the teacher, per field and step; 0 for no teacher.
        num_sources: Random sources of each field that the grid solver teaches from.
        taught_share: Share of the steps that see the teacher alone; the others see
            both.
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
    num_taught: int = 256
    num_sources: int = 24
    taught_share: float = 0.75
    rate_params: float = 2e-3
    rate_context: float = 2e-2
    rate_pose: float = 2e-3
    chunk_size: int | None = None


PRESETS = {
    "small": Preset(),
    # García-Castellanos et al. (2025), two-dimensional fields.
    "e_nes": Preset(128, 32, 9, 2, 5120, 0, 0, 0.0, 1e-4, 1e-2, 1e-3, 640),
    "smoke": Preset(8, 4, 4, 2, 4, 8, 2),
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


def taught_loss(
    setting: Setting,
    field: eikonal.TravelTimeField,
    preset: Preset,
    params: Any,
    latents: Any,
    batch: tuple[Problem, Taught, jax.Array],
) -> jax.Array:
    """|T / T* - 1| at random pairs of ONE field's grid solutions."""
    example, taught, key = batch
    s, r, times = setting.taught_pairs(taught, preset.num_taught, key)
    return eikonal.teacher_loss(field, params, latents, s, r, times, example.bounds)


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

    key_begin, key_steps, key_sources = jax.random.split(jax.random.key(seed), 3)
    keys = jax.random.split(key_sources, num_fields)
    taught = None
    if preset.num_taught:
        solve = jax.jit(lambda v, key: setting.solve(v, preset.num_sources, key))
        taught = jax.tree.map(
            lambda *leaves: jnp.stack(leaves),
            *map(solve, problem.speeds, keys),
        )

    def loss(params: Any, z: Any, batch: Any, with_residual: bool) -> jax.Array:
        example, taught, key = batch
        total = jnp.zeros(())
        if taught is not None:
            total += taught_loss(setting, field, preset, params, z, batch)
        if with_residual:
            total += residual_loss(setting, field, preset, params, z, (example, key))
        return total

    def stepper(with_residual: bool) -> fitting.JointStep:
        return fitting.autodecode_step(
            partial(loss, with_residual=with_residual),
            adam(preset.rate_params, num_steps),
            latents_optimizer,
            **setting.moves,
        )

    steps = {with_residual: stepper(with_residual) for with_residual in (False, True)}

    @partial(jax.jit, donate_argnums=0, static_argnums=3)
    def update(state: Any, rows: jax.Array, key: jax.Array, with_residual: bool) -> Any:
        keys = jax.random.split(key, preset.batch)
        batch = jax.tree.map(lambda leaf: leaf[rows], (problem, taught))
        return steps[with_residual].update(state, rows, (*batch, keys))

    start = begin(setting, field, preset, key_begin)
    table = jax.tree.map(
        lambda leaf: jnp.repeat(leaf[None], num_fields, axis=0), start["latents"]
    )
    state = steps[True].init(start["params"], table)
    num_alone = round(preset.taught_share * num_steps) if preset.num_taught else 0
    rng = np.random.default_rng(seed)
    for i in range(num_steps):
        rows = jnp.asarray(rng.choice(num_fields, preset.batch, replace=False))
        key = jax.random.fold_in(key_steps, i)
        state, losses = update(state, rows, key, i >= num_alone)
        report(i + 1, losses)
    return state
