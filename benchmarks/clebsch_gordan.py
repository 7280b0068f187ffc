"""Do coefficients and matrices of SO(3) agree with e3nn's, and what do they cost?

All couplings of degrees up to 6, `reps.clebsch_gordan` against e3nn_jax and lie-nn,
float64, times with the caches of all empty; also the first one, in a fresh process.
eqjax and lie-nn give coefficients whose squares sum to the dimension of the result,
e3nn to 1, so e3nn's are multiplied by its root. Then two couplings that e3nn has not:
8 x 8 -> 8 of SU(3), and vector x vector -> traceless symmetric of SO+(1,3). Bases
differ there, so each is measured by the residual of its own generators. lie-nn has two
ways, a general solver and tables.

Matrices: 1,000 uniform rotations, degrees up to 8. The difference from e3nn in float64;
those of both in float32 (of quaternions rounded to it) from eqjax in float64; and
times, float32, jitted, of quaternions, by vmap, with compilation apart.

    python benchmarks/clebsch_gordan.py --out benchmarks/results/clebsch_gordan.json
"""

from __future__ import annotations

import functools
import subprocess
import sys
import time
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
    forget,
    median_times,
    parser,
    peer,
    question,
    rounded,
)

from eqjax import groups, reps

SO3 = groups.SO(3)
TRIPLES = [
    (a, b, c)
    for a in range(7)
    for b in range(7)
    for c in range(abs(a - b), min(a + b, 6) + 1)
]
DEGREES = (1, 2, 3, 4, 6, 8)
NUM_ROTATIONS = 1000
PACKAGES = ("e3nn-jax", "lie-nn", "multipledispatch")


def by_eqjax(a: int, b: int, c: int) -> np.ndarray:
    """Axes as e3nn has them: a, b, c."""
    irreps = [reps.irrep(SO3, l) for l in (a, b, c)]
    return reps.clebsch_gordan(*irreps)[0].transpose(1, 2, 0)


def by_e3nn(a: int, b: int, c: int) -> np.ndarray:
    return e3nn_jax.clebsch_gordan(a, b, c) * np.sqrt(2 * c + 1)


def by_lie_nn(a: int, b: int, c: int) -> np.ndarray:
    so3 = peer("lie_nn").irreps.SO3
    return so3.clebsch_gordan(so3(a), so3(b), so3(c))[0]


def solvers() -> dict[str, Callable[..., np.ndarray]]:
    found: dict[str, Callable[..., np.ndarray]] = {"eqjax": by_eqjax, "e3nn": by_e3nn}
    return found | ({"lie-nn": by_lie_nn} if peer("lie_nn") else {})


def coefficients(rounds: int) -> dict[str, Any]:
    rows: dict[str, Any] = {name: {} for name in solvers()}
    for name, solve in solvers().items():
        worst = [
            float(np.max(np.abs(solve(*triple) - by_eqjax(*triple))))
            for triple in TRIPLES
        ]
        rows[name]["difference"] = max(worst)
        command = [sys.executable, __file__, "--first", name]
        first = [
            float(subprocess.run(command, capture_output=True, check=True).stdout)
            for _ in range(3)
        ]
        rows[name]["first_of_1_1_2_ms"] = rounded(float(np.median(first)))
    functions = {
        name: lambda solve=solve: [solve(*triple) for triple in TRIPLES]
        for name, solve in solvers().items()
    }
    for name, taken in median_times(functions, rounds, before=forget_all).items():
        rows[name] |= taken
    return {"couplings": len(TRIPLES), **rows}


def forget_all() -> None:
    forget("eqjax.reps", "e3nn_jax", "lie_nn")


# Other groups ------------------------------------------------------------------------


def residual(c: np.ndarray, generators: list[np.ndarray]) -> float:
    """Of coefficients (copies, c, a, b) by generators of a, b, c, each (k, d, d)."""
    a, b, result = generators
    moved = np.einsum("kic,ncab->kniab", result, c)
    moved = moved - np.einsum("ncaj,kjb->kncab", c, b)
    moved = moved - np.einsum("ncjb,kja->kncab", c, a)
    return float(np.max(np.abs(moved)) / np.max(np.abs(c)))


def lie_nn_solver(a: Any, b: Any, c: Any) -> np.ndarray:
    """The way that lie-nn takes for representations without a table."""
    lie_nn = peer("lie_nn")
    return lie_nn.clebsch_gordan(lie_nn.GenericRep.from_rep(a), b, c)


