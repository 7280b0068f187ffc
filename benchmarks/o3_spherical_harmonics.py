"""What do spherical harmonics cost, beside e3nn's?

10,000 unit vectors, degrees 0, .., L, float32, jitted: `o3.spherical_harmonics` by
`jax.vmap` on vectors (batch, 3) and, "component first", on (3, batch) with
`in_axes=1, out_axes=1`; `e3nn_jax.spherical_harmonics` as it is, and with
`algorithm=("recursive", "sparse", "custom_jvp")`, its fastest at low degrees, up to
L = 6 (it compiles for a minute at L = 10). Then the same of vectors that are normalised
first (`normalize=True`). Forward, and the pull-back alone. Errors are the largest
differences from NumPy in float64, component normalisation.

    python benchmarks/o3_spherical_harmonics.py \
        --out benchmarks/results/o3_spherical_harmonics.json
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

from eqjax.o3._harmonics_table import harmonics
from eqjax.o3._spherical_harmonics import spherical_harmonics

DEGREES = (1, 2, 3, 4, 6, 10)
NUM_VECTORS = 10_000
SPARSE = ("recursive", "sparse", "custom_jvp")
FIRST, LAST = "eqjax, component first", "eqjax"


def functions_of(max_degree: int, normalize: bool) -> dict[str, Callable[[Any], Any]]:
    """Name to harmonics of all vectors."""
    irreps = e3nn_jax.Irreps([(1, (l, (-1) ** l)) for l in range(max_degree + 1)])

    def e3nn(r: Any, algorithm: Any = None) -> Any:
        return e3nn_jax.spherical_harmonics(
            irreps, r, normalize, normalization="component", algorithm=algorithm
        ).array

    ours = functools.partial(spherical_harmonics, max_degree, normalize=normalize)
    found: dict[str, Callable[[Any], Any]] = {"e3nn": e3nn}
    if max_degree <= 6:
        found["e3nn sparse"] = functools.partial(e3nn, algorithm=SPARSE)
    return found | {
        LAST: jax.vmap(ours),
        FIRST: jax.vmap(ours, in_axes=1, out_axes=1),
    }


def measure(rounds: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(NUM_VECTORS, 3))
    vectors = (vectors.T / np.linalg.norm(vectors, axis=1)).T.astype(np.float32)
    rows: list[dict[str, Any]] = []
    calls: dict[str, Callable[[], Any]] = {}
    cases = [(l, n) for n in (False, True) for l in DEGREES]
    for case, (max_degree, normalize) in enumerate(cases):
        row: dict[str, Any] = {"max_degree": max_degree, "normalize": normalize}
        # Harmonics of exactly these vectors, which are unit to float32.
        length = np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
        want = harmonics(max_degree, vectors / length)
        if not normalize:
            degree = np.repeat(range(max_degree + 1), 2 * np.arange(max_degree + 1) + 1)
            want = want * length**degree
        cotangent = random.normal(size=want.shape).astype(np.float32)
        for name, function in functions_of(max_degree, normalize).items():
            turn = (lambda a: a.T.copy()) if name == FIRST else (lambda a: a)
            r, ct = jnp.asarray(turn(vectors)), jnp.asarray(turn(cotangent))

            def pull_back(r: Any, ct: Any, function: Any = function) -> Any:
                return jax.vjp(function, r)[1](ct)[0]

            run, forward = compiled(function, r)
            back, backward = compiled(pull_back, r, ct)
            got = np.asarray(turn(np.asarray(run(r))), float)
            error = float(np.max(np.abs(got - want)))
            row[name] = {"error": error, "forward": forward, "pull_back": backward}
            calls[f"{case}/{name}/forward"] = functools.partial(run, r)
            calls[f"{case}/{name}/pull_back"] = functools.partial(back, r, ct)
        rows.append(row)
    for key, taken in median_times(calls, rounds).items():
        case, name, part = key.split("/")
        rows[int(case)][name][part] |= taken
    for row in rows:
        for name in set(row) - {"max_degree", "normalize", "e3nn"}:
            row[name]["e3nn_over_this"] = {
                part: rounded(
                    row["e3nn"][part]["median_ms"] / row[name][part]["median_ms"]
                )
                for part in ("forward", "pull_back")
            }
    return rows


def main() -> None:
    options = parser(__doc__, rounds=7).parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment(("e3nn-jax",)),
        "rounds": options.rounds,
        "vectors": NUM_VECTORS,
        "cases": measure(options.rounds),
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
