"""The Earth-flattening transformation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_positive, check_shape
from eqjax.eikonal._radial_velocity import RadialVelocity


def flatten_earth(
    position: Float[Array, "*batch axes"], *, radius: float = 6371.0
) -> Float[Array, "*batch axes"]:
    """Maps a section through a round Earth of radius R to a strip, angle for angle.

    x = R theta, z = R log(R / r). The map is conformal, so times in the Earth are
    those in the strip with the speeds v R / r of `flattened_speed`: exactly, for any
    v(theta, r). The centre of the Earth lies at infinite depth.

    Args:
        position: Angle theta along the section in radians, and radius r, positive.
        radius: R, in the unit of r.

    Returns:
        x along the surface and depth z, in the unit of r.

    Raises:
        ValueError: If a shape is wrong or `radius` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal
        >>> x, z = eikonal.flatten_earth(jnp.array([0.5, 3480.0]))
        >>> round(x.item(), 1), round(z.item(), 1)
        (3185.5, 3852.7)

    References:
        Müller, "Earth-flattening approximation for body waves derived from geometric
        ray theory: improvements, corrections and range of applicability", 1977.
    """
    _check(position, radius)
    angle, r = position[..., 0], position[..., 1]
    return jnp.stack([radius * angle, radius * jnp.log(radius / r)], axis=-1)


def unflatten_earth(
    position: Float[Array, "*batch axes"], *, radius: float = 6371.0
) -> Float[Array, "*batch axes"]:
    """The inverse of `flatten_earth`.

    Args:
        position: x along the surface and depth z in the strip.
        radius: R, in the unit of x and z.

    Returns:
        Angle theta in radians, and radius r.

    Raises:
        ValueError: If a shape is wrong or `radius` is not positive.
    """
    _check(position, radius)
    x, z = position[..., 0], position[..., 1]
    return jnp.stack([x / radius, radius * jnp.exp(-z / radius)], axis=-1)


def flattened_speed(
    velocity: RadialVelocity,
    depth: Float[Array, ""],
    width: float,
    *,
    radius: float = 6371.0,
) -> Float[Array, ""]:
    """The speed v R / r in the strip of `flatten_earth`, averaged over a cell.

    1 / (mean slowness between the depths z - width / 2 and z + width / 2). The mean is
    exact: it is the time that a vertical ray takes. Times on a grid of spacing `width`
    then converge across discontinuities.

    Args:
        velocity: v(r) of the round Earth.
        depth: Depth z in the strip.
        width: Height of the cell, positive.
        radius: R, in the unit of all lengths.

    Raises:
        ValueError: If `width` or `radius` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import data, eikonal
        >>> model = eikonal.RadialVelocity(
        ...     *data.radial_speeds(data.earth_model("iasp91"))
        ... )
        >>> round(eikonal.flattened_speed(model, jnp.asarray(1000.0), 10.0).item(), 2)
        13.27
    """
    check_positive("width", width)
    check_positive("radius", radius)
    depths = jnp.stack([depth - width / 2, depth + width / 2])
    radii = radius * jnp.exp(-depths / radius)
    # A difference of the parts of each sum, so that large times cancel exactly.
    parts = [
        above - below for above, below in jax.vmap(velocity._time_from_center)(radii)
    ]
    return width / (parts[0] + (parts[1] + parts[2]))


def _check(position: Array, radius: float) -> None:
    check_positive("radius", radius)
    check_shape("position", position, (*position.shape[:-1], 2))
