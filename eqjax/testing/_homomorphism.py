"""The law rho(a b) = rho(a) rho(b)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import check_condition
from eqjax.groups import Group
from eqjax.testing._compare import default_rtol, worst_mismatch
from eqjax.testing._elements import pick_element, sample_elements
from eqjax.testing._names import function_name


def assert_homomorphism(
    group: Group,
    rho: Callable[[Any], Any],
    *,
    num_elements: int = 9,
    dtype: DTypeLike | None = None,
    rtol: float | None = None,
    key: Key[Array, ""],
) -> None:
    """Asserts that `rho` is a representation: rho(a b) = rho(a) rho(b), rho(e) = 1.

    Pairs (a, b) come from `sample_elements` in two orders, so that generic elements,
    elements near the identity and reflections meet each other.

    Args:
        group: The group.
        rho: One element to a square matrix.
        num_elements: How many pairs.
        dtype: Dtype of the elements; default: JAX's default.
        rtol: Allowed difference of the matrices, relative to the product of the
            Frobenius norms of rho(a) and rho(b). Default: eps^(2/3) of the least
            precise dtype involved, 2.4e-5 in float32 and 3.7e-11 in float64.
        key: Random key.

    Raises:
        AssertionError: If a law fails; the message names the law, the elements, the
            worst entry and both values.
        ValueError: If `rho` does not return square matrices.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, testing
        >>> G = groups.SO(2)
        >>> def rho(angle):
        ...     return groups.SO(2).matrix(3 * angle)
        >>> testing.assert_homomorphism(G, rho, key=jax.random.key(0))
        >>> def no_rho(angle):
        ...     return groups.SO(2).matrix(angle**2)
        >>> testing.assert_homomorphism(G, no_rho, key=jax.random.key(0))
        Traceback (most recent call last):
        AssertionError: no_rho is no representation of SO(n=2): rho(a b) differs ...

    """
    name = f"{function_name(rho)} is no representation of {group}"
    key_a, key_b, key_order = jax.random.split(key, 3)
    a = sample_elements(group, num_elements, dtype=dtype, key=key_a)
    b = sample_elements(group, num_elements, dtype=dtype, key=key_b)
    order = np.asarray(jax.random.permutation(key_order, num_elements))

    identity = rho(group.identity(dtype=dtype))
    shape = np.shape(identity)
    check_condition(
        len(shape) == 2 and shape[0] == shape[1],
        f"`rho` must return square matrices, got shape {shape}.",
    )
    allowed = default_rtol(a, identity) if rtol is None else rtol
    eye = jnp.eye(shape[0], dtype=jnp.result_type(identity))
    mismatch = worst_mismatch(identity, eye, rtol=allowed, atol=0.0)
    if not mismatch.ratio <= 1:
        raise AssertionError(
            f"{name}: rho(e) differs from the identity matrix by {mismatch.error:.2e} "
            f"at entry {mismatch.where} ({mismatch.text})."
        )
    for index in range(num_elements):
        g, h = pick_element(a, index), pick_element(b, int(order[index]))
        left, right = rho(g), rho(h)
        size = float(np.linalg.norm(left) * np.linalg.norm(right))
        mismatch = worst_mismatch(
            rho(group.compose(g, h)),
            jnp.matmul(left, right, precision="highest"),
            rtol=0.0,
            atol=allowed * size,
        )
        if not mismatch.ratio <= 1:
            raise AssertionError(
                f"{name}: rho(a b) differs from rho(a) rho(b) by {mismatch.error:.2e} "
                f"relative at entry {mismatch.where} ({mismatch.text}), for a = {g}, "
                f"b = {h}."
            )
