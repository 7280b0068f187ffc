"""Entries of the registry for what reads whole sets of latents."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from eqjax import fields
from eqjax.fields import LatentClassifier, PosePair, RelativePoint, RelativePose
from eqjax.groups import SE, E
from tests import field_cases as cases
from tests.registry_entries import Composing, Equivariant

_ROWS = (
    RelativePose(SE(2), scale=1.7),
    RelativePose(E(3)),
    RelativePoint(cases.SPACE),
)


def _seed(key: jax.Array) -> int:
    return int(jax.random.randint(key, (), 0, 1000))


def _cast(params: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def _latents(b: Any, key: jax.Array) -> tuple[Any, ...]:
    return (cases.random_latents(b, _seed(key), num_latents=3),)


def _together(b: Any, key: jax.Array) -> dict[str, tuple[Any, ...]]:
    """All latents at one place."""
    (z,) = _latents(b, key)
    pose = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * 3), z["pose"])
    return {"coincident": ({**z, "pose": pose},)}


def _pair_entry(b: Any) -> Equivariant:
    def sample(key: jax.Array) -> tuple[Any, ...]:
        poses = cases.random_poses(b, 2, _seed(key))
        return tuple(jax.tree.map(lambda leaf, i=i: leaf[i], poses) for i in range(2))

    def move(g: Any, pose: Any) -> Any:
        return cases.move_pose(b, g, pose)

    pair = PosePair(b)
    return Equivariant(
        f"PosePair-{cases.row_name(b)}",
        pair.__call__,
        b.symmetry,
        (move, move),
        None,
        sample,
        covers=(pair,),
        singular=lambda key: {"coincident": (sample(key)[0],) * 2},
    )


def _classifier_entry(b: Any) -> Equivariant:
    net = LatentClassifier(b, context_dim=3, num_classes=5, hidden=7, num_layers=1)
    params = cases.random_params(net, 0)

    def fn(z: Any) -> jax.Array:
        return net.apply(_cast(params, z["context"].dtype), z)

    return Equivariant(
        f"LatentClassifier-{cases.row_name(b)}",
        fn,
        b.symmetry,
        (lambda g, z: cases.move_latents(b, g, z),),
        None,
        lambda key: _latents(b, key),
        covers=(net, net.embedding),
        singular=lambda key: _together(b, key),
        # Cubes of entries of size ten.
        atol=1e-10,
        singular_atol=1e-10,
        composes=None,
    )


FIELDS_LATENTS: list[Equivariant] = [
    *(_pair_entry(b) for b in _ROWS),
    # Not E(3): its pairs have hundreds of monomials to compile.
    *(_classifier_entry(b) for b in (_ROWS[0], _ROWS[2])),
]


def _embedding_entry(embedding: Any) -> Composing:
    params = embedding.init(2, key=jax.random.key(0))
    return Composing(
        type(embedding).__name__,
        embedding.apply,
        lambda key: (params, jax.random.normal(key, (2,))),
        covers=(embedding,),
    )


COMPOSING_EMBEDDINGS: list[Composing] = [
    _embedding_entry(fields.SineEmbedding(4, scale=0.3)),
    _embedding_entry(fields.MlpEmbedding(3)),
]
