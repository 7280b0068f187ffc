"""Orthogonal moments: their polynomials, how they turn, what is invariant."""

from __future__ import annotations

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.nn._moments import MomentHead, radial_polynomials

FAMILIES = ("zernike", "pseudo-zernike", "orthogonal-fourier-mellin")
families = pytest.mark.parametrize("family", FAMILIES)
SIZE = 23


def by_factorials(family, n, m, r):
    """The sums of the papers, in rational numbers."""
    f, total = math.factorial, Fraction(0)
    if family == "zernike":
        for s in range((n - m) // 2 + 1):
            low = f((n + m) // 2 - s) * f((n - m) // 2 - s)
            total += Fraction((-1) ** s * f(n - s), f(s) * low) * r ** (n - 2 * s)
    elif family == "pseudo-zernike":
        for s in range(n - m + 1):
            low = f(s) * f(n + m + 1 - s) * f(n - m - s)
            total += Fraction((-1) ** s * f(2 * n + 1 - s), low) * r ** (n - s)
    else:
        for s in range(n + 1):
            low = f(n - s) * f(s) * f(s + 1)
            total += Fraction((-1) ** (n + s) * f(n + s + 1), low) * r**s
    return float(total)


@families
def test_radial_polynomials_are_sums_of_factorials(family):
    radii = [Fraction(k, 7) for k in range(8)]
    order = 20
    found = radial_polynomials(family, order, np.array(radii, float))
    assert len(found) == {"zernike": 121, "pseudo-zernike": 231}.get(family, 441)
    for (n, m), values in found.items():
        if (n + m) % 5 and n != order:
            continue
        want = [by_factorials(family, n, m, r) for r in radii]
        # Jacobi polynomials are of size n, and so is the number of steps.
        np.testing.assert_allclose(values, want, rtol=0, atol=1e-11)


@families
def test_radial_polynomials_are_orthogonal(family):
    """Also beyond the orders where factorials lose all digits."""
    order = 40
    nodes, weights = np.polynomial.legendre.leggauss(order + 2)
    r = (nodes + 1) / 2
    found = radial_polynomials(family, order, r)
    for m in (0, 1, 7, 40):
        orders = [n for n, other in found if other == m]
        values = np.array([found[n, m] for n in orders])
        gram = np.einsum("ir,jr,r->ij", values, values, r * weights / 2)
        gram *= 2 * (np.array(orders) + 1)
        np.testing.assert_allclose(gram, np.eye(len(orders)), rtol=0, atol=1e-8)


def blob(angle, size=64):
    """A sum of Gaussians, turned."""
    c = (2 * np.arange(size) + 1 - size) / size
    x, y = np.meshgrid(c, -c)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = cos * x + sin * y, -sin * x + cos * y
    total = np.zeros((size, size))
    spots = ((0.2, 0.1, 0.12, 1.0), (-0.25, 0.15, 0.1, 0.7), (0.05, -0.3, 0.11, -0.5))
    for u, v, width, height in spots:
        total += height * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * width**2))
    return jnp.asarray(total)


def test_a_rotation_multiplies_moments_by_phases():
    head, angle = MomentHead("zernike", 8, 64), np.deg2rad(37)
    moments = jax.jit(lambda x: head.moments(x))
    orders = np.array([m for _, m in head.orders])
    want = np.asarray(moments(blob(0.0))) * np.exp(-1j * orders * angle)
    # The discretisation of smooth functions: 2e-11 of 0.1.
    np.testing.assert_allclose(moments(blob(angle)), want, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("family", "tolerance"), [("zernike", 1e-10), ("pseudo-zernike", 1e-5)]
)
def test_features_are_invariant_under_rotations(family, tolerance):
    head = MomentHead(family, 8, 64, pairs=True, epsilon=1e-12)
    apply = jax.jit(lambda x: head.apply(x))
    want = np.asarray(apply(blob(0.0)))
    assert want.shape == (head.num_features,)
    found = apply(blob(np.deg2rad(37)))
    size = np.max(np.abs(want))
    np.testing.assert_allclose(found, want, rtol=0, atol=tolerance * size)


@families
def test_features_are_invariant_under_turns_and_flips_of_the_grid(family):
    """Any image, also one that does not vanish at the edge; sizes even and odd."""
    for size in (10, SIZE):
        head = MomentHead(family, 6, size)
        x = np.random.default_rng(0).normal(size=(size, size, 2))
        same = [np.rot90(x, k) for k in range(4)] + [x[::-1], x[:, ::-1]]
        same.append(np.swapaxes(x, 0, 1))
        found = jax.jit(jax.vmap(head.apply))(jnp.asarray(np.stack(same)))
        want = np.broadcast_to(found[:1], found.shape)
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-12)


@families
def test_pairs_keep_phases_that_magnitudes_lose(family):
    head = MomentHead(family, 4, SIZE, pairs=True)
    x = np.random.default_rng(1).normal(size=(SIZE, SIZE))
    stacked = jnp.asarray(np.stack([x, np.rot90(x), x[::-1]]))
    found = np.asarray(jax.jit(jax.vmap(head.apply))(stacked))
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-12)
    moments = np.asarray(head.moments(jnp.asarray(x)))
    products = [
        moments[i] * np.conj(moments[j])
        for i, (_, m) in enumerate(head.orders)
        for j in range(i + 1, len(head.orders))
        if m == head.orders[j][1] > 0
    ]
    count, size = len(head.orders), len(products)
    assert found.shape[1] == count + 2 * size
    np.testing.assert_allclose(found[0, count : count + size], np.real(products))
    np.testing.assert_allclose(found[0, count + size :], np.imag(products))
    # A reflection conjugates.
    np.testing.assert_allclose(found[2, count + size :], -np.imag(products))


def test_moments_rebuild_a_smooth_image():
    """They are the coefficients of an orthogonal expansion."""
    head, size = MomentHead("zernike", 30, 64), 64
    c = (2 * np.arange(size) + 1 - size) / size
    x, y = np.meshgrid(c, -c)
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    image = blob(0.0)
    moments = np.asarray(head.moments(image))
    radial = radial_polynomials("zernike", 30, r)
    total = np.zeros((size, size))
    for (n, m), a in zip(head.orders, moments, strict=True):
        total += (1 + (m > 0)) * np.real(a * np.exp(1j * m * angle)) * radial[n, m]
    inside = r < 0.9
    # What the orders above 30 hold of Gaussians of width 0.1.
    np.testing.assert_allclose(total[inside], image[inside], rtol=0, atol=0.02)


def test_derivatives_are_finite_at_zero_in_float32():
    head = MomentHead("zernike", 5, 9, pairs=True)
    gradient = jax.grad(lambda x: jnp.sum(head.apply(x)))(jnp.zeros((9, 9), "float32"))
    assert gradient.dtype == jnp.float32
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MomentHead("hu", 3, 9), "`family` must be one of"),  # pyright: ignore[reportArgumentType]
        (lambda: MomentHead("zernike", -1, 9), "`max_order` must be an integer"),
        (lambda: MomentHead("zernike", 3, 9, epsilon=0.0), "`epsilon` must be"),
        (
            lambda: MomentHead("zernike", 3, 9).apply(jnp.ones((9, 8))),
            "`x` must be an image of shape",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
