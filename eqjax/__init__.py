"""eqjax: functional equivariant modeling in JAX.

Import the packages you use, e.g. `from eqjax import groups, spaces, fields`.
"""

from __future__ import annotations

import importlib

from eqjax._core._specs import add_loader

__version__ = "0.1.0"

_SPEC_PACKAGES = ("groups", "spaces", "reps", "o3", "nn", "fields", "eikonal", "data")


def _load_specs() -> None:
    for package in _SPEC_PACKAGES:
        importlib.import_module(f"eqjax.{package}")


add_loader(_load_specs)
