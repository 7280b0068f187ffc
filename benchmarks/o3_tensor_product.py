"""How fast are tensor products of features, uuu and uvu, beside other libraries?

Degrees up to L of SO(3), all couplings (l1, l2, l3), float32, jitted: the forward pass,
and the pull-back alone (cotangents of weights, x and y).

- uuu: out[l3, u] = sum_paths w[path, u] C(x[l1, u], y[l2, u]), weights for all.
- uvu: out[path, u] = w[path, u] C(x[l1, u], y[l2]), weights of each example; y has one
  channel, as harmonics of an edge.

Where the batch stands, and how the weights come in:

- eqjax: `o3.TensorProduct` on (dim, batch, channels), by vmap over axis 1.
- eqjax, batch first: the same on (batch, dim, channels), by vmap over axis 0.
- e3nn: `e3nn_jax.tensor_product` in its plainest form, one irrep of each degree in the
  result, up to L = 4. uuu: of (batch, channels, dim), times the weights by einsum. uvu:
  of x of `channels` copies, times the weights as scalars.
- e3nn, chunks: the same with `regroup_output=False`, each path times its weights; for
  uvu the paths stay a list.
- e3nn, legacy: `e3nn_jax.legacy.FunctionalTensorProduct`, by vmap.
- e3x: `e3x.nn.Tensor` with pseudotensors on (batch, 1, dim, channels); even and odd
  l1 + l2 stand apart in the result. It has no uvu.
- e3x, fused*: `e3x.nn.FusedTensor`: weights of rank one, so another function.
- cue: cuequivariance by `method="naive"`, which is the one that runs on a CPU, on
  (batch, dim channels), up to L = 4. uuu: segments "u,iu,ju,ku+ijk"; uvu:
  `descriptors.channelwise_tensor_product`.
- cue, flattened: the same with `flatten_coefficient_modes`, a term for each non-zero;
  up to L = 2.
- e3j, unfused: `e3j.core.TensorProduct` on (batch, dim, channels), a scattered sum over
  non-zeros; times the weights. e3j, dense: on (batch, channels, dim). Up to L = 3.

Other numbers of channels at L = 2 stand beside e3nn only. `error` is the largest
difference of the result from NumPy in float64, relative to its largest entry; a library
whose result differs by more than rounding stops the benchmark. Weights are rescaled
where a library normalises otherwise, outside of what is timed. `ratio` is the time of
the fastest form of e3nn, in each direction, over that of the library, `ratio_to_plain`
that of "e3nn". `compile_s` and `temporary_mib` are those of the pull-back.
`value_and_gradient`: of sum(out^2) / 2, uuu at L = 2 only. One process, interleaved
rounds, median.

    python benchmarks/o3_tensor_product.py \
        --out benchmarks/results/o3_tensor_product.json
    python benchmarks/o3_tensor_product.py --only uuu:2 uvu:3
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

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
from _o3_peers import by_cue, by_e3j, by_e3x
from _o3_products import Case, Inputs, Side, by_e3nn, by_eqjax, exact, inputs_of

PACKAGES = ("e3nn-jax", "e3x", "cuequivariance-jax", "e3j")
# float32 sums of up to about 50 products: 1e-6 is usual, a wrong path makes 1e-1.
AGREEMENT = 1e-4

CASES = (
    Case("uuu", 1, 64, 1000),
    Case("uuu", 2, 16, 1000, peers="e3nn"),
    Case("uuu", 2, 64, 1000),
    Case("uuu", 2, 128, 1000, peers="e3nn"),
    Case("uuu", 3, 64, 300),
    Case("uuu", 4, 32, 300),
    Case("uuu", 5, 16, 100),
    Case("uuu", 6, 16, 100),
    Case("uvu", 1, 64, 1000),
    Case("uvu", 2, 64, 1000),
    Case("uvu", 3, 32, 1000),
    Case("uvu", 4, 32, 500),
)


# Times -------------------------------------------------------------------------------


def sides_of(case: Case, given: Inputs) -> Iterator[tuple[str, Side]]:
    others = (by_e3x, by_cue, by_e3j) if case.peers == "all" else ()
    for library in (by_eqjax, by_e3nn, *others):
        yield from library(case, given).items()


def pull_back(fn: Callable[..., Any]) -> Callable[..., Any]:
    def run(cotangent: Any, *args: Any) -> Any:
        return jax.vjp(fn, *args)[1](cotangent)

    return run


def value_and_gradient(fn: Callable[..., Any]) -> Callable[..., Any]:
    def half_square(*args: Any) -> Any:
        return sum(jnp.sum(leaf**2) / 2 for leaf in jax.tree.leaves(fn(*args)))

    def run(*args: Any) -> Any:
        return jax.value_and_grad(half_square, tuple(range(len(args))))(*args)

    return run


def measure(case: Case, rounds: int) -> dict[str, Any]:
    given = inputs_of(case)
    want = exact(case, given)
    row: dict[str, Any] = {
        "operation": case.mode,
        "max_degree": case.max_degree,
        "channels": case.channels,
        "batch": case.batch,
        "paths": len(case.paths),
    }
    functions: dict[str, Callable[[], Any]] = {}
    for name, side in sides_of(case, given):
        args = jax.tree.map(jnp.asarray, side.args)
        forward, costs_forward = compiled(side.fn, *args)
        out = forward(*args)
        error = None
        if side.back:
            error = float(np.max(abs(side.back(out) - want)) / np.max(abs(want)))
            if not error < AGREEMENT:
                raise RuntimeError(f"{name} differs by {error:.1e} in {case}.")
        backward, costs = compiled(pull_back(side.fn), out, *args)
        row[name] = {
            "forward": {},
            "pull_back": {},
            "compile_forward_s": costs_forward["compile_s"],
            "compile_s": costs["compile_s"],
            "temporary_mib": costs["temporary_mib"],
            "error": None if error is None else rounded(error),
        }
        if side.note:
            row[name]["note"] = side.note
        functions[f"{name}/forward"] = functools.partial(forward, *args)
        functions[f"{name}/pull_back"] = functools.partial(backward, out, *args)
        if case[:3] == ("uuu", 2, 64) and name.startswith(("eqjax", "e3nn")):
            both, _ = compiled(value_and_gradient(side.fn), *args)
            row[name]["value_and_gradient"] = {}
            functions[f"{name}/value_and_gradient"] = functools.partial(both, *args)
    for key, taken in median_times(functions, rounds).items():
        name, _, part = key.rpartition("/")
        row[name][part] |= taken
    add_ratios(row, list(functions))
    return row


def add_ratios(row: dict[str, Any], measured: list[str]) -> None:
    """Of what is measured, "library/part"."""
    for name, part in (key.split("/") for key in measured):
        times = {
            other: row[other][part]["median_ms"]
            for other, same in (key.split("/") for key in measured)
            if same == part
        }
        fastest = min(times[form] for form in times if form.startswith("e3nn"))
        for key, time in (("ratio", fastest), ("ratio_to_plain", times.get("e3nn"))):
            if time is not None:
                row[name].setdefault(key, {})[part] = rounded(time / times[name])


def chosen(only: list[str]) -> list[Case]:
    """The cases named "mode", "mode:L" or "mode:L:channels"; all where none is."""

    def named(case: Case, name: str) -> bool:
        fields = name.split(":")
        return fields == [str(field) for field in case[: len(fields)]]

    return [c for c in CASES if not only or any(named(c, name) for name in only)]


def main() -> None:
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument(
        "--only", nargs="*", default=[], help='cases, "uuu:2" or "uvu:3:32"'
    )
    options = arguments.parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": options.rounds,
        "cases": [measure(case, options.rounds) for case in chosen(options.only)],
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
