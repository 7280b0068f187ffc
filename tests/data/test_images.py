"""Image files, digits, and images moved by affine maps."""

import gzip
import pathlib
import struct
import sys

import numpy as np
import pytest

from eqjax.data._digits import digits
from eqjax.data._idx import read_idx
from eqjax.data._warp import warp

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    """The format, written down a second time."""
    code = CODES[array.dtype.str[1:]]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_set(folder: pathlib.Path, side: int = 6) -> list[np.ndarray]:
    """Four files under the various names that they have in the wild."""
    rng = np.random.default_rng(0)
    arrays = []
    for name, num in zip(NAMES, (5, 5, 3, 3), strict=True):
        shape = (num, side, side) if "images" in name else (num,)
        arrays.append(rng.integers(0, 256, shape, dtype=np.uint8))
    contents = [idx_bytes(array) for array in arrays]
    (folder / NAMES[0]).write_bytes(contents[0])
    (folder / NAMES[1].replace("-idx", ".idx")).write_bytes(contents[1])
    (folder / f"{NAMES[2]}.gz").write_bytes(gzip.compress(contents[2]))
    (folder / NAMES[3].replace("-idx", ".idx")).with_suffix(
        ".idx1-ubyte.gz"
    ).write_bytes(gzip.compress(contents[3]))
    return arrays


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("compressed", [False, True])
def test_idx_files_hold_what_was_written(
    tmp_path: pathlib.Path, code: str, compressed: bool
) -> None:
    values = np.arange(-6, 24).astype(code).reshape(2, 3, 5)
    content = idx_bytes(values)
    path = tmp_path / "values"
    path.write_bytes(gzip.compress(content) if compressed else content)
    found = read_idx(path)
    assert found.dtype == values.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values)


def test_idx_magic_numbers_are_those_of_images_and_labels() -> None:
    assert idx_bytes(np.zeros((1, 1, 1), np.uint8))[:4].hex() == "00000803"
    assert idx_bytes(np.zeros(1, np.uint8))[:4].hex() == "00000801"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: b"\0\0\x07\3" + c[4:], "magic number.*0x00000703"),
        (lambda c: b"PNG" + c, "magic number.*0x504E4700"),
        (lambda c: b"\0\0\x08\0", "magic number.*0x00000800"),
        (lambda c: c[:2], "4 bytes, got 2 bytes.*truncated"),
        (lambda c: c[:9], "sizes of 3 axes, 16 bytes.*got 9 bytes.*truncated"),
        (lambda c: c[:-1], "46 bytes.*got 45.*truncated"),
        (lambda c: c + b"\0", "46 bytes.*got 47.*too long"),
        (lambda c: gzip.compress(c)[:-9], "gzip.*truncated"),
        (lambda c: gzip.compress(c)[:14] + b"\xff" * 40, "gzip"),
    ],
)
def test_damaged_idx_files_are_refused(
    tmp_path: pathlib.Path, damage, message: str
) -> None:
    path = tmp_path / "values"
    path.write_bytes(damage(idx_bytes(np.zeros((2, 3, 5), np.uint8))))
    with pytest.raises(ValueError, match=message):
        read_idx(path)


def test_digits_are_divided_by_the_seed() -> None:
    first, again, other = digits(), digits(), digits(seed=1)
    assert first.train_images.shape == (1_400, 25, 25)
    assert first.test_images.shape == (397, 25, 25)
    for images in (first.train_images, first.test_images):
        assert images.dtype == np.float32
        assert images.min() == 0
        assert 0.9 < images.max() <= 1
    for labels in (first.train_labels, first.test_labels):
        assert labels.dtype == np.int32
        assert set(labels.tolist()) == set(range(10))
    np.testing.assert_array_equal(first.train_images, again.train_images)
    assert (first.train_labels != other.train_labels).any()
    # No image is lost or in both parts: the labels' counts are the data set's.
    for parts in (first, other):
        labels = np.concatenate([parts.train_labels, parts.test_labels])
        counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        assert np.bincount(labels).tolist() == counts


@pytest.mark.parametrize(("size", "frame"), [(8, 8), (8, 9), (13, 17), (16, 25)])
def test_digits_stand_in_the_centre(size: int, frame: int) -> None:
    small = digits(size=8, frame=8)
    placed = digits(size=size, frame=frame)

    def centre(images: np.ndarray) -> np.ndarray:
        x = np.arange(images.shape[1]) - (images.shape[1] - 1) / 2
        mass = images.sum((1, 2))
        rows = (images * x[:, None]).sum((1, 2)) / mass
        return np.stack([rows, (images * x).sum((1, 2)) / mass])

    # A cubic spline keeps first moments up to what is clipped at the edges of strokes:
    # a quarter of a pixel would show a wrong centre.
    moved = centre(placed.test_images) - size / 8 * centre(small.test_images)
    assert np.abs(moved).max() < 0.25
    assert np.abs(moved.mean(1)).max() < 0.02


