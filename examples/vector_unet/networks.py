"""A U-Net from a pseudoscalar image to a vector field, for any group of the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from eqjax import groups, nn, reps


@dataclass(frozen=True)
class Block:
    """Two convolutions with ELUs before them, beside a skip by one convolution."""

    rep: Any
    channels_in: int
    channels_out: int
    stride: int = 1

    @property
    def layers(self) -> dict[str, nn.SteerableConv]:
        """Even kernels where there is a stride, since the sizes are even."""

        def conv(channels: int, size: int, stride: int = 1) -> nn.SteerableConv:
            return nn.SteerableConv(
                self.rep,
                self.rep,
                channels,
                self.channels_out,
                kernel_size=size,
                stride=stride,
            )

        even = self.stride == 2
        return {
            "first": conv(self.channels_in, 4 if even else 5, self.stride),
            "second": conv(self.channels_out, 5),
            "skip": conv(self.channels_in, 4 if even else 1, self.stride),
        }

    def init(self, *, key: jax.Array) -> Any:
        """Weights."""
        keys = jax.random.split(key, 3)
        pairs = zip(self.layers.items(), keys, strict=True)
        return {name: layer.init(key=k) for (name, layer), k in pairs}

    def apply(self, params: Any, x: jax.Array) -> jax.Array:
        """One field."""
        layers = self.layers
        y = layers["first"].apply(params["first"], jax.nn.elu(x))
        y = layers["second"].apply(params["second"], jax.nn.elu(y))
        return layers["skip"].apply(params["skip"], x) + 0.5 * y


@dataclass(frozen=True)
class UNet:
    """Down and up again, with the fields of the way down beside those of the way up."""

    group: Any
    widths: tuple[int, ...]

    @property
    def rep_in(self) -> Any:
        """The vorticity changes its sign in a mirror, if there are mirrors."""
        if isinstance(self.group, groups.Dihedral):
            return reps.irrep(self.group, "0o")
        return reps.trivial(self.group)

    @property
    def rep_out(self) -> Any:
        """The velocity is a vector."""
        return reps.standard(self.group)

    @property
    def layers(self) -> dict[str, Any]:
        """Every layer by its name."""
        regular = reps.regular(self.group)
        before = self.widths[0]
        found: dict[str, Any] = {
            "lift": nn.SteerableConv(self.rep_in, regular, 1, before, kernel_size=5)
        }
        for i, width in enumerate(self.widths[1:]):
            found[f"down{i}"] = Block(regular, before, width, stride=2)
            before = width
        for i in reversed(range(len(self.widths) - 1)):
            found[f"up{i}"] = Block(regular, before + self.widths[i], self.widths[i])
            before = self.widths[i]
        found["last"] = nn.SteerableConv(
            regular, self.rep_out, before, 1, kernel_size=5
        )
        return found

    def init(self, *, key: jax.Array) -> Any:
        """Weights."""
        keys = jax.random.split(key, len(self.layers))
        pairs = zip(self.layers.items(), keys, strict=True)
        return {name: layer.init(key=k) for (name, layer), k in pairs}

    def apply(self, params: Any, x: jax.Array) -> jax.Array:
        """From (height, width, 1, 1) to (height, width, 2, 1)."""
        layers = self.layers

        def run(name: str, x: jax.Array) -> jax.Array:
            return layers[name].apply(params[name], x)

        x, beside = run("lift", x), []
        for i in range(len(self.widths) - 1):
            beside.append(x)
            x = run(f"down{i}", x)
        for i in reversed(range(len(self.widths) - 1)):
            x = nn.Upsample(reps.regular(self.group), x.shape[-1]).apply(x)
            x = run(f"up{i}", jnp.concatenate([x, beside.pop()], axis=-1))
        return run("last", jax.nn.elu(x))
