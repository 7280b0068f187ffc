"""One decoder for many velocity fields; a new field is a least-squares fit away.

Trained jointly on random fields, the decoder then stays as it is: travel times of an
unseen field come from its latents alone. See README.md for the numbers to expect.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import compare
import jax
import jax.numpy as jnp
import meta
import problem
import report
import training
import tyro
from rich.console import Console

from eqjax import data, train

Family = Literal[
    "all",
    "layered_a",
    "layered_b",
    "curved_a",
    "curved_b",
    "faulted_a",
    "faulted_b",
    "style_a",
    "style_b",
]


@dataclass(frozen=True)
class Config:
    """A backbone for velocity fields, and fits of unseen ones.

    Attributes:
        dim: 2, on 70 x 70 nodes, or 3, on 26 x 26 x 26.
        family: Random fields: kind (layered, curved, faulted, style) and variant (a,
            the easier one, or b), or all eight in turn.
        data: A file of the OpenFWI benchmark, of which the first fields train and the
            last ones test; default: random fields.
        preset: Sizes and rates, see training.py.
        backbone: Folder of an earlier run, whose decoder is used as it is.
        out: Folder of pictures, result.json and the trained backbone.
        steps: Number of training steps.
        num_train: Fields to train on.
        num_test: Unseen fields that are fitted.
        num_compared: Of these, how many are also fitted by the other methods.
        thin: Errors are taken from every how many sources and receivers of the
            published protocol per axis; 1 is all of them.
        meta_steps: Steps in which five steps of a fit are learned; 0 for none.
        smoke: A run of seconds that only shows that everything works.
        seed: Of fields, initialization and batches.
    """

    dim: Literal[2, 3] = 2
    family: Family = "style_a"
    data: Path | None = None
    preset: Literal["small", "e_nes", "smoke"] = "small"
    backbone: Path | None = None
    out: Path = Path("runs/openfwi_style")
    steps: int = 8_000
    num_train: int = 40
    num_test: int = 100
    num_compared: int = 8
    thin: int = 3
    meta_steps: int = 300
    smoke: bool = False
    seed: int = 0


def load(config: Config, setting: problem.Setting) -> tuple[jax.Array, jax.Array]:
    """Speeds to train on and unseen ones, (fields, *nodes)."""
    if config.data is None:
        make = partial(problem.make_fields, setting, config.family)
        # Seeds of both sets differ, whatever their sizes.
        return (
            make(config.num_train, 2 * config.seed),
            make(config.num_test, 2 * config.seed + 1),
        )
    if config.dim != 2:
        raise ValueError("`--data` holds two-dimensional fields: `--dim` must be 2.")
    found = jnp.asarray(data.read_openfwi(config.data, convention="e_nes").velocity)
    if len(found) < config.num_train + config.num_test:
        raise ValueError(
            f"`--num-train` and `--num-test` ask for {config.num_train} and "
            f"{config.num_test} fields, but {config.data} holds {len(found)}."
        )
    return found[: config.num_train], found[-config.num_test :]


def trained(
    config: Config,
    setting: problem.Setting,
    field: Any,
    preset: training.Preset,
    speeds: jax.Array,
    say: Any,
) -> tuple[Any, Any, float]:
    """Parameters, mean latents, and the seconds that they took."""
    start = time.perf_counter()
    known = problem.make_problem(speeds)

    def progress(i: int, losses: jax.Array) -> None:
        if i % 500 == 0 or i == config.steps:
            seconds = time.perf_counter() - start
            say(f"step {i}: loss {float(jnp.mean(losses)):.4f}, {seconds:.0f} s")

    state = training.train(
        setting, field, preset, known, config.steps, config.seed, progress
    )
    mean = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), state.table)
    return state.params, mean, time.perf_counter() - start


def main(config: Config) -> None:
    """Trains, fits unseen fields by every method, measures, draws."""
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        config = replace(
            config, preset="smoke", steps=4, num_train=8, num_test=2, num_compared=1
        )
    preset = training.PRESETS[config.preset]
    setting = problem.Setting(config.dim, 70 if config.dim == 2 else 26)
    field = training.make_field(setting, preset)
    try:
        speeds, unseen = load(config, setting)
    except (OSError, ValueError) as error:
        console.print(str(error))
        sys.exit(2)
    config.out.mkdir(parents=True, exist_ok=True)
    if config.backbone is None:
        params, start, seconds = trained(
            config, setting, field, preset, speeds, console.print
        )
        with train.Checkpoints(config.out / "backbone", every=1, spec=field) as folder:
            stored = {"params": params, "latents": start}
            folder.save(config.steps, stored, force=True)
    else:
        # A backbone of another spec is refused.
        path = config.backbone / "backbone"
        with train.Checkpoints(path, every=1, spec=field) as folder:
            make = partial(training.begin, setting, field, preset)
            found = folder.restore(jax.eval_shape(make, jax.random.key(0)))
        params, start, seconds = found["params"], found["latents"], 0.0
    factor = 2 if config.smoke else 8 if config.dim == 2 else 4
    test = report.make_test(setting, unseen, factor, config.thin)
    few = test.first(config.num_compared)
    result: dict[str, Any] = {
        "field": str(field),
        "training_seconds": round(seconds, 1),
        "weights": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "RE of the reference": report.summary(test.error),
        "RE of the unrefined grid": report.summary(test.unrefined),
        "fits": {},
    }

    def note(name: str, table: dict[str, Any]) -> None:
        result["fits"][name] = table
        means = f"RE {table['RE']['mean']:.4f}, top {table['RE top']['mean']:.4f}"
        count, each = len(table["RE of fields"]), table["seconds_per_field"]
        console.print(f"{name}: {means} of {count} fields; {each} s each")

    *others, (best, fit) = compare.methods(setting, field, config.smoke).items()
    for name, other in others:
        note(
            f"{name}, few fields", compare.measure(other, params, start, few, field)[0]
        )
    for name, table in compare.adam_table(
        field, preset, params, start, few, config.smoke
    ):
        note(f"{name}, few fields", table)
    if config.meta_steps:
        begin = time.perf_counter()
        learned, losses = meta.learn(
            setting,
            field,
            preset,
            params,
            start,
            problem.make_problem(speeds),
            4 if config.smoke else config.meta_steps,
            config.seed,
        )
        result["meta_training_seconds"] = round(time.perf_counter() - begin, 1)
        console.print(f"loss of learned steps: {losses[0]:.4f} to {losses[-1]:.4f}")
        learned_steps = partial(meta.fit, setting, field, preset)
        note(
            "Meta-SGD 5",
            compare.measure(learned_steps, params, learned, test, field)[0],
        )
    table, fitted = compare.measure(fit, params, start, test, field)
    note(best, table)
    result["families"] = compare.per_family(table, config.family)
    report.draw(field, params, fitted[0], test, config.out / "times.png")
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
