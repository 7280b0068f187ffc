"""Labels of places on the sphere: land or ocean, and a checkerboard."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

NUM_CENTERS, NUM_COLORS = 200, 16  # of the checkerboard


class Samples(NamedTuple):
    """Unit vectors (n, 3), polar axis z, and their labels (n,)."""

    points: np.ndarray
    labels: np.ndarray


def uniform_points(numbers: np.random.Generator, num: int) -> np.ndarray:
    """Unit vectors, distributed uniformly."""
    x = numbers.normal(size=(num, 3))
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def latitude(points: np.ndarray) -> np.ndarray:
    """In degrees."""
    return np.rad2deg(np.arcsin(np.clip(points[..., 2], -1, 1)))


def longitude(points: np.ndarray) -> np.ndarray:
    """In degrees, from -180."""
    return np.rad2deg(np.arctan2(points[..., 1], points[..., 0]))


def on_land(points: np.ndarray) -> np.ndarray:
    """1 on land, 0 on the ocean; lakes are land."""
    from global_land_mask import globe  # takes a second and a gigabyte

    east = np.minimum(longitude(points), np.nextafter(180.0, 0.0))
    return globe.is_land(latitude(points), east).astype(np.int32)


def checkerboard(points: np.ndarray) -> np.ndarray:
    """The number of the nearest of 200 Fibonacci points, modulo 16."""
    index = np.arange(NUM_CENTERS)
    height = 1 - (2 * index + 1) / NUM_CENTERS
    azimuth = index * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    centers = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), height])
    return (np.argmax(points @ centers, axis=-1) % NUM_COLORS).astype(np.int32)


LABELS = {"land": on_land, "checkerboard": checkerboard}


def wrap(points: jnp.ndarray) -> jnp.ndarray:
    """Cosine and sine of longitude and latitude."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    radius = jnp.sqrt(x * x + y * y)
    safe = jnp.maximum(radius, 1e-12)
    return jnp.stack([x / safe, y / safe, radius, z], axis=-1)
