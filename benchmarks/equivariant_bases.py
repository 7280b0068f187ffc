"""How fast and how accurate are bases of equivariant maps, beside EMLP's?

The maps T(p, q) -> T(p', q') of EMLP's own cases. Warm: both solve again with their
caches of solutions empty, whatever JAX compiled for EMLP kept; in one process, in
interleaved rounds, median. First: the first solve in a fresh process, groups made
before; also with what comes between the imports of jax and `eqjax.groups` and that (the
import of `eqjax.reps`, or of EMLP and its group), and the number of programs that XLA
compiled. `reps.hom` returns maps in factors, EMLP the dense basis (of sums an
operator), so `hom and basis` counts the dense basis of eqjax too.

Residuals are largest entries of rho_out(g) X - X rho_in(g) over the generators, in
float64, relative to max |X|. Spans: what the projection on the basis of eqjax leaves of
EMLP's. SU(3) acts on C^3 in EMLP and on R^6 in eqjax: two real maps are one complex.

EMLP runs in the same process, without its layers, which need an older JAX. Where it
fails, `failed` says how.

    python benchmarks/equivariant_bases.py --out \
        benchmarks/results/equivariant_bases.json
"""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from _measure import (
    emlp,
    environment,
    finish,
    forget,
    median_times,
    parser,
    question,
    rounded,
)

from eqjax import groups

PACKAGES = ("emlp", "plum-dispatch", "tqdm", "optax")
Sum = dict[tuple[int, int], int]
SCALAR: Sum = {(0, 0): 1}


class Case(NamedTuple):
    """Maps between sums of tensors: multiplicities by the rank (p, q)."""

    group: Any
    peer_group: tuple[str, tuple[int, ...]]
    rep_in: Sum
    rep_out: Sum


SO3, S5 = (groups.SO(3), ("SO", (3,))), (groups.Symmetric(5), ("S", (5,)))
SO13 = (groups.Lorentz(3), ("SO13p", ()))
CASES = {
    "SO(3), T(4)": Case(*SO3, SCALAR, {(4, 0): 1}),
    "SO(3), T(5)": Case(*SO3, SCALAR, {(5, 0): 1}),
    "SO(3), T(6)": Case(*SO3, SCALAR, {(6, 0): 1}),
    "SO(3), T(4) -> T(4)": Case(*SO3, {(4, 0): 1}, {(4, 0): 1}),
    "S_5, T(3)": Case(*S5, SCALAR, {(3, 0): 1}),
    "S_5, T(4)": Case(*S5, SCALAR, {(4, 0): 1}),
    "S_5, T(6)": Case(*S5, SCALAR, {(6, 0): 1}),
    "S_5, 10 T(1) + 5 T(2) -> 3 T(0) + T(2)": Case(
        *S5, {(1, 0): 10, (2, 0): 5}, {(0, 0): 3, (2, 0): 1}
    ),
    "SO+(1,3), T(1) -> T(2,1)": Case(*SO13, {(1, 0): 1}, {(2, 1): 1}),
    "O(1,3), T(1) -> T(2,1)": Case(
        groups.Lorentz(3, "all"), ("Lorentz", ()), {(1, 0): 1}, {(2, 1): 1}
    ),
    "SO+(1,3), T(3,2)": Case(*SO13, SCALAR, {(3, 2): 1}),
    "Sp(2), T(4)": Case(groups.Sp(2), ("Sp", (2,)), SCALAR, {(4, 0): 1}),
    "SU(3), T(1,1)": Case(groups.SU(3), ("SU", (3,)), SCALAR, {(1, 1): 1}),
}


def solve(case: Case) -> Any:
    """The maps by eqjax."""
    from eqjax import reps

    v = reps.standard(case.group)

    def tensors(terms: Sum) -> Any:
        total = None
        for (p, q), count in terms.items():
            factors = [v] * p + [v.dual] * q or [reps.trivial(case.group)]
            term = functools.reduce(lambda a, b: a * b, factors)
            term = count * term if count > 1 else term
            total = term if total is None else total + term
        return total

    return reps.hom(tensors(case.rep_in), tensors(case.rep_out))


