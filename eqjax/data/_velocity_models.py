"""Velocity models on regular grids, and random ones."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_choice, check_condition, check_size

_KINDS = ("layered", "curved", "faulted", "style")
_SPEEDS = (1.5, 4.5)
_INTERFACES = (2, 5)
_GAP = 4  # nodes between interfaces
_MOST_WAVES = _MOST_FAULTS = 3
_WAVELENGTHS = (35.0, 140.0)
_AMPLITUDES = {"a": (2.0, 6.0), "b": (4.0, 12.0)}
_DIPS = (math.radians(45), math.radians(80))
_THROWS = (4.0, 20.0)
_CORRELATION_LENGTHS = {"a": (8.0, 15.0), "b": (3.0, 8.0)}


class VelocityGrid(NamedTuple):
    """Velocities at the nodes of a regular grid, and where the nodes are.

    Node (i, j) lies at `origin` + (i `spacing[0]`, j `spacing[1]`), as
    `eikonal.GridEikonal` and `eikonal.GridVelocity` have it. Axes before the last two
    count models.

    Attributes:
        velocity: v > 0 at the nodes.
        spacing: Distance between nodes per axis.
        origin: Position of the first node.
    """

    velocity: Float[np.ndarray | Array, "*models rows cols"]
    spacing: tuple[float, float]
    origin: tuple[float, float]


def velocity_model(
    kind: str,
    variant: str,
    *,
    shape: tuple[int, ...] = (70, 70),
    dtype: DTypeLike | None = None,
    key: Key[Array, ""],
) -> Float[Array, "*shape"]:
    """A random velocity model of layers, or of smooth noise, in km/s.

    The last axis is the depth, with the first node at the surface; all lengths are in
    nodes, and all draws are uniform.

    - `"layered"`: 2 to 5 horizontal interfaces, at least 4 nodes from one another and
      from both ends, uniformly among all such sets. Speeds of the layers in
      [1.5, 4.5], increasing with depth (variant a) or in any order (b).
    - `"curved"`: the same layers, moved up and down together by 1 to 3 sines of the
      other coordinates, of any direction and phase, with wavelengths of 35 to 140 and
      amplitudes of 2 to 6 (a) or 4 to 12 (b).
    - `"faulted"`: layers of one of both kinds, cut one after the other by 1 to 3
      planes through any point of the grid, which dip by 45 to 80 degrees in any
      direction. What lies above a plane has slipped along it, up or down, by a throw
      (the vertical part) of 4 to 20.
    - `"style"`: normal noise with the correlation exp(-r^2 / (2 l^2)), l from 8 to 15
      (a) or 3 to 8 (b), whose values are replaced by speeds evenly spaced in
      [1.5, 4.5], in the same order.

    Statistics of models of 70 x 70 nodes, each the mean over 1,000 of them: mean and
    deviation of v in km/s, mean of |grad log v| per node by central differences,
    number of different speeds, and slope of log power over log wavenumber, from 2 to 24
    cycles per grid, after a Hann window. Between models, means of layers deviate by
    0.5 km/s, so that those below are certain to 0.02 km/s.

    | kind | variant | mean | deviation | gradient | speeds | slope |
    |---|---|---|---|---|---|---|
    | layered | a | 3.01 | 0.68 | 0.0095 | 4.5 | -2.85 |
    | layered | b | 3.00 | 0.68 | 0.0178 | 4.5 | -2.97 |
    | curved | a | 3.01 | 0.68 | 0.0105 | 4.5 | -2.81 |
    | curved | b | 3.00 | 0.67 | 0.0217 | 4.5 | -2.92 |
    | faulted | a | 3.03 | 0.65 | 0.0115 | 4.4 | -2.81 |
    | faulted | b | 3.00 | 0.65 | 0.0216 | 4.5 | -2.86 |
    | style | a | 3.00 | 0.87 | 0.0380 | all | -6.03 |
    | style | b | 3.00 | 0.87 | 0.0754 | all | -6.08 |

    Args:
        kind: One of the names above.
        variant: "a", the easier one, or "b".
        shape: Number of nodes per axis, in any dimension; layers need at least 25
            nodes of depth.
        dtype: Of the velocities.
        key: Random key.

    Returns:
        v at the nodes. Nodes hold the speed of the layer that they lie in, without
        smoothing.

    Raises:
        ValueError: If a name or the shape is not valid.

    Example:
        >>> import jax
        >>> from eqjax import data
        >>> v = data.velocity_model("curved", "a", key=jax.random.key(0))
        >>> v.shape
        (70, 70)
        >>> keys = jax.random.split(jax.random.key(0), 5)
        >>> draw = lambda key: data.velocity_model("style", "b", shape=(9, 11), key=key)
        >>> jax.vmap(draw)(keys).shape
        (5, 9, 11)

    References:
        Deng, Feng, Wang et al., "OpenFWI: large-scale multi-structural benchmark
        datasets for full waveform inversion", 2022, for the families of models that
        these are in the style of. Numbers here are our own.
    """
    check_choice("kind", kind, _KINDS)
    check_choice("variant", variant, ("a", "b"))
    check_condition(len(shape) > 0, "`shape` must have at least one axis, got ().")
    for size in shape:
        check_size("shape", size, minimum=2)
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    if kind == "style":
        return _noise(_CORRELATION_LENGTHS[variant], shape, dtype, key)
    least = (_INTERFACES[1] + 1) * _GAP + 1
    check_condition(
        shape[-1] >= least,
        f"`shape` must have at least {least} nodes along its last axis, the depth, for "
        f"{_INTERFACES[1]} interfaces, got {shape}.",
    )
    keys = dict(
        zip(
            ("layers", "curve", "is_curved", "faults"),
            jax.random.split(key, 4),
            strict=True,
        )
    )
    axes = [jnp.arange(size, dtype=dtype) for size in shape]
    points = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)
    size = jnp.asarray([n - 1 for n in shape], dtype)
    if kind == "faulted":
        points = _unslip(points, size, keys["faults"])
    depth = points[..., -1]
    if kind != "layered":
        shift = _curve(points[..., :-1], _AMPLITUDES[variant], keys["curve"])
        is_curved = (kind == "curved") | jax.random.bernoulli(keys["is_curved"])
        depth -= jnp.where(is_curved, shift, 0)
    return _layers(depth, size[-1], variant == "a", keys["layers"])


def _layers(depth: Array, bottom: Array, is_sorted: bool, key: Array) -> Array:
    """Speeds at depths, for interfaces between 0 and `bottom`."""
    few, most = _INTERFACES
    number_key, depth_key, speed_key = jax.random.split(key, 3)
    number = jax.random.randint(number_key, (), few, most + 1)
    index = jnp.arange(most)
    # Uniform on the sets that keep their distance: put the gaps aside, throw points
    # into what is left, and insert the gaps again.
    free = bottom - (number.astype(bottom.dtype) + 1) * _GAP
    draws = free * jax.random.uniform(depth_key, (most,), bottom.dtype)
    draws = jnp.sort(jnp.where(index < number, draws, jnp.inf))
    interfaces = draws + _GAP * (index + 1).astype(bottom.dtype)
    speeds = jax.random.uniform(speed_key, (most + 1,), bottom.dtype, *_SPEEDS)
    if is_sorted:
        used = jnp.arange(most + 1) <= number
        speeds = jnp.sort(jnp.where(used, speeds, jnp.inf))
    # No depth is below an interface at infinity, so unused speeds stay unused.
    return speeds[jnp.searchsorted(interfaces, depth, method="compare_all")]


def _curve(lateral: Array, amplitudes: tuple[float, float], key: Array) -> Array:
    """How far layers have moved down, from the other coordinates (..., axes)."""
    keys = jax.random.split(key, 5)
    many = (_MOST_WAVES,)
    number = jax.random.randint(keys[0], (), 1, _MOST_WAVES + 1)
    amplitude = jax.random.uniform(keys[1], many, lateral.dtype, *amplitudes)
    amplitude = jnp.where(jnp.arange(_MOST_WAVES) < number, amplitude, 0)
    length = jax.random.uniform(keys[2], many, lateral.dtype, *_WAVELENGTHS)
    phase = jax.random.uniform(keys[3], many, lateral.dtype, 0, 2 * math.pi)
    direction = _directions(keys[4], _MOST_WAVES, lateral)
    wave = (2 * math.pi / length)[:, None] * direction
    angles = jnp.einsum("...i,wi->...w", lateral, wave, precision="highest")
    angles += jnp.expand_dims(phase, range(angles.ndim - 1))
    return jnp.einsum("...w,w->...", jnp.sin(angles), amplitude, precision="highest")


def _unslip(points: Array, size: Array, key: Array) -> Array:
    """Where the material at `points` (..., axes) was before the faults."""
    keys = jax.random.split(key, 6)
    many = (_MOST_FAULTS,)
    dtype = points.dtype
    number = jax.random.randint(keys[0], (), 1, _MOST_FAULTS + 1)
    center = size[None] * jax.random.uniform(keys[1], (*many, len(size)), dtype)
    dip = jax.random.uniform(keys[2], many, dtype, *_DIPS)
    throw = jax.random.uniform(keys[3], many, dtype, *_THROWS)
    throw *= jax.random.rademacher(keys[4], many, dtype)
    strike = _directions(keys[5], _MOST_FAULTS, points[..., :-1])
    sine, cosine = jnp.sin(dip)[:, None], jnp.cos(dip)[:, None]
    # A plane that gets deeper in the direction `strike`, its normal upward, and the
    # slip of what lies above it.
    normal = jnp.concatenate([sine * strike, -cosine], axis=-1)
    slip = throw[:, None] * jnp.concatenate(
        [cosine / sine * strike, jnp.ones_like(sine)], axis=-1
    )
    # The last fault is the first to be undone.
    for i in reversed(range(_MOST_FAULTS)):
        from_plane = points - jnp.expand_dims(center[i], range(points.ndim - 1))
        above = jnp.einsum("...i,i->...", from_plane, normal[i], precision="highest")
        has_slipped = (above > 0) & (i < number)
        moved = points - jnp.expand_dims(slip[i], range(points.ndim - 1))
        points = jnp.where(has_slipped[..., None], moved, points)
    return points


def _directions(key: Array, num: int, lateral: Array) -> Array:
    """Random unit vectors along the axes but the depth: (num, axes)."""
    draws = jax.random.normal(key, (num, lateral.shape[-1]), lateral.dtype)
    return draws / jnp.linalg.norm(draws, axis=-1, keepdims=True)


def _noise(
    lengths: tuple[float, float], shape: tuple[int, ...], dtype: jnp.dtype, key: Array
) -> Array:
    """Gaussian noise of a random correlation length, mapped to speeds by rank."""
    noise_key, length_key = jax.random.split(key)
    # A filter of deviation l / sqrt(2), cut off at 3 deviations, has the correlation
    # length l.
    margin = math.ceil(3 * lengths[1] / math.sqrt(2))
    width = jax.random.uniform(length_key, (), dtype, *lengths) / math.sqrt(2)
    padded = tuple(n + 2 * margin for n in shape)
    values = jax.random.normal(noise_key, padded, dtype)
    for axis, n in enumerate(shape):
        offset = np.arange(n)[:, None] + margin - np.arange(n + 2 * margin)
        weights = jnp.exp(-jnp.asarray(offset**2, dtype) / (2 * width**2))
        values = jnp.moveaxis(
            jnp.tensordot(weights, values, axes=(1, axis), precision="highest"), 0, axis
        )
    order = jnp.argsort(values.ravel())
    speeds = jnp.linspace(*_SPEEDS, order.size, dtype=dtype)
    return jnp.zeros_like(speeds).at[order].set(speeds).reshape(shape)
