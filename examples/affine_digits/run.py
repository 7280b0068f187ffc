"""Digits under affine maps that were never seen, by convolution on affine groups.

Upright digits to train on; turned, sheared, scaled and shifted ones to test on.
networks.py has the networks, README.md the numbers to expect.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from errors import equivariance_errors
from matplotlib.figure import Figure
from networks import AffineNet, PlainNet
from rich.console import Console

from eqjax import groups, nn
from eqjax.data import LabelledImages, digits, warp


@dataclass(frozen=True)
class Config:
    """Digits under affine maps: SL(2), GL+(2) and plain convolutions.

    Attributes:
        out: Folder of the pictures and of result.json.
        data: Folder of the four idx files of MNIST or of a set of the same form;
            default: the small digits of scikit-learn.
        size: Side of the digits, pixels.
        frame: Side of the images, pixels.
        steps: Training steps.
        batch: Images in each step.
        rate: Learning rate, after a warmup; it falls to zero along a cosine.
        num_rotations: Rotations among the samples of a group.
        num_stretches: Stretches for each of them.
        moves: Deviation of the random elements that move all samples in each step.
        votes: Moves of the samples over which a test averages log probabilities; with
            1, samples are not moved.
        paper: Train networks with the published kernels and samples as well; they have
            more weights, and need a rate of about 2e-3.
        errors: Measure how far convolutions are from commuting with affine maps.
        smoke: A run of seconds that only shows that everything works.
        seed: Of everything.
    """

    out: Path = Path("runs/affine_digits")
    data: Path | None = None
    size: int = 16
    frame: int = 25
    steps: int = 1_000
    batch: int = 32
    rate: float = 1.5e-2
    num_rotations: int = 8
    num_stretches: int = 1
    moves: float = 0.15
    votes: int = 1
    paper: bool = False
    errors: bool = False
    smoke: bool = False
    seed: int = 0


# Data -------------------------------------------------------------------------------


def random_maps(num: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Turns of +-20 degrees, shears of +-0.2, scales 0.8 to 1.2; shifts of +-2 px."""
    angle = np.radians(rng.uniform(-20, 20, num))
    c, s = np.cos(angle), np.sin(angle)
    turns = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    shears = np.broadcast_to(np.eye(2), (num, 2, 2)).copy()
    shears[:, 0, 1] = rng.uniform(-0.2, 0.2, num)
    scales = rng.uniform(0.8, 1.2, num)[:, None, None]
    return scales * turns @ shears, rng.uniform(-2, 2, (num, 2))


