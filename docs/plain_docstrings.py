"""Lets docstrings write formulas and tables as plain text.

Docstrings are read in terminals and editors first, so they say |x - y| and (*batch, n)
without escapes, and write a table with pipes. Before Sphinx parses a docstring as
reStructuredText, this extension escapes what reStructuredText would misread, outside
backticks, doctests and literal blocks, and turns pipe tables into `list-table`s.
"""

from __future__ import annotations

import re
from typing import Any

CODE = re.compile(r"(`+[^`]*`+)")
SPECIAL = re.compile(r"\||(?<!\*)\*(?!\*)(?!\s)|(?<=\w)_(?!\w)")
TOUCHES = re.compile(r"\w|\(")
RULE = re.compile(r"\|[ :|-]+\|")


def escape(line: str) -> str:
    """Escapes pipes, single stars and trailing underscores outside backticks."""
    parts = CODE.split(line)  # text, code, text, ..., text
    text = [SPECIAL.sub(lambda found: "\\" + found[0], part) for part in parts[::2]]
    # What touches code, as in `Array`s or `embed`(h), stands behind an escaped space.
    text[1:] = [f"\\ {part}" if TOUCHES.match(part) else part for part in text[1:]]
    parts[::2] = text
    return "".join(parts)


def list_table(rows: list[str], indent: str) -> list[str]:
    """A pipe table, whose second row is the rule below the heading."""
    lines = [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for row in [rows[0], *rows[2:]]:
        cells = [escape(cell.strip()) for cell in row.strip().strip("|").split("|")]
        lines += [
            f"{indent}   {'*' if i == 0 else ' '} - {cell}"
            for i, cell in enumerate(cells)
        ]
    return [*lines, ""]


def convert(lines: list[str]) -> list[str]:
    """The docstring's lines as reStructuredText."""
    converted: list[str] = []
    literal: int | None = None  # indentation of the line that opened a literal block
    doctest = False
    i = 0
    while i < len(lines):
        line = lines[i]
        text = line.strip()
        indentation = len(line) - len(line.lstrip())
        doctest = text.startswith(">>>") or (doctest and bool(text))
        if literal is not None and text and indentation <= literal:
            literal = None
        if doctest or literal is not None:
            converted.append(line)
        elif i + 1 < len(lines) and RULE.fullmatch(lines[i + 1].strip()):
            end = i
            while end < len(lines) and lines[end].strip().startswith("|"):
                end += 1
            converted += list_table(lines[i:end], line[:indentation])
            i = end
            continue
        else:
            converted.append(escape(line))
            if text.endswith("::"):
                literal = indentation
        i += 1
    return converted


def process(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Rewrites the docstring in place."""
    lines[:] = convert(lines)


def setup(app: Any) -> dict[str, bool]:
    """Runs before napoleon, which turns sections into fields."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True}
