"""Vector spherical harmonics as constants."""

from __future__ import annotations

import functools
import math

import numpy as np

from eqjax.o3._clebsch_gordan import clebsch_gordan
from eqjax.o3._constants import read_only
from eqjax.o3._harmonics_table import harmonics
from eqjax.o3._s2_grid import exact_shape, grid_points, to_grid_matrix


@functools.lru_cache(maxsize=64)
def vector_harmonics(shape: tuple[int, int], l: int, j: int) -> np.ndarray:
    """Fields of degree j that couple Y_l with the directions, (points, 3, 2 j + 1).

    The components are along r, along e_p = e_a x r and along e_a, the direction of
    growing azimuth: right-handed, orthonormal, and defined at every point, for no point
    of a grid is a pole.
    """
    points, _ = grid_points(shape)
    y = harmonics(l, points)[:, l * l :]
    fields = np.einsum("nm,mek->nek", y, clebsch_gordan(l, 1, j))
    radius = np.sqrt(points[:, 2] ** 2 + points[:, 0] ** 2)
    azimuthal = np.stack([points[:, 2], 0 * radius, -points[:, 0]], 1) / radius[:, None]
    frame = np.stack([points, np.cross(azimuthal, points), azimuthal], axis=1)
    return read_only(np.einsum("nde,nek->ndk", frame, fields))


@functools.lru_cache(maxsize=64)
def field_tables(
    shape: tuple[int, int], max_degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parts that fields are made of, and how much of each is in every type.

    At every point, a field of l' = j - 1 or j + 1 is a number times Y_j r plus a number
    times the normalised gradient of Y_j, and one of l' = j a number times r x gradient:
    with weights there is no need to evaluate each type.

    Returns:
        Along e_p and e_a the gradients, both (points, dim), and the numbers, of shape
        (types l' = j - 1, j, j + 1; parts Y r, gradient, r x gradient; degrees).
    """
    points, _ = grid_points(shape)
    # The parts are measured on a grid that is exact for squares of fields.
    fine = exact_shape(2 * max_degree + 2)
    fine_points, fine_weights = grid_points(fine)
    scalars = harmonics(max_degree, fine_points)
    gradients = np.zeros((2, len(points), (max_degree + 1) ** 2))
    amounts = np.zeros((3, 3, max_degree + 1))
    for j in range(max_degree + 1):
        where = slice(j * j, (j + 1) ** 2)
        gradient = np.zeros((len(fine_points), 2, 2 * j + 1))
        if j > 0:
            tangential = vector_harmonics(fine, j - 1, j)[:, 1:]
            square = np.einsum("n,ndk->", fine_weights, tangential**2)
            scale = math.sqrt((2 * j + 1) / square)
            gradient = scale * tangential
            here = scale * vector_harmonics(shape, j - 1, j)[:, 1:]
            gradients[:, :, where] = here.transpose(1, 0, 2)
        turned = np.stack([-gradient[:, 1], gradient[:, 0]], axis=1)
        for index, l in enumerate((j - 1, j, j + 1)):
            if l < 0 or (l, j) == (0, 0):
                continue
            field = vector_harmonics(fine, l, j)
            mean = fine_weights / (2 * j + 1)
            amounts[index, 0, j] = np.einsum(
                "n,nk,nk->", mean, field[:, 0], scalars[:, where]
            )
            for part, basis in ((1, gradient), (2, turned)):
                amounts[index, part, j] = np.einsum(
                    "n,ndk,ndk->", mean, field[:, 1:], basis
                )
    return read_only(gradients[0]), read_only(gradients[1]), read_only(amounts)


@functools.lru_cache(maxsize=64)
def field_matrices(
    shape: tuple[int, int], max_degree: int, num_parts: int
) -> np.ndarray:
    """From the parts of a field to its components, (3, points, num_parts dim)."""
    polar, azimuthal, _ = field_tables(shape, max_degree)
    radial, zero = to_grid_matrix(shape, max_degree), np.zeros(polar.shape)
    rows = (
        (radial, zero, zero),
        (zero, polar, -azimuthal),
        (zero, azimuthal, polar),
    )
    found = [np.concatenate(row[:num_parts], axis=1) for row in rows]
    return read_only(np.stack(found))