def other_groups(rounds: int) -> dict[str, Any]:
    cases: dict[str, tuple[Any, list[Any], str, list[Any]]] = {
        "SU(3), 8 x 8 -> 8": (groups.SU(3), [(1, 1)] * 3, "SU3", [((2, 1, 0),)] * 3),
        "SO+(1,3), vector x vector -> traceless symmetric": (
            groups.Lorentz(3),
            [(0.5, 0.5), (0.5, 0.5), (1, 1)],
            "SO13",
            [(1, 1), (1, 1), (2, 2)],
        ),
    }
    rows: dict[str, Any] = {}
    for name, (group, labels, peer_name, peer_labels) in cases.items():
        row: dict[str, Any] = {"eqjax": {}}
        functions: dict[str, Callable[[], Any]] = {}

        def ours(group: Any = group, labels: Any = labels) -> Any:
            irreps = [reps.irrep(group, label) for label in labels]
            return reps.clebsch_gordan(*irreps), [ir.generators.lie for ir in irreps]

        functions["eqjax"] = ours
        if peer("lie_nn"):
            kind = getattr(peer("lie_nn").irreps, peer_name)

            def theirs(solve: Any, kind: Any = kind, labels: Any = peer_labels) -> Any:
                irreps = [kind(*label) for label in labels]
                found = solve(*irreps).transpose(0, 3, 1, 2)
                return found, [irrep.continuous_generators() for irrep in irreps]

            functions["lie-nn, solver"] = functools.partial(theirs, lie_nn_solver)
            functions["lie-nn, table"] = functools.partial(theirs, kind.clebsch_gordan)
        for side, function in functions.items():
            found, generators = function()
            row[side] = {
                "copies": len(found),
                "residual": residual(found, generators),
            }
        for side, taken in median_times(functions, rounds, before=forget_all).items():
            row[side] |= taken
        rows[name] = row
    return rows


# Matrices ----------------------------------------------------------------------------


def wigner(l: int) -> dict[str, Callable[[Any], Any]]:
    """Name to matrix of degree l of one quaternion."""
    return {
        "eqjax": reps.irrep(SO3, l).rho,
        "e3nn": e3nn_jax.Irrep(l, 1).D_from_quaternion,
    }


def rotations() -> np.ndarray:
    """Unit quaternions."""
    q = np.random.default_rng(0).normal(size=(NUM_ROTATIONS, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def matrix_errors() -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for l in DEGREES:
        found = {}
        for dtype in ("float64", "float32"):
            with jax.enable_x64(dtype == "float64"):
                q = jnp.asarray(rotations(), dtype)
                for name, matrix in wigner(l).items():
                    d = jax.jit(jax.vmap(matrix))(q)
                    found[name, dtype] = np.asarray(d, float)
        exact = found["eqjax", "float64"]
        rows[f"l = {l}"] = {
            f"{name} {dtype}": float(np.max(np.abs(d - exact)))
            for (name, dtype), d in found.items()
            if (name, dtype) != ("eqjax", "float64")
        }
    return rows


def matrix_times(rounds: int) -> dict[str, Any]:
    q = jnp.asarray(rotations(), jnp.float32)
    rows: dict[str, Any] = {}
    functions: dict[str, Callable[[], Any]] = {}
    for l in DEGREES:
        for name, matrix in wigner(l).items():
            run, costs = compiled(jax.vmap(matrix), q)
            rows[f"{name}, l = {l}"] = costs
            functions[f"{name}, l = {l}"] = functools.partial(run, q)
    for name, taken in median_times(functions, rounds).items():
        rows[name] |= taken
    return rows


def main() -> None:
    options = parser(__doc__, rounds=5)
    # What a fresh process is started with.
    options.add_argument("--first", choices=("eqjax", "e3nn", "lie-nn"))
    chosen = options.parse_args()
    if chosen.first:
        solve = solvers()[chosen.first]
        start = time.perf_counter()
        solve(1, 1, 2)
        print(1e3 * (time.perf_counter() - start))
        return
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": chosen.rounds,
        "coefficients_so3": coefficients(chosen.rounds),
        "coefficients_of_other_groups": other_groups(chosen.rounds),
        "wigner_errors": matrix_errors(),
        "wigner_times": matrix_times(chosen.rounds),
    }
    finish(results, chosen.out)


if __name__ == "__main__":
    main()
