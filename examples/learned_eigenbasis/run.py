"""The first eigenfunctions of the sphere, learned from smooth noise on its points.

A network gives each point K numbers and a weight. Orthonormal combinations of the K
functions shall approximate smooth functions, in the order of their number, which makes
them an eigenbasis. See README.md.
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
    """A basis of the functions on a sphere.

    Attributes:
        out: Folder of the picture and of result.json.
        num_functions: Number K of functions.
        num_points: Points of a step, fresh and uniform.
        num_probes: Functions to approximate, of a step.
        smoothness: Length over which these vary, in radians.
        steps: Training steps.
        smoke: A run of seconds that only shows that everything works.
        seeds: Of weights and points; the picture shows the first.
    """

    out: Path = Path("runs/learned_eigenbasis")
    num_functions: int = 9
    num_points: int = 500
    num_probes: int = 32
    smoothness: float = 0.5
    steps: int = 1_000
    smoke: bool = False
    seeds: tuple[int, ...] = (0, 1, 2)


def uniform_points(key: jax.Array, num: int) -> jax.Array:
    """Unit vectors."""
    x = jax.random.normal(key, (num, 3))
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def basis(network: fields.Siren, params: Any, x: jax.Array) -> tuple[Any, ...]:
    """Q, R and the square roots of weights w of sum one, with diag(sqrt w) F = Q R.

    F R^-1 are functions phi with sum_x w phi_i phi_j = delta_ij.
    """
    values = jax.vmap(partial(network.apply, params))(x)
    functions, weight = values[:, :-1], jax.nn.softplus(values[:, -1])
    root = jnp.sqrt(weight / jnp.sum(weight))
    return *jnp.linalg.qr(root[:, None] * functions), root


def train(network: fields.Siren, config: Config, seed: int) -> Any:
    """Adam on the errors of partial sums of random length."""
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, config.steps))

    def loss(params: Any, key: jax.Array) -> jax.Array:
        key_points, key_noise, key_length = jax.random.split(key, 3)
        x = uniform_points(key_points, config.num_points)
        noise = jax.random.normal(key_noise, (len(x), config.num_probes))
        f = jnp.exp((x @ x.T - 1) / config.smoothness**2) @ noise
        f = f / jnp.linalg.norm(f, axis=0, keepdims=True)
        length = jax.random.randint(
            key_length, (config.num_probes,), 1, config.num_functions + 1
        )
        q, _, root = basis(network, params, x)
        used = jnp.arange(config.num_functions)[:, None] < length
        sums = q @ jnp.where(used, q.T @ (root[:, None] * f), 0)
        # Equal weights in the error: with learned ones, w could leave most points out.
        return jnp.mean(jnp.sum((f - sums / root[:, None]) ** 2, axis=0))

    @jax.jit
    def step(params: Any, state: Any, key: jax.Array) -> Any:
        update, state = optimizer.update(jax.grad(loss)(params, key), state)
        return optax.apply_updates(params, update), state

    key_init, key_steps = jax.random.split(jax.random.key(seed))
    params = network.init(key=key_init)
    state = optimizer.init(params)
    for key in jax.random.split(key_steps, config.steps):
        params, state = step(params, state, key)
    return params


def compare(network: fields.Siren, params: Any, key: jax.Array) -> dict[str, Any]:
    """Cosines of the principal angles between first functions and harmonics."""
    x = uniform_points(key, 2_000)
    q, _, root = basis(network, params, x)
    functions = q / root[:, None]
    row: dict[str, Any] = {"weights_max_over_min": float(jnp.ptp(2 * jnp.log(root)))}
    row["weights_max_over_min"] = float(np.exp(row["weights_max_over_min"]))
    for degree in range(3):
        num = (degree + 1) ** 2
        if num <= functions.shape[1]:
            encoder = fields.SphericalHarmonicEncoder(degree)
            spans = functions[:, :num], jax.vmap(encoder)(x)
            first, second = (jnp.linalg.qr(span)[0] for span in spans)
            cosines = jnp.linalg.svd(first.T @ second, compute_uv=False)
            row[f"cosines_to_degree_{degree}"] = np.asarray(cosines).tolist()
    return row


def draw(network: fields.Siren, params: Any, config: Config, key: jax.Array) -> None:
    """The functions on the sphere, seen from the front."""
    size = 160
    u, v = np.meshgrid(np.linspace(-1, 1, size), np.linspace(1, -1, size))
    inside = u * u + v * v < 1
    w = np.sqrt(1 - u[inside] ** 2 - v[inside] ** 2)
    view = jnp.asarray(np.stack([u[inside], v[inside], w], -1), jnp.float32)
    _, r, _ = basis(network, params, uniform_points(key, 2_000))
    values = jax.vmap(partial(network.apply, params))(view)[:, :-1]
    found = np.asarray(jnp.linalg.solve(r.T, values.T))
    figure = Figure(figsize=(9, 1.3), layout="constrained")
    panels = figure.subplots(1, config.num_functions)
    for i, (axes, row) in enumerate(zip(panels, found, strict=True)):
        image = np.full((size, size), np.nan)
        image[inside] = row
        axes.imshow(image, cmap="RdBu_r", vmin=-2.5, vmax=2.5)
        axes.set_title(str(i + 1), fontsize=9)
        axes.set_axis_off()
    figure.savefig(config.out / "functions.png", dpi=150)


def main(config: Config) -> None:
    """Trains, compares, draws."""
    start = time.perf_counter()
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, steps=20, num_points=60, num_functions=4, seeds=(0,))
    config.out.mkdir(parents=True, exist_ok=True)
    network = fields.Siren(
        3, config.num_functions + 1, hidden=64, num_layers=2, first_frequency=3.0
    )
    key = jax.random.key(10_000)  # points that no training has seen
    trained = [train(network, config, seed) for seed in config.seeds]
    rows = [compare(network, params, key) for params in trained]
    draw(network, trained[0], config, key)
    last = list(rows[0])[-1]
    result: dict[str, Any] = {"runs": rows}
    result["smallest_cosine"] = min(min(row[last]) for row in rows)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(result)
    console.print(f"see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
