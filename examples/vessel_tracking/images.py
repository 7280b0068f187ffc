"""Synthetic images of vessels, and how much of a line there is in every direction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Cosine of the smallest angle between vessels that cross.
STEEPEST = np.cos(np.radians(35))
MOST_DRAWS = 1000


class Image(NamedTuple):
    """An image with the center lines of its vessels, in pixels.

    Attributes:
        pixels: Brightness at (x, y).
        lines: Points (x, y) of every center line; the first crosses itself.
    """

    pixels: np.ndarray
    lines: list[np.ndarray]


def loop(random: np.random.Generator, size: int) -> np.ndarray:
    """A line that crosses itself: two straight parts joined by most of a circle."""
    half, radius = random.uniform(0.6, 0.85), random.uniform(0.15, 0.2) * size
    rest = np.pi / 2 - half
    angles = np.pi / 2 + np.linspace(rest, 2 * np.pi - rest, 600)
    # An oval instead of a circle.
    shape = np.array([random.uniform(0.85, 1.2), 1.0]) * radius
    arc = shape * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    parts, far = [], random.uniform(2.2, 2.8, 2) * radius
    for end, inner, length in ((arc[0], arc[1], far[0]), (arc[-1], arc[-2], far[1])):
        ahead = (end - inner) / np.linalg.norm(end - inner)
        parts.append(end + ahead * np.linspace(0, length, 300)[1:, None])
    line = np.concatenate([parts[0][::-1], arc, parts[1]])
    return place(line, random, size)


def bow(random: np.random.Generator, size: int) -> np.ndarray:
    """A line through the middle part of the image that swings to both sides."""
    along = np.linspace(-0.5, 0.5, 800)
    swing = random.uniform(0.04, 0.1) * np.sin(
        random.uniform(4, 7) * along + random.uniform(0, 2 * np.pi)
    )
    return place(np.stack([along, swing], axis=1) * 0.95 * size, random, size)


def place(line: np.ndarray, random: np.random.Generator, size: int) -> np.ndarray:
    """The line turned at random, near the middle of the image and inside of it."""
    angle = random.uniform(0, 2 * np.pi)
    c, s = np.cos(angle), np.sin(angle)
    line = (line - (line.max(axis=0) + line.min(axis=0)) / 2) @ [[c, s], [-s, c]]
    low, high = line.min(axis=0), line.max(axis=0)
    margin = 0.06 * size
    line = line * min(1, (size - 1 - 2 * margin) / np.max(high - low))
    middle = (size - 1) / 2 + random.uniform(-0.08, 0.08, 2) * size
    low, high = line.min(axis=0) + middle, line.max(axis=0) + middle
    return (
        line
        + middle
        + np.maximum(margin - low, 0)
        - np.maximum(high - (size - 1 - margin), 0)
    )


def crosses_steeply(line: np.ndarray, others: list[np.ndarray]) -> bool:
    """Whether a line stays away from others where it does not cross them steeply."""
    tangents = np.gradient(line, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    for other in others:
        along = np.gradient(other, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        close = np.linalg.norm(line[::4, None] - other[None, ::4], axis=-1) < 4
        if np.any(close & (np.abs(tangents[::4] @ along[::4].T) > STEEPEST)):
            return False
    return True


def make_image(
    seed: int, size: int, width: float, *, noise: float, gap: float
) -> Image:
    """One loop and two bows, each with a gap at a random place, and white noise."""
    random = np.random.default_rng(seed)
    lines = [loop(random, size)]
    for _ in range(MOST_DRAWS):
        line = bow(random, size)
        # Where two vessels run side by side nobody could tell which is which.
        if crosses_steeply(line, lines):
            lines.append(line)
        if len(lines) == 3:
            break
    else:
        raise ValueError(
            f"No image of {size} pixels found in which all vessels cross steeply. "
            "Take a larger one."
        )
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1)
    pixels = np.zeros((size, size))
    for line in lines:
        shown = line[::3]
        middle = shown[random.integers(len(shown) // 6, len(shown) * 5 // 6)]
        far = np.linalg.norm(shown - middle, axis=1) > gap / 2
        apart = np.linalg.norm(grid[:, :, None] - shown[far], axis=-1).min(axis=2)
        pixels = np.maximum(pixels, np.exp(-((apart / width) ** 2) / 2))
    # Filters need some vessel behind the ends of the way.
    cut = [line[len(line) // 16 : -len(line) // 16] for line in lines]
    return Image(pixels + noise * random.normal(size=pixels.shape), cut)


def orientation_score(
    pixels: np.ndarray, num_headings: int, width: float, length: float
) -> np.ndarray:
    """How much of a line there is at a pixel in a heading, (x, y, heading), 0 .. 1.

    Filters are second derivatives across of Gaussians of `width` pixels across and
    `length` pixels along, one per heading.
    """
    size = len(pixels)
    axis = np.fft.fftfreq(size, 1 / size)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    planes, image = [], np.fft.fft2(pixels)
    for angle in 2 * np.pi / num_headings * np.arange(num_headings // 2):
        along = np.cos(angle) * x + np.sin(angle) * y
        across = np.cos(angle) * y - np.sin(angle) * x
        kernel = np.exp(-((along / length) ** 2 + (across / width) ** 2) / 2)
        kernel *= 1 - (across / width) ** 2
        kernel -= kernel.mean()
        planes.append(np.fft.ifft2(np.fft.fft2(kernel) * image).real)
    # Lines have no sense: opposite headings have equal responses.
    score = np.maximum(np.stack(planes + planes, axis=-1), 0)
    # About a tenth of the pixels lie on vessels: most of these have the score 1.
    return np.minimum(score / np.quantile(score.max(axis=-1), 0.93), 1)
