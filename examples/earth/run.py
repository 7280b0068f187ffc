"""P-wave travel times through the Earth by one equivariant neural field.

Three published Earth models are three signals: they share the decoder, and each has
latents of its own. See README.md for the numbers to expect.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import report
import signals
import tyro
from rich.progress import BarColumn, Progress, TimeRemainingColumn

from eqjax import eikonal, fields, fitting, groups, spaces, train


@dataclass(frozen=True)
class Config:
    """Travel times through the Earth by an equivariant neural field.

    Attributes:
        models: Names of published models (ak135, iasp91, prem), or files: 1-D Earth
            models (.tvel, .nd), or 2-D arrays of speeds in km/s (.npy).
        spacing_km: Distance of the nodes of .npy files.
        out: Folder of pictures, result.json and checkpoints.
        resume: Continue the run in that folder.
        steps: Number of training steps.
        teacher: Whether grid solutions from random sources teach the field, beside the
            eikonal residual.
        smoke: A run of seconds that only shows that everything works.
        seed: Of initialization and batches.
    """

    models: tuple[str, ...] = signals.EARTHS
    spacing_km: float | None = None
    out: Path = Path("runs/earth")
    resume: bool = False
    steps: int = 2_000
    teacher: bool = True
    smoke: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Sizes:
    """What --smoke makes smaller."""

    hidden: int = 48
    num_pairs: int = 64  # of the residual, per model and step
    num_taught: int = 192  # of the teacher, per model and step
    chunk: int = 100  # steps per dispatch
    teacher_sources: int = 96
    teacher_factor: int = 4  # refinement of the teacher's grid
    reference_factor: int = 8
    source_stride: int = 5  # every 5th node in both axes is a source of the protocol
    save_every: int = 500  # steps


SMOKE = Sizes(8, 16, 16, 5, 4, 1, 2, 23, 5)
POSES = spaces.Euclidean(2)


def make_field(sizes: Sizes) -> eikonal.TravelTimeField:
    """Poses are points that turn and flip with the Earth: invariants of E(2)."""
    invariant = eikonal.PairInvariant(fields.RelativePoint(POSES))
    return eikonal.TravelTimeField(invariant, context_dim=16, hidden=sizes.hidden)


def make_data(earths: list[signals.Signal], config: Config, sizes: Sizes) -> Any:
    """Speeds on a fine grid, their bounds, and the teacher's times, as arrays."""
    factor = sizes.reference_factor
    # in units of the domain's half width per second
    speeds = np.stack([earth.speeds(factor) / earth.length_km for earth in earths])
    low, high = speeds.min((1, 2)), speeds.max((1, 2))
    arrays = {"speeds": speeds, "bounds": np.stack([0.98 * low, 1.02 * high], -1)}
    if config.teacher:
        arrays |= teacher_pairs(earths, sizes, config.seed)
    return {name: jnp.asarray(a, jnp.float32) for name, a in arrays.items()}


def teacher_pairs(earths: list[signals.Signal], sizes: Sizes, seed: int) -> dict:
    """Times of the grid solver from random sources to random nodes."""
    num_sources, num_receivers = sizes.teacher_sources, 8192
    pairs: dict[str, list] = {"sources": [], "receivers": [], "times": []}
    for earth in earths:
        keys = jax.random.split(jax.random.key(seed), num_sources * (num_receivers + 1))
        draw = earth.training_domain.sample
        points = np.asarray(
            jax.jit(jax.vmap(lambda k, draw=draw: draw(key=k)))(keys), np.float64
        )
        sources, receivers = points[:num_sources], points[num_sources:]
        solver, lower = earth.solver(sizes.teacher_factor), earth.box.lower
        index = np.round((receivers - lower) / solver.spacing).astype(int)
        index = index.reshape(num_sources, num_receivers, 2)
        times = signals.grid_times(earth, sizes.teacher_factor, sources)
        source = np.arange(num_sources)[:, None]
        pairs["sources"].append(sources)
        pairs["receivers"].append(lower + solver.spacing * index)
        pairs["times"].append(times[source, index[..., 0], index[..., 1]])
    return {name: np.stack(values) for name, values in pairs.items()}


