"""Errors, pictures and tables of the Earth example."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table
from signals import EARTHS, Signal, grid_times

from eqjax import data, eikonal, fields, fitting, groups, plot

DEPTH_KM = 10.0  # of the source of the arrivals and pictures
DEGREES = (30.0, 60.0, 90.0)
CURVE = np.arange(1.0, 96.0)
Field = eikonal.TravelTimeField


@partial(jax.jit, static_argnames="field")
def neural_times(
    field: Field, params: Any, latents: Any, bounds: Any, sources: Any, receivers: Any
) -> jax.Array:
    """Times from every source to every receiver, (sources, receivers)."""
    prepared = field.prepare(params, latents)

    def from_source(s: jax.Array) -> jax.Array:
        return jax.vmap(lambda r: field.times(params, prepared, s, r, bounds))(
            receivers
        )

    return jax.lax.map(from_source, sources)


@partial(jax.jit, static_argnames="field")
def pair_times(
    field: Field, params: Any, latents: Any, bounds: Any, sources: Any, receivers: Any
) -> jax.Array:
    """Times of pairs."""
    prepared = field.prepare(params, latents)
    return jax.vmap(lambda s, r: field.times(params, prepared, s, r, bounds))(
        sources, receivers
    )


def questions(
    field: Field,
    state: fitting.JointState,
    earths: list[Signal],
    all_bounds: jax.Array,
) -> Iterator[tuple[Signal, tuple]]:
    """Each signal with the first arguments of `neural_times`."""
    for k, earth in enumerate(earths):
        latents = jax.tree.map(itemgetter(k), state.table)
        yield earth, (field, state.params, latents, all_bounds[k])


def measure(
    field: Field,
    state: fitting.JointState,
    earths: list[Signal],
    all_bounds: jax.Array,
    sizes: Any,
) -> dict[str, Any]:
    """RE and RMAE by the "full" protocol, arrivals, and errors of symmetries."""
    models, errors = {}, []
    for earth, ask in questions(field, state, earths, all_bounds):
        nodes = earth.nodes(1)
        inside = np.asarray(earth.domain.contains(jnp.asarray(nodes, jnp.float32)))
        every = np.zeros_like(inside)
        every[:: sizes.source_stride, :: sizes.source_stride] = True
        sources, receivers = nodes[inside & every], nodes[inside]
        fine, coarse = (
            jnp.asarray(grid_times(earth, f, sources, stride=f)[:, inside], jnp.float32)
            for f in (sizes.reference_factor, sizes.reference_factor // 2)
        )
        times = neural_times(*ask, *as_float32(sources, receivers))
        models[earth.name] = {
            "re": float(eikonal.relative_error(times, fine)),
            "rmae": float(eikonal.relative_mean_absolute_error(times, fine)),
            "reference_re": float(eikonal.relative_error(coarse, fine)),
        }
        if earth.earth is not None:
            models[earth.name] |= arrivals(ask, earth)
        errors.append(symmetry_errors(ask, receivers))
    turned, swapped = np.max(errors, axis=0).tolist()
    return {"models": models, "equivariance_error": turned, "swap_error": swapped}


def arrivals(ask: tuple, earth: Signal) -> dict[str, Any]:
    """First P arrivals at the surface, beside the published times."""
    times, _, published = travel_time_curves(ask, earth)
    shown = [degrees for degrees in DEGREES if degrees in published]
    return {
        "arrivals_s": {f"{d:g}": float(times[int(d) - 1]) for d in shown},
        "published_s": {f"{d:g}": published[d] for d in shown},
    }


def travel_time_curves(ask: tuple, earth: Signal) -> tuple[Any, Any, dict]:
    """Neural times and ray theory at 1 .. 95 degrees, and the published times."""
    times = neural_times(*ask, *as_float32(*great_circle(earth, CURVE)))[0]
    theory = ray_theory(earth)
    if earth.name in EARTHS:
        return times, theory, data.first_p_arrivals(earth.name, depth_km=DEPTH_KM)
    return times, theory, dict(zip(CURVE.tolist(), theory.tolist(), strict=True))


@cache
def ray_theory(earth: Signal) -> np.ndarray:
    """First arrivals at 1 .. 95 degrees."""
    assert earth.earth is not None
    return data.radial_first_arrivals(earth.earth, DEPTH_KM, CURVE)


def as_float32(*arrays: np.ndarray) -> list[jax.Array]:
    """Coordinates for the field."""
    return [jnp.asarray(array, jnp.float32) for array in arrays]


def great_circle(earth: Signal, degrees: Any) -> tuple[np.ndarray, np.ndarray]:
    """A source below the top of the disc, and receivers on its rim."""
    angle = np.pi / 2 - np.radians(np.asarray(degrees))
    rim = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.array([[0.0, 1 - DEPTH_KM / earth.length_km]]), rim


def symmetry_errors(ask: tuple, nodes: np.ndarray) -> tuple[float, float]:
    """Largest changes of times, over the largest time, under the two symmetries.

    Earth and points are turned by one radian together; source and receiver swap.
    """
    field, params, latents, bounds = ask
    turn, angle = groups.SO(2), jnp.asarray(1.0)
    poses = field.pair_invariant.poses
    turned = fields.transform_latents(poses, angle, latents, group=turn)
    s = jnp.asarray(nodes, jnp.float32)
    r = jnp.asarray(np.random.default_rng(0).permutation(nodes), jnp.float32)
    times = pair_times(*ask, s, r)
    moved = pair_times(
        field, params, turned, bounds, turn.act(angle, s), turn.act(angle, r)
    )
    swapped = pair_times(*ask, r, s)
    turn_error, swap_error = (
        float(jnp.max(jnp.abs(other - times)) / jnp.max(times))
        for other in (moved, swapped)
    )
    return turn_error, swap_error


def draw(
    field: Field,
    state: fitting.JointState,
    earths: list[Signal],
    all_bounds: jax.Array,
    out: Path,
) -> None:
    """A map with wavefronts and rays per model, and travel-time curves."""
    for earth, ask in questions(field, state, earths, all_bounds):
        km = earth.length_km
        nodes = earth.nodes(2)
        if earth.earth is not None:
            source, ends = great_circle(earth, (30, 60, 90, 120, -45, -75, -105))
            circle = np.linspace(0, 2 * np.pi, 361)
            rim = np.stack([np.cos(circle), np.sin(circle)], axis=-1)
            depths = [d for d in earth.earth.discontinuities_km if d > 300]
            frame: dict[str, Any] = {
                "outline": km * rim,
                "boundaries": [(km - depth) * rim for depth in depths],
            }
        else:
            upper = np.asarray(earth.box.upper)
            source = np.array([[0.0, 0.9]]) * upper
            across = np.linspace(-0.9, 0.9, 7)
            ends = np.stack([across, np.full(7, -0.9)], axis=-1) * upper
            frame = {}
        times = neural_times(*ask, *as_float32(source, nodes.reshape(-1, 2)))[0]
        rays = trace_rays(*ask, *as_float32(source[0], ends))
        traced = zip(np.asarray(rays.points), np.asarray(rays.valid), strict=True)
        low, high = earth.box.lower, earth.box.upper
        figure = plot.travel_time_map(
            np.asarray(times).reshape(nodes.shape[:2]),
            (km * low[0], km * high[0], km * low[1], km * high[1]),
            source=km * source[0],
            rays=[km * points[valid] for points, valid in traced],
            velocity=earth.speeds(2),
            title=f"P waves through {earth.name}: neural travel times",
            **frame,
        )
        figure.savefig(out / f"{earth.name}_map.png", dpi=150)
        if earth.earth is not None:
            draw_curve(ask, earth, out)


@partial(jax.jit, static_argnames="field")
def trace_rays(
    field: Field, params: Any, latents: Any, bounds: Any, source: Any, ends: Any
) -> eikonal.Ray:
    """Rays from the ends back to the source, down the gradient of the neural times."""
    prepared = field.prepare(params, latents)
    gradient = jax.grad(lambda x: field.times(params, prepared, source, x, bounds))

    def trace(end: jax.Array) -> eikonal.Ray:
        # Only the path is drawn, so the speed along it does not matter.
        return eikonal.trace_ray(
            gradient,
            lambda x: bounds[0],
            field.space,
            source,
            end,
            step=0.02,
            max_steps=160,
        )

    return jax.vmap(trace)(ends)


def draw_curve(ask: tuple, earth: Signal, out: Path) -> None:
    """Times against distance, with their residuals."""
    times, theory, published = travel_time_curves(ask, earth)
    points = {}
    if earth.name in EARTHS:
        points["published"] = (np.array([*published]), np.array([*published.values()]))
    figure = plot.travel_time_curve(
        CURVE,
        theory,
        {"neural field": (CURVE, np.asarray(times))},
        points=points,
        reference_label="ray theory",
        title=f"First P arrivals, {earth.name}, source at {DEPTH_KM:g} km",
    )
    figure.savefig(out / f"{earth.name}_curve.png", dpi=150)


def show(result: dict[str, Any], out: Path) -> None:
    """Prints what was measured."""
    table = Table(title="Errors against the refined grid solution")
    for column in ("model", "RE", "RMAE", "of reference"):
        table.add_column(column, justify="left" if column == "model" else "right")
    rows = result["models"].values()
    if any("arrivals_s" in row for row in rows):
        table.title = f"{table.title}; first P arrivals in s (published)"
        for degrees in DEGREES:
            table.add_column(f"{degrees:g} deg", justify="right")
    for name, row in result["models"].items():
        times = [
            f"{time:.1f} ({row['published_s'][degrees]:.1f})"
            for degrees, time in row.get("arrivals_s", {}).items()
        ]
        errors = (row["re"], row["rmae"], row["reference_re"])
        table.add_row(name, *(f"{error:.2%}" for error in errors), *times)
    console = Console()
    console.print(table)
    console.print(
        f"Earth and points turned together: {result['equivariance_error']:.1e}; "
        f"source and receiver swapped: {result['swap_error']:.1e} (relative).\n"
        f"{result['seconds']:.0f} s; pictures and result.json in {out}"
    )
