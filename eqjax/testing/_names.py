"""Names of functions in messages."""

from __future__ import annotations

import functools
from typing import Any


def function_name(fn: Any) -> str:
    """The qualified name of a function, method, partial or callable object."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    owner = getattr(fn, "__self__", None)
    name = getattr(fn, "__name__", None)
    if name is None:
        return repr(fn)
    return name if owner is None or isinstance(owner, type) else f"{owner!r}.{name}"
