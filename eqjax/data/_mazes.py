"""Mazes: a reader, a generator, and the speeds at which one moves in them."""

from __future__ import annotations

import math
import os

import numpy as np
from jaxtyping import Bool

from eqjax._core._checks import (
    check_condition,
    check_positive,
    check_shape,
    check_size,
)
from eqjax.data._npy import read_npy
from eqjax.data._velocity_models import VelocityGrid

_NEIGHBORS = ((1, 0), (-1, 0), (0, 1), (0, -1))


def read_mazes(path: str | os.PathLike[str]) -> Bool[np.ndarray, "mazes rows cols"]:
    """Reads a stack of mazes from a `.npy` file of zeros (free) and ones (walls).

    The public files hold 150 and 50 mazes of 50 x 50 nodes as int8; other sizes and
    integer types are read alike.

    Args:
        path: The file.

    Returns:
        True where a node is part of a wall; axes as stored.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no `.npy` array of integers or booleans of shape
            (mazes, rows, columns), holds values other than 0 and 1, or a maze without
            free nodes.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from eqjax.data import random_maze, read_mazes
        >>> stack = np.stack([random_maze(seed) for seed in range(3)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "mazes.npy"
        ...     np.save(path, stack.astype(np.int8))
        ...     walls = read_mazes(path)
        >>> walls.shape, walls.dtype.name
        ((3, 50, 50), 'bool')

    References:
        García-Castellanos, Wessels, van den Berg et al., "Equivariant eikonal neural
        networks", 2025, whose planning experiment has files of this format.
    """
    stored = read_npy(path)
    check_condition(
        stored.ndim == 3 and min(stored.shape) > 0,
        f"{path} must hold an array of shape (mazes, rows, columns), got "
        f"{stored.shape}. Stack mazes along the first axis.",
    )
    check_condition(
        stored.dtype.kind in "iub",
        f"{path} must hold integers, 1 for a wall and 0 for a free node, got dtype "
        f"{stored.dtype}. Save it as int8.",
    )
    bad = np.argwhere((stored != 0) & (stored != 1))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{path} must hold 1 for a wall and 0 for a free node, got "
            f"{stored[index]} at index {index} and {len(bad)} such values in all."
        )
    walls = stored.astype(bool)
    full = np.flatnonzero(walls.all((1, 2)))
    check_condition(
        full.size == 0,
        f"{path} must hold mazes with free nodes, but maze {full[:1]} is all wall. "
        "Is 1 used for a wall in it?",
    )
    return walls


def random_maze(
    seed: int,
    *,
    rooms: tuple[int, int] = (4, 4),
    corridor: int = 10,
    wall: int = 2,
) -> Bool[np.ndarray, "rows cols"]:
    """A random maze in which one path joins any two rooms.

    Square rooms of `corridor` nodes stand on a grid, `wall` nodes apart. A walk from a
    random room opens the wall to a neighbor that it has not seen, turns back where
    there is none, and ends when all rooms are open: depth-first search, which makes
    long corridors. The defaults give 50 x 50 nodes, 24 % of them walls, with rooms
    where all mazes of the public files have them.

    Args:
        seed: The maze is a function of the seed and of the sizes alone.
        rooms: Number of rooms per axis.
        corridor: Side of a room, in nodes.
        wall: Thickness of a wall, in nodes.

    Returns:
        True where a node is part of a wall, with
        rooms x (corridor + wall) + wall nodes per axis.

    Raises:
        ValueError: If a size is not positive.

    Example:
        >>> from eqjax.data import random_maze
        >>> for row in random_maze(0, rooms=(2, 4), corridor=1, wall=1):
        ...     print("".join("#" if node else "." for node in row))
        #########
        #.#.....#
        #.#.###.#
        #...#...#
        #########
    """
    for size in rooms:
        check_size("rooms", size)
    check_size("corridor", corridor)
    check_size("wall", wall)
    random = np.random.default_rng(seed)
    step = corridor + wall
    walls = np.ones([size * step + wall for size in rooms], bool)
    path = [(int(random.integers(rooms[0])), int(random.integers(rooms[1])))]
    seen = set(path)
    _open(walls, path, wall, corridor)
    while path:
        row, col = path[-1]
        unseen = [
            room
            for room in ((row + i, col + j) for i, j in _NEIGHBORS)
            if 0 <= room[0] < rooms[0] and 0 <= room[1] < rooms[1] and room not in seen
        ]
        if not unseen:
            path.pop()
            continue
        path.append(unseen[int(random.integers(len(unseen)))])
        seen.add(path[-1])
        _open(walls, path[-2:], wall, corridor)
    return walls


