"""Land or ocean, from the place alone: spherical harmonics against angles.

Networks of sines and linear maps read a place either as spherical harmonics or as
sines and cosines of longitude and latitude (tasks.py). See README.md.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from picture import draw
from rich.console import Console
from rich.table import Table
from tasks import LABELS, Samples, latitude, uniform_points, wrap

from eqjax import fields


@dataclass(frozen=True)
class Config:
    """Land or ocean, from the place alone.

    Attributes:
        out: Folder of the picture and of result.json.
        task: What to learn.
        batch: Points of a step.
        patience: Epochs without a better validation loss before a training ends.
        max_epochs: Epochs after which it ends anyway.
        seeds: Of data and initialization; the picture shows the first.
        smoke: A run of seconds that only shows that everything works.
    """

    out: Path = Path("runs/land_ocean")
    task: Literal["land", "checkerboard"] = "land"
    batch: int = 2_000
    patience: int = 30
    max_epochs: int = 5_000
    seeds: tuple[int, ...] = (0, 1, 2)
    smoke: bool = False


@dataclass(frozen=True)
class Model:
    """What reads a place, and what reads that; rates of Adam that are tried."""

    encoder: fields.SphericalHarmonicEncoder | None  # None: longitude and latitude
    head: fields.Siren
    weight_decay: float
    learning_rates: tuple[float, ...]
    turned: bool = False  # reads the earth with its poles on the equator

    def features(self, points: Any) -> jax.Array:
        """Of many points."""
        points = jnp.asarray(points, jnp.float32)
        points = points[:, [1, 2, 0]] if self.turned else points
        return wrap(points) if self.encoder is None else jax.vmap(self.encoder)(points)


def models(task: str) -> dict[str, Model]:
    """With the published sizes; a linear map gets other rates and more harmonics."""
    if task == "land":
        degree, classes, sizes, decay, rate = 9, 2, (64, 2), 3.67e-3, 1.42e-4
    else:
        degree, classes, sizes, decay, rate = 14, 16, (128, 1), 4.6e-3, 2.9e-4
    rates = (rate, 10 * rate)
    harmonics = fields.SphericalHarmonicEncoder(degree)
    many = fields.SphericalHarmonicEncoder(19)
    network, linear = (partial(fields.Siren, hidden=h, num_layers=n)
                       for h, n in (sizes, (1, 0)))  # fmt: skip
    with_sines = Model(harmonics, network(harmonics.dim, classes), decay, rates)
    angles = Model(None, network(4, classes), decay, rates)
    return {
        "harmonics + sines": with_sines,
        "angles + sines": angles,
        "harmonics + sines, turned": replace(with_sines, turned=True),
        "angles + sines, turned": replace(angles, turned=True),
        f"harmonics to {degree} + linear": Model(
            harmonics, linear(harmonics.dim, classes), 0.0, (1e-2,)
        ),
        "harmonics to 19 + linear": Model(
            many, linear(many.dim, classes), 0.0, (1e-2,)
        ),
        "angles + linear": Model(None, linear(4, classes), 0.0, (1e-2,)),
    }


def sample(task: str, seed: int, smoke: bool) -> tuple[Samples, Samples, Samples]:
    """For training, validation and test."""
    numbers = np.random.default_rng(seed)
    sizes = (5_000 if task == "land" else 10_000, 5_000, 20_000)
    sets = [uniform_points(numbers, 200 if smoke else size) for size in sizes]
    train, validation, test = (Samples(points, LABELS[task](points)) for points in sets)
    return train, validation, test


def train(
    model: Model, rate: float, sets: Any, config: Config, seed: int
) -> tuple[float, Any, int]:
    """Adam until the validation loss no longer falls; the best of it."""
    optimizer = optax.chain(
        optax.add_decayed_weights(model.weight_decay), optax.adam(rate)
    )
    (x, y), (x_validation, y_validation) = (
        (model.features(points), jnp.asarray(labels)) for points, labels in sets[:2]
    )
    num_batches = max(len(y) // config.batch, 1)

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = jax.vmap(partial(model.head.apply, params))(x)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))

    def step(carry: Any, rows: jax.Array) -> Any:
        params, state = carry
        gradient = jax.grad(loss)(params, x[rows], y[rows])
        update, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, update), state), None

    @jax.jit
    def epoch(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        rows = jax.random.permutation(key, len(y))
        # What is left over after whole batches is drawn another time.
        rows = rows[: num_batches * config.batch].reshape(num_batches, -1)
        carry, _ = jax.lax.scan(step, carry, rows)
        return carry, loss(carry[0], x_validation, y_validation)

    key_init, key_epochs = jax.random.split(jax.random.key(seed))
    params = model.head.init(key=key_init)
    carry = (params, optimizer.init(params))
    best: tuple[float, Any, int] = np.inf, params, 0
    for i, key in enumerate(jax.random.split(key_epochs, config.max_epochs)):
        carry, validation = epoch(carry, key)
        if validation < best[0]:
            best = float(validation), carry[0], i
        if i - best[2] >= config.patience:
            break
    return best


def predict(model: Model, params: Any, points: np.ndarray) -> np.ndarray:
    """Labels of many points."""
    logits = jax.jit(jax.vmap(partial(model.head.apply, params)))
    parts = np.array_split(points, -(-len(points) // 20_000))
    found = [np.argmax(logits(model.features(part)), axis=-1) for part in parts]
    return np.concatenate(found)


def study(model: Model, sets: Any, config: Config, seed: int) -> tuple[Any, Any]:
    """Trains with each rate, keeps the best on validation points, tests that one."""
    trials = {rate: train(model, rate, sets, config, seed)
              for rate in model.learning_rates}  # fmt: skip
    north = np.abs(latitude(sets[2].points))
    rows = {}
    for rate, (validation, params, epochs) in trials.items():
        right = predict(model, params, sets[2].points) == sets[2].labels
        rows[rate] = {
            "accuracy": float(np.mean(right)),
            "polar": float(np.mean(right[north > 70])),
            "equatorial": float(np.mean(right[north < 30])),
            "validation_loss": validation,
            "epochs": epochs,
        }
    best = min(trials, key=lambda rate: trials[rate][0])
    params = trials[best][1]
    weights = sum(leaf.size for leaf in jax.tree.leaves(params))
    row = {**rows[best], "rate": best, "weights": weights, "trials": rows}
    return row, params


def main(config: Config) -> None:
    """Trains, tests, draws."""
    start = time.perf_counter()
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, max_epochs=2, batch=100, seeds=config.seeds[:1])
    config.out.mkdir(parents=True, exist_ok=True)
    chosen = models(config.task)
    if config.smoke:
        chosen = {
            name: replace(model, learning_rates=model.learning_rates[:1])
            for name, model in list(chosen.items())[:3]
        }
    rows: dict[str, list[Any]] = {name: [] for name in chosen}
    first: dict[str, Any] = {}
    for seed in config.seeds:
        sets = sample(config.task, seed, config.smoke)
        for name, model in chosen.items():
            row, params = study(model, sets, config, seed)
            rows[name].append(row)
            first.setdefault(name, (model, params))
            console.print(f"seed {seed}, {name}: {row['accuracy']:.4f}")
    table = Table("model", "weights", "accuracy", "polar", "equatorial")
    for name, found in rows.items():
        means = [100 * np.mean([row[key] for row in found])
                 for key in ("accuracy", "polar", "equatorial")]  # fmt: skip
        table.add_row(name, str(found[0]["weights"]), *(f"{m:.1f}" for m in means))
    console.print(table)
    shown = list(first)[:2]
    predictors = {name: partial(predict, *first[name]) for name in shown}
    draw(predictors, config.task, config.out, size=40 if config.smoke else 480)
    result = {"config": asdict(config) | {"out": str(config.out)}, "models": rows}
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
