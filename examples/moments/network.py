"""A steerable network for C4, and the invariants that it makes of its last field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp

from eqjax import groups, nn, reps

GROUP = groups.Cyclic(4)
SCALAR, REGULAR = reps.trivial(GROUP), reps.regular(GROUP)
CLASSES = 10


@dataclass(frozen=True)
class Network:
    """Images to scores of classes, in the same way for an image turned by 90 degrees.

    Lifting, a blur with stride 2, and two group convolutions, each with an instance
    norm and a ReLU. The last field is pooled over its fibre, and a head makes
    invariants of what remains, an image of `channels` scalars. The scores are a linear
    function of these, standardized over the batch.

    Attributes:
        size: Height and width of the images, odd.
        widths: Channels of the fields, one for each convolution; none: the head sees
            the image.
        head: "mean" over the pixels, or "moments".
        max_order: Of Zernike moments.
        pairs: Whether the head keeps phases between moments.
    """

    size: int
    widths: tuple[int, ...] = (4, 4, 16)
    head: Literal["mean", "moments"] = "moments"
    max_order: int = field(default=6, kw_only=True)
    pairs: bool = field(default=False, kw_only=True)

    @property
    def convolutions(self) -> tuple[nn.SteerableConv, ...]:
        """Without bias, which a norm behind them takes off."""
        found = []
        rep, channels = SCALAR, 1
        for width in self.widths:
            size = 5 if found else 7
            found.append(
                nn.SteerableConv(
                    rep, REGULAR, channels, width, kernel_size=size, bias=False
                )
            )
            rep, channels = REGULAR, width
        return tuple(found)

    @property
    def moments(self) -> nn.MomentHead:
        size = (self.size + 1) // 2 if self.widths else self.size
        return nn.MomentHead("zernike", self.max_order, size, pairs=self.pairs)

    @property
    def num_features(self) -> int:
        count = self.moments.num_features if self.head == "moments" else 1
        return count * (self.widths[-1] if self.widths else 1)

    @property
    def standardize(self) -> nn.BatchNorm:
        return nn.BatchNorm(SCALAR, self.num_features)

    def init(self, *, key: jax.Array) -> Any:
        keys = jax.random.split(key, len(self.widths) + 1)
        params = {}
        for i, conv in enumerate(self.convolutions):
            norm = nn.InstanceNorm(REGULAR, self.widths[i]).init(key=keys[i])
            params[f"conv_{i}"] = {"conv": conv.init(key=keys[i]), "norm": norm}
        shape = (self.num_features, CLASSES)
        scores = {"weights": jax.random.normal(keys[-1], shape) * shape[0] ** -0.5}
        scores |= {"standardize": self.standardize.init(key=keys[-1])}
        return params | {"scores": scores}

    def init_state(self) -> Any:
        return self.standardize.init_state()

    def features(self, params: Any, image: jax.Array) -> jax.Array:
        """The invariants of one image (size, size)."""
        x: Any = image[..., None, None]
        for i, (conv, width) in enumerate(
            zip(self.convolutions, self.widths, strict=True)
        ):
            weights = params[f"conv_{i}"]
            x = conv.apply(weights["conv"], x)
            x = nn.InstanceNorm(REGULAR, width).apply(weights["norm"], x)
            x = nn.Pointwise(REGULAR, width).apply(x)
            if i == 0:
                x = nn.BlurPool(REGULAR, width, kernel_size=5, stride=2).apply(x)
        if self.widths:
            x = nn.GroupPool(REGULAR, self.widths[-1]).apply(x)
        if self.head == "moments":
            return self.moments.apply(x).ravel()
        return jnp.mean(x, axis=(0, 1)).ravel()

    def apply(self, params: Any, state: Any, x: jax.Array, **options: Any) -> Any:
        """The scores of one image, and the state."""
        features, scores = self.features(params, x)[None], params["scores"]
        y, state = self.standardize.apply(
            scores["standardize"], state, features, **options
        )
        return jnp.ravel(jnp.asarray(y)) @ scores["weights"], state
