"""An nnx module around an eqjax layer."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx

from eqjax.flax._contract import check_layer, init_layer


class AsNNX(nnx.Module):
    """An nnx module around an eqjax layer.

    The layer's nested dict of parameters stands in the attribute `params`, each array
    an `nnx.Param`, so that `nnx.split`, `nnx.grad` and `nnx.Optimizer` see them.
    Initialization is `layer.init(key=rngs.params())`; the call is `layer.apply`, of one
    example.

    Args:
        layer: A layer spec: `init(*, key)` returns a nested dict of arrays,
            `apply(params, *args)` is pure.
        rngs: Source of the key.

    Raises:
        ValueError: If `layer` is no such spec.

    Example:
        >>> import dataclasses
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from eqjax.flax import AsNNX
        >>> @dataclasses.dataclass(frozen=True)
        ... class Scale:
        ...     channels: int
        ...
        ...     def init(self, *, key):
        ...         return {"scale": jnp.ones(self.channels)}
        ...
        ...     def apply(self, params, x):
        ...         return params["scale"] * x
        >>> module = AsNNX(Scale(3), rngs=nnx.Rngs(0))
        >>> type(module.params["scale"]).__name__
        'Param'
        >>> module(jnp.arange(3.0)).tolist()
        [0.0, 1.0, 2.0]
    """

    def __init__(self, layer: Any, *, rngs: nnx.Rngs) -> None:
        check_layer(layer)
        self.layer = layer
        params = init_layer(layer, rngs.params())
        self.params: dict[str, Any] = nnx.data(jax.tree.map(nnx.Param, params))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`layer.apply` with this module's parameters."""
        params = jax.tree.map(
            lambda param: param.get_value(),
            self.params,
            is_leaf=lambda node: isinstance(node, nnx.Variable),
        )
        return self.layer.apply(params, *args, **kwargs)
