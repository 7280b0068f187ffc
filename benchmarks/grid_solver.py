"""How accurate and how fast is the grid solver, beside fast marching codes?

Accuracy: v = 1 + 1.5 x on the unit square, source at node (n // 4, n // 3), relative
L2 error against the closed form acosh(1 + g^2 |s - r|^2 / (2 v_s v_r)) / g.
Time: the same solves; a batch of 64 random layered models of 70^2 nodes against a loop
of the peer; a gradient. Peers: eikonalfm (factored and plain), scikit-fmm. All in one
process, in interleaved rounds, median; compilation and temporary memory apart.

    python benchmarks/grid_solver.py --out benchmarks/results/grid_solver.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import eikonalfm
import jax
import jax.numpy as jnp
import numpy as np
import skfmm

from eqjax.eikonal import GridEikonal, relative_error

GRADIENT = 1.5
SIZES = (71, 141, 281, 561)
BATCH, BATCH_NODES = 64, 70


def problem(n: int) -> dict[str, Any]:
    """The linear model on n^2 nodes with its exact times."""
    h = 1 / (n - 1)
    axis = h * np.arange(n)
    index = (n // 4, n // 3)
    source = np.array(index) * h
    velocity = np.ascontiguousarray(
        np.broadcast_to(1 + GRADIENT * axis[:, None], (n, n))
    )
    distance = np.hypot(axis[:, None] - source[0], axis[None] - source[1])
    speeds = velocity * (1 + GRADIENT * source[0])
    exact = np.arccosh(1 + GRADIENT**2 * distance**2 / (2 * speeds)) / GRADIENT
    return {
        "h": h,
        "index": index,
        "source": source,
        "velocity": velocity,
        "distance": distance,
        "exact": exact,
    }


def scikit_fmm(case: dict[str, Any], order: int) -> np.ndarray:
    level = np.ones_like(case["velocity"])
    level[case["index"]] = 0
    times = skfmm.travel_time(level, case["velocity"], dx=case["h"], order=order)
    return np.asarray(times)


def eikonalfm_plain(case: dict[str, Any], order: int) -> np.ndarray:
    h = (case["h"],) * 2
    return eikonalfm.fast_marching(
        case["velocity"], case["index"], h, 2 if order == 2 else 1
    )


def eikonalfm_factored(case: dict[str, Any], order: int) -> np.ndarray:
    h = (case["h"],) * 2
    tau = eikonalfm.factored_fast_marching(
        case["velocity"], case["index"], h, 2 if order == 2 else 1
    )
    return tau * case["distance"]


PEERS = {
    "eikonalfm factored": eikonalfm_factored,
    "eikonalfm plain": eikonalfm_plain,
    "scikit-fmm": scikit_fmm,
}


def error(times: np.ndarray, exact: np.ndarray) -> float:
    return float(relative_error(jnp.asarray(times), jnp.asarray(exact)))


def compiled(fn: Callable, *args: Any) -> tuple[Callable, dict[str, float]]:
    """A function compiled for its arguments, and what that took."""
    lowered = jax.jit(fn).lower(*args)
    start = time.perf_counter()
    run = lowered.compile()
    seconds = time.perf_counter() - start
    memory = run.memory_analysis()
    mebibytes = memory.temp_size_in_bytes / 2**20 if memory else float("nan")
    return run, {"compile_s": round(seconds, 2), "temporary_mib": round(mebibytes, 2)}


def median_times(
    functions: dict[str, Callable[[], Any]], rounds: int
) -> dict[str, dict[str, float]]:
    """Median and least milliseconds of every function, in interleaved rounds."""
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            samples[name].append(1e3 * (time.perf_counter() - start))
    return {
        # The first round warms up.
        name: {
            "median_ms": round(float(np.median(taken[1:])), 3),
            "least_ms": round(min(taken[1:]), 3),
        }
        for name, taken in samples.items()
    }


def single_solves(rounds: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for n in SIZES:
        case = problem(n)
        functions: dict[str, Callable[[], Any]] = {}
        rows: dict[str, dict[str, Any]] = {}
        for order in (1, 2):
            solver = GridEikonal((n, n), (case["h"],) * 2, order=order)
            for dtype in ("float64", "float32"):
                name = f"eqjax order {order} {dtype}"
                args = case["velocity"].astype(dtype), case["source"].astype(dtype)
                run, cost = compiled(solver.solve, *args)
                solution = run(*args)
                times = np.asarray(solution.times, np.float64)
                rows[name] = {
                    "relative_l2": error(times, case["exact"]),
                    "num_rounds": int(solution.num_rounds),
                    "result": int(solution.result),
                    **cost,
                }
                functions[name] = lambda run=run, args=args: run(*args)
            for peer, solve in PEERS.items():
                name = f"{peer} order {order}"
                rows[name] = {"relative_l2": error(solve(case, order), case["exact"])}
                functions[name] = lambda s=solve, c=case, o=order: s(c, o)
        for name, taken in median_times(functions, rounds).items():
            rows[name] |= taken
        results[f"{n}x{n}"] = rows
    return results


def layered_models(count: int, n: int) -> np.ndarray:
    random = np.random.default_rng(0)
    models = []
    for _ in range(count):
        depths = np.sort(random.uniform(0, n, 4))
        speeds = np.sort(random.uniform(1.5, 4.5, 5))
        column = speeds[np.searchsorted(depths, np.arange(n))]
        models.append(np.broadcast_to(column, (n, n)))
    return np.ascontiguousarray(np.stack(models))


def batch_of_models(rounds: int) -> dict[str, Any]:
    """One source in each of 64 layered models."""
    n, h = BATCH_NODES, 1 / (BATCH_NODES - 1)
    models = layered_models(BATCH, n)
    index = np.random.default_rng(1).integers(0, n, (BATCH, 2))
    solver = GridEikonal((n, n), (h, h))
    rows: dict[str, Any] = {}
    functions: dict[str, Callable[[], Any]] = {}
    for dtype in ("float64", "float32"):
        args = models.astype(dtype), (index * h).astype(dtype)
        run, cost = compiled(jax.vmap(solver.solve), *args)
        name = f"eqjax vmap {dtype}"
        rows[name] = {"num_rounds_max": int(run(*args).num_rounds.max()), **cost}
        functions[name] = lambda run=run, args=args: run(*args)
    functions["eikonalfm factored loop"] = lambda: [
        eikonalfm.factored_fast_marching(model, tuple(at), (h, h), 2)
        for model, at in zip(models, index, strict=True)
    ]
    for name, taken in median_times(functions, rounds).items():
        rows[name] = {**rows.get(name, {}), **taken}
    return rows


def gradients(rounds: int) -> dict[str, Any]:
    """Gradient of a sum of times by velocity and source, and its error."""
    rows: dict[str, Any] = {}
    functions: dict[str, Callable[[], Any]] = {}
    random = np.random.default_rng(0)
    for n in (71, 141):
        case = problem(n)
        # Between nodes, where derivatives by the source exist; no iteration error.
        source = case["source"] + case["h"] * np.array([0.3, 0.4])
        solver = GridEikonal((n, n), (case["h"],) * 2, tolerance=0.0, max_rounds=40)
        weights = jnp.asarray(random.normal(size=(n, n)))
        bump = case["velocity"] * random.normal(size=(n, n))
        move = np.array([0.6, -0.8])

        def misfit(v: Any, s: Any, solver: Any = solver, weights: Any = weights) -> Any:
            return jnp.vdot(weights, solver.solve(v, s).times)

        args = jnp.asarray(case["velocity"]), jnp.asarray(source)
        value, forward_cost = compiled(misfit, *args)
        gradient, cost = compiled(jax.grad(misfit, argnums=(0, 1)), *args)
        by_velocity, by_source = gradient(*args)
        step = 1e-6
        differences = [
            (
                value(args[0] + step * dv, args[1] + step * ds)
                - value(args[0] - step * dv, args[1] - step * ds)
            )
            / (2 * step)
            for dv, ds in ((bump, 0 * move), (0 * bump, move))
        ]
        slopes = jnp.vdot(by_velocity, bump), jnp.vdot(by_source, move)
        name = f"{n}x{n}"
        rows[f"{name} solve"] = forward_cost
        rows[f"{name} gradient"] = {
            "relative_error_by_velocity": float(abs(differences[0] / slopes[0] - 1)),
            "relative_error_by_source": float(abs(differences[1] / slopes[1] - 1)),
            **cost,
        }
        functions[f"{name} solve"] = lambda run=value, args=args: run(*args)
        functions[f"{name} gradient"] = lambda run=gradient, args=args: run(*args)
    for name, taken in median_times(functions, rounds).items():
        rows[name] |= taken
    return rows


def environment() -> dict[str, Any]:
    packages = ("jax", "jaxlib", "numpy", "eikonalfm", "scikit-fmm")
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "device": str(jax.devices()[0].device_kind),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def main() -> None:
    question = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--out", type=Path, help="file for the results (JSON)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of timing")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    results = {
        "question": question,
        "environment": environment(),
        "rounds": options.rounds,
        "single": single_solves(options.rounds),
        "batch_64_models_70x70": batch_of_models(options.rounds),
        "gradient": gradients(options.rounds),
    }
    text = json.dumps(results, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
