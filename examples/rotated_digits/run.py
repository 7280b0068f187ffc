"""Digits learned upright and recognized at every angle, by steerable CNNs.

A plain CNN, and steerable ones for 4, 8 and 16 turns with about as many weights
(networks.py), are trained on upright digits and tested at 24 angles. See README.md.
"""

from __future__ import annotations

import json
import math
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
from networks import PlainCnn, SteerableCnn
from rich.console import Console
from rich.table import Table

from eqjax import data


@dataclass(frozen=True)
class Config:
    """Digits at all angles, learned upright.

    Attributes:
        out: Folder of the picture and of result.json.
        data: Folder of the four idx files of MNIST or Fashion-MNIST; default: the
            digits that come with scikit-learn.
        steps: Training steps of each network.
        batch: Images of a step.
        learning_rate: Of Adam, after a warmup; it falls to zero along a cosine.
        num_train: At most so many images to train on.
        num_test: At most so many to test on.
        augment: Train a plain and a steerable network on turned digits as well.
        smoke: A run of seconds that only shows that everything works.
        seed: Of data and initialization.
    """

    out: Path = Path("runs/rotated_digits")
    data: Path | None = None
    steps: int = 400
    batch: int = 64
    learning_rate: float = 1e-2
    num_train: int = 12_000
    num_test: int = 2_000
    augment: bool = False
    smoke: bool = False
    seed: int = 0


ANGLES = tuple(range(0, 360, 15))
NETWORKS: dict[str, Any] = {
    "plain": PlainCnn((8, 14, 14)),
    "C4": SteerableCnn(4, (8, 10, 13)),
    "C8": SteerableCnn(8, (6, 8, 10)),
    "C16": SteerableCnn(16, (4, 6, 7)),
}


def turn(degrees: np.ndarray) -> np.ndarray:
    """Matrices of turns, (angles, 2, 2)."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def train(net: Any, images: Any, labels: Any, config: Config) -> Any:
    """Adam on the cross entropy, with clipped gradients."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.steps // 10, config.steps
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = jax.vmap(partial(net.apply, params))(x)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))

    @jax.jit
    def step(params: Any, state: Any, key: jax.Array) -> Any:
        rows = jax.random.randint(key, (config.batch,), 0, len(images))
        gradient = jax.grad(loss)(params, images[rows], labels[rows])
        update, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, update), state

    key_init, key_steps = jax.random.split(jax.random.key(config.seed))
    params = jax.jit(net.init)(key=key_init)
    state = optimizer.init(params)
    # A convolution inside a scan is several times slower on a CPU.
    for key in jax.random.split(key_steps, config.steps):
        params, state = step(params, state, key)
    return params


def test(net: Any, params: Any, turned: dict[int, Any], labels: Any) -> dict[str, Any]:
    """Accuracy at every angle, and the change of the logits under a quarter turn."""

    @jax.jit
    def logits(images: jax.Array) -> jax.Array:
        return jax.lax.map(partial(net.apply, params), images, batch_size=100)

    found = {angle: logits(images) for angle, images in turned.items()}
    accuracies = [
        float(jnp.mean(jnp.argmax(found[angle], axis=-1) == labels)) for angle in ANGLES
    ]
    change = jnp.max(jnp.abs(found[90] - found[0])) / jnp.max(jnp.abs(found[0]))
    return {
        "weights": sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)),
        "upright": accuracies[0],
        "mean": float(np.mean(accuracies)),
        "worst": min(accuracies),
        "at_45": accuracies[ANGLES.index(45)],
        "at_90": accuracies[ANGLES.index(90)],
        "change_of_logits_at_90": float(change),
        "accuracies": accuracies,
    }


def draw(result: dict[str, Any], turned: dict[int, Any], config: Config) -> None:
    """Accuracy over the orbit of turns, and the digits that were turned."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    left, right = figure.subplot_mosaic(
        [["orbit", "digits"]],
        width_ratios=[3, 2],
        per_subplot_kw={"orbit": {"projection": "polar"}},
    ).values()
    angles = np.deg2rad([*ANGLES, 360])
    for name, row in result["networks"].items():
        values = [*row["accuracies"], row["accuracies"][0]]
        left.plot(angles, values, "o-", ms=3, label=f"{name}: {row['mean']:.2f}")
    left.set(ylim=(0, 1), title="accuracy when turned (mean over angles)")
    left.legend(loc="lower left", bbox_to_anchor=(-0.45, -0.12), fontsize=8)
    rows = [np.hstack([turned[a][i] for a in (0, 45, 90, 135)]) for i in range(4)]
    right.imshow(np.vstack(rows), cmap="gray_r", vmin=0)
    right.set(title="tested at 0, 45, 90, 135, .. degrees", xticks=[], yticks=[])
    figure.savefig(config.out / "orbit.png", dpi=150)


def load(config: Config) -> data.LabelledImages:
    """Digits in odd frames, so that odd windows with strides lie symmetrically."""
    frame = 25 if config.data is None else 29
    found = data.digits(frame=frame, directory=config.data, seed=config.seed)
    if config.smoke:
        return data.LabelledImages(*(array[:40] for array in found))
    train, test = config.num_train, config.num_test
    return data.LabelledImages(
        found.train_images[:train],
        found.train_labels[:train],
        found.test_images[:test],
        found.test_labels[:test],
    )


def main(config: Config) -> None:
    """Trains, tests at all angles, draws."""
    start = time.perf_counter()
    console = Console()
    networks: dict[str, tuple[Any, bool]]
    networks = {name: (net, False) for name, net in NETWORKS.items()}
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, steps=2, batch=2)
        networks = {"plain": (PlainCnn((2, 2, 2)), False)}
        networks["C4"] = (SteerableCnn(4, (1, 1, 1), (3, 3, 3)), False)
    if config.augment:
        for name in ("plain", "C8"):
            networks[f"{name}, augmented"] = (NETWORKS[name], True)
    try:
        images = load(config)
    except FileNotFoundError as error:
        console.print(str(error))
        sys.exit(2)
    config.out.mkdir(parents=True, exist_ok=True)
    upright = images.train_images, images.train_labels
    numbers = np.random.default_rng(config.seed)
    augmented = upright
    if config.augment:
        copies = [np.repeat(array, 8, axis=0) for array in upright]
        angles = numbers.uniform(0, 360, len(copies[0]))
        augmented = data.warp(copies[0], turn(angles)), copies[1]
    turned = {
        angle: data.warp(images.test_images, turn(np.array(angle))) for angle in ANGLES
    }
    result: dict[str, Any] = {"angles": ANGLES, "networks": {}}
    table = Table("network", "weights", "upright", "mean", "worst", "at 45", "at 90")
    for name, (net, is_augmented) in networks.items():
        console.print(f"training: {name} ...")
        x, y = augmented if is_augmented else upright
        params = train(net, jnp.asarray(x), jnp.asarray(y), config)
        row = test(net, params, turned, jnp.asarray(images.test_labels))
        result["networks"][name] = row
        columns = [row[key] for key in ("upright", "mean", "worst", "at_45", "at_90")]
        table.add_row(name, str(row["weights"]), *(f"{c:.3f}" for c in columns))
    console.print(table)
    draw(result, turned, config)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
