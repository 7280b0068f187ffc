"""Travel times between any two points of one complex velocity model.

The benchmarks of the neural eikonal solver (NES): a smoothed part of the
Marmousi model, one small network, errors at three sources against a refined grid
solution. See README.md.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from matplotlib.figure import Figure
from model import Model, load
from rich.console import Console

from eqjax import eikonal, spaces


@dataclass(frozen=True)
class Config:
    """Two-point travel times of one velocity model.

    Attributes:
        data: The smoothed Marmousi model (.npy, 1361 x 281 nodes); default: a random
            faulted model of the same size.
        out: Folder of the picture and of result.json.
        steps: Number of training steps.
        batch: Pairs of the teacher per step.
        pairs: Pairs of the eikonal residual per step; 0 for none.
        teacher_sources: Random sources whose grid solutions teach; 0 for the residual
            alone, as published.
        one_point: Only times from the source in the middle, by a smaller network on
            the residual alone: the one-point benchmark.
        residual_weight: Weight of the residual beside the teacher's error.
        learning_rate: Of Adam at the start; it falls as a cosine.
        smoke: A run of seconds that only shows that everything works.
        seed: Of initialization and batches.
    """

    data: Path | None = None
    out: Path = Path("runs/marmousi")
    steps: int = 8_000
    batch: int = 4_096
    pairs: int = 0
    teacher_sources: int = 300
    one_point: bool = False
    residual_weight: float = 0.2
    learning_rate: float = 3e-3
    smoke: bool = False
    seed: int = 0


def make_loss(
    field: eikonal.SingleTravelTimeField, model: Model, config: Config
) -> Any:
    """|T / T_grid - 1| at random pairs, the residual at fresh pairs, or both."""
    domain = spaces.Box((-model.half,) * 2, (model.half,) * 2)
    bounds = model.bounds

    def loss(params: Any, arrays: dict[str, jax.Array], key: jax.Array) -> jax.Array:
        key_taught, key_pairs = jax.random.split(key)
        total = jnp.zeros(())
        if config.teacher_sources:
            times = arrays["times"]
            index = jax.random.randint(key_taught, (config.batch,), 0, times.size)
            source, row, col = jnp.unravel_index(index, times.shape)
            r = model.node(jnp.stack([row, col], axis=-1))
            s = arrays["sources"][source]
            found = times[source, row, col]
            total += eikonal.teacher_loss(field, params, {}, s, r, found, bounds)
        if config.pairs:
            s, r = eikonal.sample_pairs(
                domain, field.space, config.pairs, near_share=0.1, key=key_pairs
            )
            if config.one_point:
                s = jnp.broadcast_to(model.sources, s.shape)
            speed = jax.vmap(lambda x: model.velocity.at(arrays["speeds"], x))
            speeds = jnp.stack([speed(s), speed(r)], axis=-1)
            weight = config.residual_weight if config.teacher_sources else 1.0
            total += weight * eikonal.residual_loss(
                field, params, {}, s, r, speeds, bounds
            )
        return total

    return loss


def train(
    field: eikonal.SingleTravelTimeField, model: Model, config: Config, report: Any
) -> Any:
    """Adam with a cosine schedule; returns the parameters."""
    key_init, key_sources, key_steps = jax.random.split(jax.random.key(config.seed), 3)
    arrays = {"speeds": model.speeds}
    if config.teacher_sources:
        shape = (config.teacher_sources, 2)
        half = model.half
        sources = jax.random.uniform(key_sources, shape, minval=-half, maxval=half)
        arrays |= {"sources": sources, "times": model.times(sources)}
    params = jax.jit(field.init)(key=key_init)
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.steps, 0.003)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    loss = make_loss(field, model, config)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, arrays: Any, key: jax.Array) -> Any:
        value, gradient = jax.value_and_grad(loss)(params, arrays, key)
        update, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, update), state, value

    state = optimizer.init(params)
    for i in range(config.steps):
        key = jax.random.fold_in(key_steps, i)
        params, state, value = step(params, state, arrays, key)
        report(i + 1, params, value)
    return params


def draw(model: Model, found: jax.Array, wanted: jax.Array, path: Path) -> None:
    """Speed, fronts of both solutions from the middle source, and errors."""
    middle = len(found) // 2
    extent = (0, 2 * model.half, 2 * model.half, 0)
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    image = left.imshow(np.asarray(model.speeds).T, extent=extent, cmap="viridis")
    figure.colorbar(image, ax=left, label="km/s")
    levels = np.linspace(0, float(wanted[middle].max()), 16)
    kwargs: dict[str, Any] = {"levels": levels, "extent": extent, "origin": "upper"}
    left.contour(np.asarray(wanted[middle]).T, colors="white", linewidths=1, **kwargs)
    left.contour(
        np.asarray(found[middle]).T,
        colors="black",
        linewidths=1,
        linestyles="--",
        **kwargs,
    )
    left.set(title="speed; fronts: grid white, network dashed", xlabel="km")
    error = 1e3 * np.asarray(found[middle] - wanted[middle]).T
    limit = np.abs(error).max()
    image = right.imshow(error, extent=extent, cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(image, ax=right, label="ms")
    right.set(title="error of the network", xlabel="km")
    figure.savefig(path, dpi=150)


def main(config: Config) -> None:
    """Trains, measures, draws."""
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, steps=3, batch=16, pairs=8, teacher_sources=2)
    if config.one_point:
        pairs = config.pairs or 4_096
        config = replace(config, teacher_sources=0, pairs=pairs)
    try:
        model = load(config.data, every=8 if config.smoke else 1)
    except (OSError, ValueError) as error:
        console.print(str(error))
        sys.exit(2)
    field = eikonal.SingleTravelTimeField(
        spaces.Euclidean(2), scale=model.half, frequency=3.0
    )
    if config.one_point:
        model = replace(model, test_nodes=((140, 140),))
        field = replace(field, hidden=50, num_layers=4)
    reference = model.reference(2 if config.smoke else 8)
    coarser = model.reference(1 if config.smoke else 4)
    evaluate = jax.jit(partial(model.neural_times, field))
    start = time.perf_counter()

    def errors(params: Any) -> dict[str, Any]:
        times = evaluate(params)
        metric = eikonal.relative_mean_absolute_error
        each = [float(metric(*pair)) for pair in zip(times, reference, strict=True)]
        return {"rmae": float(metric(times, reference)), "rmae_of_sources": each}

    def report(i: int, params: Any, value: jax.Array) -> None:
        if i % 1_000 == 0 or i == config.steps:
            seconds = time.perf_counter() - start
            # Measured and never used: nothing is chosen by it.
            rmae = 100 * errors(params)["rmae"]
            console.print(
                f"step {i}: loss {value:.4f}, RMAE {rmae:.3f} %, {seconds:.0f} s"
            )

    params = train(field, model, config, report)
    seconds = time.perf_counter() - start
    result = {
        "weights": sum(leaf.size for leaf in jax.tree.leaves(params)),
        **errors(params),
        "reference_error": float(
            eikonal.relative_mean_absolute_error(coarser, reference)
        ),
        "grid_error": float(
            eikonal.relative_mean_absolute_error(model.reference(1), reference)
        ),
        "training_seconds": round(seconds, 1),
    }
    config.out.mkdir(parents=True, exist_ok=True)
    draw(model, evaluate(params), reference, config.out / "times.png")
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(
        f"RMAE {100 * result['rmae']:.3f} %, {seconds:.0f} s; see {config.out}"
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
