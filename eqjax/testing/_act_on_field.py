"""How a group element moves a field on a grid."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import ndimage

from eqjax._core._checks import check_condition, check_floating, check_size
from eqjax.groups import Element
from eqjax.reps import Rep


def act_on_field(
    rep: Rep,
    g: Element,
    field: Float[Array, "*grid components channels"],
    *,
    order: int = 3,
) -> Float[Array, "*grid components channels"]:
    """The moved field (g f)(x) = rho(g) f(g^-1 x), about the center of the grid.

    Where g maps the grid to itself, pixels are only exchanged, exactly. Otherwise a
    spline interpolates, with zeros outside: NumPy then, so that it cannot be traced.
    Coordinates are x = column - center and y = center - row, besides z = depth - center
    in volumes (depth, height, width).

    Args:
        rep: Representation of the components, of a group whose matrices turn and mirror
            the plane or space.
        g: One element, not traced.
        field: Field on a grid of two or three axes.
        order: Of the spline.

    Returns:
        The moved field. Its grid axes are exchanged where g exchanges them.

    Raises:
        ValueError: If the grid has not the dimension that the group moves.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, reps, testing
        >>> vector = reps.standard(groups.Cyclic(4))
        >>> # A vector to the right, right of the center, and then upwards, above it.
        >>> field = jnp.zeros((3, 3, 2, 1)).at[1, 2, 0, 0].set(1.0)
        >>> turned = testing.act_on_field(vector, jnp.asarray(1), field)
        >>> turned[0, 1, :, 0].round(6).tolist()
        [0.0, 1.0]
    """
    check_size("order", order, minimum=0)
    check_floating("field", field)
    dim = rep.group.degree
    check_condition(
        field.ndim == dim + 2 and field.shape[-2] == rep.dim and dim in (2, 3),
        f"`field` must have shape (*grid, {rep.dim}, channels) with {dim} grid axes, "
        f"two or three, got {field.shape}.",
    )
    with jax.ensure_compile_time_eval():
        matrix = np.asarray(rep.group.matrix(g), np.float64)
    # In the order and direction of the axes: (.., -y, x).
    frame = np.eye(dim)[::-1] * np.where(np.arange(dim) == dim - 2, -1.0, 1.0)[:, None]
    moves = frame @ matrix @ frame.T
    rounded = np.round(moves)
    # Elements of Lie groups may be of float32.
    if np.max(np.abs(moves - rounded)) < 1e-6:
        moved = _exchanged(field, rounded)
    else:
        moved = _interpolated(field, moves, order)
    components = jnp.moveaxis(moved, -2, 0)
    return jnp.moveaxis(rep.apply(g, components), 0, -2)


def _exchanged(field: Array, moves: np.ndarray) -> Array:
    """Axis j of the field becomes axis i, reversed where the entry is -1."""
    sources = np.argmax(np.abs(moves), axis=1)
    dim = len(moves)
    field = jnp.transpose(field, (*sources.tolist(), dim, dim + 1))
    flipped = [i for i in range(dim) if moves[i, sources[i]] < 0]
    return jnp.flip(field, flipped)


def _interpolated(field: Array, moves: np.ndarray, order: int) -> Array:
    shape = field.shape[: len(moves)]
    center = (np.array(shape) - 1) / 2
    offset: Any = center - moves.T @ center
    flat = np.asarray(field, np.float64).reshape(*shape, -1)
    moved = [
        ndimage.affine_transform(
            flat[..., i], moves.T, offset, order=order, mode="constant"
        )
        for i in range(flat.shape[-1])
    ]
    full = np.stack(moved, axis=-1).reshape(field.shape)
    return jnp.asarray(full, field.dtype)
