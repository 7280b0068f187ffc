"""Low-rank factors of all couplings, and products by them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups
from eqjax.o3._clebsch_gordan import clebsch_gordan
from eqjax.o3._cp_factors import cp_factors
from eqjax.o3._cp_product import cp_product
from eqjax.o3._degrees import Degrees
from tests.reps.cases import sample_matrices

# What alternating least squares reach, by (degree, rank).
ERRORS = {
    (0, 1): 1e-15,
    (1, 7): 1.8e-2,
    (1, 8): 9e-16,
    (2, 28): 4.0e-2,
    (2, 36): 8e-8,
    (2, 44): 9e-16,
}
SLOW = {
    (3, 63): 7.5e-2,
    (3, 84): 3.2e-2,
    (3, 110): 2e-7,
    (3, 130): 2e-15,
    (4, 320): 2e-15,
}


def couplings(max_degree: int) -> np.ndarray:
    """The sum of all paths, each of norm 1."""
    dim = (max_degree + 1) ** 2
    total = np.zeros((dim, dim, dim))
    degrees = Degrees(max_degree).slices
    for a, rows in enumerate(degrees):
        for b, columns in enumerate(degrees):
            for c in range(abs(a - b), min(a + b, max_degree) + 1):
                path = clebsch_gordan(a, b, c) / np.sqrt(2 * c + 1)
                total[rows, columns, degrees[c]] = path
    return total


def check_error(max_degree: int, rank: int, want: float) -> None:
    factors = cp_factors(max_degree, rank)
    tensor = couplings(max_degree)
    sums = np.einsum("ir,jr,kr->ijk", *factors[:3], optimize=True)
    difference = np.linalg.norm(sums - tensor)
    assert factors.x.shape == ((max_degree + 1) ** 2, rank)
    # Both sums of squares round differently where only rounding is left.
    np.testing.assert_allclose(factors.bound, 2 * difference, rtol=1e-6, atol=1e-14)
    error = difference / np.linalg.norm(tensor)
    np.testing.assert_allclose(factors.error, error, rtol=1e-6, atol=1e-14)
    # A factor 2 of the table; exact ones end at rounding, where that says nothing.
    assert factors.error < (1e-14 if want < 1e-14 else 2 * want)


@pytest.mark.parametrize(("max_degree", "rank"), ERRORS)
def test_factors_are_as_good_as_stated(max_degree, rank):
    check_error(max_degree, rank, ERRORS[max_degree, rank])


@pytest.mark.slow
@pytest.mark.parametrize(("max_degree", "rank"), SLOW)
def test_larger_factors_are_as_good_as_stated(max_degree, rank):
    check_error(max_degree, rank, SLOW[max_degree, rank])


def test_factors_are_made_once_and_are_constant():
    factors = cp_factors(1)
    assert cp_factors(1, 8) is factors
    with pytest.raises(ValueError, match="read-only"):
        factors.out[0, 0] = 0.0


@pytest.mark.parametrize(("max_degree", "channels"), [(1, 3), (2, 1)])
def test_products_are_sums_of_couplings(max_degree, channels):
    rng = np.random.default_rng(0)
    dim = (max_degree + 1) ** 2
    x, y = rng.normal(size=(dim, 3)), rng.normal(size=(dim, channels))
    weights = rng.normal(size=3)
    found = jax.jit(lambda x, y, w: cp_product(x, y, weights=w))(x, y, weights)
    want = np.einsum("ijk,iu,ju->ku", couplings(max_degree), x, y + 0 * x) * weights
    # 44 products of factors of size 2, whose sums are of size 3: tens of roundings.
    np.testing.assert_allclose(found, want, rtol=0, atol=3e-14)


@pytest.mark.parametrize(("max_degree", "rank"), [(1, 7), (2, 28), (2, 44)])
def test_the_failure_to_commute_is_bounded(max_degree, rank):
    """|T'(Dx, Dy) - D T'(x, y)| <= 2 |Delta| |x| |y|, 100 rotations."""
    rng = np.random.default_rng(1)
    degrees = Degrees(max_degree, parity="none")
    rho = degrees._matrix_at(sample_matrices(groups.SO(3), 100))
    x, y = rng.normal(size=(2, 100, degrees.dim, 2))
    product = jax.jit(jax.vmap(lambda x, y: cp_product(x, y, rank=rank)))
    failure = np.asarray(product(rho @ x, rho @ y) - rho @ product(x, y))
    size = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    worst = np.max(np.linalg.norm(failure, axis=1) / size)
    # Rounding beside the bound, which an exact rank has none of.
    assert worst <= cp_factors(max_degree, rank).bound + 1e-14
    if rank < 44:
        assert worst > 1e-3


def test_its_dtype_is_kept():
    x = jnp.ones((4, 2), jnp.bfloat16)
    assert cp_product(x, x).dtype == jnp.bfloat16


x = jnp.ones((4, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cp_factors(5), "`rank` must be given"),
        (lambda: cp_factors(13, 4), "must be at most 12"),
        (lambda: cp_factors(1, 0), "`rank` must be an integer"),
        (lambda: cp_product(x, jnp.ones((9, 2))), "`y` must be an array of shape"),
        (lambda: cp_product(x, jnp.ones((4, 3))), "`y` must have 2 channels"),
        (lambda: cp_product(x, x.astype(jnp.float32)), "`y` must have the dtype"),
        (lambda: cp_product(jnp.ones((8, 2)), jnp.ones((8, 2))), "no two parities"),
        (lambda: cp_product(x, x, weights=jnp.ones(3)), "`weights` must be an array"),
        (
            lambda: cp_product(x, x, weights=jnp.ones(2, jnp.float32)),
            "`weights` must have the dtype",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
