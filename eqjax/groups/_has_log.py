"""Which elements are exponentials, for any group."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool

from eqjax.groups._group import Group


def has_log(group: Group, a: Any) -> Bool[Array, "*batch"]:
    """Whether exp(log(a)) = a, also of groups without a method that tells.

    Those are the finite ones, where only the identity is an exponential, and those
    whose exponential map reaches every element.
    """
    own = getattr(group, "has_log", None)
    if own is not None:
        return own(a)
    index = getattr(group, "index", None)
    if index is not None:
        return index(a) == 0
    return jnp.all(jnp.isfinite(group.log(a)), axis=-1)
