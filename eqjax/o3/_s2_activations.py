"""Nonlinearities of features as signals on the sphere."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition
from eqjax.o3._constants import Precision
from eqjax.o3._s2_grid import S2Grid, check_degree_weights, exact_shape, spread
from eqjax.o3._signal_products import gaunt_product


def s2_activation(
    grid: S2Grid,
    activation: Callable[[Array], Array],
    x: Float[Array, "dim channels"],
    *,
    precision: Precision = "highest",
) -> Float[Array, "dim channels"]:
    """An activation of features as signals: from_grid(activation(to_grid(x))).

    It commutes with O(3) exactly only if the activation is a polynomial, of a degree k
    that the grid is exact for (`exact_for >= k + 1`). Any other one is approximate: it
    has components of every degree, which a grid aliases. For SiLU, standard normal
    features, random rotations and L = 2, 4, 6, |f(R x) - R f(x)| / |f(x)| is 7% on the
    grid of `S2Grid(L)`, 0.5 to 0.9% with twice as many angles both ways, and 0.01 to
    0.07% with four times as many. `swiglu_s2` has no such error.

    Args:
        grid: The grid.
        activation: A function of arrays, elementwise.
        x: Features.
        precision: Of the matrix products.

    Returns:
        Features.

    Raises:
        ValueError: If x has another number of components than the grid's.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import o3
        >>> square = o3.s2_activation(o3.S2Grid(1), lambda f: f**2, jnp.ones((4, 1)))
        >>> square[:, 0].round(3).tolist()
        [4.0, 2.0, 2.0, 2.0]

    References:
        Cohen, Geiger, Koehler, Welling, "Spherical CNNs" (2018), section 3.
    """
    values = activation(grid.to_grid(x, precision=precision))
    return grid.from_grid(values, precision=precision)


def swiglu_s2(
    grid: S2Grid,
    x: Float[Array, "dim twice_channels"],
    *,
    gates: Float[Array, "#degrees #channels"] | None = None,
    precision: Precision = "highest",
) -> Float[Array, "dim channels"]:
    """The product of two halves of the channels as signals, which commutes with O(3).

        out_l = sigmoid(gates_l) from_grid(to_grid(x_1) to_grid(x_2))_l

    It is quadratic, so the grid of `S2Grid(L)` projects it exactly. Features must have
    natural parity: degree l changes by (-1)^l under inversion.

    Args:
        grid: The grid, with `exact_for >= 3`.
        x: Features x_1 and x_2, one after the other on the last axis.
        gates: Invariants, one for each degree and channel, or a single row for all
            degrees. Default: no gates.
        precision: Of the matrix products.

    Returns:
        Features with half the channels.

    Raises:
        ValueError: If the grid is not exact for a product, the number of channels is
            odd, or a shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> o3.swiglu_s2(o3.S2Grid(2), jnp.ones((9, 8)), gates=jnp.zeros((3, 4))).shape
        (9, 4)

    References:
        Shazeer, "GLU variants improve transformer" (2020), for gated products.
    """
    needed = exact_shape(3 * grid.max_degree)
    check_condition(
        not grid.exact or all(np.greater_equal(grid.shape, needed)),
        f"`grid` has {grid.shape} points, a product of two signals of degree "
        f"{grid.max_degree} needs {needed}. Use `S2Grid({grid.max_degree}, 3)`, or "
        "accept the error with `exact=False`.",
    )
    check_condition(
        x.ndim == 2 and x.shape[1] % 2 == 0,
        "`x` must have an even number of channels, of two factors, got shape "
        f"{x.shape}.",
    )
    half = x.shape[1] // 2
    if all(np.greater_equal(grid.shape, needed)):
        # The same on every exact grid, and faster without one for small degrees.
        out = gaunt_product(
            x[:, :half],
            x[:, half:],
            max_degree_out=grid.max_degree,
            precision=precision,
        )
    else:
        values = grid.to_grid(x, precision=precision)
        product = values[:, :half] * values[:, half:]
        out = grid.from_grid(product, precision=precision)
    if gates is None:
        return out
    check_degree_weights("gates", gates, grid.max_degree, out)
    return out * spread(jax.nn.sigmoid(gates), grid.max_degree, precision=precision)
