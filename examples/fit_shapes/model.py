"""The field of a shape, its loss, training and fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from shapes import Shape

from eqjax import fields, fitting
from eqjax.groups import SE, Translation
from eqjax.spaces import Euclidean


@dataclass(frozen=True)
class ShapeModel:
    """Signed distances from latents, and how they are learned.

    Attributes:
        poses: Poses of the latents: motions of space, or translations alone.
        preset: Sizes: small ones, or the published ones of `enf_shape`.
        num_points: Points of a shape and step.
        rate_params: Learning rate of the decoder (Adam, cosine).
        rate_context: Of contexts.
        rate_pose: Of poses and log windows.
    """

    poses: Literal["motions", "translations"]
    preset: Literal["small", "enf_shape"]
    num_points: int
    rate_params: float = 4e-3
    rate_context: float = 3e-2
    rate_pose: float = 5e-3

    @property
    def group(self) -> Any:
        """The group of the poses."""
        return SE(3) if self.poses == "motions" else Translation(3)

    @property
    def field(self) -> fields.EquivariantField:
        """The decoder."""
        # Width, contexts and scales of the published shapes.
        width, context_dim, scale = 128, 8, 0.1
        if self.preset == "small":
            width, context_dim, scale = 64, 16, 0.2
        field = fields.EquivariantField(
            fields.RelativePose(self.group),
            context_dim=context_dim,
            hidden=width,
            head_dim=width,
            query_embedding=fields.FourierEmbedding(width, scale=scale),
            value_embedding=fields.FourierEmbedding(width, scale=scale),
        )
        if self.preset == "small":
            return replace(field, head_dim=width // 2, head_layers=2)
        return field

    def first_latents(self, key: Any) -> Any:
        """Latents on a grid."""
        return fields.init_latents(
            Euclidean(3),
            self.group,
            num_latents=27 if self.preset == "enf_shape" else 8,
            context_dim=self.field.context_dim,
            key=key,
        )

    @property
    def moves(self) -> dict[str, Any]:
        """How latents move."""
        return {
            "retract": partial(fields.retract_latents, self.group),
            "zero_tangent": partial(fields.zero_tangent, self.group),
        }

    def loss(self, params: Any, latents: Any, batch: tuple) -> jax.Array:
        """Mean squared error of the clipped distances of one shape.

        The batch is all samples of the shape, of which `num_points` are drawn, and a
        key.
        """
        points, values, key = batch
        rows = jax.random.randint(key, (self.num_points,), 0, len(points))
        prepared = self.field.prepare(params, latents)
        found = jax.vmap(lambda x: self.field.apply(params, prepared, x)[0])
        return jnp.mean((found(points[rows]) - values[rows]) ** 2)

    def optimizers(self, steps: int) -> tuple[Any, Any]:
        """Adam for the params, and for the latents with a rate per leaf."""

        def adam(rate: float) -> optax.GradientTransformation:
            schedule = optax.warmup_cosine_decay_schedule(0.0, rate, steps // 20, steps)
            return optax.adam(schedule)

        names = ("context", "pose", "window")
        rates = (self.rate_context, self.rate_pose, self.rate_pose)
        latents = optax.partition(
            {name: adam(rate) for name, rate in zip(names, rates, strict=True)},
            {name: name for name in names},
        )
        clip = optax.clip_by_global_norm(1.0)
        return optax.chain(clip, adam(self.rate_params)), latents


def train(
    model: ShapeModel, shapes: Sequence[Shape], *, steps: int, batch: int, key: Any
) -> tuple[Any, Any, float]:
    """The decoder, a table of latents with one row per shape, and the last losses."""
    key_field, key_latents, key_steps = jax.random.split(key, 3)
    joint = fitting.autodecode_step(model.loss, *model.optimizers(steps), **model.moves)
    points = jnp.stack([shape.points for shape in shapes])
    values = jnp.stack([shape.values for shape in shapes])
    batch = min(batch, len(shapes))

    @jax.jit
    def step(state: Any, key: Any) -> tuple[Any, jax.Array]:
        key_rows, key_points = jax.random.split(key)
        rows = jax.random.choice(key_rows, len(shapes), (batch,), replace=False)
        keys = jax.random.split(key_points, batch)
        return joint.update(state, rows, (points[rows], values[rows], keys))

    first = model.first_latents(key_latents)
    table = jax.tree.map(lambda z: jnp.stack([z] * len(shapes)), first)
    state = joint.init(jax.jit(model.field.init)(key=key_field), table)
    losses = []
    for key_step in jax.random.split(key_steps, steps):
        state, found = step(state, key_step)
        losses.append(jnp.mean(found))
    return state.params, state.table, float(jnp.mean(jnp.stack(losses[-100:])))


def fit(
    model: ShapeModel,
    params: Any,
    start: Any,
    points: jax.Array,
    values: jax.Array,
    *,
    steps: int,
    key: Any,
) -> Any:
    """Latents of one new shape, with the decoder frozen."""

    def loss(params: Any, latents: Any, key: Any) -> jax.Array:
        return model.loss(params, latents, (points, values, key))

    keys = jax.random.split(key, steps)
    optimizer = model.optimizers(steps)[1]
    return fitting.autodecode(
        loss, optimizer, params, start, keys, num_steps=steps, **model.moves
    ).latents
