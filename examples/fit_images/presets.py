"""Fields for images, and how they are trained: ours, and the published ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax

from eqjax import fields, groups, spaces


@dataclass(frozen=True)
class Preset:
    """A field and the settings of its training.

    Attributes:
        field: The field.
        num_latents: Latents of an image.
        rates: First learning rates of poses, contexts and windows in the inner loop;
            in units of `scales` where steps are normalized.
        normalized: Whether inner steps are measured by the first gradient.
        num_steps: Inner steps.
        first_order: Whether derivatives of inner gradients are left out.
        learning_rate: Of Adam, for the parameters.
        rates_learn: How many times faster the rates learn.
        batch: Images of a step.
        num_points: Pixels of an inner step, drawn anew each time; None takes all.
        between: Whether half of the outer error is that between pixels, at interpolated
            values.
        context_scale: Entries of the first contexts.
        learned_latents: Whether contexts and windows start from learned ones.
    """

    field: fields.EquivariantField
    num_latents: int
    rates: tuple[float, float, float] = (0.1, 0.1, 0.1)
    normalized: bool = True
    num_steps: int = 3
    first_order: bool = True
    learning_rate: float = 1e-3
    rates_learn: float = 1.0
    batch: int = 32
    num_points: int | None = None
    between: bool = True
    context_scale: float = 1.0
    learned_latents: bool = True

    @property
    def spacing(self) -> float:
        """Half the distance of neighboring latents on [-1, 1]^2."""
        return 1 / math.sqrt(self.num_latents)

    @property
    def poses(self) -> groups.Group:
        """The group of the latents' poses."""
        return self.field.bi_invariant.poses

    @property
    def scales(self) -> dict[str, Any]:
        """Units of the inner steps: contexts, log windows, positions and angles."""
        position = 0.2 * self.spacing
        pose = [position, position, 0.1][: self.poses.dim]
        return {"context": 1.0, "window": 0.1, "pose": jax.numpy.array(pose)}

    def init_latents(self, *, key: jax.Array) -> dict[str, Any]:
        """Latents of one image to start from."""
        return fields.init_latents(
            spaces.Euclidean(2),
            self.poses,
            num_latents=self.num_latents,
            context_dim=self.field.context_dim,
            context_scale=self.context_scale,
            key=key,
        )


def image_field(
    num_out: int, num_latents: int, *, num_neighbors: int | None = None
) -> fields.EquivariantField:
    """The field that serves any set of images: its unit is the distance of latents.

    Frequencies of the embeddings are then half cycles from one latent to the next,
    whatever the number of pixels and of latents.
    """
    distance = 2 / math.sqrt(num_latents)
    return fields.EquivariantField(
        fields.RelativePose(groups.SE(2), scale=distance),
        num_out=num_out,
        hidden=64,
        head_dim=32,
        query_embedding=fields.SineEmbedding(64, scale=1.0),
        value_embedding=fields.SineEmbedding(64, scale=1.0),
        num_neighbors=num_neighbors,
        block="film_linear",
        head_layers=0,
    )


def default(num_out: int) -> Preset:
    """16 latents: for digits, and a start for other small images."""
    return Preset(image_field(num_out, 16), 16)


def enf_min_cifar(num_out: int) -> Preset:
    """enf-min-jax, experiments/cifar10_classification.py: 179,587 parameters.

    Published with plain gradient steps, second order, rates that are not learned (those
    here are), and 10 epochs of Adam 5e-4.
    """
    field = fields.EquivariantField(
        fields.RelativePose(groups.Translation(2)),
        context_dim=64,
        num_out=num_out,
        num_heads=3,
        head_dim=64,
        query_embedding=fields.SineEmbedding(128, scale=3.0),
        value_embedding=fields.SineEmbedding(128, scale=5.0),
        num_neighbors=4,
        block="film_linear",
        head_layers=0,
        logit_scale=1.0,
    )
    return Preset(
        field,
        num_latents=16,
        rates=(2.0, 30.0, 1e-6),
        normalized=False,
        first_order=False,
        learning_rate=5e-4,
        rates_learn=10.0,
        between=False,
        context_scale=1 / 64,
        learned_latents=False,
    )


def enf_image(num_out: int) -> Preset:
    """enf-jax, ad_config_meta_image.yaml: 144 latents on a grid of 12 by 12."""
    field = fields.EquivariantField(
        fields.RelativePose(groups.SE(2)),
        context_dim=64,
        num_out=num_out,
        query_embedding=fields.FourierEmbedding(128, scale=0.1),
        value_embedding=fields.FourierEmbedding(128, scale=2.0),
        num_neighbors=9,
        block="film_norm_per_head",
    )
    return Preset(
        field,
        num_latents=144,
        rates=(1.0, 5.0, 0.1),
        normalized=False,
        first_order=False,
        learning_rate=1e-4,
        rates_learn=10.0,
        batch=8,
        num_points=1024,
        between=False,
        learned_latents=False,
    )


PRESETS = {"default": default, "enf_min_cifar": enf_min_cifar, "enf_image": enf_image}
