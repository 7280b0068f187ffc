"""Makes the page of the docs from the results of all benchmarks `o3_*`.

Reads `benchmarks/results/o3_*.json`. A row is a case that has, for each library, the
keys "forward" and "pull_back" with "median_ms"; results without such rows are left out.
A library whose name begins with "eqjax" is ours, with "e3nn" is e3nn, any other is
another peer. The mark * is for another function than the rest of its row.

    python benchmarks/_o3_table.py --out docs/o3_benchmarks.md
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

RESULTS = Path(__file__).parent / "results"
PARTS = ("forward", "pull_back")
# Where a library has the suffix, the same name without it is the other layout.
COMPONENT_FIRST, BATCH_FIRST = ", component first", ", batch first"
# Not what the rest of the row is about, without a mark in the results.
OTHER_FUNCTIONS = ("e3nn elementwise", "eqjax SwiGLU-S2")
SYMBOLS = {
    "max_degree": "L",
    "max_degree_out": "L_out",
    "channels": "C",
    "batch": "B",
    "edges": "E",
    "vectors": "B",
    "rotations": "B",
}
LEFT_OUT = ("paths", "float64_error")

HEAD = """# Speed of `o3`

Times in milliseconds, forward / pull-back: the pull-back alone, with the cotangents of
all arguments. Medians of interleaved rounds in one process, float32, jitted. e3nn: its
fastest form for each direction, where several were timed. Other: the fastest of the
other peers, with its name. Ours: on arrays with the batch in front, and component
first, by `jax.vmap(.., in_axes=1, out_axes=1)`. Ratio: the time of e3nn over ours,
above 1 we are faster. Compilation and temporary memory are those of the pull-back.
These, and the time of value and gradient together, are those of arrays with the batch
in front, in parentheses of e3nn's fastest form. The error is the largest difference
from float64.
The mark * is for another function, mostly with fewer weights; it takes no part in
fastest forms.

