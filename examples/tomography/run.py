"""A velocity model from first arrivals between sources and receivers around it.

See README.md for the numbers to expect.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import picture
import tyro

from eqjax import eikonal

Times = Callable[[jax.Array, jax.Array], jax.Array]


@dataclass(frozen=True)
class Config:
    """Recovers a checkerboard from travel times.

    Attributes:
        out: Folder of result.json and the picture.
        nodes: Nodes per axis of the unknown model.
        stations: Number of sources, and of receivers.
        periods: Periods of the checkerboard per axis; each is two fields wide.
        contrast: Amplitude of log v.
        edges: Of its fields: a product of sines, or jumps.
        refinement: How much finer the grid of the data is than that of the model. 1
            takes the same discretization for both, which hides its error.
        noise: Standard deviation of the errors, relative to the mean travel time.
        prior: Gradients of log v squared, or their total variation.
        step_deviation: Deviation that the prior expects of log v from node to node
            ("l2"), or the inverse weight of its moduli ("l1").
        steps: Largest number of Gauss-Newton steps.
        seed: Of the noise.
        smoke: A run of seconds that only shows that everything works.
    """

    out: Path = Path("runs/tomography")
    nodes: int = 32
    stations: int = 20
    periods: int = 2
    contrast: float = 0.1
    edges: Literal["smooth", "sharp"] = "smooth"
    refinement: int = 4
    noise: float = 0.01
    prior: Literal["l2", "l1"] = "l2"
    step_deviation: float = 0.05
    steps: int = 10
    seed: int = 0
    smoke: bool = False


def make_ring(count: int, shift: float) -> np.ndarray:
    """Positions evenly along the edge of the unit square, just inside."""
    along = (np.arange(count) + shift) / count * 4
    side, t = along.astype(int), 0.02 + 0.96 * (along % 1)
    low, high = np.full(count, 0.02), np.full(count, 0.98)
    x = np.choose(side, [t, high, 1 - t, low])
    y = np.choose(side, [low, t, high, 1 - t])
    return np.stack([x, y], axis=-1)


def make_model(config: Config, nodes: int) -> np.ndarray:
    """log v of the checkerboard at the nodes of a grid of the unit square."""
    waves = np.sin(2 * np.pi * config.periods * np.linspace(0, 1, nodes))
    board = waves[:, None] * waves
    if config.edges == "sharp":  # sines of multiples of pi are no exact zeros
        board = np.sign(np.where(np.abs(board) < 1e-9, 0, board))
    return config.contrast * board


def make_times(
    solver: eikonal.GridEikonal, sources: jax.Array, receivers: jax.Array
) -> Times:
    """Times of one source as a function of log v: what an inversion is about."""

    def times(log_v: jax.Array, i: jax.Array) -> jax.Array:
        solution = solver.solve(jnp.exp(log_v), sources[i])
        at = partial(solver.times_at, solution, sources[i])
        return jax.vmap(at)(receivers)

    return times


def invert(
    times: Times,
    data: jax.Array,
    deviation: float,
    solver: eikonal.GridEikonal,
    config: Config,
) -> eikonal.Inversion:
    """From a homogeneous model."""

    def prior(log_v: jax.Array) -> jax.Array:
        h = solver.spacing
        return eikonal.roughness(log_v, h) * h[0] / config.step_deviation

    return eikonal.invert(
        times,
        data,
        jnp.full_like(data, 1 / deviation**2),
        jnp.zeros(solver.shape, data.dtype),
        prior,
        prior_norm=config.prior,
        prior_scale=0.1,
        num_steps=config.steps,
    )


def score(model: np.ndarray, true: np.ndarray, coverage: np.ndarray) -> dict:
    """How much of the contrast is there, and how alike the pictures are."""
    covered = coverage > np.median(coverage)
    return {
        # the slope of the regression of the model on the truth
        "contrast": float(np.sum(model * true) / np.sum(true**2)),
        "correlation": float(np.corrcoef(model.ravel(), true.ravel())[0, 1]),
        "correlation_covered": float(np.corrcoef(model[covered], true[covered])[0, 1]),
    }


def main(config: Config) -> None:
    """Makes data, inverts them without and with noise, measures, draws."""
    begin = time.perf_counter()
    if config.smoke:
        config = replace(config, nodes=9, stations=6, periods=1, refinement=2, steps=4)
        jax.config.update("jax_disable_most_optimizations", True)
    h = 1 / (config.nodes - 1)
    solver = eikonal.GridEikonal((config.nodes,) * 2, (h, h))
    factor = config.refinement
    num_fine = (config.nodes - 1) * factor + 1
    fine = eikonal.GridEikonal((num_fine,) * 2, (h / factor,) * 2)
    rings = [make_ring(config.stations, shift) for shift in (0.25, 0.75)]
    sources, receivers = (jnp.asarray(ring, jnp.float32) for ring in rings)
    index = jnp.arange(config.stations)

    def simulate(solver: eikonal.GridEikonal) -> jax.Array:
        log_v = jnp.asarray(make_model(config, solver.shape[0]), jnp.float32)
        times = make_times(solver, sources, receivers)
        return jax.jit(jax.vmap(times, (None, 0)))(log_v, index)

    data = simulate(fine)
    # What the coarse grid of the inversion cannot explain is an error of the data.
    grid_error = float(jnp.sqrt(jnp.mean((simulate(solver) - data) ** 2)))
    floor = max(grid_error, 2e-4)
    noise = config.noise * float(jnp.mean(data))
    random = np.random.default_rng(config.seed).normal(size=data.shape)
    true = make_model(config, config.nodes)

    def one_coverage(log_v: jax.Array, source: jax.Array) -> jax.Array:
        return eikonal.ray_coverage(solver, jnp.exp(log_v), source, receivers)

    @jax.jit
    def cover(log_v: jax.Array) -> jax.Array:
        return jnp.sum(jax.vmap(one_coverage, (None, 0))(log_v, sources), axis=0)

    times = make_times(solver, sources, receivers)
    run = jax.jit(lambda d, deviation: invert(times, d, deviation, solver, config))
    run = run.lower(data, 1.0).compile()
    result: dict = {"grid_error": grid_error, "noise": noise}
    inversions, coverage = {}, {}
    for name, errors, deviation in (
        ("noise_free", 0 * random, floor),
        ("noisy", noise * random, float(np.hypot(floor, noise))),
    ):
        start = time.perf_counter()
        found = jax.block_until_ready(
            run(data + jnp.asarray(errors, data.dtype), deviation)
        )
        seconds = time.perf_counter() - start
        inversions[name] = jax.tree.map(np.asarray, found)
        # Rays of the recovered model: those of the true one are not known to a user.
        coverage[name] = np.asarray(cover(found.unknowns))
        misfits = inversions[name].misfits
        result[name] = score(inversions[name].unknowns, true, coverage[name]) | {
            "misfit_falls_by": float(misfits[0] / misfits[-1]),
            "misfits": misfits.tolist(),
            "result": int(found.result),
            "seconds": round(seconds, 1),
        }
    result["seconds"] = round(time.perf_counter() - begin, 1)
    config.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"config": asdict(config), **result}, indent=2, default=str)
    (config.out / "result.json").write_text(text + "\n")
    picture.draw(true, inversions, coverage, rings, config.out / "tomography.png")
    for name in inversions:
        row = {k: v for k, v in result[name].items() if k != "misfits"}
        print(name, json.dumps(row))
    print(f"picture and result.json in {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
