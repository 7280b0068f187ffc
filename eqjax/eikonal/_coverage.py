"""Where travel times look: sensitivity to slowness, and its sum over receivers."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from eqjax._core._checks import check_floating, check_same_dtype, check_shape
from eqjax.eikonal._grid_solver import GridEikonal


def frechet_kernel(
    solver: GridEikonal,
    velocity: Float[Array, "*shape"],
    source: Float[Array, " dim"],
    receivers: Float[Array, "receivers dim"],
    *,
    mask: Bool[Array, "*shape"] | None = None,
) -> Float[Array, "receivers *shape"]:
    """Derivatives of the travel times of ONE source by the slowness at every node.

    K_r(node) = dT(source, r) / ds(node), s = 1 / v: the share of the node in the length
    of the ray. As times are homogeneous in s, sum over nodes of s K_r = T(source, r).
    Kernels of the first order of differences are positive but for the interpolation
    at the receiver; those of the second order have negative lobes beside the ray.

    Costs one backward sweep per receiver; `jax.vmap` over sources.

    Args:
        solver: The grid and the scheme.
        velocity: v at the nodes, positive.
        source: A point of the box.
        receivers: Points of the box.
        mask: True where a node is absent.

    Returns:
        Kernels, in units of length; NaN for receivers without a time.

    Raises:
        ValueError: If a shape or dtype is wrong, or what `GridEikonal.solve` raises.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> solver = eikonal.GridEikonal(shape=(6, 5), spacing=(0.1, 0.1))
        >>> kernels = eikonal.frechet_kernel(solver, 2 * jnp.ones((6, 5)),
        ...     jnp.array([0.0, 0.0]), jnp.array([[0.3, 0.4], [0.5, 0.0]]))
        >>> kernels.sum((1, 2)).round(3).tolist()  # lengths of the rays
        [0.5, 0.5]

    References:
        Sei, Symes, "Gradient calculation of the traveltime cost function without ray
        tracing" (1994). Treister, Haber, "Full waveform inversion guided by travel time
        tomography" (2017), section 3.
    """
    times, pull = _times_of_slowness(solver, velocity, source, receivers, mask)
    units = jnp.eye(times.size, dtype=times.dtype)
    kernels = jax.vmap(pull)(units)
    known = jnp.isfinite(times).reshape(-1, *(1,) * velocity.ndim)
    return jnp.where(known, kernels, jnp.nan)


def ray_coverage(
    solver: GridEikonal,
    velocity: Float[Array, "*shape"],
    source: Float[Array, " dim"],
    receivers: Float[Array, "receivers dim"],
    *,
    weights: Float[Array, " receivers"] | None = None,
    mask: Bool[Array, "*shape"] | None = None,
) -> Float[Array, "*shape"]:
    """Length of the rays from ONE source per node, by one backward sweep.

    |sum_r w_r K_r| with the kernels of `frechet_kernel`. Sums over patches of a few
    nodes are the lengths of the rays in them; from node to node a ray is as wide as the
    scheme blurs it. The modulus is that of the sum, which takes one sweep for all
    receivers and is closer to the lengths: negative lobes of the kernels cancel there,
    while sums of moduli count them twice. The coverage of a survey is the sum over
    `jax.vmap` over its sources.

    Args:
        solver: The grid and the scheme.
        velocity: v at the nodes, positive.
        source: A point of the box.
        receivers: Points of the box.
        weights: Of the receivers, at least 0: 0 where there is no datum; default 1.
        mask: True where a node is absent.

    Returns:
        Lengths, at least 0. Receivers without a time add nothing.

    Raises:
        ValueError: If a shape or dtype is wrong, or what `GridEikonal.solve` raises.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> solver = eikonal.GridEikonal(shape=(6, 5), spacing=(0.1, 0.1))
        >>> coverage = eikonal.ray_coverage(solver, jnp.ones((6, 5)),
        ...     jnp.array([0.0, 0.2]), jnp.array([[0.5, 0.2]]))
        >>> coverage[:, 2].sum().round(3).item(), coverage.sum().round(3).item()
        (0.5, 0.5)

    References:
        Zelt, Barton, "Three-dimensional seismic refraction tomography" (1998): ray
        coverage beside every model.
    """
    if weights is not None:
        check_shape("weights", weights, (receivers.shape[0],))
        check_same_dtype("weights", weights, velocity, other="velocity")
    times, pull = _times_of_slowness(solver, velocity, source, receivers, mask)
    weights = jnp.ones_like(times) if weights is None else weights
    return jnp.abs(pull(jnp.where(jnp.isfinite(times), weights, 0)))


def _times_of_slowness(
    solver: GridEikonal,
    velocity: Array,
    source: Array,
    receivers: Array,
    mask: Array | None,
) -> tuple[Array, Callable[[Array], Array]]:
    """Times at the receivers, and the transposed derivative by the slowness."""
    dim = len(solver.shape)
    check_shape("velocity", velocity, solver.shape)
    check_floating("velocity", velocity)
    check_shape("receivers", receivers, (None, dim))
    check_same_dtype("receivers", receivers, velocity, other="velocity")

    def times(slowness: Array) -> Array:
        solution = solver.solve(1 / slowness, source, mask=mask)
        return jax.vmap(lambda x: solver.times_at(solution, source, x))(receivers)

    values, pull = jax.vjp(times, 1 / velocity)
    return values, lambda cotangent: pull(cotangent)[0]
