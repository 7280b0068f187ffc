"""Entries of the registry for fields about bodies."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eqjax.fields import RelativePose, transform_latents
from eqjax.fields._embeddings import SineEmbedding
from eqjax.fields._equivariant_field import EquivariantField
from eqjax.fields._geometry_to_field import GeometryToField
from eqjax.fields._with_scalars import WithScalars
from eqjax.groups import SE
from tests.registry_entries import Equivariant

_GROUP = SE(2)


def _rng(key: jax.Array) -> np.random.Generator:
    return np.random.default_rng(int(jax.random.randint(key, (), 0, 1000)))


def _move_point(g: Any, x: jax.Array) -> jax.Array:
    return jnp.concatenate([_GROUP.act(g, x[:2]), x[2:]])


def _turn(g: Any, v: jax.Array) -> jax.Array:
    """The first two numbers are a vector."""
    turn = _GROUP.linear_part.matrix(g[1])
    return jnp.concatenate([turn @ v[:2], v[2:]])


def _pose(rng: np.random.Generator, *shape: int) -> tuple[jax.Array, jax.Array]:
    angles = np.asarray(rng.uniform(-np.pi, np.pi, shape))
    return jnp.asarray(rng.normal(size=(*shape, 2))), jnp.asarray(angles)


def _with_scalars_entry() -> Equivariant:
    b = WithScalars(RelativePose(_GROUP, scale=1.7), 2)

    def fn(x: jax.Array, pose: Any) -> dict[str, jax.Array]:
        return {"b": b(x, pose), "squared_distance": b.squared_distance(x, pose)}

    def sample(key: jax.Array) -> tuple[Any, ...]:
        rng = _rng(key)
        return jnp.asarray(rng.normal(size=4)), _pose(rng)

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        x, pose = sample(key)
        return {"coincident": (jnp.concatenate([pose[0], x[2:]]), pose)}

    return Equivariant(
        "bi-invariant with scalars",
        fn,
        _GROUP,
        (_move_point, _GROUP.compose),
        None,
        sample,
        covers=(b,),
        singular=singular,
        composes=None,
    )


def _geometry_entry() -> Equivariant:
    """Velocities turn with the body and the inflow; a third channel does not."""
    b = RelativePose(_GROUP)
    sizes: dict[str, Any] = {
        "hidden": 7,
        "num_heads": 2,
        "head_dim": 3,
        "query_embedding": SineEmbedding(6, scale=0.3),
        "value_embedding": SineEmbedding(8, scale=0.5),
        "block": "film_linear",
        "head_layers": 0,
    }
    model = GeometryToField(
        EquivariantField(b, context_dim=4, **sizes),
        EquivariantField(WithScalars(b, 1), context_dim=7, num_out=3, **sizes),
        num_conditions=3,
        turning=True,
    )
    params = {"decoder": model.decoder_field.init(key=jax.random.key(0))}

    def fn(latents: Any, condition: jax.Array, x: jax.Array) -> jax.Array:
        weights = jax.tree.map(lambda leaf: leaf.astype(x.dtype), params)
        prepared = model.prepare(weights, latents, condition)
        return model.apply(weights, prepared, x)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        rng = _rng(key)
        latents = {
            "pose": _pose(rng, 3),
            "context": jnp.asarray(rng.normal(size=(3, 4))),
            "window": jnp.asarray(0.3 * rng.normal(size=3)),
        }
        return latents, jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=3))

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        latents, condition, x = sample(key)
        return {
            "no inflow": (latents, condition.at[:2].set(0), x),
            "coincident": (latents, condition, x.at[:2].set(latents["pose"][0][0])),
        }

    return Equivariant(
        "GeometryToField",
        fn,
        _GROUP,
        (lambda g, z: transform_latents(_GROUP, g, z), _turn, _move_point),
        _turn,
        sample,
        covers=(model,),
        singular=singular,
        # Values of size one, rounded in a dozen layers.
        singular_atol=1e-12,
        # The decoder's own entry does; tests/fields/test_geometry_to_field.py compiles
        # and differentiates the whole.
        composes=None,
    )


FIELDS_GEOMETRY: list[Equivariant] = [_with_scalars_entry(), _geometry_entry()]
