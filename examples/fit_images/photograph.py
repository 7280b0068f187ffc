"""One photograph as a field: fitted, shown in more detail than it had, and moved.

Decoder and latents of one image are trained together by Adam, with the field that
`run.py` uses for digits: the same sizes, frequencies and learning rates, more latents.
See README.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Hashable
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
from matplotlib.image import imread
from presets import Preset, image_field
from rich.console import Console

from eqjax import data, fields, fitting, groups

# Pixels of a side of the photographs that come with scikit-learn.
SAMPLE_SIDE = 427


@dataclass(frozen=True)
class Config:
    """A field for one photograph.

    Attributes:
        photo: "china" or "flower" of scikit-learn, or the path of a png file, gray or
            in colors; transparency is left out.
        out: Folder of the pictures and of result.json.
        size: Pixels of the longer side while fitting, at most half of those there are.
        steps: Training steps.
        batch: Pixels of a step.
        num_latents: Number of latents, a square.
        num_neighbors: Latents that a pixel sees.
        context_dim: Size of a context.
        smoke: A run of seconds that only shows that everything works.
        seed: Of initialization and batches.
    """

    photo: str = "china"
    out: Path = Path("runs/photograph")
    size: int = 128
    steps: int = 1000
    batch: int = 2048
    num_latents: int = 1024
    num_neighbors: int = 4
    context_dim: int = 16
    smoke: bool = False
    seed: int = 0


def enlargement(longer: int, size: int) -> int:
    """How many times as large as while fitting the picture can be shown: 3 or 2."""
    if longer < 2 * size:
        raise ValueError(
            f"`photo` must have at least {2 * size} pixels on its longer side, twice "
            f"`size`, got {longer}: the enlarged field is compared with it. Pass "
            f"`--size {longer // 2}` or less."
        )
    return min(3, longer // size)


def load(name: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture to fit, with a longer side of `size` pixels, and an enlarged one.

    Red, green, blue in [0, 1].
    """
    if name in ("china", "flower"):
        times = enlargement(SAMPLE_SIDE, size)
        return data.sample_photo(name, size), data.sample_photo(name, times * size)
    image = imread(name).astype(np.float32)
    if image.ndim == 2:
        image = np.stack([image] * 3, axis=-1)
    image = image[..., :3]  # without alpha
    longer = max(image.shape[:2])
    times = enlargement(longer, size)
    height, width = (max(1, round(n * size / longer)) for n in image.shape[:2])
    small = data.resize_area(image, height, width)
    return small, data.resize_area(image, times * height, times * width)


def coordinates(image: np.ndarray) -> jax.Array:
    """Centers of the pixels (pixels, 2), x to the right and y upwards."""
    grid = data.pixel_coordinates(*image.shape[:2], keep_aspect=True)
    return jnp.asarray(grid.reshape(-1, 2))


def fit(preset: Preset, image: np.ndarray, config: Config, report: Callable) -> Any:
    """Decoder and latents of one image, trained together."""
    field, poses = preset.field, preset.poses
    xs, values = coordinates(image), jnp.asarray(image.reshape(-1, 3))
    key_params, key_latents, key_noise, key_steps = jax.random.split(
        jax.random.key(config.seed), 4
    )

    def loss(params: Any, latents: Any, pixels: jax.Array) -> jax.Array:
        prepared = field.prepare(params, latents)
        ys = jax.vmap(lambda x: field.apply(params, prepared, x))(xs[pixels])
        return jnp.mean((ys - values[pixels]) ** 2)

    def falling(rate: float) -> optax.GradientTransformation:
        return optax.adam(optax.cosine_decay_schedule(rate, config.steps))

    rates: dict[Hashable, optax.GradientTransformation] = {
        "context": falling(5e-2),
        "pose": falling(5e-3),
        "window": falling(5e-2),
    }
    joint = fitting.autodecode_step(
        loss,
        falling(preset.learning_rate),
        optax.partition(rates, {name: name for name in rates}),
        retract=lambda z, dz: fields.retract_latents(poses, z, dz),
        zero_tangent=lambda z: fields.zero_tangent(poses, z),
    )
    latents = preset.init_latents(key=key_latents)
    noise = jax.random.normal(key_noise, latents["context"].shape)
    latents["context"] += 0.1 * noise
    table = jax.tree.map(lambda leaf: leaf[None], latents)
    state = joint.init(jax.jit(field.init)(key=key_params), table)

    @jax.jit
    def step(state: Any, key: jax.Array) -> Any:
        pixels = jax.random.randint(key, (1, config.batch), 0, len(xs))
        return joint.update(state, jnp.zeros(1, int), pixels)

    for i, key in enumerate(jax.random.split(key_steps, config.steps)):
        state, _ = step(state, key)
        report(i + 1, state.params, jax.tree.map(lambda leaf: leaf[0], state.table))
    return state.params, jax.tree.map(lambda leaf: leaf[0], state.table)


