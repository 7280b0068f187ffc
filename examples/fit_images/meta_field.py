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
        """Mean squared error of one image at some places."""
        xs, values = batch
        field = self.preset.field
        prepared = field.prepare(params, latents)
        ys = jax.vmap(lambda x: field.apply(params, prepared, x))(xs)
        return jnp.mean((ys - values) ** 2)

    def sample(
        self, image: jax.Array, *, between: bool = False, key: jax.Array
    ) -> tuple[jax.Array, ...]:
        """Places and values: pixels, or one place in each, where it is interpolated."""
        key_pixels, key_places = jax.random.split(key)
        xs, values = self.xs, image.reshape(len(self.xs), -1)
        if self.num_points < len(xs):
            chosen = jax.random.permutation(key_pixels, len(xs))[: self.num_points]
            xs, values = xs[chosen], values[chosen]
        if between:
            half = 1 / max(self.shape[:2])
            xs += jax.random.uniform(key_places, xs.shape, minval=-half, maxval=half)
            values = jax.vmap(lambda x: interpolate(image, x))(xs)
        return xs, values

    def fit(self, learned: Any, image: jax.Array, *, key: jax.Array) -> fitting.Fit:
        """Latents of one image (height, width, channels)."""
        steps, poses = self.preset.num_steps, self.preset.poses
        keys = jax.random.split(key, steps)
        return fitting.meta_sgd(
            self.loss,
            learned["params"],
            learned["rates"],
            learned["latents"],
            jax.vmap(lambda key: self.sample(image, key=key))(keys),
            num_steps=steps,
            normalize="first_step" if self.preset.normalized else None,
            scales=self.preset.scales if self.preset.normalized else None,
            first_order=self.preset.first_order,
            retract=lambda z, dz: fields.retract_latents(poses, z, dz),
            zero_tangent=lambda z: fields.zero_tangent(poses, z),
        )

    def render(self, learned: Any, latents: Any, xs: jax.Array) -> jax.Array:
        """The image of some latents at coordinates (points, 2)."""
        field = self.preset.field
        prepared = field.prepare(learned["params"], latents)
        return fields.evaluate(field, learned["params"], prepared, xs)

    def outer_loss(self, learned: Any, image: jax.Array, *, key: jax.Array) -> Any:
        """Error after the inner steps, which see pixels, at pixels and between them.

        A field that is trained at pixels alone may do anything from one to the next.
        """
        key_fit, key_places = jax.random.split(key)
        latents = self.fit(learned, image, key=key_fit).latents
        kinds = (False, True) if self.preset.between else (False,)
        errors = [
            self.loss(
                learned["params"],
                latents,
                self.sample(image, between=between, key=key_places),
            )
            for between in kinds
        ]
        return sum(errors) / len(errors)

    def refine(self, learned: Any, latents: Any, image: jax.Array) -> Any:
        """Latents after five steps of Gauss-Newton, on twice as many places a side.

        Between the pixels the image is interpolated, or nothing would hold the field
        there: it has more unknowns than there are pixels.
        """
        field, poses = self.preset.field, self.preset.poses
        height, width = self.shape[:2]
        grid = data.pixel_coordinates(2 * height, 2 * width, keep_aspect=True)
        xs = jnp.concatenate([self.xs, jnp.asarray(grid.reshape(-1, 2))])

        def residuals(params: Any, z: Any, example: Any) -> jax.Array:
            x, value = example
            return field.apply(params, field.prepare(params, z), x) - value

        return fitting.gauss_newton(
            residuals,
            learned["params"],
            latents,
            (xs, jax.vmap(lambda x: interpolate(image, x))(xs)),
            num_steps=5,
            damping=1.0,
            retract=lambda z, dz: fields.retract_latents(poses, z, dz),
            zero_tangent=lambda z: fields.zero_tangent(poses, z),
        ).latents

    def errors(self, learned: Any, image: jax.Array, *, key: jax.Array) -> jax.Array:
        """Mean squared errors at all pixels: after the fit, and refined."""
        latents = self.fit(learned, image, key=key).latents
        refined = self.refine(learned, latents, image)

        def error(latents: Any) -> jax.Array:
            pixels = self.render(learned, latents, self.xs)
            return jnp.mean((pixels - image.reshape(pixels.shape)) ** 2)

        return jnp.stack([error(latents), error(refined)])
