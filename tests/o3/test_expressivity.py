"""The tables of expressivity and interactability."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.o3._clebsch_gordan import clebsch_gordan
from eqjax.o3._expressivity import expressivity, interactability
from eqjax.o3._matrix_product import matrix_product
from eqjax.o3._signal_products import gaunt_product, vector_signal_product

# L = 1, .., 6.
ALL = (5, 15, 34, 65, 111, 175)
EVEN = (4, 11, 23, 42, 69, 106)


def degrees_1_to_6(*quick: int) -> list[Any]:
    """Some of them in the default suite."""
    return [
        degree if degree in quick else pytest.param(degree, marks=pytest.mark.slow)
        for degree in range(1, 7)
    ]


def paths(degree: int) -> list[tuple[int, int, int]]:
    return [
        (a, b, c)
        for a in range(degree + 1)
        for b in range(degree + 1)
        for c in range(abs(a - b), min(a + b, degree) + 1)
    ]


def full_product(degree: int) -> Any:
    """One weight for each coupling."""

    table = np.zeros((len(paths(degree)), *3 * ((degree + 1) ** 2,)))
    for path, (a, b, c) in zip(table, paths(degree), strict=True):
        block = path[a * a : (a + 1) ** 2, b * b : (b + 1) ** 2, c * c : (c + 1) ** 2]
        block[:] = clebsch_gordan(a, b, c)

    @jax.jit
    def product(weights, x, y):
        right = jnp.tensordot(jnp.asarray(table), y[:, 0], axes=([2], [0]))
        both = jnp.tensordot(right, x[:, 0], axes=([1], [0]))
        return (weights @ both)[:, None]

    return product


def rank_one_weights(degree: int, *, types: int | None = None) -> dict[str, Any]:
    shape = (degree + 1, 1) if types is None else (types, degree + 1, 1)
    return {name: np.ones(shape, np.float32) for name in ("x", "y", "out")}


@pytest.mark.parametrize("degree", degrees_1_to_6(3))
def test_the_full_product_has_one_dimension_for_each_coupling(degree: int):
    product, weights = full_product(degree), np.ones(len(paths(degree)))
    assert len(weights) == ALL[degree - 1]
    assert interactability(product, degree, weights) == set(paths(degree))
    assert expressivity(product, degree, weights) == ALL[degree - 1]


@pytest.mark.parametrize("degree", degrees_1_to_6(2))
def test_the_gaunt_product_reaches_even_couplings_with_rank_one(degree: int):
    @jax.jit
    def product(weights, x, y):
        return gaunt_product(x, y, max_degree_out=degree, weights=weights)

    weights = rank_one_weights(degree)
    reached = interactability(product, degree, weights)
    assert reached == {path for path in paths(degree) if sum(path) % 2 == 0}
    assert len(reached) == EVEN[degree - 1]
    # Of 3 (L + 1) weights, two scales and a power of the degree have no effect.
    assert expressivity(product, degree, weights) == 3 * (degree + 1) - 2


@pytest.mark.parametrize("degree", degrees_1_to_6(4))
def test_the_vector_signal_product_reaches_the_odd_couplings(degree: int):
    @jax.jit
    def product(weights, x, y):
        return vector_signal_product(x, y, max_degree_out=degree, weights=weights)

    weights = rank_one_weights(degree, types=2)
    reached = interactability(product, degree, weights)
    assert reached == {path for path in paths(degree) if sum(path) % 2 == 1}
    assert len(reached) == ALL[degree - 1] - EVEN[degree - 1]
    want = (1, 4, 11, 19, 25, 31)[degree - 1]
    assert expressivity(product, degree, weights) == want


@pytest.mark.parametrize("degree", degrees_1_to_6(2))
def test_the_matrix_product_reaches_nearly_all_with_rank_one(degree: int):
    @jax.jit
    def product(weights, x, y):
        return matrix_product(x, y, max_degree_out=degree, weights=weights)

    weights = rank_one_weights(degree)
    reached = interactability(product, degree, weights)
    assert reached <= set(paths(degree))
    # 6j symbols vanish by accident in three couplings from degree 5 on.
    assert len(reached) == ALL[degree - 1] - (3 if degree > 4 else 0)
    assert expressivity(product, degree, weights) == 3 * (degree + 1) - 2


def test_degrees_may_differ_and_float32_is_left_as_it_was():
    @jax.jit
    def product(weights, x, y):
        assert x.dtype == y.dtype == weights["x"].dtype == jnp.float64
        return gaunt_product(x, y, max_degree_out=1, weights=weights)

    weights = {
        name: np.ones((degree + 1, 1), np.float32)
        for name, degree in (("x", 2), ("y", 1), ("out", 1))
    }
    with jax.enable_x64(False):
        assert interactability(product, 2, weights, max_degree_y=1) == {
            *((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (2, 1, 1))
        }
        # All five couplings: of 3 + 2 + 2 weights two scales have no effect.
        assert expressivity(product, 2, weights, max_degree_y=1) == 5
        assert jnp.ones(1).dtype == jnp.float32


def test_weights_without_effect_do_not_count():
    @jax.jit
    def product(weights, x, y):
        return weights[0] * weights[1] * x[:1] * y[:1] + 0 * weights[2]

    assert expressivity(product, 1, np.ones(3)) == 1
    assert interactability(product, 1, np.ones(3)) == {(0, 0, 0)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expressivity(lambda w, x, y: x, 1, {}), "at least one weight"),
        (lambda: expressivity(lambda w, x, y: x, -1, [1.0]), "`max_degree`"),
        (
            lambda: interactability(lambda w, x, y: x[:3], 1, [1.0]),
            r"must be a feature .* got shape \(3, 1\)",
        ),
        (
            lambda: interactability(lambda w, x, y: x, 1, [1.0], max_degree_y=-1),
            "`max_degree_y`",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
