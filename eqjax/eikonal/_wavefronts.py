"""Grids stored by wavefronts i + j (+ k) = const, and sweeps over them.

Nodes of one front do not depend on each other under upwind differences, so a sweep
is a loop over fronts with all nodes of a front updated at once. Flipping leading axes
of the grid gives the other families of diagonals; orientation o flips the axes of the
bits of o.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from eqjax.eikonal._local_update import Neighbors

# Second-order differences look two nodes ahead.
_REACH = 2

# Rows are filled up to multiples of so many bytes: XLA's CPU compiler updates that much
# at once, and what is left at the end of a row node by node.
_VECTOR = 32

# (neighbors of the state, neighbors of the wide data, their value and the state at the
# nodes, the narrow data at the nodes) -> the new state at the nodes of a front.
Update = Callable[[Neighbors, Neighbors, Array, Array, tuple[Array, ...]], Array]


def num_orientations(num_axes: int) -> int:
    """Orientations whose sweeps forth and back go through all 2^d directions."""
    return 2 ** (num_axes - 1)


def is_flipped(orientation: int, axis: int) -> bool:
    """True if an axis of the grid is reversed in an orientation."""
    return (orientation >> axis) % 2 == 1


def flip(array: Array, orientation: int, num_axes: int) -> Array:
    """The grid in an orientation; extra leading axes of `array` stay."""
    axes = range(num_axes)
    flipped = [axis - num_axes for axis in axes if is_flipped(orientation, axis)]
    return jnp.flip(array, flipped) if flipped else array


def shear(array: Array, fill: float, num_axes: int) -> Array:
    """Stores fronts of a grid as rows: S[k, ..., i, ...] = a[..., i, ..., k - i - ...].

    The grid is the last `num_axes` axes. Rows hold all its axes but the last. What
    lies outside the grid is `fill`, also in a margin of two around the fronts and where
    rows are filled up.
    """
    for axis in range(-num_axes, -1):
        array = jnp.moveaxis(array, axis, -2)
        *lead, size, width = array.shape
        # Row i of a matrix padded by `size` columns and read with one column less
        # starts i places later: a shift by i without any gather.
        array = _pad(array, [(-1, 0, size)], fill)
        array = array.reshape(*lead, size * (width + size))
        array = array[..., : size * (width + size - 1)]
        array = array.reshape(*lead, size, width + size - 1)
        array = jnp.moveaxis(array, -2, axis)
    margins = [(axis, _REACH, _REACH) for axis in range(-num_axes, 0)]
    filling = -array.shape[-2] % (_VECTOR // array.dtype.itemsize)
    margins[-2] = (-2, _REACH, _REACH + filling)
    return jnp.moveaxis(_pad(array, margins, fill), -1, 0)


def unshear(fronts: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `shear` for a grid without extra axes."""
    array = jnp.moveaxis(_inside(fronts, fronts.ndim), 0, -1)
    array = array[..., : shape[-2], :]
    for axis in reversed(range(len(shape) - 1)):
        array = jnp.moveaxis(array, axis, -2)
        *lead, size, width = array.shape
        array = _pad(array.reshape(*lead, size * width), [(-1, 0, size)], 0.0)
        array = array.reshape(*lead, size, width + 1)[..., : width + 1 - size]
        array = jnp.moveaxis(array, -2, axis)
    return array


def forth_and_back(
    update: Update,
    state: Array,
    orientation: Array | int,
    wide: Array,
    narrow: Array,
    fill: float,
) -> Array:
    """Sweeps a grid of values to the last front and back in one orientation.

    Args:
        update: What to do with a front, from the newest values around it.
        state: Values that change; `fill` outside the grid.
        orientation: In which orientation.
        wide: Data of which `update` needs the neighbors: sheared grids of all
            orientations one after another.
        narrow: Data of which it needs those at the node, likewise, stacked on axis 1.
        fill: Value of the state outside the grid.
    """
    fronts = _flip_traced(state, orientation)
    fronts = _sweep(update, shear(fronts, fill, state.ndim), orientation, wide, narrow)
    return _flip_traced(unshear(fronts, state.shape), orientation)


