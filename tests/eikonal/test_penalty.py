"""Priors on grids: what is free, what it costs, and squares that touch from above."""

import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal._penalty import Penalty, roughness

SHAPE, SPACING = (5, 7), (0.5, 0.2)


def grid():
    axes = [h * np.arange(n) for n, h in zip(SHAPE, SPACING, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def test_constants_and_linear_functions_are_free():
    x, y = grid()
    slope = np.asarray(roughness(jnp.asarray(3 + 2 * x - 5 * y), SPACING))
    assert slope.shape == (*SHAPE, 2)
    np.testing.assert_allclose(slope[:-1, :, 0], 2, rtol=1e-12)
    np.testing.assert_allclose(slope[:, :-1, 1], -5, rtol=1e-12)
    np.testing.assert_array_equal(slope[-1, :, 0], 0)
    np.testing.assert_array_equal(slope[:, -1, 1], 0)
    flat = roughness(jnp.asarray(3 + 2 * x - 5 * y), SPACING, order=2)
    np.testing.assert_allclose(flat, 0, atol=1e-12)
    bend = np.asarray(roughness(jnp.asarray(x**2 - 3 * y**2), SPACING, order=2))
    np.testing.assert_allclose(bend[1:-1, :, 0], 2, rtol=1e-11)
    np.testing.assert_allclose(bend[:, 1:-1, 1], -6, rtol=1e-11)


def test_squares_and_moduli_are_integrals_on_any_grid():
    for n in (40, 80):
        x = np.arange(n + 1) / n
        slope = roughness(jnp.asarray(np.sin(2 * np.pi * x)), (1 / n,))
        # of (2 pi cos)^2, and the way up and down; midpoints are exact to n^-2
        square = np.sum(slope**2) / n
        np.testing.assert_allclose(square, 2 * np.pi**2, rtol=10 / n**2)
        np.testing.assert_allclose(np.sum(np.abs(slope)) / n, 4, rtol=10 / n**2)


def test_squares_touch_the_norm_from_above():
    penalty = Penalty(lambda u: [roughness(u, SPACING), 3 * u[0, 0]], "l1", 0.3)
    random = np.random.default_rng(0)
    start = jnp.asarray(random.normal(size=SHAPE))
    squares = penalty.squares_at(start)
    assert squares is not None

    def above(u):
        return sum(jnp.sum(p**2) / 2 for p in squares(u))

    touch = penalty.cost(start) - above(start)
    for size in (1e-3, 0.1, 1.0, 10.0):
        u = start + size * jnp.asarray(random.normal(size=SHAPE))
        assert above(u) + touch >= penalty.cost(u) - 1e-12
    # To second order close to the start
    u = start + 1e-4 * jnp.asarray(random.normal(size=SHAPE))
    np.testing.assert_allclose(above(u) + touch, penalty.cost(u), rtol=1e-6)
    np.testing.assert_allclose(penalty.cost(0 * start), 0, atol=1e-15)
    # Far from zero the scale does not matter.
    sharp = Penalty(penalty.prior, "l1", 1e-6)
    np.testing.assert_allclose(
        penalty.cost(1e4 * start), sharp.cost(1e4 * start), rtol=1e-3
    )


def test_no_prior_costs_nothing():
    for norm in ("l2", "l1"):
        penalty = Penalty(None, norm, 0.1)
        assert penalty.squares_at(jnp.ones(3)) is None
        assert penalty.cost(jnp.ones(3)) == 0


@pytest.mark.parametrize(
    ("spacing", "order", "message"),
    [((1.0,), 1, "`spacing`"), ((1.0, 0.0), 1, "`spacing`"), (SPACING, 3, "`order`")],
)
@pytest.mark.usefixtures("user_errors")
def test_bad_input_is_refused(spacing, order, message):
    with pytest.raises(ValueError, match=message):
        roughness(jnp.ones(SHAPE), spacing, order=order)
