"""Fits of unseen fields by several methods: errors and seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import fits
import jax
import numpy as np
import problem
import report
import training

# Of contexts and of poses.
ADAM_RATES = ((0.01, 0.001), (0.03, 0.003), (0.1, 0.003), (0.1, 0.01))


def methods(setting: problem.Setting, field: Any, smoke: bool) -> dict[str, Callable]:
    """Fits of one field: (params, start, example, key) -> latents; the best last."""
    pairs = 16 if smoke else 1024

    def by_times(steps: int) -> Callable:
        return lambda p, z, e, key: fits.newton_on_times(
            setting, field, p, z, e, steps, pairs, 16, key
        )

    def by_residual(steps: int) -> Callable:
        return lambda p, z, e, key: fits.newton_on_residual(
            setting, field, p, z, e, steps, pairs, key
        )

    def by_both(p: Any, z: Any, e: Any, key: jax.Array) -> Any:
        return by_residual(10)(p, by_times(10)(p, z, e, key), e, key)

    if smoke:
        return {"Gauss-Newton 2, grid times": by_times(2)}
    return {
        "Gauss-Newton 10, grid times": by_times(10),
        "Gauss-Newton 10, residual": by_residual(10),
        "Gauss-Newton 10, grid times, then 10, residual": by_both,
        "Gauss-Newton 20, residual": by_residual(20),
    }


def measure(
    fit: Callable, params: Any, start: Any, test: report.Test, field: Any, *more: Any
) -> tuple[dict[str, Any], list[Any]]:
    """Errors of a method on every field, its seconds per field, and the latents.

    The key of field i is the same for every method.
    """
    run, seconds, fitted = jax.jit(fit), [], []
    for i in range(len(test.problem.speeds)):
        example = jax.tree.map(lambda leaf, i=i: leaf[i], test.problem)
        key = jax.random.fold_in(jax.random.key(99), i)
        if i == 0:
            jax.block_until_ready(run(params, start, example, key, *more))
        begin = time.perf_counter()
        fitted.append(jax.block_until_ready(run(params, start, example, key, *more)))
        seconds.append(time.perf_counter() - begin)
    full, top = report.errors(field, params, fitted, test)
    table = {
        "seconds_per_field": round(float(np.median(seconds)), 3),
        "RE": report.summary(full.relative.per_field),
        "RMAE": report.summary(full.relative_mean_absolute.per_field),
        "RE top": report.summary(top.relative.per_field),
        "RE of fields": np.round(full.relative.per_field, 5).tolist(),
        "RE top of fields": np.round(top.relative.per_field, 5).tolist(),
    }
    return table, fitted


def adam_table(
    field: Any,
    preset: training.Preset,
    params: Any,
    start: Any,
    test: report.Test,
    smoke: bool,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Adam with ever more steps, each with the best of its rates."""
    candidates = ADAM_RATES[:1] if smoke else ADAM_RATES
    for steps in (2,) if smoke else (100, 300, 1_000):

        def fit(
            p: Any, z: Any, e: Any, key: Any, rates: Any, steps: int = steps
        ) -> Any:
            return fits.adam(test.setting, field, preset, p, z, e, steps, rates, key)

        tables = {
            rates: measure(fit, params, start, test, field, rates)[0]
            for rates in candidates
        }
        # Longer runs are costly: only the two best of the next shorter one.
        candidates = sorted(tables, key=lambda r: tables[r]["RE"]["mean"])[:2]
        yield f"Adam {steps}, best rates {candidates[0]}", tables[candidates[0]]


def per_family(table: dict[str, Any], family: str) -> dict[str, dict[str, float]]:
    """Mean errors of each family's fields."""
    names = [problem.family_of(family, i) for i in range(len(table["RE of fields"]))]

    def mean(values: list[float], name: str) -> float:
        its = [v for v, n in zip(values, names, strict=True) if n == name]
        return round(float(np.mean(its)), 5)

    return {
        name: {key: mean(table[f"{key} of fields"], name) for key in ("RE", "RE top")}
        for name in dict.fromkeys(names)
    }
