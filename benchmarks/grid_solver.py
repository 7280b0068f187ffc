"""How accurate and how fast is the grid solver, beside fast marching codes?

`single`: v = 1 + 1.5 x on the unit square and cube, source at node (n // 4, n // 3) and
(n // 4, n // 3, n // 3); relative L2 error against the closed form
acosh(1 + g^2 |s - r|^2 / (2 v_s v_r)) / g, and time. fteikpy takes v in cells and gives
times at their corners: it has v at the centers of the cells between the same nodes.

`batch`: 64 sources in as many models of 70^2 nodes (layers; with `--marmousi` crops of
that model), against a loop of the peer: by `vmap`, one after another (`lax.map`), and
both split over two devices, which are host threads here. RE is the mean relative L2
error against the bilinear interpolant of the model on a grid 8 times finer, whose own
error (4 times against 8 times) is given too.

`gradient`: of a sum of times by velocity and source, against central differences; its
time beside that of a solve, and its memory with few and with many rounds allowed.

    python benchmarks/grid_solver.py --out benchmarks/results/grid_solver.json

fteikpy needs numba; if they are installed apart, `--peers` names their folder. With
`--accelerator`, only 4,096 solves at once run, on whatever device JAX has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eikonalfm
import jax
import jax.numpy as jnp
import numpy as np
from _grid_peers import PEERS, fteikpy_solver, problem
from _measure import (
    compiled,
    environment,
    finish,
    median_times,
    parser,
    peer,
    question,
    rounded,
)
from jax.sharding import NamedSharding, PartitionSpec

from eqjax.data import read_marmousi
from eqjax.eikonal import GridEikonal, GridVelocity, relative_error

SHAPES = [(n, n) for n in (71, 141, 281, 561)] + [(n, n, n) for n in (33, 65, 129)]
DTYPES = ("float64", "float32")
# Nodes from which on a solve takes seconds and is measured twice only.
MANY_NODES = 10**6
BATCH, BATCH_NODES = 64, 70
REFERENCE_FACTOR = 8
ACCELERATOR_BATCH = 4096

Rows = dict[str, dict[str, Any]]
Functions = dict[str, Callable[[], Any]]


def error(times: np.ndarray, exact: np.ndarray) -> float:
    return rounded(float(relative_error(jnp.asarray(times), jnp.asarray(exact))))


def measured(rows: Rows, functions: Functions, rounds: int) -> Rows:
    """The rows with the times of the functions of the same names."""
    for name, taken in median_times(functions, rounds).items():
        rows[name] = rows.get(name, {}) | taken
    return rows


def single_solves(rounds: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    fteikpy = peer("fteikpy")
    for shape in SHAPES:
        case = problem(shape)
        functions: Functions = {}
        rows: Rows = {}
        for order in (1, 2):
            solver = GridEikonal(shape, case["spacing"], order=order)
            for dtype in DTYPES:
                name = f"eqjax order {order} {dtype}"
                args = case["velocity"].astype(dtype), case["source"].astype(dtype)
                run, cost = compiled(solver.solve, *args)
                solution = run(*args)
                rows[name] = {
                    "relative_l2": error(
                        np.asarray(solution.times, np.float64), case["exact"]
                    ),
                    "num_rounds": int(solution.num_rounds),
                    "result": int(solution.result),
                    **cost,
                }
                functions[name] = lambda run=run, args=args: run(*args)
            for other, solve in PEERS.items():
                functions[f"{other} order {order}"] = lambda s=solve, c=case, o=order: (
                    s(c, o)
                )
        if fteikpy is not None:
            functions["fteikpy"] = fteikpy_solver(fteikpy, case)
        for name, function in functions.items():
            if name not in rows:
                rows[name] = {"relative_l2": error(function(), case["exact"])}
        few = case["velocity"].size > MANY_NODES
        name = "x".join(map(str, shape))
        results[name] = measured(rows, functions, 1 if few else rounds)
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


def marmousi_crops(path: Path, count: int, n: int) -> np.ndarray:
    model = np.asarray(read_marmousi(path).velocity)
    corners = np.random.default_rng(2).integers(
        0, np.array(model.shape) - n + 1, (count, 2)
    )
    return np.stack([model[i : i + n, j : j + n] for i, j in corners])


def marched(models: np.ndarray, indices: np.ndarray, factor: int = 1) -> np.ndarray:
    """Times of eikonalfm on a finer grid, at the nodes of this one."""
    n = models.shape[-1]
    h = 1 / (n - 1)
    grid = GridVelocity((n, n), (h, h))
    fine_h = (h / factor,) * 2
    fine = np.arange((n - 1) * factor + 1) * fine_h[0]
    times = []
    for model, index in zip(models, indices, strict=True):
        speeds = np.asarray(grid.refine(jnp.asarray(model), factor))
        tau = eikonalfm.factored_fast_marching(speeds, tuple(factor * index), fine_h, 2)
        offsets = fine[:, None] - index[0] * h, fine[None] - index[1] * h
        times.append((tau * np.hypot(*offsets))[::factor, ::factor])
    return np.stack(times)


def solve_all(solver: GridEikonal, split: bool, batched: bool) -> Callable[..., Any]:
    """A batch of solves, at once or one by one, on one device or on all."""

    def solve(velocities: Any, sources: Any) -> Any:
        if batched:
            return jax.vmap(solver.solve)(velocities, sources)
        return jax.lax.map(lambda pair: solver.solve(*pair), (velocities, sources))

    if not split:
        return solve
    # So every device ends its own loop.
    spec = PartitionSpec("batch")
    mesh = jax.make_mesh((jax.device_count(),), ("batch",))
    return jax.shard_map(
        solve, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False
    )


def batch_of_models(rounds: int, models: np.ndarray) -> dict[str, Any]:
    """One source in each model, on all devices if there are several."""
    n, h = models.shape[-1], 1 / (models.shape[-1] - 1)
    indices = np.random.default_rng(1).integers(0, n, (len(models), 2))
    reference = marched(models, indices, REFERENCE_FACTOR)

    def mean_error(times: Any, reference: np.ndarray = reference) -> float:
        times = jnp.asarray(np.asarray(times, float))
        pairs = jax.vmap(relative_error)(times, jnp.asarray(reference))
        return rounded(float(jnp.mean(pairs)))

    solver = GridEikonal((n, n), (h, h))
    split = jax.device_count() > 1
    suffix = f" on {jax.device_count()} devices" if split else ""
    peer_name = "eikonalfm factored loop"
    rows: Rows = {peer_name: {"re": mean_error(marched(models, indices))}}
    functions: Functions = {}
    for batched in (True, False):
        solve = solve_all(solver, split, batched)
        for dtype in DTYPES:
            args = jnp.asarray(models.astype(dtype)), jnp.asarray(indices * h, dtype)
            if split:
                mesh = jax.make_mesh((jax.device_count(),), ("batch",))
                args = jax.device_put(args, NamedSharding(mesh, PartitionSpec("batch")))
            run, cost = compiled(solve, *args)
            solutions = run(*args)
            name = f"eqjax {'vmap' if batched else 'map'} {dtype}{suffix}"
            rows[name] = {
                "re": mean_error(solutions.times),
                "num_rounds_max": int(solutions.num_rounds.max()),
                "result_max": int(solutions.result.max()),
                **cost,
            }
            functions[name] = lambda run=run, args=args: run(*args)
    functions[peer_name] = lambda: [
        eikonalfm.factored_fast_marching(model, tuple(at), (h, h), 2)
        for model, at in zip(models, indices, strict=True)
    ]
    measured(rows, functions, rounds)
    for name in functions:
        rows[name]["times_peer"] = rounded(
            rows[name]["median_ms"] / rows[peer_name]["median_ms"]
        )
    coarser = marched(models, indices, REFERENCE_FACTOR // 2)
    return {"reference_error": mean_error(coarser), **rows}


def batches(rounds: int, marmousi: Path | None) -> dict[str, Any]:
    results = {"layers": batch_of_models(rounds, layered_models(BATCH, BATCH_NODES))}
    if marmousi:
        crops = marmousi_crops(marmousi, BATCH, BATCH_NODES)
        results["marmousi crops"] = batch_of_models(rounds, crops)
    return results


def batches_on_two_devices(rounds: int, marmousi: Path | None) -> Any:
    """The same in a process whose host has two devices."""
    command = [sys.executable, __file__, "--batches-only", "--rounds", str(rounds)]
    if marmousi:
        command += ["--marmousi", str(marmousi)]
    flags = os.environ.get("XLA_FLAGS", "")
    flags += " --xla_force_host_platform_device_count=2"
    done = subprocess.run(
        command,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def misfit(n: int, **options: Any) -> tuple[Callable[..., Any], tuple[Any, Any]]:
    """A sum of times as a function of velocity and source, and arguments for it."""
    case = problem((n, n))
    # Between nodes, where derivatives by the source exist.
    source = case["source"] + case["spacing"][0] * np.array([0.3, 0.4])
    weights = jnp.asarray(np.random.default_rng(n).normal(size=(n, n)))
    solver = GridEikonal((n, n), case["spacing"], **options)

    def value(velocity: Any, source: Any) -> Any:
        return jnp.vdot(weights, solver.solve(velocity, source).times)

    return value, (jnp.asarray(case["velocity"]), jnp.asarray(source))


def gradient_errors(value: Any, gradient: Any, args: tuple[Any, Any]) -> dict[str, Any]:
    """Relative errors against central differences."""
    velocity, source = args
    by_velocity, by_source = gradient(velocity, source)
    bump = velocity * np.random.default_rng(0).normal(size=velocity.shape)
    step, move = 1e-6, np.array([0.6, -0.8])
    errors = {}
    for what, slope, dv, ds in (
        ("velocity", jnp.vdot(by_velocity, bump), bump, 0 * move),
        ("source", jnp.vdot(by_source, move), 0 * bump, move),
    ):
        ahead = value(velocity + step * dv, source + step * ds)
        behind = value(velocity - step * dv, source - step * ds)
        ratio = float((ahead - behind) / (2 * step * slope))
        errors[f"relative_error_by_{what}"] = rounded(abs(ratio - 1))
    return errors


def gradients(rounds: int) -> Rows:
    """Gradient of a sum of times by velocity and source: error, time and memory."""
    rows: Rows = {}
    functions: Functions = {}
    settings = {"default": {}, "converged": {"tolerance": 0.0, "max_rounds": 40}}
    for n in (71, 141):
        for setting, options in settings.items():
            fn, args = misfit(n, **options)
            value, value_cost = compiled(fn, *args)
            gradient, cost = compiled(jax.grad(fn, argnums=(0, 1)), *args)
            name = f"{n}x{n} {setting}"
            rows[f"{name} solve"], rows[f"{name} gradient"] = value_cost, cost
            functions[f"{name} solve"] = lambda run=value, args=args: run(*args)
            functions[f"{name} gradient"] = lambda run=gradient, args=args: run(*args)
            if setting == "converged":
                # An iteration error would count as one of the derivative.
                rows[f"{name} gradient"] |= gradient_errors(value, gradient, args)
        for bound in (2, 40):
            fn, args = misfit(n, max_rounds=bound)
            cost = compiled(jax.grad(fn, argnums=(0, 1)), *args)[1]
            memory = cost["temporary_mib"]
            rows[f"{n}x{n} default gradient"][f"mib_of_{bound}_rounds"] = memory
    measured(rows, functions, rounds)
    for name in functions:
        if name.endswith("gradient"):
            solve = rows[name.replace("gradient", "solve")]
            ratio = rows[name]["median_ms"] / solve["median_ms"]
            rows[name]["times_solve"] = rounded(ratio)
    return rows


def accelerator(rounds: int) -> Rows:
    """4,096 solves at once in float32: every source in every model."""
    n = BATCH_NODES
    h = 1 / (n - 1)
    count = int(ACCELERATOR_BATCH**0.5)
    models = jnp.asarray(layered_models(count, n), dtype=jnp.float32)
    indices = np.random.default_rng(1).integers(0, n, (count, 2))
    sources = jnp.asarray(indices * h, dtype=jnp.float32)
    solver = GridEikonal((n, n), (h, h))
    args = jnp.repeat(models, count, axis=0), jnp.tile(sources, (count, 1))
    run, cost = compiled(jax.vmap(solver.solve), *args)
    solutions = run(*args)
    name = f"eqjax vmap of {count**2} float32"
    rows: Rows = {
        name: {
            "num_rounds_max": int(solutions.num_rounds.max()),
            "result_max": int(solutions.result.max()),
            **cost,
        }
    }
    measured(rows, {name: lambda: run(*args)}, rounds)
    rows[name]["us_per_solve"] = rounded(1e3 * rows[name]["median_ms"] / count**2)
    return rows


def main() -> None:
    options = parser(__doc__, rounds=7)
    options.add_argument("--peers", type=Path, help="folder of fteikpy and numba")
    options.add_argument("--marmousi", type=Path, help="a file of the Marmousi model")
    options.add_argument("--accelerator", action="store_true")
    options.add_argument("--batches-only", action="store_true")
    args = options.parse_args()
    jax.config.update("jax_enable_x64", True)
    if args.peers:
        # Last, so that nothing else comes from there.
        sys.path.append(str(args.peers))
    if args.batches_only:
        finish(batches(args.rounds, args.marmousi), args.out)
        return
    results: dict[str, Any] = {
        "question": question(__doc__),
        "environment": environment(("eikonalfm", "scikit-fmm", "fteikpy", "numba")),
        "rounds": args.rounds,
    }
    if args.accelerator:
        results["accelerator"] = accelerator(args.rounds)
    else:
        results["single"] = single_solves(args.rounds)
        results["batch"] = batches(args.rounds, args.marmousi)
        results["batch_on_two_devices"] = batches_on_two_devices(
            args.rounds, args.marmousi
        )
        results["gradient"] = gradients(args.rounds)
    finish(results, args.out)


if __name__ == "__main__":
    main()
