"""How many samples do networks need that commute with the group of their task?

Three tasks of Finzi, Welling and Wilson (2021), an invariant of O(5), the moment of
inertia and scattering of particles, by `nn.EquivariantMLP` and by an ordinary MLP of
the same size. See README.md for the numbers to expect.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib.figure import Figure
from networks import find_networks, mean_square_error, num_weights, train
from rich.console import Console
from tasks import Task, draw_element, find_task


@dataclass(frozen=True)
class Config:
    """Test errors against the number of samples, with and without the group.

    Attributes:
        out: Folder of the picture and of result.json.
        tasks: Any of o5, inertia, lorentz.
        num_samples: Sizes of the training sets.
        num_seeds: Seeds, of which the median counts.
        budget: Examples seen in training: at most 1,000 times the training set.
        batch: Examples per step, at most.
        smoke: A run of seconds that only shows that everything works.
    """

    out: Path = Path("runs/emlp_tasks")
    tasks: tuple[str, ...] = ("o5", "inertia", "lorentz")
    num_samples: tuple[int, ...] = (100, 1_000, 3_000)
    num_seeds: int = 3
    budget: int = 900_000
    batch: int = 500
    smoke: bool = False


NUM_TESTS = 5_000


def draw_data(task: Task, num: int, seed: int) -> tuple[jax.Array, jax.Array]:
    """Samples of a seed."""
    keys = jax.random.split(jax.random.key(seed), num)
    return jax.jit(jax.vmap(task.sample))(keys)


def scaled(task: Task, num: int, data: Any, tests: Any) -> tuple[Any, Any, Any]:
    """Data and tests in the units of the first samples, and the unit of errors."""
    if not task.standardize:
        return data, tests, jnp.ones(())
    x, y = data[0][:num], data[1][:num]
    size, mean, deviation = jnp.sqrt(jnp.mean(x**2)), jnp.mean(y), jnp.std(y)
    # Errors are relative to the variance of all targets, whatever the few have.
    unit = (deviation / jnp.std(tests[1])) ** 2
    data, tests = ((x / size, (y - mean) / deviation) for x, y in (data, tests))
    return data, tests, unit


def draw_batches(config: Config, num: int, seed: int) -> np.ndarray:
    """Rows of every step: epoch after epoch, each in an order of its own."""
    numbers = np.random.default_rng(seed)
    batch = min(config.batch, num)
    epochs = [numbers.permutation(num) for _ in range(min(config.budget // num, 1_000))]
    rows = [order[: num // batch * batch].reshape(-1, batch) for order in epochs]
    return np.concatenate(rows)


@partial(jax.jit, static_argnums=(0, 1))
def equivariance_error(task: Task, network: Any, params: Any, x: jax.Array) -> Any:
    """|f(g x) - g f(x)| relative to |f(x)|, root mean squares; a random g for each x.

    Boosts have rapidities of up to 1.
    """

    def compare(key: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        g = draw_element(task, key)
        want = task.rep_out.apply(g, network.apply(params, x))
        got = network.apply(params, task.rep_in.apply(g, x))
        return jnp.mean((got - want) ** 2), jnp.mean(want**2)

    errors = jax.vmap(compare)(jax.random.split(jax.random.key(0), len(x)), x)
    return jnp.sqrt(jnp.mean(errors[0]) / jnp.mean(errors[1]))


def study(config: Config, task: Task, network: Any) -> dict[str, Any]:
    """Trains on more and more samples, all seeds at once."""
    seeds = range(config.num_seeds)
    most = max(config.num_samples)
    keys = jax.random.split(jax.random.key(1), config.num_seeds)
    row: dict[str, Any] = {"weights": num_weights(network), "errors": []}
    row |= {"seconds": [], "train_errors": []}
    first: Any = None
    for num in config.num_samples:
        start = time.perf_counter()
        found = [
            scaled(task, num, draw_data(task, most, s), draw_data(task, NUM_TESTS, ~s))
            for s in seeds
        ]
        data, tests, units = jax.tree.map(lambda *a: jnp.stack(a), *found)
        batches = jnp.asarray([draw_batches(config, num, s) for s in seeds])
        params, losses = train(network, *data, batches, keys)
        test = jax.jit(jax.vmap(partial(mean_square_error, network)))
        row["errors"].append((units * test(params, *tests)).tolist())
        row["train_errors"].append((units * jnp.mean(losses[:, -20:], 1)).tolist())
        row["seconds"].append(round(time.perf_counter() - start, 1))
        first = jax.tree.map(lambda a: a[0], (params, tests[0]))
    error = equivariance_error(task, network, *first)
    return row | {"equivariance_error": float(error)}


def draw(result: dict[str, Any], config: Config) -> None:
    """Errors against training samples, a panel for each task."""
    figure = Figure(figsize=(3.6 * len(config.tasks), 3.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(config.tasks)))
    for panel, name in zip(panels, config.tasks, strict=True):
        for label, row in result["tasks"][name].items():
            errors = np.array(row["errors"])
            (line,) = panel.loglog(
                config.num_samples, np.median(errors, 1), "o-", label=label
            )
            panel.loglog(config.num_samples, errors, ".", color=line.get_color(), ms=3)
        panel.set(title=name, xlabel="training samples", ylabel="test error (MSE)")
        panel.legend(fontsize=8)
        panel.grid(alpha=0.3)
    figure.savefig(config.out / "errors.png", dpi=150)


def main(config: Config) -> None:
    """Trains, measures, draws."""
    start = time.perf_counter()
    console = Console()
    if config.smoke:  # nearly all of it is compilation
        jax.config.update("jax_disable_most_optimizations", True)
        config = Config(config.out, ("inertia",), (20,), 2, 2_000, 20, True)
    config.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"num_samples": config.num_samples, "tasks": {}}
    for name in config.tasks:
        task = find_task(name)
        rows = result["tasks"][name] = {}
        for label, network in find_networks(task).items():
            row = rows[label] = study(config, task, network)
            medians = ", ".join(f"{np.median(e):.2e}" for e in row["errors"])
            console.print(
                f"{name}, {label}: {medians}; {row['weights']} weights; "
                f"equivariance {row['equivariance_error']:.1e}; {row['seconds']} s"
            )
        result["seconds"] = round(time.perf_counter() - start, 1)
        (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    draw(result, config)
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
