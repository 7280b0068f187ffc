"""On which direction a function of many variables depends, read off from a fit.

f(x) = sin(3 a.x) + 0.1 b.x for unit vectors a, b in 10 dimensions. Gaussian kernels
that share one precision learn f from samples; the precision's eigenvectors tell a. See
README.md.
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
import optax
import tyro
from matplotlib.figure import Figure
from rich.console import Console

from eqjax import fields


@dataclass(frozen=True)
class Config:
    """The active direction of a function, from samples.

    Attributes:
        out: Folder of the picture and of result.json.
        dim: Number of variables.
        num_samples: Samples to learn from, uniform in [-1, 1]^dim.
        num_kernels: Kernels of one shape.
        steps: Training steps.
        ridge: Weight of the norms of features and precision in the loss.
        smoke: A run of seconds that only shows that everything works.
        seeds: Of function, data and start; the picture shows the first.
    """

    out: Path = Path("runs/active_subspace")
    dim: int = 10
    num_samples: int = 1_000
    num_kernels: int = 100
    steps: int = 1_000
    ridge: float = 1e-5
    smoke: bool = False
    seeds: tuple[int, ...] = (0, 1, 2)


def sample(config: Config, seed: int) -> tuple[Any, ...]:
    """The directions a and b; samples to learn from and to test on."""
    numbers = np.random.default_rng(seed)
    a, b = numbers.normal(size=(2, config.dim))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)

    def draw(num: int) -> tuple[jax.Array, jax.Array]:
        x = numbers.uniform(-1, 1, size=(num, config.dim))
        y = np.sin(3 * x @ a) + 0.1 * x @ b
        return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)

    return a, b, draw(config.num_samples), draw(2_000)


def fit(field: fields.RBFField, x: Any, y: Any, config: Config, seed: int) -> Any:
    """Adam on the mean square error plus norms."""
    start = partial(
        fields.init_kernels, num_kernels=config.num_kernels, num_features=1, shared=True
    )
    kernels = jax.jit(start)(x, key=jax.random.key(seed))
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, config.steps))

    def loss(kernels: Any) -> jax.Array:
        prepared = field.prepare({}, kernels)
        found = jax.vmap(partial(field.apply, {}, prepared))(x)[:, 0]
        norms = jnp.linalg.norm(kernels["feature"])
        norms += jnp.linalg.norm(prepared["factor"])
        return jnp.mean((found - y) ** 2) + config.ridge * norms

    @jax.jit
    def step(kernels: Any, state: Any) -> Any:
        update, state = optimizer.update(jax.grad(loss)(kernels), state)
        return optax.apply_updates(kernels, update), state

    state = optimizer.init(kernels)
    for _ in range(config.steps):
        kernels, state = step(kernels, state)
    return kernels


def study(config: Config, seed: int) -> tuple[dict[str, Any], Any]:
    """One function."""
    field = fields.RBFField(
        dim=config.dim,
        num_features=1,
        kernel="gaussian",
        num_neighbors=None,
        normalize=False,
        waves=None,
        num_layers=0,
    )
    a, b, (x, y), (x_test, y_test) = sample(config, seed)
    kernels = fit(field, x, y, config, seed)
    found = fields.active_subspace(kernels)
    prepared = field.prepare({}, kernels)
    wrong = fields.evaluate(field, {}, prepared, x_test)[:, 0] - y_test
    row = {
        "cosine": float(abs(np.asarray(found.directions)[:, 0] @ a)),
        "eigenvalues": np.asarray(found.eigenvalues).tolist(),
        "importance": np.asarray(found.importance).tolist(),
        "a": a.tolist(),
        "a_dot_b": float(a @ b),
        "relative_test_error": float(jnp.std(wrong) / jnp.std(y_test)),
    }
    shown = x_test @ a, y_test, x_test @ np.asarray(found.directions)[:, 0]
    return row, shown


def draw(row: dict[str, Any], shown: Any, config: Config) -> None:
    """Eigenvalues, the coordinates' importance, the function along the direction."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    index = np.arange(1, config.dim + 1)
    left.semilogy(index, row["eigenvalues"], "o-")
    left.set(title="eigenvalues of the precision", xlabel="direction")
    middle.bar(index - 0.2, row["importance"], 0.4, label="importance")
    a = np.abs(row["a"])
    middle.bar(index + 0.2, a / a.sum(), 0.4, label="|a|, of sum one")
    middle.set(title="importance of the variables", xlabel="variable")
    middle.legend(fontsize=8)
    _, y, along = shown
    right.plot(along, y, ".", ms=2)
    right.set(title="f along the first direction", xlabel="v . x")
    figure.savefig(config.out / "active_subspace.png", dpi=150)


def main(config: Config) -> None:
    """Fits functions, compares directions, draws."""
    start = time.perf_counter()
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, dim=3, steps=100, num_kernels=20, seeds=(0,))
    config.out.mkdir(parents=True, exist_ok=True)
    found = [study(config, seed) for seed in config.seeds]
    draw(*found[0], config)
    result: dict[str, Any] = {"functions": [row for row, _ in found]}
    result["smallest_cosine"] = min(row["cosine"] for row, _ in found)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    for seed, (row, _) in zip(config.seeds, found, strict=True):
        console.print(
            f"seed {seed}: |cosine| {row['cosine']:.4f}, "
            f"relative test error {row['relative_test_error']:.4f}"
        )
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
