"""CIFAR-10 files, photographs, coordinates of pixels."""

import builtins
import os
import pathlib
import pickle
import sys

import numpy as np
import pytest

from eqjax.data._cifar10 import read_cifar10
from eqjax.data._images import pixel_coordinates, resize_area, sample_photo

NAMES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


def batch(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
    labels = [int(k) for k in rng.integers(0, 10, 2)]
    return {b"batch_label": b"batch", b"labels": labels, b"data": values}


def write(folder: pathlib.Path, protocol: int = 4) -> list[dict]:
    batches = [batch(k) for k in range(6)]
    for name, values in zip(NAMES, batches, strict=True):
        (folder / name).write_bytes(pickle.dumps(values, protocol=protocol))
    return batches


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_cifar10_is_read_plane_by_plane(tmp_path: pathlib.Path, protocol: int) -> None:
    batches = write(tmp_path, protocol)
    images = read_cifar10(tmp_path)
    assert images.train_images.shape == (10, 32, 32, 3)
    assert images.train_images.dtype == images.test_images.dtype == np.float32
    assert images.test_labels.tolist() == batches[-1][b"labels"]
    assert images.train_labels.tolist()[2:4] == batches[1][b"labels"]
    flat = batches[1][b"data"][1]
    for row, column, channel in [(0, 0, 0), (3, 17, 1), (31, 30, 2)]:
        value = flat[1024 * channel + 32 * row + column]
        assert images.train_images[3, row, column, channel] == np.float32(value) / 255


def test_cifar10_reads_what_python_2_wrote(tmp_path: pathlib.Path) -> None:
    write(tmp_path)
    values = np.arange(3072, dtype=np.uint8)
    # Protocol 2 of Python 2: old module names, bytes as plain strings (opcode U, T).
    size = len(values.tobytes()).to_bytes(4, "little")
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01bt"
        b"R(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|"
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + size + values.tobytes()
    )
    content = b"\x80\x02}(U\x06labels](K\x07eU\x04data" + array + b"tbu."
    (tmp_path / "test_batch").write_bytes(content)
    images = read_cifar10(tmp_path)
    assert images.test_labels.tolist() == [7]
    np.testing.assert_array_equal(
        np.moveaxis(images.test_images[0], -1, 0).ravel(),
        values.astype(np.float32) / 255,
    )


