"""Solid shapes in space as signed distances, negative inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from eqjax._core._checks import check_condition, check_positive, check_size

Distance = Callable[[np.ndarray], np.ndarray]


def ball_distance(
    points: Float[np.ndarray, "*batch d"], *, radius: float
) -> Float[np.ndarray, "*batch"]:
    """Signed distance from a ball about the origin, |x| - radius.

    Args:
        points: Points of R^d.
        radius: Radius, positive.

    Returns:
        Distances, negative inside.

    Raises:
        ValueError: If `radius` is not positive.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import ball_distance
        >>> ball_distance(np.array([[3.0, 4.0, 0.0]]), radius=2.0).tolist()
        [3.0]
    """
    check_positive("radius", radius)
    return np.linalg.norm(points, axis=-1) - radius


def box_distance(
    points: Float[np.ndarray, "*batch d"],
    *,
    half_sides: Sequence[float],
    rounding: float = 0.0,
) -> Float[np.ndarray, "*batch"]:
    """Signed distance from a box about the origin, sides along the axes.

    |max(q, 0)| + min(max_i q_i, 0) - rounding with q = |x| - half_sides + rounding.

    Args:
        points: Points of R^d.
        half_sides: Half of every side, (d,), positive.
        rounding: Radius of the edges, at most the least half side.

    Returns:
        Distances, negative inside.

    Raises:
        ValueError: If a length is out of range.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import box_distance
        >>> x = np.array([[4.0, 6.0], [0.0, 0.0]])
        >>> box_distance(x, half_sides=(1.0, 2.0)).tolist()
        [5.0, -1.0]
    """
    for half_side in half_sides:
        check_positive("half_sides", half_side)
    check_positive("rounding", rounding, zero=True)
    check_condition(
        rounding <= min(half_sides),
        f"`rounding` must be at most the least half side, {min(half_sides)}, got "
        f"{rounding}.",
    )
    check_condition(
        points.shape[-1] == len(half_sides),
        f"`half_sides` must be {points.shape[-1]} numbers, one per coordinate, got "
        f"{len(half_sides)}.",
    )
    q = np.abs(points) - np.asarray(half_sides) + rounding
    outside = np.linalg.norm(np.maximum(q, 0), axis=-1)
    return outside + np.minimum(np.max(q, axis=-1), 0) - rounding


def torus_distance(
    points: Float[np.ndarray, "*batch 3"], *, major_radius: float, minor_radius: float
) -> Float[np.ndarray, "*batch"]:
    """Signed distance from a ring about the z axis.

    Args:
        points: Points of R^3.
        major_radius: Radius of the circle in the middle of the ring.
        minor_radius: Radius of the ring's cross section, below the major one.

    Returns:
        Distances, negative inside.

    Raises:
        ValueError: If a radius is out of range.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import torus_distance
        >>> torus_distance(np.zeros((1, 3)), major_radius=2.0, minor_radius=0.5)
        array([1.5])
    """
    check_positive("major_radius", major_radius)
    check_positive("minor_radius", minor_radius)
    check_condition(
        minor_radius < major_radius,
        f"`minor_radius` must be below `major_radius`, got {minor_radius} and "
        f"{major_radius}.",
    )
    from_axis = np.linalg.norm(points[..., :2], axis=-1)
    return np.hypot(from_axis - major_radius, points[..., 2]) - minor_radius


def capsule_distance(
    points: Float[np.ndarray, "*batch d"], *, half_length: float, radius: float
) -> Float[np.ndarray, "*batch"]:
    """Signed distance from all points closer than `radius` to a segment.

    The segment lies on the last axis, from -half_length to half_length.

    Args:
        points: Points of R^d.
        half_length: Half the length of the segment, zero or positive.
        radius: Radius, positive.

    Returns:
        Distances, negative inside.

    Raises:
        ValueError: If a length is out of range.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import capsule_distance
        >>> x = np.array([[0.0, 0.0, 3.0]])
        >>> capsule_distance(x, half_length=1.0, radius=0.5).tolist()
        [1.5]
    """
    check_positive("half_length", half_length, zero=True)
    check_positive("radius", radius)
    along = points[..., -1]
    beyond = along - np.clip(along, -half_length, half_length)
    across = np.linalg.norm(points[..., :-1], axis=-1)
    return np.hypot(across, beyond) - radius


def smooth_union(
    a: Float[np.ndarray, "*batch"], b: Float[np.ndarray, "*batch"], *, width: float
) -> Float[np.ndarray, "*batch"]:
    """Union of two shapes with a fillet between them.

    min(a, b) - h^2 / (4 width), h = max(width - |a - b|, 0): once continuously
    differentiable where a and b are, and min(a, b) where they differ by more than the
    width. Like min it is 1-Lipschitz if a and b are, so its size never exceeds the
    distance from its own surface; it is that distance only near the parts of the
    surface where one of the two is alone.

    Args:
        a: Signed distances from a shape.
        b: Signed distances from another one, at the same points.
        width: Range of |a - b| that is rounded, positive.

    Returns:
        Values, negative inside.

    Raises:
        ValueError: If `width` is not positive.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import smooth_union
        >>> smooth_union(np.array([1.0, 1.0]), np.array([1.0, 3.0]), width=0.4).tolist()
        [0.9, 1.0]
    """
    check_positive("width", width)
    h = np.maximum(width - np.abs(a - b), 0)
    return np.minimum(a, b) - h**2 / (4 * width)


def random_shape(seed: int, *, num_parts: int = 3) -> Distance:
    """A random composition of balls, boxes, rings and capsules.

    Parts are turned at random, stand near one another, and are joined by
    `smooth_union`; all of it lies in the ball of radius 0.9.

    Args:
        seed: The shape is a function of the seed and of `num_parts` alone.
        num_parts: Largest number of parts; at least one.

    Returns:
        The function from points (..., 3) to signed values (...), 1-Lipschitz and
        negative inside.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import random_shape
        >>> shape = random_shape(0)
        >>> bool(shape(np.array([[1.0, 1.0, 1.0]]))[0] > 0)
        True
    """
    check_size("seed", seed, minimum=0)
    check_size("num_parts", num_parts)
    rng = np.random.default_rng((seed, num_parts))
    parts = [_random_part(rng) for _ in range(rng.integers(1, num_parts + 1))]
    # No part reaches farther than 0.5 from its own origin.
    centers = [rng.uniform(-1, 1, 3) * 0.4 / 3**0.5 for _ in parts]
    turns = [_random_turn(rng) for _ in parts]

    def distance(points: np.ndarray) -> np.ndarray:
        values = None
        for part, center, turn in zip(parts, centers, turns, strict=True):
            own = part((points - center) @ turn)
            values = own if values is None else smooth_union(values, own, width=0.15)
        assert values is not None
        return values

    return distance


def sample_distances(
    distance: Distance,
    num_points: int,
    *,
    surface: Float[np.ndarray, "surface_points d"] | None = None,
    dim: int = 3,
    band: float = 0.05,
    clamp: float = 0.1,
    seed: int,
) -> tuple[Float[np.ndarray, "num_points d"], Float[np.ndarray, " num_points"]]:
    """Points to train a signed distance on: half of them near the surface.

    The first half (rounded up) is uniform among the points of [-1, 1]^d whose distance
    is below `band`, found by rejection; with points of the surface at hand, uniform in
    balls of that radius about them, which needs fewer calls of a costly distance. The
    other half is uniform in [-1, 1]^d.

    Args:
        distance: Function from points (n, d) to signed distances (n,).
        num_points: Number of points.
        surface: Points of the surface to start from.
        dim: Dimension d.
        band: Largest distance of the first half.
        clamp: Distances are clipped to [-clamp, clamp].
        seed: Seed of everything random.

    Returns:
        Points and clipped distances.

    Raises:
        ValueError: If a number is out of range, the distance is not finite, or nothing
            of the surface is found in [-1, 1]^d.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import ball_distance, sample_distances
        >>> points, distances = sample_distances(
        ...     lambda x: ball_distance(x, radius=0.7), 100, seed=0)
        >>> points.shape, bool(np.all(np.abs(distances[:50]) <= 0.05))
        ((100, 3), True)

    References:
        Park, Florence, Straub et al., "DeepSDF: learning continuous signed distance
        functions for shape representation" (2019), section 4.
    """
    check_size("num_points", num_points)
    check_size("dim", dim)
    check_positive("band", band)
    check_positive("clamp", clamp)
    rng = np.random.default_rng(seed)
    num_near = (num_points + 1) // 2
    if surface is None:
        near = _reject(distance, num_near, dim, band, rng)
    else:
        check_condition(
            surface.ndim == 2 and surface.shape[1] == dim and len(surface) > 0,
            f"`surface` must have shape (points, {dim}), got {surface.shape}.",
        )
        steps = rng.normal(size=(num_near, dim))
        steps *= band / np.linalg.norm(steps, axis=1, keepdims=True)
        radii = rng.uniform(size=(num_near, 1)) ** (1 / dim)
        near = surface[rng.integers(len(surface), size=num_near)] + radii * steps
    far = rng.uniform(-1, 1, (num_points - num_near, dim))
    points = np.concatenate([near, far])
    return points, np.clip(_finite(distance(points)), -clamp, clamp)


def _reject(
    distance: Distance, num: int, dim: int, band: float, rng: np.random.Generator
) -> np.ndarray:
    """Uniform points of the cube whose distance is below the band."""
    found: list[np.ndarray] = []
    count = 0
    # A ball of radius 0.02 fills 1e-4 of the cube with its band.
    for _ in range(100):
        points = rng.uniform(-1, 1, (max(10_000, 4 * num), dim))
        found.append(points[np.abs(_finite(distance(points))) < band])
        count += len(found[-1])
        if count >= num:
            return np.concatenate(found)[:num]
    raise ValueError(
        f"`distance` must have a surface in [-1, 1]^{dim}: only {count} of "
        f"{100 * max(10_000, 4 * num)} uniform points lie within {band} of it. "
        "Scale the shape to the cube."
    )


def _finite(values: np.ndarray) -> np.ndarray:
    """The values, if they are numbers."""
    bad = int(np.sum(~np.isfinite(values)))
    check_condition(
        bad == 0, f"`distance` must return finite values, got {bad} that are not."
    )
    return values


def _random_part(rng: np.random.Generator) -> Distance:
    """One shape about the origin that reaches from 0.2 to 0.5."""
    kind = rng.integers(4)
    if kind == 0:
        radius = rng.uniform(0.2, 0.4)
        return lambda x: ball_distance(x, radius=radius)
    if kind == 1:
        half_sides = tuple(rng.uniform(0.12, 0.28, 3).tolist())
        return lambda x: box_distance(x, half_sides=half_sides, rounding=0.03)
    if kind == 2:
        major, minor = rng.uniform(0.25, 0.36), rng.uniform(0.08, 0.14)
        return lambda x: torus_distance(x, major_radius=major, minor_radius=minor)
    half_length, radius = rng.uniform(0.15, 0.32), rng.uniform(0.1, 0.18)
    return lambda x: capsule_distance(x, half_length=half_length, radius=radius)


def _random_turn(rng: np.random.Generator) -> np.ndarray:
    """A uniformly distributed rotation matrix, from a QR decomposition."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))
