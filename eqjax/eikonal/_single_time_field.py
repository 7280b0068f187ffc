"""Neural travel times of one velocity field, without latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import check_choice, check_positive, check_shape, check_size
from eqjax._core._dense import Params, dense, init_dense_he, split_named
from eqjax._core._specs import register_spec
from eqjax.eikonal._bounded_times import (
    BoundedTimes,
    bounded_slowness,
    bumps,
    check_space,
    symmetric_distance,
)
from eqjax.spaces import Space


@register_spec
@dataclass(frozen=True)
class SingleTravelTimeField(BoundedTimes):
    """Travel times T(s, r) between any two points of ONE velocity field.

        T(s, r) = d(s, r) m,   m = 1 / v_max + (1 / v_min - 1 / v_max) sigmoid(a u)

    d is the distance of the space, u a perceptron of the coordinates of both ends. As
    of `TravelTimeField`: T(s, s) = 0; d / v_max <= T <= d / v_min; T(s, r) = T(r, s)
    exactly, by the mean of both orders after the first layer; T of the speed c v is
    T / c. There are no latents and there is no symmetry to keep: this is the smallest
    form where a velocity field is trained for itself.

    Args:
        space: Space of sources and receivers.
        hidden: Width of the layers.
        num_layers: Number of hidden layers, with the activation exp(-(c x)^2), c
            learned, one per layer.
        scale: Length that coordinates are divided by, half the domain's width; center
            the domain at 0.
        frequency: Size of the first kernel at the start, per `scale`. Larger ones
            resolve finer structure.
        bound: "linear" as above; "log" spaces m geometrically between its bounds.

    Raises:
        ValueError: If a number is out of range, `bound` unknown, or the distance of
            the space unrelated to travel times (forward motion only).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import eikonal, spaces
        >>> field = eikonal.SingleTravelTimeField(spaces.Euclidean(2), hidden=8)
        >>> params = field.init(key=jax.random.key(0))
        >>> s, r = jnp.array([-0.5, 0.0]), jnp.array([0.5, 0.0])
        >>> prepared = field.prepare(params, {})
        >>> float(field.times(params, prepared, s, r, jnp.array([2.0, 2.0])))
        0.5

    References:
        Grubas, Duchkov, Loginov, "Neural eikonal solver: improving accuracy of
        physics-informed neural networks for solving eikonal equation in case of
        caustics" (2023), section 3.
    """

    space: Space
    hidden: int = 100
    num_layers: int = 6
    scale: float = 1.0
    frequency: float = 1.0
    bound: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("hidden", self.hidden)
        check_size("num_layers", self.num_layers)
        check_positive("scale", self.scale)
        check_positive("frequency", self.frequency)
        check_choice("bound", self.bound, ("linear", "log"))
        check_space(self.space)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Parameters as a nested dict; needs no sample input."""
        names = [f"layer_{i}" for i in range(self.num_layers)]
        keys = split_named(key, [*names, "out"])
        sizes = [2 * self.space.ambient_dim] + [self.hidden] * self.num_layers
        params: Params = {
            "out": init_dense_he(self.hidden, 1, dtype=dtype, key=keys["out"]),
            "alpha": jnp.ones((), dtype),
        }
        for name, n_in, n_out in zip(names, sizes[:-1], sizes[1:], strict=True):
            layer = init_dense_he(n_in, n_out, dtype=dtype, key=keys[name])
            params[name] = {**layer, "width": jnp.ones((), dtype)}
        params["layer_0"]["kernel"] *= self.frequency
        return params

    def prepare(self, params: Any, latents: dict[str, Any]) -> dict[str, Any]:
        """Nothing, since there are no latents: `{}` for `{}`."""
        del params, latents
        return {}

    def _factors(
        self,
        params: Any,
        prepared: dict[str, Any],
        source: Array,
        receiver: Array,
        speed_bounds: Array,
    ) -> tuple[Array, Array]:
        """The distance d, and m between its bounds."""
        size = self.space.ambient_dim
        check_shape("source", source, (size,))
        check_shape("receiver", receiver, (size,))
        ends = jnp.stack([source, receiver]) / self.scale
        views = jnp.stack([ends.ravel(), ends[::-1].ravel()])
        first = bumps(params["layer_0"], views)
        # A sum of two terms does not depend on their order.
        y = (first[0] + first[1]) / 2
        for i in range(1, self.num_layers):
            y = bumps(params[f"layer_{i}"], y)
        u = params["alpha"] * dense(params["out"], y)[0]
        d = symmetric_distance(self.space, source, receiver)
        return d, bounded_slowness(u, self.space, speed_bounds, self.bound)
