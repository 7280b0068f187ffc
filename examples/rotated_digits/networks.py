"""A CNN that commutes with turns, and a plain one of as many weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from eqjax import groups, nn, reps


@dataclass(frozen=True)
class SteerableCnn:
    """A lifting, convolutions of regular fields of C_n, the maximum over turns.

    Without means, shifts and biases the empty background stays zero: otherwise the
    square frame of the image would be seen, which does not turn with the digit.
    """

    num_turns: int
    channels: tuple[int, ...]
    kernel_sizes: tuple[int, ...] = (7, 5, 5)

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Convolution, normalization, activation, and a pool between, of each stage."""
        group = groups.Cyclic(self.num_turns)
        rep, regular, width = reps.trivial(group), reps.regular(group), 1
        found = []
        for channels, size in zip(self.channels, self.kernel_sizes, strict=True):
            options: Any = {"kernel_size": size, "bias": False}
            stage = {
                "conv": nn.SteerableConv(rep, regular, width, channels, **options),
                "norm": nn.InstanceNorm(regular, channels, centered=False),
                "act": nn.Pointwise(regular, channels, fn="elu"),
                "pool": nn.BlurPool(regular, channels, kernel_size=5),
            }
            found.append(stage)
            rep, width = regular, channels
        # On a coarse grid the maximum over pixels depends on where pixels lie.
        for stage in found[1:]:
            del stage["pool"]
        return found

    @property
    def head(self) -> tuple[nn.GroupPool, nn.Linear]:
        """The largest component of each fibre, and a linear map of invariants."""
        regular = reps.regular(groups.Cyclic(self.num_turns))
        scalar = reps.trivial(regular.group)
        return (
            nn.GroupPool(regular, self.channels[-1], kind="max"),
            nn.Linear(scalar, scalar, self.channels[-1], 10, bias=True),
        )

    def init(self, *, key: jax.Array) -> Any:
        """Weights."""
        keys = jax.random.split(key, len(self.channels) + 1)
        stages = [
            {name: stage[name].init(key=k) for name in ("conv", "norm")}
            for stage, k in zip(self.layers, keys[:-1], strict=True)
        ]
        return {"stages": stages, "head": self.head[1].init(key=keys[-1])}

    def apply(self, params: Any, image: jax.Array) -> jax.Array:
        """From an image (height, width) to logits."""
        x = image[:, :, None, None]
        for stage, p in zip(self.layers, params["stages"], strict=True):
            x = stage["norm"].apply(p["norm"], stage["conv"].apply(p["conv"], x))
            x = stage["act"].apply(x)
            x = stage["pool"].apply(x) if "pool" in stage else x
        pool, linear = self.head
        features = jnp.max(pool.apply(x), axis=(0, 1))
        return linear.apply(params["head"], features)[0]


@dataclass(frozen=True)
class PlainCnn:
    """The same with ordinary convolutions, which have biases."""

    channels: tuple[int, ...]
    kernel_sizes: tuple[int, ...] = (7, 5, 5)

    def init(self, *, key: jax.Array) -> Any:
        """Weights."""
        keys = jax.random.split(key, len(self.channels) + 1)
        sizes = zip(self.kernel_sizes, (1, *self.channels), self.channels, strict=False)
        stages = [
            {
                "conv": normal(k, (size, size, before, width)),
                "scale": jnp.ones(width),
                "shift": jnp.zeros(width),
            }
            for k, (size, before, width) in zip(keys, sizes, strict=False)
        ]
        head = {"w": normal(keys[-1], (self.channels[-1], 10)), "b": jnp.zeros(10)}
        return {"stages": stages, "head": head}

    def apply(self, params: Any, image: jax.Array) -> jax.Array:
        """From an image (height, width) to logits."""
        trivial = reps.trivial(groups.Cyclic(1))
        x = image[:, :, None]
        for i, (p, width) in enumerate(
            zip(params["stages"], self.channels, strict=True)
        ):
            x = jax.lax.conv_general_dilated(
                x[None],
                p["conv"],
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )[0]
            mean, variance = jnp.mean(x, (0, 1)), jnp.var(x, (0, 1))
            x = (x - mean) * jax.lax.rsqrt(variance + 1e-5)
            x = jax.nn.elu(p["scale"] * x + p["shift"])
            if i == 0:
                pool = nn.BlurPool(trivial, width, kernel_size=5)
                x = pool.apply(x[:, :, None])[:, :, 0]
        return jnp.max(x, axis=(0, 1)) @ params["head"]["w"] + params["head"]["b"]


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Normal numbers that keep the variance of what they multiply."""
    fan_in = 1
    for size in shape[:-1]:
        fan_in *= size
    return jax.random.normal(key, shape) / fan_in**0.5
