"""Mazes: the format, what makes a maze, speeds that keep walls shut."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage, special

from eqjax.data._mazes import maze_speed, random_maze, read_mazes

SIZES = [((4, 4), 10, 2), ((3, 5), 2, 1), ((1, 6), 1, 3), ((1, 1), 2, 1)]


@pytest.mark.parametrize("arrange", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("dtype", [np.int8, np.int64, bool])
def test_mazes_are_returned_as_stored(
    tmp_path: pathlib.Path, arrange: Callable, dtype: type
) -> None:
    stored = np.random.default_rng(0).integers(0, 2, (3, 5, 7)).astype(dtype)
    np.save(tmp_path / "mazes.npy", arrange(stored))
    walls = read_mazes(tmp_path / "mazes.npy")
    assert walls.dtype == bool
    np.testing.assert_array_equal(walls, stored == 1)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.zeros((5, 7), np.int8), r"shape \(mazes, rows, columns\)"),
        (np.zeros((0, 5, 7), np.int8), r"shape \(mazes, rows, columns\)"),
        (np.zeros((3, 5, 7)), "int8"),
        (np.full((3, 5, 7), 2, np.int8), r"got 2 at index \(0, 0, 0\) and 105"),
        (np.full((3, 5, 7), -1, np.int8), "got -1"),
        (np.ones((3, 5, 7), np.int8), "free nodes"),
        (np.zeros((3, 5, 7), complex), "real numbers"),
    ],
)
def test_other_arrays_are_refused(
    tmp_path: pathlib.Path, stored: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "mazes.npy", stored)
    with pytest.raises(ValueError, match=message):
        read_mazes(tmp_path / "mazes.npy")


def test_other_files_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_mazes(tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("0 1 1 0")
    with pytest.raises(ValueError, match="not a readable"):
        read_mazes(tmp_path / "text.npy")
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(ValueError, match="not a readable"):
        read_mazes(tmp_path / "objects.npy")


@pytest.mark.parametrize(("rooms", "corridor", "wall"), SIZES)
def test_one_path_joins_any_two_rooms(
    rooms: tuple[int, int], corridor: int, wall: int
) -> None:
    for seed in range(5):
        walls = random_maze(seed, rooms=rooms, corridor=corridor, wall=wall)
        step = corridor + wall
        assert walls.shape == tuple(n * step + wall for n in rooms)
        # Free space: all rooms, connected; and one door less than rooms, so that no
        # door can be spared: a tree.
        labels = np.zeros(walls.shape, np.int32)
        assert ndimage.label(~walls, output=labels) == 1
        num_rooms = rooms[0] * rooms[1]
        doors = (num_rooms - 1) * corridor * wall
        assert np.sum(~walls) == num_rooms * corridor**2 + doors
        inside = walls[wall + np.arange(rooms[0]) * step][
            :, wall + np.arange(rooms[1]) * step
        ]
        assert not inside.any()
        assert walls[0].all()
        assert walls[:, -1].all()


def test_mazes_are_functions_of_the_seed() -> None:
    mazes = [random_maze(seed).tobytes() for seed in (0, 0, *range(1, 50))]
    assert mazes[0] == mazes[1]
    # Of 100,352 spanning trees of the 4 x 4 rooms.
    assert len(set(mazes)) > 45


def test_default_mazes_have_the_public_format(tmp_path: pathlib.Path) -> None:
    stack = np.stack([random_maze(seed) for seed in range(3)])
    np.save(tmp_path / "mazes.npy", stack.astype(np.int8))
    walls = read_mazes(tmp_path / "mazes.npy")
    assert walls.shape == (3, 50, 50)
    # 16 rooms of 100 nodes and 15 doors of 20 leave 600 of 2,500.
    np.testing.assert_array_equal(walls.mean((1, 2)), 0.24)


def test_walls_stay_shut_under_blur() -> None:
    walls = random_maze(0)
    speed = maze_speed(walls).velocity
    np.testing.assert_array_equal(speed[walls], 1)
    # In the middle of a corridor of 10 nodes, 5 nodes off both walls: less than 2
    # tails of the Gaussian beyond 1.5 deviations, 7 % each, are missing.
    assert 86 < speed.max() < 100
    plain = maze_speed(walls, clearance=0).velocity
    assert plain[walls].max() > 35
    assert np.all(plain >= speed - 1e-12)


def test_blur_of_a_flat_wall_is_the_integral_of_a_gaussian() -> None:
    walls = np.zeros((40, 41), bool)
    walls[:20] = True
    blur = 3.0
    speed = maze_speed(walls, speeds=(2.0, 5.0), blur=blur, clearance=0).velocity
    off = np.arange(40) - 19.5
    expected = 2 + 3 * (1 + special.erf(off / blur / np.sqrt(2))) / 2
    # The kernel is cut at 3 deviations, outside of which lie .27 %, and sums stand
    # for integrals: error (1 / blur)^2 / 24 of the density.
    np.testing.assert_allclose(speed, np.tile(expected[:, None], 41), atol=0.01)


def test_speed_lies_on_the_box() -> None:
    walls = random_maze(0, rooms=(2, 3), corridor=5)
    maze = maze_speed(walls, half_side=2.0, blur=0.0, clearance=1)
    assert maze.velocity.shape == (16, 23)
    np.testing.assert_array_equal(np.unique(maze.velocity), [1, 100])
    last = np.array(maze.origin) + np.array(maze.spacing) * [15, 22]
    np.testing.assert_allclose(last, 2, rtol=1e-14)


@pytest.mark.usefixtures("user_errors")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(speeds=(2.0, 1.0)), "in this order"),
        (dict(speeds=(0.0, 1.0)), "`speeds`"),
        (dict(half_side=-1.0), "`half_side`"),
        (dict(blur=-1.0), "`blur`"),
        (dict(clearance=-1), "`clearance`"),
        (dict(clearance=5), "must leave nodes free"),
    ],
)
def test_speeds_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maze_speed(random_maze(0), **arguments)


@pytest.mark.parametrize(
    "arguments", [dict(rooms=(0, 3)), dict(corridor=0), dict(wall=0)]
)
def test_mazes_without_size_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        random_maze(0, **arguments)
