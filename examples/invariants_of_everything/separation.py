"""Canonical tuples from the values of invariants, and the motions that lead to them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from jax import Array

from eqjax import groups
from eqjax.spaces import Euclidean, Hyperbolic, PositionOrientation, Space, Sphere


def separation_residual(
    space: Space,
    group: groups.Group,
    kinds: tuple[str, ...],
    members: tuple[Any, ...],
    values: np.ndarray,
) -> np.ndarray:
    """How far each tuple, moved by an element of the group, is from its canonical one.

    The canonical tuple is a function of the values alone; so two tuples with equal
    values are moved to the same one, hence to each other.
    """
    if "pose" in kinds or (
        isinstance(group, groups.SE) and group.n == 2 and planar(space, kinds)
    ):
        return _by_reference(space, group, kinds, members, values)
    if isinstance(group, groups.Translation):
        return np.max(np.abs(np.asarray(members[0] - members[-1]) - values), axis=1)
    if isinstance(space, Hyperbolic):
        vectors, grams, minors = _hyperbolic(members, values)
        proper = minors.shape[1] > 0
    else:
        vectors, grams, minors = _euclidean(space, group, kinds, members, values)
        proper = isinstance(group, (groups.SE, groups.SO))
    return _by_gram(vectors, grams, minors, proper=proper)


def planar(space: Space, kinds: tuple[str, ...]) -> bool:
    """Whether a member is a position with a heading."""
    return isinstance(space, PositionOrientation) or "oriented" in kinds


def _by_reference(
    space: Space,
    group: groups.Group,
    kinds: tuple[str, ...],
    members: tuple[Any, ...],
    values: np.ndarray,
) -> np.ndarray:
    """Canonical: the last member is the identity, the values are the others."""
    last = members[-1]
    if kinds[-1] != "pose":
        last = (last[:, :2], last[:, 2])
    g, num = group.inverse(last), len(values)
    moved = [space.act(g, member, group=group) for member in members[:-1]]
    if isinstance(space, PositionOrientation):
        moved = [
            np.column_stack([x[:, :2], np.cos(x[:, 2]), np.sin(x[:, 2])]) for x in moved
        ]
    there = np.concatenate([np.asarray(x).reshape(num, -1) for x in moved], axis=1)
    return np.max(np.abs(there - values), axis=1)


def _by_gram(
    vectors: np.ndarray, grams: np.ndarray, minors: np.ndarray, *, proper: bool
) -> np.ndarray:
    """Canonical: rows with the given Gram matrices, (num, vectors, n)."""
    n = vectors.shape[2]
    sizes, basis = np.linalg.eigh(grams)
    # What is zero but for rounding would enter by its square root.
    largest = np.maximum(1, sizes[:, -1:])
    roots = np.sqrt(np.where(sizes > 1e-14 * largest, sizes, 0))
    rows = (basis * roots[:, None])[:, :, ::-1][:, :, :n]
    rows = np.pad(rows, [(0, 0), (0, 0), (0, n - rows.shape[2])])
    if minors.shape[1]:
        chosen = list(itertools.combinations(range(rows.shape[1]), n))
        have = np.linalg.det(rows[:, chosen])
        most = np.argmax(np.abs(minors), axis=1)[:, None]
        product = np.take_along_axis(have * minors, most, axis=1)[:, 0]
        rows[:, :, -1] *= np.where(product < 0, -1, 1)[:, None]
    # The orthogonal matrix nearest to one that moves the vectors to these rows.
    left, _, right = np.linalg.svd(np.swapaxes(rows, 1, 2) @ vectors)
    if proper:
        left[:, :, -1] *= np.linalg.det(left @ right)[:, None]
    moved = vectors @ np.swapaxes(left @ right, 1, 2)
    return np.max(np.abs(moved - rows), axis=(1, 2))


def _euclidean(
    space: Space,
    group: groups.Group,
    kinds: tuple[str, ...],
    members: tuple[Array, ...],
    values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences, directions; Gram matrices and determinants from the values."""
    positions, units = [], []
    for kind, member in zip(kinds, members, strict=True):
        x = np.asarray(member)
        if isinstance(space, Sphere):
            units.append(x)
        elif kind == "oriented" or not isinstance(space, Euclidean):
            positions.append(x[:, :3])
            units.append(x[:, 3:])
        else:
            positions.append(x)
    if isinstance(group, (groups.SE, groups.E)):
        positions = [x - positions[-1] for x in positions[:-1]]
    vectors = np.stack([*positions, *units], axis=1)
    num, k, _ = vectors.shape
    grams, found = np.zeros((num, k, k)), iter(values.T)
    for i, j in itertools.combinations_with_replacement(range(k), 2):
        unit = i == j and i >= len(positions)
        grams[:, i, j] = grams[:, j, i] = 1.0 if unit else next(found)
    return vectors, grams, np.array(list(found)).reshape(-1, num).T


def _hyperbolic(
    members: tuple[Array, ...], values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for spatial parts, after a boost of the first point to the origin."""
    x, *others = (np.asarray(member) for member in members)
    num, k = len(x), len(members)
    chords, found = np.zeros((num, k, k)), iter(values.T)
    for i, j in itertools.combinations(range(k), 2):
        chords[:, i, j] = chords[:, j, i] = next(found)
    times = 1 + chords[:, 0] / 2
    grams = times[:, :, None] * times[:, None, :] - 1 - chords / 2
    x0 = np.sqrt(1 + np.sum(x**2, axis=1, keepdims=True))
    vectors = []
    for y in others:
        y0 = np.sqrt(1 + np.sum(y**2, axis=1, keepdims=True))
        along = np.sum(x * y, axis=1, keepdims=True)
        vectors.append(y + x * (along / (1 + x0) - y0))
    minors = np.array(list(found)).reshape(-1, num).T
    return np.stack(vectors, axis=1), grams[:, 1:, 1:], minors
