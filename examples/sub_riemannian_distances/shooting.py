"""Distances in SE(2) by shooting geodesics: the reference of this example."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.spatial import KDTree

from eqjax.spaces import PositionOrientation

Weights = tuple[float, float, float]


def closed_form(
    weights: Weights, form: str, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Distances by a form of `PositionOrientation`: w3 times those with w3 = 1."""
    w1, w2, w3 = weights
    space = PositionOrientation(2, xi=w1 / w3, eps=w1 / w2, form=form)
    return w3 * np.asarray(space.distance(jnp.asarray(x), jnp.asarray(y)))


def shoot(
    weights: Weights, momentum: Array, length: Array, num_steps: int
) -> tuple[Array, Array]:
    """End point (3,), and all points, of a geodesic from the identity.

    The Hamiltonian is half the squared dual norm of the momentum (h1, h2, h3) on the
    left-invariant frame; equations of motion by Runge-Kutta steps of fourth order.
    """
    w1, w2, w3 = (w**2 for w in weights)

    def rates(state: Array) -> Array:
        _, _, theta, h1, h2, h3 = state
        ahead, aside, turn = h1 / w1, h2 / w2, h3 / w3
        c, s = jnp.cos(theta), jnp.sin(theta)
        velocity = (c * ahead - s * aside, s * ahead + c * aside, turn)
        return jnp.stack([*velocity, h2 * turn, -h1 * turn, h1 * aside - h2 * ahead])

    h = length / num_steps

    def step(state: Array, _: None) -> tuple[Array, Array]:
        k1 = rates(state)
        k2 = rates(state + h / 2 * k1)
        k3 = rates(state + h / 2 * k2)
        k4 = rates(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return state, state[:3]

    start = jnp.concatenate([jnp.zeros(3), momentum])
    end, path = jax.lax.scan(step, start, None, num_steps)
    return end[:3], path


def refine(weights: Weights, direction: Array, length: Array, target: Array) -> Array:
    """Length of the geodesic to the target near a given one, by Newton's method.

    Infinite where it does not arrive within 1e-8. The unknowns are the direction of the
    first momentum, in its tangent plane, and the length.
    """
    plane = jnp.linalg.svd(direction[None], full_matrices=True)[2][1:]

    def miss(z: Array) -> Array:
        turned = direction + z[:2] @ plane
        momentum = turned / jnp.linalg.norm(turned) * jnp.array(weights)
        gap = shoot(weights, momentum, length + z[2], 100)[0] - target
        wrapped = gap[2] - 2 * jnp.pi * jnp.round(gap[2] / (2 * jnp.pi))
        return gap.at[2].set(wrapped)

    def newton(z: Array, _: None) -> tuple[Array, None]:
        # At conjugate points the matrix is singular: these candidates do not arrive.
        slope = jax.jacfwd(miss)(z) + 1e-12 * jnp.eye(3)
        step = jnp.linalg.solve(slope, miss(z))
        return z - step * jnp.minimum(1, 0.5 / jnp.linalg.norm(step)), None

    z, _ = jax.lax.scan(newton, jnp.zeros(3), None, 10)
    arrived = (jnp.max(jnp.abs(miss(z))) < 1e-8) & (length + z[2] > 0)
    return jnp.where(arrived, length + z[2], jnp.inf)


def distances(
    weights: Weights,
    targets: np.ndarray,
    *,
    longest: float,
    num_geodesics: int,
    num_neighbors: int = 512,
    num_candidates: int = 16,
    seed: int = 0,
) -> np.ndarray:
    """Distance of each target (num, 3) from the identity.

    Of all points of all geodesics the nearest are ranked, the most promising start
    Newton's method, and the shortest geodesic that arrives gives the distance; inf
    where none does. With too few neighbors the shortest may be overlooked.
    """
    numbers = np.random.default_rng(seed)
    directions = numbers.standard_normal((num_geodesics, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    num_steps = 96

    @jax.jit
    def paths(momenta: Array) -> Array:
        fly = partial(shoot, weights, length=jnp.asarray(longest), num_steps=num_steps)
        return jax.vmap(lambda momentum: fly(momentum)[1])(momenta)

    every = slice(1, None, 2)
    points = np.asarray(paths(jnp.asarray(directions * np.array(weights))))[:, every]
    lengths = longest * np.arange(1, num_steps + 1)[every] / num_steps
    num_points = points.shape[1]
    flat = points.reshape(-1, 3)
    tree = KDTree(on_circle(weights, flat))
    nearest = tree.query(on_circle(weights, targets), k=num_neighbors)[1]
    # The most promising: the length so far, and an estimate of the rest of the way.
    rest = closed_form(weights, "combined_covariant", flat[nearest], targets[:, None])
    total = lengths[nearest % num_points] + rest
    best = np.argsort(total, axis=1)[:, :num_candidates]
    chosen = np.take_along_axis(nearest, best, axis=1)
    first, so_far = directions[chosen // num_points], lengths[chosen % num_points]
    over_candidates = jax.vmap(partial(refine, weights), (0, 0, None))
    found = jax.jit(jax.vmap(over_candidates))(first, so_far, targets)
    return np.min(np.asarray(found), axis=1)


def on_circle(weights: Weights, points: np.ndarray) -> np.ndarray:
    """Coordinates in which headings that differ by full turns are equal."""
    w1, _, w3 = weights
    x, y, theta = points.T
    return np.stack([w1 * x, w1 * y, w3 * np.cos(theta), w3 * np.sin(theta)], axis=1)
