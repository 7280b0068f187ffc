"""Upwind equations on stencils of integer offsets, with derivatives by the adjoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int


@dataclasses.dataclass(frozen=True)
class LatticeScheme:
    """Static facts of the iteration."""

    max_rounds: int
    tolerance: float

    def attainable(self, shape: tuple[int, ...], dtype: jnp.dtype) -> float:
        """The tolerance, or what rounding allows if that is more."""
        return max(self.tolerance, 4 * max(shape) * float(jnp.finfo(dtype).eps))


class LatticeProblem(NamedTuple):
    """The data of the discrete equation of T = r tau.

    At every node: sum_k rho_k max(0, u_k-, u_k+)^2 = s^2 with the differences
    u_k-+ = (r +- g_k) tau - c_k-+ tau_k-+ towards the nodes at -+e_k. With c = r they
    are those of tau; with c = r at the neighbor and g = 0, those of T itself.

    Attributes:
        slowness: s at the nodes; zero where a node keeps its value (at the source,
            absent).
        fixed: tau that is kept; `inf` where nothing is known at the start.
        r: A positive function that grows like T at the source.
        slopes: g_k, the derivatives of r along the offsets.
        scales: c_k-+; axes along which it is constant may have size 1.
        weights: rho_k in units of nodes.
        neighbors: Numbers of the nodes at -e_k and +e_k (rows of the first axis) in C
            order; the number of all nodes where there is none.
    """

    slowness: Float[Array, "*shape"]
    fixed: Float[Array, "*shape"]
    r: Float[Array, "*shape"]
    slopes: Float[Array, "terms *shape"]
    scales: Float[Array, "#2 #terms *shape"]
    weights: Float[Array, "terms *shape"]
    neighbors: Int[Array, "2 terms *shape"]


class _Upwind(NamedTuple):
    """Per offset: the earlier of the two differences, u = p (tau - a)."""

    a: Float[Array, "terms *shape"]
    p: Float[Array, "terms *shape"]
    is_upper: Array


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def solve_lattice(
    scheme: LatticeScheme, problem: LatticeProblem
) -> tuple[Float[Array, "*shape"], Float[Array, ""], Float[Array, ""]]:
    """The largest fixed point of the local updates.

    Values start at infinity and only fall; all nodes are updated at once. Derivatives
    are those of the discrete equations with the stencils that are active at the
    solution, whatever the number of updates.

    Returns:
        tau, the number of updates, and how far T may still be from the fixed point,
        relative to its maximum: the change by one more update, times the nodes of the
        longest axis. The latter two have no derivative.
    """
    shape = problem.slowness.shape
    is_open = problem.slowness > 0

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, rounds, change = carry
        tolerance = scheme.attainable(shape, change.dtype)
        return (rounds < scheme.max_rounds) & (change > tolerance)

    def update(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        tau, rounds, _ = carry
        new = _solve_update(_upwind(problem, tau), problem)
        new = jnp.where(is_open, jnp.minimum(tau, new), tau)
        falls = new < tau
        change = jnp.max(jnp.where(falls, problem.r * (tau - new), 0))
        largest = jnp.max(jnp.where(jnp.isfinite(new), problem.r * new, 0))
        change = max(shape) * change / jnp.where(largest > 0, largest, 1)
        return new, rounds + 1, change

    zero = jnp.zeros((), problem.slowness.dtype)
    start = (problem.fixed, zero, jnp.full_like(zero, jnp.inf))
    return lax.while_loop(unfinished, update, start)


@solve_lattice.defjvp
def _solve_lattice_jvp(
    scheme: LatticeScheme,
    primals: tuple[LatticeProblem],
    tangents: tuple[LatticeProblem],
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    (problem,), (d_problem,) = primals, tangents
    tau, num_rounds, change = solve_lattice(scheme, problem)
    upwind = _upwind(problem, tau)
    known = (problem.slowness > 0) & jnp.isfinite(tau)
    finite = jnp.where(known, tau, 0)
    used = known[None] & (upwind.a < finite[None])
    # rho u for the offsets that are used, and zero for the others.
    gap = jnp.where(used, finite[None] - jnp.where(used, upwind.a, 0), 0)
    p = jnp.where(used, upwind.p, 0)
    speeds = problem.weights * p * gap
    total = jnp.sum(speeds * p, axis=0)
    total = jnp.where(known & (total > 0), total, 1)
    speeds /= total[None]
    # Implicit derivative of sum rho u^2 = s^2, u = (r +- g) tau - c tau_n.
    scale = _at_upwind(problem.scales, upwind)
    tau_n = p * jnp.where(used, upwind.a, 0) / jnp.where(scale > 0, scale, 1)
    tau_n = jnp.where(scale > 0, tau_n, 0)
    sign = jnp.where(upwind.is_upper, -1, 1).astype(tau.dtype)
    slope = sign * finite[None] * d_problem.slopes
    slope += finite[None] * d_problem.r[None]
    slope -= tau_n * _at_upwind(d_problem.scales, upwind)
    forcing = problem.slowness * d_problem.slowness / total
    forcing -= jnp.sum(speeds * slope, axis=0)
    kept = jnp.where(jnp.isfinite(problem.fixed), d_problem.fixed, 0)
    numbers = jnp.where(upwind.is_upper, problem.neighbors[1], problem.neighbors[0])
    d_tau = _solve_linear(
        scheme, speeds * scale, numbers, jnp.where(known, forcing, kept)
    )
    zero = jnp.zeros_like(change)
    return (tau, num_rounds, change), (d_tau, zero, zero)


def upwind_differences(
    problem: LatticeProblem, times: Float[Array, "*shape"]
) -> Float[Array, "terms *shape"]:
    """The differences of T along e_k that count: u_k-, or -u_k+, or zero."""
    start = jnp.where(jnp.isfinite(problem.fixed), problem.fixed, 0)
    r = problem.r
    tau = jnp.where(r > 0, times / jnp.where(r > 0, r, 1), start)
    upwind = _upwind(problem, tau)
    used = jnp.isfinite(tau)[None] & (upwind.a < tau[None])
    gap = jnp.where(used, tau[None] - jnp.where(used, upwind.a, 0), 0)
    return jnp.where(used, upwind.p, 0) * jnp.where(upwind.is_upper, -gap, gap)


def _upwind(problem: LatticeProblem, tau: Array) -> _Upwind:
    """The difference of every pair +-e_k that vanishes first as tau falls."""
    around = at_nodes(tau, problem.neighbors, jnp.inf)
    lower, upper = problem.r[None] + problem.slopes, problem.r[None] - problem.slopes
    around *= problem.scales
    a_lower, a_upper = _quotient(around[0], lower), _quotient(around[1], upper)
    is_upper = a_upper < a_lower
    return _Upwind(
        a=jnp.where(is_upper, a_upper, a_lower),
        p=jnp.where(is_upper, upper, lower),
        is_upper=is_upper,
    )


def _at_upwind(values: Array, upwind: _Upwind) -> Array:
    """Values of pairs -+e_k on the side that is used."""
    return jnp.where(upwind.is_upper, values[-1], values[0])


def _quotient(q: Array, p: Array) -> Array:
    """q / p, infinite where the difference is not upwind or q is not known."""
    valid = (p > 0) & (q < jnp.inf)
    return jnp.where(valid, jnp.where(valid, q, 1) / jnp.where(valid, p, 1), jnp.inf)


def _solve_update(upwind: _Upwind, problem: LatticeProblem) -> Array:
    """The root tau of sum_k rho_k p_k^2 max(0, tau - a_k)^2 = s^2."""
    slowness = problem.slowness
    weights = problem.weights * upwind.p * upwind.p
    terms = [
        (jnp.where(weight > 0, a, jnp.inf), weight)
        for a, weight in zip(upwind.a, weights, strict=True)
    ]
    for last in range(len(terms) - 1, 0, -1):
        for i in range(last):
            (a, w), (b, v) = terms[i], terms[i + 1]
            swap = b < a
            terms[i] = jnp.where(swap, b, a), jnp.where(swap, v, w)
            terms[i + 1] = jnp.where(swap, a, b), jnp.where(swap, w, v)
    first, mass = terms[0]
    reached = first < jnp.inf
    base, mass = jnp.where(reached, first, 0), jnp.where(reached, mass, 1)
    # Relative to the earliest value no digits are lost. Later ones join as long as
    # they are earlier than the root without them.
    moment, rest = jnp.zeros_like(base), slowness * slowness
    root = slowness / jnp.sqrt(mass)
    for later, weight in terms[1:]:
        gap = jnp.where(later < jnp.inf, later, 0) - base
        joins = (later < jnp.inf) & (gap < root)
        weight = jnp.where(joins, weight, 0)
        mass += weight
        moment += weight * gap
        rest -= weight * gap * gap
        inside = jnp.maximum(moment * moment + mass * rest, 0)
        root = jnp.where(joins, (moment + jnp.sqrt(inside)) / mass, root)
    return jnp.where(reached, base + root, jnp.inf)


def at_nodes(values: Array, numbers: Array, fill: float) -> Array:
    """Values at nodes by their numbers; `fill` where there is no node."""
    flat = jnp.append(values.ravel(), jnp.asarray(fill, values.dtype))
    return flat.at[numbers].get(mode="promise_in_bounds")


def _solve_linear(
    scheme: LatticeScheme, shares: Array, numbers: Array, rhs: Array
) -> Array:
    """Solves x = sum_k shares_k x[numbers_k] + rhs, and its transpose.

    Chains of nodes are as long as those of the solution, so that as many updates are
    enough.
    """

    def gather(x: Array) -> Array:
        return jnp.sum(shares * at_nodes(x, numbers, 0.0), axis=0)

    def scatter(x: Array) -> Array:
        flat = jnp.zeros(x.size + 1, x.dtype)
        flat = flat.at[numbers].add(shares * x[None], mode="promise_in_bounds")
        return flat[:-1].reshape(x.shape)

    def sum_up(apply: Callable[[Array], Array], rhs: Array) -> Array:
        """rhs + A rhs + A^2 rhs + ... until rounding hides the rest."""
        bound = 4 * float(jnp.finfo(rhs.dtype).eps)

        def unfinished(carry: tuple[Array, Array, Array]) -> Array:
            x, term, rounds = carry
            rest = jnp.max(jnp.abs(term))
            return (rounds < 2 * scheme.max_rounds) & (
                rest > bound * jnp.max(jnp.abs(x))
            )

        def add(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, term, rounds = carry
            term = apply(term)
            return x + term, term, rounds + 1

        zero = jnp.zeros((), rhs.dtype)
        return lax.while_loop(unfinished, add, (rhs, rhs, zero))[0]

    return lax.custom_linear_solve(
        lambda x: x - gather(x),
        rhs,
        solve=lambda _, rhs: sum_up(gather, rhs),
        transpose_solve=lambda _, rhs: sum_up(scatter, rhs),
    )
