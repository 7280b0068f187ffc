"""Training: a field that images are fitted by, and a network on the latents."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from latents import LatentField

from eqjax import data, fields


class Pixels:
    """Images as gray values at the pixels of a disc; the digits are 2 wide.

    Args:
        size: Side of the digits, pixels.
        frame: Side of the images, pixels.
    """

    def __init__(self, size: int, frame: int) -> None:
        """Finds the pixels."""
        xs = data.pixel_coordinates(frame, frame).reshape(-1, 2) * frame / size
        self.half_width = frame / size
        self.inside = np.hypot(*xs.T) < self.half_width
        self.xs = jnp.asarray(xs[self.inside])

    def values(
        self, images: np.ndarray, degrees: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Gray values of the turned images, (images, pixels)."""
        angles = np.deg2rad(np.broadcast_to(degrees, len(images)))
        cos, sin = np.cos(angles), np.sin(angles)
        turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
        turned = np.clip(data.warp(images, turn), 0, 1)
        return turned.reshape(len(images), -1)[:, self.inside]


def train_field(
    field: LatentField,
    pixels: Pixels,
    values: np.ndarray,
    *,
    num_steps: int,
    batch: int,
    seed: int,
) -> Any:
    """Meta-learns decoder, rates and start; first order, from starts at all angles."""
    images = jnp.asarray(values)
    rate = optax.cosine_decay_schedule(5e-3, num_steps)
    labels = {"decoder": "adam", "context": "adam", "window": "adam", "rates": "rates"}
    optimizers: dict[Any, Any] = {"adam": optax.adam(rate), "rates": optax.adam(5e-2)}
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.multi_transform(optimizers, labels)
    )

    def loss(weights: Any, image: jax.Array, turn: jax.Array) -> jax.Array:
        z = field.fit(weights, pixels.xs, image, turn, first_order=True)
        return field.loss(weights["decoder"], z, (pixels.xs, image))

    @jax.jit
    def step(weights: Any, state: Any, key: jax.Array) -> Any:
        key_rows, key_turns = jax.random.split(key)
        rows = jax.random.randint(key_rows, (batch,), 0, len(images))
        turns = jax.random.uniform(key_turns, (batch,), maxval=2 * jnp.pi)

        def mean(weights: Any) -> jax.Array:
            return jnp.mean(jax.vmap(partial(loss, weights))(images[rows], turns))

        update, state = optimizer.update(jax.grad(mean)(weights), state, weights)
        return optax.apply_updates(weights, update), state

    key_init, key_steps = jax.random.split(jax.random.key(seed))
    weights = jax.jit(field.init)(key=key_init)
    state = optimizer.init(weights)
    for key in jax.random.split(key_steps, num_steps):
        weights, state = step(weights, state, key)
    return weights


def fitter(field: LatentField, pixels: Pixels, weights: Any, *, batch: int) -> Any:
    """A function (values, turns of the start) -> (latents, squared errors).

    It takes `batch` images at a time, so that all numbers of images share one trace.
    """

    @jax.jit
    def fit_some(weights: Any, values: jax.Array, turns: jax.Array) -> Any:
        def fit(image: jax.Array, turn: jax.Array) -> tuple[Any, jax.Array]:
            z = field.fit(weights, pixels.xs, image, turn)
            return z, field.loss(weights["decoder"], z, (pixels.xs, image))

        return jax.vmap(fit)(values, turns)

    def fit_all(values: np.ndarray, turns: np.ndarray | float = 0.0) -> Any:
        num = len(values)
        rows = np.arange(-(-num // batch) * batch).reshape(-1, batch) % num
        turns = np.broadcast_to(np.float32(turns), num)
        parts = [fit_some(weights, values[some], turns[some]) for some in rows]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:num], *parts)

    return fit_all


def train_classifier(
    net: Any,
    field: LatentField,
    latents: Any,
    labels: jax.Array,
    *,
    num_steps: int,
    seed: int,
) -> Any:
    """Adam on the cross entropy, of latents whose poses and contexts are noisy."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1e-2, num_steps // 10, num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
    unit = {**field.units, "context": 0.1, "window": 0.0}

    def moved(z: Any, key: jax.Array) -> Any:
        zero = fields.zero_tangent(field.group, z)
        noise = {
            name: unit[name] * jax.random.normal(k, zero[name].shape)
            for name, k in zip(zero, jax.random.split(key, len(zero)), strict=True)
        }
        return fields.retract_latents(field.group, z, noise)

    @jax.jit
    def step(params: Any, state: Any, seen: Any, key: jax.Array) -> Any:
        key_rows, key_noise = jax.random.split(key)
        rows = jax.random.randint(key_rows, (64,), 0, len(labels))
        z, y = jax.tree.map(lambda leaf: leaf[rows], seen)
        z = jax.vmap(moved)(z, jax.random.split(key_noise, len(rows)))

        def loss(params: Any) -> jax.Array:
            logits = jax.vmap(partial(net.apply, params))(z)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))

        update, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, update), state

    key_init, key_steps = jax.random.split(jax.random.key(seed + 1))
    params = jax.jit(net.init)(key=key_init)
    state = optimizer.init(params)
    for key in jax.random.split(key_steps, num_steps):
        params, state = step(params, state, (latents, labels), key)
    return params