Only ratios carry over to another machine, and only to one of the same kind."""
COLUMNS = (
    "case",
    "ours",
    "e3nn",
    "other",
    "batch first",
    "component first",
    "ratio, batch first",
    "ratio, component first",
    "value and gradient",
    "compile s",
    "memory MiB",
    "error",
)


@dataclass(frozen=True)
class Ours:
    """One of our methods in both layouts, by the names of a row."""

    method: str
    batch_first: str | None
    component_first: str | None

    @property
    def name(self) -> str:
        """The one whose costs are reported."""
        name = self.batch_first or self.component_first
        assert name is not None
        return name


# Reading -----------------------------------------------------------------------------


def is_library(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(value.get(part), Mapping) and "median_ms" in value[part]
        for part in PARTS
    )


def libraries(row: Row) -> list[str]:
    return [name for name, value in row.items() if is_library(value)]


def rows_of(results: Mapping[str, Any]) -> Iterator[tuple[str, Row]]:
    """Label and row of each case, in a list or under the label in a mapping."""
    for found in results.values():
        if isinstance(found, Mapping):
            cases = list(found.items())
        elif isinstance(found, list):
            cases = [("", row) for row in found]
        else:
            continue
        for label, row in cases:
            if isinstance(row, Mapping) and libraries(row):
                yield label or case_label(row, results), row


def case_label(row: Row, results: Mapping[str, Any]) -> str:
    """Its own facts, and sizes that all cases share."""
    shared = {key: results[key] for key in SYMBOLS if key in results}
    parts = []
    for key, value in {**row, **shared}.items():
        if key in LEFT_OUT or value is None or value is False:
            continue
        if value is True:
            parts.append(key.replace("_", " "))
        elif isinstance(value, int):
            parts.append(f"{SYMBOLS.get(key, key)}={value}")
        elif isinstance(value, str):
            parts.append(value if key in ("operation", "mode") else f"{key} {value}")
    return ", ".join(parts)


def ours_of(names: list[str]) -> list[Ours]:
    found: dict[str, Ours] = {}
    for name in names:
        if not name.startswith("eqjax"):
            continue
        method = name.removesuffix(COMPONENT_FIRST).removesuffix(BATCH_FIRST)
        if method + COMPONENT_FIRST in names:
            found[method] = Ours(
                method,
                method if method in names else None,
                method + COMPONENT_FIRST,
            )
        elif method + BATCH_FIRST in names:
            found[method] = Ours(
                method, method + BATCH_FIRST, method if method in names else None
            )
        elif any(other.endswith(BATCH_FIRST) for other in names):
            found[method] = Ours(method, None, method)
        else:
            found[method] = Ours(method, method, None)
    return list(found.values())


def peers_of(names: list[str], *, e3nn: bool) -> list[str]:
    return [
        name
        for name in names
        if not name.startswith("eqjax")
        and name.startswith("e3nn") == e3nn
        and not name.endswith("*")
        and name not in OTHER_FUNCTIONS
    ]


def time_of(row: Row, name: str, part: str) -> float:
    return float(row[name][part]["median_ms"])


def fastest(row: Row, names: list[str], part: str) -> str | None:
    return min(names, key=lambda name: time_of(row, name, part), default=None)


def cost(row: Row, name: str | None, key: str) -> float | None:
    """Of a library as a whole, or of its pull-back."""
    if name is None:
        return None
    value = row[name].get(key, row[name]["pull_back"].get(key))
    return float(value) if isinstance(value, int | float) else None


# Writing -----------------------------------------------------------------------------


def short(number: float | None) -> str:
    """To three digits, without an exponent where it reads well."""
    if number is None or not math.isfinite(number):
        return "-"
    if number == 0 or 1e-3 <= abs(number) < 1e5:
        digits = 2 - (math.floor(math.log10(abs(number))) if number else 0)
        text = f"{round(number, digits):.{max(digits, 0)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{number:.0e}"


def both(parts: list[str]) -> str:
    return "-" if set(parts) == {"-"} else " / ".join(parts)


def times(row: Row, name: str | None) -> str:
    if name is None:
        return "-"
    return both([short(time_of(row, name, part)) for part in PARTS])


def fastest_times(row: Row, names: list[str], *, named: bool) -> str:
    chosen = [fastest(row, names, part) for part in PARTS]
    parts = [
        "-" if name is None else short(time_of(row, name, part))
        for name, part in zip(chosen, PARTS, strict=True)
    ]
    forms = dict.fromkeys(form_of(name) for name in chosen if name is not None)
    kinds = " / ".join(forms)
    return f"{both(parts)} ({kinds})" if named and kinds else both(parts)


def form_of(name: str) -> str:
    """Of e3nn, whose name stands above."""
    return name.removeprefix("e3nn").strip(", ") or "plain"


def ratios(row: Row, e3nn: list[str], name: str | None) -> str:
    if name is None or not e3nn:
        return "-"
    return both(
        [
            short(
                min(time_of(row, form, part) for form in e3nn)
                / time_of(row, name, part)
            )
            for part in PARTS
        ]
    )


def value_and_gradient(row: Row, ours: str, e3nn: list[str]) -> str:
    part = "value_and_gradient"
    if part not in row[ours]:
        return "-"
    there = min((time_of(row, name, part) for name in e3nn), default=None)
    return f"{short(time_of(row, ours, part))} ({short(there)})"


def with_e3nn(row: Row, ours: str, e3nn: list[str], key: str) -> str:
    there = cost(row, fastest(row, e3nn, "pull_back"), key)
    text = short(cost(row, ours, key))
    return text if there is None else f"{text} ({short(there)})"


def lines_of(label: str, row: Row) -> Iterator[tuple[str, ...]]:
    names = libraries(row)
    e3nn, others = peers_of(names, e3nn=True), peers_of(names, e3nn=False)
    for ours in ours_of(names):
        method = ours.method.removeprefix("eqjax").strip(", ") or "-"
        if ours.method in OTHER_FUNCTIONS:
            method += "*"
        yield (
            label,
            method.replace("*", r"\*"),
            fastest_times(row, e3nn, named=len(e3nn) > 1),
            fastest_times(row, others, named=True),
            times(row, ours.batch_first),
            times(row, ours.component_first),
            ratios(row, e3nn, ours.batch_first),
            ratios(row, e3nn, ours.component_first),
            value_and_gradient(row, ours.name, e3nn),
            with_e3nn(row, ours.name, e3nn, "compile_s"),
            with_e3nn(row, ours.name, e3nn, "temporary_mib"),
            short(cost(row, ours.name, "error")),
        )


def table(lines: list[tuple[str, ...]]) -> str:
    """With the columns that have an entry."""
    kept = [i for i in range(len(COLUMNS)) if any(line[i] != "-" for line in lines)]
    rows = [COLUMNS, *lines]
    text = ["| " + " | ".join(row[i] for i in kept) + " |" for row in rows]
    text.insert(1, "|" + "---|" * len(kept))
    return "\n".join(text)


def machine(results: Mapping[str, Any]) -> str:
    found = results.get("environment", {})
    versions = found.get("versions", {})
    installed = [
        f"{name} {version}"
        for name, version in versions.items()
        if version != "not installed"
    ]
    facts = [
        f"{found.get('device', '?')}, {found.get('processor', '?')}",
        f"{found.get('cores', '?')} cores",
        *installed,
        f"{results.get('rounds', '?')} rounds",
    ]
    return ", ".join(facts) + "."


def page(files: list[Path]) -> str:
    sections = [HEAD]
    for file in files:
        results = json.loads(file.read_text())
        lines = [
            line for label, row in rows_of(results) for line in lines_of(label, row)
        ]
        if not lines:
            continue
        sections.append(f"## {results.get('question', file.stem)}")
        sections.append(f"`benchmarks/{file.stem}.py`: {machine(results)}")
        sections.append(table(lines))
    return "\n\n".join(sections) + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--results", type=Path, default=RESULTS, help="folder")
    arguments.add_argument("--out", type=Path, help="file for the page; else printed")
    options = arguments.parse_args()
    text = page(sorted(options.results.glob("o3_*.json")))
    if options.out:
        options.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
