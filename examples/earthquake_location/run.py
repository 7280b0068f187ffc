"""Events located by their first arrivals, with regions that hold what they promise.

See README.md for the numbers to expect.
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
import picture
import tyro

from eqjax import eikonal


@dataclass(frozen=True)
class Config:
    """Locates synthetic events in a heterogeneous medium.

    Attributes:
        out: Folder of result.json and the picture.
        nodes: Nodes per axis of the grid of the location, over 40 x 40 km.
        refinement: How much finer the grid of the data is.
        stations: Number of stations.
        events: Number of events.
        deviation: Standard deviation of the picks, in s.
        heterogeneity: Standard deviation of log v.
        wrong_picks: Share of the picks that are wrong by up to 3 s.
        degrees_of_freedom: Of the robust errors.
        seed: Of everything random.
        smoke: A run of seconds that only shows that everything works.
    """

    out: Path = Path("runs/earthquake_location")
    nodes: int = 41
    refinement: int = 4
    stations: int = 10
    events: int = 200
    deviation: float = 0.05
    heterogeneity: float = 0.1
    wrong_picks: float = 0.1
    degrees_of_freedom: float = 3.0
    seed: int = 0
    smoke: bool = False


SIZE_KM, SPEED = 40.0, 5.0


def make_velocity(config: Config, random: np.random.Generator) -> Any:
    """A function of points: v in km/s, smooth, with anomalies of 8 km."""
    centers = random.uniform(-8, SIZE_KM + 8, (120, 2))
    heights = random.normal(size=120)

    def bumps(points: np.ndarray) -> np.ndarray:
        squares = sum((points[..., i, None] - centers[:, i]) ** 2 for i in (0, 1))
        return np.exp(-squares / (2 * 4.0**2)) @ heights

    axis = np.linspace(0, SIZE_KM, 41)
    sample = bumps(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1))

    def velocity(points: np.ndarray) -> np.ndarray:
        wave = (bumps(points) - sample.mean()) / sample.std()
        return SPEED * np.exp(config.heterogeneity * wave)

    return velocity


def make_grid(nodes: int) -> tuple[eikonal.GridEikonal, np.ndarray]:
    """The solver, and the positions of its nodes."""
    axis = np.linspace(0, SIZE_KM, nodes)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    return eikonal.GridEikonal((nodes,) * 2, (SIZE_KM / (nodes - 1),) * 2), points


def solve_stations(
    solver: eikonal.GridEikonal, speeds: np.ndarray, stations: jax.Array
) -> eikonal.GridSolution:
    """One solve per station; times are the same in both directions."""
    speeds_on_device = jnp.asarray(speeds, jnp.float32)
    return jax.jit(jax.vmap(solver.solve, (None, 0)))(speeds_on_device, stations)


def measure(location: eikonal.Location, events: np.ndarray, origins: Any) -> dict:
    """Errors, sizes of the regions, and the share of events inside of them."""
    offset = location.mean - events
    inverse = np.linalg.inv(location.covariance)
    square = np.einsum("ei,eij,ej->e", offset, inverse, offset)
    level = 1 - np.exp(-square / 2)  # of the region whose edge meets the event
    error = np.linalg.norm(location.position - events, axis=1)
    radius = np.linalg.det(location.covariance) ** 0.25
    late = np.abs(location.origin_time - origins)
    return {
        "covered_by_90_percent": float(np.mean(level < 0.9)),
        "median_error_km": float(np.median(error)),
        "error_of_90_percent_km": float(np.quantile(error, 0.9)),
        "median_deviation_km": float(np.median(radius)),
        "median_origin_time_error_s": float(np.median(late)),
        "located": int(np.sum(location.result == 0)),
        "levels": np.sort(level).round(4).tolist(),
    }


def main(config: Config) -> None:
    """Makes picks, locates them in four ways, measures, draws."""
    begin = time.perf_counter()
    if config.smoke:
        config = replace(config, nodes=13, refinement=2, stations=6, events=12)
        jax.config.update("jax_disable_most_optimizations", True)
    random = np.random.default_rng(config.seed)
    velocity = make_velocity(config, random)
    stations = random.uniform(1, SIZE_KM - 1, (config.stations, 2)).astype(np.float32)
    events = random.uniform(3, SIZE_KM - 3, (config.events, 2)).astype(np.float32)
    origins = random.uniform(0, 60, config.events)

    fine, fine_points = make_grid((config.nodes - 1) * config.refinement + 1)
    solutions = solve_stations(fine, velocity(fine_points), jnp.asarray(stations))

    @jax.jit
    def arrivals(solutions: eikonal.GridSolution) -> jax.Array:
        def one(event: jax.Array) -> jax.Array:
            at = partial(fine.times_at, x=event)
            return jax.vmap(lambda *pair: at(*pair))(solutions, jnp.asarray(stations))

        return jax.vmap(one)(jnp.asarray(events))

    errors = config.deviation * random.normal(size=(config.events, config.stations))
    picks = np.asarray(arrivals(solutions)) + origins[:, None] + errors
    is_wrong = random.uniform(size=picks.shape) < config.wrong_picks
    bad_picks = picks + is_wrong * random.uniform(-3, 3, picks.shape)

    solver, points = make_grid(config.nodes)
    speeds = velocity(points)
    # The constant that keeps the mean slowness: the best guess without a model.
    constant = np.full_like(speeds, 1 / np.mean(1 / speeds))
    right, homogeneous = (
        solve_stations(solver, v, jnp.asarray(stations)) for v in (speeds, constant)
    )

    @partial(jax.jit, static_argnames="freedom")
    def locate(
        solutions: eikonal.GridSolution, picks: jax.Array, freedom: float | None
    ) -> eikonal.Location:
        def one(observed: jax.Array) -> eikonal.Location:
            deviations = jnp.full_like(observed, config.deviation)
            return eikonal.locate(
                solver,
                solutions,
                jnp.asarray(stations),
                observed,
                deviations,
                degrees_of_freedom=freedom,
            )

        return jax.vmap(one)(picks)

    runs = {
        "right velocity": (right, picks, None),
        "homogeneous velocity": (homogeneous, picks, None),
        "wrong picks, Gaussian": (right, bad_picks, None),
        "wrong picks, Student t": (right, bad_picks, config.degrees_of_freedom),
    }
    rows, located = {}, {}
    for name, (solved, observed, freedom) in runs.items():
        location = locate(solved, jnp.asarray(observed, jnp.float32), freedom)
        located[name] = jax.tree.map(np.asarray, location)
        rows[name] = measure(located[name], events, origins)
    start = time.perf_counter()
    jax.block_until_ready(locate(right, jnp.asarray(picks, jnp.float32), None))
    seconds = (time.perf_counter() - start) / config.events
    result = {
        "config": asdict(config),
        "runs": rows,
        "milliseconds_per_event": round(1e3 * seconds, 2),
        "seconds": round(time.perf_counter() - begin, 1),
    }
    config.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, default=str)
    (config.out / "result.json").write_text(text + "\n")
    picture.draw(speeds, SIZE_KM, stations, events, located, rows, config.out)
    for name, row in rows.items():
        print(name, json.dumps({k: v for k, v in row.items() if k != "levels"}))
    print(f"picture and result.json in {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
