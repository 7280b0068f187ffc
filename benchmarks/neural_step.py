"""What does one training step of the neural solver cost, beside its plain form?

One value and gradient of the eikonal residual with respect to parameters and latents
at the published E-NES size: 2 velocity fields, 5,120 pairs each, hidden 128, 2 heads, 9
latents of context 32, SE(2) poses; jitted, float32. Three programs with the same
parameters: folded (`residual_loss`), folded in 8 chunks of pairs, and the published
formulas with nothing folded, written out below. All in one process, in interleaved
rounds, median; compilation and temporary memory apart.

Operations are XLA's count on the compiled program. It counts the body of a scan once,
so the count of the chunked program is multiplied by the number of chunks; what stands
outside of the scan is then counted too often, so read the unchunked one.

Gradients agree to rounding, 2e-6 of the largest entry, unless rounding decides the sign
of a ReLU: at the published size that happens to 7 of 47 million, and moves a gradient
by one pair's share, 1e-4.

    python benchmarks/neural_step.py --out benchmarks/results/neural_step.json
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eqjax import eikonal, fields, groups, spaces

NUM_FIELDS, NUM_LATENTS, NUM_CHUNKS = 2, 9, 8
SIZES = {"published": 5120, "small": 192}
SPEED_BOUNDS = (1.0, 5.0)
FIELD = eikonal.TravelTimeField(
    eikonal.PairInvariant(fields.RelativePose(groups.SE(2)))
)


def plain_times(params: Any, latents: Any, s: Any, r: Any, bounds: Any) -> Any:
    """Travel time of one pair by the published formulas, one after the other."""
    p, heads = params["attention"], (NUM_LATENTS, FIELD.num_heads, FIELD.hidden)

    def dense(layer: Any, x: Any) -> Any:
        return x @ layer["kernel"] + layer["bias"]

    def norm(layer: Any, x: Any) -> Any:
        centered = x - jnp.mean(x, -1, keepdims=True)
        deviation = jnp.sqrt(jnp.mean(centered**2, -1, keepdims=True) + 1e-5)
        return centered / deviation * layer["scale"] + layer["offset"]

    def embed(layers: Any, b: Any) -> Any:
        angle = 2 * jnp.pi * b @ layers["embedding"]["frequencies"]
        waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)
        return dense(layers["head"], jax.nn.relu(dense(layers["embedding"], waves)))

    invariant = jax.vmap(FIELD.pair_invariant, (None, None, 0))
    views = invariant(s, r, latents["pose"]), invariant(r, s, latents["pose"])
    query, value = (
        sum(embed(p[name], b) for b in views) / 2 for name in ("query", "value")
    )
    a = norm(p["stem_norm"], dense(p["stem"], latents["context"]))
    q = dense(p["to_query"], query).reshape(heads)
    k = dense(p["to_key"], a).reshape(heads)
    attention = jax.nn.softmax(jnp.sum(q * k, -1) / FIELD.hidden**0.5, axis=0)
    film = norm(p["film_norm"], jax.nn.gelu(dense(p["film"], value)))
    scale, shift = jnp.split(dense(p["film_out"], film), 2, -1)
    v = dense(p["to_value"], a) * (1 + scale) + shift
    v = norm(p["mixer_norm"], jax.nn.gelu(dense(p["mixer"], v)))
    v = dense(p["mixer_out"], v).reshape(heads)
    y = dense(p["out"], jnp.sum(attention[..., None] * v, 0).ravel())
    y = norm(params["mix_norm"], jax.nn.gelu(dense(params["mix"], y)))
    y = jax.nn.gelu(dense(params["mix_out"], y))
    for i in range(FIELD.head_layers):
        layer = params[f"layer_{i}"]
        y = jnp.exp(-((layer["width"] * dense(layer, y)) ** 2))
    share = jax.nn.sigmoid(params["alpha"] * dense(params["out"], y)[0])
    slowest, fastest = 1 / bounds
    slowness = fastest + (slowest - fastest) * share
    return FIELD.space.distance(s, r) * slowness


def plain_loss(params: Any, latents: Any, s: Any, r: Any, v: Any, bounds: Any) -> Any:
    """The loss of `residual_loss` for one velocity field."""

    def residual(s: Any, r: Any, v: Any) -> Any:
        slopes = jax.grad(plain_times, (2, 3))(params, latents, s, r, bounds)
        norms = jnp.stack([jnp.linalg.norm(slope) for slope in slopes])
        return jnp.sum(jnp.abs((v * norms) ** 2 - 1)) / 2

    return jnp.mean(jax.vmap(residual)(s, r, v))


def training_step(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Value and gradient, averaged over velocity fields."""

    def mean(params: Any, latents: Any, s: Any, r: Any, v: Any) -> Any:
        bounds = jnp.array(SPEED_BOUNDS)
        return jnp.mean(
            jax.vmap(lambda z, s, r, v: loss(params, z, s, r, v, bounds))(
                latents, s, r, v
            )
        )

    return jax.value_and_grad(mean, (0, 1))


