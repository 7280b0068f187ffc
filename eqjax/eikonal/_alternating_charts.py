"""The two charts of the sphere, solved in turn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from eqjax.eikonal._adjoint import Factors, Scheme, solve_tau
from eqjax.eikonal._conformal_charts import ConformalCharts
from eqjax.eikonal._grid_solver import interpolate_tau

# Around the antipode of the source, up to this angle, the kink of r is felt.
_REACH = 0.5


def solve_in_turn(
    charts: ConformalCharts,
    scheme: Scheme,
    factors: Factors,
    velocity: Float[Array, "*shape"],
    source: Float[Array, "3"],
    *,
    num_exchanges: int,
) -> tuple[Float[Array, "*shape"], Float[Array, ""], Float[Array, ""]]:
    """tau on both charts, each solved with values of the other on its edges.

    A fixed number of times, so that there are derivatives of any kind. The hemisphere
    of the source comes first.

    Returns:
        tau, the number of rounds, and `last_change`, which counts what one more
        exchange would change.
    """
    factors = _without_tip(charts, factors, velocity)
    edge = np.nonzero(charts.is_edge)
    places = jnp.asarray(charts.overlap_position(), velocity.dtype)
    first = jnp.where(source[2] >= 0, 0, 1)

    def edge_of(other: Array) -> Array:
        values, known = jax.vmap(lambda place: interpolate_tau(other, place))(places)
        return jnp.where(known > 0, values, jnp.inf)

    def solve_one(carry: tuple, i: Array) -> tuple[tuple, Array]:
        tau, edges, change = carry
        chart = (first + i) % 2
        here = jax.tree.map(lambda planes: planes[chart], factors)
        fixed = jnp.full_like(here.r, jnp.inf).at[edge].set(edges[chart])
        is_start = jnp.isfinite(here.fixed_tau)
        here = here._replace(fixed_tau=jnp.where(is_start, here.fixed_tau, fixed))
        new, rounds, last = solve_tau(scheme, here)
        tau, change = tau.at[chart].set(new), change.at[chart].set(last)
        return (tau, edges.at[1 - chart].set(edge_of(new)), change), rounds

    start = (
        factors.fixed_tau,
        _great_circle_tau(charts, velocity, source),
        jnp.full(2, jnp.inf, velocity.dtype),
    )
    order = jnp.arange(num_exchanges + 1)
    (tau, edges, change), rounds = lax.scan(solve_one, start, order)
    on_edge = (slice(None), *edge)
    largest = jnp.max(jnp.where(jnp.isfinite(tau), factors.r * tau, 0))
    is_open = ~jnp.isfinite(factors.fixed_tau[on_edge]) & (edges != tau[on_edge])
    gap = jnp.where(is_open, jnp.abs(factors.r[on_edge] * (edges - tau[on_edge])), 0)
    change = jnp.maximum(
        jnp.max(change), jnp.max(gap) / jnp.where(largest > 0, largest, 1)
    )
    return tau, jnp.sum(rounds), lax.stop_gradient(change)


def _great_circle_tau(
    charts: ConformalCharts, velocity: Array, source: Array
) -> Float[Array, "charts edge"]:
    """Mean slowness on the great circles from the source to the edges.

    First arrivals cannot be later, which makes this a start for the exchange. By
    Simpson's rule.
    """
    space, model = charts.space, charts.model
    fractions = np.linspace(0, 1, 9)
    weights = np.array([1, 4, 2, 4, 2, 4, 2, 4, 1]) / 24
    u = jnp.asarray(charts.coordinates[charts.is_edge], source.dtype)
    steps = jnp.asarray(fractions, source.dtype)[:, None]
    rule = jnp.asarray(weights, source.dtype)

    def mean_slowness(end: Array) -> Array:
        x = space.exp(source[None], steps * space.log(source, end)[None])
        speeds = [
            jax.vmap(model.at, (None, 0))(velocity[chart], charts.from_space(chart, x))
            for chart in (0, 1)
        ]
        return jnp.sum(rule / jnp.where(x[:, 2] >= 0, *speeds))

    ends = jnp.stack([charts.to_space(chart, u) for chart in (0, 1)])
    return jax.vmap(jax.vmap(mean_slowness))(ends)


def _without_tip(charts: ConformalCharts, factors: Factors, velocity: Array) -> Factors:
    """The equation without the gradient of r around the antipode if v varies.

    At the antipode r has the tip of a cone. If v is constant, T has it too, and tau
    none; else the kinks of T lie elsewhere, and differences of tau around the antipode
    would carry an error of first order on. Zero gradients mean differences of T.
    """
    # A contrast that moves the tip of T by a tenth of a cell.
    varies = jnp.max(velocity) > jnp.min(velocity) * (1 + 0.2 * charts.spacing)
    is_near = varies & (jnp.pi - factors.r < _REACH)
    direction = tuple(jnp.where(is_near, 0, slope) for slope in factors.direction)
    return factors._replace(direction=direction)