def peer_group(case: Case) -> Any:
    name, arguments = case.peer_group
    return getattr(emlp().groups, name)(*arguments)


def peer_solve(case: Case, group: Any) -> Any:
    """The basis by EMLP: columns, or an operator that has them."""
    tensor = emlp().reps.T

    def tensors(terms: Sum) -> Any:
        found = [count * tensor(p, q)(group) for (p, q), count in terms.items()]
        return functools.reduce(lambda a, b: a + b, found)

    basis = (tensors(case.rep_in) >> tensors(case.rep_out)).equivariant_basis()
    return jax.block_until_ready(basis) if isinstance(basis, jax.Array) else basis


def forget_solutions() -> None:
    forget("eqjax.reps", "emlp.reps")
    if emlp() is not None:
        emlp().reps.representation.Rep.solcache.clear()


# Accuracy ----------------------------------------------------------------------------


def tensors_of(maps: np.ndarray, case: Case, degree: int) -> Iterator[Any]:
    """Ranks and block (maps, rows, columns) of each result by each argument."""
    row = 0
    for (p, q), count in case.rep_out.items():
        for _ in range(count):
            height, column = degree ** (p + q), 0
            for (r, s), copies in case.rep_in.items():
                for _ in range(copies):
                    width = degree ** (r + s)
                    block = maps[:, row : row + height, column : column + width]
                    # A dual argument counts as a vector.
                    yield (p, q + r, s), block
                    column += width
            row += height


def moved(tensor: np.ndarray, ranks: tuple[int, ...], m: np.ndarray, lie: bool) -> Any:
    """A tensor moved by a group element minus itself, or by an algebra element."""
    p, q, s = ranks
    dual = -m.T if lie else np.linalg.inv(m).T
    matrices = [m] * p + [dual] * q + [m] * s
    shape = (len(tensor), *[len(m)] * len(matrices))
    tensor = tensor.reshape(shape)
    total = np.zeros_like(tensor) if lie else tensor
    for axis, matrix in enumerate(matrices, start=1):
        source = tensor if lie else total
        turned = np.moveaxis(np.tensordot(matrix, source, (1, axis)), 0, axis)
        total = total + turned if lie else turned
    return total if lie else total - tensor


def residual(maps: np.ndarray, case: Case, real: bool) -> float:
    """Of maps (count, rows, columns), by the group's generators."""
    generators = case.group.generators
    worst = 0.0
    for lie, matrices in ((True, generators.lie), (False, generators.discrete)):
        for m in matrices:
            if real and np.iscomplexobj(m):
                m = np.block([[m.real, -m.imag], [m.imag, m.real]])
            for ranks, block in tensors_of(maps, case, len(m)):
                error = moved(block, ranks, m, lie)
                worst = max(worst, float(np.max(np.abs(error), initial=0.0)))
    return worst / float(np.max(np.abs(maps), initial=1e-300)) if len(maps) else 0.0


def dense(basis: Any, case: Case, degree: int) -> np.ndarray:
    """EMLP's basis as maps (count, rows, columns)."""
    columns = basis if hasattr(basis, "__array__") else basis @ np.eye(basis.shape[1])
    columns = np.asarray(columns)
    wide = columns.astype(complex if np.iscomplexobj(columns) else float)
    width = sum(count * degree ** (p + q) for (p, q), count in case.rep_in.items())
    return wide.T.reshape(columns.shape[1], len(columns) // width, width)


# Fresh processes ---------------------------------------------------------------------


def first_call(side: str, name: str) -> dict[str, Any]:
    """In a process that has imported jax, NumPy and `eqjax.groups` only."""
    case = CASES[name]
    compilations = []

    def count(event: str, duration_secs: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(count)
    start = time.perf_counter()
    group = case.group
    if side == "eqjax":
        importlib.import_module("eqjax.reps")
    else:
        group = peer_group(case)
    imported, at_import = time.perf_counter(), len(compilations)
    try:
        _ = solve(case) if side == "eqjax" else peer_solve(case, group)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:300]}
    done = time.perf_counter()
    return {
        "import_ms": rounded(1e3 * (imported - start)),
        "first_ms": rounded(1e3 * (done - imported)),
        "import_and_first_ms": rounded(1e3 * (done - start)),
        "compilations_at_import": at_import,
        "compilations": len(compilations) - at_import,
    }


