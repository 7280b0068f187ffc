"""Complete invariants of tuples of points and poses."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_choice, check_condition
from eqjax.groups import SE, SO, E, Group, Lorentz, O, Translation
from eqjax.spaces._euclidean import Euclidean
from eqjax.spaces._hyperbolic import Hyperbolic, boost_to_origin, squared_chord
from eqjax.spaces._lie_group_space import LieGroupSpace
from eqjax.spaces._position_orientation import PositionOrientation
from eqjax.spaces._space import Space
from eqjax.spaces._sphere import Sphere
from eqjax.spaces._torus import Torus

_KINDS = ("point", "oriented", "pose")


def invariants(
    space: Space, group: Group, kinds: tuple[str, ...]
) -> Callable[..., Float[Array, "*batch num_invariants"]]:
    """Complete invariants of a tuple under a group that moves all its members at once.

    Two tuples have equal values if and only if one element of the group maps the one
    to the other. The values are polynomials in the coordinates (of the hyperboloid for
    hyperbolic points; in cosines and sines of angles), so no gradient is singular; take
    square roots and arc cosines of them outside, with care.

    - A "pose" p is an element of the group, which moves it from the left. All other
      members, moved by p^-1, are complete: for SE(n), R^T (x - t). So it is with points
      of a `LieGroupSpace`, and with headings of the plane under SE(2).
    - Vectors under O(n) have their Gram matrix: squares and products of differences of
      positions (under E(n), SE(n)), of points (O(n), SO(n), spheres), of directions.
      Under a group of rotations alone follow the determinants of all n-tuples of them.
    - Points of H^n have the Minkowski squares of their differences, and under the
      orientation-preserving group the determinants of n + 1 of them.
    - Under translations the differences are complete; cosine and sine of them on tori.

    Args:
        space: Where the points live: `Euclidean`, `Sphere`, `Hyperbolic`, `Torus`,
            `PositionOrientation` or `LieGroupSpace`.
        group: The group that moves them: SE(n), E(n), SO(n), O(n), Translation(n) on
            `Euclidean(n)`, with a "pose" every group that acts on R^n; SO(n + 1),
            O(n + 1) on spheres; Lorentz(n), with or without `reflections="space"`;
            SE(2), SE(3), E(3) on positions and orientations; Translation(n) on tori.
        kinds: What each member of the tuple is: "point" of the space; "oriented", a
            point of `PositionOrientation(n)` on `Euclidean(n)`; "pose", an element of
            the group. Differences are taken from the last member, the latent.

    Returns:
        A function of as many members as there are kinds; leading axes broadcast. Equal
        arguments give the same function.

    Raises:
        ValueError: If nothing is known about this combination.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, spaces
        >>> fn = spaces.invariants(
        ...     spaces.Euclidean(2), groups.E(2), ("point", "point", "point"))
        >>> s, r, p = jnp.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
        >>> fn(s, r, p).tolist()
        [9.0, 0.0, 16.0]

    References:
        Weyl, "The classical groups" (1939), first fundamental theorem for O(n), SO(n).
    """
    for kind in kinds:
        check_choice("kinds", kind, _KINDS)
    check_condition(len(kinds) > 1, f"`kinds` must name two members, got {kinds}.")
    return _build(space, group, kinds)


@functools.cache
def _build(space: Space, group: Group, kinds: tuple[str, ...]) -> Callable[..., Array]:
    """The function for valid kinds; cached, so that equal ones share a trace."""
    _check_group(space, group, kinds)
    reference = _reference_member(space, group, kinds)
    values: Callable[..., list[Array]]
    if reference is not None:
        values = functools.partial(_relative, space, group, kinds, reference)
    elif isinstance(group, Lorentz):
        values = functools.partial(_minkowski, group)
    elif isinstance(group, Translation):
        values = functools.partial(_differences, space)
    else:
        values = functools.partial(_gram, space, group, kinds)

    def fn(*members: Any) -> Array:
        check_condition(
            len(members) == len(kinds),
            f"The invariants of {kinds} need {len(kinds)} members, got {len(members)}.",
        )
        return jnp.concatenate(match_batch(*((v, 1) for v in values(*members))), -1)

    return fn


def _check_group(space: Space, group: Group, kinds: tuple[str, ...]) -> None:
    """Refuses combinations without complete invariants."""
    check_condition(
        "oriented" not in kinds
        or (isinstance(space, Euclidean) and isinstance(group, (SE, E))),
        '`kinds` may hold "oriented" on Euclidean spaces, under SE(2), SE(3) and E(3), '
        f"got {space} under {group}.",
    )
    check_condition(
        "oriented" not in kinds or space.dim == 3 or isinstance(group, SE),
        f"The headings of the plane move under SE(2), got {group}.",
    )
    check_condition(
        "pose" not in kinds or not isinstance(space, Torus),
        f'`kinds` may not hold "pose" on {space}. Use "point".',
    )
    if isinstance(space, LieGroupSpace):
        good = group == space.of
    elif isinstance(space, Euclidean) and "pose" in kinds:
        good = group.degree == space.n
    else:
        fits = {
            Euclidean: (SE, E, SO, O, Translation),
            Sphere: (SO, O),
            Hyperbolic: (Lorentz,),
            Torus: (Translation,),
            PositionOrientation: (SE, E),
        }
        of_points = isinstance(space, PositionOrientation)
        size = space.n if of_points else space.ambient_dim
        good = (
            isinstance(group, fits.get(type(space), ()))
            and getattr(group, "n", None) == size
            and not (of_points and size == 2 and isinstance(group, E))
            and getattr(group, "reflections", None) != "all"
        )
    check_condition(
        good, f"No complete invariants are known for {space} under {group}."
    )


def _reference_member(space: Space, group: Group, kinds: tuple[str, ...]) -> int | None:
    """The last member that an element of the group can be read from, if any."""
    found = [
        i
        for i, kind in enumerate(kinds)
        if kind == "pose"
        or _is_headed(space, group, kind)
        or isinstance(space, LieGroupSpace)
    ]
    return found[-1] if found else None


def _relative(
    space: Space, group: Group, kinds: tuple[str, ...], reference: int, *members: Any
) -> list[Array]:
    """All other members, moved by the inverse of the reference."""
    elements: list[Any] = [
        _to_element(member) if _is_headed(space, group, kind) else member
        for kind, member in zip(kinds, members, strict=True)
    ]
    back = group.inverse(elements[reference])
    values = []
    for i, (kind, member) in enumerate(zip(kinds, elements, strict=True)):
        if i == reference:
            continue
        headed = _is_headed(space, group, kind)
        if kind == "pose" or headed or isinstance(space, LieGroupSpace):
            values.append(_element_values(group, group.compose(back, member)))
        else:
            home = PositionOrientation(space.dim) if kind == "oriented" else space
            values.append(home.act(back, member, group=group))
    return values


def _is_headed(space: Space, group: Group, kind: str) -> bool:
    """True for the points (x, y, theta) of the plane."""
    planar = isinstance(group, SE) and group.n == 2
    headed = kind == "oriented" or (
        kind == "point" and isinstance(space, PositionOrientation)
    )
    return planar and headed


def _to_element(x: Array) -> tuple[Array, Array]:
    """The element of SE(2) that takes the origin, heading along x, to this point."""
    return x[..., :2], x[..., 2]


def _element_values(group: Group, a: Any) -> Array:
    """The entries of the matrix that vary, without repetitions for SE(2)."""
    if isinstance(group, Translation):
        return a
    if isinstance(group, SE) and group.n == 2:
        t, angle = a
        turn = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        return jnp.concatenate(match_batch((t, 1), (turn, 1)), axis=-1)
    matrix = group.matrix(a)
    if isinstance(group, (SE, E)):
        matrix = matrix[..., :-1, :]
    entries = matrix.reshape(*matrix.shape[:-2], -1)
    if not jnp.iscomplexobj(entries):
        return entries
    return jnp.concatenate([entries.real, entries.imag], axis=-1)


def _differences(space: Space, *members: Array) -> list[Array]:
    """Differences from the last member; cosine and sine of them on tori."""
    *others, last = members
    values = []
    for x in others:
        x, origin = match_batch((x, 1), (last, 1))
        if isinstance(space, Torus):
            shape = (1,) * (x.ndim - 1) + (-1,)
            scale = np.asarray(2 * np.pi / np.asarray(space.periods), x.dtype)
            angle = (x - origin) * scale.reshape(shape)
            values += [jnp.cos(angle), jnp.sin(angle)]
        else:
            values.append(x - origin)
    return values


def _minkowski(group: Lorentz, *points: Array) -> list[Array]:
    """Minkowski squares of differences, determinants for the proper group."""
    points = match_batch(*((x, 1) for x in points))
    values = [
        squared_chord(x, y)[..., None] for x, y in itertools.combinations(points, 2)
    ]
    if group.reflections == "none":
        values += [
            _hyperboloid_determinant(*chosen)
            for chosen in itertools.combinations(points, group.n + 1)
        ]
    return values


def _hyperboloid_determinant(*points: Array) -> Array:
    """Determinant of n + 1 points (x0, x), seen from the last of them.

    A boost of determinant 1 that takes the last to (1, 0) leaves the minor of the
    others' spatial parts, whose terms are as large as the distances between the points,
    not as the coordinates of points far from the origin.
    """
    *others, origin = points
    seen = jnp.stack([boost_to_origin(origin, x) for x in others], axis=-2)
    return (-1) ** len(others) * _determinant(seen)[..., None]


def _gram(
    space: Space, group: Group, kinds: tuple[str, ...], *members: Array
) -> list[Array]:
    """Products of vectors, but for the squares of unit vectors; determinants."""
    members = match_batch(*((x, 1) for x in members))
    positions, units = [], []
    for kind, x in zip(kinds, members, strict=True):
        if isinstance(space, Sphere):
            units.append(x)
        elif kind == "oriented" or isinstance(space, PositionOrientation):
            positions.append(x[..., :3])
            units.append(x[..., 3:])
        else:
            positions.append(x)
    if isinstance(group, (SE, E)):
        positions = [x - positions[-1] for x in positions[:-1]]
    vectors = positions + units
    pairs = itertools.combinations_with_replacement(range(len(vectors)), 2)
    values = [
        jnp.sum(vectors[i] * vectors[j], axis=-1, keepdims=True)
        for i, j in pairs
        if i != j or i < len(positions)
    ]
    if isinstance(group, (SE, SO)):
        values += _determinants(vectors)
    return values


def _determinants(vectors: list[Array]) -> list[Array]:
    """Determinants of all n-tuples of the vectors, as polynomials."""
    size = vectors[0].shape[-1]
    return [
        _determinant(jnp.stack(chosen, axis=-2))[..., None]
        for chosen in itertools.combinations(vectors, size)
    ]


def _determinant(m: Array) -> Array:
    """By Laplace's expansion: its derivative exists at singular matrices too."""
    size = m.shape[-1]
    # Of the last rows, for every choice of as many columns.
    minors: dict[tuple[int, ...], Array] = {(): jnp.ones_like(m[..., 0, 0])}
    for row in reversed(range(size)):
        below, minors = minors, {}
        for columns in itertools.combinations(range(size), size - row):
            terms = (
                (-1) ** i * m[..., row, column] * below[columns[:i] + columns[i + 1 :]]
                for i, column in enumerate(columns)
            )
            minors[columns] = functools.reduce(operator.add, terms)
    return minors[tuple(range(size))]
