"""Finite groups in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from eqjax._core._checks import check_condition


def check_finite(name: str, group: Any) -> None:
    """Raises `ValueError` unless the group is finite."""
    check_condition(
        getattr(group, "order", None) is not None,
        f"`{name}` must be a finite group, got {group}.",
    )


def indices_of(group: Any, m: np.ndarray) -> np.ndarray:
    """Index of each defining matrix (*batch, n, n), which are orthogonal."""
    table = group.tables.matrices
    inner = m.reshape(-1, table[0].size) @ table.reshape(len(table), -1).T
    return np.argmax(inner, axis=1).reshape(m.shape[:-2])
