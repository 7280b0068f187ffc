"""The factored upwind update of one node, and the stencil it chose."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Rounding must not turn down a solution that touches a bound of its validity.
_SLACK = 1e-6


class Neighbors(NamedTuple):
    """Values at the nodes next to a node along each axis, and one further."""

    lower: tuple[Array, ...]
    upper: tuple[Array, ...]
    lower2: tuple[Array, ...]
    upper2: tuple[Array, ...]

    def pick(self, is_lower: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """The first and second neighbor on the chosen side of each axis."""
        first = map(jnp.where, is_lower, self.lower, self.upper)
        second = map(jnp.where, is_lower, self.lower2, self.upper2)
        return list(first), list(second)


class Stencil(NamedTuple):
    """Which neighbors determine a node; piecewise constant in all the data.

    Attributes:
        is_lower: Per axis: the neighbor is the one of lower index.
        is_second: Per axis: the difference is of second order.
        is_active: Per axis: the axis takes part in the solution.
        is_factored: The factored equation was solved, not the plain one.
    """

    is_lower: tuple[Bool[Array, "*nodes"], ...]
    is_second: tuple[Bool[Array, "*nodes"], ...]
    is_active: tuple[Bool[Array, "*nodes"], ...]
    is_factored: Bool[Array, "*nodes"]


def local_update(
    tau: Neighbors,
    r: Neighbors,
    r_here: Float[Array, "*nodes"],
    direction: tuple[Float[Array, "*nodes"], ...],
    slowness: Float[Array, "*nodes"],
    *,
    spacing: tuple[float, ...],
    order: int,
    curved: bool = False,
) -> tuple[Float[Array, "*nodes"], Stencil]:
    """Solves the eikonal equation at nodes whose neighbors are given.

    With T = r tau and sigma_i T_i = p_i tau - q_i on axis i (one-sided differences of
    tau towards the neighbor of smaller T), every set A of axes gives the larger root
    of sum_A (p_i tau - q_i)^2 = s^2. The smallest root that is upwind
    (p_i tau >= q_i) and causal (T >= T of the neighbors used) wins. Where there is
    none (behind obstacles, at strong contrasts) the same is done with plain
    differences of T.

    Args:
        tau: T / r of the neighbors; `inf` where T is unknown.
        r: Distance of the neighbors from the source.
        r_here: Distance of the nodes from the source, positive.
        direction: Gradient of r, one array per axis. If `curved`, zero at a node means
            that plain differences of T are taken there.
        slowness: 1 / v at the nodes.
        spacing: Distance between nodes, per axis.
        order: 1 or 2.
        curved: Whether r is another distance than |x - source|.

    Returns:
        tau at the nodes (`inf` if no neighbor is known) and the stencils.
    """
    t_lower = [a * b for a, b in zip(tau.lower, r.lower, strict=True)]
    t_upper = [a * b for a, b in zip(tau.upper, r.upper, strict=True)]
    below, above, true_tau = t_lower, t_upper, tau
    if curved:
        tau = own_factor(tau, r, r_here, direction)
        below, above = _linear_times(tau, r_here, direction, spacing)
    # A tie goes to the side of the source, so that mirror images stay mirror images.
    is_lower = tuple(
        jnp.where(g > 0, low <= up, low < up)
        for g, low, up in zip(direction, below, above, strict=True)
    )
    tau_n, tau_nn = tau.pick(is_lower)
    t_n = list(map(jnp.where, is_lower, t_lower, t_upper))
    if order == 2:
        (_, r_nn), (_, true_nn) = r.pick(is_lower), true_tau.pick(is_lower)
        is_second = tuple(
            a * b <= t for a, b, t in zip(r_nn, true_nn, t_n, strict=True)
        )
    else:
        is_second = tuple(jnp.zeros_like(low) for low in is_lower)
    p, q = factored_coefficients(
        tau_n, tau_nn, r_here, direction, is_lower, is_second, spacing=spacing
    )
    # Next to the line of nodes through the source, the neighbor across that line may
    # be later than the node, by h^2 s / (2 r) at most if v is constant. tau is smooth
    # there, so its difference is good all the same, and leaving the axis out would
    # cost one order wherever the source is off the grid. On the line itself (all but)
    # both sides are equal, and neither is needed. Elsewhere, where T is all but
    # stationary along an axis, its error must not decide whether the axis takes part.
    floors = list(map(jnp.where, is_lower, below, above))
    for i, h in enumerate(spacing if not curved else ()):
        ahead = jnp.where(is_lower[i], direction[i], -direction[i])
        offset = ahead * r_here
        is_across = (offset > 1e-3 * h) & (offset < 0.999 * h)
        allowance = jnp.where(is_across, h * h / r_here, 1e-3 * h)
        floors[i] -= slowness * allowance
    top, bottom, active = _smallest_root(p, q, slowness, r_here, floors)
    is_factored = bottom > 0
    plain_p = [jnp.full_like(slowness, 1 / h) for h in spacing]
    plain_q = [t / h for t, h in zip(t_n, spacing, strict=True)]
    plain = _smallest_root(plain_p, plain_q, slowness, None, None)
    # One division for all candidates: it costs as much as all the comparisons.
    new = jnp.where(is_factored, top, plain[0]) / jnp.where(
        is_factored, bottom, plain[1] * r_here
    )
    is_active = tuple(
        jnp.where(is_factored, a, b) for a, b in zip(active, plain[2], strict=True)
    )
    return new, Stencil(is_lower, is_second, is_active, is_factored)


def own_factor(
    tau: Neighbors,
    r: Neighbors,
    r_here: Float[Array, "*nodes"],
    direction: Sequence[Float[Array, "*nodes"]],
) -> Neighbors:
    """tau of the neighbors for differences at a node whose r is curved.

    Where the gradient of r is given as zero, T / r at the node: then differences of
    tau are those of T, which may be smooth where r is not.
    """
    is_plain = r_here > 0
    for slope in direction:
        is_plain &= slope == 0
    inverse = 1 / jnp.where(is_plain, r_here, 1)

    def own(tau: Array, r: Array) -> Array:
        return jnp.where(is_plain, tau * r * inverse, tau)

    return Neighbors(
        *(
            tuple(map(own, values, distances))
            for values, distances in zip(tau, r, strict=True)
        )
    )


def _linear_times(
    tau: Neighbors,
    r_here: Array,
    direction: Sequence[Array],
    spacing: tuple[float, ...],
) -> tuple[list[Array], list[Array]]:
    """Times of the neighbors as if r were linear, on the lower and the upper side.

    Along a line of nodes, a curved r has its minimum anywhere between two of them, so
    the neighbor that is earlier may lie on the side to which r rises. These times are
    smaller where r falls, whatever its curvature; so constant v stays exact.
    """
    lower, upper = [], []
    for i, h in enumerate(spacing):
        rise = h * direction[i]
        # Next to the source, where r is not linear at all, it must stay positive.
        least = 1e-3 * h
        lower.append(jnp.maximum(r_here - rise, least) * tau.lower[i])
        upper.append(jnp.maximum(r_here + rise, least) * tau.upper[i])
    return lower, upper


def factored_coefficients(
    tau_n: Sequence[Float[Array, "*nodes"]],
    tau_nn: Sequence[Float[Array, "*nodes"]],
    r_here: Float[Array, "*nodes"],
    direction: Sequence[Float[Array, "*nodes"]],
    is_lower: Sequence[Bool[Array, "*nodes"]],
    is_second: Sequence[Bool[Array, "*nodes"]],
    *,
    spacing: tuple[float, ...],
) -> tuple[list[Array], list[Array]]:
    """p and q of every axis, where sigma_i dT/dx_i = p_i tau - q_i."""
    p, q = [], []
    for i, h in enumerate(spacing):
        step = r_here * (1 / h)
        slope = jnp.where(is_lower[i], direction[i], -direction[i])
        p.append(slope + jnp.where(is_second[i], 1.5 * step, step))
        behind = jnp.where(is_second[i], 2 * tau_n[i] - 0.5 * tau_nn[i], tau_n[i])
        q.append(step * behind)
    return p, q


def _smallest_root(
    p: Sequence[Array],
    q: Sequence[Array],
    slowness: Array,
    r: Array | None,
    floors: Sequence[Array] | None,
) -> tuple[Array, Array, list[Array]]:
    """Smallest valid root of sum_A (p_i x - q_i)^2 = s^2 over the sets A of axes.

    Returned as a fraction (1 / 0 if there is none), with the axes of the set that
    gave it. Causality demands r x >= `floors`; for plain differences (`r` is None) it
    is implied by p_i x >= q_i.
    """
    axes = range(len(p))
    top, bottom = jnp.ones_like(slowness), jnp.zeros_like(slowness)
    active = [jnp.zeros_like(slowness, dtype=bool) for _ in axes]
    for size in range(1, len(p) + 1):
        for chosen in itertools.combinations(axes, size):
            if size == 1:
                (i,) = chosen
                new_top, new_bottom = q[i] + slowness, p[i]
                valid = p[i] > 0
            else:
                new_bottom = sum(p[i] * p[i] for i in chosen)
                # Lagrange's identity: b^2 - a e without its cancellation.
                cross = sum(
                    (p[i] * q[j] - p[j] * q[i]) ** 2
                    for i, j in itertools.combinations(chosen, 2)
                )
                gap = new_bottom * slowness * slowness - cross
                new_top = sum(p[i] * q[i] for i in chosen) + jnp.sqrt(
                    jnp.maximum(gap, 0)
                )
                valid = gap >= 0
                for i in chosen:
                    floor = (q[i] - _SLACK * slowness) * new_bottom
                    valid &= p[i] * new_top >= floor
            if r is not None and floors is not None:
                for i in chosen:
                    valid &= r * new_top >= (1 - _SLACK) * floors[i] * new_bottom
            better = valid & (new_top * bottom < top * new_bottom)
            top = jnp.where(better, new_top, top)
            bottom = jnp.where(better, new_bottom, bottom)
            active = [jnp.where(better, i in chosen, a) for i, a in enumerate(active)]
    return top, bottom, active