class Call:
    """Pickles as a call."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        Call(os.system, "true"),
        Call(builtins.eval, "1"),
        Call(builtins.getattr, 1, "real"),
        Call(np.load, "file"),
        Call(np.fromfile, "file"),
    ],
)
def test_cifar10_runs_no_code(tmp_path: pathlib.Path, call: Call) -> None:
    write(tmp_path)
    content = pickle.dumps({b"data": call, b"labels": [1]})
    (tmp_path / "data_batch_3").write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_3.*names .*refused"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"no pickle", "damaged"),
        (pickle.dumps(batch(0))[:-900], "damaged"),
        (pickle.dumps([1]), "a dict, got list"),
        (pickle.dumps(batch(0) | {b"data": 1}), r"\(images, 3072\), got int"),
        (
            pickle.dumps(batch(0) | {b"data": np.zeros((2, 3071), np.uint8)}),
            r"got shape \(2, 3071\)",
        ),
        (pickle.dumps(batch(0) | {b"data": np.zeros((2, 3072))}), "dtype float64"),
        (pickle.dumps(batch(0) | {b"labels": [1]}), r"2 numbers.*got shape \(1,\)"),
        (pickle.dumps(batch(0) | {b"labels": [1, 10]}), "from 0 to 9"),
        (pickle.dumps(batch(0) | {b"labels": [[1], [1, 2]]}), "from 0 to 9"),
        (pickle.dumps({b"data": 1, b"fine_labels": [1]}), "`labels`.*CIFAR-100"),
    ],
)
def test_bad_cifar10_files_are_value_errors(
    tmp_path: pathlib.Path, content: bytes, message: str
) -> None:
    write(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(content)
    with pytest.raises(ValueError, match=f"(?s)data_batch_2.*{message}"):
        read_cifar10(tmp_path)


def test_missing_cifar10_files_are_named(tmp_path: pathlib.Path) -> None:
    write(tmp_path)
    (tmp_path / "data_batch_4").unlink()
    with pytest.raises(FileNotFoundError, match="missing: data_batch_4"):
        read_cifar10(tmp_path)


def test_pixels_of_an_oblong_image_lie_where_they_are_seen() -> None:
    height, width = 3, 5
    xy = pixel_coordinates(height, width)
    assert xy.shape == (height, width, 2)
    for row in range(height):
        for column in range(width):
            x, y = xy[row, column]
            # Cell centers; x grows with the column, y falls with the row.
            np.testing.assert_allclose(x, -1 + (column + 0.5) * 2 / width, atol=1e-7)
            np.testing.assert_allclose(y, 1 - (row + 0.5) * 2 / height, atol=1e-7)
    kept = pixel_coordinates(height, width, keep_aspect=True)
    np.testing.assert_array_equal(kept[..., 0], xy[..., 0])
    np.testing.assert_allclose(kept[..., 1], xy[..., 1] * 3 / 5, atol=1e-7)


def test_turned_pixels_lie_at_turned_coordinates() -> None:
    xy = pixel_coordinates(3, 5, keep_aspect=True)
    turned = np.rot90(xy)  # the pixel at (x, y) goes to (-y, x)
    expected = pixel_coordinates(5, 3, keep_aspect=True)
    moved = np.stack([-turned[..., 1], turned[..., 0]], axis=-1)
    np.testing.assert_allclose(moved, expected, atol=1e-7)


@pytest.mark.parametrize("shape", [(6, 10), (6, 10, 3), (7, 11, 2), (2, 3)])
def test_areas_are_averaged(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).normal(size=shape)
    small = resize_area(image, 3, 5)
    assert small.shape == (3, 5, *shape[2:])
    np.testing.assert_allclose(small.mean((0, 1)), image.mean((0, 1)), atol=1e-14)
    if shape[:2] == (6, 10):
        blocks = image.reshape(3, 2, 5, 2, *shape[2:]).mean((1, 3))
        np.testing.assert_allclose(small, blocks, atol=1e-14)
    fine = np.repeat(np.repeat(image, 3, axis=0), 5, axis=1)
    blocks = fine.reshape(3, shape[0], 5, shape[1], *shape[2:]).mean((1, 3))
    np.testing.assert_allclose(small, blocks, atol=1e-14)


def test_bad_images_are_refused(user_errors: None) -> None:
    image = np.ones((4, 4, 3))
    for value in (np.nan, np.inf):
        image[1, 2, 0] = value
        with pytest.raises(ValueError, match="`image` must hold finite values, got 1"):
            resize_area(image, 2, 2)
    for shape in ((4,), (4, 4, 3, 1), (0, 4)):
        with pytest.raises(ValueError, match="`image` must have shape"):
            resize_area(np.zeros(shape), 2, 2)
    for dtype in (np.uint8, np.int64, bool):
        with pytest.raises(ValueError, match=r"got \w+, which .* Divide bytes by 255"):
            resize_area(np.ones((2, 2), dtype), 2, 2)
    with pytest.raises(ValueError, match="`width`"):
        resize_area(np.ones((2, 2)), 2, 0)
    with pytest.raises(ValueError, match="`height`"):
        pixel_coordinates(0, 2)


def test_photographs_are_reduced_and_upright() -> None:
    photo = sample_photo("china", 8)
    assert photo.shape == (8, 8, 3)
    assert photo.dtype == np.float32
    assert photo.min() >= 0
    assert photo.max() <= 1
    # Sky above a dark roof: the first row is the brightest, and blue.
    assert photo.mean((1, 2)).argmax() == 0
    assert photo[0, :, 2].mean() > photo[0, :, 0].mean()
    with pytest.raises(ValueError, match="`name` must be one of 'china', 'flower'"):
        sample_photo("cat", 8)


def test_photographs_need_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match="Install scikit-learn"):
        sample_photo("china", 8)