def make_loss(
    field: eikonal.TravelTimeField, earth: signals.Signal, sizes: Sizes
) -> Any:
    """Eikonal residual at fresh pairs, plus |T / T_grid - 1| if there is a teacher."""
    velocity = earth.solver(sizes.reference_factor).velocity

    def loss(params: Any, latents: Any, batch: Any) -> jax.Array:
        example, key = batch
        key_pairs, key_teacher, key_turn = jax.random.split(key, 3)
        bounds = example["bounds"]
        s, r = eikonal.sample_pairs(
            earth.training_domain, field.space, sizes.num_pairs, key=key_pairs
        )
        speed_at = jax.vmap(lambda x: velocity.at(example["speeds"], x))
        speeds = jnp.stack([speed_at(s), speed_at(r)], axis=-1)
        total = eikonal.residual_loss(field, params, latents, s, r, speeds, bounds)
        if "times" in example:
            shape = example["times"].shape
            pick = jax.random.randint(
                key_teacher, (sizes.num_taught,), 0, shape[0] * shape[1]
            )
            i, j = pick // shape[1], pick % shape[1]
            s, r = example["sources"][i], example["receivers"][i, j]
            if earth.earth is not None:  # a radial Earth does not change when it turns
                turn = jax.random.uniform(key_turn, i.shape, maxval=2 * jnp.pi)
                s, r = groups.SO(2).act(turn, s), groups.SO(2).act(turn, r)
            times = example["times"][i, j]
            total += eikonal.teacher_loss(field, params, latents, s, r, times, bounds)
        return total

    return loss


def fit(
    field: eikonal.TravelTimeField,
    earths: list[signals.Signal],
    arrays: Any,
    config: Config,
    sizes: Sizes,
    checkpoints: train.Checkpoints,
) -> fitting.JointState:
    """Joint training of decoder and latents; every chunk of steps is one dispatch."""
    num = len(earths)
    steps = 10 if config.smoke else config.steps
    steps = sizes.chunk * math.ceil(steps / sizes.chunk)

    def adam(rate: float) -> optax.GradientTransformation:
        schedule = optax.cosine_decay_schedule(rate, steps, alpha=0.01)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    step = fitting.autodecode_step(
        make_loss(field, earths[0], sizes),
        adam(2e-3),
        adam(6e-3),
        retract=partial(fields.retract_latents, POSES),
        zero_tangent=partial(fields.zero_tangent, POSES),
    )
    key_field, key_latents, key_batches = jax.random.split(
        jax.random.key(config.seed), 3
    )

    def init_row(key: jax.Array) -> dict[str, Any]:
        return fields.init_latents(
            field.space,
            POSES,
            num_latents=9,
            context_dim=field.context_dim,
            domain=earths[0].domain,
            key=key,
        )

    table = jax.vmap(init_row)(jax.random.split(key_latents, num))
    state = step.init(field.init(key=key_field), table)
    if checkpoints.latest() is not None:
        state = checkpoints.restore(state)

    @partial(jax.jit, donate_argnums=0)
    def run(state: fitting.JointState, arrays: Any) -> Any:
        def one(state: fitting.JointState, _: None) -> Any:
            # The batch depends on (seed, step) alone, so a resumed run sees the same.
            keys = jax.random.split(jax.random.fold_in(key_batches, state.step), num)
            return step.update(state, jnp.arange(num), (arrays, keys))

        return jax.lax.scan(one, state, None, sizes.chunk)

    columns = ("{task.description}", BarColumn(), "{task.completed}/{task.total}")
    columns = (*columns, "{task.fields[loss]}", TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=steps, loss="", completed=int(state.step))
        while int(state.step) < steps:
            state, losses = run(state, arrays)
            done = int(state.step)
            bar.update(task, completed=done, loss=f"loss {losses[-10:].mean():.4f}")
            checkpoints.save(done, state, force=done >= steps)
    return state


def claim_folder(config: Config) -> None:
    """Starts a run folder, or checks that a resumed run has the same settings."""
    settings = {
        key: str(value)
        for key, value in dataclasses.asdict(config).items()
        if key not in ("out", "resume")
    }
    path = config.out / "config.json"
    if config.resume:
        if not path.exists():
            raise ValueError(f"There is no run to resume in {config.out}.")
        stored = json.loads(path.read_text())
        if stored != settings:
            raise ValueError(
                f"The run in {config.out} has other settings. Stored: {stored}. "
                f"Asked: {settings}. Give the same options, or another --out."
            )
        return
    if config.out.exists() and any(config.out.iterdir()):
        raise ValueError(
            f"{config.out} holds a run already. Continue it with --resume, or choose "
            "another folder with --out."
        )
    config.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n")


def main(config: Config) -> None:
    """Trains, measures, draws."""
    start = time.perf_counter()
    sizes = SMOKE if config.smoke else Sizes()
    if config.smoke:  # nearly all of it is compilation
        jax.config.update("jax_disable_most_optimizations", True)
    field = make_field(sizes)
    try:
        earths = [signals.load(model, config.spacing_km) for model in config.models]
        signals.check_joint(earths)
        claim_folder(config)
        checkpoints = train.Checkpoints(
            config.out / "checkpoints", every=sizes.save_every, spec=field
        )
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    with checkpoints:
        arrays = make_data(earths, config, sizes)
        state = fit(field, earths, arrays, config, sizes, checkpoints)
    result = report.measure(field, state, earths, arrays["bounds"], sizes)
    report.draw(field, state, earths, arrays["bounds"], config.out)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    report.show(result, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config))
