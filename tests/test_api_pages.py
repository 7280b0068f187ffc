"""Every public symbol of eqjax stands on exactly one API page."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(
    path.parent.name
    for path in (ROOT / "eqjax").glob("*/__init__.py")
    if not path.parent.name.startswith("_")
)
DIRECTIVE = re.compile(
    r"^\.\. auto(?:class|function|data|exception):: (eqjax\.\S+)$", re.MULTILINE
)


def exported(package: str) -> set[str]:
    """Names that the package re-exports as `from eqjax.x._y import Z as Z`."""
    tree = ast.parse((ROOT / "eqjax" / package / "__init__.py").read_text())
    return {
        f"eqjax.{package}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def on_page(package: str) -> list[str]:
    """Symbols documented on the package's page, in the page's order."""
    page = ROOT / "docs" / "api" / f"{package}.md"
    return DIRECTIVE.findall(page.read_text()) if page.exists() else []


def directive(name: str) -> str:
    """The line that documents the symbol."""
    module, _, symbol = name.rpartition(".")
    value = getattr(importlib.import_module(module), symbol)
    if isinstance(value, type):
        kind = "exception" if issubclass(value, BaseException) else "class"
    else:
        kind = "function" if inspect.isroutine(value) else "data"
    return f".. auto{kind}:: {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_package_and_page_agree(package: str) -> None:
    public, counts = exported(package), Counter(on_page(package))
    missing = sorted(public - set(counts))
    unknown = sorted(set(counts) - public)
    twice = sorted(name for name, count in counts.items() if count > 1)
    page = f"docs/api/{package}.md"
    lines = "\n".join(directive(name) for name in missing)
    assert not missing, f"{page} lacks these lines:\n{lines}"
    assert not unknown, f"{page} documents what is not public: {', '.join(unknown)}."
    assert not twice, f"{page} documents twice: {', '.join(twice)}."


@pytest.mark.parametrize("package", PACKAGES)
def test_classes_and_functions_have_docstrings(package: str) -> None:
    module = importlib.import_module(f"eqjax.{package}")
    for name in sorted(exported(package)):
        symbol = name.rpartition(".")[2]
        value = getattr(module, symbol)
        if not getattr(value, "__module__", "").startswith("eqjax."):
            continue  # an alias of somebody else's type
        text = value.__doc__ or ""
        generated = text.startswith(f"{symbol}(")  # what dataclass writes by itself
        documented = bool(text.strip()) and not generated
        assert documented, f"{name} has no docstring."


def test_every_page_belongs_to_a_package() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")} - {"index"}
    assert pages <= set(PACKAGES), f"No package for {sorted(pages - set(PACKAGES))}."


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "api" / "index.md").read_text().split()
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")} - {"index"}
    assert pages <= set(index), f"docs/api/index.md lacks {pages - set(index)}."


def test_benchmark_page_shows_the_committed_results():
    path = ROOT / "benchmarks" / "_o3_table.py"
    spec = importlib.util.spec_from_file_location("o3_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    files = sorted((ROOT / "benchmarks" / "results").glob("o3_*.json"))
    assert module.page(files) == (ROOT / "docs" / "o3_benchmarks.md").read_text(), (
        "Make it again: python benchmarks/_o3_table.py --out docs/o3_benchmarks.md"
    )
