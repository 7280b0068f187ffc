"""From the shape of an airfoil to the flow about it.

Stage 1 encodes signed distances as latents, stage 2 decodes velocity and pressure from
them and the inflow; a pointwise network and a ridge regression between principal
components are the opponents. See README.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flows import Flows, errors, make_flows, pca_ridge, read_flows, shape_errors
from matplotlib.figure import Figure
from networks import (
    apply_pointwise,
    encode_all,
    init_pointwise,
    make_model,
    predict_all,
    train,
    train_encoder,
)
from rich.console import Console
from rich.table import Table

from eqjax import fields
from eqjax.groups import SE


@dataclass(frozen=True)
class Config:
    """From the shape of an airfoil to the flow about it.

    Attributes:
        out: Folder of the pictures and of result.json.
        data: Folder of AirfRANS arrays, train/*.npy and test/*.npy; default: potential
            flows about Joukowski airfoils.
        encoder_steps: Training steps of stage 1.
        steps: Training steps of stage 2, and of the pointwise network.
        batch: Shapes of a step.
        points: Points of a shape and step.
        samples: Points of a shape to draw from.
        num_train: Shapes to train on.
        num_held_out: Shapes to validate on, and shapes to test on.
        preset: Widths and layers: small ones, or the published ones of
            `enf2enf_airfrans`.
        smoke: A run of seconds that only shows that everything works.
        seed: Of initialization and batches.
    """

    out: Path = Path("runs/geometry_to_fields")
    data: Path | None = None
    encoder_steps: int = 300
    steps: int = 2500
    batch: int = 8
    points: int = 256
    samples: int = 2000
    num_train: int = 200
    num_held_out: int = 50
    preset: Literal["small", "enf2enf_airfrans"] = "small"
    smoke: bool = False
    seed: int = 0


# Widths of the decoder and of the encoder, layers of attention among latents.
PRESETS = {"small": (48, 32, 0), "enf2enf_airfrans": (256, 128, 2)}


def turned(
    run: Callable[..., jax.Array], latents: Any, flow: Flows, angle: float
) -> tuple[Any, Any, Any, float]:
    """Points, field and outline of the turned body, and the error of the law."""
    turn = SE(2).linear_part.matrix(jnp.asarray(angle))
    g: Any = (jnp.array([0.2, -0.1]), jnp.asarray(angle))
    x = jnp.asarray(flow.test_points)
    carried = jax.vmap(lambda y: SE(2).act(g, y))(x[:, :2])
    carried = jnp.concatenate([carried, x[:, 2:]], axis=1)
    inflow = jnp.asarray(flow.inflow)
    before = run(latents, inflow, x)
    expected = jnp.concatenate([before[:, :2] @ turn.T, before[:, 2:]], axis=1)
    moved = fields.transform_latents(SE(2), g, latents)
    after = run(moved, turn @ inflow, carried)
    outline = jax.vmap(lambda y: SE(2).act(g, y))(jnp.asarray(flow.outline))
    return carried, after, outline, float(jnp.max(jnp.abs(after - expected)))


def draw(config: Config, flow: Flows, found: Any, moved: tuple[Any, ...]) -> None:
    """Truth, prediction, error, and the prediction for the turned body."""
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    outside = flow.test_points[:, 2] > 0
    x = flow.test_points[:, :2]

    def show(axes: Any, x: Any, values: Any, title: str, **colors: Any) -> Any:
        axes.set(aspect="equal", title=title)
        axes.set_axis_off()
        x, values = np.asarray(x)[outside], np.asarray(values)[outside]
        return axes.tripcolor(x[:, 0], x[:, 1], values, shading="gouraud", **colors)

    parts = {
        "speed": (lambda v: np.linalg.norm(v[:, :2], axis=1), "viridis"),
        "cp": (lambda v: v[:, 2], "coolwarm"),
    }
    for row, (name, (part, colors)) in zip(
        figure.subplots(2, 4), parts.items(), strict=True
    ):
        true, guess = part(flow.test_values), part(np.asarray(found))
        low, high = np.percentile(true[outside], (1, 99))
        if name == "cp":
            low, high = -max(-low, high), max(-low, high)
        options: dict[str, Any] = {"vmin": low, "vmax": high, "cmap": colors}
        show(row[0], x, true, f"{name}: true", **options)
        image = show(row[1], x, guess, "predicted", **options)
        figure.colorbar(image, ax=row[:2], shrink=0.7)
        limit = (high - low) / 10
        image = show(
            row[2], x, guess - true, "error", vmin=-limit, vmax=limit, cmap="RdBu_r"
        )
        figure.colorbar(image, ax=row[2], shrink=0.7)
        show(row[3], *(moved[0], part(np.asarray(moved[1]))), "turned", **options)
        for axes, outline in zip(row, [flow.outline] * 3 + [moved[2]], strict=True):
            axes.fill(*np.transpose(outline), color="0.2")
    figure.savefig(config.out / "flow.png", dpi=140)


def main(config: Config) -> None:
    """Trains both stages and the opponents, tests once, draws."""
    start, console = time.perf_counter(), Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(config, num_train=3, num_held_out=2, batch=2)
        config = replace(config, encoder_steps=1, steps=1, points=8, samples=40)
    config.out.mkdir(parents=True, exist_ok=True)
    if config.data is None:
        sizes = (config.num_train, config.num_held_out, config.num_held_out)
        parts = [make_flows(n, config.samples, k) for k, n in enumerate(sizes)]
    else:
        try:
            parts = read_flows(config.data, config.samples, config.seed)
        except FileNotFoundError as error:
            console.print(str(error))
            sys.exit(2)
    _, _, test = parts
    key_model, key_encoder, key_decoder = jax.random.split(
        jax.random.key(config.seed), 3
    )

    widths = (4, 32, 0) if config.smoke else PRESETS[config.preset]
    model, params = make_model(*widths, key=key_model)
    console.print("training: signed distances to latents ...")
    params = train_encoder(
        model,
        params,
        parts[0],
        steps=config.encoder_steps,
        batch=config.batch,
        key=key_encoder,
    )
    latents = encode_all(model, params, parts)
    seconds = {"encoder": time.perf_counter() - start}

    def predict(weights: Any, example: Any, x: jax.Array) -> jax.Array:
        only = {"decoder": weights}
        prepared = model.prepare(only, *example)
        return jax.vmap(lambda y: model.apply(only, prepared, y))(x)

    weights = params["decoder"]
    size = sum(leaf.size for leaf in jax.tree.leaves(weights))
    inflows = [jnp.asarray(flows.inflow) for flows in parts]
    options: dict[str, Any] = {"steps": config.steps, "batch": config.batch}
    options |= {"num_points": config.points, "key": key_decoder}
    runs: dict[str, tuple[Any, Any, list[Any], float]] = {
        "latents": (predict, weights, list(zip(latents, inflows, strict=True)), 3e-3),
        "pointwise": (
            apply_pointwise,
            init_pointwise(size, key=key_model),
            inflows,
            3e-3,
        ),
    }
    result: dict[str, Any] = {"weights": {}, "validation": {}, "test": {}}
    for name, (apply, begin, examples, rate) in runs.items():
        console.print(f"training: {name} to flows ...")
        before = time.perf_counter()
        weights, result["validation"][name] = train(
            apply, begin, examples[:2], parts[:2], rate=rate, **options
        )
        seconds[name] = time.perf_counter() - before
        result["weights"][name] = sum(leaf.size for leaf in jax.tree.leaves(weights))
        runs[name] = (apply, weights, examples, rate)
    # All choices are made: the test shapes are looked at for the first time.
    found = {
        name: np.asarray(predict_all(apply, weights, examples[2], test.test_points))
        for name, (apply, weights, examples, _) in runs.items()
    }
    for name, values in found.items():
        result["test"][name] = errors(values, test)
    if config.data is None:
        for name, squares in (("PCA and ridge", False), ("PCA, squares", True)):
            result["test"][name], result[name] = pca_ridge(*parts, squares=squares)

    # The test shape in the middle of all errors.
    ranked = np.argsort(shape_errors(found["latents"], test))
    k = int(ranked[len(ranked) // 2])
    flow, z = jax.tree.map(lambda leaf: leaf[k], (test, latents[2]))
    run = jax.jit(lambda z, v, x: predict(runs["latents"][1], (z, v), x))
    *moved, result["error of the law"] = turned(run, z, flow, 0.7)
    draw(config, flow, found["latents"][k], tuple(moved))

    table = Table("relative L2 on test shapes", "(u, v, cp)", "u", "v", "cp", "near")
    for name, row in result["test"].items():
        table.add_row(name, *(f"{100 * value:.2f} %" for value in row.values()))
    console.print(table)
    console.print(f"turned together: {result['error of the law']:.1e}")
    seconds["all"] = time.perf_counter() - start
    result["seconds"] = {name: round(value, 1) for name, value in seconds.items()}
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']['all']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
