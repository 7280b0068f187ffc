"""The velocity model of the benchmark, and its travel times by the grid solver."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from eqjax import data, eikonal

NUM_NODES, SPACING = 281, 0.0125  # km
SOURCES = ((31, 31), (140, 140), (255, 255))  # nodes
MARGIN = 0.02  # of the speeds' bounds


@dataclass(frozen=True)
class Model:
    """Speeds in km/s at the nodes of a square centered at 0; lengths in km.

    `test_nodes` are the sources of the test, as nodes of 281 x 281.
    """

    speeds: jax.Array
    spacing: float
    test_nodes: tuple[tuple[int, int], ...] = SOURCES

    @property
    def half(self) -> float:
        """Half the side of the square."""
        return (len(self.speeds) - 1) * self.spacing / 2

    @property
    def bounds(self) -> jax.Array:
        """Smallest and largest speed, with some margin."""
        low, high = jnp.min(self.speeds), jnp.max(self.speeds)
        return jnp.stack([(1 - MARGIN) * low, (1 + MARGIN) * high])

    @property
    def velocity(self) -> eikonal.GridVelocity:
        """The interpolant: linear between nodes."""
        shape, h = self.speeds.shape, self.spacing
        return eikonal.GridVelocity(shape, (h, h), (-self.half, -self.half))

    @property
    def sources(self) -> jax.Array:
        """The test sources."""
        share = np.array(self.test_nodes) / (NUM_NODES - 1)
        return self.node(np.round(share * (len(self.speeds) - 1)))

    def node(self, index: Any) -> jax.Array:
        """Coordinates of nodes."""
        return jnp.asarray(index, jnp.float32) * self.spacing - self.half

    def times(self, sources: jax.Array, factor: int = 1) -> jax.Array:
        """From sources to all nodes, solved on the grid refined `factor` times."""
        return _times(self.velocity, factor, self.speeds, sources)

    def reference(self, factor: int) -> jax.Array:
        """From the test sources to all nodes; the solution is of float64."""
        with jax.enable_x64(True):
            speeds = jnp.asarray(np.asarray(self.speeds, np.float64))
            sources = jnp.asarray(np.asarray(self.sources, np.float64))
            times = np.asarray(_times(self.velocity, factor, speeds, sources))
        return jnp.asarray(times, jnp.float32)

    def neural_times(self, field: Any, params: Any) -> jax.Array:
        """From the test sources to all nodes, by a trained field."""
        rows, cols = np.indices(self.speeds.shape)
        nodes = self.node(np.stack([rows, cols], axis=-1))

        def row(source: jax.Array, receivers: jax.Array) -> jax.Array:
            time = partial(field.times, params, {}, source)
            return jax.vmap(lambda r: time(r, self.bounds))(receivers)

        return jnp.stack(
            [jax.lax.map(partial(row, source), nodes) for source in self.sources]
        )


@partial(jax.jit, static_argnums=(0, 1))
def _times(
    velocity: eikonal.GridVelocity, factor: int, speeds: jax.Array, sources: jax.Array
) -> jax.Array:
    fine, grid = velocity.refine(speeds, factor), velocity.refined(factor)
    solver = eikonal.GridEikonal(grid.shape, grid.spacing, grid.origin)
    return jax.lax.map(
        lambda source: solver.solve(fine, source).times[::factor, ::factor], sources
    )


def load(path: Path | None, every: int = 1) -> Model:
    """Columns 600 to 880 of the smoothed model, smoothed once more by 3 nodes.

    Without a path, a random faulted model smoothed in the same way.

    Args:
        path: The file.
        every: Only every so many nodes, for quick runs.
    """
    if path is None:
        key = jax.random.key(0)
        speeds = data.velocity_model("faulted", "b", shape=(NUM_NODES,) * 2, key=key)
        found = np.asarray(speeds, np.float64)
    else:
        whole = data.read_velocity_grid(path)
        if whole.shape[0] < 600 + NUM_NODES or whole.shape[1] != NUM_NODES:
            raise ValueError(
                f"{path} must hold at least {600 + NUM_NODES} x {NUM_NODES} nodes "
                f"(x, z), got shape {whole.shape}."
            )
        found = whole[600 : 600 + NUM_NODES] / 1000  # km/s
    smooth = gaussian_filter(found, 3)[::every, ::every]
    return Model(jnp.asarray(smooth, jnp.float32), every * SPACING)
