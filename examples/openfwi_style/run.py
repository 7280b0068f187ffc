"""One decoder for many velocity fields; a new field is a least-squares fit away.

Trained jointly on random fields, the decoder then stays as it is: travel times of an
unseen field come from its latents alone. See README.md for the numbers to expect.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import fits
import jax
import jax.numpy as jnp
import numpy as np
import problem
import report
import training
import tyro
from rich.console import Console

from eqjax import data, train

# Of contexts and of poses.
ADAM_RATES = ((0.01, 0.001), (0.03, 0.003), (0.1, 0.003), (0.1, 0.01))


@dataclass(frozen=True)
class Config:
    """A backbone for velocity fields, and fits of unseen ones.

    Attributes:
        kind: Family of random fields: layered, curved, faulted or style.
        variant: a, the easier one, or b.
        data: A file of the OpenFWI benchmark, of which the first fields train and the
            last ones test; default: random fields.
        preset: Sizes and rates, see training.py.
        backbone: Folder of an earlier run, whose decoder is used as it is.
        out: Folder of pictures, result.json and the trained backbone.
        steps: Number of training steps.
        num_train: Fields to train on.
        num_test: Unseen fields that are fitted.
        num_compared: Of these, how many are also fitted by Adam.
        smoke: A run of seconds that only shows that everything works.
        seed: Of fields, initialization and batches.
    """

    kind: Literal["layered", "curved", "faulted", "style"] = "style"
    variant: Literal["a", "b"] = "a"
    data: Path | None = None
    preset: Literal["small", "e_nes", "smoke"] = "small"
    backbone: Path | None = None
    out: Path = Path("runs/openfwi_style")
    steps: int = 10_000
    num_train: int = 40
    num_test: int = 100
    num_compared: int = 6
    smoke: bool = False
    seed: int = 0


def load(config: Config) -> tuple[jax.Array, jax.Array]:
    """Speeds to train on and unseen ones, (fields, 70, 70) on [-1, 1]^2."""
    if config.data is None:
        make = partial(problem.make_fields, config.kind, config.variant)
        # Seeds of both sets differ, whatever their sizes.
        return (
            make(config.num_train, 2 * config.seed),
            make(config.num_test, 2 * config.seed + 1),
        )
    found = jnp.asarray(data.read_openfwi(config.data, convention="e_nes").velocity)
    if len(found) < config.num_train + config.num_test:
        raise ValueError(
            f"`--num-train` and `--num-test` ask for {config.num_train} and "
            f"{config.num_test} fields, but {config.data} holds {len(found)}."
        )
    return found[: config.num_train], found[-config.num_test :]


def trained(
    config: Config, field: Any, preset: training.Preset, speeds: jax.Array, say: Any
) -> tuple[Any, Any, float]:
    """Parameters, mean latents, and the seconds that they took."""
    start = time.perf_counter()
    known = problem.make_problem(speeds)

    def progress(i: int, losses: jax.Array) -> None:
        if i % 500 == 0 or i == config.steps:
            seconds = time.perf_counter() - start
            say(f"step {i}: loss {float(jnp.mean(losses)):.4f}, {seconds:.0f} s")

    state = training.train(field, preset, known, config.steps, config.seed, progress)
    mean = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), state.table)
    return state.params, mean, time.perf_counter() - start


def methods(field: Any, smoke: bool) -> dict[str, Callable]:
    """Fits of one field: (params, start, example, key) -> latents."""
    pairs = 16 if smoke else 1024
    found: dict[str, Callable] = {}
    for steps in (2,) if smoke else (5, 10, 20):
        found[f"Gauss-Newton {steps}, grid times"] = lambda p, z, e, key, steps=steps: (
            fits.newton_on_times(field, p, z, e, steps, pairs, 16, key)
        )
    if smoke:
        return found
    for steps in (10, 20):
        found[f"Gauss-Newton {steps}, residual"] = lambda p, z, e, key, steps=steps: (
            fits.newton_on_residual(field, p, z, e, steps, pairs, key)
        )
    found["Gauss-Newton 10, grid times, then 10, residual"] = lambda p, z, e, key: (
        fits.newton_on_residual(
            field,
            p,
            fits.newton_on_times(field, p, z, e, 10, pairs, 16, key),
            e,
            10,
            pairs,
            key,
        )
    )
    return found


def adam_method(field: Any, preset: training.Preset, steps: int) -> Callable:
    """Adam with rates as a further argument."""
    return lambda p, z, e, key, rates: fits.adam(
        field, preset, p, z, e, steps, rates, key
    )


def measure(
    fit: Callable, params: Any, start: Any, test: report.Test, field: Any, *more: Any
) -> tuple[dict[str, Any], Any]:
    """Errors of a method on every field, its seconds per field, and the latents.

    The key of field i is the same for every method.
    """
    run, seconds, errors, fitted = jax.jit(fit), [], [], []
    for i in range(len(test.problem.speeds)):
        example = jax.tree.map(lambda leaf, i=i: leaf[i], test.problem)
        key = jax.random.fold_in(jax.random.key(99), i)
        if i == 0:
            jax.block_until_ready(run(params, start, example, key, *more))
        begin = time.perf_counter()
        latents = jax.block_until_ready(run(params, start, example, key, *more))
        seconds.append(time.perf_counter() - begin)
        errors.append(report.errors(field, params, latents, test, i))
        fitted.append(latents)
    table = report.summary(np.array(errors))
    table["RE of fields"] = [round(row[0], 5) for row in errors]
    table["seconds_per_field"] = round(float(np.median(seconds)), 3)
    return table, fitted


def line(name: str, table: dict[str, Any], count: int) -> str:
    """What a method reached, for people."""
    few = float(np.mean(table["RE of fields"][:count]))
    return (
        f"{name}: RE {table['RE']['mean']:.4f} of all, {few:.4f} of the first {count}; "
        f"{table['seconds_per_field']} s a field"
    )


def first(test: report.Test, count: int) -> report.Test:
    """The first fields of a test set."""
    return report.Test(*jax.tree.map(lambda leaf: leaf[:count], tuple(test)))


def main(config: Config) -> None:
    """Trains, fits unseen fields by every method, measures, draws."""
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(
            config, preset="smoke", steps=4, num_train=8, num_test=2, num_compared=1
        )
    preset = training.PRESETS[config.preset]
    field = training.make_field(preset)
    try:
        speeds, unseen = load(config)
    except (OSError, ValueError) as error:
        console.print(str(error))
        sys.exit(2)
    config.out.mkdir(parents=True, exist_ok=True)
    if config.backbone is None:
        params, start, seconds = trained(config, field, preset, speeds, console.print)
        with train.Checkpoints(config.out / "backbone", every=1, spec=field) as folder:
            stored = {"params": params, "latents": start}
            folder.save(config.steps, stored, force=True)
    else:
        # A backbone of another spec is refused.
        path = config.backbone / "backbone"
        with train.Checkpoints(path, every=1, spec=field) as folder:
            make = partial(training.begin, field, preset)
            found = folder.restore(jax.eval_shape(make, jax.random.key(0)))
        params, start, seconds = found["params"], found["latents"], 0.0
    test = report.make_test(unseen, 2 if config.smoke else 8)
    result: dict[str, Any] = {
        "field": str(field),
        "training_seconds": round(seconds, 1),
        "weights": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "reference_error": report.reference_error(first(test, 2)),
        "grid_error": report.summary(report.grid_errors(test)),
        "fits": {},
    }
    fitted: list[Any] = []
    for name, fit in methods(field, config.smoke).items():
        # The last one is drawn.
        table, fitted = measure(fit, params, start, test, field)
        result["fits"][name] = table
        console.print(line(name, table, config.num_compared))
    few = first(test, config.num_compared)
    candidates = ADAM_RATES[:1] if config.smoke else ADAM_RATES
    for steps in (2,) if config.smoke else (100, 300, 1_000):
        fit = adam_method(field, preset, steps)
        tables = {
            rates: measure(fit, params, start, few, field, rates)[0]
            for rates in candidates
        }
        # Longer runs are costly: only the two best of the next shorter one.
        candidates = sorted(tables, key=lambda r: tables[r]["RE"]["mean"])[:2]
        rates, best = min(tables.items(), key=lambda item: item[1]["RE"]["mean"])
        result["fits"][f"Adam {steps}, best rates {rates}"] = best
        name = f"Adam {steps}, best rates {rates}"
        console.print(line(name, best, config.num_compared))
    report.draw(field, params, fitted[0], test, config.out / "times.png")
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