def iterate(
    run: Callable[[Array, Array | int], Array],
    measure: Callable[[Array], Array],
    state: Array,
    *,
    max_rounds: int,
    tolerance: float,
    opening: bool,
) -> tuple[Array, Array, Array]:
    """Sweeps in all orientations in turn until the state no longer changes.

    A round goes through all orientations. With `opening`, the first one goes before
    all rounds and ends each of them, because what the last one found must reach its
    surroundings: smooth problems end after three passes in 2-D instead of four.

    Args:
        run: (state, orientation) -> state.
        measure: How far a state is from the fixed point.
        state: Where to start.
        max_rounds: Bound on the number of rounds.
        tolerance: `measure` at which to stop.
        opening: Whether to open with the first orientation.

    Returns:
        The state, the number of rounds (in the state's dtype), its `measure`.
    """
    count = num_orientations(state.ndim)
    shift = int(opening)

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, rounds, change = carry
        return (rounds < max_rounds) & (change > tolerance)

    def run_round(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        state, rounds, _ = carry
        # The counter stays a plain number under vmap, so slices stay slices.
        state = lax.fori_loop(0, count, lambda i, x: run(x, (i + shift) % count), state)
        return state, rounds + 1, measure(state)

    zero = jnp.zeros((), state.dtype)
    state = run(state, 0) if opening else state
    start = (state, zero, jnp.full_like(zero, jnp.inf))
    return lax.while_loop(unfinished, run_round, start)


def grid_neighbors(array: Array, fill: float) -> Neighbors:
    """The neighbors of every node of a grid, `fill` beyond its edges."""
    padded = jnp.pad(array, _REACH, constant_values=fill)
    axes = range(array.ndim)

    def shifted(offset: int) -> tuple[Array, ...]:
        return tuple(_window(padded, axis, offset) for axis in axes)

    return Neighbors(shifted(-1), shifted(1), shifted(-2), shifted(2))


def _sweep(
    update: Update, state: Array, orientation: Array | int, wide: Array, narrow: Array
) -> Array:
    num_rows = state.shape[0]
    num_steps = 2 * (num_rows - 2 * _REACH)
    size = 2 * _REACH + 1
    first_row = orientation * num_rows
    num_axes = state.ndim - 1

    def front_of(step: Array) -> Array:
        return jnp.minimum(step, num_steps - 1 - step)

    def load(step: Array, state: Array) -> Array:
        front = front_of(step)
        row = first_row + front
        pieces = (
            lax.dynamic_slice_in_dim(state, front, size),
            lax.dynamic_slice_in_dim(wide, row, size),
            lax.dynamic_index_in_dim(narrow, row + _REACH, keepdims=False),
        )
        merged = [piece.reshape(-1, *piece.shape[2:]) for piece in pieces]
        return jnp.concatenate(merged).reshape(-1, *state.shape[1:])

    def body(step: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        state, loaded = carry
        rows, wide_rows, here = jnp.split(loaded, (size, 2 * size))
        new = update(
            _front_neighbors(rows),
            _front_neighbors(wide_rows),
            _inside(wide_rows[_REACH], num_axes),
            _inside(rows[_REACH], num_axes),
            tuple(_inside(here, num_axes)),
        )
        corner = (front_of(step) + _REACH,) + (_REACH,) * num_axes
        state = lax.dynamic_update_slice(state, new[None], corner)
        # What the next step reads is loaded here and carried: at addresses that do
        # not depend on the counter XLA's CPU compiler vectorizes the update. As one
        # array it depends on the new state, so none of it is copied again to keep
        # the old one; pieces with merged axes are copied by vectors.
        return state, load(step + 1, state)

    start = (state, load(jnp.zeros((), int), state))
    state, _ = lax.fori_loop(0, num_steps, body, start)
    return state


def _front_neighbors(rows: Array) -> Neighbors:
    """Neighbors of the middle one of five fronts."""

    def shifted(offset: int) -> tuple[Array, ...]:
        front = rows[_REACH + offset]
        along = tuple(_window(front, axis, offset) for axis in range(front.ndim))
        # The last axis has no place in a row: it is what a front shifts along.
        return (*along, _inside(front, front.ndim))

    return Neighbors(shifted(-1), shifted(1), shifted(-2), shifted(2))


def _flip_traced(array: Array, orientation: Array | int) -> Array:
    """`flip` by an orientation that may be traced."""
    for axis in range(array.ndim - 1):
        flipped = (orientation >> axis) % 2 == 1
        array = jnp.where(flipped, jnp.flip(array, axis), array)
    return array


def _inside(array: Array, num_axes: int) -> Array:
    """The array without the margins of its last axes."""
    return array[(..., *(slice(_REACH, -_REACH),) * num_axes)]


def _window(padded: Array, axis: int, offset: int) -> Array:
    """The inside of `padded`, moved by `offset` along one axis."""
    starts = [_REACH] * padded.ndim
    starts[axis] += offset
    sizes = [size - 2 * _REACH for size in padded.shape]
    limits = [start + size for start, size in zip(starts, sizes, strict=True)]
    return lax.slice(padded, starts, limits)


def _pad(array: Array, margins: list[tuple[int, int, int]], fill: float) -> Array:
    """Pads the given axes by (axis, before, after)."""
    widths = [(0, 0)] * array.ndim
    for axis, before, after in margins:
        widths[axis] = (before, after)
    return jnp.pad(array, widths, constant_values=fill)
