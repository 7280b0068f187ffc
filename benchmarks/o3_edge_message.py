"""What does the message of an edge cost, beside e3nn's?

E edges with 32 channels of degrees 0, .., L to the same, float32, jitted, by `jax.vmap`
over edges. The pull-back returns the cotangents of parameters, features and edges.

- e3nn: `spherical_harmonics` of the normalised edge, `tensor_product` (channel by
  channel), `flax.Linear` that mixes channels and paths.
- e3nn LinearSHTP: `experimental.linear_shtp.LinearSHTP`, which turns the edge to an
  axis as eqjax does.
- eqjax: `o3.SO2Convolution.apply`, with all orders and with orders up to 2; on (edges,
  dim, channels), and "component first" on (dim, edges, channels).

"all" couplings: features of SO(3) in eqjax, of parity e in e3nn. "even": natural
parity. The parametrisations differ, so what is checked is that each commutes with
rotations (and reflections): `error` is the largest difference relative to the largest
entry, of a float64 rotation of the rounded inputs.

    python benchmarks/o3_edge_message.py --out benchmarks/results/o3_edge_message.json
"""

from __future__ import annotations

import functools
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
    question,
    rounded,
)
from e3nn_jax import flax as e3nn_flax
from e3nn_jax.experimental.linear_shtp import LinearSHTP

from eqjax import groups
from eqjax.o3._degrees import Degrees
from eqjax.o3._so2 import SO2Convolution
from eqjax.o3._wigner import wigner_d

CHANNELS = 32
# (L, number of edges, couplings)
CASES = ((2, 1000, "all"), (2, 1000, "even"), (4, 500, "all"), (4, 500, "even"))

# Parameters and (parameters, feature, edge) -> message, of one edge.
Method = tuple[Any, Callable[..., Any]]


def e3nn_irreps(max_degree: int, couplings: str) -> tuple[list[Any], Any]:
    """The irreps of features, and that of the edge."""
    p = 1 if couplings == "all" else -1
    return [e3nn_jax.Irrep(l, p**l) for l in range(max_degree + 1)], f"1{'eo'[p < 0]}"


def by_e3nn(max_degree: int, couplings: str) -> Method:
    irreps, edge = e3nn_irreps(max_degree, couplings)
    feature = e3nn_jax.Irreps([(CHANNELS, ir) for ir in irreps])
    linear = e3nn_flax.Linear(feature)

    def product(x: Any, r: Any) -> Any:
        y = e3nn_jax.spherical_harmonics(
            e3nn_jax.Irreps(irreps), e3nn_jax.IrrepsArray(edge, r), True
        )
        x = e3nn_jax.IrrepsArray(feature, x)
        return e3nn_jax.tensor_product(x, y, filter_ir_out=irreps)

    def apply(params: Any, x: Any, r: Any) -> Any:
        y: Any = linear.apply(params, product(x, r))
        return y.array

    example = product(jnp.ones(feature.dim), jnp.ones(3))
    return linear.init(jax.random.key(0), example), apply


def by_linear_shtp(max_degree: int, couplings: str) -> Method:
    irreps, edge = e3nn_irreps(max_degree, couplings)
    feature = e3nn_jax.Irreps([(CHANNELS, ir) for ir in irreps])
    module = LinearSHTP(feature, mix=True)

    def arrays(x: Any, r: Any) -> tuple[Any, Any]:
        return e3nn_jax.IrrepsArray(feature, x), e3nn_jax.IrrepsArray(edge, r)

    def apply(params: Any, x: Any, r: Any) -> Any:
        y: Any = module.apply(params, *arrays(x, r))
        return y.array

    example = arrays(jnp.ones(feature.dim), jnp.ones(3))
    return module.init(jax.random.key(0), *example), apply


def by_eqjax(max_degree: int, couplings: str, max_order: int | None) -> Method:
    degrees = Degrees(max_degree, parity="none" if couplings == "all" else "natural")
    spec = SO2Convolution(degrees, degrees, CHANNELS, CHANNELS, max_order=max_order)
    return spec.init(key=jax.random.key(0)), spec.apply


def methods(max_degree: int, couplings: str) -> dict[str, tuple[Method, int]]:
    """Name to method and the axis of edges."""
    found = {
        "e3nn": (by_e3nn(max_degree, couplings), 0),
        "e3nn LinearSHTP": (by_linear_shtp(max_degree, couplings), 0),
        "eqjax": (by_eqjax(max_degree, couplings, None), 0),
        "eqjax, component first": (by_eqjax(max_degree, couplings, None), 1),
    }
    if max_degree > 2:
        cut = by_eqjax(max_degree, couplings, 2)
        found |= {"eqjax, orders up to 2": (cut, 0)}
        found |= {"eqjax, orders up to 2, component first": (cut, 1)}
    return found


