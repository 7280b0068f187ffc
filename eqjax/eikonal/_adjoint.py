"""The discrete solution by sweeping, with derivatives by the implicit function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from eqjax.eikonal._local_update import (
    Neighbors,
    Stencil,
    factored_coefficients,
    local_update,
    own_factor,
)
from eqjax.eikonal._wavefronts import (
    flip,
    forth_and_back,
    grid_neighbors,
    is_flipped,
    iterate,
    num_orientations,
    shear,
)


@dataclasses.dataclass(frozen=True)
class Scheme:
    """Static facts of the discretization and of the iteration.

    `curved` says that r is another distance than that of the coordinates.
    """

    spacing: tuple[float, ...]
    order: int
    max_rounds: int
    tolerance: float
    curved: bool = False

    def attainable(self, shape: tuple[int, ...], dtype: jnp.dtype) -> float:
        """The tolerance, or what rounding allows if that is more."""
        return max(self.tolerance, 4 * max(shape) * float(jnp.finfo(dtype).eps))


class Factors(NamedTuple):
    """The data of the discrete equation at the nodes.

    Attributes:
        slowness: 1 / v; zero where a node keeps its value (at the source, absent).
        fixed_tau: Value kept; `inf` where nothing is known at the start.
        r: Distance from the source.
        direction: Gradient of r, per axis.
    """

    slowness: Float[Array, "*shape"]
    fixed_tau: Float[Array, "*shape"]
    r: Float[Array, "*shape"]
    direction: tuple[Float[Array, "*shape"], ...]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def solve_tau(
    scheme: Scheme, factors: Factors
) -> tuple[Float[Array, "*shape"], Float[Array, ""], Float[Array, ""]]:
    """The fixed point tau = F(tau) of the local updates.

    Derivatives are those of the discrete equations at the solution, with the
    stencils that are active there (one-sided at kinks); they cost a few linear
    sweeps and memory for the nodes, however many sweeps the solution took.

    Returns:
        tau, the number of rounds, and how far r tau may still be from the fixed point,
        relative to its maximum: the change by one more update, times the number of
        nodes of the longest axis. The latter two have no derivative.
    """
    _, fixed_tau, r, _ = factors
    is_open = factors.slowness > 0

    def measure(tau: Array) -> Array:
        new, _ = _update_all(scheme, factors, tau)
        known = is_open & ~((tau == new) | (r == 0))
        change = jnp.where(known, jnp.abs(r * new - r * tau), 0)
        largest = jnp.max(jnp.where(jnp.isfinite(tau), r * tau, 0))
        # Changes add up along a path through the grid.
        change = max(r.shape) * jnp.max(change)
        return change / jnp.where(largest > 0, largest, 1)

    return iterate(
        sweeping(scheme, factors),
        measure,
        fixed_tau,
        max_rounds=scheme.max_rounds,
        tolerance=scheme.attainable(r.shape, r.dtype),
        opening=True,
    )


@solve_tau.defjvp
def _solve_tau_jvp(
    scheme: Scheme, primals: tuple[Factors], tangents: tuple[Factors]
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    (factors,), (d_factors,) = primals, tangents
    tau, num_rounds, change = solve_tau(scheme, factors)
    _, stencil = _update_all(scheme, factors, tau)
    known = (factors.slowness > 0) & jnp.isfinite(tau)
    # Unknown neighbors are never active; a zero keeps 0 * inf out of the derivatives.
    finite = jnp.where(jnp.isfinite(tau), tau, 0)

    def residual(
        tau: Array, tau_around: Neighbors, factors: Factors, r_around: Neighbors
    ) -> Array:
        return _residual(scheme, stencil, tau, tau_around, factors, r_around)

    tau_around = grid_neighbors(finite, 0.0)

    def residual_of_factors(factors: Factors) -> Array:
        r_around = grid_neighbors(factors.r, 1.0)
        return residual(finite, tau_around, factors, r_around)

    _, forcing = jax.jvp(residual_of_factors, (factors,), (d_factors,))
    # The residual of a node sees nothing but its own arguments, so one product with
    # ones gives its partial derivatives at all nodes.
    value, pull = jax.vjp(
        lambda tau, around: residual(
            tau, around, factors, grid_neighbors(factors.r, 1.0)
        ),
        finite,
        tau_around,
    )
    own, around = pull(jnp.ones_like(value))
    scale = jnp.where(known, -1 / jnp.where(known, own, -1), 0)
    weights = jax.tree.map(lambda weight: weight * scale, around)
    kept = jnp.where(jnp.isfinite(factors.fixed_tau), d_factors.fixed_tau, 0)
    d_tau = _solve_linear(scheme, weights, jnp.where(known, forcing * scale, kept))
    zero = jnp.zeros_like(change)
    return (tau, num_rounds, change), (d_tau, zero, zero)


def sweeping(scheme: Scheme, factors: Factors) -> Callable[[Array, Array | int], Array]:
    """(tau, orientation) -> tau after sweeps forth and back."""
    num_axes = factors.r.ndim
    wide, narrow = [], []
    for o in range(num_orientations(num_axes)):
        # The slope along a flipped axis changes its sign too.
        slopes = [
            -slope if is_flipped(o, i) else slope
            for i, slope in enumerate(factors.direction)
        ]
        planes = jnp.stack([factors.slowness, *slopes])
        wide.append(shear(flip(factors.r, o, num_axes), 1.0, num_axes))
        narrow.append(shear(flip(planes, o, num_axes), 0.0, num_axes))

    def update(
        tau: Neighbors, r: Neighbors, r_here: Array, old: Array, narrow: tuple
    ) -> Array:
        slowness, *direction = narrow
        new, _ = local_update(
            tau,
            r,
            r_here,
            tuple(direction),
            slowness,
            spacing=scheme.spacing,
            order=scheme.order,
            curved=scheme.curved,
        )
        return jnp.where(slowness > 0, new, old)

    wide, narrow = jnp.concatenate(wide), jnp.concatenate(narrow)
    return lambda tau, o: forth_and_back(update, tau, o, wide, narrow, jnp.inf)


def _update_all(scheme: Scheme, factors: Factors, tau: Array) -> tuple[Array, Stencil]:
    """One update of every node from the values around it, and the stencils."""
    return local_update(
        grid_neighbors(tau, jnp.inf),
        grid_neighbors(factors.r, 1.0),
        factors.r,
        factors.direction,
        factors.slowness,
        spacing=scheme.spacing,
        order=scheme.order,
        curved=scheme.curved,
    )


def _residual(
    scheme: Scheme,
    stencil: Stencil,
    tau: Array,
    tau_around: Neighbors,
    factors: Factors,
    r_around: Neighbors,
) -> Array:
    """(s^2 - sum over the active axes of T_i^2) / 2 with the stencils given."""
    true_n, _ = tau_around.pick(stencil.is_lower)
    r_n, _ = r_around.pick(stencil.is_lower)
    if scheme.curved:
        tau_around = own_factor(tau_around, r_around, factors.r, factors.direction)
    tau_n, tau_nn = tau_around.pick(stencil.is_lower)
    p, q = factored_coefficients(
        tau_n,
        tau_nn,
        factors.r,
        factors.direction,
        stencil.is_lower,
        stencil.is_second,
        spacing=scheme.spacing,
    )
    total = jnp.zeros_like(tau)
    for i, h in enumerate(scheme.spacing):
        plain = (factors.r * tau - r_n[i] * true_n[i]) / h
        slope = jnp.where(stencil.is_factored, p[i] * tau - q[i], plain)
        total += jnp.where(stencil.is_active[i], slope * slope, 0)
    return (factors.slowness * factors.slowness - total) / 2


def _solve_linear(scheme: Scheme, weights: Neighbors, rhs: Array) -> Array:
    """Solves x = sum of weights times neighbors of x + rhs.

    The weights point upwind only, so the system is triangular in the order of arrival
    and sweeps solve it exactly. The transposed system points downwind.
    """

    def solve(weights: Neighbors, rhs: Array) -> Array:
        return _sweep_linear(scheme, weights, rhs)

    return lax.custom_linear_solve(
        lambda x: x - _weighted_sum(weights, grid_neighbors(x, 0.0)),
        rhs,
        solve=lambda _, rhs: solve(weights, rhs),
        transpose_solve=lambda _, rhs: solve(_transpose(weights), rhs),
    )


def _sweep_linear(scheme: Scheme, weights: Neighbors, rhs: Array) -> Array:
    num_axes = rhs.ndim
    narrow = []
    for o in range(num_orientations(num_axes)):
        lower, upper, lower2, upper2 = [], [], [], []
        for i, (low, up, low2, up2) in enumerate(zip(*weights, strict=True)):
            swap = is_flipped(o, i)
            lower.append(up if swap else low)
            upper.append(low if swap else up)
            lower2.append(up2 if swap else low2)
            upper2.append(low2 if swap else up2)
        planes = jnp.stack([*lower, *upper, *lower2, *upper2, rhs])
        narrow.append(shear(flip(planes, o, num_axes), 0.0, num_axes))
    narrow = jnp.concatenate(narrow)

    def update(
        x: Neighbors, _: Neighbors, __: Array, ___: Array, narrow: tuple
    ) -> Array:
        *weights, rhs = narrow
        sides = [weights[i : i + num_axes] for i in range(0, 4 * num_axes, num_axes)]
        return _weighted_sum(Neighbors(*map(tuple, sides)), x) + rhs

    def run(x: Array, o: Array | int) -> Array:
        return forth_and_back(update, x, o, narrow[:, -1], narrow, 0.0)

    def measure(x: Array) -> Array:
        change = _weighted_sum(weights, grid_neighbors(x, 0.0)) + rhs - x
        largest = jnp.max(jnp.abs(x))
        return jnp.max(jnp.abs(change)) / jnp.where(largest > 0, largest, 1)

    x, _, _ = iterate(
        run,
        measure,
        jnp.zeros_like(rhs),
        # Chains of arrival are as long here as in the solution, but derivatives are to
        # be better than the user's tolerance.
        max_rounds=2 * scheme.max_rounds + 2,
        tolerance=max(1e-2 * scheme.tolerance, 32 * float(jnp.finfo(rhs.dtype).eps)),
        opening=False,
    )
    return x


def _weighted_sum(weights: Neighbors, values: Neighbors) -> Array:
    terms = jax.tree.map(jnp.multiply, weights, values)
    return sum(jax.tree.leaves(terms))  # pyright: ignore[reportReturnType]


def _transpose(weights: Neighbors) -> Neighbors:
    """Weights of the transposed system: what a node gives to its neighbors."""
    axes = range(len(weights.lower))
    # The node above uses this one as its lower neighbor, and so on.
    return Neighbors(
        lower=tuple(grid_neighbors(weights.upper[i], 0.0).lower[i] for i in axes),
        upper=tuple(grid_neighbors(weights.lower[i], 0.0).upper[i] for i in axes),
        lower2=tuple(grid_neighbors(weights.upper2[i], 0.0).lower2[i] for i in axes),
        upper2=tuple(grid_neighbors(weights.lower2[i], 0.0).upper2[i] for i in axes),
    )
