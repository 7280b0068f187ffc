"""Derivatives of travel times from the differences that the scheme uses."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax.eikonal._lattice_factor import frozen_metric
from eqjax.eikonal._lattice_grid import LatticeGrid
from eqjax.eikonal._lattice_iteration import LatticeProblem, upwind_differences
from eqjax.eikonal._lattice_stencil import LatticeStencil


def upwind_gradients(
    grid: LatticeGrid,
    stencil: LatticeStencil,
    problem: LatticeProblem,
    source: Float[Array, " dim"],
    times: Float[Array, "*shape"],
) -> Float[Array, "*shape dim"]:
    """D^-1 sum_k rho_k u_k e_k; at the start, the derivatives of r times slowness."""
    dtype, dim = times.dtype, len(grid.shape)
    differences = upwind_differences(problem, times)
    offsets = jnp.asarray(stencil.offsets, dtype)
    offsets = jnp.broadcast_to(offsets, (*grid.shape, *offsets.shape[-2:]))
    flow = jnp.einsum(
        "k...,...kd,d->...d",
        problem.weights * differences,
        offsets,
        jnp.asarray(grid.spacing, dtype),
        precision="highest",
    )
    metric = jnp.linalg.inv(jnp.asarray(stencil.dual, dtype))
    metric = jnp.broadcast_to(metric, (*grid.shape, dim, dim))
    gradients = jnp.einsum("...ij,...j->...i", metric, flow, precision="highest")
    steps = jnp.asarray(grid.steps, dtype)
    offset = grid.wrap(steps - grid.position(source).reshape(dim, *(1,) * dim))
    _, start = frozen_metric(grid, stencil, source).factor(offset, None)
    start /= jnp.asarray(grid.spacing, dtype).reshape(dim, *(1,) * dim)
    is_start = jnp.isfinite(problem.fixed)
    scale = jnp.where(is_start, problem.fixed, 0)
    start = jnp.moveaxis(start * scale[None], 0, -1)
    gradients = jnp.where(is_start[..., None], start, gradients)
    return jnp.where(jnp.isfinite(times)[..., None], gradients, jnp.nan)


def gradient_at(
    grid: LatticeGrid,
    gradients: Float[Array, "*shape dim"],
    position: Float[Array, " dim"],
) -> Float[Array, " dim"]:
    """The mean over the corners of the cell that have a gradient; 0 without any."""
    nodes, weights = grid.corners(position)
    corners = gradients[nodes]
    present = jnp.all(jnp.isfinite(corners), axis=-1)
    corners = jnp.where(present[..., None], corners, 0)
    weights = jnp.where(present, weights, 0)
    total = jnp.sum(weights)
    mean = jnp.einsum("...,...d->d", weights, corners, precision="highest")
    return mean / jnp.where(total > 0, total, 1)
