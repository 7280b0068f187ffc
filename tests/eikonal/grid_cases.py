"""Models, sources and closed forms that the tests of the grid solver share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from eqjax.eikonal import GridEikonal

GRADIENT = 1.5
SHAPE, SPACING, ORIGIN = (11, 13), (0.05, 0.06), (-0.1, 0.2)
# No iteration error beside rounding.
SOLVERS = {
    order: GridEikonal(
        SHAPE, SPACING, ORIGIN, order=order, tolerance=0.0, max_rounds=30
    )
    for order in (1, 2)
}
SOLVER = SOLVERS[2]
NODE = np.array([0.15, 0.56])
BETWEEN = np.array([0.11, 0.601])


@functools.cache
def jitted(solver):
    return jax.jit(solver.solve)


@functools.cache
def batched(solver):
    return jax.jit(jax.vmap(solver.solve))


def unit_solver(n, order=2):
    return GridEikonal((n, n), (1 / (n - 1),) * 2, order=order)


def grid_points(solver):
    axes = [
        start + h * np.arange(n)
        for start, h, n in zip(solver.origin, solver.spacing, solver.shape, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


def linear_model(solver):
    return jnp.asarray(1 + GRADIENT * grid_points(solver)[..., 0])


def linear_times(source, points):
    """Times for v = 1 + g x, whose rays are arcs of circles."""
    speeds = (1 + GRADIENT * points[..., 0]) * (1 + GRADIENT * source[0])
    square = np.sum((points - source) ** 2, -1)
    return np.arccosh(1 + GRADIENT**2 * square / (2 * speeds)) / GRADIENT


def smooth_model(solver, seed=0, roughness=0.3):
    """A random positive model without preferred directions or symmetries."""
    random = np.random.default_rng(seed)
    points = grid_points(solver)
    total = np.zeros(solver.shape)
    for _ in range(6):
        wave = random.normal(size=points.shape[-1]) * 6
        total += np.sin(points @ wave + random.uniform(0, 6))
    return jnp.asarray(np.exp(roughness * total))