def maze_speed(
    walls: Bool[np.ndarray, "rows cols"],
    *,
    speeds: tuple[float, float] = (1.0, 100.0),
    half_side: float = 4.0,
    blur: float = 1.0,
    clearance: int = 3,
) -> VelocityGrid:
    """Speed in a maze: slow in walls, fast in the open, smooth in between.

    v = v_min + (v_max - v_min) G * free, with a Gaussian G of deviation `blur`, cut off
    at `ceil(3 blur)` nodes, and free = 1 at nodes more than `clearance` nodes (in the
    larger of both axes) away from walls. With `clearance` at least `ceil(3 blur)`,
    walls keep v_min, so that crossing them is slow; with `clearance` 0 the blur is that
    of the maze itself, which opens thin walls: 2 nodes thick, they have 36 % of the
    difference at `blur` 1.

    Args:
        walls: True where a node is part of a wall.
        speeds: v_min and v_max, positive.
        half_side: The nodes span the box [-half_side, half_side]^2.
        blur: Standard deviation of the blur, in nodes; 0 for none.
        clearance: By how many nodes walls are thickened first. Corridors up to
            2 x clearance nodes wide are closed by it.

    Returns:
        The speeds at the nodes, float64.

    Raises:
        ValueError: If a number is out of range, or no node is left free.

    Example:
        >>> from eqjax import data, eikonal
        >>> maze = data.maze_speed(data.random_maze(0))
        >>> maze.velocity.shape, maze.velocity.min().item(), maze.origin
        ((50, 50), 1.0, (-4.0, -4.0))
        >>> solver = eikonal.GridEikonal((50, 50), maze.spacing, maze.origin)

    References:
        García-Castellanos, Wessels, van den Berg et al., "Equivariant eikonal neural
        networks", 2025, whose planning experiment has blurred speeds between 1 and 100
        on [-4, 4]^2.
    """
    check_shape("walls", walls, (None, None))
    low, high = speeds
    check_positive("speeds", low)
    check_positive("speeds", high)
    check_condition(
        low <= high, f"`speeds` must be (v_min, v_max) in this order, got {speeds}."
    )
    check_positive("half_side", half_side)
    check_positive("blur", blur, zero=True)
    check_size("clearance", clearance, minimum=0)
    check_condition(
        min(walls.shape) >= 2,
        f"`walls` must have at least 2 nodes per axis, got shape {walls.shape}.",
    )
    # Imported here: scipy comes with jax, but takes a while to load.
    from scipy import ndimage

    size = 2 * clearance + 1
    free = np.logical_not(ndimage.maximum_filter(walls, size=size, mode="nearest"))
    check_condition(
        bool(free.any()),
        f"`clearance` = {clearance} must leave nodes free, but no node is that far "
        "from walls. Choose a smaller one.",
    )
    share = free.astype(np.float64)
    if blur > 0:
        radius = math.ceil(3 * blur)
        share = ndimage.gaussian_filter(share, blur, mode="nearest", radius=radius)
    # Rounding of the weights must not leave the range.
    share = np.clip(share, 0, 1)
    rows, cols = walls.shape
    return VelocityGrid(
        velocity=low + (high - low) * share,
        spacing=(2 * half_side / (rows - 1), 2 * half_side / (cols - 1)),
        origin=(-half_side, -half_side),
    )


def _open(
    walls: np.ndarray, rooms: list[tuple[int, int]], wall: int, corridor: int
) -> None:
    """Frees a room, or two neighboring ones and what is between them."""
    first, last = np.min(rooms, axis=0), np.max(rooms, axis=0)
    start = wall + first * (corridor + wall)
    stop = wall + last * (corridor + wall) + corridor
    walls[start[0] : stop[0], start[1] : stop[1]] = False
