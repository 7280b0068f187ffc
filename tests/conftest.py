"""Settings of the whole suite.

That eqjax is imported with its types and shapes checked (jaxtyping, beartype) is an
option in pyproject.toml, because it must act before anything is imported, and holds
for the doctests too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

# Read when JAX starts its CPU client: NPROC sizes the pool of threads in which fake
# devices wait for each other, which must not be small.
os.environ.setdefault("NPROC", "32")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Workers whose small matrices are multiplied by several threads wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The suite compiles far more than it computes: without LLVM's optimizations, which
# come after XLA's own, it takes a third less time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import hypothesis
import jax
import jaxtyping
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Reproducible, and without deadlines: the first example of a property compiles.
hypothesis.settings.register_profile(
    "eqjax", deadline=None, derandomize=True, max_examples=25, print_blob=True
)
hypothesis.settings.load_profile("eqjax")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker ends with one of them."""
    first = ("tests/test_registry.py", "tests/examples/")
    items.sort(key=lambda item: not item.nodeid.startswith(first))


@pytest.fixture
def standard_promotion() -> Iterator[None]:
    """For tests that run optax: its Adam multiplies floats with integer counters."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def user_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the type checks of the suite, which precede the messages to users."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
