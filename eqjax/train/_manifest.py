"""The record of a step: what it holds, with digests, and how it differs from a wish."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from typing import Any

import jax

import eqjax
from eqjax.train._leaves import StoredLeaf

FORMAT = 1
_NUM_LISTED = 20


def encode(step: int, stored: dict[str, StoredLeaf], spec: Any) -> dict[str, str]:
    """The manifest as canonical JSON, with the checksum of that text."""
    content = {
        "format": FORMAT,
        "step": step,
        "leaves": {
            name: [list(leaf.shape), leaf.dtype, leaf.digest]
            for name, leaf in stored.items()
        },
        "spec": spec,
        "versions": {
            "eqjax": eqjax.__version__,
            "jax": jax.__version__,
            "orbax-checkpoint": importlib.metadata.version("orbax-checkpoint"),
        },
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return {"text": text, "sha256": _sha256(text)}


def decode(item: dict[str, str]) -> dict[str, Any]:
    """The content of a manifest.

    Raises:
        ValueError: If the text is not the one that was written.
    """
    if _sha256(item["text"]) != item["sha256"]:
        raise ValueError("its text does not match its checksum")
    return json.loads(item["text"])


def leaves(manifest: dict[str, Any]) -> dict[str, StoredLeaf]:
    """The leaves by path."""
    return {
        name: StoredLeaf(tuple(shape), dtype, digest)
        for name, (shape, dtype, digest) in manifest["leaves"].items()
    }


def differences(
    stored: Any, asked: Any, path: str = "spec"
) -> list[tuple[str, str, str]]:
    """Where two JSON values differ, as rows (path, stored, asked)."""
    if stored == asked:
        return []
    if isinstance(stored, dict) and isinstance(asked, dict):
        keys = sorted(stored.keys() | asked.keys())
        pairs = [(f"{path}.{key}", stored.get(key), asked.get(key)) for key in keys]
        return [row for name, a, b in pairs for row in differences(a, b, name)]
    return [(path, repr(stored)[:60], repr(asked)[:60])]


def table(rows: list[tuple[str, str, str]]) -> str:
    """Rows (path, stored, asked) in three aligned columns, the first 20."""
    shown = [("path", "stored", "asked"), *rows[:_NUM_LISTED]]
    widths = [max(len(row[i]) for row in shown) for i in range(3)]
    lines = [
        "  " + "  ".join(f"{cell:{n}}" for cell, n in zip(row, widths, strict=True))
        for row in shown
    ]
    if len(rows) > _NUM_LISTED:
        lines.append(f"  ... and {len(rows) - _NUM_LISTED} more")
    return "\n".join(line.rstrip() for line in lines)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
