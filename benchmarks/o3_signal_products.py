"""What do products of rank-one weights cost beside full ones, and per coupling?

Two features of all degrees up to L and `channels` channels, each channel with its own,
onto degrees up to L, float32, jitted; the forward pass, and the pull-back alone
(cotangents of both features and of the weights).

- eqjax Gaunt, vector signal, matrix: `o3.gaunt_product`, `o3.vector_signal_product`,
  `o3.matrix_product`, each with weights per degree and channel, on (dim, batch,
  channels) by vmap over axis 1. "batch first": on (batch, dim, channels). The smallest
  degrees are coupled one by one, not on a grid or as matrices.
- e3nn full: `e3nn_jax.legacy.FunctionalTensorProduct`, mode "uuu", a weight for each
  coupling and channel.
- e3nn elementwise: `e3nn_jax.elementwise_tensor_product`, which keeps each coupling
  apart and has no weights.
- e3nn grid: product of `to_s2grid`, back by `from_s2grid`, on the least exact grid,
  without weights: the even couplings.

These are not the same map: the first three (*) and the last couple with rank-one
weights, some of the couplings only, all others freely. `expressivity` is the dimension
of the maps that weights (of linear maps per degree, where there are none) reach,
`couplings` their number, `irreps` that of the irreps in the result, per channel;
`microseconds_per_..` is the median forward time divided by it. `ratio` is the time of
"e3nn full" over that of the library. `error` is the largest difference from the same
function in float64, relative to the largest entry; `difference_of_grids` that of the
two Gaunt products with weights 1. One process, interleaved rounds, median.

    python benchmarks/o3_signal_products.py \
        --out benchmarks/results/o3_signal_products.json
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import e3nn_jax
import e3nn_jax.legacy
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

from eqjax.o3._expressivity import expressivity, interactability
from eqjax.o3._matrix_product import matrix_product
from eqjax.o3._s2_grid import exact_shape
from eqjax.o3._signal_products import gaunt_product, vector_signal_product

# Largest degree, channels, batch.
CASES = (
    (1, 64, 1000),
    (2, 64, 1000),
    (3, 64, 300),
    (4, 32, 300),
    (5, 16, 300),
    (6, 16, 100),
)
PACKAGES = ("e3nn-jax",)
NAMES = ("x", "y", "out")
Path = tuple[int, int, int]


@dataclass(frozen=True)
class Side:
    """A product of (weights, x, y) of a batch, and what it reaches."""

    fn: Callable[[Any, Any, Any], Any]
    args: tuple[Any, Any, Any]
    expressivity: int
    couplings: int
    irreps: int


def paths(max_degree: int) -> list[Path]:
    return [
        (a, b, c)
        for a in range(max_degree + 1)
        for b in range(max_degree + 1)
        for c in range(abs(a - b), min(a + b, max_degree) + 1)
    ]


def products(max_degree: int) -> dict[str, tuple[Callable[..., Any], tuple[int, ...]]]:
    """Name to (product of weights, x and y; leading axes of the weights)."""

    def gaunt(weights: Any, x: Any, y: Any) -> Any:
        return gaunt_product(x, y, max_degree_out=max_degree, weights=weights)

    def vector(weights: Any, x: Any, y: Any) -> Any:
        return vector_signal_product(x, y, max_degree_out=max_degree, weights=weights)

    def matrix(weights: Any, x: Any, y: Any) -> Any:
        return matrix_product(x, y, max_degree_out=max_degree, weights=weights)

    return {
        "eqjax Gaunt*": (gaunt, ()),
        "eqjax vector signal*": (vector, (2,)),
        "eqjax matrix*": (matrix, ()),
    }


def by_eqjax(max_degree: int, x: np.ndarray, y: np.ndarray) -> dict[str, Side]:
    rng = np.random.default_rng(1)
    channels = x.shape[2]
    found: dict[str, Side] = {}
    for name, (one, front) in products(max_degree).items():
        shape = (*front, max_degree + 1, channels)
        weights = {key: rng.normal(size=shape).astype(np.float32) for key in NAMES}
        single = {key: w[..., :1] for key, w in weights.items()}
        reach = (
            expressivity(jax.jit(one), max_degree, single),
            len(interactability(jax.jit(one), max_degree, single)),
            max_degree + 1,
        )
        layouts = {"": 1, ", batch first": 0} if max_degree <= 3 else {"": 1}
        for layout, axis in layouts.items():
            batched = jax.vmap(one, (None, axis, axis), axis)
            inputs = [np.swapaxes(a, 0, 1) if axis else a for a in (x, y)]
            args = (weights, inputs[0], inputs[1])
            found[name + layout] = Side(batched, args, *reach)
    return found


def by_e3nn(max_degree: int, x: np.ndarray, y: np.ndarray) -> dict[str, Side]:
    batch, _, channels = x.shape
    # All even: every coupling is allowed.
    irreps = e3nn_jax.Irreps([(channels, (l, 1)) for l in range(max_degree + 1)])
    rows = [slice(l * l, (l + 1) ** 2) for l in range(max_degree + 1)]
    flat_x, flat_y = [
        np.concatenate(
            [np.swapaxes(a[:, s], 1, 2).reshape(batch, -1) for s in rows], axis=1
        )
        for a in (x, y)
    ]
    couplings = paths(max_degree)
    instructions: Any = [(*path, "uuu", True) for path in couplings]
    full = e3nn_jax.legacy.FunctionalTensorProduct(irreps, irreps, irreps, instructions)

    def full_product(weights: Any, x: Any, y: Any) -> Any:
        def one(x: Any, y: Any) -> Any:
            arrays = (e3nn_jax.IrrepsArray(irreps, a) for a in (x, y))
            return full.left_right(weights, *arrays).array

        return jax.vmap(one)(x, y)

    def elementwise(weights: Any, x: Any, y: Any) -> Any:
        arrays = (e3nn_jax.IrrepsArray(irreps, a) for a in (x, y))
        kept: Any = [(l, 1) for l in range(max_degree + 1)]
        return e3nn_jax.elementwise_tensor_product(*arrays, filter_ir_out=kept).array

    signal = e3nn_jax.s2_irreps(max_degree)
    shape = exact_shape(3 * max_degree)

    def grid(weights: Any, x: Any, y: Any) -> Any:
        values = [
            e3nn_jax.to_s2grid(
                e3nn_jax.IrrepsArray(signal, a),
                *shape,
                quadrature="gausslegendre",
                normalization="integral",
                fft=False,
            )
            for a in (x, y)
        ]
        product: Any = values[0].replace_values(
            values[0].grid_values * values[1].grid_values
        )
        return e3nn_jax.from_s2grid(
            product, signal, normalization="integral", fft=False
        ).array

    rng = np.random.default_rng(1)
    weights = [rng.normal(size=channels).astype(np.float32) for _ in couplings]
    signals = [np.swapaxes(a, 1, 2) for a in (x, y)]
    number, even = len(couplings), sum(sum(path) % 2 == 0 for path in couplings)
    return {
        "e3nn full": Side(
            full_product, (weights, flat_x, flat_y), number, number, max_degree + 1
        ),
        "e3nn elementwise": Side(
            elementwise, ([], flat_x, flat_y), number, number, number
        ),
        "e3nn grid*": Side(
            grid, ([], signals[0], signals[1]), 3 * max_degree + 1, even, max_degree + 1
        ),
    }


def pull_back(fn: Callable[..., Any]) -> Callable[..., Any]:
    def run(cotangent: Any, *args: Any) -> Any:
        return jax.vjp(fn, *args)[1](cotangent)

    return run


def error(side: Side, result: Any) -> float:
    with jax.enable_x64(True):
        args = jax.tree.map(lambda a: jnp.asarray(a, float), side.args)
        want = np.asarray(jax.jit(side.fn)(*args))
    return rounded(float(np.max(np.abs(result - want)) / np.max(np.abs(want))))


def difference_of_grids(case: tuple[int, int, int], grid: Side) -> float:
    _, x, y = grid.args
    x, y = (jnp.moveaxis(jnp.asarray(a), 2, 0) for a in (x, y))
    product = functools.partial(gaunt_product, max_degree_out=case[0])
    ours = jnp.moveaxis(jax.vmap(product, 1, 1)(x, y), 0, 2)
    theirs = grid.fn(*grid.args)
    return rounded(float(jnp.max(jnp.abs(ours - theirs)) / jnp.max(jnp.abs(theirs))))


def measure(case: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    max_degree, channels, batch = case
    rng = np.random.default_rng(0)
    shape = (batch, (max_degree + 1) ** 2, channels)
    x, y = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    sides = by_eqjax(max_degree, x, y) | by_e3nn(max_degree, x, y)
    row: dict[str, Any] = {
        "max_degree": max_degree,
        "channels": channels,
        "batch": batch,
        "difference_of_grids": difference_of_grids(case, sides["e3nn grid*"]),
    }
    functions: dict[str, Callable[[], Any]] = {}
    for name, side in sides.items():
        args = jax.tree.map(jnp.asarray, side.args)
        forward, forward_costs = compiled(side.fn, *args)
        result = forward(*args)
        backward, costs = compiled(pull_back(side.fn), result, *args)
        row[name] = {
            "forward": {},
            "pull_back": {},
            "compile_forward_s": forward_costs["compile_s"],
            "compile_s": costs["compile_s"],
            "temporary_mib": costs["temporary_mib"],
            "error": error(side, np.asarray(result)),
            "expressivity": side.expressivity,
            "couplings": side.couplings,
            "irreps": side.irreps,
        }
        functions[f"{name}/forward"] = functools.partial(forward, *args)
        functions[f"{name}/pull_back"] = functools.partial(backward, result, *args)
    for key, taken in median_times(functions, rounds).items():
        name, _, part = key.rpartition("/")
        row[name][part] |= taken
    for name in sides:
        found = row[name]
        microseconds = 1e3 * found["forward"]["median_ms"]
        for count in ("expressivity", "couplings", "irreps"):
            found[f"microseconds_per_{count}"] = rounded(microseconds / found[count])
        found["ratio"] = {
            part: rounded(
                row["e3nn full"][part]["median_ms"] / found[part]["median_ms"]
            )
            for part in ("forward", "pull_back")
        }
    return row


def main() -> None:
    options = parser(__doc__, rounds=5).parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": options.rounds,
        "cases": [measure(case, options.rounds) for case in CASES],
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
