"""Group elements that find mistakes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Key, PyTree

from eqjax._core._checks import check_size
from eqjax.groups import Group


def sample_elements(
    group: Group,
    num_elements: int = 9,
    *,
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> PyTree[Array]:
    """Draws generic elements, elements near the identity, and reflections in turn.

    Elements 0, 3, 6, ... are `group.sample`; elements 1, 4, ... are exp(v) with |v|
    log-uniform in [1e-6, 1e-2], where series and divisions by an angle meet; elements
    2, 5, ... are a discrete generator times exp(v), v normal, so that a group with
    reflections shows them however few elements are drawn. Groups without a Lie algebra
    or without discrete generators get samples in their place.

    Args:
        group: The group.
        num_elements: How many elements; at least 3 to see all kinds.
        dtype: Dtype of the floating-point parts; default: JAX's default.
        key: Random key.

    Returns:
        The elements, with one leading axis of size `num_elements`.

    Raises:
        ValueError: If `num_elements` is no positive integer.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, testing
        >>> angle, flip = testing.sample_elements(
        ...     groups.O(2), 6, key=jax.random.key(0)
        ... )
        >>> angle.shape, flip.shape
        ((6,), (6,))
        >>> flip[jnp.array([1, 4])].tolist(), flip[jnp.array([2, 5])].tolist()
        ([0, 0], [1, 1])
    """
    check_size("num_elements", num_elements)
    dtype = jnp.result_type(float) if dtype is None else dtype
    kinds = (_generic, _near_identity, _in_another_component)
    elements = [
        kinds[i % 3](group, i // 3, dtype, subkey)
        for i, subkey in enumerate(jax.random.split(key, num_elements))
    ]
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *elements)


def pick_element(elements: PyTree[Array], index: int) -> PyTree[Array]:
    """Element number `index`, without compiling a slice for every index."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[index]), elements)


def _generic(group: Group, index: int, dtype: DTypeLike, key: Array) -> Any:
    return group.sample(dtype=dtype, key=key)


def _near_identity(group: Group, index: int, dtype: DTypeLike, key: Array) -> Any:
    if group.dim == 0:
        return _generic(group, index, dtype, key)
    key_direction, key_length = jax.random.split(key)
    direction = jax.random.normal(key_direction, (group.dim,), dtype)
    exponent = jax.random.uniform(key_length, (), dtype, -6.0, -2.0)
    length = jnp.sqrt(jnp.sum(direction * direction))
    return group.exp(direction * (10**exponent / length))


def _in_another_component(
    group: Group, index: int, dtype: DTypeLike, key: Array
) -> Any:
    discrete = group.generators.discrete
    if len(discrete) == 0:
        return _generic(group, index, dtype, key)
    generator = jnp.asarray(discrete[index % len(discrete)], dtype)
    # `sample` may lie in the generator's own component; exp never does.
    if group.dim == 0:
        factor = group.sample(dtype=dtype, key=key)
    else:
        factor = group.exp(jax.random.normal(key, (group.dim,), dtype))
    return group.compose(group.from_matrix(generator), factor)
