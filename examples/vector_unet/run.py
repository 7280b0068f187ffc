"""From the vorticity of a flow to its velocity, by a U-Net that commutes with D_4.

Vortices turn the air around them: the input is an image of their vorticity, a scalar
that changes its sign in a mirror, the output the field of velocities (networks.py).
Trained on few images, beside a U-Net without symmetry. See README.md.
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
from matplotlib.figure import Figure
from networks import UNet
from rich.console import Console

from eqjax import groups
from eqjax.testing import act_on_field


@dataclass(frozen=True)
class Config:
    """Velocities from vorticity, with and without symmetry.

    Attributes:
        out: Folder of the picture and of result.json.
        num_train: Images to train on.
        num_test: Images to test on.
        steps: Training steps of each network.
        batch: Images of a step.
        learning_rate: Of Adam, after a warmup; it falls to zero along a cosine.
        smoke: A run of seconds that only shows that everything works.
        seed: Of data and initialization.
    """

    out: Path = Path("runs/vector_unet")
    num_train: int = 64
    num_test: int = 200
    steps: int = 600
    batch: int = 16
    learning_rate: float = 5e-3
    smoke: bool = False
    seed: int = 0


SIZE, NUM_VORTICES = 24, 4
D4, NONE = groups.Dihedral(4), groups.Cyclic(1)


def sample(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Vorticity (size, size, 1, 1) and velocity (size, size, 2, 1).

    Of vortices with Gaussian cores (Lamb and Oseen): a vortex of circulation c and
    radius s turns the air at distance r with the speed c (1 - exp(-r^2 / 2 s^2)) / r.
    """
    keys = jax.random.split(key, 3)
    half = (SIZE - 1) / 2
    places = jax.random.uniform(keys[0], (NUM_VORTICES, 2), minval=-half, maxval=half)
    strength = jax.random.normal(keys[1], (NUM_VORTICES,))
    radius = jax.random.uniform(keys[2], (NUM_VORTICES,), minval=1.5, maxval=3.0)
    line = jnp.arange(SIZE) - half
    x = jnp.stack(
        [
            jnp.broadcast_to(line, (SIZE, SIZE)),
            -jnp.repeat(line, SIZE).reshape(SIZE, SIZE),
        ],
        -1,
    )
    d = x[:, :, None] - places
    squared = jnp.sum(d * d, axis=-1)
    core = jnp.exp(-squared / (2 * radius**2))
    vorticity = jnp.sum(strength / radius**2 * core, axis=-1)
    turned = jnp.stack([-d[..., 1], d[..., 0]], axis=-1)
    speed = strength * (1 - core) / (squared + 1e-6)
    velocity = jnp.sum(speed[..., None] * turned, axis=2)
    return vorticity[:, :, None, None], velocity[..., None]


def train(net: UNet, data: Any, config: Config, key: jax.Array) -> Any:
    """Adam on the mean square error, with clipped gradients and a decay of weights."""
    inputs, targets = data
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.steps // 10, config.steps
    )
    adam = optax.adamw(schedule, weight_decay=1e-3)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), adam)

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean((jax.vmap(partial(net.apply, params))(x) - y) ** 2)

    @jax.jit
    def step(params: Any, state: Any, key: jax.Array) -> Any:
        rows = jax.random.randint(key, (config.batch,), 0, len(inputs))
        gradient = jax.grad(loss)(params, inputs[rows], targets[rows])
        update, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, update), state

    key_init, key_steps = jax.random.split(key)
    params = jax.jit(net.init)(key=key_init)
    state = optimizer.init(params)
    # A convolution inside a scan is several times slower on a CPU.
    for k in jax.random.split(key_steps, config.steps):
        params, state = step(params, state, k)
    return params


def evaluate(net: UNet, params: Any, data: Any) -> dict[str, Any]:
    """Relative error on test images, and change under the symmetries of the grid."""
    inputs, targets = data
    apply = jax.jit(partial(net.apply, params))
    found = jnp.stack([apply(x) for x in inputs])
    # What moves are those of D_4, whether the network knows them or not.
    judge = UNet(D4, net.widths)
    change = 0.0
    for index in range(D4.order):
        g = D4.element(jnp.asarray(index))
        moved = apply(act_on_field(judge.rep_in, g, inputs[0]))
        want = act_on_field(judge.rep_out, g, found[0])
        change = max(change, float(jnp.max(jnp.abs(moved - want))))
    return {
        "weights": sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)),
        "error": float(jnp.linalg.norm(found - targets) / jnp.linalg.norm(targets)),
        "change_under_D4": change / float(jnp.max(jnp.abs(found[0]))),
    }


def draw(fields: dict[str, Any], config: Config) -> None:
    """The vorticity of one test image, with velocities over it."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    vorticity = fields.pop("vorticity")[:, :, 0, 0]
    bound = float(jnp.max(jnp.abs(vorticity)))
    for axes, (name, field) in zip(figure.subplots(1, 3), fields.items(), strict=True):
        axes.imshow(vorticity, cmap="RdBu_r", vmin=-bound, vmax=bound)
        # Rows run downwards, the second component upwards; every second pixel.
        at = jnp.arange(0, SIZE, 2)
        u, v = field[::2, ::2, 0, 0], field[::2, ::2, 1, 0]
        axes.quiver(at, at, u, v, scale=18, width=0.006)
        axes.set(title=name, xticks=[], yticks=[])
    figure.savefig(config.out / "velocities.png", dpi=140)


def main(config: Config) -> None:
    """Trains both, measures, draws."""
    start = time.perf_counter()
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = Config(config.out, 4, 2, steps=2, batch=2, smoke=True)
    config.out.mkdir(parents=True, exist_ok=True)
    keys = jax.random.split(jax.random.key(config.seed), 3)
    draw_samples = jax.jit(jax.vmap(sample))
    data = draw_samples(jax.random.split(keys[0], config.num_train))
    tests = draw_samples(jax.random.split(keys[1], config.num_test))
    scale = jnp.sqrt(jnp.mean(data[0] ** 2)), jnp.sqrt(jnp.mean(data[1] ** 2))
    data = (data[0] / scale[0], data[1] / scale[1])
    tests = (tests[0] / scale[0], tests[1] / scale[1])

    networks = {"D4": UNet(D4, (3, 4, 6)), "no symmetry": UNet(NONE, (8, 11, 17))}
    result: dict[str, Any] = {
        "config": {"steps": config.steps, "images": config.num_train}
    }
    fields: dict[str, Any] = {"vorticity": tests[0][0], "true velocity": tests[1][0]}
    for name, net in networks.items():
        console.print(f"training: {name} ...")
        params = train(net, data, config, keys[2])
        result[name] = evaluate(net, params, tests)
        fields[name] = net.apply(params, tests[0][0])
        console.print(result[name])
    draw(fields, config)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
