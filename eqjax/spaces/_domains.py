"""Bounded parts of R^n: where points are drawn and latents are placed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key

from eqjax._core._checks import check_condition, check_positive, check_size
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec


@runtime_checkable
class Domain(Protocol):
    """A set of points that can be sampled; compact spaces are domains of themselves."""

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, " n"]:
        """One uniformly distributed point."""
        ...

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """The nearest point of the domain."""
        ...


@register_spec
@dataclass(frozen=True)
class Box:
    """The box of all x with lower <= x <= upper.

    Args:
        lower: Smallest coordinates, one number per axis.
        upper: Largest coordinates, each above the smallest.

    Raises:
        ValueError: If the two have different lengths, or an axis is empty or infinite.

    Example:
        >>> from eqjax import spaces
        >>> spaces.Box((-1.0, -1.0), (1.0, 1.0)).half_width
        1.0
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        """Checks the fields."""
        fits = len(self.lower) == len(self.upper) > 0 and all(
            -math.inf < low < high < math.inf
            for low, high in zip(self.lower, self.upper, strict=True)
        )
        check_condition(
            fits,
            "`lower` must be below `upper` on every axis, and both finite, got "
            f"{self.lower} and {self.upper}.",
        )

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.lower)

    @property
    def half_width(self) -> float:
        """Half of the longest side."""
        sides = (high - low for low, high in zip(self.lower, self.upper, strict=True))
        return max(sides) / 2

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, " n"]:
        """One uniformly distributed point."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        lower, upper = jnp.asarray(self.lower, dtype), jnp.asarray(self.upper, dtype)
        return jax.random.uniform(key, (self.dim,), dtype, lower, upper)

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """The nearest point of the box."""
        lower, upper = (np.asarray(end, x.dtype) for end in (self.lower, self.upper))
        shape = (1,) * (x.ndim - 1) + (self.dim,)
        return jnp.clip(x, lower.reshape(shape), upper.reshape(shape))

    def contains(self, x: Float[Array, "*batch n"]) -> Bool[Array, "*batch"]:
        """True inside and on the boundary."""
        return jnp.all(self.project(x) == x, axis=-1)

    def spread(self, num_points: int) -> np.ndarray:
        """Points that cover the box evenly, (num_points, n), float64.

        Cell centers of a regular grid if `num_points` is a perfect n-th power, else
        a rank-1 lattice of Korobov's kind.
        """
        check_size("num_points", num_points)
        low, high = np.asarray(self.lower), np.asarray(self.upper)
        return low + (high - low) * _unit_cube_points(num_points, self.dim)


@register_spec
@dataclass(frozen=True)
class Ball:
    """The ball (disc) of radius `radius` about the origin of R^n.

    Args:
        n: Dimension, at least 1.
        radius: Radius, positive.

    Raises:
        ValueError: If `n` is below 1 or `radius` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import spaces
        >>> spaces.Ball(2, 5.0).project(jnp.array([6.0, 8.0])).tolist()
        [3.0, 4.0]
    """

    n: int
    radius: float = 1.0

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)
        check_positive("radius", self.radius)

    @property
    def dim(self) -> int:
        """Dimension, n."""
        return self.n

    @property
    def half_width(self) -> float:
        """The radius."""
        return self.radius

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, " n"]:
        """One uniformly distributed point."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        # Archimedes: a uniform point of the sphere in R^(n+2) without two coordinates.
        normal = jax.random.normal(key, (self.n + 2,), dtype)
        return self.radius * normal[: self.n] / jnp.linalg.norm(normal)

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """The nearest point of the ball."""
        norm = safe_norm(x, keepdims=True)
        outside = norm > self.radius
        return jnp.where(outside, x * (self.radius / jnp.where(outside, norm, 1)), x)

    def contains(self, x: Float[Array, "*batch n"]) -> Bool[Array, "*batch"]:
        """True inside and on the boundary."""
        return safe_norm(x) <= self.radius

    def spread(self, num_points: int) -> np.ndarray:
        """Points that cover the ball evenly, (num_points, n), float64.

        On a disc a sunflower (Vogel's spiral); in other dimensions the points of the
        enclosing cube, moved radially so that their density becomes uniform.
        """
        check_size("num_points", num_points)
        if self.n == 2:
            index = np.arange(num_points) + 0.5
            angle = index * np.pi * (3 - math.sqrt(5))
            length = np.sqrt(index / num_points)
            unit = np.stack([length * np.cos(angle), length * np.sin(angle)], axis=-1)
        else:
            cube = 2 * _unit_cube_points(num_points, self.n) - 1
            largest = np.max(np.abs(cube), axis=-1, keepdims=True)
            length = np.linalg.norm(cube, axis=-1, keepdims=True)
            unit = cube * largest / np.where(length > 0, length, 1.0)
        return self.radius * unit


def _unit_cube_points(num_points: int, dim: int) -> np.ndarray:
    """Evenly spread points of [0, 1]^dim."""
    side = round(num_points ** (1 / dim))
    if side**dim == num_points:
        axis = (np.arange(side) + 0.5) / side
        grid = np.meshgrid(*[axis] * dim, indexing="ij")
        return np.stack([g.ravel() for g in grid], axis=-1)
    return max(
        (
            _korobov_lattice(num_points, dim, a)
            for a in range(1, num_points)
            if math.gcd(a, num_points) == 1
        ),
        key=_smallest_distance_on_torus,
    )


def _korobov_lattice(num_points: int, dim: int, a: int) -> np.ndarray:
    """The points i (1, a, a^2, ...) / num_points modulo 1, moved to cell centers."""
    generator = np.array([pow(a, k, num_points) for k in range(dim)])
    steps = np.outer(np.arange(num_points), generator) % num_points
    return (steps + 0.5) / num_points


def _smallest_distance_on_torus(points: np.ndarray) -> float:
    """Distance of the closest pair of lattice points, modulo 1."""
    difference = points[1:] - points[0]
    wrapped = difference - np.round(difference)
    return float(np.min(np.sum(wrapped**2, axis=-1)))
