"""What the adapters expect of a layer."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
from flax import nnx


def check_layer(layer: Any) -> None:
    """Raises `ValueError` unless `layer` is a layer spec."""
    # Modules and classes have methods of the same names with another meaning.
    other = isinstance(layer, (type, nn.Module, nnx.Module))
    if other or not (hasattr(layer, "init") and hasattr(layer, "apply")):
        kind = f"the class {layer.__name__}" if isinstance(layer, type) else layer
        raise ValueError(
            "`layer` must be a layer spec, an object with `init(*, key)` and "
            f"`apply(params, ...)`, got {str(kind)[:80]}."
        )


def init_layer(layer: Any, key: jax.Array) -> dict[str, Any]:
    """The layer's parameters, which must be a dict."""
    params = layer.init(key=key)
    if not isinstance(params, dict):
        raise ValueError(
            "`layer.init` must return a nested dict of arrays, got "
            f"{type(params).__name__}."
        )
    return params
