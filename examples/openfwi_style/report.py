"""Errors of unseen fields against refined grid solutions, and the picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from problem import NUM_NODES, VELOCITY, Problem, grid_times, make_problem, nodes

from eqjax import eikonal

TOP = 5  # sources along the top
INSIDE = 3  # sources per axis inside
STRIDE = 3  # of the receivers


class Test(NamedTuple):
    """Unseen fields and the times that they are measured by.

    Attributes:
        problem: Their speeds.
        sources: (fields, sources, 2).
        times: Reference at every third node, (fields, sources, 24, 24).
    """

    problem: Problem
    sources: jax.Array
    times: jax.Array


def sources() -> jax.Array:
    """Five sources along the top, and a grid of nine inside."""
    x = jnp.linspace(-0.9, 0.9, TOP)
    top = jnp.stack([x, jnp.full(TOP, 1.0)], axis=-1)
    y = jnp.linspace(-0.7, 0.7, INSIDE)
    inside = jnp.stack(jnp.meshgrid(y, y, indexing="ij"), axis=-1).reshape(-1, 2)
    return jnp.concatenate([top, inside])


def make_test(speeds: jax.Array, factor: int) -> Test:
    """Reference times on the grid refined `factor` times, v linear between nodes."""
    everywhere = jnp.broadcast_to(sources()[None], (len(speeds), TOP + INSIDE**2, 2))
    return Test(
        make_problem(speeds), everywhere, refined_times(speeds, everywhere, factor)
    )


@partial(jax.jit, static_argnames="factor")
def refined_times(speeds: jax.Array, sources: jax.Array, factor: int) -> jax.Array:
    """Times at every third node of the unrefined grid."""

    def of_one(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        speed, points = pair
        fine = VELOCITY.refine(speed, factor)
        times = grid_times(fine[None], points[None])[0]
        return times[:, :: STRIDE * factor, :: STRIDE * factor]

    return jax.lax.map(of_one, (speeds, sources))


@partial(jax.jit, static_argnums=0)
def neural_times(
    field: eikonal.TravelTimeField,
    params: Any,
    latents: Any,
    sources: jax.Array,
    bounds: jax.Array,
) -> jax.Array:
    """Times of one field's latents from sources to every third node."""
    prepared = field.prepare(params, latents)
    receivers = nodes()[::STRIDE, ::STRIDE].reshape(-1, 2)

    def to_all(source: jax.Array) -> jax.Array:
        return jax.vmap(lambda r: field.times(params, prepared, source, r, bounds))(
            receivers
        )

    num = -(-NUM_NODES // STRIDE)
    return jax.lax.map(to_all, sources).reshape(-1, num, num)


def errors(
    field: Any, params: Any, latents: Any, test: Test, i: int
) -> tuple[float, float, float]:
    """RE and RMAE of all sources, and RE of those along the top, of field i."""
    times = neural_times(
        field, params, latents, test.sources[i], test.problem.bounds[i]
    )
    return _errors(times, test.times[i])


def _errors(times: jax.Array, reference: jax.Array) -> tuple[float, float, float]:
    return (
        float(eikonal.relative_error(times, reference)),
        float(eikonal.relative_mean_absolute_error(times, reference)),
        float(eikonal.relative_error(times[:TOP], reference[:TOP])),
    )


def grid_errors(test: Test) -> np.ndarray:
    """Of the solver on the unrefined grid, the reference of the publications."""
    coarse = refined_times(test.problem.speeds, test.sources, 1)
    return np.array(list(map(_errors, coarse, test.times)))


def reference_error(test: Test) -> float:
    """RE between the reference and the one of half the refinement."""
    half = refined_times(test.problem.speeds, test.sources, 4)
    return float(
        np.mean([_errors(*pair)[0] for pair in zip(half, test.times, strict=True)])
    )


def summary(found: np.ndarray) -> dict[str, Any]:
    """Mean, median and 95th percentile over fields."""
    return {
        name: {
            "mean": round(float(np.mean(column)), 5),
            "median": round(float(np.median(column)), 5),
            "95 %": round(float(np.percentile(column, 95)), 5),
        }
        for name, column in zip(("RE", "RMAE", "RE top"), found.T, strict=True)
    }


def draw(field: Any, params: Any, latents: Any, test: Test, path: Path) -> None:
    """Speed, times of the grid and of the field, and their difference."""
    example = jax.tree.map(lambda leaf: leaf[0], test)
    source = TOP + INSIDE**2 // 2  # in the middle
    times = neural_times(
        field, params, latents, example.sources, example.problem.bounds
    )[source]
    reference = example.times[source]
    panels = {
        "speed": example.problem.speeds,
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