def decode(preset: Preset, params: Any, latents: Any, xs: jax.Array) -> jax.Array:
    """The image of some latents at coordinates."""
    prepared = preset.field.prepare(params, latents)
    return fields.evaluate(preset.field, params, prepared, xs, chunk_size=4096)


def psnr(image: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio, dB."""
    return float(-10 * np.log10(np.mean((image - other) ** 2)))


def enlarge(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cubic interpolation of the same pixels, for comparison."""
    resized = jax.image.resize(jnp.asarray(image), shape, "cubic", antialias=False)
    return np.clip(np.asarray(resized), 0, 1)


def draw(pictures: dict[str, np.ndarray], path: Path) -> None:
    """The pictures side by side."""
    figure = Figure(figsize=(3 * len(pictures), 3.2), layout="constrained")
    for panel, (title, pixels) in zip(
        figure.subplots(1, len(pictures)), pictures.items(), strict=True
    ):
        panel.imshow(np.clip(pixels, 0, 1), interpolation="nearest")
        panel.set_title(title, fontsize=9)
        panel.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=150)


def main(config: Config) -> None:
    """Fits, enlarges, moves, draws."""
    start = time.perf_counter()
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, size=16, steps=2, batch=8, num_latents=9)
    try:
        image, larger = load(config.photo, config.size)
    except (FileNotFoundError, ValueError) as error:
        console.print(str(error))
        sys.exit(2)
    field = image_field(3, config.num_latents, num_neighbors=config.num_neighbors)
    field = replace(field, context_dim=config.context_dim)
    preset = Preset(field, config.num_latents)
    decoded = jax.jit(partial(decode, preset))
    history = []

    def report(i: int, params: Any, latents: Any) -> None:
        if i % 100 == 0 or i == config.steps:
            fitted = decoded(params, latents, coordinates(image))
            ratio = psnr(image, np.asarray(fitted).reshape(image.shape))
            history.append({"step": i, "psnr": ratio})
            console.print(f"step {i}: PSNR {ratio:.1f} dB")

    params, latents = fit(preset, image, config, report)

    def show(latents: Any, like: np.ndarray) -> np.ndarray:
        return np.asarray(decoded(params, latents, coordinates(like))).reshape(
            like.shape
        )

    g = (jnp.array([0.2, 0.1]), jnp.asarray(0.5))
    turned = fields.transform_latents(groups.SE(2), g, latents)
    fitted, enlarged = show(latents, image), show(latents, larger)
    there = decoded(params, turned, preset.poses.act(g, coordinates(image)))
    change = float(np.max(np.abs(np.asarray(there).reshape(image.shape) - fitted)))
    cubic = enlarge(image, larger.shape)
    times = larger.shape[0] // image.shape[0]
    rows = slice(larger.shape[0] // 3, larger.shape[0] * 2 // 3)
    columns = slice(larger.shape[1] // 3, larger.shape[1] * 2 // 3)
    config.out.mkdir(parents=True, exist_ok=True)
    draw(
        {
            f"photograph, {image.shape[1]} x {image.shape[0]}": image,
            f"field, {history[-1]['psnr']:.1f} dB": fitted,
            "field with moved latents": show(turned, larger),
        },
        config.out / "fitted.png",
    )
    detail = {
        "pixels": np.kron(image, np.ones((times, times, 1)))[rows, columns],
        f"cubic interpolation, {psnr(larger, cubic):.1f} dB": cubic[rows, columns],
        f"field, {psnr(larger, enlarged):.1f} dB": enlarged[rows, columns],
        "photograph": larger[rows, columns],
    }
    draw(detail, config.out / "enlarged.png")
    result = {
        "psnr": history[-1]["psnr"],
        "times_larger": times,
        "psnr_enlarged": psnr(larger, enlarged),
        "psnr_cubic": psnr(larger, cubic),
        "numbers": sum(leaf.size for leaf in jax.tree.leaves((params, latents))),
        "change_when_moved": change,
        "history": history,
        "seconds": round(time.perf_counter() - start, 1),
    }
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"image and latents moved together: {change:.0e} change")
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
