"""What does one meta-learning step of an image field cost, beside its plain form?

One value and gradient of the error after three inner steps, with respect to the
parameters, at the size of enf-min-jax's CIFAR-10 experiment: batch 32, 1,024
coordinates, 16 latents of context 64, the 4 nearest or all; float32. Second order
(gradients of gradients) and first order. Two programs with the same parameters: folded
(`EquivariantField` in `fitting.meta_sgd`), and the published formulas with nothing
folded, written out below, nearest latents by a full sort as there. Folded, also in
chunks of 8 images whose gradients are accumulated (`fitting.mean_in_chunks`).

Operations are XLA's count on the compiled programs. It counts the body of a scan once;
so the inner steps are three scans of one step, and the count of the chunked program is
multiplied by the number of chunks. Times are of a batch of 2 images, interleaved.

    python benchmarks/meta_step.py --out benchmarks/results/meta_step.json
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from _measure import compiled, environment, finish, median_times, parser, question

from eqjax import fields, fitting, groups, spaces

BATCH, TIMED_BATCH, POINTS, LATENTS, CONTEXT, STEPS, CHUNK = 32, 2, 1024, 16, 64, 3, 8
POSES = groups.Translation(2)
RATES = {"pose": 0.1, "context": 0.1, "window": 0.1}
FIELD = fields.EquivariantField(
    fields.RelativePose(POSES),
    context_dim=CONTEXT,
    num_out=3,
    num_heads=3,
    head_dim=64,
    query_embedding=fields.SineEmbedding(128, scale=3.0),
    value_embedding=fields.SineEmbedding(128, scale=5.0),
    num_neighbors=4,
    block="film_linear",
    head_layers=0,
    logit_scale=1.0,
)


def folded_values(field: Any, params: Any, latents: Any, xs: Any) -> Any:
    prepared = field.prepare(params, latents)
    return jax.vmap(lambda x: field.apply(params, prepared, x))(xs)


def plain_values(field: Any, params: Any, latents: Any, xs: Any) -> Any:
    """The published formulas, one after the other, of all coordinates."""
    p, k = params["attention"], field.num_neighbors or LATENTS
    heads = (field.num_heads, -1)

    def dense(layer: Any, x: Any) -> Any:
        return x @ layer["kernel"] + layer["bias"]

    def embed(layers: Any, b: Any) -> Any:
        t = jnp.pi * (b + 1) @ layers["embedding"]["frequencies"]
        waves = jnp.sin(jnp.concatenate([b, t, t + jnp.pi / 2], -1))
        return dense(layers["head"], waves)

    relative = xs[:, None] - latents["pose"]
    squared = jnp.sum(relative**2, -1)
    nearest = jnp.argsort(squared, axis=-1)[:, :k]
    keys, values = (dense(p[n], latents["context"]) for n in ("to_key", "to_value"))
    keys, values, windows = (
        jnp.take(leaf, nearest, axis=0) for leaf in (keys, values, latents["window"])
    )
    squared = jnp.take_along_axis(squared, nearest, -1)
    b = jnp.take_along_axis(relative, nearest[..., None], 1)
    queries = dense(p["to_query"], embed(p["query"], b))
    scale, shift = jnp.split(dense(p["film"], embed(p["value"], b)), 2, -1)
    mixed = jax.nn.gelu(dense(p["mixer"], values * (1 + scale) + shift))
    u = dense(p["mixer_out"], mixed)
    q, keys, u = (leaf.reshape(*leaf.shape[:2], *heads) for leaf in (queries, keys, u))
    logits = jnp.sum(q * keys, -1) - (jnp.exp(-2 * windows) * squared)[..., None]
    attention = jax.nn.softmax(logits, axis=1)
    y = jnp.sum(attention[..., None] * u, 1)
    return dense(p["out"], y.reshape(len(xs), -1))


def step(
    values: Callable[..., Any], field: Any, *, first_order: bool, chunk: int | None
) -> Callable[..., Any]:
    """Value and gradient of the mean error after the inner steps."""

    def loss(params: Any, latents: Any, image: Any) -> Any:
        xs, ys = image
        return jnp.mean((values(field, params, latents, xs) - ys) ** 2)

    def error(args: Any, ys: Any) -> Any:
        params, latents, xs = args
        batch = jax.tree.map(lambda leaf: leaf[None], (xs, ys))
        for _ in range(STEPS):
            latents = fitting.meta_sgd(
                loss,
                params,
                jax.tree.map(jnp.log, RATES),
                latents,
                batch,
                num_steps=1,
                normalize=None,
                first_order=first_order,
            ).latents
        return loss(params, latents, (xs, ys))

    def mean(params: Any, latents: Any, xs: Any, ys: Any) -> Any:
        args = (params, latents, xs)
        return fitting.mean_in_chunks(error, args, ys, chunk)

    return jax.value_and_grad(mean)


def arguments(batch: int) -> tuple[Any, ...]:
    keys = jax.random.split(jax.random.key(0), 4)
    latents = fields.init_latents(
        spaces.Euclidean(2),
        POSES,
        num_latents=LATENTS,
        context_dim=CONTEXT,
        jitter=0.1,
        key=keys[1],
    )
    xs = jax.random.uniform(keys[2], (POINTS, 2), minval=-1, maxval=1)
    ys = jax.random.uniform(keys[3], (batch, POINTS, 3))
    return jax.jit(FIELD.init)(key=keys[0]), latents, xs, ys


def measure(field: Any, rounds: int, *, first_order: bool) -> dict[str, Any]:
    make = functools.partial(step, field=field, first_order=first_order)
    folded, plain = (make(v, chunk=None) for v in (folded_values, plain_values))
    chunked = make(folded_values, chunk=CHUNK)
    rows: dict[str, dict[str, Any]] = {}
    args = arguments(BATCH)
    for name, fn in (("folded", folded), ("plain", plain), ("chunks", chunked)):
        _, costs = compiled(fn, *args)
        loops = BATCH // CHUNK if name == "chunks" else 1
        rows[name] = {
            "gflop": round(costs["mflop"] * loops / 1e3, 1),
            "temporary_mib": round(costs["temporary_mib"]),
            "compile_s": costs["compile_s"],
        }
    args = arguments(TIMED_BATCH)
    runs = {n: compiled(f, *args)[0] for n, f in (("folded", folded), ("plain", plain))}
    results = {name: run(*args) for name, run in runs.items()}
    pairs = zip(*(jax.tree.leaves(r) for r in results.values()), strict=True)
    largest = [float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b))) for a, b in pairs]
    rows["folded"]["disagreement_with_plain"] = max(largest)
    calls = {name: functools.partial(run, *args) for name, run in runs.items()}
    for name, taken in median_times(calls, rounds).items():
        rows[name][f"batch_of_{TIMED_BATCH}"] = taken
    return rows


def main() -> None:
    options = parser(__doc__, rounds=5).parse_args()
    shapes = jax.eval_shape(lambda key: FIELD.init(key=key), jax.random.key(0))
    results: dict[str, Any] = {
        "question": question(__doc__),
        "environment": environment(()),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes)),
    }
    for order, first_order in (("second order", False), ("first order", True)):
        for k in (4, None):
            field = replace(FIELD, num_neighbors=k)
            name = f"{order}, {k or 'all'} neighbors"
            results[name] = measure(field, options.rounds, first_order=first_order)
    finish(results, options.out)


if __name__ == "__main__":
    main()
