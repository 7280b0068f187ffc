"""What do Wigner matrices cost and how exact are they, beside e3nn's?

1,000 uniform unit quaternions, one degree at a time, float32, jitted, by vmap:
`o3.wigner_d(l, q)[l]`, `reps.irrep(SO(3), l).rho` (a recursion of matrix products) and
`e3nn_jax.Irrep(l, 1).D_from_quaternion`. Forward, and the pull-back alone. Errors are
the largest differences from `o3.wigner_d` in float64, whose own is the largest
difference of Y_l(R r) and D_l(R) Y_l(r) at random unit vectors r.

    python benchmarks/o3_wigner.py --out benchmarks/results/o3_wigner.json
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

from eqjax import groups, reps
from eqjax.o3._spherical_harmonics import spherical_harmonics
from eqjax.o3._wigner import wigner_d

SO3 = groups.SO(3)
DEGREES = range(1, 9)
NUM_ROTATIONS = 1000


def matrices(l: int) -> dict[str, Callable[[Any], Any]]:
    return {
        "e3nn": e3nn_jax.Irrep(l, 1).D_from_quaternion,
        "eqjax o3": lambda q: wigner_d(l, q)[l],
        "eqjax reps": reps.irrep(SO3, l).rho,
    }


def rotations() -> np.ndarray:
    """Unit quaternions."""
    q = np.random.default_rng(0).normal(size=(NUM_ROTATIONS, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def exact(l: int, q: np.ndarray) -> tuple[np.ndarray, float]:
    """The matrices in float64 of the quaternions given, and their own error."""
    v = np.random.default_rng(1).normal(size=(20, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    q = q.astype(np.float64)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    with jax.enable_x64(True):
        quaternions, vectors = jnp.asarray(q), jnp.asarray(v)
        d = jax.vmap(lambda q: wigner_d(l, q)[l])(quaternions)
        turned = jnp.einsum("bij,pj->bpi", jax.vmap(SO3.matrix)(quaternions), vectors)
        harmonics = functools.partial(spherical_harmonics, l)
        y = jax.vmap(harmonics)(vectors)[:, l * l :]
        want = jax.vmap(jax.vmap(harmonics))(turned)[..., l * l :]
        error = jnp.max(jnp.abs(jnp.einsum("bij,pj->bpi", d, y) - want))
    return np.asarray(d), float(error)


def measure(rounds: int) -> dict[str, Any]:
    q = jnp.asarray(rotations(), jnp.float32)
    rows: dict[str, Any] = {}
    functions: dict[str, Callable[[], Any]] = {}
    for l in DEGREES:
        true, error = exact(l, np.asarray(q))
        row: dict[str, Any] = {"float64_error": error}
        rows[f"l = {l}"] = row
        for name, matrix in matrices(l).items():
            many = jax.vmap(matrix)

            def pull_back(q: Any, ct: Any, many: Any = many) -> Any:
                return jax.vjp(many, q)[1](ct)

            run, forward = compiled(many, q)
            d = run(q)
            back, backward = compiled(pull_back, q, d)
            row[name] = {
                "error": float(np.max(np.abs(np.asarray(d, float) - true))),
                "forward": forward,
                "pull_back": backward,
            }
            functions[f"l = {l}/{name}/forward"] = functools.partial(run, q)
            functions[f"l = {l}/{name}/pull_back"] = functools.partial(back, q, d)
    for key, taken in median_times(functions, rounds).items():
        case, name, part = key.split("/")
        rows[case][name][part] |= taken
    for row in rows.values():
        for name in ("eqjax o3", "eqjax reps"):
            row[name]["e3nn_over_this"] = {
                part: rounded(row["e3nn"][part]["median_ms"] / taken["median_ms"])
                for part, taken in row[name].items()
                if part in ("forward", "pull_back")
            }
    return rows


def main() -> None:
    options = parser(__doc__, rounds=7).parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment(("e3nn-jax",)),
        "rounds": options.rounds,
        "rotations": NUM_ROTATIONS,
        "degrees": measure(options.rounds),
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
