"""A group from generators, its representations, a network that commutes with it.

The Lorentz group is given by six matrices (lorentz.py). A charge of velocity u flies
through an electromagnetic field; a network (networks.py) learns the power that it
radiates, on which all observers agree. See README.md for the numbers to expect.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import tyro
from lorentz import FEATURE, FIELD, GROUP, SCALAR, VECTOR, move
from matplotlib.figure import Figure
from networks import Mlp, Network
from rich.console import Console
from rich.table import Table

from eqjax import reps, testing


@dataclass(frozen=True)
class Config:
    """Radiated power by a network of a group of your own, against a plain MLP.

    Attributes:
        out: Folder of the picture and of result.json.
        num_samples: Sizes of the training sets.
        steps: Training steps for each of them.
        smoke: A run of seconds that only shows that everything works.
        seed: Of data and initialization.
    """

    out: Path = Path("runs/my_own_group")
    num_samples: tuple[int, ...] = (30, 100, 300, 1_000, 3_000, 10_000)
    steps: int = 3_000
    smoke: bool = False
    seed: int = 0


RAPIDITIES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)  # of the other observers

# Data -------------------------------------------------------------------------------


def sample(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Velocity and field of one charge, and its power.

    With E and B normal, u of normal rapidities of standard deviation 0.5. FIELD's
    components are F^01, F^02, F^03, F^12, F^13, F^23.
    """
    key_u, key_field = jax.random.split(key)
    u = GROUP.exp(jnp.pad(0.5 * jax.random.normal(key_u, (3,)), (0, 3)))[:, 0]
    e, b = jax.random.normal(key_field, (2, 3))
    x = jnp.concatenate([u, -e, jnp.stack([-b[2], b[1], -b[0]])])
    force = u[0] * e + jnp.cross(u[1:], b)  # dp/dtau, for charge and mass one
    return x, force @ force - (e @ u[1:]) ** 2


# Training ---------------------------------------------------------------------------


@partial(jax.jit, static_argnums=(0, 1, 2))
def train(
    model: Any,
    steps: int,
    augment: bool,
    xs: jax.Array,
    ys: jax.Array,
    num: int,
    key: jax.Array,
) -> tuple[Any, jax.Array]:
    """Adam on the mean square error of the first samples, in units of their power."""
    scale = jnp.sqrt(jnp.sum(jnp.where(jnp.arange(len(ys)) < num, ys, 0) ** 2) / num)
    key_init, key_steps = jax.random.split(key)
    schedule = optax.cosine_decay_schedule(5e-3, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean((jax.vmap(partial(model.apply, params))(x) - y / scale) ** 2)

    def step(carry: Any, key: jax.Array) -> Any:
        params, state = carry
        key_rows, key_move = jax.random.split(key)
        rows = jax.random.randint(key_rows, (64,), 0, num)
        x, y = xs[rows], ys[rows]
        if augment:
            moves = jax.random.split(key_move, len(x))
            x = jax.vmap(lambda key, x: move(GROUP.sample(key=key), x))(moves, x)
        gradient = jax.grad(loss)(params, x, y)
        update, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, update), state), None

    params = model.init(key=key_init)
    carry = (params, optimizer.init(params))
    (params, _), _ = jax.lax.scan(step, carry, jax.random.split(key_steps, steps))
    return params, scale


@partial(jax.jit, static_argnums=0)
def error(model: Any, trained: Any, xs: jax.Array, ys: jax.Array) -> jax.Array:
    """Root mean square error, relative to the root mean square of ys."""
    params, scale = trained
    wrong = scale * jax.vmap(partial(model.apply, params))(xs) - ys
    return jnp.sqrt(jnp.mean(wrong**2) / jnp.mean(ys**2))


