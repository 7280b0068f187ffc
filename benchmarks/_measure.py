"""What several benchmarks share: times, costs of compilation, versions, the output."""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np


def peer(module: str) -> Any:
    """A peer's module, or None where it is not installed (`make bench` installs it)."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def emlp() -> Any:
    """EMLP without its layers, or None where it is not installed.

    EMLP 1.0.3 imports layers for objax, which needs an older JAX; the rest runs. So its
    modules are imported without what the package itself would import.
    """
    if "emlp" not in sys.modules:
        spec = importlib.util.find_spec("emlp")
        if spec is None:
            return None
        sys.modules["emlp"] = importlib.util.module_from_spec(spec)
        # The groups import the representations, which must come first.
        for module in ("emlp.reps", "emlp.groups"):
            importlib.import_module(module)
    return sys.modules["emlp"]


def forget(*packages: str) -> None:
    """Empties every `functools.lru_cache` of the packages."""
    for name, module in list(sys.modules.items()):
        if any(
            name == package or name.startswith(package + ".") for package in packages
        ):
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


def compiled(fn: Callable[..., Any], *args: Any) -> tuple[Any, dict[str, float]]:
    """A function compiled for its arguments, and what that took."""
    start = time.perf_counter()
    lowered = jax.jit(fn).lower(*args)
    traced = time.perf_counter()
    run = lowered.compile()
    done = time.perf_counter()
    memory, costs = run.memory_analysis(), run.cost_analysis()
    assert memory is not None
    assert costs is not None
    return run, {
        "mflop": round(costs.get("flops", float("nan")) / 1e6, 3),
        "trace_s": round(traced - start, 3),
        "compile_s": round(done - traced, 3),
        "temporary_mib": round(memory.temp_size_in_bytes / 2**20, 3),
    }


def median_times(
    functions: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    before: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Median and least milliseconds of every function, in interleaved rounds.

    A round takes the median of up to 20 calls of one function, as many as fit into 0.1
    seconds: the first call after another library's finds cold processor caches.
    `before` runs before every call and is not counted.
    """
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 1):
        gc.collect()
        for name, function in functions.items():
            taken: list[float] = []
            while len(taken) < 20 and sum(taken) < 100:
                before()
                start = time.perf_counter()
                jax.block_until_ready(function())
                taken.append(1e3 * (time.perf_counter() - start))
            samples[name].append(float(np.median(taken)))
    # The first round warms up.
    return {name: summary(taken[1:]) for name, taken in samples.items()}


def summary(milliseconds: list[float]) -> dict[str, float]:
    return {
        "median_ms": rounded(float(np.median(milliseconds))),
        "least_ms": rounded(min(milliseconds)),
    }


def rounded(number: float) -> float:
    """To four digits."""
    return float(f"{number:.4g}")


def environment(packages: tuple[str, ...]) -> dict[str, Any]:
    versions = {}
    for name in ("jax", "jaxlib", "numpy", *packages):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "versions": versions,
        "device": str(jax.devices()[0].device_kind),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def parser(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=question(doc))
    found.add_argument("--out", type=Path, help="file for the results (JSON)")
    found.add_argument("--rounds", type=int, default=rounds, help="rounds of timing")
    return found


def question(doc: str | None) -> str:
    return (doc or "").splitlines()[0]


def finish(results: Mapping[str, Any], out: Path | None) -> None:
    """Prints the results, and writes them."""
    text = json.dumps(results, indent=2)
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
