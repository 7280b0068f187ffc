"""A field whose latents are found by a few learned gradient steps."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from presets import Preset

from eqjax import data, fields, fitting


def interpolate(image: jax.Array, x: jax.Array) -> jax.Array:
    """The bilinear interpolation of an image (height, width, channels) at x (2,).

    In the coordinates of `data.pixel_coordinates` with `keep_aspect`.
    """
    height, width = image.shape[:2]
    column = (width - 1 + max(height, width) * x[0]) / 2
    row = (height - 1 - max(height, width) * x[1]) / 2
    return jax.vmap(
        lambda channel: map_coordinates(
            channel, [row, column], order=1, mode="nearest"
        ),
        in_axes=-1,
    )(image)


class MetaField:
    """The functions of a preset on images of one size; `learned` is what is trained."""

    def __init__(self, preset: Preset, shape: tuple[int, ...]) -> None:
        self.preset, self.shape = preset, shape
        grid = data.pixel_coordinates(*shape[:2], keep_aspect=True)
        self.xs = jnp.asarray(grid.reshape(-1, 2))
        self.num_points = preset.num_points or len(self.xs)

    def init(self, *, key: jax.Array) -> dict[str, Any]:
        """Parameters of the decoder, logarithms of rates, latents to start from."""
        key_params, key_latents = jax.random.split(key)
        pose, context, window = map(math.log, self.preset.rates)
        return {
            "params": self.preset.field.init(key=key_params),
            "rates": {
                "pose": jnp.full(self.preset.poses.dim, pose),
                "context": jnp.full(self.preset.field.context_dim, context),
                "window": jnp.asarray(window),
            },
            "latents": self.preset.init_latents(key=key_latents),
        }

    def loss(self, params: Any, latents: Any, batch: Any) -> jax.Array:
        """Mean squared error of one image at some pixels."""
        values, pixels = batch
        field = self.preset.field
        prepared = field.prepare(params, latents)
        ys = jax.vmap(lambda x: field.apply(params, prepared, x))(self.xs[pixels])
        return jnp.mean((ys - values[pixels]) ** 2)

    def fit(self, learned: Any, values: jax.Array, *, key: jax.Array) -> fitting.Fit:
        """Latents of one image, its values (pixels, channels)."""
        steps, poses = self.preset.num_steps, self.preset.poses
        pixels = jnp.broadcast_to(jnp.arange(len(self.xs)), (steps, len(self.xs)))
        if self.num_points < len(self.xs):
            keys = jax.random.split(key, steps)
            pixels = jax.vmap(jax.random.permutation)(keys, pixels)
        batches = jnp.broadcast_to(values, (steps, *values.shape))
        return fitting.meta_sgd(
            self.loss,
            learned["params"],
            learned["rates"],
            learned["latents"],
            (batches, pixels[:, : self.num_points]),
            num_steps=steps,
            normalize="first_step" if self.preset.normalized else None,
            scales=self.preset.scales if self.preset.normalized else None,
            first_order=self.preset.first_order,
            retract=lambda z, dz: fields.retract_latents(poses, z, dz),
            zero_tangent=lambda z: fields.zero_tangent(poses, z),
        )

    def image(self, learned: Any, latents: Any, xs: jax.Array) -> jax.Array:
        """The image of some latents at coordinates (points, 2)."""
        field = self.preset.field
        prepared = field.prepare(learned["params"], latents)
        return fields.evaluate(field, learned["params"], prepared, xs)

    def error(
        self, learned: Any, values: jax.Array, *, between: bool = False, key: jax.Array
    ) -> jax.Array:
        """Mean squared error of one image after the fit, at all pixels.

        Or at random places between them, where the image is interpolated: a field that
        is trained there stays smooth from pixel to pixel.
        """
        key_fit, key_places = jax.random.split(key)
        latents = self.fit(learned, values, key=key_fit).latents
        xs = self.xs
        if between:
            half = 1 / max(self.shape[:2])
            xs += jax.random.uniform(key_places, xs.shape, minval=-half, maxval=half)
            image = values.reshape(self.shape)
            values = jax.vmap(lambda x: interpolate(image, x))(xs)
        return jnp.mean((self.image(learned, latents, xs) - values) ** 2)