def study(
    model: Any, augment: bool, config: Config, data: Any, tests: Any, key: jax.Array
) -> dict[str, Any]:
    """Trains on more and more samples; the last one is shown to other observers."""
    errors, boosted, trained = [], [], None
    for num in config.num_samples:
        trained = train(model, config.steps, augment, *data, num, key)
        errors.append(float(error(model, trained, *tests)))
    for rapidity in RAPIDITIES:
        g = GROUP.exp(jnp.zeros(GROUP.dim).at[0].set(rapidity))
        xs = jax.vmap(partial(move, g))(tests[0])
        boosted.append(float(error(model, trained, xs, tests[1])))
    weights = jax.tree.leaves(jax.eval_shape(partial(model.init, key=key)))
    num_weights = sum(math.prod(leaf.shape) for leaf in weights)
    return {"weights": num_weights, "errors": errors, "errors_boosted": boosted}


def describe_maps() -> dict[str, Any]:
    """How many equivariant maps there are, and how well they satisfy the law."""
    names = {"scalar": SCALAR, "vector": VECTOR, "field": FIELD}
    maps = {f"{a} -> {b}": (names[a], names[b]) for a in names for b in names}
    for a, b in (("vector", "vector"), ("field", "vector"), ("field", "field")):
        maps |= {f"{a} x {b} -> {c}": (names[a] * names[b], names[c]) for c in names}
    maps |= {"feature x feature -> feature": (FEATURE * FEATURE, FEATURE)}
    found = {name: reps.hom(*pair) for name, pair in maps.items()}
    return {
        name: {"maps": h.num_maps, "residual": h.residual} for name, h in found.items()
    }


def draw(result: dict, config: Config) -> None:
    """Errors against training samples, and seen by faster and faster observers."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, row in result["models"].items():
        left.loglog(config.num_samples, row["errors"], "o-", label=name)
        right.semilogy(RAPIDITIES, row["errors_boosted"], "o-", label=name)
    left.axhline(result["error_of_the_mean"], color="0.5", ls=":", label="the mean")
    left.set(xlabel="training samples", ylabel="relative error")
    left.set_title("same observer as in training")
    right.set(xlabel="rapidity of the boost", ylabel="relative error")
    right.set_title(f"other observers, {config.num_samples[-1]} samples")
    left.legend(fontsize=8)
    for panel in (left, right):
        panel.grid(alpha=0.3)
    figure.savefig(config.out / "errors.png", dpi=150)


def main(config: Config) -> None:
    """Finds maps, trains, measures, draws."""
    start = time.perf_counter()
    jax.config.update("jax_enable_x64", True)  # boosts multiply rounding errors
    console = Console()
    if config.smoke:  # nearly all of it is compilation
        jax.config.update("jax_disable_most_optimizations", True)
        config = Config(config.out, (30, 100), 100, True, config.seed)
    config.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"maps": describe_maps()}
    for name, row in result["maps"].items():
        console.print(f"{name}: {row['maps']} maps, residual {row['residual']:.0e}")

    key_train, key_test, key_init, key_elements = jax.random.split(
        jax.random.key(config.seed), 4
    )
    draw_samples = jax.jit(jax.vmap(sample))
    xs, ys = draw_samples(jax.random.split(key_train, max(config.num_samples)))
    tests = draw_samples(jax.random.split(key_test, 2_000))

    network = Network()
    params = jax.jit(network.init)(key=key_init)
    elements = testing.sample_elements(GROUP, key=key_elements)
    testing.assert_equivariant(
        jax.jit(network.apply), (None, move), None, params, xs[0], elements=elements
    )
    mlp = Mlp(hidden=56)  # has about as many weights
    models = {"equivariant": (network, False), "MLP": (mlp, False)}
    models["MLP, augmented"] = (mlp, True)
    result["error_of_the_mean"] = float(
        jnp.std(tests[1]) / jnp.sqrt(jnp.mean(tests[1] ** 2))
    )
    result["models"] = {}
    for name, (model, augment) in models.items():
        console.print(f"training: {name} ...")
        row = study(model, augment, config, (xs, ys), tests, key_init)
        result["models"][name] = row
    for title, column, key in (
        ("samples", config.num_samples, "errors"),
        ("rapidity", RAPIDITIES, "errors_boosted"),
    ):
        table = Table(title, *models)
        rows = zip(column, *(m[key] for m in result["models"].values()), strict=True)
        for first, *values in rows:
            table.add_row(str(first), *(f"{value:.4f}" for value in values))
        console.print(table)
    draw(result, config)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
