"""What do exp, log, products, actions and adjoints cost and keep, beside jaxlie?

SO(2), SO(3), SE(2), SE(3), float32, jitted, 10,000 elements by vmap: each operation,
and the gradient of the sum of squares of its result with respect to all its arguments.
Elements are each library's own: angles in eqjax and unit complex numbers in jaxlie for
SO(2) and SE(2), quaternions (w, x, y, z) for SO(3) and SE(3) in both. One process,
interleaved rounds, median; compilation apart.

Errors, float64: the largest |log(exp v) - v| over 2,000 v whose angle is near 0 (1e-12
to 1e-2), near pi (pi - 1e-2 to pi - 1e-12) or up to 3, and at the angle 0; the same for
the derivative, |d log(exp v)/dv - 1|; and how many numbers are not finite.

    python benchmarks/group_ops.py --out benchmarks/results/group_ops.json
"""

from __future__ import annotations

import functools
from collections.abc import Callable
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
    peer,
    question,
    rounded,
)

from eqjax import groups

GROUPS = {
    "SO(2)": groups.SO(2),
    "SO(3)": groups.SO(3),
    "SE(2)": groups.SE(2),
    "SE(3)": groups.SE(3),
}
OPERATIONS = ("exp", "log", "compose", "act", "adjoint")
PACKAGES = ("jaxlie", "jax-dataclasses")


class Ours:
    """The operations of a group of eqjax."""

    def __init__(self, name: str) -> None:
        group = GROUPS[name]
        self.exp, self.log, self.compose = group.exp, group.log, group.compose
        self.act, self.adjoint, self.matrix = group.act, group.adjoint, group.matrix


class Theirs:
    """The same of jaxlie, on plain arrays of parameters."""

    def __init__(self, name: str) -> None:
        self.kind = getattr(peer("jaxlie"), name.replace("(", "").replace(")", ""))

    def exp(self, v: Any) -> Any:
        return self.kind.exp(v).parameters()

    def log(self, a: Any) -> Any:
        return self.kind(a).log()

    def compose(self, a: Any, b: Any) -> Any:
        return self.kind(a).multiply(self.kind(b)).parameters()

    def act(self, a: Any, x: Any) -> Any:
        return self.kind(a).apply(x)

    def adjoint(self, a: Any) -> Any:
        return self.kind(a).adjoint()

    def matrix(self, a: Any) -> Any:
        return self.kind(a).as_matrix()


def libraries() -> dict[str, Any]:
    return {"eqjax": Ours} | ({"jaxlie": Theirs} if peer("jaxlie") else {})


def tangents(name: str, angles: np.ndarray, seed: int = 0) -> np.ndarray:
    """Random tangent vectors with these angles of rotation."""
    random, group = np.random.default_rng(seed), GROUPS[name]
    turns = 1 if group.degree == 2 else 3
    axis = random.normal(size=(len(angles), turns))
    axis = axis / np.linalg.norm(axis, axis=1, keepdims=True)
    shifts = random.normal(size=(len(angles), group.dim - turns))
    return np.concatenate([shifts, angles[:, None] * axis], axis=1)


def measure(name: str, count: int, rounds: int) -> dict[str, Any]:
    angles = np.random.default_rng(1).uniform(0.1, 3, count)
    v, w = (jnp.asarray(tangents(name, angles, i), jnp.float32) for i in (0, 1))
    x = jax.random.normal(jax.random.key(0), (count, GROUPS[name].degree))
    rows: dict[str, Any] = {}
    functions: dict[str, Callable[[], Any]] = {}
    matrices = []
    for library, make in libraries().items():
        group = make(name)
        a, b = jax.vmap(group.exp)(v), jax.vmap(group.exp)(w)
        matrices.append(np.asarray(jax.vmap(group.matrix)(a)))
        arguments = {"exp": (v,), "compose": (a, b), "act": (a, x)}
        for operation in OPERATIONS:
            args = arguments.get(operation, (a,))
            call = getattr(group, operation)
            for part, fn in (("forward", call), ("gradient", gradient(call, args))):
                run, costs = compiled(jax.vmap(fn), *args)
                row = rows.setdefault(operation, {}).setdefault(part, {})
                row[library] = costs
                key = f"{operation}/{part}/{library}"
                functions[key] = functools.partial(run, *args)
    for key, taken in median_times(functions, rounds).items():
        operation, part, library = key.split("/")
        rows[operation][part][library] |= taken
    for parts in rows.values():
        for part in parts.values():
            if "jaxlie" in part:
                ratio = part["jaxlie"]["median_ms"] / part["eqjax"]["median_ms"]
                part["jaxlie_over_eqjax"] = rounded(ratio)
    if len(matrices) == 2:
        rows["difference_of_exp"] = float(np.max(np.abs(matrices[0] - matrices[1])))
    return rows


def gradient(fn: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
    def square(*args: Any) -> Any:
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(fn(*args)))

    return jax.grad(square, tuple(range(len(args))))


def errors(name: str) -> dict[str, Any]:
    small = np.logspace(-12, -2, 2000)
    cases = {
        "near 0": small,
        "near pi": np.pi - small,
        "up to 3": np.random.default_rng(0).uniform(0, 3, 2000),
        "0": np.zeros(1),
    }
    rows: dict[str, Any] = {}
    for library, make in libraries().items():
        group = make(name)

        def trip(v: Any, group: Any = group) -> Any:
            return group.log(group.exp(v))

        run = jax.jit(jax.vmap(lambda v, trip=trip: (trip(v), jax.jacobian(trip)(v))))
        rows[library] = {}
        for case, angles in cases.items():
            v = tangents(name, angles)
            back, slope = (np.asarray(part) for part in run(v))
            change = np.abs(slope - np.eye(v.shape[1]))
            rows[library][case] = {
                "value": float(np.max(np.abs(back - v))),
                "derivative": float(np.max(change)),
                "not_finite": sum(int(np.sum(~np.isfinite(x))) for x in (back, slope)),
            }
    return rows


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--count", type=int, default=10_000, help="elements")
    chosen = options.parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": chosen.rounds,
        "elements": chosen.count,
        "times": {name: measure(name, chosen.count, chosen.rounds) for name in GROUPS},
    }
    with jax.enable_x64(True):
        results["errors_float64"] = {name: errors(name) for name in GROUPS}
    finish(results, chosen.out)


if __name__ == "__main__":
    main()