def fresh(side: str, name: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--first", side, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# Measurement -------------------------------------------------------------------------


def measure(name: str, rounds: int, processes: int) -> dict[str, Any]:
    case = CASES[name]
    maps = solve(case)
    basis = maps.basis
    rows: dict[str, Any] = {
        "unknowns": maps.rep_in.dim * maps.rep_out.dim,
        "maps": maps.num_maps,
        "method": maps.method,
        "eqjax": {"residual": residual(basis, case, real=True)},
    }
    functions: dict[str, Callable[[], Any]] = {
        "eqjax": lambda: solve(case),
        "eqjax hom and basis": lambda: solve(case).basis,
    }
    if emlp() is not None:
        rows["emlp"] = peer_row = {}
        group = peer_group(case)
        try:
            found = peer_solve(case, group)
        except Exception as error:
            peer_row["failed"] = f"{type(error).__name__}: {error}"[:300]
        else:
            matrices = (*case.group.generators.lie, *case.group.generators.discrete)
            theirs = dense(found, case, len(matrices[0]))
            peer_row["maps"] = len(theirs)
            peer_row["residual"] = residual(theirs, case, real=False)
            is_complex = np.iscomplexobj(theirs)
            rows["maps_agree"] = maps.num_maps == len(theirs) * (1 + is_complex)
            if len(theirs) and not is_complex:
                flat, ours = (
                    array.reshape(len(array), -1) for array in (theirs, basis)
                )
                left = flat - (flat @ ours.T) @ ours
                rows["spans_differ_by"] = float(np.max(np.abs(left)))
            functions["emlp"] = lambda: peer_solve(case, group)
    for side, taken in median_times(functions, rounds, before=forget_solutions).items():
        rows[side] = {**rows.get(side, {}), **taken}
    for side in ("eqjax", "emlp"):
        if side in functions:
            # EMLP's first calls take seconds, so one of them will do.
            count = processes if side == "eqjax" else 1
            calls = [fresh(side, name) for _ in range(count)]
            for key in calls[0]:
                rows[side][key] = rounded(float(np.median([c[key] for c in calls])))
    if "emlp" in functions:
        ours, theirs = rows["eqjax"], rows["emlp"]
        with_basis = rows["eqjax hom and basis"]["median_ms"]
        rows["emlp_over_eqjax"] = {
            "warm": rounded(theirs["median_ms"] / ours["median_ms"]),
            "warm, with basis": rounded(theirs["median_ms"] / with_basis),
            "first": rounded(theirs["first_ms"] / ours["first_ms"]),
        }
    return rows


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options.add_argument(
        "--processes", type=int, default=3, help="fresh processes per case of eqjax"
    )
    # What a fresh process is started with.
    options.add_argument("--first", nargs=2, metavar=("SIDE", "CASE"))
    chosen = options.parse_args()
    if chosen.first:
        print(json.dumps(first_call(*chosen.first)))
        return
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": chosen.rounds,
        "fresh_processes": {"eqjax": chosen.processes, "emlp": 1},
        "cases": {
            name: measure(name, chosen.rounds, chosen.processes)
            for name in chosen.cases
        },
    }
    finish(results, chosen.out)


if __name__ == "__main__":
    main()
