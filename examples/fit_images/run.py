"""One decoder for a whole set of images; an image is a handful of latents.

The decoder is meta-learned: three gradient steps on the latents of an image, never
seen before, must reconstruct it. Moving the latents then moves the image. See
README.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from matplotlib.figure import Figure
from meta_field import MetaField
from presets import PRESETS
from rich.console import Console

from eqjax import data, fields

ORDER = (
    "image",
    "fit",
    "turned by 30°",
    "turned by 90°",
    "shifted",
    "turned and shifted",
)


@dataclass(frozen=True)
class Config:
    """A field for a set of images.

    Attributes:
        out: Folder of the picture and of result.json.
        data: Folder of the idx files of MNIST or Fashion-MNIST, or of the python files
            of CIFAR-10; default: the digits that come with scikit-learn.
        preset: The field and its settings, see presets.py.
        between: Whether a preset that is trained between the pixels stays so.
        steps: Training steps.
        num_train: At most so many images to train on.
        num_test: At most so many to test on.
        smoke: A run of seconds that only shows that everything works.
        seed: Of initialization and batches.
    """

    out: Path = Path("runs/fit_images")
    data: Path | None = None
    preset: Literal["default", "enf_min_cifar", "enf_image"] = "default"
    between: bool = True
    steps: int = 500
    num_train: int = 50_000
    num_test: int = 300
    smoke: bool = False
    seed: int = 0


def load(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Images to train on and to test on, (images, height, width, channels)."""
    if folder is not None and (folder / "data_batch_1").exists():
        images = data.read_cifar10(folder)
        return images.train_images, images.test_images
    if folder is None:
        digits = data.digits(size=8, frame=8)
    else:
        digits = data.digits(directory=folder)
    return digits.train_images[..., None], digits.test_images[..., None]


def train(model: MetaField, images: jax.Array, config: Config, report: Callable) -> Any:
    """Adam on the error after the inner steps; returns what was learned."""
    preset = model.preset
    key_init, key_steps = jax.random.split(jax.random.key(config.seed))
    learned = jax.jit(model.init)(key=key_init)
    schedule = optax.cosine_decay_schedule(preset.learning_rate, config.steps)
    rate = preset.rates_learn * preset.learning_rate
    rates_schedule = optax.cosine_decay_schedule(rate, config.steps)
    latents = "params" if preset.learned_latents else "frozen"
    labels = {
        "params": "params",
        "rates": "rates",
        # Where latents start from stays: any other place would be as good.
        "latents": {"pose": "frozen", "context": latents, "window": latents},
    }
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.partition(
            {
                "params": optax.adam(schedule),
                "rates": optax.adam(rates_schedule),
                "frozen": optax.set_to_zero(),
            },
            labels,
        ),
    )
    state = optimizer.init(learned)

    @jax.jit
    def step(learned: Any, state: Any, key: jax.Array) -> Any:
        key_rows, key_fits = jax.random.split(key)
        rows = jax.random.randint(key_rows, (preset.batch,), 0, len(images))
        keys = jax.random.split(key_fits, preset.batch)

        def error(learned: Any) -> jax.Array:
            errors = jax.vmap(lambda y, k: model.outer_loss(learned, y, key=k))
            return jnp.mean(errors(images[rows], keys))

        value, gradient = jax.value_and_grad(error)(learned)
        update, state = optimizer.update(gradient, state, learned)
        return optax.apply_updates(learned, update), state, value

    for i, key in enumerate(jax.random.split(key_steps, config.steps)):
        learned, state, value = step(learned, state, key)
        report(i + 1, learned, value)
    return learned


