"""A car finds its way through mazes: travel times of positions and headings.

The times from a goal to everywhere are solved once per maze; following them down gives
the way of a car from any start. See README.md for the numbers to expect.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from picture import draw
from rich.console import Console
from scipy import ndimage

from eqjax import data, eikonal, spaces

HALF = 4.0


@dataclass(frozen=True)
class Config:
    """Plans for a car on R^2 x S^1 in mazes.

    Attributes:
        out: Folder of the picture and of result.json.
        mazes: A .npy file of int8 (mazes, rows, columns), 1 = wall; default: mazes of
            the library's own generator.
        num_mazes: At most so many mazes.
        num_starts: Ways per maze, all to one goal.
        num_headings: Nodes of the heading.
        xi: Cost of a unit of length relative to a radian: the car turns on circles of
            radius 1 / xi or so.
        eps: Speed sideways relative to that ahead.
        margin: Distance from walls (in nodes) from which on the speed is 1.
        slowest: Speed beside a wall.
        refined: On so many mazes the optimum is computed on a finer grid.
        factor: How much finer it is, in all three axes.
        smoke: A run of seconds that only shows that everything works.
        seed: Of starts, goals and generated mazes.
    """

    out: Path = Path("runs/maze_planning")
    mazes: Path | None = None
    num_mazes: int = 50
    num_starts: int = 4
    num_headings: int = 32
    xi: float = 0.9
    eps: float = 0.3
    margin: float = 3.0
    slowest: float = 0.1
    refined: int = 0
    factor: int = 4
    smoke: bool = False
    seed: int = 0


def load(config: Config) -> np.ndarray:
    """Walls, True, of (mazes, rows, columns)."""
    if config.mazes is not None:
        return data.read_mazes(config.mazes)[: config.num_mazes]
    rooms = (2, 1) if config.smoke else (4, 4)
    seeds = range(config.seed, config.seed + config.num_mazes)
    return np.stack([data.random_maze(seed, rooms=rooms) for seed in seeds])


def solver_for(shape: tuple[int, int], num_headings: int, factor: int = 1) -> Any:
    """Nodes (x, y, heading) of a maze in [-4, 4]^2, or `factor` times as fine."""
    fine = tuple((n - 1) * factor + 1 for n in shape)
    spacing = 2 * HALF / (max(shape) - 1) / factor
    origin = tuple(-spacing * (n - 1) / 2 for n in fine)
    return eikonal.LatticeEikonal(
        shape=(*fine, num_headings * factor),
        spacing=(spacing, spacing, 2 * np.pi / (num_headings * factor)),
        origin=(*origin, 0.0),
        periodic=(False, False, True),
        factor_radius=1.0,
    )


def distance(walls: np.ndarray) -> np.ndarray:
    """Distance of every node from the nearest wall, in nodes."""
    return np.asarray(ndimage.distance_transform_edt(~walls))


def speeds(walls: np.ndarray, config: Config) -> np.ndarray:
    """1 far from walls, slower towards them; (mazes, rows, columns)."""
    away = np.stack([distance(maze) for maze in walls])
    return np.clip((away - 1) / (config.margin - 1), config.slowest, 1)


def draw_ends(walls: np.ndarray, solver: Any, config: Config) -> np.ndarray:
    """A goal and starts per maze at free nodes away from walls."""
    random = np.random.default_rng(config.seed)
    ends = []
    for maze in walls:
        free = np.argwhere(distance(maze) > config.margin)
        chosen = free[random.choice(len(free), 1 + config.num_starts)]
        headings = random.uniform(0, 2 * np.pi, len(chosen))
        places = np.array(solver.origin[:2]) + chosen * solver.spacing[0]
        ends.append(np.concatenate([places, headings[:, None]], axis=1))
    return np.stack(ends)


def plan(
    solver: Any, space: Any, stencil: Any, speed: Any, wall: Any, ends: Any
) -> tuple[Any, Any]:
    """Times from the starts to the goal of ONE maze, and the ways."""
    goal, starts = ends[0], ends[1:]
    model = jnp.broadcast_to(speed[:, :, None], solver.shape)
    mask = jnp.broadcast_to(wall[:, :, None], solver.shape)
    solution = solver.solve(stencil, model, goal, mask=mask)
    spread = eikonal.GridVelocity(
        solver.shape[:2], solver.spacing[:2], solver.origin[:2]
    )

    def way(start: Any) -> Any:
        return eikonal.trace_ray(
            jax.grad(lambda x: solver.times_at(stencil, solution, goal, x)),
            lambda x: spread.at(speed, x[:2]),
            space,
            goal,
            start,
            step=solver.spacing[0] * space.xi / 2,
            max_steps=1500,
        )

    return solution, jax.vmap(way)(starts)


def collides(points: np.ndarray, valid: np.ndarray, walls: np.ndarray, h: float) -> Any:
    """Whether a way enters the box of a wall's node, also between its points."""
    fractions = np.linspace(0, 1, 5)[:, None, None]
    between = points[:-1] + fractions * (points[1:] - points[:-1])
    index = np.round(between[..., :2] / h + (np.array(walls.shape) - 1) / 2).astype(int)
    return bool(np.any(walls[index[..., 0], index[..., 1]] & valid[1:]))


