"""Kernels of radial basis fields: where they start, how they move, what they tell."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import (
    check_condition,
    check_floating,
    check_positive,
    check_shape,
    check_size,
    is_concrete,
)
from eqjax.groups import Group

Kernels: TypeAlias = dict[str, Array]

# Variance that kernels get besides that of their points, in units of that of equal
# parts of all points, so that those of a single point or of a line have a shape.
_EXTRA_VARIANCE = 0.1


def init_kernels(
    points: Float[Array, "points dim"],
    *,
    num_kernels: int,
    num_features: int,
    weights: Float[Array, " points"] | None = None,
    width: float | None = None,
    spread: float = 2.0,
    shared: bool = False,
    num_rounds: int = 10,
    scale: float = 1e-2,
    key: Key[Array, ""],
) -> Kernels:
    """Kernels that stand where the weight is, by weighted k-means.

    Centers start at points drawn by weight, without repetition, and become in each
    round the weighted means of the points next to them. Shapes come from the covariance
    C of these points, A = C^-1 / spread^2. Kernels move with the points under
    rotations, reflections and translations, for one key.

    Distances of all points to all centers are held at once.

    Args:
        points: Coordinates that have a weight, e.g. those of pixels.
        num_kernels: Number of kernels, at most that of points.
        num_features: Number of features of a kernel.
        weights: Not negative and not all zero, e.g. the norm of an image's gradient;
            default: 1. While traced, negative ones count as 0, and all zero as all 1.
        width: Makes the kernels round instead, A = I / width^2.
        spread: Standard deviations of a kernel over those of its points. With 2,
            kernels reach into their neighbors and their sum is smooth.
        shared: One shape for all kernels, of their mean covariance.
        num_rounds: Rounds of k-means.
        scale: Standard deviation of the normal features.
        key: For the first centers and the features.

    Returns:
        {"center": (K, d), "factor": (K, d (d + 1) / 2), "feature": (K, C)}. A factor
        holds the lower triangle, by rows, of L with A = L L^T, its diagonal before
        softplus; with `shared` there is one, (1, d (d + 1) / 2).

    Raises:
        ValueError: If shapes do not fit or numbers are out of range, weights as far as
            they are known.

    Example:
        >>> import jax
        >>> from eqjax import fields
        >>> key_points, key_kernels = jax.random.split(jax.random.key(0))
        >>> kernels = fields.init_kernels(
        ...     jax.random.normal(key_points, (50, 2)), num_kernels=5, num_features=4,
        ...     key=key_kernels)
        >>> {name: leaf.shape for name, leaf in kernels.items()}
        {'center': (5, 2), 'factor': (5, 3), 'feature': (5, 4)}

    References:
        Chen, Li, Song et al., "NeuRBF: a neural fields representation with adaptive
        radial basis functions" (2023), section 3.
    """
    check_shape("points", points, (None, None))
    check_floating("points", points)
    num, dim = points.shape
    check_size("num_kernels", num_kernels)
    check_size("num_features", num_features)
    check_size("num_rounds", num_rounds, minimum=0)
    check_positive("scale", scale, zero=True)
    check_positive("spread", spread)
    if width is not None:
        check_positive("width", width)
    check_condition(
        num_kernels <= num,
        f"`num_kernels` must be at most {num}, one per point, got {num_kernels}.",
    )
    weights = _usable(weights, num, points.dtype)
    # Distances below are differences of products, exact only about the origin.
    origin = jnp.mean(points, axis=0)
    points = points - origin[None]

    key_centers, key_features = jax.random.split(key)
    noise = jax.random.gumbel(key_centers, (num,), points.dtype)
    _, first = jax.lax.top_k(jnp.log(weights) + noise, num_kernels)

    def assigned(centers: Array) -> tuple[Array, Array]:
        """Index of the nearest center of each point, weight of each center."""
        products = jnp.matmul(points, centers.T, precision="highest")
        offsets = jnp.sum(centers * centers, axis=-1)[None] - 2 * products
        owner = jnp.argmin(offsets, axis=-1)
        return owner, jax.ops.segment_sum(weights, owner, num_kernels)

    def average(values: Array, owner: Array, total: Array, default: Array) -> Array:
        """Weighted means over the points of each center."""
        extra = (1,) * (values.ndim - 1)
        scaled = values * weights.reshape(-1, *extra)
        total = total.reshape(-1, *extra)
        sums = jax.ops.segment_sum(scaled, owner, num_kernels)
        return jnp.where(total > 0, sums / jnp.where(total > 0, total, 1), default)

    def round_(centers: Array, _: None) -> tuple[Array, None]:
        return average(points, *assigned(centers), centers), None

    centers, _ = jax.lax.scan(round_, points[first], None, length=num_rounds)
    eye = jnp.eye(dim, dtype=points.dtype)[None]
    if width is not None:
        covariance = jnp.broadcast_to(width**2 * eye, (num_kernels, dim, dim))
    else:
        owner, total = assigned(centers)
        offset = points - centers[owner]
        squares = offset[:, :, None] * offset[:, None, :]
        covariance = average(squares, owner, total, jnp.zeros_like(eye))
        shares = (weights / jnp.sum(weights))[:, None]
        mean = jnp.sum(shares * points, axis=0)
        whole = jnp.sum(shares * (points - mean[None]) ** 2, axis=0)
        variance = jnp.mean(whole) / num_kernels ** (2 / dim)
        covariance = spread**2 * (covariance + _EXTRA_VARIANCE * variance * eye)
    if shared:
        covariance = jnp.mean(covariance, axis=0, keepdims=True)
    feature = jax.random.normal(key_features, (num_kernels, num_features), points.dtype)
    return {
        "center": centers + origin[None],
        "factor": _pack(jnp.linalg.cholesky(jnp.linalg.inv(covariance))),
        "feature": scale * feature,
    }


def transform_kernels(group: Group, g: Any, kernels: Kernels) -> Kernels:
    """Kernels of the moved signal, for any group of affine motions of R^d.

        (c, A) -> (g c, D A D^T),  D the inverse transpose of the linear part of g

    Args:
        group: A group whose `act` is affine: SE(n), E(n), GL+(n), a semidirect product
            of translations and matrices, ..
        g: One of its elements.
        kernels: Kernels of one signal.

    Returns:
        Kernels with field(g x; moved) = field(x; kernels).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields, groups
        >>> points = jnp.array([[0.0, 0.0], [1.0, 0.0]])
        >>> kernels = fields.init_kernels(
        ...     points, num_kernels=2, num_features=1, width=1.0, key=jax.random.key(0))
        >>> moved = fields.transform_kernels(
        ...     groups.Translation(2), jnp.array([3.0, 4.0]), kernels)
        >>> sorted(moved["center"].tolist())
        [[3.0, 4.0], [4.0, 4.0]]
    """
    center = kernels["center"]

    def act(x: Array) -> Array:
        return group.act(g, x)

    # Exact for affine maps, and knows nothing of how the group writes its elements.
    linear = jax.jacfwd(act)(jnp.zeros_like(center[0]))
    factor = precision_factors(kernels)
    num, dim, _ = factor.shape
    # All columns of all factors at once.
    columns = factor.transpose(1, 0, 2).reshape(dim, num * dim)
    moved = jnp.linalg.solve(linear.T, columns).reshape(dim, num, dim)
    # D L = R^T Q^T, so that D A D^T = R^T R; A itself would square the condition.
    upper = jnp.linalg.qr(moved.transpose(1, 2, 0), mode="r")
    signs = jnp.where(jnp.diagonal(upper, axis1=1, axis2=2) < 0, -1, 1)
    lower = (signs.astype(upper.dtype)[:, :, None] * upper).transpose(0, 2, 1)
    return {**kernels, "center": jax.vmap(act)(center), "factor": _pack(lower)}


class ActiveSubspace(NamedTuple):
    """The directions in which a field of kernels varies.

    Attributes:
        eigenvalues: Of the mean precision, largest first, (d,).
        directions: Unit eigenvectors as columns, in the same order, (d, d).
        importance: Of each coordinate: sum over directions of |component| times
            eigenvalue, divided by the sum of all, (d,); they sum to one.
    """

    eigenvalues: Float[Array, " dim"]
    directions: Float[Array, "dim dim"]
    importance: Float[Array, " dim"]


def active_subspace(kernels: Kernels) -> ActiveSubspace:
    """Reads off from the fitted shapes on which directions a signal depends.

    Kernels that share one learned precision A = L L^T shrink it along directions in
    which the signal is constant; the eigenvectors of the large eigenvalues remain.

    Args:
        kernels: Kernels of one signal; where shapes differ, their mean A is taken.

    Returns:
        Eigenvalues, directions and the importance of the coordinates.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields
        >>> kernels = fields.init_kernels(
        ...     jnp.array([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [3.0, 1.0]]),
        ...     num_kernels=1, num_features=1, key=jax.random.key(0))
        >>> found = fields.active_subspace(kernels)
        >>> bool(found.eigenvalues[0] > 5 * found.eigenvalues[1])
        True

    References:
        D'Agostino, Ilievski, Shoemaker, "Learning active subspaces and
        discovering important features with Gaussian radial basis functions neural
        networks" (2023).
    """
    factor = precision_factors(kernels)
    squares = jnp.einsum("kij,klj->kil", factor, factor, precision="highest")
    precision = jnp.mean(squares, axis=0)
    values, vectors = jnp.linalg.eigh(precision)
    values, vectors = values[::-1], vectors[:, ::-1]
    importance = jnp.matmul(jnp.abs(vectors), values, precision="highest")
    return ActiveSubspace(values, vectors, importance / jnp.sum(importance))


def precision_factors(kernels: Kernels) -> Float[Array, "kernels dim dim"]:
    """The lower-triangular L_k with A_k = L_k L_k^T; one if the kernels share it.

    Raises:
        ValueError: If the factors do not fit the centers.
    """
    num, dim = kernels["center"].shape
    packed = kernels["factor"]
    size = dim * (dim + 1) // 2
    check_condition(
        packed.ndim == 2 and packed.shape[0] in (1, num) and packed.shape[1] == size,
        f"`kernels['factor']` must be an array of shape ({num}, {size}), or (1, {size})"
        f" for a shared one, got shape {packed.shape}.",
    )
    rows, columns = np.tril_indices(dim)
    on_diagonal = jnp.asarray(rows == columns)[None]
    entries = jnp.where(on_diagonal, jax.nn.softplus(packed), packed)
    lower = jnp.zeros((packed.shape[0], dim, dim), packed.dtype)
    return lower.at[:, rows, columns].set(entries)


def _usable(
    weights: Float[Array, " points"] | None, num: int, dtype: DTypeLike
) -> Float[Array, " points"]:
    """Weights that are not negative, and not all zero."""
    if weights is None:
        return jnp.ones(num, dtype)
    check_shape("weights", weights, (num,))
    if is_concrete(weights):
        numbers = np.asarray(weights)
        check_condition(
            bool(np.all(numbers >= 0) and np.any(numbers > 0)),
            "`weights` must not be negative, nor all zero, got numbers from "
            f"{np.min(numbers)} to {np.max(numbers)}. Take absolute values, or leave "
            "them out for equal weights.",
        )
    weights = jnp.maximum(weights, 0)
    return jnp.where(jnp.sum(weights) == 0, 1, weights)


def _pack(lower: Float[Array, "kernels dim dim"]) -> Float[Array, "kernels entries"]:
    """Triangles as rows, diagonals through the inverse of softplus."""
    rows, columns = np.tril_indices(lower.shape[-1])
    entries = lower[:, rows, columns]
    on_diagonal = rows == columns
    positive = jnp.where(on_diagonal[None], entries, 1)
    inverse = positive + jnp.log(-jnp.expm1(-positive))
    return jnp.where(on_diagonal[None], inverse, entries)
