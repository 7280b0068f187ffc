"""What a family of bilinear products can couple, and how freely."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqjax._core._checks import check_condition, check_size

Product = Callable[[Any, Array, Array], Array]

# Relative to the largest singular value, between rounding, below 1e-15, and the least
# that is not zero, above 9e-3 for the products of this package up to degree 6.
TOLERANCE = 1e-9


def expressivity(
    product: Product,
    max_degree: int,
    weights: Any,
    *,
    max_degree_y: int | None = None,
) -> int:
    """The dimension of the family of bilinear maps that the weights of a product reach.

    It is the rank of the derivative of (weights -> bilinear map) at generic weights. If
    the weights are those of equivariant linear maps before and behind a fixed bilinear
    operation, on one copy of each degree, this is the measure of Xie et al. A product
    with one weight for each coupling has as many dimensions as couplings.

    The derivative is taken in float64 at fixed pseudo-random weights. The maps are
    compared on as many pseudo-random pairs as there are weights, which tell any two
    elements of its range apart, except on a set of pairs of measure zero.

    Args:
        product: A function of weights, x of shape ((L + 1)^2, 1) and y likewise,
            bilinear in x and y. It must take and keep float64. Wrapped in `jax.jit`
            it often takes less time.
        max_degree: The largest degree of x.
        weights: Weights of the shapes that the product takes, a pytree. Only the shapes
            matter.
        max_degree_y: The largest degree of y. Default: that of x.

    Returns:
        The dimension, an integer.

    Raises:
        ValueError: If a degree is no size, or there are no weights.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import o3
        >>> weights = {name: jnp.ones((3, 1)) for name in ("x", "y", "out")}
        >>> def product(weights, x, y):
        ...     return o3.gaunt_product(x, y, max_degree_out=2, weights=weights)
        >>> reached = o3.interactability(product, 2, weights)
        >>> o3.expressivity(product, 2, weights), len(reached)
        (7, 11)

    References:
        Xie, Daigavane, Kotak, Smidt, "The price of freedom: exploring expressivity and
        runtime tradeoffs in equivariant tensor products" (2025).
    """
    dims = _dims(max_degree, max_degree_y)
    with jax.enable_x64(True):
        flat, unflatten = _generic(weights)
        check_condition(
            flat.size > 0, "`weights` must hold at least one weight, got none."
        )
        rng = np.random.default_rng(1)
        pairs = [jnp.asarray(rng.normal(size=(flat.size, dim, 1))) for dim in dims]

        def results(flat: Array) -> Array:
            tree = unflatten(flat)
            return jax.vmap(lambda x, y: product(tree, x, y))(*pairs).reshape(-1)

        table = np.asarray(
            jax.vmap(jax.linearize(results, flat)[1])(jnp.eye(flat.size))
        )
    singular = np.linalg.svd(table, compute_uv=False)
    return int(np.sum(singular > TOLERANCE * max(1.0, singular[0])))


def interactability(
    product: Product,
    max_degree: int,
    weights: Any,
    *,
    max_degree_y: int | None = None,
) -> frozenset[tuple[int, int, int]]:
    """The triples (l1, l2, l3) of degrees that a bilinear product couples.

    A triple belongs to it if, at generic weights, x of degree l1 and y of degree l2
    give a result whose degree l3 is not zero.

    Args:
        product: As in `expressivity`; its result has degrees 0, .., l_out.
        max_degree: The largest degree of x.
        weights: Weights of the shapes that the product takes, a pytree. Only the shapes
            matter.
        max_degree_y: The largest degree of y. Default: that of x.

    Returns:
        The triples.

    Raises:
        ValueError: If a degree is no size, or the result is no feature.

    Example:
        >>> from eqjax import o3
        >>> def square(weights, x, y):
        ...     return o3.gaunt_product(x, y, max_degree_out=1)
        >>> sorted(o3.interactability(square, 1, None))
        [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]

    References:
        Xie, Daigavane, Kotak, Smidt, "The price of freedom: exploring expressivity and
        runtime tradeoffs in equivariant tensor products" (2025).
    """
    dims = _dims(max_degree, max_degree_y)
    with jax.enable_x64(True):
        flat, unflatten = _generic(weights)
        tree = unflatten(flat)
        rng = np.random.default_rng(1)
        xs, ys = (_one_degree_each(rng, dim) for dim in dims)
        over_y = jax.vmap(lambda x, y: product(tree, x, y), in_axes=(None, 0))
        table = np.asarray(jax.vmap(over_y, in_axes=(0, None))(xs, ys))
    degree_out = math.isqrt(table.shape[2]) - 1
    check_condition(
        table.ndim == 4 and (degree_out + 1) ** 2 == table.shape[2],
        "The result of `product` must be a feature ((l + 1)^2, channels), got shape "
        f"{table.shape[2:]}.",
    )
    # One row per l1, l2 and l3.
    starts = [l * l for l in range(degree_out + 1)]
    squares = np.add.reduceat(np.sum(table**2, axis=3), starts, axis=2)
    coupled = np.sqrt(squares) > TOLERANCE * max(1.0, float(np.max(np.abs(table))))
    return frozenset((int(a), int(b), int(c)) for a, b, c in np.argwhere(coupled))


def _dims(max_degree: int, max_degree_y: int | None) -> tuple[int, int]:
    check_size("max_degree", max_degree, minimum=0)
    if max_degree_y is None:
        max_degree_y = max_degree
    check_size("max_degree_y", max_degree_y, minimum=0)
    return (max_degree + 1) ** 2, (max_degree_y + 1) ** 2


def _generic(weights: Any) -> tuple[Array, Callable[[Array], Any]]:
    """Generic float64 weights as one vector, and what makes a pytree of a vector."""
    leaves, form = jax.tree.flatten(weights)
    shapes = [np.shape(leaf) for leaf in leaves]
    stops = np.cumsum([0, *(math.prod(shape) for shape in shapes)]).tolist()
    rng = np.random.default_rng(0)
    # Away from zero, where products of weights would have small derivatives.
    flat = rng.uniform(0.5, 1.5, stops[-1]) * rng.choice([-1.0, 1.0], stops[-1])

    def unflatten(flat: Array) -> Any:
        parts = [
            flat[a:b].reshape(shape)
            for a, b, shape in zip(stops[:-1], stops[1:], shapes, strict=True)
        ]
        return jax.tree.unflatten(form, parts)

    return jnp.asarray(flat, jnp.float64), unflatten


def _one_degree_each(rng: np.random.Generator, dim: int) -> Array:
    """Random features (degrees, dim, 1), each of a single degree."""
    degrees = math.isqrt(dim)
    found = np.zeros((degrees, dim, 1))
    for l in range(degrees):
        found[l, l * l : (l + 1) ** 2] = rng.normal(size=(2 * l + 1, 1))
    return jnp.asarray(found)
