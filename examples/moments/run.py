"""Digits at all angles by networks that saw them upright: a mean, or moments, at last.

The same network for C4 (network.py) ends in the mean of its last field over all pixels,
or in the magnitudes of Zernike moments of that field, which rotations do not change
either. See README.md for the numbers to expect.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from matplotlib.figure import Figure
from network import Network
from rich.console import Console
from rich.table import Table

from eqjax import data

ANGLES = tuple(range(0, 360, 15))


@dataclass(frozen=True)
class Config:
    """Digits, trained upright and tested at all angles.

    Attributes:
        out: Folder of the picture and of result.json.
        steps: Training steps of `batch` images.
        batch: Images of a step.
        learning_rate: The first one of a cosine schedule.
        seeds: Of initialization and batches, one training for each.
        smoke: A run of seconds that only shows that everything works.
    """

    out: Path = Path("runs/moments")
    steps: int = 250
    batch: int = 32
    learning_rate: float = 1e-2
    seeds: tuple[int, ...] = (0,)
    smoke: bool = False


# Data -------------------------------------------------------------------------------


def turned(images: np.ndarray, degrees: float) -> np.ndarray:
    """Images turned by an angle, as splines have it, in [0, 1]."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.clip(data.warp(images, np.array([[c, -s], [s, c]])), 0, 1)


# Training ---------------------------------------------------------------------------


@partial(jax.jit, static_argnums=(0, 1))
def train(
    model: Network, config: Config, images: jax.Array, labels: jax.Array, key: jax.Array
) -> Any:
    """Adam on the cross entropy; parameters, state and losses."""
    key_init, key_steps = jax.random.split(key)
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    apply = jax.vmap(
        partial(model.apply, axis_name="batch"),
        (None, None, 0),
        (0, None),
        axis_name="batch",
    )

    def loss(params: Any, state: Any, x: jax.Array, y: jax.Array) -> Any:
        scores, state = apply(params, state, x)
        wrong = optax.softmax_cross_entropy_with_integer_labels(scores, y)
        return jnp.mean(wrong), state

    def step(carry: Any, key: jax.Array) -> Any:
        params, state, opt_state = carry
        rows = jax.random.choice(key, len(images), (config.batch,), replace=False)
        (value, state), gradient = jax.value_and_grad(loss, has_aux=True)(
            params, state, images[rows], labels[rows]
        )
        update, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(params, update), state, opt_state), value

    params = model.init(key=key_init)
    carry = (params, model.init_state(), optimizer.init(params))
    keys = jax.random.split(key_steps, config.steps)
    (params, state, _), losses = jax.lax.scan(step, carry, keys)
    return params, state, losses


@partial(jax.jit, static_argnums=0)
def scores(model: Network, params: Any, state: Any, images: jax.Array) -> jax.Array:
    """By the running averages, some images at a time."""

    def one(x: jax.Array) -> jax.Array:
        return model.apply(params, state, x, use_running=True)[0]

    return jax.lax.map(one, images, batch_size=64)


def study(model: Network, config: Config, train_set: Any, tests: Any) -> dict[str, Any]:
    """One training for each seed, and accuracies at each angle."""
    images, labels = tests
    accuracies, changes = [], []
    for seed in config.seeds:
        params, state, _ = train(model, config, *train_set, jax.random.key(seed))
        found = [scores(model, params, state, jnp.asarray(x)) for x in images]
        right = [jnp.mean(jnp.argmax(s, axis=1) == labels) for s in found]
        accuracies.append([float(a) for a in right])
        quarter = jnp.rot90(jnp.asarray(images[0]), axes=(1, 2))
        change = scores(model, params, state, quarter) - found[0]
        changes.append(float(jnp.max(jnp.abs(change)) / jnp.max(jnp.abs(found[0]))))
    weights = jax.tree.leaves(
        jax.eval_shape(partial(model.init, key=jax.random.key(0)))
    )
    return {
        "weights": sum(int(np.prod(leaf.shape)) for leaf in weights),
        "features": model.num_features,
        "accuracies": accuracies,
        "change_at_90_degrees": max(changes),
    }


# Result -----------------------------------------------------------------------------


def summary(row: dict[str, Any]) -> dict[str, float]:
    """Means over seeds: upright, over all angles, at the worst angle."""
    table = np.array(row["accuracies"])
    return {
        "upright": float(np.mean(table[:, 0])),
        "mean": float(np.mean(table)),
        "worst": float(np.mean(np.min(table, axis=1))),
        "deviation": float(np.std(np.mean(table, axis=1))),
    }


def draw(result: dict[str, Any], images: Any, config: Config) -> None:
    """A digit as it turns, and how many of all are recognized at each angle."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    grid = figure.add_gridspec(2, 8, height_ratios=(1, 3.5))
    for k in range(8):
        panel = figure.add_subplot(grid[0, k])
        shown = 3 * k % len(images)
        panel.imshow(images[shown][0], cmap="gray_r", vmin=0, vmax=1)
        panel.set_title(f"{ANGLES[shown]}°", fontsize=8)
        panel.set_axis_off()
    panel = figure.add_subplot(grid[1, :])
    angles = [*ANGLES[: len(images)], 360]
    for name, row in result["models"].items():
        table = np.array(row["accuracies"])
        table = np.concatenate([table, table[:, :1]], axis=1)
        (line,) = panel.plot(angles, table.mean(axis=0), "o-", ms=3, label=name)
        panel.fill_between(
            angles,
            table.min(axis=0),
            table.max(axis=0),
            color=line.get_color(),
            alpha=0.2,
        )
    panel.set(xlabel="angle of the test images, degrees", ylabel="accuracy")
    panel.set(xlim=(0, 360), xticks=range(0, 361, 45), ylim=(0, 1.02))
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8, loc="lower center", ncols=2)
    figure.savefig(config.out / "angles.png", dpi=150)


def main(config: Config) -> None:
    """Trains, turns, measures, draws."""
    start = time.perf_counter()
    console = Console()
    angles, size = ANGLES, 25
    widths, orders = (4, 4, 16), (6, 10)
    if config.smoke:  # nearly all of it is compilation
        jax.config.update("jax_disable_most_optimizations", True)
        config = Config(config.out, 3, 8, seeds=(0,), smoke=True)
        angles, size, widths, orders = ANGLES[:2], 11, (2, 2), (2, 2)
    config.out.mkdir(parents=True, exist_ok=True)
    found = data.digits(size=size * 16 // 25, frame=size)
    count = 16 if config.smoke else len(found.test_images)
    images = [turned(found.test_images[:count], angle) for angle in angles]
    tests = images, jnp.asarray(found.test_labels[:count])
    train_set = jnp.asarray(found.train_images), jnp.asarray(found.train_labels)
    models = {
        "C4 network, mean": Network(size, widths, "mean"),
        "C4 network, moments": Network(size, widths, max_order=orders[0]),
        "moments of the image": Network(size, (), max_order=orders[1], pairs=True),
    }
    result: dict[str, Any] = {"config": asdict(config) | {"out": str(config.out)}}
    result["models"] = {}
    table = Table(
        "", "weights", "features", "upright", "mean", "worst", "at 90 degrees"
    )
    for name, model in models.items():
        row = study(model, config, train_set, tests)
        row |= summary(row)
        result["models"][name] = row
        numbers = [f"{row[key]:.3f}" for key in ("upright", "mean", "worst")]
        sizes = (str(row["weights"]), str(row["features"]))
        table.add_row(name, *sizes, *numbers, f"{row['change_at_90_degrees']:.0e}")
    console.print(table)
    draw(result, images, config)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