def move_at_random(images: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(warp(images, *random_maps(len(images), rng)), 0, 1)


# Training ---------------------------------------------------------------------------


def train(model: Any, config: Config, data: LabelledImages) -> tuple[Any, Any]:
    """Weights after training, and the samples on the group before they were moved.

    Steps are a Python loop: XLA's convolutions are slow inside of `scan` on CPUs.
    """
    key_init, key_samples, key_steps = jax.random.split(jax.random.key(config.seed), 3)
    params, samples = model.init(key=key_init), model.sample(key=key_samples)

    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.rate, config.steps // 10, config.steps
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=1e-3)
    )
    xs, ys = jnp.asarray(data.train_images), jnp.asarray(data.train_labels)

    def loss(params: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
        moved = model.move(samples, config.moves, key=key)
        logits = jax.vmap(lambda image: model.apply(params, image, moved))(x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def step(params: Any, state: Any, key: jax.Array) -> Any:
        key_rows, key_move = jax.random.split(key)
        rows = jax.random.randint(key_rows, (config.batch,), 0, len(xs))
        gradient = jax.grad(loss)(params, xs[rows], ys[rows], key_move)
        update, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, update), state

    state = optimizer.init(params)
    for key in jax.random.split(key_steps, config.steps):
        params, state = step(params, state, key)
    return params, samples


def accuracies(
    model: Any, trained: Any, config: Config, tests: dict[str, Any]
) -> dict[str, float]:
    """Of mean log probabilities over moves of the samples, the first one being none."""
    params, samples = trained
    keys = jax.random.split(jax.random.key(config.seed + 1), config.votes)

    @jax.jit
    def predict(x: jax.Array) -> jax.Array:
        total = jnp.zeros(())
        for k in range(1 if samples is None else config.votes):
            moved = model.move(samples, config.moves if k else 0.0, key=keys[k])
            logits = jax.vmap(lambda image, s=moved: model.apply(params, image, s))(x)
            total = total + jax.nn.log_softmax(logits)
        return total.argmax(-1)

    found = {}
    for name, (images, labels) in tests.items():
        padding = -len(images) % 128
        padded = jnp.asarray(np.pad(images, ((0, padding), (0, 0), (0, 0))))
        parts = [predict(padded[k : k + 128]) for k in range(0, len(padded), 128)]
        classes = np.concatenate([np.asarray(part) for part in parts])[: len(labels)]
        found[name] = float(np.mean(classes == labels))
    return found


# Result -----------------------------------------------------------------------------


def draw(result: dict[str, Any], shown: np.ndarray, config: Config) -> None:
    """Digits before and after, accuracies, and errors of equivariance if measured."""
    curves = result["equivariance_errors"]
    num = 3 if curves else 2
    figure = Figure(figsize=(4.5 * num, 3.6), layout="constrained")
    left, middle, *others = figure.subplots(1, num)
    rows = shown.transpose(0, 2, 1, 3).reshape(2 * shown.shape[2], -1)
    left.imshow(rows, cmap="gray_r")
    left.set(xticks=[], yticks=[], title="upright (first row) and moved digits")
    names = list(result["models"])
    for k, test in enumerate(("upright", "moved")):
        heights = [result["models"][name][test] for name in names]
        bars = middle.bar(np.arange(len(names)) + 0.4 * k, heights, 0.38, label=test)
        middle.bar_label(bars, fmt="%.3f", fontsize=8)
    middle.set_xticks(np.arange(len(names)) + 0.2, names)
    middle.set(ylim=(0, 1.2), title="accuracy, trained on upright digits")
    middle.legend(loc="upper right", ncols=2, fontsize=8)
    for right in others:
        for name, errors in curves.items():
            right.loglog(result["num_samples"], errors, "o-", label=name)
        right.set(xlabel="samples of H", ylabel="relative error")
        right.set_title("a convolution against affine maps of the image")
        right.grid(alpha=0.3)
        right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(config.out / "affine_digits.png", dpi=150)


def main(config: Config) -> None:
    """Trains on upright digits, tests on moved ones, draws."""
    start = time.perf_counter()
    console = Console()
    num_samples, num_images, repeats = (4, 8, 16, 32, 64), 10, 4
    if config.smoke:  # nearly all of it is compilation
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, steps=2, batch=4, size=8, frame=12, errors=True)
        num_samples, num_images, repeats = (4, 8), 1, 1
    config.out.mkdir(parents=True, exist_ok=True)
    data = digits(
        size=config.size, frame=config.frame, directory=config.data, seed=config.seed
    )
    images = np.repeat(data.test_images, repeats, axis=0)
    labels = np.repeat(data.test_labels, repeats)
    moved = move_at_random(images, config.seed)

    sizes, kernels = (config.num_rotations, config.num_stretches), (7, 5, 5)
    sl, gl = groups.SL(2, sigma=0.1), groups.GLPlus(2, sigma=0.1)
    models: dict[str, Any] = {"plain": PlainNet((9, 17, 17), kernels)}
    models["GL+(2)"] = AffineNet(gl, (6, 8, 12), kernels, *sizes)
    if not config.smoke:
        models["SL(2)"] = AffineNet(sl, (6, 8, 12), kernels, *sizes)
    if config.paper:
        published = nn.AffineKernel(measure="paper")
        options: Any = {"kernel": published, "lift_kernel": published, "mode": "paper"}
        models["SL(2), paper"] = AffineNet(sl, (6, 6, 6), kernels, *sizes, **options)
        models["GL+(2), paper"] = AffineNet(gl, (6, 6, 6), kernels, *sizes, **options)
    tests = {"upright": (data.test_images, data.test_labels), "moved": (moved, labels)}
    result: dict[str, Any] = {"models": {}}
    for name, model in models.items():
        began = time.perf_counter()
        trained = train(model, config, data)
        num = sum(math.prod(x.shape) for x in jax.tree.leaves(trained[0]))
        row = {"weights": num, **accuracies(model, trained, config, tests)}
        row["seconds"] = round(time.perf_counter() - began, 1)
        result["models"][name] = row
        console.print(f"{name}: {row}")
    result["num_samples"] = num_samples
    result["equivariance_errors"] = (
        equivariance_errors(num_samples, num_images, smoke=config.smoke)
        if config.errors
        else {}
    )
    shown = np.stack([images[: 8 * repeats : repeats], moved[: 8 * repeats : repeats]])
    draw(result, shown, config)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