def optimum(walls: np.ndarray, speed: np.ndarray, ends: Any, config: Config) -> Any:
    """Times of the finer grid: walls in boxes, the speed interpolated."""
    solver = solver_for(walls.shape, config.num_headings, config.factor)
    space = spaces.PositionOrientation(2, config.xi, config.eps)
    stencil = solver.stencil_of(space)
    grid = eikonal.GridVelocity(walls.shape, (1.0, 1.0))
    fine = grid.refine(jnp.asarray(speed, jnp.float32), config.factor)
    nearest = [
        np.floor(np.arange(n) / config.factor + 0.5).astype(int)
        for n in solver.shape[:2]
    ]
    wall = jnp.asarray(walls[np.ix_(*nearest)])

    @jax.jit
    def times(model: Any, wall: Any, ends: Any) -> Any:
        model = jnp.broadcast_to(model[:, :, None], solver.shape)
        mask = jnp.broadcast_to(wall[:, :, None], solver.shape)
        solution = solver.solve(stencil, model, ends[0], mask=mask)
        at = partial(solver.times_at, stencil, solution, ends[0])
        return jax.vmap(at)(ends[1:]), solution.result

    return times(fine, wall, jnp.asarray(ends, jnp.float32))


def main(config: Config) -> None:
    """Plans, checks, compares, draws."""
    start, console = time.perf_counter(), Console()
    if config.smoke:
        config = replace(config, num_mazes=1, num_starts=2, num_headings=16)
        jax.config.update("jax_disable_most_optimizations", True)
    walls = load(config)
    solver = solver_for(walls.shape[1:], config.num_headings)
    space = spaces.PositionOrientation(2, config.xi, config.eps)
    stencil, speed = solver.stencil_of(space), speeds(walls, config)
    ends = draw_ends(walls, solver, config)
    run = jax.jit(partial(plan, solver, space, stencil))
    plans, ratios = [], []
    for i in range(len(walls)):
        arrays = jnp.asarray(speed[i], jnp.float32), jnp.asarray(walls[i])
        solution, ways = jax.device_get(run(*arrays, jnp.asarray(ends[i], jnp.float32)))
        plans.append(
            {
                "goal": ends[i, 0],
                "ways": list(zip(ways.points, ways.valid, strict=True)),
                "result": int(solution.result),
                "arrived": ways.arrived,
                "time": ways.time,
                "hits": [
                    collides(points, valid, walls[i], solver.spacing[0])
                    for points, valid in zip(ways.points, ways.valid, strict=True)
                ],
            }
        )
        if i < config.refined:
            best, code = optimum(walls[i], speed[i], ends[i], config)
            ratios += (ways.time / np.asarray(best)).tolist()
            console.print(f"maze {i}: way / optimum {ratios[-len(best) :]} ({code})")
    arrived = np.concatenate([found["arrived"] for found in plans])
    hits = np.concatenate([found["hits"] for found in plans])
    result = {
        "mazes": len(walls),
        "ways": len(arrived),
        "arrived": int(np.sum(arrived)),
        "collisions": int(np.sum(hits)),
        "collision_free_arrivals": float(np.mean(arrived & ~hits)),
        "solver_results": sorted({found["result"] for found in plans}),
        "time_over_refined_optimum": ratios,
        "seconds": round(time.perf_counter() - start, 1),
    }
    config.out.mkdir(parents=True, exist_ok=True)
    draw(walls, plans, HALF, config.out / "ways.png")
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(result)


if __name__ == "__main__":
    main(tyro.cli(Config))
