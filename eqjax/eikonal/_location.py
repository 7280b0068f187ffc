"""Location of a source from its arrival times, with uncertainty."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from eqjax._core._checks import (
    check_floating,
    check_positive,
    check_same_dtype,
    check_shape,
    check_size,
)
from eqjax.eikonal._grid_solver import GridEikonal, GridSolution
from eqjax.fitting._gauss_newton import gauss_newton

# Reweighted means of the origin time at every node: a few digits are enough there.
_NUM_REWEIGHTINGS = 12
# Sums over nodes are moments to 1e-3 if no deviation is below that many spacings.
_RESOLVED = 0.7
# Else, and for origin times, sums over points one deviation apart, this many each way.
_REACH = 5


class Location(NamedTuple):
    """Where and when an event was, and how well that is known.

    Attributes:
        position: The most probable point, between nodes.
        origin_time: The most probable time of the event, there.
        mean: Mean of the posterior of the position.
        covariance: Its covariance. Both are sums over the nodes where the posterior is
            `resolved`, else over points between nodes, within five deviations of
            `position` by the Fisher information there.
        resolved: Whether the grid is fine enough for the posterior: these deviations
            are at least 0.7 spacings in every direction.
        log_density: Logarithm of the probability of every node; -inf where a used
            station has no time.
        marginals: Probability of the nodes of each axis; every one sums to 1.
        rms: Root mean square of residual / deviation over the picks used, at
            `position`.
        num_used: Number of picks used.
        result: 0 located; 1 `num_steps` were not enough; 2 the most probable point lies
            at the edge of the box, or beyond, and `position` is the nearest point of
            the box; 3 a pick was not finite, a deviation not positive, or no node has
            times of all stations used, and all values are NaN; 4 fewer picks than
            unknowns, so that many points explain them alike.
    """

    position: Float[Array, " dim"]
    origin_time: Float[Array, ""]
    mean: Float[Array, " dim"]
    covariance: Float[Array, "dim dim"]
    resolved: Bool[Array, ""]
    log_density: Float[Array, "*shape"]
    marginals: tuple[Float[Array, " nodes"], ...]
    rms: Float[Array, ""]
    num_used: Int[Array, ""]
    result: Int[Array, ""]


def locate(
    solver: GridEikonal,
    solutions: GridSolution,
    stations: Float[Array, "stations dim"],
    observed: Float[Array, " stations"],
    deviations: Float[Array, " stations"],
    *,
    degrees_of_freedom: float | None = None,
    num_steps: int = 20,
    tolerance: float = 1e-6,
) -> Location:
    """Locates ONE event; `jax.vmap` over `observed` and `deviations` for many.

    Times are the same in both directions, so one solve per station gives the times
    T_i(x) from every x to it. With errors of picks t_i that are Gaussian, and nothing
    known before of position and origin time, the origin time t0 can be integrated out:

        -log p(x) = sum_i w_i (t_i - T_i(x) - t0(x))^2 / 2 + const,
        t0(x) = sum_i w_i (t_i - T_i(x)) / sum_i w_i,   w_i = 1 / deviation_i^2.

    With `degrees_of_freedom` nu, errors follow Student's t distribution, under which a
    few wrong picks do not move the event:

        -log p(x, t0) = (nu + 1) / 2 sum_i log(1 + w_i (t_i - T_i(x) - t0)^2 / nu),

    summed over origin times t0. The posterior is found on all nodes, and from the best
    of them damped Gauss-Newton steps on the interpolated times lead to its maximum (for
    Student's t, to that over position and origin time). If times themselves are
    uncertain, add their variance to that of the picks.

    Args:
        solver: The grid and the scheme.
        solutions: Of all stations: `jax.vmap(solver.solve, (None, 0))(v, stations)`.
        stations: Their positions.
        observed: Arrival times, on any one clock.
        deviations: Standard deviations of the picks (scale, for Student's t), positive;
            `inf` where there is no pick, whatever is in `observed` there.
        degrees_of_freedom: nu, positive; default None, Gaussian errors.
        num_steps: Largest number of Gauss-Newton steps.
        tolerance: Relative decrease of -log p at which they have converged.

    Returns:
        The location.

    Raises:
        ValueError: If a shape or dtype is wrong, or an option is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> solver = eikonal.GridEikonal(shape=(11, 11), spacing=(0.1, 0.1))
        >>> stations = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> v = 2 * jnp.ones((11, 11))
        >>> solutions = jax.vmap(solver.solve, (None, 0))(v, stations)
        >>> event = jnp.array([0.32, 0.54])
        >>> observed = 7 + jnp.linalg.norm(stations - event[None], axis=1) / 2
        >>> found = eikonal.locate(solver, solutions, stations, observed,
        ...     jnp.full(4, 0.01))
        >>> [round(x, 2) for x in found.position.tolist()]
        [0.32, 0.54]
        >>> round(found.origin_time.item(), 2), found.result.item()
        (7.0, 0)

    References:
        Tarantola, Valette, "Inverse problems = quest for information" (1982), equation
        10-9 (origin time integrated out). Lomax, Virieux, Volant, Berge, "Probabilistic
        earthquake location in 3D and layered models" (2000). Lange, Little, Taylor,
        "Robust statistical modeling using the t distribution" (1989).
    """
    num, dim = stations.shape[0], len(solver.shape)
    check_shape("stations", stations, (num, dim))
    check_shape("solutions.times", solutions.times, (num, *solver.shape))
    check_floating("solutions.times", solutions.times)
    dtype = solutions.times.dtype
    for name, array in (("observed", observed), ("deviations", deviations)):
        check_shape(name, array, (num,))
        check_same_dtype(name, array, solutions.times, other="solutions.times")
    check_same_dtype("stations", stations, solutions.times, other="solutions.times")
    check_size("num_steps", num_steps)
    check_positive("tolerance", tolerance, zero=True)
    if degrees_of_freedom is not None:
        check_positive("degrees_of_freedom", degrees_of_freedom)

    used = jnp.isfinite(deviations) & (deviations > 0)
    bad = jnp.isnan(deviations) | (deviations <= 0) | (used & ~jnp.isfinite(observed))
    num_used = jnp.sum(used).astype(jnp.int32)
    picks = jnp.where(used, observed, 0)
    roots = jnp.where(used, 1 / jnp.where(used, deviations, 1), 0)
    log_p, origin_times = _log_posterior(
        solutions.times, picks, roots, degrees_of_freedom
    )
    possible = jnp.any(jnp.isfinite(log_p))
    log_mass = log_p + jnp.log(_cells(solver.shape, dtype))
    log_mass -= jax.nn.logsumexp(log_mass)
    mass = jnp.exp(log_mass)
    best = jnp.unravel_index(jnp.argmax(log_p), solver.shape)
    spacing = jnp.asarray(solver.spacing, dtype)
    start = jnp.asarray(solver.origin, dtype)
    first = {
        "x": start + jnp.stack(best).astype(dtype) * spacing,
        "t": jnp.where(possible, origin_times[best], 0),
    }

    def standardized(event: Any, example: Any) -> Array:
        solution, station, pick, root = example
        times = solver.times_at(solution, station, event["x"])
        # A station without a pick may lack times too.
        return jnp.where(root > 0, root * (pick - times - event["t"]), 0)

    def residual(_: None, event: Any, example: Any) -> Array:
        return _whitened(standardized(event, example), degrees_of_freedom)[None]

    examples = (solutions, stations, picks, roots)
    fit = gauss_newton(
        residual,
        None,
        first,
        examples,
        num_steps=num_steps,
        damping=1e-3,
        tolerance=tolerance,
    )
    upper = start + spacing * (jnp.asarray(solver.shape, dtype) - 1)
    position = jnp.clip(fit.latents["x"], start, upper)
    at_edge = jnp.any((fit.latents["x"] <= start) | (fit.latents["x"] >= upper))
    event = {"x": position, "t": fit.latents["t"]}
    rows = jax.vmap(jax.jacfwd(standardized), in_axes=(None, 0))(event, examples)
    gaussian = _gaussian(rows["x"], rows["t"], upper - start, degrees_of_freedom)
    scaled = gaussian / (spacing[:, None] * spacing[None])
    narrow = jnp.min(jnp.linalg.eigvalsh(scaled)) < _RESOLVED**2

    offsets = jnp.meshgrid(
        *(jnp.arange(-_REACH, _REACH + 1, dtype=dtype),) * dim, indexing="ij"
    )
    steps = jnp.linalg.cholesky(gaussian)
    offsets = jnp.stack(offsets, axis=-1).reshape(-1, dim)
    points = position[None] + jnp.matmul(offsets, steps.T, precision="highest")
    inside = jnp.all((points >= start[None]) & (points <= upper[None]), axis=1)

    def times_at_points(example: Any) -> Array:
        solution, station, _, _ = example
        return jax.vmap(lambda x: solver.times_at(solution, station, x))(points)

    near = jax.lax.map(times_at_points, examples)
    log_near, origin_near = _log_posterior(near, picks, roots, degrees_of_freedom)
    mass_near = jax.nn.softmax(jnp.where(inside, log_near, -jnp.inf))
    axes = jnp.meshgrid(
        *(jnp.arange(n, dtype=dtype) for n in solver.shape), indexing="ij"
    )
    nodes = jnp.stack(axes, axis=-1).reshape(-1, dim)
    nodes = start[None] + nodes * spacing[None]
    mean, covariance = (
        jnp.where(narrow, local, everywhere)
        for local, everywhere in zip(
            _moments(mass_near, points), _moments(mass.ravel(), nodes), strict=True
        )
    )
    # The middle one of the points is the position.
    event["t"] = jnp.where(at_edge, origin_near[len(offsets) // 2], event["t"])
    final = jax.vmap(standardized, in_axes=(None, 0))(event, examples)
    rms = jnp.sqrt(jnp.sum(final**2) / jnp.maximum(num_used, 1).astype(dtype))
    failed = bad.any() | ~possible | (fit.result == 3)
    result = jnp.where(fit.result == 1, 1, 0)
    result = jnp.where(at_edge, 2, result)
    result = jnp.where(num_used > dim, result, 4)
    location = Location(
        position=position,
        origin_time=event["t"],
        mean=mean,
        covariance=covariance,
        resolved=~narrow & ~failed,
        log_density=log_mass,
        marginals=tuple(
            jnp.sum(mass, axis=tuple(i for i in range(dim) if i != axis))
            for axis in range(dim)
        ),
        rms=rms,
        num_used=num_used,
        result=jnp.where(failed, 3, result).astype(jnp.int32),
    )
    return jax.tree.map(
        lambda leaf: (
            jnp.where(failed, jnp.nan, leaf)
            if jnp.issubdtype(leaf.dtype, jnp.floating)
            else leaf
        ),
        location,
    )


def _log_posterior(
    times: Array, picks: Array, roots: Array, freedom: float | None
) -> tuple[Array, Array]:
    """log p at all nodes up to a constant, and the best origin time there.

    Origin times are integrated out.
    """
    column = (slice(None),) + (None,) * (times.ndim - 1)
    root = roots[column]
    used = root > 0
    reached = jnp.all(jnp.isfinite(times) | ~used, axis=0)
    delays = jnp.where(used & reached[None], picks[column] - times, 0)
    weights = jnp.broadcast_to(root**2, times.shape)

    def mean(weights: Array) -> Array:
        total = jnp.sum(weights, axis=0)
        return jnp.sum(weights * delays, axis=0) / jnp.where(total > 0, total, 1)

    def log_density(origin: Array) -> Array:
        whitened = _whitened(root * (delays - origin[None]), freedom)
        return -jnp.sum(whitened**2, axis=0) / 2

    if freedom is None:
        origin = mean(weights)
        return jnp.where(reached, log_density(origin), -jnp.inf), origin
    # From the median, since wrong picks may hold the mean in a wrong minimum.
    origin = jnp.nanmedian(jnp.where(used, delays, jnp.nan), axis=0)

    def reweighted(_: Any, origin: Array) -> Array:
        squares = weights * (delays - origin[None]) ** 2
        return mean(weights / (freedom + squares))

    origin = jax.lax.fori_loop(0, _NUM_REWEIGHTINGS, reweighted, origin)
    step = 1 / jnp.sqrt(jnp.maximum(jnp.sum(roots**2) * _fisher(freedom), 1e-30))

    def add(k: Array, total: Array) -> Array:
        shift = (k - _REACH).astype(step.dtype) * step
        return jnp.logaddexp(total, log_density(origin + shift))

    start = jnp.full_like(origin, -jnp.inf)
    log_p = jax.lax.fori_loop(0, 2 * _REACH + 1, add, start)
    return jnp.where(reached, log_p, -jnp.inf), origin


def _gaussian(
    by_position: Array, by_time: Array, size: Array, freedom: float | None
) -> Array:
    """Covariance of the position by derivatives of the standardized residuals.

    The variance of a point that is anywhere in the box keeps it finite.
    """

    def product(a: Array, b: Array) -> Array:
        return jnp.matmul(a.T, b, precision="highest")

    total = product(by_time, by_time)
    mixed = product(by_position, by_time) / jnp.sqrt(jnp.where(total > 0, total, 1))
    information = product(by_position, by_position) - mixed[:, None] * mixed[None]
    return jnp.linalg.inv(_fisher(freedom) * information + jnp.diag(12 / size**2))


def _fisher(freedom: float | None) -> float:
    """Information of a pick in units of its weight, expected over its errors."""
    return 1.0 if freedom is None else (freedom + 1) / (freedom + 3)


def _whitened(r: Array, freedom: float | None) -> Array:
    """q with q^2 / 2 = -log p(r) + const: r, or for Student's t a concave function."""
    if freedom is None:
        return r
    u = r**2 / freedom
    # log(1 + u) / u, smooth at 0
    small = u < 1e-6
    ratio = jnp.where(small, 1 - u / 2, jnp.log1p(u) / jnp.where(small, 1, u))
    return r * jnp.sqrt((freedom + 1) / freedom * ratio)


def _cells(shape: tuple[int, ...], dtype: Any) -> Array:
    """Volume of the cells around the nodes: halves at the faces of the box."""
    volume = jnp.ones(shape, dtype)
    for axis in range(len(shape)):
        ends = jnp.ones(shape[axis], dtype).at[jnp.array([0, -1])].set(0.5)
        volume *= ends.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return volume


def _moments(mass: Array, points: Array) -> tuple[Array, Array]:
    """Mean and covariance of probabilities of points."""
    mean = jnp.sum(mass[:, None] * points, axis=0)
    offsets = points - mean[None]
    spread = (mass[:, None] * offsets).T
    return mean, jnp.matmul(spread, offsets, precision="highest")
