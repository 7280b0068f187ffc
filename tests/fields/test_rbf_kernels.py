"""Kernels of radial basis fields: start, motion, active subspace."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields import _rbf_kernels as rbf
from eqjax.groups import E, GLPlus, Semidirect, Translation

AFFINE = Semidirect(Translation(2), GLPlus(2))
POINTS = jnp.asarray(np.random.default_rng(0).normal(size=(31, 2)))
WEIGHTS = jnp.asarray(np.random.default_rng(1).uniform(size=31))
KEY = jax.random.key(0)


@jax.jit
def start(points: Any, weights: Any = WEIGHTS) -> rbf.Kernels:
    # Thirty rounds reach a fixed point for 31 points.
    return rbf.init_kernels(
        points, num_kernels=5, num_features=3, weights=weights, num_rounds=30, key=KEY
    )


transform = jax.jit(rbf.transform_kernels, static_argnums=0)


def precisions(kernels: rbf.Kernels) -> np.ndarray:
    factor = np.asarray(rbf.precision_factors(kernels))
    return factor @ factor.transpose(0, 2, 1)


def test_centers_are_weighted_means_of_their_points() -> None:
    kernels = start(POINTS)
    centers, points = np.asarray(kernels["center"]), np.asarray(POINTS)
    owner = np.argmin(np.sum((points[:, None] - centers) ** 2, axis=-1), axis=1)
    weights = np.asarray(WEIGHTS)
    covariances = []
    for k, center in enumerate(centers):
        own, w = points[owner == k], weights[owner == k]
        mean = np.average(own, axis=0, weights=w)
        np.testing.assert_allclose(center, mean, atol=1e-14)
        covariances.append(np.cov(own.T, aweights=w, ddof=0))
    # A tenth of the variance of five equal parts of all points.
    spread = np.cov(points.T, aweights=np.asarray(WEIGHTS), ddof=0)
    extra = 0.1 * np.trace(spread) / 2 / 5
    # Twice the standard deviations.
    expected = np.linalg.inv(np.stack(covariances) + extra * np.eye(2)) / 4
    np.testing.assert_allclose(precisions(kernels), expected, rtol=1e-12)


def test_points_without_weight_have_no_kernels() -> None:
    kernels = start(POINTS, WEIGHTS.at[5:].set(0.0))
    centers, points = np.asarray(kernels["center"]), np.asarray(POINTS)[:5]
    apart = np.linalg.norm(centers[:, None] - points, axis=-1)
    np.testing.assert_allclose(np.min(apart, axis=1), 0, atol=1e-15)
    # Each has one point, and yet a shape.
    assert np.all(np.isfinite(kernels["factor"]))


def test_the_start_moves_with_the_points() -> None:
    group = E(2)
    g = (jnp.array([0.7, -3.0]), (jnp.array(0.9), jnp.array(1, jnp.int32)))
    moved = start(jax.vmap(lambda x: group.act(g, x))(POINTS))
    expected = transform(group, g, start(POINTS))
    for name, leaf in moved.items():
        # Rounding, times a condition number of at most a hundred.
        np.testing.assert_allclose(leaf, expected[name], atol=1e-12, err_msg=name)


def test_far_from_the_origin_the_start_is_the_same() -> None:
    # Numbers that single precision holds exactly, also a thousand away.
    points = jnp.asarray(np.round(512 * np.asarray(POINTS)) / 512, jnp.float32)
    weights = WEIGHTS.astype(jnp.float32)
    here, there = start(points, weights), start(points + 1000, weights)
    # The spacing of numbers at 1000 is 6e-5.
    np.testing.assert_allclose(there["center"] - 1000, here["center"], atol=2e-4)
    for name in ("factor", "feature"):
        np.testing.assert_allclose(there[name], here[name], atol=1e-4, err_msg=name)


def test_weights_that_are_not_known_yet_never_divide_by_zero() -> None:
    equal = start(POINTS, jnp.ones(31))
    for useless in (jnp.zeros(31), -WEIGHTS):
        for name, leaf in start(POINTS, useless).items():
            np.testing.assert_array_equal(leaf, equal[name], err_msg=name)


def test_transform_kernels_is_an_action() -> None:
    kernels = start(POINTS)
    g = (jnp.array([0.7, -3.0]), jnp.array([[1.5, 0.8], [-0.3, 0.5]]))
    h = (jnp.array([-1.1, 0.2]), jnp.array([[0.4, 1.0], [-1.2, 0.1]]))
    twice = transform(AFFINE, g, transform(AFFINE, h, kernels))
    once = transform(AFFINE, AFFINE.compose(g, h), kernels)
    for name, leaf in once.items():
        np.testing.assert_allclose(twice[name], leaf, rtol=1e-12, err_msg=name)
    d = np.linalg.inv(np.asarray(g[1])).T
    np.testing.assert_allclose(
        precisions(transform(AFFINE, g, kernels)),
        d @ precisions(kernels) @ d.T,
        rtol=1e-12,
    )


def test_widths_and_shared_shapes() -> None:
    kernels = jax.jit(
        lambda: rbf.init_kernels(
            POINTS, num_kernels=3, num_features=1, width=0.2, shared=True, key=KEY
        )
    )()
    np.testing.assert_allclose(precisions(kernels), 25 * np.eye(2)[None], atol=1e-13)


def test_active_subspace_of_one_shape() -> None:
    kernels = start(POINTS)
    shared = {**kernels, "factor": kernels["factor"][:1]}
    found = rbf.active_subspace(shared)
    rebuilt = (found.directions * found.eigenvalues[None]) @ found.directions.T
    np.testing.assert_allclose(rebuilt, precisions(shared)[0], rtol=1e-13)
    assert found.eigenvalues[0] > found.eigenvalues[1]
    np.testing.assert_allclose(jnp.sum(found.importance), 1.0, rtol=1e-15)


def test_no_product_is_left_to_the_platform() -> None:
    for fn, argument in ((start, POINTS), (rbf.active_subspace, start(POINTS))):
        program = jax.jit(fn).lower(argument).as_text()
        assert "HIGHEST" in program
        assert "precision = [DEFAULT" not in program


@pytest.mark.usefixtures("user_errors")
def test_misuse() -> None:
    with pytest.raises(
        ValueError, match=r"`num_kernels` must be at most 31, .* got 32"
    ):
        rbf.init_kernels(POINTS, num_kernels=32, num_features=1, key=KEY)
    with pytest.raises(ValueError, match=r"`weights` must be an array of shape \(31\)"):
        rbf.init_kernels(
            POINTS, num_kernels=3, num_features=1, weights=WEIGHTS[:5], key=KEY
        )
    for useless in (jnp.zeros(31), -WEIGHTS, WEIGHTS.at[3].set(jnp.nan)):
        with pytest.raises(ValueError, match="`weights` must not be negative, nor all"):
            rbf.init_kernels(
                POINTS, num_kernels=3, num_features=1, weights=useless, key=KEY
            )
    kernels = {"center": POINTS, "factor": jnp.ones((31, 4))}
    with pytest.raises(ValueError, match=r"of shape \(31, 3\), or \(1, 3\)"):
        rbf.precision_factors(kernels)
