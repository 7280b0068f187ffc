"""The parts of `make test`, each runnable alone: `.venv/bin/nox -s types`.

Sessions run in the environment that holds nox, which `make` fills from
constraints.txt, so a part sees exactly what `make test` sees.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "imports", "docs", "doctests", "tests"]

ROOT = Path(__file__).parent
WORKERS = os.environ.get("EQJAX_TEST_WORKERS", "2")
# Too few threads make fake devices on the CPU wait for each other forever.
ENVIRONMENT = {"NPROC": os.environ.get("NPROC", "32")}
# The suite compiles far more than it computes, and XLA's older emitters compile twice
# as fast. Here, because a jaxlib other than the pinned one may not know the flag.
QUICK = {"XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"}


def python(session: nox.Session, *arguments: str, **variables: str) -> None:
    """Runs this environment's Python."""
    session.run(sys.executable, *arguments, env=ENVIRONMENT | variables)


@nox.session
def lint(session: nox.Session) -> None:
    """Lint and formatting (ruff)."""
    python(session, "-m", "ruff", "check", *session.posargs)
    python(session, "-m", "ruff", "format", "--check", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Static types (pyright)."""
    python(session, "-m", "pyright", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """Which package may import which (import-linter)."""
    command = "from importlinter.cli import lint_imports_command as run; run()"
    python(session, "-c", command, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, its code executed, warnings as errors (Sphinx)."""
    options = ("-b", "html", "-W", "--keep-going", "-q", *session.posargs)
    python(session, "-m", "sphinx", *options, "docs", "docs/_build/html")


@nox.session
def doctests(session: nox.Session) -> None:
    """The examples in the docstrings, with JAX as its users have it (pytest)."""
    paths = session.posargs or ["eqjax"]
    options = ("-q", "-n", WORKERS, "--doctest-modules")
    python(session, "-m", "pytest", *options, *paths, **QUICK)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite without its slow tests (pytest)."""
    # One worker per file: its tests share what they compile. In the order of conftest.
    options = ("-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder")
    python(session, "-m", "pytest", "-q", *options, *session.posargs, **QUICK)


@nox.session(default=False)
def slow(session: nox.Session) -> None:
    """The slow tests (pytest)."""
    python(session, "-m", "pytest", "-q", "-m", "slow", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Every benchmark, or those named; `make bench` installs their peers first."""
    paths = session.posargs or sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "benchmarks").glob("*.py")
        if not path.name.startswith("_")
    )
    for path in paths:
        python(session, path)


@nox.session(default=False)
def pins(session: nox.Session) -> None:
    """Resolves constraints.txt anew (needs uv); `-- --upgrade` takes newer versions."""
    session.run(
        *("uv", "pip", "compile", "pyproject.toml"),
        *("--extra", "examples", "--group", "dev", "--group", "docs"),
        *("--universal", "--python-version", "3.11", "--fork-strategy", "fewest"),
        *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"),
        *("--no-header", "--output-file", "constraints.txt", "--quiet"),
        *session.posargs,
        external=True,
    )
