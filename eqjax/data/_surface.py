"""Surfaces from values on a grid, and how close two of them are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eqjax._core._checks import check_condition, check_size
from eqjax.data._mesh_distance import Mesh


def grid_points(size: int, *, dim: int = 3) -> Float[np.ndarray, "..."]:
    """Centers of the cells of a grid on [-1, 1]^dim; the first axis is x.

    Args:
        size: Number of cells along every axis.
        dim: Number of axes.

    Returns:
        Points, (size, ..., size, dim).

    Raises:
        ValueError: If a number is not positive.

    Example:
        >>> from eqjax.data import grid_points
        >>> grid_points(2, dim=2)[1, 0].tolist()
        [0.5, -0.5]
    """
    check_size("size", size)
    check_size("dim", dim)
    ticks = (2 * np.arange(size) + 1) / size - 1
    return np.stack(np.meshgrid(*[ticks] * dim, indexing="ij"), axis=-1)


def extract_surface(values: Float[np.ndarray, "n n n"]) -> Mesh:
    """The surface where values on `grid_points(n)` are zero, by marching cubes.

    Vertices lie where linear interpolation between neighbors gives zero. Triangles run
    counterclockwise as seen from where the values are positive.

    Args:
        values: Values on the grid, e.g. signed distances, finite, of both signs.

    Returns:
        The surface, in coordinates of [-1, 1]^3.

    Raises:
        ImportError: If scikit-image is not installed.
        ValueError: If the shape is no cube, or values are not finite or of one sign.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import ball_distance, extract_surface, grid_points
        >>> mesh = extract_surface(ball_distance(grid_points(16), radius=0.7))
        >>> bool(np.allclose(np.linalg.norm(mesh.vertices, axis=1), 0.7, atol=0.01))
        True

    References:
        Lewiner, Lopes, Vieira, Tavares, "Efficient implementation of marching cubes'
        cases with topological guarantees" (2003).
    """
    n = values.shape[0]
    check_condition(
        values.shape == (n, n, n) and n > 1,
        f"`values` must have shape (n, n, n) with n > 1, got {values.shape}.",
    )
    check_condition(
        bool(np.isfinite(values).all()), "`values` must be finite, got NaN or infinity."
    )
    check_condition(
        bool(values.min() < 0 < values.max()),
        "`values` must have both signs, or there is no surface, got "
        f"{values.min():.3g} .. {values.max():.3g}.",
    )
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise ImportError(
            "`extract_surface` runs the marching cubes of scikit-image, which is not "
            "installed. Install scikit-image."
        ) from error
    # A copy, because scikit-image takes no read-only arrays, such as those of JAX.
    vertices, triangles, _, _ = marching_cubes(np.array(values), 0.0)
    return Mesh(
        (2 * vertices.astype(np.float64) + 1) / n - 1, triangles.astype(np.int64)
    )


def chamfer_distance(
    a: Float[np.ndarray, "a_points d"], b: Float[np.ndarray, "b_points d"]
) -> float:
    """Mean distance from the points of one set to the nearest of the other.

    (mean_a min_b |a - b| + mean_b min_a |a - b|) / 2: distances, not their squares.

    Args:
        a: Points of a surface.
        b: Points of another one.

    Returns:
        The distance, in units of the coordinates.

    Raises:
        ValueError: If a set is empty, or their dimensions differ.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import chamfer_distance
        >>> chamfer_distance(np.zeros((2, 3)), np.array([[0.0, 3.0, 4.0]]))
        5.0

    References:
        Fan, Su, Guibas, "A point set generation network for 3D object reconstruction
        from a single image" (2017), section 3.2 (there with squares).
    """
    # Imported here: scipy comes with jax, but takes a while to load.
    from scipy.spatial import KDTree

    check_condition(
        a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1] and min(len(a), len(b)) > 0,
        "`a` and `b` must be sets of points of one space, not empty, got shapes "
        f"{a.shape} and {b.shape}.",
    )
    to_b, to_a = KDTree(b).query(a)[0], KDTree(a).query(b)[0]
    return float(to_b.mean() + to_a.mean()) / 2


def intersection_over_union(
    a: Float[np.ndarray, "*grid"], b: Float[np.ndarray, "*grid"]
) -> float:
    """Volume of the intersection of two shapes over that of their union.

    Args:
        a: Signed distances on a grid such as `grid_points(64)`, negative inside.
        b: Those of the other shape, on the same grid.

    Returns:
        A number from 0 (disjoint) to 1 (equal); 1 if both are empty.

    Raises:
        ValueError: If the shapes of the grids differ.

    Example:
        >>> import numpy as np
        >>> from eqjax.data import intersection_over_union
        >>> intersection_over_union(
        ...     np.array([-1.0, -1.0, 1.0]), np.array([1.0, -1.0, 1.0]))
        0.5
    """
    check_condition(
        a.shape == b.shape,
        f"`a` and `b` must lie on one grid, got shapes {a.shape} and {b.shape}.",
    )
    union = int(np.sum((a < 0) | (b < 0)))
    return float(np.sum((a < 0) & (b < 0)) / union) if union else 1.0
