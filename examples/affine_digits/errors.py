"""How far an affine convolution is from commuting with affine maps of the image."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from eqjax import groups, nn
from eqjax.data import warp

SIDE = 33
# Rotations and stretches of product grids.
GRIDS = {4: (4, 1), 8: (4, 2), 16: (8, 2), 32: (8, 4), 64: (16, 4)}


def smooth_images(num: int, rng: np.random.Generator) -> np.ndarray:
    """Noise, blurred by 1.5 pixels, in a disk of radius 11."""
    noise = ndimage.gaussian_filter(rng.normal(size=(num, SIDE, SIDE)), (0, 1.5, 1.5))
    return noise / noise.std() * np.clip(1 - squared_radius() / 121, 0, 1) ** 2


def squared_radius() -> np.ndarray:
    x = np.arange(SIDE) - (SIDE - 1) / 2
    return x[:, None] ** 2 + x**2


def random_elements(group: Any, num: int, rng: np.random.Generator) -> np.ndarray:
    """exp(X) R with |X| <= 0.3 and any rotation R."""
    v = rng.normal(size=(num, group.dim - 1))
    v *= 0.3 * rng.uniform(size=(num, 1)) / np.linalg.norm(v, axis=1, keepdims=True)
    angle = rng.uniform(0, 2 * math.pi, num)
    c, s = np.cos(angle), np.sin(angle)
    turns = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    return np.asarray(group.from_coordinates(jnp.asarray(v), jnp.asarray(turns)))


def equivariance_error(
    group: Any, kernel: nn.AffineKernel, mode: Any, sizes: tuple[int, int], num: int
) -> float:
    """Of lifting, GELU, convolution at three h, in a disk of radius 9; relative.

    The integral has the same samples before and after an image moves by A, while the
    h at which the result is taken move to A h. Random weights, float32.
    """
    rng = np.random.default_rng(0)
    images, a = smooth_images(num, rng), random_elements(group, num, rng)
    moved = warp(images, a, order=5)
    lift = nn.AffineLift(group, 1, 4, kernel_size=9, kernel=kernel)
    conv = nn.AffineConv(group, 4, 4, kernel_size=9, kernel=kernel)
    near = dataclasses.replace(group, sigma=0.15)

    @jax.jit
    def before_and_after(f: Any, g: Any, a: Any, key: jax.Array) -> Any:
        keys = jax.random.split(key, 4)
        here = nn.sample_affine(group, *sizes, mode=mode, key=keys[0])
        h = nn.sample_affine(near, 3, mode="independent", key=keys[1])
        ah = nn.AffineSamples(a @ h.matrices, h.inverses @ jnp.linalg.inv(a), h.weights)
        params = lift.init(key=keys[2]), conv.init(key=keys[3])

        def net(image: jax.Array, samples: nn.AffineSamples) -> jax.Array:
            x = lift.apply(params[0], image[..., None, None], here)
            y = conv.apply(params[1], jax.nn.gelu(x), here, samples)
            return y.reshape(SIDE, SIDE, -1).transpose(2, 0, 1)

        return net(f, h), net(g, ah)

    wrong = total = 0.0
    disk = squared_radius() < 81
    for k, key in enumerate(jax.random.split(jax.random.key(0), num)):
        args = [jnp.asarray(array[k], jnp.float32) for array in (images, moved, a)]
        before, after = (np.asarray(y) for y in before_and_after(*args, key))
        expected = warp(before, a[k], order=5)[:, disk]
        wrong += float(np.sum((after[:, disk] - expected) ** 2))
        total += float(np.sum(expected**2))
    return math.sqrt(wrong / total)


def equivariance_errors(
    num_samples: tuple[int, ...], num_images: int, *, smoke: bool
) -> dict[str, list[float]]:
    """For both groups: product grids, independent stretches, and as published."""
    haar = nn.AffineKernel(radius=2.5)
    slow = dataclasses.replace(haar, frequency=4.0)
    hermite = dataclasses.replace(haar, network="hermite")
    paper = dataclasses.replace(haar, measure="paper")
    cases = {
        "product": (haar, "product"),
        "product, frequency 4": (slow, "product"),
        "product, Hermite": (hermite, "product"),
        "independent": (haar, "independent"),
        "paper": (paper, "paper"),
    }
    pairs = [("SL(2)", groups.SL(2)), ("GL+(2)", groups.GLPlus(2))]
    if smoke:
        pairs, cases = pairs[:1], {"product, Hermite": cases["product, Hermite"]}
    found: dict[str, list[float]] = {}
    for title, group in pairs:
        for name, (kernel, mode) in cases.items():
            grids = [GRIDS[n] if mode == "product" else (n, 1) for n in num_samples]
            found[f"{title}, {name}"] = [
                equivariance_error(group, kernel, mode, sizes, num_images)
                for sizes in grids
            ]
    return found
