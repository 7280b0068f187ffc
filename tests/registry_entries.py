"""What an entry of the registry says: see tests/registry.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from eqjax import groups

Sample = Callable[[jax.Array], tuple[Any, ...]]
Act = Callable[[Any, Any], Any]


def _no_singular_inputs(key: jax.Array) -> dict[str, tuple[Any, ...]]:
    return {}


@dataclass(frozen=True)
class Equivariant:
    """fn(g x, g y, ..) = g fn(x, y, ..).

    Attributes:
        name: Name of the test.
        fn: The function of one example.
        group: Where the elements come from.
        act_in: One action per argument, or `None` where an argument does not move.
        act_out: Action on the result, or `None` for an invariant.
        sample: Key to one generic example of the arguments, in float64.
        covers: The specs that this entry tests.
        singular: Key to named examples of the arguments where derivatives are delicate;
            there the law must hold within `singular_atol` and gradients be finite.
        rtol: Relative tolerance; default: that of `assert_equivariant`.
        atol: Absolute tolerance.
        singular_atol: Absolute tolerance at singular inputs, since results are often
            zero there. Default: 45 roundings of inputs of size one.
        composes: Options of `assert_composes`; `None` to leave that test out.
    """

    name: str
    fn: Callable[..., Any]
    group: groups.Group
    act_in: Sequence[Act | None]
    act_out: Act | None
    sample: Sample
    covers: Sequence[Any]
    singular: Callable[[jax.Array], Mapping[str, tuple[Any, ...]]] = _no_singular_inputs
    rtol: float | None = None
    atol: float = 0.0
    singular_atol: float = 1e-14
    composes: Mapping[str, Any] | None = field(default_factory=dict)


@dataclass(frozen=True)
class Composing:
    """fn gives the same alone, under jit, vmap and grad (`assert_composes`).

    Attributes:
        name: Name of the test.
        fn: The function of one example.
        sample: Key to one example of the arguments, where fn is smooth.
        covers: The specs that this entry tests.
        options: Options of `assert_composes`.
    """

    name: str
    fn: Callable[..., Any]
    sample: Sample
    covers: Sequence[Any]
    options: Mapping[str, Any] = field(default_factory=dict)