def ratios(model: MetaField, learned: Any, images: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratios (dB) of each image after its fit, and refined."""
    key = jax.random.key(0)
    errors = jax.lax.map(
        lambda image: model.errors(learned, image, key=key), images, batch_size=10
    )
    return -10 * jnp.log10(errors)


def move(model: MetaField, learned: Any, image: jax.Array) -> dict[str, Any]:
    """An image, its fit, and what moving its latents makes of it."""
    poses, (height, width, channels) = model.preset.poses, model.shape
    latents = model.fit(learned, image, key=jax.random.key(0)).latents
    latents = model.refine(learned, latents, image)
    shift = jnp.array([0.25, 0.0])
    motions: dict[str, Any] = {"fit": None, "shifted": shift}
    if poses.dim == 3:
        turns = {"turned by 30°": np.pi / 6, "turned by 90°": np.pi / 2}
        motions = {"fit": None} | {
            name: (0.0 * shift, jnp.asarray(angle, jnp.float32))
            for name, angle in turns.items()
        }
        motions["turned and shifted"] = (shift, jnp.asarray(0.5))
    grid = data.pixel_coordinates(8 * height, 8 * width, keep_aspect=True)
    fine = jnp.asarray(grid.reshape(-1, 2))
    shown, worst = {}, jnp.zeros(())
    fitted = model.render(learned, latents, model.xs)
    for name, g in motions.items():
        moved = latents if g is None else fields.transform_latents(poses, g, latents)
        pixels = model.render(learned, moved, fine)
        shown[name] = pixels.reshape(8 * height, 8 * width, channels)
        if g is not None:
            there = model.render(learned, moved, poses.act(g, model.xs))
            worst = jnp.maximum(worst, jnp.max(jnp.abs(there - fitted)))
    return {"shown": {"image": image} | shown, "change": worst}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One row per image: itself, its fit, and the fit with moved latents."""
    names = sorted(rows[0], key=ORDER.index)
    figure = Figure(figsize=(1.5 * len(names), 1.5 * len(rows) + 0.3))
    axes = figure.subplots(len(rows), len(names), squeeze=False)
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.93, 0.04, 0.04)
    for row, images in zip(axes, rows, strict=True):
        for panel, name in zip(row, names, strict=True):
            pixels = np.clip(np.asarray(images[name]), 0, 1)
            gray = pixels.shape[-1] == 1
            panel.imshow(pixels[..., 0] if gray else pixels, cmap="gray_r", vmin=0)
            panel.set(xticks=[], yticks=[])
    for panel, name in zip(axes[0], names, strict=True):
        panel.set_title(name, fontsize=9)
    figure.savefig(path, dpi=150)


def main(config: Config) -> None:
    """Trains, measures, moves latents, draws."""
    start = time.perf_counter()
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, steps=2, num_train=40, num_test=4)
    try:
        train_images, test_images = load(config.data)
    except FileNotFoundError as error:
        console.print(str(error))
        sys.exit(2)
    shape = train_images.shape[1:]
    preset = PRESETS[config.preset](shape[-1])
    preset = replace(preset, between=preset.between and config.between)
    if config.smoke:
        preset = replace(preset, batch=2)
    model = MetaField(preset, shape)
    images = jnp.asarray(train_images[: config.num_train])
    tests = jnp.asarray(test_images[: config.num_test])
    measured, moved = jax.jit(partial(ratios, model)), jax.jit(partial(move, model))
    history = []

    def report(i: int, learned: Any, value: jax.Array) -> None:
        if i % 100 == 0 or i == config.steps:
            # Measured and never used: nothing is chosen by it.
            found = measured(learned, tests)
            row: dict[str, float] = {"step": i, "train_mse": float(value)}
            for name, column in zip(("fitted", "refined"), found.T, strict=True):
                row[name] = float(jnp.mean(column))
                row[f"{name}_least"] = float(jnp.min(column))
            history.append(row)
            console.print(
                f"step {i}: training error {value:.2e}, test PSNR {row['fitted']:.1f} "
                f"dB (least {row['fitted_least']:.1f}), refined {row['refined']:.1f} "
                f"({row['refined_least']:.1f})"
            )

    learned = train(model, images, config, report)
    rows = [moved(learned, image) for image in tests[:4]]
    change = max(float(row["change"]) for row in rows)
    console.print(f"image and latents moved together: {change:.0e} change")
    config.out.mkdir(parents=True, exist_ok=True)
    draw([row["shown"] for row in rows], config.out / "moved.png")
    weights = sum(leaf.size for leaf in jax.tree.leaves(learned["params"]))
    result = {
        "preset": config.preset,
        "weights": weights,
        "test_psnr": history[-1]["fitted"],
        "test_psnr_refined": history[-1]["refined"],
        "change_when_moved": change,
        "history": history,
        "seconds": round(time.perf_counter() - start, 1),
    }
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
