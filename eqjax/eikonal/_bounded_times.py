"""Travel times as a distance times a mean slowness between its bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_shape
from eqjax._core._dense import dense
from eqjax.spaces import Space

Factors = Callable[[Array, Array], tuple[Array, Array]]


class BoundedTimes:
    """What fields of times T = d m have in common; they define d and m."""

    space: Any

    def _factors(
        self,
        params: Any,
        prepared: dict[str, Any],
        source: Array,
        receiver: Array,
        speed_bounds: Array,
    ) -> tuple[Array, Array]:
        """The distance d, and m between its bounds."""
        raise NotImplementedError

    def times(
        self,
        params: Any,
        prepared: dict[str, Any],
        source: Float[Array, " ambient"],
        receiver: Float[Array, " ambient"],
        speed_bounds: Float[Array, "2"],
    ) -> Float[Array, ""]:
        """Travel time of ONE pair.

        Args:
            params: Of `init`.
            prepared: Of `prepare`.
            source: A point of the space.
            receiver: A point of the space.
            speed_bounds: Smallest and largest speed of this velocity field, with some
                margin; in units of distance per time.

        Returns:
            The time, a scalar.
        """
        d, m = self._factors(params, prepared, source, receiver, speed_bounds)
        return d * m

    def times_and_slowness(
        self,
        params: Any,
        prepared: dict[str, Any],
        source: Float[Array, " ambient"],
        receiver: Float[Array, " ambient"],
        speed_bounds: Float[Array, "2"],
    ) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        """Travel time of ONE pair and the dual norms of its gradients at both ends.

        Where source and receiver coincide, T has no gradient; the norms are then those
        of its limit along any ray, m.

        Args:
            params: Of `init`.
            prepared: Of `prepare`.
            source: A point of the space.
            receiver: A point of the space.
            speed_bounds: Smallest and largest speed.

        Returns:
            Time, slowness at the source, slowness at the receiver; scalars.
        """
        return time_and_slowness(
            lambda s, r: self._factors(params, prepared, s, r, speed_bounds),
            self.space,
            source,
            receiver,
        )


def symmetric_distance(space: Space, source: Array, receiver: Array) -> Array:
    """The distance, symmetric to the last bit: both orders averaged."""
    distance = space.distance
    return (distance(source, receiver) + distance(receiver, source)) / 2


def check_space(space: Space) -> None:
    """Refuses spaces of which T = d m with bounded m cannot be symmetric or true."""
    check_condition(
        not getattr(space, "forward_only", False),
        "`space` moves forward only, so that T(s, r) is not T(r, s), but this field is "
        "symmetric. Use `forward_only=False`, or `LatticeEikonal`.",
    )
    check_condition(
        math.isfinite(_distance_ratio(space)[1]),
        "`space` must have a distance within known factors of the true one, got "
        f'{space}. Use `form="combined"`.',
    )


def _distance_ratio(space: Space) -> tuple[float, float]:
    """Bounds of the true distance over `space.distance`."""
    return getattr(space, "distance_ratio", (1.0, 1.0))


def bounded_slowness(
    u: Float[Array, ""], space: Space, speed_bounds: Float[Array, "2"], bound: str
) -> Float[Array, ""]:
    """A number between c / v_max and C / v_min for any number u.

    (c, C) is (1, 1) where the distance of the space is exact, else wide enough to hold
    the true distance over it.
    """
    check_shape("speed_bounds", speed_bounds, (2,))
    share = jax.nn.sigmoid(u)
    least, most = _distance_ratio(space)
    slowest, fastest = most / speed_bounds[0], least / speed_bounds[1]
    if bound == "log":
        return fastest * (slowest / fastest) ** share
    return fastest + (slowest - fastest) * share


def time_and_slowness(
    factors: Factors, space: Space, source: Array, receiver: Array
) -> tuple[Array, Array, Array]:
    """T = d m of one pair and the dual norms of its gradients at both ends.

    Where the ends coincide, T has no gradient; the norms are then m.
    """

    def time(source: Array, receiver: Array) -> tuple[Array, tuple[Array, Array]]:
        d, m = factors(source, receiver)
        return d * m, (d, m)

    (t, (d, m)), gradients = jax.value_and_grad(time, (0, 1), has_aux=True)(
        source, receiver
    )
    at_source = space.dual_norm(source, gradients[0])
    at_receiver = space.dual_norm(receiver, gradients[1])
    return t, jnp.where(d > 0, at_source, m), jnp.where(d > 0, at_receiver, m)


def bumps(layer: Any, x: Array) -> Array:
    """exp(-(c y)^2) of a dense layer's output y, with the learned width c.

    Its kernel starts as He's: near zero the activation is flat.
    """
    return jnp.exp(-((layer["width"] * dense(layer, x)) ** 2))
