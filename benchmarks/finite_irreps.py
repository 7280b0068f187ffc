"""How fast and how accurate are real irreps of finite groups, beside escnn's?

Cold: with all caches of eqjax empty, the elements and the table are made from the
generators, and all irreps from the table, with the matrices of every element. Two ways:
`reps.finite_irreps` from the table alone, and `reps.irreps` with the matrices of the
generators, which for S_n takes Young's orthogonal form. Median; and the first call in a
fresh process.

`error` is the largest entry of D(a) D(b) - D(a b) over all pairs; `squares` the sum of
dim^2 / type, which is the order; types are 1 (real), 2 (complex), 4 (quaternionic).

escnn needs torch and NumPy before 2, so it runs in its own process and environment, its
caches of groups and on disk emptied before every round; it has no S_5 and no Q8:

    python -m venv /tmp/escnn && /tmp/escnn/bin/pip install escnn torch "numpy<2"
    python benchmarks/finite_irreps.py --escnn /tmp/escnn/bin/python \\
        --out benchmarks/results/finite_irreps.json

(its dependency py3nj is compiled with gfortran). Without `--escnn`, only eqjax runs.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import (
    environment,
    finish,
    forget,
    median_times,
    parser,
    question,
    rounded,
)

from eqjax import groups, reps

# Generators of A_5: a cycle of five and one of three. Those of Q8: the regular
# representation of i and j.
GROUPS: dict[str, Callable[[], Any]] = {
    "A_5": lambda: groups.FiniteGroup(((1, 2, 3, 4, 0), (1, 2, 0, 3, 4))),
    "S_5": lambda: groups.Symmetric(5),
    "Q8": lambda: groups.FiniteGroup(
        ((1, 2, 3, 0, 5, 6, 7, 4), (4, 7, 6, 5, 2, 1, 0, 3))
    ),
    "O": lambda: groups.Polyhedral("octahedral"),
    "O_h": lambda: groups.Polyhedral("octahedral", inversion=True),
    "I": lambda: groups.Polyhedral("icosahedral"),
    "I_h": lambda: groups.Polyhedral("icosahedral", inversion=True),
}
ESCNN = {"O": "octa_group", "O_h": "full_octa_group", "I": "ico_group"}
ESCNN["I_h"] = "full_ico_group"

# Runs in the environment of escnn: prints versions and a row per group.
ESCNN_PROGRAM = """
import contextlib, io, json, platform, sys, time
start = time.perf_counter()
import escnn.group as group
import numpy, torch
from importlib import metadata
from escnn.group.groups import ico, octa
imported = time.perf_counter() - start

def forget():
    for module in (ico, octa):
        module.cache.clear(warn=False)
    ico.Icosahedral._cached_group_instance = None
    octa.Octahedral._cached_group_instance = None
    group.DirectProductGroup._cached_group_instance.clear()

names, rounds = json.loads(sys.argv[1]), int(sys.argv[2])
rows = {}
for name, make in names.items():
    taken = []
    for _ in range(rounds):
        with contextlib.redirect_stdout(io.StringIO()):
            forget()
            start = time.perf_counter()
            made = getattr(group, make)()
            irreps = made.irreps()
            taken.append(1e3 * (time.perf_counter() - start))
    elements = list(made.elements)
    random = numpy.random.default_rng(0)
    error = 0.0
    for i, j in random.integers(len(elements), size=(200, 2)):
        a, b = elements[i], elements[j]
        for irrep in irreps:
            error = max(error, abs(irrep(a) @ irrep(b) - irrep(a @ b)).max())
    types = {"R": 1, "C": 2, "H": 4}
    rows[name] = {
        "irreps": sorted([irrep.size, types[irrep.type]] for irrep in irreps),
        "error_on_200_pairs": float(error),
        "first_ms": round(taken[0], 1),
        "median_ms": round(float(numpy.median(taken)), 1),
        "least_ms": round(min(taken), 1),
    }
versions = {key: metadata.version(key) for key in ("escnn", "torch", "numpy")}
results = {"python": platform.python_version(), "versions": versions}
results |= {"process": "its own", "import_s": round(imported, 2), "groups": rows}
print(json.dumps(results))
"""


def by_table(name: str) -> Any:
    return reps.finite_irreps(GROUPS[name]().tables.product)


def by_irreps(name: str) -> Any:
    found = reps.irreps(GROUPS[name]())
    return [(irrep, irrep.generators) for irrep in found]


def quality(name: str) -> dict[str, Any]:
    """Of `finite_irreps`, by all pairs of elements."""
    product = GROUPS[name]().tables.product
    irreps = by_table(name)
    error = 0.0
    for irrep in irreps:
        d = irrep.matrices
        pairs = np.einsum("aij,bjk->abik", d, d, optimize=True)
        error = max(error, float(np.max(np.abs(pairs - d[product]))))
    kinds = [(irrep.matrices.shape[1], irrep.commutant_dim) for irrep in irreps]
    return {
        "order": len(product),
        "irreps": sorted(kinds),
        "squares": sum(dim**2 / kind for dim, kind in kinds),
        "error": error,
    }


def fresh(name: str) -> float:
    """Milliseconds of the first call in a fresh process, imports not counted."""
    command = [sys.executable, __file__, "--first", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def escnn(python: Path | None, rounds: int) -> dict[str, Any]:
    if python is None:
        return {"skipped": "no `--escnn PYTHON` was given"}
    command = [str(python), "-c", ESCNN_PROGRAM, json.dumps(ESCNN), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout.splitlines()[-1])


def measure(rounds: int, processes: int) -> dict[str, Any]:
    rows = {name: quality(name) for name in GROUPS}
    for key, solve in (("reps.finite_irreps", by_table), ("reps.irreps", by_irreps)):
        functions = {name: functools.partial(solve, name) for name in GROUPS}
        for name, taken in median_times(functions, rounds, before=forget_all).items():
            rows[name][key] = taken
    for name, row in rows.items():
        first = [fresh(name) for _ in range(processes)]
        row["reps.finite_irreps"]["first_ms"] = rounded(float(np.median(first)))
    return rows


def forget_all() -> None:
    forget("eqjax.groups", "eqjax.reps")


def main() -> None:
    options = parser(__doc__, rounds=7)
    options.add_argument("--escnn", type=Path, help="Python of an environment with it")
    options.add_argument("--escnn-rounds", type=int, default=3)
    options.add_argument("--processes", type=int, default=3, help="fresh ones, a group")
    # What a fresh process is started with.
    options.add_argument("--first", choices=GROUPS)
    chosen = options.parse_args()
    if chosen.first:
        start = time.perf_counter()
        by_table(chosen.first)
        print(1e3 * (time.perf_counter() - start))
        return
    results = {
        "question": question(__doc__),
        "environment": environment(()),
        "rounds": chosen.rounds,
        "fresh_processes": chosen.processes,
        "eqjax": measure(chosen.rounds, chosen.processes),
        "escnn": escnn(chosen.escnn, chosen.escnn_rounds),
    }
    finish(results, chosen.out)


if __name__ == "__main__":
    main()
