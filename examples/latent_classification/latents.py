"""Images as latents on rings: a field, and how it is fitted to one image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from eqjax import fields, fitting, groups

# Half the spacing of latents; the digit is 2 wide.
_UNIT = 0.25


@dataclass(frozen=True)
class LatentField:
    """A decoder, and latents on rings that a few steps of learned rates fit to images.

    Latents start as orbits of the turns about the center: each ring has its poses
    evenly, heading outwards, and one context and window. Turns by 2 pi / n for rings of
    n poses then only exchange latents of the start; with poses in SE(2) every step of
    the fit commutes with such turns, and the latents of the turned image are the turned
    latents, up to their order and to what happens to pixels.

    Args:
        group: Of the poses: SE(2), or translations, which know of no turns.
        rings: Number of latents and radius of each ring.
        context_dim: Size of a context.
        hidden: Width of the decoder.
        num_steps: Steps of a fit.
    """

    group: groups.SE | groups.Translation
    rings: tuple[tuple[int, float], ...] = ((8, 0.4), (8, 0.85))
    context_dim: int = 32
    hidden: int = 64
    num_steps: int = 3

    @property
    def invariant(self) -> fields.RelativePose:
        """What a latent knows of a coordinate."""
        return fields.RelativePose(self.group, scale=_UNIT)

    @property
    def decoder(self) -> fields.EquivariantField:
        """From latents and a coordinate to a gray value."""
        return fields.EquivariantField(
            self.invariant,
            context_dim=self.context_dim,
            hidden=self.hidden,
            head_dim=self.hidden // 2,
            query_embedding=fields.SineEmbedding(self.hidden, scale=1.0),
            value_embedding=fields.SineEmbedding(self.hidden, scale=1.0),
            block="film_linear",
            head_layers=0,
        )

    @property
    def units(self) -> dict[str, Any]:
        """Lengths in which steps of the fit are measured."""
        size = 3 if isinstance(self.group, groups.SE) else 2
        # A tenth of a spacing, a tenth of a radian.
        pose = jnp.full(size, 0.1).at[:2].mul(2 * _UNIT)
        return {"pose": pose, "context": 1.0, "window": 0.1}

    def init(self, *, key: jax.Array) -> dict[str, Any]:
        """Decoder, rates of the fit, and the start of each ring."""
        per_channel = {**self.units, "pose": 0.1, "context": jnp.ones(self.context_dim)}
        return {
            "decoder": self.decoder.init(key=key),
            "rates": fitting.init_rates(per_channel, rate=0.1),
            "context": jnp.ones((len(self.rings), self.context_dim)),
            "window": math.log(2 * _UNIT) * jnp.ones(len(self.rings)),
        }

    def start(self, weights: Any, turn: jax.Array | float = 0.0) -> Any:
        """Where fits begin: the rings, turned as a whole."""
        counts = jnp.array([count for count, _ in self.rings])
        total = sum(count for count, _ in self.rings)
        ring = jnp.repeat(
            jnp.arange(len(self.rings)), counts, total_repeat_length=total
        )
        # Every other ring by half a step further.
        places = [
            2 * math.pi * (k + i % 2 / 2) / count
            for i, (count, _) in enumerate(self.rings)
            for k in range(count)
        ]
        heading = jnp.array(places) + turn
        radii = jnp.array([radius for _, radius in self.rings])[ring]
        outwards = jnp.stack([jnp.cos(heading), jnp.sin(heading)], -1)
        position = radii[:, None] * outwards
        return {
            "pose": (position, heading)
            if isinstance(self.group, groups.SE)
            else position,
            "context": weights["context"][ring],
            "window": weights["window"][ring],
        }

    def loss(self, decoder: Any, latents: Any, batch: Any) -> jax.Array:
        """Mean squared error at pixels (xs, values)."""
        xs, values = batch
        prepared = self.decoder.prepare(decoder, latents)
        found = jax.vmap(lambda x: self.decoder.apply(decoder, prepared, x)[0])(xs)
        return jnp.mean((found - values) ** 2)

    def fit(
        self,
        weights: Any,
        xs: jax.Array,
        image: jax.Array,
        turn: jax.Array | float = 0.0,
        *,
        first_order: bool = False,
    ) -> Any:
        """Latents of ONE image, given by its gray values at xs."""
        steps = self.num_steps
        return fitting.meta_sgd(
            self.loss,
            weights["decoder"],
            weights["rates"],
            self.start(weights, turn),
            (jnp.stack([xs] * steps), jnp.stack([image] * steps)),
            num_steps=steps,
            scales=self.units,
            first_order=first_order,
            retract=lambda z, dz: fields.retract_latents(self.group, z, dz),
            zero_tangent=lambda z: fields.zero_tangent(self.group, z),
        ).latents
