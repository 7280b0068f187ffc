"""Errors of unseen fields against refined grid solutions, and the picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from problem import Problem, Setting, make_problem

from eqjax import eikonal


class Test(NamedTuple):
    """Unseen fields and the times that they are measured by.

    Attributes:
        setting: Their box.
        problem: Their speeds.
        sources: (sources, dim), those of "full" before those of "top".
        num_top: How many lie at the surface.
        thin: Every how many nodes there is a receiver.
        times: Reference, (fields, sources, *receivers).
        unrefined: RE of the data's own grid, per field.
        error: RE of the reference with half its refinement, per field.
    """

    setting: Setting
    problem: Problem
    sources: jax.Array
    num_top: int
    thin: int
    times: jax.Array
    unrefined: np.ndarray
    error: np.ndarray

    @property
    def receivers(self) -> jax.Array:
        """(*receivers, dim)."""
        return self.setting.nodes[(slice(None, None, self.thin),) * self.setting.dim]

    def first(self, count: int) -> Test:
        """The first fields."""
        problem = jax.tree.map(lambda leaf: leaf[:count], self.problem)
        return self._replace(problem=problem, times=self.times[:count])


def make_test(setting: Setting, speeds: jax.Array, factor: int, thin: int) -> Test:
    """Reference times on the grid refined `factor` times, v linear between nodes.

    Every `thin`-th source of the "full" protocol in both axes, and every `thin`-th
    node as a receiver; 1 is the protocol itself.
    """
    grid, dim = setting.velocity, setting.dim
    thinned = (slice(None, None, thin),) * dim
    top = eikonal.protocol_sources(grid, "top", surface="last")
    inside = eikonal.protocol_sources(grid, "full")
    per_axis = (-(-setting.num_nodes // 5),) * dim
    inside = inside.reshape(*per_axis, dim)[thinned].reshape(-1, dim)
    sources = jnp.asarray(np.concatenate([inside, top]), speeds.dtype)
    solve = jax.jit(
        lambda speed: eikonal.reference_times(grid, speed, sources, factor=factor)
    )
    found = [solve(speed) for speed in speeds]
    return Test(
        setting,
        make_problem(speeds),
        sources,
        len(top),
        thin,
        jnp.stack([one.times[:, *thinned] for one in found]),
        np.array([one.unrefined_error for one in found]),
        np.array([one.error for one in found]),
    )


@partial(jax.jit, static_argnums=0)
def neural_times(
    field: eikonal.TravelTimeField,
    params: Any,
    latents: Any,
    sources: jax.Array,
    receivers: jax.Array,
    bounds: jax.Array,
) -> jax.Array:
    """Times of one field's latents from sources (s, dim) to receivers (*r, dim)."""
    prepared = field.prepare(params, latents)
    flat = receivers.reshape(-1, receivers.shape[-1])

    def to_all(source: jax.Array) -> jax.Array:
        times = partial(field.times, params, prepared, source)
        return jax.vmap(lambda r: times(r, bounds))(flat)

    return jax.lax.map(to_all, sources).reshape(-1, *receivers.shape[:-1])


def errors(
    field: Any, params: Any, fitted: list[Any], test: Test
) -> tuple[eikonal.TravelTimeErrors, eikonal.TravelTimeErrors]:
    """Errors of the pairs of "full" and of those of "top", over all fields."""
    times = jnp.stack(
        [
            neural_times(field, params, latents, test.sources, test.receivers, bounds)
            for latents, bounds in zip(fitted, test.problem.bounds, strict=True)
        ]
    )
    split = len(test.sources) - test.num_top
    return (
        eikonal.travel_time_errors(times[:, :split], test.times[:, :split]),
        eikonal.travel_time_errors(times[:, split:], test.times[:, split:]),
    )


def summary(errors: np.ndarray | jax.Array) -> dict[str, float]:
    """Mean, median and 95th percentile over fields."""
    return {
        "mean": round(float(np.mean(errors)), 5),
        "median": round(float(np.median(errors)), 5),
        "95 %": round(float(np.percentile(errors, 95)), 5),
    }


def draw(field: Any, params: Any, latents: Any, test: Test, path: Path) -> None:
    """Speed, times of the grid and of the field, and their difference."""
    speed, bounds = test.problem.speeds[0], test.problem.bounds[0]
    source = (len(test.sources) - test.num_top) // 2  # in the middle
    times = neural_times(
        field, params, latents, test.sources[source][None], test.receivers, bounds
    )[0]
    reference = test.times[0, source]
    if test.setting.dim == 3:  # the section through the middle
        speed, times, reference = (
            values[:, values.shape[1] // 2] for values in (speed, times, reference)
        )
    panels = {
        "speed": speed,
        "refined grid": reference,
        "neural field": times,
        "difference": times - reference,
    }
    figure = Figure(figsize=(12, 3), layout="constrained")
    for axis, (name, values) in zip(figure.subplots(1, 4), panels.items(), strict=True):
        image = np.asarray(values).T
        extent = (-1, 1, -1, 1)
        limit = np.abs(image).max()
        style = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        style = style if name == "difference" else {"cmap": "viridis"}
        shown = axis.imshow(image, origin="lower", extent=extent, **style)
        if name in ("refined grid", "neural field"):
            levels = np.linspace(0, float(reference.max()), 12)
            axis.contour(image, levels, colors="white", linewidths=0.7, extent=extent)
        axis.set(title=name, xticks=[], yticks=[])
        figure.colorbar(shown, ax=axis, shrink=0.8)
    figure.savefig(path, dpi=150)
