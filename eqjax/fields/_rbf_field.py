"""Fields of radial basis functions that stand, stretch and turn with a signal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_positive,
    check_shape,
    check_size,
)
from eqjax._core._dense import Params, dense, init_dense_he, split_named
from eqjax._core._specs import register_spec
from eqjax.fields._rbf_kernels import Kernels, precision_factors

Range: TypeAlias = tuple[float, float]


@register_spec
@dataclass(frozen=True)
class RBFField:
    """A signal on R^d, given by kernels with a center, a shape and features.

        q_k = (x - c_k)^T A_k (x - c_k),   phi = exp(-q/2) or 1/(1 + q)
        f(x) = decoder(sum over the kernels of smallest q of w_k * wave(phi_k))

    The decoder sees nothing but the q_k, which an affine motion of x and of the kernels
    (`transform_kernels`) leaves alone. Hence the field is steerable,
    f(g x; g kernels) = f(x; kernels), for every affine g, not for rotations only.

    The defaults are a published field for images, without its hash grid, which would
    not be steerable. `waves=None, normalize=False, num_layers=0, num_neighbors=None` is
    the plain sum of w_k phi_k.

    Args:
        dim: Number d of coordinates.
        num_out: Number of channels of the signal.
        num_features: Number of features of a kernel.
        kernel: phi, "gaussian" or "inverse_quadratic".
        num_neighbors: How many kernels of smallest q are summed; `None` for all. The
            field jumps where the last of them changes, unless phi has decayed there:
            do not differentiate such a field in space.
        normalize: Whether to divide phi by its sum over these kernels, a constant for
            derivatives.
        waves: Lowest and highest frequency of wave(phi)_j = sin(w_j phi), w_j spaced
            logarithmically over the features; `None` for wave(phi) = phi.
        hidden: Width of the decoder's layers.
        num_layers: Number of the decoder's hidden layers; without any, the sum itself
            is the signal.
        first_waves: Lowest and highest frequency f_j of the decoder's first layer,
            h + sin(f h); `None` for relu, as in the others.

    Raises:
        ValueError: If a number is out of range, or there is no decoder and not one
            feature per channel.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields
        >>> field = fields.RBFField(2, num_out=3)
        >>> key_field, key_points, key_kernels = jax.random.split(jax.random.key(0), 3)
        >>> params = field.init(key=key_field)
        >>> points = jax.random.uniform(key_points, (100, 2))
        >>> kernels = fields.init_kernels(
        ...     points, num_kernels=9, num_features=32, key=key_kernels)
        >>> field.apply(params, field.prepare(params, kernels), jnp.zeros(2)).shape
        (3,)

    References:
        Chen, Li, Song et al., "NeuRBF: a neural fields representation with adaptive
        radial basis functions" (2023), section 3.
    """

    dim: int
    num_out: int = 1
    num_features: int = 32
    kernel: Literal["gaussian", "inverse_quadratic"] = "inverse_quadratic"
    num_neighbors: int | None = 4
    normalize: bool = True
    waves: Range | None = (2.0**-3, 2.0**12)
    hidden: int = 64
    num_layers: int = 3
    first_waves: Range | None = (10.0, 100.0)

    def __post_init__(self) -> None:
        """Checks the fields."""
        for name in ("dim", "num_out", "num_features", "hidden"):
            check_size(name, getattr(self, name))
        check_choice("kernel", self.kernel, ("gaussian", "inverse_quadratic"))
        if self.num_neighbors is not None:
            check_size("num_neighbors", self.num_neighbors)
        check_size("num_layers", self.num_layers, minimum=0)
        for name in ("waves", "first_waves"):
            for frequency in getattr(self, name) or ():
                check_positive(name, frequency)
        check_condition(
            self.num_layers > 0 or self.num_features == self.num_out,
            f"`num_features` must be `num_out` = {self.num_out} without a decoder, got "
            f"{self.num_features}. Pass `num_layers` of at least 1 for a decoder.",
        )

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Parameters of the decoder, {"layer_0", ..}; {} without one."""
        if self.num_layers == 0:
            return {}
        names = [f"layer_{i}" for i in range(self.num_layers + 1)]
        sizes = [self.num_features] + [self.hidden] * self.num_layers + [self.num_out]
        keys = split_named(key, names)
        return {
            name: init_dense_he(n_in, n_out, dtype=dtype, key=keys[name])
            for name, n_in, n_out in zip(names, sizes[:-1], sizes[1:], strict=True)
        }

    def prepare(self, params: Any, kernels: Kernels) -> dict[str, Array]:
        """The kernels of ONE signal with their factors as matrices.

        Raises:
            ValueError: If the kernels do not fit, or are fewer than the neighbors.
        """
        center, feature = kernels["center"], kernels["feature"]
        check_shape("kernels['center']", center, (None, self.dim))
        num = center.shape[0]
        check_shape("kernels['feature']", feature, (num, self.num_features))
        factor = precision_factors(kernels)
        check_condition(
            self.num_neighbors is None or self.num_neighbors <= num,
            f"`num_neighbors` is {self.num_neighbors}, but there are only {num} "
            "kernels.",
        )
        return {"center": center, "factor": factor, "feature": feature}

    def nearest(
        self, prepared: dict[str, Array], x: Float[Array, " dim"]
    ) -> Int[Array, " neighbors"]:
        """Indices of the kernels that `apply` sums at ONE coordinate.

        They depend on centers and shapes alone: where these stay as they are, find the
        indices once and pass them to `apply`.
        """
        q = _squared_distances(prepared["factor"], prepared["center"], x)
        num = len(q) if self.num_neighbors is None else self.num_neighbors
        return jax.lax.top_k(-jax.lax.stop_gradient(q), num)[1]

    def apply(
        self,
        params: Any,
        prepared: dict[str, Array],
        x: Float[Array, " dim"],
        *,
        neighbors: Int[Array, " neighbors"] | None = None,
    ) -> Float[Array, " num_out"]:
        """The signal at ONE coordinate; batch with `jax.vmap` or `evaluate`.

        Args:
            params: Of `init`.
            prepared: Of `prepare`.
            x: The coordinate.
            neighbors: Of `nearest`; default: they are found here.
        """
        check_shape("x", x, (self.dim,), remedy="Use `jax.vmap` for many coordinates.")
        if neighbors is None and self.num_neighbors is not None:
            neighbors = self.nearest(prepared, x)
        center, factor, feature = (
            prepared[name] for name in ("center", "factor", "feature")
        )
        if neighbors is not None:
            center, feature = center[neighbors], feature[neighbors]
            factor = factor if factor.shape[0] == 1 else factor[neighbors]
        q = _squared_distances(factor, center, x)
        phi = jnp.exp(-q / 2) if self.kernel == "gaussian" else 1 / (1 + q)
        if self.normalize:
            phi = phi / (jax.lax.stop_gradient(jnp.sum(phi)) + _SMALLEST_SUM)
        if self.waves is None:
            y = jnp.matmul(phi, feature, precision="highest")
        else:
            frequencies = _spaced(self.waves, self.num_features, x.dtype)
            y = jnp.sum(feature * jnp.sin(phi[:, None] * frequencies[None]), axis=0)
        return self._decode(params, y)

    def _decode(self, params: Any, y: Array) -> Array:
        if self.num_layers == 0:
            return y
        for i in range(self.num_layers):
            waves = self.first_waves if i == 0 else None
            # Frequencies multiply what a phase has lost.
            precision = None if waves is None else "highest"
            y = dense(params[f"layer_{i}"], y, precision=precision)
            if waves is not None:
                y = y + jnp.sin(_spaced(waves, self.hidden, y.dtype) * y)
            else:
                y = jax.nn.relu(y)
        return dense(params[f"layer_{self.num_layers}"], y)


# The published one: far from all kernels values fade out instead of being 0/0.
_SMALLEST_SUM = 1e-8


def _squared_distances(
    factor: Float[Array, "factors dim dim"],
    center: Float[Array, "kernels dim"],
    x: Float[Array, " dim"],
) -> Float[Array, " kernels"]:
    """(x - c)^T L L^T (x - c); there is one L per kernel, or one for all."""
    offset = x[None] - center
    # A matrix product: written as the sum of products, XLA 0.10 on CPUs compiled wrong
    # numbers for a thousand kernels and several x.
    if factor.shape[0] == 1:
        seen = jnp.matmul(offset, factor[0], precision="highest")
    else:
        seen = jnp.einsum("kij,ki->kj", factor, offset, precision="highest")
    return jnp.sum(seen * seen, axis=-1)


def _spaced(ends: Range, num: int, dtype: DTypeLike) -> Array:
    """Frequencies spaced logarithmically."""
    exponents = np.linspace(math.log(ends[0]), math.log(ends[1]), num)
    return jnp.asarray(np.exp(exponents), dtype)
