"""Points and group elements as vectors that a network can read."""

from __future__ import annotations

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_shape
from eqjax.groups import SE, SO, E, Group, Product, Semidirect, Translation
from eqjax.spaces import (
    Hyperbolic,
    LieGroupSpace,
    PositionOrientation,
    Space,
    Sphere,
    Torus,
)


def vector_size(space: Space) -> int:
    """Size of the vectors that groups of the space act on."""
    if isinstance(space, PositionOrientation):
        return space.n
    if isinstance(space, Hyperbolic):
        return space.n + 1
    if isinstance(space, LieGroupSpace):
        return space.of.degree
    return space.ambient_dim


def check_point(space: Space, x: Any) -> None:
    """Checks that `x` is ONE point, an array or the element of a group.

    Raises:
        ValueError: If it has other shapes.
    """
    if not isinstance(space, LieGroupSpace):
        check_shape("x", x, (space.ambient_dim,))
        return
    shapes = jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(space.of.identity))
    came = jax.tree.map(jnp.shape, x)
    check_condition(
        came == shapes,
        f"`x` must be ONE element of {space.of}, of the shapes {shapes}, got {came}.",
    )


def num_features(space: Space) -> int:
    """Length of `point_features`."""
    if isinstance(space, PositionOrientation):
        return 2 * space.n
    if isinstance(space, Torus):
        return 2 * space.dim
    if isinstance(space, LieGroupSpace):
        return _num_element_features(space.of)
    return space.ambient_dim


def point_features(space: Space, x: Any, scale: float) -> Float[Array, " features"]:
    """Coordinates without jumps, lengths divided by the scale.

    Angles become cosine and sine, group elements the entries of their matrices. On H^n
    lengths are those of the coordinates on the hyperboloid.
    """
    if isinstance(space, PositionOrientation):
        position, heading = split_heading(space, x)
        return jnp.concatenate([position / scale, heading])
    if isinstance(space, Torus):
        angle = x * np.asarray(2 * np.pi / np.asarray(space.periods), x.dtype)
        return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])
    if isinstance(space, LieGroupSpace):
        return element_features(space.of, x, scale)
    return x if isinstance(space, Sphere) else x / scale


def squared_chord(space: Space, x: Any, scale: float) -> Float[Array, ""]:
    """Squared distance of x from the space's origin along chords: smooth everywhere.

    A heading counts as an arrow of length `scale`. For H^n, where no chord is shorter
    than the distance, the Minkowski square.
    """
    if isinstance(space, PositionOrientation):
        position, heading = split_heading(space, x)
        first = np.zeros(space.n)
        first[0 if space.n == 2 else -1] = 1
        turned = heading - jnp.asarray(first, x.dtype)
        return jnp.sum(position**2) + scale**2 * jnp.sum(turned**2)
    if isinstance(space, Torus):
        width = np.asarray(np.asarray(space.periods) / np.pi, x.dtype)
        return jnp.sum((width * jnp.sin(x / width)) ** 2)
    if isinstance(space, Hyperbolic):
        squared = jnp.sum(x**2)
        return 2 * squared / (1 + jnp.sqrt(1 + squared))
    if isinstance(space, LieGroupSpace):
        return _squared_element(space.of, x, scale)
    return jnp.sum(x**2)


def split_heading(space: PositionOrientation, x: Array) -> tuple[Array, Array]:
    """The position and the unit vector of the heading."""
    if space.n == 3:
        return x[:3], x[3:]
    return x[:2], jnp.stack([jnp.cos(x[2]), jnp.sin(x[2])])


def is_affine(group: Group) -> bool:
    """Whether the group moves the origin: its matrices move homogeneous coordinates."""
    return group.generators.lie.shape[-1] > group.degree


def element_features(group: Group, a: Any, scale: float) -> Array:
    """The entries of the matrix that vary; translations are divided by the scale."""
    if isinstance(group, Translation):
        return a / scale
    if isinstance(group, (SE, E, Semidirect)):
        t, h = a
        return jnp.concatenate(
            [t / scale, element_features(group.linear_part, h, scale)]
        )
    if isinstance(group, Product):
        parts = zip(group.groups, a, strict=True)
        return jnp.concatenate([element_features(f, b, scale) for f, b in parts])
    matrix = group.matrix(a)
    entries = matrix[:, 0] if isinstance(group, SO) and group.n == 2 else matrix.ravel()
    if jnp.iscomplexobj(entries):
        return jnp.concatenate([entries.real, entries.imag])
    return entries


@functools.lru_cache
def _num_element_features(group: Group) -> int:
    features = jax.eval_shape(lambda: element_features(group, group.identity(), 1.0))
    return features.shape[0]


def _squared_element(group: Group, a: Any, scale: float) -> Array:
    """|t|^2 + scale^2 |h - 1|^2 / 2 of motions (t, h), |a - 1|^2 / 2 of matrices."""
    if isinstance(group, Translation):
        return jnp.sum(a**2)
    if isinstance(group, (SE, E, Semidirect)):
        t, h = a
        turned = _squared_element(group.linear_part, h, 1.0)
        return jnp.sum(t**2) + scale**2 * turned
    if isinstance(group, Product):
        parts = zip(group.groups, a, strict=True)
        squares = [_squared_element(f, b, scale) for f, b in parts]
        return functools.reduce(operator.add, squares)
    matrix = group.matrix(a)
    change = jnp.abs(matrix - jnp.eye(matrix.shape[0], dtype=matrix.dtype))
    return jnp.sum(change**2) / 2
