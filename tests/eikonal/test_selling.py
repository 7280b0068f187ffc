"""Laws of Selling's decomposition."""

import numpy as np
import pytest

from eqjax.eikonal._selling import selling_decomposition


def random_matrices(dim, ratio, num=2000):
    """Symmetric matrices with eigenvalues from 1 to `ratio`, in random frames."""
    random = np.random.default_rng(dim)
    frames = np.linalg.qr(random.normal(size=(num, dim, dim)))[0]
    values = ratio ** random.uniform(size=(num, dim))
    values[:, 0], values[:, -1] = 1, ratio
    # Needles and discs are harder than what lies between.
    values[: num // 4, 1:-1], values[num // 4 : num // 2, 1:-1] = 1, ratio
    matrices = np.einsum("nik,nk,njk->nij", frames, values, frames)
    return (matrices + np.swapaxes(matrices, 1, 2)) / 2


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize(("ratio", "max_flips"), [(1.5, 20), (1e2, 20), (1e4, 200)])
def test_weights_are_positive_and_give_the_matrix_back(dim, ratio, max_flips):
    matrices = random_matrices(dim, ratio)
    weights, offsets = selling_decomposition(matrices, max_flips=max_flips)
    assert weights.shape == (len(matrices), dim * (dim + 1) // 2)
    assert np.all(weights >= 0)
    assert np.issubdtype(offsets.dtype, np.integer)
    rebuilt = np.einsum("nk,nki,nkj->nij", weights, 1.0 * offsets, 1.0 * offsets)
    np.testing.assert_allclose(rebuilt, matrices, rtol=0, atol=1e-12 * ratio)
    # No offset jumps over a node: their entries have no common factor.
    np.testing.assert_array_equal(np.gcd.reduce(offsets, axis=-1), 1)


@pytest.mark.parametrize("dim", [2, 3])
def test_diagonal_matrices_need_the_axes_only(dim):
    values = np.array([0.1, 20.0, 3.0])[:dim]
    weights, offsets = selling_decomposition(np.diag(values))
    used = weights > 0
    np.testing.assert_array_equal(np.sum(used), dim)
    found = np.sum(weights[used][:, None] * offsets[used] ** 2, axis=0)
    np.testing.assert_allclose(found, values, rtol=1e-14)


@pytest.mark.parametrize("dim", [2, 3])
def test_symmetries_of_the_lattice_carry_over(dim):
    """A linear map of the lattice onto itself moves the offsets, not the weights."""
    matrices = random_matrices(dim, 30.0, num=50)
    shear = np.array([[0, -1, 0], [1, 0, 0], [2, 1, 1]])[:dim, :dim]
    moved = shear @ matrices @ shear.T
    for found, image in zip(map(terms, matrices), map(terms, moved), strict=True):
        expected = {sign(shear @ np.array(e)): rho for e, rho in found.items()}
        assert expected.keys() == image.keys()
        for offset, rho in expected.items():
            np.testing.assert_allclose(image[offset], rho, rtol=1e-9)


def terms(matrix):
    weights, offsets = selling_decomposition(matrix)
    return {sign(e): rho for rho, e in zip(weights, offsets, strict=True)}


def sign(offset):
    """The offset or its opposite, whichever comes last."""
    return max(tuple(map(int, offset)), tuple(map(int, -offset)))


def test_batch_axes_stay():
    matrices = random_matrices(2, 10.0, num=6).reshape(2, 3, 2, 2)
    weights, offsets = selling_decomposition(matrices)
    assert weights.shape == (2, 3, 3)
    assert offsets.shape == (2, 3, 3, 2)
    alone, _ = selling_decomposition(matrices[1, 2])
    np.testing.assert_array_equal(weights[1, 2], alone)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(4), "2 x 2 or 3 x 3"),
        (np.ones((2, 3)), "2 x 2 or 3 x 3"),
        (np.ones((2, 2)), "positive definite"),
        (-np.eye(2), "positive definite"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "positive definite"),
        (np.full((3, 3), np.nan), "positive definite"),
        (random_matrices(2, 1e6), "more than 200 flips"),
    ],
)
@pytest.mark.usefixtures("user_errors")
def test_what_has_no_decomposition_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        selling_decomposition(matrix)