def to_e3nn(x: np.ndarray) -> np.ndarray:
    """(edges, dim, channels) with one irrep after another, channels first."""
    blocks = []
    for l in range(round(x.shape[1] ** 0.5)):
        part = x[:, l * l : (l + 1) ** 2].transpose(0, 2, 1)
        blocks.append(part.reshape(len(x), -1))
    return np.concatenate(blocks, axis=1)


def turned(
    max_degree: int, couplings: str, x: np.ndarray, r: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features and edges after a rotation (or a reflection), and its matrix on both."""
    with jax.enable_x64(True):
        q = groups.SO(3).sample(key=jax.random.key(1))
        rotation = np.asarray(groups.SO(3).matrix(q))
        d = np.asarray(wigner_d(max_degree, q, dense=True))
    if couplings == "even":
        signs = [(-1) ** l for l in range(max_degree + 1) for _ in range(2 * l + 1)]
        d, rotation = d * np.array(signs), -rotation
    return np.einsum("ij,ejc->eic", d, x), r @ rotation.T, d


def measure(rounds: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    calls: dict[str, Callable[[], Any]] = {}
    for case, (max_degree, edges, couplings) in enumerate(CASES):
        row: dict[str, Any] = {
            "max_degree": max_degree,
            "edges": edges,
            "channels": CHANNELS,
            "couplings": couplings,
        }
        x = random.normal(size=(edges, (max_degree + 1) ** 2, CHANNELS))
        r = random.normal(size=(edges, 3))
        cotangent = random.normal(size=x.shape)
        x_turned, r_turned, d = turned(max_degree, couplings, x, r)
        for name, ((params, apply), axis) in methods(max_degree, couplings).items():

            def layout(a: np.ndarray, name: str = name, axis: int = axis) -> Any:
                if a.ndim == 3 and name.startswith("e3nn"):
                    a = to_e3nn(a)
                return jnp.asarray(np.moveaxis(a, 0, axis).copy(), jnp.float32)

            many = jax.vmap(apply, in_axes=(None, axis, axis), out_axes=axis)

            def pull_back(ct: Any, *args: Any, many: Any = many) -> Any:
                return jax.vjp(many, *args)[1](ct)

            args = (params, layout(x), layout(r))
            run, forward = compiled(many, *args)
            back, backward = compiled(pull_back, layout(cotangent), *args)
            got = np.asarray(run(params, layout(x_turned), layout(r_turned)))
            y = np.asarray(run(*args), float)
            if name.startswith("e3nn"):
                want = to_e3nn(np.einsum("ij,ejc->eic", d, from_e3nn(y)))
            else:
                want = np.einsum("ij,ejc->eic", d, np.moveaxis(y, axis, 0))
                want = np.moveaxis(want, 0, axis)
            row[name] = {
                "weights": sum(leaf.size for leaf in jax.tree.leaves(params)),
                "error": float(np.max(np.abs(got - want)) / np.max(np.abs(want))),
                "forward": forward,
                "pull_back": backward,
            }
            calls[f"{case}/{name}/forward"] = functools.partial(run, *args)
            calls[f"{case}/{name}/pull_back"] = functools.partial(
                back, layout(cotangent), *args
            )
        rows.append(row)
    for key, taken in median_times(calls, rounds).items():
        case, name, part = key.split("/")
        rows[int(case)][name][part] |= taken
    for row in rows:
        for name, taken in row.items():
            if isinstance(taken, dict) and name != "e3nn":
                taken["e3nn_over_this"] = {
                    part: rounded(
                        row["e3nn"][part]["median_ms"] / taken[part]["median_ms"]
                    )
                    for part in ("forward", "pull_back")
                }
    return rows


def from_e3nn(x: np.ndarray) -> np.ndarray:
    """The inverse of `to_e3nn`."""
    blocks, start = [], 0
    for l in range(round((x.shape[1] / CHANNELS) ** 0.5)):
        stop = start + CHANNELS * (2 * l + 1)
        part = x[:, start:stop].reshape(len(x), CHANNELS, 2 * l + 1)
        blocks.append(part.transpose(0, 2, 1))
        start = stop
    return np.concatenate(blocks, axis=1)


def main() -> None:
    options = parser(__doc__, rounds=7).parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment(("e3nn-jax", "flax")),
        "rounds": options.rounds,
        "cases": measure(options.rounds),
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
