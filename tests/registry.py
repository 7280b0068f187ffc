"""What runs under the generic tests of tests/test_registry.py: list it, it is tested.

To add a public function that commutes with a group, add an `Equivariant` to
`EQUIVARIANT`; it is then checked on generic elements, near the identity and with
reflections, at generic and at singular inputs (where its gradient must be finite too),
and, unless `composes=None`, for composition with jit,
vmap and grad. To add one that only has to compose, add a `Composing` to `COMPOSING`.
Every public spec must occur in the `covers` of an entry.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from eqjax import groups, spaces
from tests.registry_entries import Composing, Equivariant
from tests.registry_fields import COMPOSING_FIELDS, FIELDS
from tests.registry_fields_geometry import FIELDS_GEOMETRY
from tests.registry_fields_latents import COMPOSING_EMBEDDINGS, FIELDS_LATENTS
from tests.registry_fields_rbf import COMPOSING_RBF_FIELDS, RBF_FIELDS
from tests.registry_nn_affine import NN_AFFINE
from tests.registry_nn_grid import NN_GRID
from tests.registry_nn_linear import NN_LINEAR
from tests.registry_nn_pointwise import NN_POINTWISE
from tests.registry_o3 import O3
from tests.registry_reps import REPS

# Packages that do not exist yet, or whose entries are still to be written. The test
# fails when one of them exists, so that it cannot be forgotten here.
NOT_YET: tuple[str, ...] = ()

# Public frozen dataclasses that need no entry, with the reason.
EXEMPT: dict[str, str] = {
    "eqjax.spaces.RiemannianChart": "no group, and no JSON: it holds a function",
    "eqjax.reps.Decomposition": "a result",
    "eqjax.reps.EquivariantMaps": "a result; its apply is listed",
}

# Groups ------------------------------------------------------------------------------

GROUPS: tuple[groups.Group, ...] = (
    groups.Translation(2),
    groups.SO(2),
    groups.SO(3),
    groups.O(2),
    groups.O(3),
    groups.SE(2),
    groups.SE(3),
    groups.E(2),
    groups.E(3),
    groups.Cyclic(5),
    groups.Dihedral(4),
    groups.Symmetric(4),
    groups.Polyhedral("octahedral", inversion=True),
    groups.FiniteGroup(((1, 2, 0), (1, 0, 2))),
    groups.SO(4),
    groups.O(4),
    groups.SU(2),
    groups.SU(3),
    groups.U(3),
    groups.Sp(2),
    groups.Lorentz(3),
    groups.Lorentz(3, reflections="all"),
    groups.SL(2),
    groups.GLPlus(2),
    groups.Scaling(3),
    groups.Product((groups.O(2), groups.Translation(1), groups.Cyclic(3))),
    groups.Semidirect(groups.Translation(2), groups.Dihedral(4)),
    groups.Semidirect(groups.Translation(2), groups.GLPlus(2)),
    groups.from_generators(
        "shears and a mirror",
        lie=[[[0.0, 1.0], [0.0, 0.0]]],
        discrete=[[[1.0, 0.0], [0.0, -1.0]]],
    ),
)
_LARGEST_GROUPS = (GROUPS[0], groups.SE(2), groups.E(2), groups.E(3))


def _group_entry(group: groups.Group) -> Equivariant:
    """(g a) x = g (a x), and a^-1 b does not change when a and b move."""

    def fn(a: Any, b: Any, x: jax.Array) -> dict[str, jax.Array]:
        between = group.act(group.compose(group.inverse(a), b), x)
        if jnp.iscomplexobj(between):
            # Real parts, to have gradients.
            between = jnp.stack([between.real, between.imag])
        return {"moved": group.act(a, x), "between": between}

    def act_out(g: Any, result: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return result | {"moved": group.act(g, result["moved"])}

    def sample(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, 3)
        x = jax.random.normal(keys[2], (group.degree,))
        return group.sample(key=keys[0]), group.sample(key=keys[1]), x

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        a, _, x = sample(key)
        e = group.identity(dtype=x.dtype)
        return {"identity": (e, e, x), "coincident": (a, a, x), "origin": (a, e, 0 * x)}

    return Equivariant(
        f"{group}.act",
        fn,
        group,
        (group.compose, group.compose, None),
        act_out,
        sample,
        covers=(group,),
        singular=singular,
        # These contain the others.
        composes={} if group in _LARGEST_GROUPS else None,
    )


# Spaces ------------------------------------------------------------------------------

# Points of the last two are no arrays, as the protocol `Space` has them.
SPACES: tuple[Any, ...] = (
    spaces.Euclidean(2),
    spaces.Sphere(2),
    spaces.PositionOrientation(2, xi=1.0, eps=1.0),
    spaces.PositionOrientation(2, xi=1.0, eps=0.1),
    spaces.PositionOrientation(2, xi=0.1, eps=0.5),
    spaces.PositionOrientation(2, xi=0.9, eps=0.0),
    spaces.Sphere(3),
    spaces.Hyperbolic(2),
    spaces.Hyperbolic(3),
    spaces.PositionOrientation(3, xi=0.9, eps=0.2),
    spaces.Torus((2.0, 3.0)),
    spaces.LieGroupSpace(groups.SO(3), weights=(1.0, 2.0, 3.0)),
    spaces.Product((spaces.Sphere(2), spaces.Torus((2.0,))), weights=(1.0, 2.0)),
)
# xi and eps change numbers, no code but that of eps = 1, which is a part of the rest.
_COMPOSING_SPACES = (*SPACES[:2], SPACES[3], SPACES[7], SPACES[9], *SPACES[11:])


def _normal_like(x: Any, key: jax.Array) -> Any:
    """Normal numbers of the structure of a point."""
    leaves, structure = jax.tree.flatten(x)
    keys = jax.random.split(key, len(leaves))
    draws = [
        jax.random.normal(k, leaf.shape, leaf.dtype)
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, draws)


def _times(factor: float, v: Any) -> Any:
    return jax.tree.map(lambda leaf: factor * leaf, v)


def sample_tangent(space: spaces.Space, x: Any, key: jax.Array) -> Any:
    """A normal tangent vector at x."""
    return space.to_tangent(x, _normal_like(x, key))


def act_tangent(space: spaces.Space, g: Any, pair: tuple) -> tuple:
    """Moves a point with a tangent vector; frame components do not change."""
    x, v = pair
    planar = isinstance(space, spaces.PositionOrientation) and space.n == 2
    if planar or isinstance(space, spaces.LieGroupSpace):
        return space.act(g, x), v
    return jax.jvp(lambda x: space.act(g, x), (x,), (v,))


def act_covector(space: spaces.Space, g: Any, pair: tuple) -> tuple:
    """Moves a point with the differential of a function T: that of T(g^-1 x)."""
    x, dT = pair
    y = space.act(g, x)
    _, pull_back = jax.vjp(lambda y: space.act(space.group.inverse(g), y), y)
    return y, pull_back(dT)[0]


def _distance_entry(space: spaces.Space) -> Equivariant:
    def sample(key: jax.Array) -> tuple[Any, ...]:
        key_x, key_y = jax.random.split(key)
        return space.sample(key=key_x), space.sample(key=key_y)

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        key_x, key_v = jax.random.split(key)
        x = space.sample(key=key_x)
        v = sample_tangent(space, x, key_v)
        examples = {
            "coincident": (x, x),
            "close": (x, space.exp(x, _times(1e-9, v))),
        }
        if isinstance(space, spaces.Sphere):
            examples["antipodal"] = (x, -x)
        if isinstance(space, spaces.PositionOrientation) and space.n == 3:
            examples["antipodal"] = (x, x.at[3:].multiply(-1))
        elif isinstance(space, spaces.PositionOrientation):
            step = jnp.eye(3, dtype=x.dtype)
            for name, direction in zip(("ahead", "aside"), step[:2], strict=True):
                examples[name] = (x, space.exp(x, direction))
            examples["full turn"] = (x, x + 2 * jnp.pi * step[2])
        return examples

    return Equivariant(
        f"{space}.distance",
        space.distance,
        space.group,
        (space.act, space.act),
        None,
        sample,
        covers=(space,),
        singular=singular,
        # The distance for eps < 1 holds the square root of a coordinate, hence of its
        # rounding error.
        singular_atol=1e-7,
        composes={} if space in _COMPOSING_SPACES else None,
    )


def _covector_entry(space: spaces.Space) -> Equivariant:
    """dual_norm is invariant and raise_index equivariant."""

    def fn(pair: tuple) -> tuple:
        x, dT = pair
        return space.dual_norm(x, dT), (x, space.raise_index(x, dT))

    def act_out(g: Any, result: tuple) -> tuple:
        return result[0], act_tangent(space, g, result[1])

    def sample(key: jax.Array) -> tuple[Any, ...]:
        key_x, key_dT = jax.random.split(key)
        x = space.sample(key=key_x)
        return ((x, _normal_like(x, key_dT)),)

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        x = space.sample(key=key)
        return {"zero covector": ((x, _times(0.0, x)),)}

    return Equivariant(
        f"{space}.dual_norm",
        fn,
        space.group,
        (lambda g, pair: act_covector(space, g, pair),),
        act_out,
        sample,
        covers=(space,),
        singular=singular,
        composes={} if space in _COMPOSING_SPACES else None,
    )


def _maps_entry(space: spaces.Space) -> Equivariant:
    """exp, retract and project of points; log and transport of tangent vectors."""

    def fn(pair: tuple, y: Any) -> dict[str, Any]:
        x, v = pair
        results = {
            "exp": space.exp(x, v),
            "project": space.project(x),
            "log": (x, space.log(x, y)),
            "transport": (y, space.transport(x, y, v)),
        }
        # In hyperbolic space it is x + v, which boosts do not commute with.
        if not isinstance(space, spaces.Hyperbolic):
            results["retract"] = space.retract(x, v)
        return results

    def act_out(g: Any, result: dict[str, Any]) -> dict[str, Any]:
        vectors = ("log", "transport")
        return {
            name: act_tangent(space, g, value)
            if name in vectors
            else space.act(g, value)
            for name, value in result.items()
        }

    def sample(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, 3)
        x = space.sample(key=keys[0])
        return (x, sample_tangent(space, x, keys[1])), space.sample(key=keys[2])

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        (x, v), y = sample(key)
        return {
            "coincident": ((x, v), x),
            "zero tangent": ((x, _times(0.0, v)), y),
            "close": ((x, _times(1e-9, v)), space.exp(x, _times(1e-9, v))),
        }

    return Equivariant(
        f"{space}.maps",
        fn,
        space.group,
        (lambda g, pair: act_tangent(space, g, pair), space.act),
        act_out,
        sample,
        covers=(space,),
        singular=singular,
    )


def _invariants_entry(
    space: spaces.Space, group: groups.Group, kinds: tuple[str, ...]
) -> Equivariant:
    """Invariants of tuples, whose members move together."""

    def home(kind: str) -> Any:
        is_oriented = kind == "oriented"
        return spaces.PositionOrientation(space.dim) if is_oriented else space

    def act_member(kind: str) -> Any:
        if kind == "pose":
            return group.compose
        return lambda g, x: home(kind).act(g, x, group=group)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, len(kinds))
        return tuple(
            (group if kind == "pose" else home(kind)).sample(key=k)
            for kind, k in zip(kinds, keys, strict=True)
        )

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        first, *others = sample(key)
        if set(kinds) != {"point"}:
            return {}
        return {
            "coincident": (first,) * len(kinds),
            "two of them": (first, first, *others[1:]),
        }

    return Equivariant(
        f"invariants of {space}, {group}, {'-'.join(kinds)}",
        spaces.invariants(space, group, kinds),
        group,
        tuple(act_member(kind) for kind in kinds),
        None,
        sample,
        covers=(),
        singular=singular,
        # Determinants of coinciding points are zero but for rounding of their terms.
        singular_atol=1e-12,
        composes={} if kinds[-1] == "oriented" else None,
    )


_POINTS = ("point",) * 3
INVARIANTS = (
    _invariants_entry(spaces.Euclidean(2), groups.SE(2), _POINTS),
    _invariants_entry(spaces.Euclidean(3), groups.SE(3), ("point", "point", "pose")),
    _invariants_entry(spaces.Euclidean(3), groups.E(3), ("point", "oriented")),
    _invariants_entry(spaces.PositionOrientation(3), groups.SE(3), _POINTS[:2]),
    _invariants_entry(spaces.PositionOrientation(2), groups.SE(2), _POINTS[:2]),
    _invariants_entry(spaces.Sphere(2), groups.O(3), _POINTS),
    _invariants_entry(spaces.Hyperbolic(2), groups.Lorentz(2), _POINTS),
    _invariants_entry(spaces.Torus((2.0, 3.0)), groups.Translation(2), _POINTS[:2]),
)


def _ball_entry(ball: spaces.Ball) -> Equivariant:
    group = groups.O(ball.n)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        return (3 * ball.radius * jax.random.normal(key, (ball.n,)),)

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        x = jax.random.normal(key, (ball.n,))
        return {"center": (0 * x,), "inside": (ball.project(x) / 2,)}

    return Equivariant(
        f"{ball}.project",
        ball.project,
        group,
        (group.act,),
        group.act,
        sample,
        covers=(ball,),
        singular=singular,
    )


EQUIVARIANT: list[Equivariant] = [
    *(_group_entry(group) for group in GROUPS),
    *(_distance_entry(space) for space in SPACES),
    *(_covector_entry(space) for space in SPACES),
    # The exponential map of positions and orientations does not see xi and eps.
    *(
        _maps_entry(space)
        for space in (*SPACES[:3], SPACES[7], SPACES[9], *SPACES[11:])
    ),
    *INVARIANTS,
    *REPS,
    *O3,
    *NN_LINEAR,
    *NN_POINTWISE,
    *NN_GRID,
    *NN_AFFINE,
    _ball_entry(spaces.Ball(2, 1.5)),
    *FIELDS,
    *FIELDS_GEOMETRY,
    *FIELDS_LATENTS,
    *RBF_FIELDS,
]

COMPOSING: list[Composing] = [
    *COMPOSING_EMBEDDINGS,
    *COMPOSING_FIELDS,
    *COMPOSING_RBF_FIELDS,
    Composing(
        "Box.project",
        spaces.Box((0.0, -1.0), (2.0, 1.0)).project,
        lambda key: (jnp.array([2.3, 0.4]) + 0.1 * jax.random.normal(key, (2,)),),
        covers=(spaces.Box((0.0, -1.0), (2.0, 1.0)),),
    ),
    *(
        Composing(entry.name, entry.fn, entry.sample, entry.covers, entry.composes)
        for entry in EQUIVARIANT
        if entry.composes is not None
    ),
]