def test_files_are_divided_as_they_are(tmp_path: pathlib.Path) -> None:
    arrays = write_set(tmp_path)
    for frame, before in ((None, 0), (6, 0), (7, 0), (8, 1), (9, 1)):
        found = digits(frame=frame, directory=tmp_path)
        for k in (0, 2):
            inner = slice(before, before + 6)
            images = found[k]
            assert images.dtype == np.float32
            assert images.shape[1:] == ((frame or 6),) * 2
            # One rounding to float32.
            expected = arrays[k] / 255
            np.testing.assert_allclose(images[:, inner, inner], expected, rtol=1e-7)
            assert np.count_nonzero(images) == np.count_nonzero(arrays[k])
            np.testing.assert_array_equal(found[k + 1], arrays[k + 1])
            assert found[k + 1].dtype == np.int32
    enlarged = digits(size=12, frame=13, directory=tmp_path)
    assert enlarged.train_images.shape == (5, 13, 13)


def test_wrong_files_and_sizes_are_refused(tmp_path: pathlib.Path) -> None:
    arrays = write_set(tmp_path)
    with pytest.raises(ValueError, match=r"`frame` must be at least .* 6, got 5"):
        digits(frame=5, directory=tmp_path)
    with pytest.raises(ValueError, match=r"`frame` must be at least .* 16, got 15"):
        digits(frame=15)
    with pytest.raises(ValueError, match="`size`"):
        digits(size=1)
    labels = tmp_path / NAMES[1].replace("-idx", ".idx")
    labels.write_bytes(idx_bytes(arrays[1][:4]))
    with pytest.raises(ValueError, match="one label for each of the 5 images"):
        digits(directory=tmp_path)
    (tmp_path / NAMES[0]).write_bytes(idx_bytes(arrays[0][:, :5]))
    with pytest.raises(ValueError, match="square images"):
        digits(directory=tmp_path)
    labels.unlink()
    (tmp_path / NAMES[0]).unlink()
    with pytest.raises(FileNotFoundError, match=f"missing: {NAMES[0]}, {NAMES[1]}"):
        digits(directory=tmp_path)


def test_without_scikit_learn_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"scikit-learn.*directory"):
        digits()


def turn(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("shape", [(2, 7, 7), (2, 8, 8)])
@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_symmetries_of_the_grid_permute_pixels(
    shape: tuple[int, ...], order: int
) -> None:
    images = np.random.default_rng(0).normal(size=shape)
    mirror = np.diag([-1.0, 1.0])
    cases = [
        (turn(90), np.rot90(images, 1, (1, 2))),
        (turn(-90), np.rot90(images, -1, (1, 2))),
        (turn(180), np.rot90(images, 2, (1, 2))),
        (mirror, images[:, :, ::-1]),
        (turn(90) @ mirror, np.rot90(images[:, :, ::-1], 1, (1, 2))),
    ]
    # Splines pass through the samples; their filters are exact to roundings, but for
    # the ends of the padded image, where they decay below 1e-4 for order 5.
    atol = 1e-6 if order < 5 else 1e-4
    for matrix, expected in cases:
        np.testing.assert_allclose(
            warp(images, matrix, order=order), expected, atol=atol
        )


def test_shifts_move_right_and_up() -> None:
    images = np.random.default_rng(0).normal(size=(2, 5, 7))
    moved = warp(images, np.eye(2), np.array([2.0, 1.0]))
    expected = np.zeros_like(images)
    expected[:, :-1, 2:] = images[:, 1:, :-2]
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_smooth_images_move_as_functions_do() -> None:
    rng = np.random.default_rng(0)
    side, num = 41, 3
    x = np.arange(side) - (side - 1) / 2
    points = np.stack(np.meshgrid(x, -x), axis=-1)

    def blob(points: np.ndarray) -> np.ndarray:
        y = points - np.array([2.0, -1.0])
        return np.exp(-(y[..., 0] ** 2 / 18 + y[..., 1] ** 2 / 32)) * (1 + y[..., 0])

    a = np.eye(2) + 0.2 * rng.normal(size=(num, 2, 2))
    t = rng.normal(size=(num, 2))
    images = np.broadcast_to(blob(points), (num, side, side))
    source = np.linalg.solve(a[:, None, None], (points - t[:, None, None])[..., None])
    # Cubic splines err by 1/384 of fourth derivatives, here about 3 max|f| / 3^4 = 0.15
    # along each of two axes: 8e-4.
    found = warp(images, a, t)
    np.testing.assert_allclose(found, blob(source[..., 0]), atol=1e-3)


def test_one_map_for_all_is_one_for_each() -> None:
    images = np.random.default_rng(0).normal(size=(3, 5, 6)).astype(np.float32)
    matrix, shift = turn(20), np.array([0.5, 1.0])
    for_all = warp(images, matrix, shift)
    for_each = warp(images, np.stack([matrix] * 3), np.stack([shift] * 3))
    assert for_all.dtype == np.float32
    np.testing.assert_array_equal(for_all, for_each)
    assert warp(images[:0], matrix).shape == (0, 5, 6)


def test_wrong_maps_are_refused(user_errors: None) -> None:
    images = np.zeros((3, 5, 5))
    with pytest.raises(ValueError, match="`images`"):
        warp(images[0], np.eye(2))
    with pytest.raises(ValueError, match=r"`images`.*float"):
        warp(images.astype(int), np.eye(2))
    with pytest.raises(ValueError, match="`matrices` must have shape"):
        warp(images, np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="`shifts` must have shape"):
        warp(images, np.eye(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"invertible.*index 1"):
        warp(images, np.stack([np.eye(2), np.zeros((2, 2)), np.eye(2)]))
    with pytest.raises(ValueError, match="`order`"):
        warp(images, np.eye(2), order=6)
