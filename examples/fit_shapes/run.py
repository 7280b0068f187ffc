"""Shapes as equivariant neural fields: fitted, and moved by moving poses.

One decoder and a table of latents learn the signed distances of random shapes. New
shapes are then fitted with the decoder frozen. See README.md.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from model import ShapeModel, fit, train
from rich.console import Console
from rich.table import Table
from shapes import compare, draw_surfaces, random_shapes, read_shapes

from eqjax import data, fields
from eqjax.spaces import Euclidean


@dataclass(frozen=True)
class Config:
    """Shapes as equivariant neural fields.

    Attributes:
        out: Folder of the picture and of result.json.
        mesh: Meshes (.obj or .npz) to fit instead of random shapes.
        poses: Poses of the latents: motions of space, or translations alone.
        preset: Sizes: small ones, or the published ones of `enf_shape`.
        num_train: Random shapes to train on.
        num_new: Random shapes to fit with the decoder frozen.
        steps: Training steps.
        new_steps: Steps of the fit of a new shape.
        batch: Shapes of a step.
        points: Points of a shape and step.
        samples: Points of a shape to draw from.
        grid: Cells of a side of the grid of metrics and pictures.
        smoke: A run of seconds that only shows that everything works.
        seed: Of initialization and batches.
    """

    out: Path = Path("runs/fit_shapes")
    mesh: tuple[Path, ...] = ()
    poses: Literal["motions", "translations"] = "motions"
    preset: Literal["small", "enf_shape"] = "small"
    num_train: int = 16
    num_new: int = 3
    steps: int = 600
    new_steps: int = 200
    batch: int = 12
    points: int = 128
    samples: int = 20_000
    grid: int = 64
    smoke: bool = False
    seed: int = 0


def motion(config: Config) -> Any:
    """A shift, and a turn by 50 degrees about the diagonal."""
    shift = jnp.array([0.15, -0.1, 0.05])
    if config.poses == "translations":
        return shift
    half = math.radians(50) / 2
    axis = jnp.full(3, math.sin(half) / math.sqrt(3))
    return shift, jnp.concatenate([jnp.full(1, math.cos(half)), axis])


def main(config: Config) -> None:
    """Trains, fits new shapes, moves them, draws."""
    start, console = time.perf_counter(), Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, num_train=2, num_new=1, steps=2, new_steps=2)
        config = replace(config, samples=500, points=16, grid=12)
    config.out.mkdir(parents=True, exist_ok=True)
    if config.mesh:
        shapes, new = read_shapes(config.mesh, config.samples, config.seed), []
    else:
        shapes = random_shapes(config.num_train, config.samples, first_seed=0)
        new = random_shapes(config.num_new, config.samples, first_seed=100_000)
    model = ShapeModel(config.poses, config.preset, config.points)
    field, group = model.field, model.group
    key_train, key_new, key_points = jax.random.split(jax.random.key(config.seed), 3)

    console.print(f"training on {len(shapes)} shapes ...")
    steps, batch = config.steps, config.batch
    params, table, loss = train(model, shapes, steps=steps, batch=batch, key=key_train)
    trained = time.perf_counter() - start
    console.print(
        f"loss {loss:.4f} after {trained:.0f} s; fitting {len(new)} others ..."
    )

    fits = [
        ("train", shape, jax.tree.map(lambda z, k=k: z[k], table))
        for k, shape in enumerate(shapes[: max(config.num_new, 1)])
    ]
    mean = jnp.mean(table["context"], axis=0)
    first = {**model.first_latents(key_new), "context": mean}
    fit_one = jax.jit(partial(fit, model, params, first, steps=config.new_steps))
    for k, shape in enumerate(new):
        key = jax.random.fold_in(key_new, k)
        latents = fit_one(shape.points, shape.values, key=key)
        fits.append(("new", shape, jax.block_until_ready(latents)))
    fitted = time.perf_counter() - start - trained

    grid = data.grid_points(config.grid)
    flat = grid.reshape(-1, 3).astype(np.float32)
    g = motion(config)
    points = jax.random.uniform(key_points, (512, 3), minval=-0.6, maxval=0.6)
    carried = jax.vmap(partial(Euclidean(3).act, g, group=group))(points)

    @jax.jit
    def values_at(latents: Any, points: Any) -> jax.Array:
        prepared = field.prepare(params, latents)
        return fields.evaluate(field, params, prepared, points)[:, 0]

    rows: dict[str, list[dict[str, float]]] = {}
    pictures = []
    for kind, shape, latents in fits:
        true = shape.distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
        found = np.asarray(values_at(latents, flat)).reshape(true.shape)
        moved = fields.transform_latents(group, g, latents)
        change = values_at(moved, carried) - values_at(latents, points)
        row = compare(found, true) | {"change": float(jnp.max(jnp.abs(change)))}
        rows.setdefault(kind, []).append(row)
        if kind == fits[-1][0] and len(pictures) < 3:
            after = np.asarray(values_at(moved, flat)).reshape(true.shape)
            pictures.append((true, found, after))
    draw_surfaces(
        pictures, ("true", "fitted", "poses moved"), config.out / "surfaces.png"
    )

    result: dict[str, Any] = {"shapes": rows, "loss": loss}
    summary = Table("shapes", "IoU", "Chamfer", "largest change when moved")
    for kind, found in rows.items():
        mean = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        mean["change"] = max(row["change"] for row in found)
        result[kind] = mean
        summary.add_row(
            kind,
            f"{mean['iou']:.3f}",
            f"{mean['chamfer']:.4f}",
            f"{mean['change']:.1e}",
        )
    console.print(summary)
    result["weights"] = sum(leaf.size for leaf in jax.tree.leaves(params))
    seconds = {"training": trained, "fits": fitted, "all": time.perf_counter() - start}
    result["seconds"] = {name: round(value, 1) for name, value in seconds.items()}
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']['all']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
