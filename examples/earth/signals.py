"""Velocity fields of the Earth example: published models or the user's own files."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eqjax import data, eikonal, spaces

NUM_NODES = 70  # nodes per side of the grid on which errors are measured
BATCH = 8  # sources per call of the grid solver
EARTHS = ("ak135", "iasp91", "prem")


@dataclass(frozen=True)
class EarthDisc:
    """The unit disc, with more points just below its rim.

    Stations stand there, and speeds change most.
    """

    near_share: float = 0.3
    near_depth: float = 0.03

    def sample(self, *, dtype: Any = None, key: jax.Array) -> jax.Array:
        """One point."""
        key_point, key_near = jax.random.split(key)
        x = spaces.Ball(2).sample(dtype=dtype, key=key_point)
        u, v = jax.random.uniform(key_near, (2,), x.dtype)
        near = (1 - self.near_depth * v) * x / jnp.linalg.norm(x)
        return jnp.where(u < self.near_share, near, x)

    def project(self, x: jax.Array) -> jax.Array:
        """The nearest point of the disc."""
        return spaces.Ball(2).project(x)


@dataclass(frozen=True, eq=False)  # hashed by identity, for the caches
class Signal:
    """One velocity field; lengths in units of `length_km`, half the longest side."""

    name: str
    domain: spaces.Ball | spaces.Box
    length_km: float
    earth: data.EarthModel | None = None  # a radial Earth, or
    speeds_km_s: np.ndarray | None = None  # speeds at the nodes of a grid

    @property
    def training_domain(self) -> spaces.Domain:
        """Where points are drawn in training."""
        return self.domain if self.earth is None else EarthDisc()

    @property
    def box(self) -> spaces.Box:
        """The box around the domain."""
        if isinstance(self.domain, spaces.Box):
            return self.domain
        return spaces.Box((-1.0, -1.0), (1.0, 1.0))

    def solver(self, factor: int) -> eikonal.GridEikonal:
        """The grid solver on the measuring grid, refined `factor` times."""
        num = (NUM_NODES - 1) * factor + 1
        spacing = tuple(
            (high - low) / (num - 1)
            for low, high in zip(self.box.lower, self.box.upper, strict=True)
        )
        return eikonal.GridEikonal((num, num), spacing, self.box.lower)

    def nodes(self, factor: int) -> np.ndarray:
        """Coordinates of the nodes of that grid, (n, n, 2)."""
        solver = self.solver(factor)
        axes = [
            low + spacing * np.arange(num)
            for low, spacing, num in zip(
                self.box.lower, solver.spacing, solver.shape, strict=True
            )
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def speeds(self, factor: int) -> np.ndarray:
        """Speeds in km/s at those nodes.

        A radial Earth is averaged (its slowness, over one spacing of the grid), since
        its discontinuities fall between nodes; a grid is interpolated linearly.
        """
        return _speeds(self, factor)


@cache
def _speeds(signal: Signal, factor: int) -> np.ndarray:
    x = jnp.asarray(signal.nodes(factor)).reshape(-1, 2)
    if signal.earth is not None:
        radii, speeds = data.radial_speeds(signal.earth)
        radial = eikonal.RadialVelocity(
            tuple(r / signal.length_km for r in radii), speeds
        )
        width = float(max(signal.solver(factor).spacing))
        values = jax.jit(jax.vmap(lambda x: radial.averaged(x, width)))(x)
    else:
        assert signal.speeds_km_s is not None
        shape = signal.speeds_km_s.shape
        spacing = tuple(
            (high - low) / (num - 1)
            for low, high, num in zip(
                signal.box.lower, signal.box.upper, shape, strict=True
            )
        )
        grid = eikonal.GridVelocity(shape, spacing, signal.box.lower)
        given = jnp.asarray(signal.speeds_km_s)
        values = jax.jit(jax.vmap(lambda x: grid.at(given, x)))(x)
    return np.asarray(values).reshape(signal.solver(factor).shape)


def load(model: str, spacing_km: float | None) -> Signal:
    """The signal of a published model's name or of a file."""
    path = Path(model)
    if path.suffix == ".npy":
        if spacing_km is None or not spacing_km > 0:
            raise ValueError(
                f"`--spacing-km` must be the distance of the nodes of {model}, a "
                f"positive number, got {spacing_km}."
            )
        speeds = data.read_velocity_grid(path)
        half = [spacing_km * (n - 1) / 2 for n in speeds.shape]
        upper = tuple(side / max(half) for side in half)
        lower = tuple(-side for side in upper)
        box = spaces.Box(lower, upper)
        return Signal(path.stem, box, max(half), speeds_km_s=speeds)
    earth = data.earth_model(model) if model in EARTHS else data.read_earth_model(path)
    return Signal(earth.name, spaces.Ball(2), earth.radius_km, earth=earth)


def grid_times(
    signal: Signal, factor: int, sources: np.ndarray, *, stride: int = 1
) -> np.ndarray:
    """Times in s from sources (k, 2) to every `stride`-th node of the refined grid."""
    if signal.earth is None:
        return _solve(signal, factor, sources, stride)
    # A radial Earth is its own mirror image in the diagonal, and so is the grid.
    mirrored = sources[:, 0] < sources[:, 1]
    unique, index = np.unique(
        np.sort(sources, axis=1)[:, ::-1], axis=0, return_inverse=True
    )
    times = _solve(signal, factor, unique, stride)[index]
    return np.where(mirrored[:, None, None], times.swapaxes(1, 2), times)


@partial(jax.jit, static_argnames=("solver", "stride"))
def _solve_batch(
    solver: eikonal.GridEikonal, stride: int, speeds: jax.Array, sources: jax.Array
) -> jax.Array:
    times = jax.vmap(lambda source: solver.solve(speeds, source).times)(sources)
    return times[:, ::stride, ::stride]


def _solve(signal: Signal, factor: int, sources: np.ndarray, stride: int) -> np.ndarray:
    """One float64 solution per source, on all processors."""
    solver = signal.solver(factor)
    speeds = signal.speeds(factor) / signal.length_km

    def solve_batch(batch: np.ndarray) -> np.ndarray:
        # The setting belongs to the thread.
        with jax.enable_x64(True):
            arrays = jnp.asarray(speeds), jnp.asarray(batch)
            return np.asarray(_solve_batch(solver, stride, *arrays))

    # Batches of one size, so that all share one program; the last is filled up.
    padding = -len(sources) % BATCH
    padded = np.concatenate([sources, np.repeat(sources[-1:], padding, axis=0)])
    batches = padded.astype(np.float64).reshape(-1, BATCH, 2)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        times = list(pool.map(solve_batch, batches))
    return np.concatenate(times)[: len(sources)]


def check_joint(signals: list[Signal]) -> None:
    """Raises ValueError unless the signals can share one run."""
    if not signals:
        raise ValueError("`--models` must name at least one model or file.")
    domains = {signal.domain for signal in signals}
    if len(domains) > 1:
        raise ValueError(
            "All models of a run must have one domain: radial Earths, or arrays of one "
            f"shape. Got {', '.join(map(str, domains))}."
        )
    names = [signal.name for signal in signals]
    if len(set(names)) < len(names):
        raise ValueError(f"The models of a run must have different names, got {names}.")
