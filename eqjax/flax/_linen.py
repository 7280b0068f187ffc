"""Between eqjax layers and linen modules."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import PyTree

from eqjax.flax._contract import check_layer, init_layer


class AsLinen(nn.Module):
    """A linen module around an eqjax layer.

    The layer's nested dict of parameters is the collection "params" of the module, as
    if linen had made it, so that optimizers, parent modules and checkpoints treat it
    like any other. Initialization is `layer.init` with the key that linen derives for
    this module (`make_rng("params")`); the call is `layer.apply`, of one example.

    Args:
        layer: A layer spec: `init(*, key)` returns a nested dict of arrays,
            `apply(params, *args)` is pure.

    Raises:
        ValueError: If `layer` is no such spec.

    Example:
        >>> import dataclasses
        >>> import jax, jax.numpy as jnp
        >>> from eqjax.flax import AsLinen
        >>> @dataclasses.dataclass(frozen=True)
        ... class Scale:
        ...     channels: int
        ...
        ...     def init(self, *, key):
        ...         return {"scale": jnp.ones(self.channels)}
        ...
        ...     def apply(self, params, x):
        ...         return params["scale"] * x
        >>> module = AsLinen(Scale(3))
        >>> variables = module.init(jax.random.key(0), jnp.zeros(3))
        >>> jax.tree.map(jnp.shape, variables)
        {'params': {'scale': (3,)}}
        >>> module.apply(variables, jnp.arange(3.0)).tolist()
        [0.0, 1.0, 2.0]
    """

    layer: Any

    def __post_init__(self) -> None:
        """Checks the layer before linen takes over."""
        check_layer(self.layer)
        super().__post_init__()

    @nn.compact
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`layer.apply` with this module's parameters."""
        if self.is_initializing() and "params" not in self.variables:
            # Written at once, since `self.param` would give every entry another key.
            params = init_layer(self.layer, self.make_rng("params"))
            for name, value in params.items():
                self.put_variable("params", name, value)
        params = dict(self.variables.get("params", {}))
        return self.layer.apply(params, *args, **kwargs)


@dataclasses.dataclass(frozen=True)
class FromLinen:
    """An eqjax layer around a linen module.

    The parameters are linen's collection "params", a nested dict. A module that keeps
    other collections (running statistics, caches) is no pure function of parameters and
    input, and is refused by `init`.

    Args:
        module: The linen module; a spec too, so equal modules make equal layers.
        inputs: One sample of each positional input: arrays, of which shape and dtype
            are kept, or `jax.ShapeDtypeStruct`s.

    Raises:
        ValueError: If an input has no shape and dtype.

    Example:
        >>> import flax.linen as nn
        >>> import jax, jax.numpy as jnp
        >>> from eqjax.flax import FromLinen
        >>> x = jnp.ones(3, jnp.float32)
        >>> layer = FromLinen(nn.Dense(2), (x,))
        >>> params = layer.init(key=jax.random.key(0))
        >>> sorted(params)
        ['bias', 'kernel']
        >>> layer.apply(params, x).shape
        (2,)
    """

    module: nn.Module
    inputs: tuple[Any, ...]

    def __post_init__(self) -> None:
        for i, sample in enumerate(self.inputs):
            if not hasattr(sample, "shape") or not hasattr(sample, "dtype"):
                raise ValueError(
                    f"`inputs[{i}]` must be an array or a jax.ShapeDtypeStruct, got "
                    f"{type(sample).__name__}."
                )
        # A spec holds no arrays.
        abstract = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in self.inputs)
        object.__setattr__(self, "inputs", abstract)

    def init(self, *, key: jax.Array) -> dict[str, PyTree]:
        """Parameters, without computing the module's output.

        Args:
            key: A random key, handed to linen as "params".

        Raises:
            ValueError: If the module has collections besides "params".
        """
        variables = dict(self.module.lazy_init({"params": key}, *self.inputs))
        params = variables.pop("params", {})
        if variables:
            raise ValueError(
                "`module` must have parameters alone, but it keeps the collections "
                f"{', '.join(sorted(variables))}. Use a module without running state, "
                "e.g. LayerNorm in the place of BatchNorm."
            )
        return nn.meta.unbox(params)

    def apply(self, params: dict[str, PyTree], *args: Any, **kwargs: Any) -> Any:
        """The module's output.

        Args:
            params: The parameters.
            *args: The inputs.
            **kwargs: Passed on to linen's `apply`, e.g. `rngs={"dropout": key}`.
        """
        return self.module.apply({"params": params}, *args, **kwargs)
