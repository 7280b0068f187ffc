"""Entries of the registry for fields and travel times."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eqjax import eikonal, fields
from eqjax.fields import Absolute, FourierEmbedding, RelativePoint, RelativePose
from eqjax.groups import SE, SO, E, Lorentz, O, Product
from eqjax.spaces import Euclidean, Hyperbolic, PositionOrientation, Sphere, Torus
from tests import field_cases as cases
from tests.registry_entries import Composing, Equivariant

# Rows on which the costly laws run: flat, reflected, curved, with headings.
ROWS: tuple[RelativePose | RelativePoint, ...] = (
    RelativePose(SE(2), scale=1.7),
    RelativePose(E(3)),
    RelativePoint(Sphere(2), group=SO(3)),
    RelativePoint(cases.SIDLING_CAR),
)
# Spaces of travel times beside these.
PAIR_ROWS: tuple[RelativePose | RelativePoint, ...] = (
    RelativePose(Lorentz(2), scale=1.7),
    RelativePoint(Hyperbolic(2), scale=1.7),
    RelativePoint(cases.SPACE, pose_space=cases.NEEDLES, scale=1.7),
)
# Fields run on these too; of a row they see no more than its invariants.
FIELD_ROWS: tuple[RelativePose | RelativePoint, ...] = (
    RelativePose(O(3), cases.SPACE, with_radius=True),
    RelativePoint(cases.NEEDLES, scale=1.7),
    RelativePoint(Hyperbolic(2), scale=1.7),
)
_BOUNDS = jnp.array([1.3, 5.9])


def _seed(key: jax.Array) -> int:
    return int(jax.random.randint(key, (), 0, 1000))


def _first(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _cast(params: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def _moves(b: Any) -> dict[str, Any]:
    """Actions on points, poses and latents."""
    on_poses = _action(b.poses, b.symmetry)
    if isinstance(b, RelativePose):
        on_poses = _composition(b.poses, b.symmetry)
    return {
        "point": _action(b.space, b.symmetry),
        "pose": on_poses,
        "latents": lambda g, z: cases.move_latents(b, g, z),
    }


# The same function for all entries of a space, so that it is compiled once.
@functools.cache
def _action(space: Any, group: Any) -> Any:
    return lambda g, x: space.act(g, x, group=group)


@functools.cache
def _composition(poses: Any, group: Any) -> Any:
    if isinstance(poses, Product):  # rotations and radii
        return lambda g, pose: (group.compose(g, pose[0]), pose[1])
    return group.compose


def _bi_invariant_entry(b: Any) -> Equivariant:
    def fn(x: jax.Array, pose: Any) -> dict[str, jax.Array]:
        return {"b": b(x, pose), "squared_distance": b.squared_distance(x, pose)}

    def sample(key: jax.Array) -> tuple[Any, ...]:
        seed = _seed(key)
        x = cases.random_points(b.space, 1, seed)
        return _first((x, cases.random_poses(b, 1, seed + 1)))

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        _, pose = sample(key)
        base = cases.base_point(b, pose)
        examples = {"coincident": (base, pose)}
        if isinstance(b.space, Sphere):
            examples["antipodal"] = (-base, pose)
        if isinstance(b.space, Torus):
            half = jnp.asarray(b.space.periods) / 2
            examples["half a period away"] = (base + half, pose)
        if isinstance(b.poses, PositionOrientation) and b.poses.n == 3:
            ahead = base.at[:3].add(2 * pose[3:])
            examples["ahead"] = (ahead, pose)
        if b.space == Sphere(2) and b.symmetry == SO(2):
            pole = jnp.array([0.0, 0.0, 1.0])
            examples |= {"at a pole": (-pole, pose), "at both": (pole, -pole)}
        return examples

    move = _moves(b)
    new = b in cases.MORE_BI_INVARIANTS
    return Equivariant(
        f"bi-invariant-{cases.row_name(b)}",
        fn,
        b.symmetry,
        (move["point"], move["pose"]),
        None,
        sample,
        covers=(b,),
        singular=singular,
        rtol=1e-12 if new else None,
        # Affine maps and boosts stretch coordinates by tens.
        singular_atol=1e-13 if new else 1e-14,
        composes={} if b in ROWS else None,
    )


def _pair_entry(b: Any) -> Equivariant:
    invariant = eikonal.PairInvariant(b)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        seed = _seed(key)
        points = cases.random_points(b.space, 2, seed)
        return *points, _first(cases.random_poses(b, 1, seed + 1))

    move = _moves(b)
    return Equivariant(
        f"pair invariant-{cases.row_name(b)}",
        invariant.__call__,
        b.symmetry,
        (move["point"], move["point"], move["pose"]),
        None,
        sample,
        covers=(invariant,),
        singular=lambda key: _coincidences(b, *sample(key)),
        composes={} if b in ROWS else None,
    )


def _coincidences(
    b: Any, s: jax.Array, r: jax.Array, pose: Any
) -> Mapping[str, tuple[Any, ...]]:
    base = cases.base_point(b, pose)
    examples = {"s = r": (s, s, pose), "s = p": (base, r, pose)}
    examples["s = r = p"] = (base, base, pose)
    if isinstance(b.space, Sphere):
        return examples | {"s = -r": (s, -s, pose), "r = -p": (s, -base, pose)}
    return examples | {"collinear": (s, base + 3 * (s - base), pose)}


def _latents_entry(b: Any) -> Equivariant:
    """Steps along left-trivialized tangents commute with moving the latents."""

    def fn(z: Any, dz: Any) -> Any:
        return fields.retract_latents(b.poses, z, dz)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        z = cases.random_latents(b, _seed(key))
        zero = fields.zero_tangent(b.poses, z)
        leaves, structure = jax.tree.flatten(zero)
        keys = jax.random.split(key, len(leaves))
        tangent = structure.unflatten(
            jax.random.normal(k, leaf.shape)
            for k, leaf in zip(keys, leaves, strict=True)
        )
        return z, tangent

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        z, dz = sample(key)
        return {"no step": (z, jax.tree.map(lambda leaf: 0 * leaf, dz))}

    act = _moves(b)["latents"]
    return Equivariant(
        f"retract_latents-{cases.row_name(b)}",
        fn,
        b.symmetry,
        (act, None),
        act,
        sample,
        covers=(),
        singular=singular,
    )


def _field_entry(b: Any, *, composes: bool, **options: Any) -> Equivariant:
    field = cases.tiny_field(b, head_layers=1, **options)
    params = cases.random_params(field, 0)

    def fn(z: Any, x: jax.Array) -> jax.Array:
        weights = _cast(params, x.dtype)
        return field.apply(weights, field.prepare(weights, z), x)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        z = cases.random_latents(b, _seed(key), num_latents=3)
        return z, cases.random_points(b.space, 1, _seed(key) + 1)[0]

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        z, _ = sample(key)
        return {"coincident": (z, cases.base_point(b, _first(z["pose"])))}

    move = _moves(b)
    return Equivariant(
        f"field-{cases.row_name(b)}-{options or ''}",
        fn,
        b.symmetry,
        (move["latents"], move["point"]),
        None,
        sample,
        covers=(field, field.attention, field.query_embedding),
        singular=singular,
        # Values of size ten, rounded in a dozen layers.
        singular_atol=1e-11,
        composes={} if composes else None,
    )


def _travel_time_entry(b: Any) -> Equivariant:
    """Times and the slownesses at both ends, T(g s, g r; g z) = T(s, r; z)."""
    field = cases.tiny_travel_times(b, head_layers=1)
    params = cases.random_params(field, 0)

    def fn(z: Any, s: jax.Array, r: jax.Array) -> tuple[jax.Array, ...]:
        weights = _cast(params, s.dtype)
        prepared = field.prepare(weights, z)
        return field.times_and_slowness(
            weights, prepared, s, r, _BOUNDS.astype(s.dtype)
        )

    def sample(key: jax.Array) -> tuple[Any, ...]:
        z = cases.random_latents(b, _seed(key), num_latents=3)
        return z, *cases.random_points(b.space, 2, _seed(key) + 1)

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        z, s, r = sample(key)
        examples = _coincidences(b, s, r, _first(z["pose"]))
        return {name: (z, *points[:2]) for name, points in examples.items()}

    move = _moves(b)
    return Equivariant(
        f"travel times-{cases.row_name(b)}",
        fn,
        b.symmetry,
        (move["latents"], move["point"], move["point"]),
        None,
        sample,
        covers=(field,),
        singular=singular,
        rtol=1e-10,
        # The car's distance is a fourth root of rounding errors where ends coincide,
        # and the slowness there that of a direction which rounding chooses.
        singular_atol=1e-11,
        # Half a minute; tests/eikonal/test_travel_time_field.py does as much.
        composes=None,
    )


def _ray_entry(space: Any, group: Any) -> Equivariant:
    """Rays down invariant times move with source and receiver."""

    def fn(source: jax.Array, receiver: jax.Array) -> dict[str, jax.Array]:
        def times(x: jax.Array) -> jax.Array:
            return space.distance(source, x) * (1 + jnp.sum((x - source) ** 2) / 8)

        ray = eikonal.trace_ray(
            jax.grad(times),
            lambda x: 1 + jnp.sum((x - source) ** 2),
            space,
            source,
            receiver,
            step=0.17,
            max_steps=20,
        )
        return {"points": ray.points, "length": ray.length, "time": ray.time}

    def act(g: Any, x: jax.Array) -> jax.Array:
        return space.act(g, x, group=group)

    def act_out(g: Any, result: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return result | {"points": jax.vmap(lambda x: act(g, x))(result["points"])}

    def sample(key: jax.Array) -> tuple[Any, ...]:
        return tuple(cases.random_points(space, 2, _seed(key)))

    return Equivariant(
        f"trace_ray-{space}",
        fn,
        group,
        (act, act),
        act_out,
        sample,
        covers=(),
        composes=None,
    )


def _radial_velocity_entry() -> Equivariant:
    speed = eikonal.RadialVelocity((0.0, 0.7, 2.0), (5.0, 4.0, 1.5), center=(0.0, 0.0))
    group = O(2)
    return Equivariant(
        "RadialVelocity",
        speed.at,
        group,
        (group.act,),
        None,
        lambda key: (cases.random_points(Euclidean(2), 1, _seed(key))[0] / 2,),
        covers=(speed,),
    )


FIELDS: list[Equivariant] = [
    _radial_velocity_entry(),
    *(_bi_invariant_entry(b) for b in cases.ALL_BI_INVARIANTS),
    *(_pair_entry(b) for b in cases.BI_INVARIANTS),
    *(_latents_entry(b) for b in (*ROWS[:2], RelativePose(O(3)), ROWS[3])),
    _latents_entry(RelativePose(SO(2), cases.PLANE, scale=1.7, with_radius=True)),
    *(_field_entry(b, composes=b == ROWS[0]) for b in (*ROWS[:3], *FIELD_ROWS)),
    _field_entry(ROWS[0], composes=False, num_neighbors=2),
    *(_travel_time_entry(b) for b in ROWS + PAIR_ROWS),
    _ray_entry(Euclidean(2), E(2)),
    _ray_entry(Sphere(2), O(3)),
]


def _embedding_entry() -> Composing:
    embedding = FourierEmbedding(6, scale=0.3)
    params = embedding.init(2, key=jax.random.key(0))
    return Composing(
        "FourierEmbedding",
        embedding.apply,
        lambda key: (params, jax.random.normal(key, (2,))),
        covers=(embedding,),
    )


def _absolute_entry() -> Composing:
    b = Absolute(cases.CAR, scale=1.7)
    return Composing(
        "Absolute",
        lambda x: b(x, None),
        lambda key: (jax.random.normal(key, (3,)),),
        covers=(b,),
    )


def _grid_velocity_entry() -> Composing:
    grid = eikonal.GridVelocity((4, 5), (0.3, 0.2), interpolation="cubic")
    return Composing(
        "GridVelocity",
        grid.at,
        lambda key: (2 + jax.random.uniform(key, (4, 5)), jnp.array([0.47, 0.33])),
        covers=(grid,),
    )


def _grid_solver_entry() -> Composing:
    solver = eikonal.GridEikonal((4, 5), (0.3, 0.2), order=1, max_rounds=3)

    @jax.jit  # uncompiled, its loops take seconds
    def times(velocity: jax.Array, source: jax.Array) -> jax.Array:
        return solver.solve(velocity, source).times

    return Composing(
        "GridEikonal",
        times,
        lambda key: (2 + jax.random.uniform(key, (4, 5)), jnp.array([0.47, 0.33])),
        covers=(solver,),
        # Its gradients have tests of their own.
        options={"modes": (), "batch_size": 2},
    )


def _single_time_field_entry() -> Composing:
    field = eikonal.SingleTravelTimeField(Euclidean(2), hidden=4, num_layers=2)
    params = cases.random_params(field, 0)

    def times(s: jax.Array, r: jax.Array) -> tuple[jax.Array, ...]:
        return field.times_and_slowness(params, {}, s, r, _BOUNDS)

    return Composing(
        "SingleTravelTimeField",
        times,
        lambda key: tuple(cases.random_points(field.space, 2, _seed(key))),
        covers=(field,),
    )


def _lattice_solver_entry() -> Composing:
    solver = eikonal.LatticeEikonal((4, 5), (0.3, 0.2), max_rounds=40)
    stencil = solver.stencil(np.array([[[[1.0, 0.5], [0.5, 1.0]]]]))

    @jax.jit  # uncompiled, its loops take seconds
    def times(velocity: jax.Array, source: jax.Array) -> jax.Array:
        return solver.solve(stencil, velocity, source).times

    return Composing(
        "LatticeEikonal",
        times,
        lambda key: (2 + jax.random.uniform(key, (4, 5)), jnp.array([0.47, 0.33])),
        covers=(solver,),
        # Its gradients have tests of their own.
        options={"modes": (), "batch_size": 2},
    )


def _conformal_solver_entry() -> Composing:
    solver = eikonal.ConformalEikonal(Hyperbolic(2), 5, order=1, max_rounds=3)

    @jax.jit  # uncompiled, its loops take seconds
    def times(velocity: jax.Array, source: jax.Array) -> jax.Array:
        return solver.solve(velocity, source).times

    return Composing(
        "ConformalEikonal",
        times,
        lambda key: (
            2 + jax.random.uniform(key, solver.shape),
            jnp.array([0.27, -0.13]),
        ),
        covers=(solver,),
        # Its gradients have tests of their own.
        options={"modes": (), "batch_size": 2},
    )


COMPOSING_FIELDS: list[Composing] = [
    _conformal_solver_entry(),
    _lattice_solver_entry(),
    _single_time_field_entry(),
    _embedding_entry(),
    _absolute_entry(),
    _grid_velocity_entry(),
    _grid_solver_entry(),
]
