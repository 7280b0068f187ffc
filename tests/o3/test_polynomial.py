"""The primitive of sparse polynomials against plain loops, differentiated by JAX."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.o3._polynomial import (
    Term,
    Terms,
    derivative,
    is_linear,
    polynomial,
    transposed,
)

# out (3 rows, the last one without a term) of x (2 components, up to cubic), y (3
# components, linear) and w (2 components, linear).
TERMS = Terms(
    [
        Term(0, ((0,), (0,), (0,)), 1.5),
        Term(0, ((0, 1), (2,), (0,)), -1.5),
        Term(0, ((1, 1, 1), (1,), (1,)), 0.5),
        Term(1, ((), (2,), (1,)), 2.0),
        Term(1, ((0, 0), (0,), (0,)), 1.0),
    ],
    (3, 2, 3, 2),
)
KEYS = jax.random.split(jax.random.key(0), 6)
X, Y, W = (jax.random.normal(KEYS[i], (n, 5)) for i, n in enumerate((2, 3, 2)))
DX, DY, DW = (jax.random.normal(KEYS[3 + i], a.shape) for i, a in enumerate((X, Y, W)))


def product(x, y, w):
    return polynomial(TERMS, x, y, w)


def loop(x, y, w):
    """The same by hand, with JAX's own derivatives."""
    rows = [0.0 * (x[0] * y[0] * w[0]) for _ in range(3)]
    for row, monomials, coefficient in TERMS.entries:
        piece = coefficient
        for a, mono in zip((x, y, w), monomials, strict=True):
            for i in mono:
                piece = piece * a[i]
        rows[row] = rows[row] + piece
    return jnp.stack(rows)


def assert_same(f, *args):
    """With `product` in place of `loop`, compiled."""
    want = jax.jit(lambda *args: f(loop)(*args))(*args)
    have = jax.jit(lambda *args: f(product)(*args))(*args)
    # Sums of a few terms of size one, in another order.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), have, want)


def test_values_eager_and_compiled():
    np.testing.assert_allclose(product(X, Y, W), loop(X, Y, W), atol=1e-14)
    assert_same(lambda f: f, X, Y, W)


def test_derivatives_of_every_order():
    def pull_back(f):
        return lambda x, y, w, ct: jax.vjp(f, x, y, w)[1](ct)

    assert_same(pull_back, X, Y, W, jax.random.normal(KEYS[0], (3, 5)))
    assert_same(lambda f: lambda *t: jax.jvp(f, (X, Y, W), t)[1], DX, DY, DW)

    def total(f):
        return lambda x, y, w: jnp.sum(jnp.sin(f(x, y, w)))

    assert_same(lambda f: jax.hessian(total(f)), X, Y, W)
    assert_same(lambda f: jax.jacfwd(jax.jacfwd(f)), X, Y, W)

    def third(f):
        def along(g):
            return lambda x, y, w: jnp.vdot(jax.grad(g)(x, y, w), DX)

        return jax.grad(along(along(total(f))), argnums=(0, 1, 2))

    assert_same(third, X, Y, W)


def test_linearize_remat_and_scan():
    def linear(f):
        return lambda x, y, w, t: jax.linearize(lambda x: f(x, y, w), x)[1](t)

    assert_same(linear, X, Y, W, DX)

    def steps(f):
        def step(carry, _):
            out = jax.checkpoint(f)(carry[:2], carry, W)
            return carry + 0.1 * out, jnp.sum(out)

        return jax.grad(lambda y: jnp.sum(jax.lax.scan(step, y, length=3)[0]))

    assert_same(steps, Y)


AXES = [
    axes
    for axes in itertools.product((0, 1, 2, None), repeat=3)
    if any(axis is not None for axis in axes)
][::5]


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_vmap_is_a_loop_for_every_axis(axes):
    def spread(a, axis):
        if axis is None:
            return a
        return jnp.stack([a, 2 * a, a - 1, -a], axis=axis)

    args = [spread(a, axis) for a, axis in zip((X, Y, W), axes, strict=True)]
    for out_axis in (0, 1):
        assert_same(lambda f: jax.vmap(f, axes, out_axis), *args)  # noqa: B023


def test_pull_back_of_vmap_sums_what_was_shared():
    def batch(f):
        public = jax.vmap(f, (0, 0, None))
        return lambda x, y, w: jax.grad(
            lambda *args: jnp.sum(public(*args) ** 2), argnums=(0, 1, 2)
        )(x, y, w)

    assert_same(batch, jnp.stack([X, DX]), jnp.stack([Y, DY]), W)
    # The other way: gradients of each example, of weights that all share.
    assert_same(
        lambda f: jax.vmap(jax.grad(lambda w, x: jnp.sum(f(x, Y, w) ** 2)), (None, 0)),
        W,
        jnp.stack([X, DX]),
    )


def test_broadcast_arguments():
    """Channels of size 1, whose cotangents are summed; also where all are of size 1."""
    assert_same(
        lambda f: (
            lambda *args: (f(*args), jax.grad(lambda *a: jnp.sum(f(*a) ** 2))(*args))
        ),
        X[:, :1],
        Y,
        W[:, :1],
    )


def test_half_precision_stays_and_sums_in_float32():
    args = [a.astype(jnp.bfloat16) for a in (X, Y, W)]
    out = product(*args)
    assert out.dtype == jnp.bfloat16
    want = loop(*[a.astype(jnp.float32) for a in args])
    np.testing.assert_array_equal(out, want.astype(jnp.bfloat16))


def test_results_in_a_shard_map_vary_as_their_arguments_do():
    """What is shared is marked, so that its cotangents are summed over devices."""
    mesh = jax.make_mesh((1,), ("devices",), (jax.sharding.AxisType.Auto,))
    spec, shared = jax.P(None, "devices"), jax.P()

    def gradient(x, y, w):
        return jax.grad(lambda w: jnp.sum(product(x, y, w)))(w)

    in_specs = (spec, spec, shared)
    mapped = jax.shard_map(gradient, mesh=mesh, in_specs=in_specs, out_specs=shared)
    # The types tell that the sum is taken: the result is the same on all devices.
    np.testing.assert_allclose(
        jax.jit(mapped)(X, Y, W[:, :1]), gradient(X, Y, W[:, :1]), atol=1e-13
    )
    with pytest.raises(ValueError, match="out_specs"):
        jax.shard_map(product, mesh=mesh, in_specs=in_specs, out_specs=shared)(
            X, Y, W[:, :1]
        )


def test_terms_are_values():
    again = Terms(TERMS.entries[::-1], TERMS.dims)
    assert again == TERMS
    assert hash(again) == hash(TERMS)
    assert Terms(TERMS.entries[1:], TERMS.dims) != TERMS
    assert [is_linear(TERMS, q) for q in range(3)] == [False, True, True]
    assert transposed(transposed(TERMS, 1), 1) == TERMS
    # d (x0 x1) and d (x1^3) = 3 x1^2 dx1, the tangent first.
    assert Term(0, ((1,), (1, 1), (1,), (1,)), 1.5) in derivative(TERMS, 0).entries
