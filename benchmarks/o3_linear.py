"""What do linear maps, gates and norm activations of all degrees up to L cost?

Beside e3nn, e3x and cuequivariance, float32, jitted: the forward pass, and the
pull-back alone (the cotangents of all arguments). Features have natural parity and as
many channels of each degree. Where the batch stands:

- eqjax: the functions of `o3` on (dim, batch, channels), by vmap over axis 1.
- eqjax, batch first: the same on (batch, dim, channels), by vmap over axis 0.
- e3nn: each irrep as (batch, channels, 2l + 1).
- e3x: (batch, 1, dim, channels).
- cue: (batch, dim channels), layout "ir_mul".

Operations:

- linear: one matrix (channels, channels) for each degree, no bias. `o3.linear`,
  `e3nn_jax.flax.Linear`, `e3x.nn.Dense`, `cuequivariance.descriptors.linear` with
  `method="naive"`, which is the one that runs on a CPU.
- gate: SiLU of scalars, other degrees times the sigmoid of a scalar for each channel
  and degree. `o3.gate`, `e3nn_jax.gate`.
- norm activation: x times the sigmoid of |x|, for each channel and degree.
  `o3.norm_activation`, `e3nn_jax.norm_activation`.

All libraries have the same arguments; `error` is the largest difference of the result
from float64, relative to its largest entry. `ratio` is the time of e3nn over that of
the library. `compile_s` and `temporary_mib` are those of the pull-back. One process,
interleaved rounds, median.

    python benchmarks/o3_linear.py --out benchmarks/results/o3_linear.json
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
from _measure import (
    compiled,
    environment,
    finish,
    median_times,
    parser,
    peer,
    question,
    rounded,
)
from e3nn_jax import flax as e3nn_flax

from eqjax import o3

# Largest degree, channels, batch.
LINEAR_CASES = (
    (1, 64, 1000),
    (2, 64, 1000),
    (3, 16, 1000),
    (3, 64, 1000),
    (6, 64, 300),
)
OTHER_CASES = ((1, 64, 1000), (3, 64, 1000), (6, 64, 300))
PACKAGES = ("e3nn-jax", "flax", "e3x", "cuequivariance-jax")

# A function, its arguments, and its result to (batch, dim, channels).
Side = tuple[Callable[..., Any], tuple[Any, ...], Callable[[Any], np.ndarray]]


def slices(max_degree: int) -> list[slice]:
    return [slice(l * l, (l + 1) ** 2) for l in range(max_degree + 1)]


def degree_of(x: jax.Array) -> int:
    """Of features (batch, dim, channels)."""
    return math.isqrt(x.shape[1]) - 1


def irreps(x: jax.Array) -> str:
    degrees = range(degree_of(x) + 1)
    return "+".join(f"{x.shape[2]}x{l}{'eo'[l % 2]}" for l in degrees)


def to_e3nn(x: jax.Array) -> Any:
    rows = slices(degree_of(x))
    parts = [jnp.swapaxes(x[:, s], 1, 2).reshape(len(x), -1) for s in rows]
    return e3nn_jax.IrrepsArray(irreps(x), jnp.concatenate(parts, axis=1))


def of_e3nn(y: Any) -> np.ndarray:
    chunks = [np.swapaxes(np.asarray(chunk), 1, 2) for chunk in y.chunks]
    return np.concatenate(chunks, axis=1)


def swapped(y: Any) -> np.ndarray:
    return np.swapaxes(np.asarray(y), 0, 1)


# Linear maps -------------------------------------------------------------------------


def linear_by_e3nn(weights: jax.Array, x: jax.Array) -> Side:
    layer, array = e3nn_flax.Linear(e3nn_jax.Irreps(irreps(x))), to_e3nn(x)
    form = jax.tree.structure(jax.eval_shape(layer.init, jax.random.key(0), array))
    # e3nn divides by the root of the fan-in.
    params = jax.tree.unflatten(form, [w * math.sqrt(x.shape[2]) for w in weights])
    return layer.apply, (params, array), of_e3nn


def linear_by_e3x(weights: jax.Array, x: jax.Array) -> Side:
    layer = peer("e3x").nn.Dense(x.shape[2], use_bias=False)
    names = [f"{l}{'+-'[l % 2]}" for l in range(len(weights))]
    kernels = zip(names, weights, strict=True)
    params = {"params": {name: {"kernel": w} for name, w in kernels}}
    return layer.apply, (params, x[:, None]), lambda y: np.asarray(y)[:, 0]


def linear_by_cue(weights: jax.Array, x: jax.Array) -> Side:
    cue, cuex = peer("cuequivariance"), peer("cuequivariance_jax")
    kind = cue.Irreps("O3", irreps(x))
    polynomial = cue.descriptors.linear(kind, kind)
    rep = cue.IrrepsAndLayout(kind, cue.ir_mul)

    def run(weights: Any, x: Any) -> Any:
        inputs = [
            cuex.RepArray(polynomial.inputs[0], weights),
            cuex.RepArray(rep, x),
        ]
        return cuex.equivariant_polynomial(polynomial, inputs, method="naive").array

    # It divides by the root of the fan-in, too.
    flat = weights.reshape(-1) * math.sqrt(x.shape[2])
    args = flat, x.reshape(len(x), -1)
    return run, args, lambda y: np.asarray(y).reshape(x.shape)


def linear(x: jax.Array, rng: np.random.Generator) -> tuple[dict[str, Side], Any]:
    channels = x.shape[2]
    weights = rng.normal(size=(degree_of(x) + 1, channels, channels))
    weights = jnp.asarray(weights / math.sqrt(channels), jnp.float32)
    found: dict[str, Side] = {
        "eqjax": (
            jax.vmap(o3.linear, in_axes=(None, 1), out_axes=1),
            (weights, jnp.swapaxes(x, 0, 1)),
            swapped,
        ),
        "eqjax, batch first": (
            jax.vmap(o3.linear, in_axes=(None, 0)),
            (weights, x),
            np.asarray,
        ),
        "e3nn": linear_by_e3nn(weights, x),
    }
    if peer("e3x"):
        found["e3x"] = linear_by_e3x(weights, x)
    if peer("cuequivariance_jax"):
        found["cue"] = linear_by_cue(weights, x)
    exact = np.asarray(x, float), np.asarray(weights, float)
    rows = zip(slices(degree_of(x)), exact[1], strict=True)
    return found, np.concatenate([exact[0][:, s] @ w for s, w in rows], axis=1)


# Gates and norms ---------------------------------------------------------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gate(x: jax.Array, rng: np.random.Generator) -> tuple[dict[str, Side], Any]:
    batch, _, channels = x.shape
    gates = rng.normal(size=(batch, degree_of(x), channels))
    gates = jnp.asarray(gates, jnp.float32)
    array = to_e3nn(x)
    # Scalars, then gates, then the rest.
    scalars, others = array.array[:, :channels], array.array[:, channels:]
    joined = jnp.concatenate([scalars, gates.reshape(batch, -1), others], axis=1)
    first, *rest = irreps(x).split("+")
    names = "+".join([first, f"{degree_of(x) * channels}x0e", *rest])

    def by_e3nn(a: Any) -> Any:
        silu: Any = jax.nn.silu
        return e3nn_jax.gate(a, silu, normalize_act=False)

    found: dict[str, Side] = {
        "eqjax": (
            jax.vmap(o3.gate, in_axes=1, out_axes=1),
            (jnp.swapaxes(x, 0, 1), jnp.swapaxes(gates, 0, 1)),
            swapped,
        ),
        "eqjax, batch first": (jax.vmap(o3.gate), (x, gates), np.asarray),
        "e3nn": (by_e3nn, (e3nn_jax.IrrepsArray(names, joined),), of_e3nn),
    }
    exact, factors = np.asarray(x, float), sigmoid(np.asarray(gates, float))
    parts = [exact[:, :1] * sigmoid(exact[:, :1])]
    for l, s in enumerate(slices(degree_of(x))[1:]):
        parts.append(exact[:, s] * factors[:, l, None])
    return found, np.concatenate(parts, axis=1)


def norm_activation(
    x: jax.Array, rng: np.random.Generator
) -> tuple[dict[str, Side], Any]:
    def by_e3nn(a: Any) -> Any:
        # It multiplies by the activation, instead of by activation / |x|.
        acts: list[Any] = [jax.nn.sigmoid] * (degree_of(x) + 1)
        return e3nn_jax.norm_activation(a, acts, normalization="norm")

    found: dict[str, Side] = {
        "eqjax": (
            jax.vmap(o3.norm_activation, in_axes=1, out_axes=1),
            (jnp.swapaxes(x, 0, 1),),
            swapped,
        ),
        "eqjax, batch first": (jax.vmap(o3.norm_activation), (x,), np.asarray),
        "e3nn": (by_e3nn, (to_e3nn(x),), of_e3nn),
    }
    exact = np.asarray(x, float)
    parts = []
    for s in slices(degree_of(x)):
        norm = np.linalg.norm(exact[:, s], axis=1, keepdims=True)
        parts.append(exact[:, s] * sigmoid(norm))
    return found, np.concatenate(parts, axis=1)


# Times -------------------------------------------------------------------------------


def pull_back(fn: Callable[..., Any]) -> Callable[..., Any]:
    def run(cotangent: Any, *args: Any) -> Any:
        return jax.vjp(fn, *args)[1](cotangent)

    return run


def measure(
    build: Callable[..., tuple[dict[str, Side], Any]],
    case: tuple[int, int, int],
    rounds: int,
) -> dict[str, Any]:
    max_degree, channels, batch = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, (max_degree + 1) ** 2, channels))
    sides, want = build(jnp.asarray(x, jnp.float32), rng)
    row: dict[str, Any] = {
        "operation": build.__name__,
        "max_degree": max_degree,
        "channels": channels,
        "batch": batch,
    }
    functions: dict[str, Callable[[], Any]] = {}
    for name, (fn, args, back) in sides.items():
        forward, _ = compiled(fn, *args)
        y = forward(*args)
        backward, costs = compiled(pull_back(fn), y, *args)
        error = np.max(np.abs(back(y) - want)) / np.max(np.abs(want))
        row[name] = {
            "forward": {},
            "pull_back": {},
            "compile_s": costs["compile_s"],
            "temporary_mib": costs["temporary_mib"],
            "error": rounded(float(error)),
        }
        functions[f"{name}/forward"] = functools.partial(forward, *args)
        functions[f"{name}/pull_back"] = functools.partial(backward, y, *args)
    for key, taken in median_times(functions, rounds).items():
        name, _, part = key.rpartition("/")
        row[name][part] |= taken
    for name in sides:
        row[name]["ratio"] = {
            part: rounded(row["e3nn"][part]["median_ms"] / row[name][part]["median_ms"])
            for part in ("forward", "pull_back")
        }
    return row


def main() -> None:
    options = parser(__doc__, rounds=9).parse_args()
    cases = [(linear, case) for case in LINEAR_CASES]
    cases += [
        (build, case) for build in (gate, norm_activation) for case in OTHER_CASES
    ]
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": options.rounds,
        "cases": [measure(build, case, options.rounds) for build, case in cases],
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
