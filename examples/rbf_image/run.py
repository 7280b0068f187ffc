"""A photograph by kernels that stand where its detail is, against a regular grid.

Both have the same number of weights. Kernels move, stretch and turn while they learn
their colors; the grid, interpolated bilinearly, gets the best colors there are. See
README.md.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jax.scipy.sparse.linalg import cg
from picture import draw
from rich.console import Console

from eqjax import data, fields


@dataclass(frozen=True)
class Config:
    """A photograph by kernels, against a grid.

    Attributes:
        out: Folder of the picture and of result.json.
        photo: One of the photographs of scikit-learn.
        size: Pixels of a side.
        num_kernels: Kernels, of 8 weights each.
        num_neighbors: Kernels that are summed at a pixel.
        steps: Training steps.
        batch: Pixels of a step.
        refresh: Steps after which the nearest kernels are found again.
        smoke: A run of seconds that only shows that everything works.
        seeds: Of the first centers and the batches; the picture shows the first.
    """

    out: Path = Path("runs/rbf_image")
    photo: Literal["china", "flower"] = "china"
    size: int = 128
    num_kernels: int = 1_536
    num_neighbors: int = 12
    steps: int = 600
    batch: int = 4_096
    refresh: int = 50
    smoke: bool = False
    seeds: tuple[int, ...] = (0, 1, 2)


RATES = {"center": 1e-3, "factor": 5e-1, "feature": 2e-2}


def psnr(found: Any, image: Any) -> float:
    """In decibels, for values in [0, 1]."""
    return float(-10 * np.log10(np.mean((np.clip(found, 0, 1) - image) ** 2)))


def detail(image: np.ndarray) -> np.ndarray:
    """Norm of the gradient, plus a tenth of its mean, so that every pixel counts."""
    slopes = np.stack(np.gradient(np.mean(image, axis=-1)))
    norm = np.sqrt(np.sum(slopes**2, axis=0))
    return norm + 0.1 * np.mean(norm)


def fit_kernels(image: np.ndarray, config: Config, seed: int) -> Any:
    """Adam on the kernels; the image they give, and what they are."""
    xs = jnp.asarray(data.pixel_coordinates(*image.shape[:2]).reshape(-1, 2))
    ys = jnp.asarray(image.reshape(-1, 3))
    weights = jnp.asarray(detail(image).reshape(-1), jnp.float32)
    field = fields.RBFField(
        dim=2,
        num_out=3,
        num_features=3,
        kernel="gaussian",
        num_neighbors=config.num_neighbors,
        normalize=False,
        waves=None,
        num_layers=0,
    )
    key_start, key_steps = jax.random.split(jax.random.key(seed))
    start = partial(fields.init_kernels, num_kernels=config.num_kernels, num_features=3)
    kernels = jax.jit(start)(xs, weights=weights, key=key_start)
    # About two kernels overlap, so each starts with half of the color.
    pixel = jnp.round(
        (kernels["center"] * jnp.array([1, -1]) + 1) / 2 * len(image) - 0.5
    )
    column, row = jnp.clip(pixel.astype(int), 0, len(image) - 1).T
    kernels["feature"] = jnp.asarray(image)[row, column] / 2

    optimizer = optax.multi_transform(
        {
            name: optax.adam(optax.cosine_decay_schedule(rate, config.steps, 1e-2))
            for name, rate in RATES.items()
        },
        {name: name for name in RATES},
    )

    @jax.jit
    def nearest(kernels: Any) -> jax.Array:
        find = partial(field.nearest, field.prepare({}, kernels))
        return jax.lax.map(find, xs, batch_size=2_048)

    @jax.jit
    def step(kernels: Any, state: Any, neighbors: Any, key: jax.Array) -> Any:
        rows = jax.random.randint(key, (config.batch,), 0, len(xs))

        def loss(kernels: Any) -> jax.Array:
            prepared = field.prepare({}, kernels)
            found = jax.vmap(
                lambda x, near: field.apply({}, prepared, x, neighbors=near)
            )(xs[rows], neighbors[rows])
            return jnp.mean((found - ys[rows]) ** 2)

        update, state = optimizer.update(jax.grad(loss)(kernels), state)
        return optax.apply_updates(kernels, update), state

    state = optimizer.init(kernels)
    neighbors = None
    for i, key in enumerate(jax.random.split(key_steps, config.steps)):
        if i % config.refresh == 0:
            neighbors = nearest(kernels)
        kernels, state = step(kernels, state, neighbors, key)
    found = fields.evaluate(field, {}, field.prepare({}, kernels), xs, chunk_size=2_048)
    return np.asarray(found).reshape(image.shape), kernels


def fit_grid(image: np.ndarray, side: int) -> np.ndarray:
    """The image of a grid of side x side colors with the least square error."""
    height, width, _ = image.shape
    rows, columns = _hats(height, side), _hats(width, side)

    def interpolate(grid: jax.Array) -> jax.Array:
        return jnp.einsum("ih,jw,hwc->ijc", rows, columns, grid)

    def normal(grid: jax.Array) -> jax.Array:
        return jnp.einsum("ih,jw,ijc->hwc", rows, columns, interpolate(grid))

    target = jnp.einsum("ih,jw,ijc->hwc", rows, columns, image)
    grid, _ = jax.jit(partial(cg, normal, maxiter=500))(target)
    return np.asarray(interpolate(grid))


def _hats(num_pixels: int, side: int) -> np.ndarray:
    """Bilinear weights of the grid's nodes, which reach to the frame, at pixels."""
    at = (np.arange(num_pixels) + 0.5) / num_pixels * (side - 1)
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(side)), 0)
    return weights.astype(np.float32)


def main(config: Config) -> None:
    """Fits, compares, draws."""
    start = time.perf_counter()
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, size=24, num_kernels=72, steps=60, seeds=(0,))
        config = replace(config, batch=256)
    config.out.mkdir(parents=True, exist_ok=True)
    image = data.sample_photo(config.photo, config.size)
    num_weights = 8 * config.num_kernels
    side = int(np.ceil(np.sqrt(num_weights / 3)))  # of the grid, rounded in its favor
    grid = fit_grid(image, side)
    result: dict[str, Any] = {
        "weights": {"kernels": num_weights, "grid": 3 * side**2},
        "psnr": {"grid": psnr(grid, image), "kernels": []},
    }
    fits = [fit_kernels(image, config, seed) for seed in config.seeds]
    result["psnr"]["kernels"] = [psnr(found, image) for found, _ in fits]
    result["gain"] = float(np.mean(result["psnr"]["kernels"])) - result["psnr"]["grid"]
    found, kernels = fits[0]
    draw(image, grid, found, kernels, config.out)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(result)
    console.print(f"see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