def programs(num_pairs: int) -> dict[str, tuple[Callable[..., Any], int]]:
    """Name to (step, how often its scan runs)."""
    chunked = functools.partial(
        eikonal.residual_loss, FIELD, chunk_size=-(-num_pairs // NUM_CHUNKS)
    )
    folded = functools.partial(eikonal.residual_loss, FIELD)
    return {
        "folded": (training_step(folded), 1),
        f"folded in {NUM_CHUNKS} chunks": (training_step(chunked), NUM_CHUNKS),
        "plain": (training_step(plain_loss), 1),
    }


def arguments(num_pairs: int) -> tuple[Any, ...]:
    """Parameters, latents, and pairs with their speeds."""
    keys = jax.random.split(jax.random.key(0), 4)
    params = jax.jit(lambda key: FIELD.init(key=key))(keys[0])

    def latents(key: Any) -> Any:
        return fields.init_latents(
            FIELD.space,
            groups.SE(2),
            num_latents=NUM_LATENTS,
            context_dim=FIELD.context_dim,
            jitter=0.1,
            key=key,
        )

    def pairs(key: Any) -> Any:
        box = spaces.Box((-1.0, -1.0), (1.0, 1.0))
        return eikonal.sample_pairs(box, FIELD.space, num_pairs, key=key)

    z = jax.jit(jax.vmap(latents))(jax.random.split(keys[1], NUM_FIELDS))
    s, r = jax.jit(jax.vmap(pairs))(jax.random.split(keys[2], NUM_FIELDS))
    v = jax.random.uniform(keys[3], (*s.shape[:2], 2), minval=1.5, maxval=4.5)
    return params, z, s, r, v


def compiled(
    fn: Callable[..., Any], num_loops: int, args: tuple[Any, ...]
) -> tuple[Callable[..., Any], dict[str, float]]:
    """A function compiled for its arguments, and what that took."""
    lowered = jax.jit(fn).lower(*args)
    start = time.perf_counter()
    run = lowered.compile()
    seconds = time.perf_counter() - start
    costs, memory = run.cost_analysis(), run.memory_analysis()
    assert costs is not None
    assert memory is not None
    operations = costs["flops"] * num_loops
    mebibytes = memory.temp_size_in_bytes / 2**20
    return run, {
        "gflop": round(operations / 1e9, 2),
        "temporary_mib": round(mebibytes, 1),
        "compile_s": round(seconds, 2),
    }


def median_times(
    functions: dict[str, Callable[[], Any]], rounds: int
) -> dict[str, dict[str, float]]:
    """Median and least milliseconds of every function, in interleaved rounds."""
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            samples[name].append(1e3 * (time.perf_counter() - start))
    return {
        # The first round warms up.
        name: {
            "median_ms": round(float(np.median(taken[1:])), 1),
            "least_ms": round(min(taken[1:]), 1),
        }
        for name, taken in samples.items()
    }


def disagreement(got: Any, want: Any) -> dict[str, float]:
    """Of losses, relative; of gradients, relative to the largest entry of each leaf."""
    (loss, gradients), (other_loss, other_gradients) = got, want
    pairs = zip(
        jax.tree.leaves(gradients), jax.tree.leaves(other_gradients), strict=True
    )
    worst = [
        float(jnp.max(jnp.abs(a - b)) / size)
        for a, b in pairs
        # Latents without windows have no gradient there.
        if (size := float(jnp.max(jnp.abs(b)))) > 0
    ]
    return {"loss": abs(float(loss / other_loss) - 1), "gradient": max(worst)}


def measure(num_pairs: int, rounds: int) -> dict[str, Any]:
    args = arguments(num_pairs)
    rows: dict[str, dict[str, Any]] = {}
    functions: dict[str, Callable[[], Any]] = {}
    results = {}
    for name, (step, num_loops) in programs(num_pairs).items():
        run, rows[name] = compiled(step, num_loops, args)
        results[name] = run(*args)
        functions[name] = lambda run=run: run(*args)
    for name in rows:
        if name != "plain":
            against = disagreement(results[name], results["plain"])
            rows[name]["disagreement_with_plain"] = against
    for name, taken in median_times(functions, rounds).items():
        rows[name] |= taken
    return {"pairs": f"{NUM_FIELDS} x {num_pairs}", **rows}


def environment() -> dict[str, Any]:
    packages = ("jax", "jaxlib", "numpy")
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "device": str(jax.devices()[0].device_kind),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def main() -> None:
    question = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--out", type=Path, help="file for the results (JSON)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of timing")
    parser.add_argument(
        "--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="what to run"
    )
    options = parser.parse_args()
    shapes = jax.eval_shape(lambda key: FIELD.init(key=key), jax.random.key(0))
    results = {
        "question": question,
        "environment": environment(),
        "rounds": options.rounds,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes)),
        **{name: measure(SIZES[name], options.rounds) for name in options.sizes},
    }
    text = json.dumps(results, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
