"""Following vessels through crossings and loops, from one end to the other.

A path of least cost between the ends of a vessel turns off where vessels cross. With
headings, and an image lifted to its orientation score, it goes straight on. Compared
are the plane, headings with a way back, and motion ahead only. See README.md.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from images import Image, make_image, orientation_score
from picture import draw

from eqjax import eikonal, spaces


@dataclass(frozen=True)
class Config:
    """Tracks the vessels of synthetic images in three ways.

    Attributes:
        out: Folder of the picture and of result.json.
        num_images: Images, each with a loop and two bows.
        size: Pixels per side.
        num_headings: Oriented filters, and nodes of the heading.
        noise: Standard deviation of the noise; a vessel has the height 1.
        width: Standard deviation across a vessel, in pixels.
        gap: Length of the gap in every vessel, in pixels.
        filter_width: Of the filters across, in pixels.
        filter_length: Of the filters along, in pixels.
        contrast: lambda of the cost 1 + lambda (1 - score)^2.
        xi: Cost of a pixel ahead relative to a radian.
        eps: Speed sideways relative to that ahead.
        near: Pixels from the center line up to which a path follows it.
        smoke: A run of seconds that only shows that everything works.
        seed: Of the first image. Parameters were chosen on those from 1000 on.
    """

    out: Path = Path("runs/vessel_tracking")
    num_images: int = 20
    size: int = 80
    num_headings: int = 32
    noise: float = 0.15
    width: float = 1.3
    gap: float = 5.0
    filter_width: float = 1.5
    filter_length: float = 4.0
    contrast: float = 100.0
    xi: float = 0.15
    eps: float = 0.2
    near: float = 2.0
    smoke: bool = False
    seed: int = 0


def tracker(solver: Any, space: Any, step: float) -> Any:
    """(speed, first end, last end) -> T between the ends, and the path, compiled."""
    stencil = solver.stencil_of(space)

    @jax.jit
    def track(speed: Any, source: Any, receiver: Any) -> Any:
        solution = solver.solve(stencil, speed, source)
        slopes = solver.gradients(stencil, speed, source, solution)
        ray = eikonal.trace_ray(
            partial(solver.gradient_at, slopes),
            lambda x: jnp.ones((), x.dtype),
            space,
            source,
            receiver,
            step=step,
            max_steps=20 * solver.shape[0],
            is_close=partial(solver.is_close, source),
        )
        return solver.times_at(stencil, solution, source, receiver), ray

    return track


def trackers(config: Config) -> dict[str, Any]:
    """The plane, headings with a way back, and motion ahead only."""
    size, headings = config.size, config.num_headings
    flat = eikonal.LatticeEikonal((size, size), (1.0, 1.0))
    lifted = eikonal.LatticeEikonal(
        shape=(size, size, headings),
        spacing=(1.0, 1.0, 2 * np.pi / headings),
        periodic=(False, False, True),
        factor_radius=0.5,
    )
    car = spaces.PositionOrientation(2, config.xi, config.eps)
    ahead = replace(car, forward_only=True)
    return {
        "plane": tracker(flat, spaces.Euclidean(2), 0.5),
        "with_way_back": tracker(lifted, car, config.xi / 2),
        "ahead_only": tracker(lifted, ahead, config.xi / 2),
    }


def ends_of(line: np.ndarray) -> np.ndarray:
    """Positions of both ends of a line, with its headings there."""
    tangents = line[[1, -1]] - line[[0, -2]]
    angles = np.arctan2(tangents[:, 1], tangents[:, 0])
    return np.concatenate([line[[0, -1]], angles[:, None]], axis=1)


def gaps_between(line: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the line's points from the path, and of the path's from the line."""
    fractions = np.linspace(0, 1, 8)[:, None, None]
    path = (points[:-1] + fractions * (points[1:] - points[:-1])).reshape(-1, 2)
    apart = np.linalg.norm(line[::3, None] - path[None], axis=-1)
    return apart.min(axis=1), apart.min(axis=0)


def follow(image: Image, methods: dict[str, Any], config: Config) -> list[Any]:
    """Tracks every vessel of an image by every method."""
    shape = config.num_headings, config.filter_width, config.filter_length
    score = orientation_score(image.pixels, *shape)
    speed = jnp.asarray(1 / (1 + config.contrast * (1 - score) ** 2), jnp.float32)
    rows = []
    for number, line in enumerate(image.lines):
        ends = jnp.asarray(ends_of(line), jnp.float32)
        for name, track in methods.items():
            flat = name == "plane"
            model, dim = (jnp.max(speed, axis=-1), 2) if flat else (speed, 3)
            start = time.perf_counter()
            times, ray = jax.device_get(track(model, ends[0, :dim], ends[1, :dim]))
            seconds = time.perf_counter() - start
            path = ray.points[ray.valid, :2]
            there, back = gaps_between(line, path)
            rows.append(
                {
                    "method": name,
                    "loop": number == 0,
                    "arrived": bool(ray.arrived),
                    "T": float(times),
                    # From the line to the path: large where a part is left out.
                    "mean": float(there.mean()),
                    "max": float(max(there.max(), back.max())),
                    "seconds": seconds,
                    "path": path,
                }
            )
    return rows


def summarize(rows: list[Any], config: Config) -> dict[str, Any]:
    """Shares of a method's paths, and medians of their distances in pixels."""
    arrived, mean, far, loops = (
        np.array([row[name] for row in rows])
        for name in ("arrived", "mean", "max", "loop")
    )
    followed = arrived & (far <= config.near)
    shares = {
        "arrived": arrived,
        "followed": followed,
        "followed_loops": followed[loops],
        "followed_bows": followed[~loops],
        "mean_within": arrived & (mean <= config.near),
    }
    return {
        "paths": len(rows),
        **{name: float(np.mean(values)) for name, values in shares.items()},
        "median_of_mean_distances": float(np.median(mean)),
        "median_of_max_distances": float(np.median(far)),
        "median_seconds": float(np.median([row["seconds"] for row in rows])),
    }


def main(config: Config) -> None:
    """Tracks, measures, draws."""
    begin = time.perf_counter()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, num_images=1, size=40, num_headings=16, noise=0.05)
    methods, images, found = trackers(config), [], []
    for seed in range(config.seed, config.seed + config.num_images):
        images.append(
            make_image(
                seed, config.size, config.width, noise=config.noise, gap=config.gap
            )
        )
        found.append(follow(images[-1], methods, config))
    result: dict[str, Any] = {"config": asdict(config)}
    for name in methods:
        rows = [row for rows in found for row in rows if row["method"] == name]
        result[name] = summarize(rows, config)
        print(name, json.dumps(result[name]))
    result["seconds"] = round(time.perf_counter() - begin, 1)
    config.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, default=str)
    (config.out / "result.json").write_text(text + "\n")
    draw(images, found, config.out / "paths.png")
    print(f"picture and result.json in {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
