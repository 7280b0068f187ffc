"""Symmetric contractions against dense tensors."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, o3, reps

KEY = jax.random.key(0)
PRODUCT = o3.SymmetricContraction(o3.Degrees(2), o3.Degrees(1), 3, channels=2)


def dense(product, n):
    """The symmetric tensor of polynomial n, from its values (polarisation)."""
    order = product.paths[n].order
    dim = product.degrees.dim
    weights = jnp.zeros((product.num_paths, 1)).at[n].set(1.0)

    single = o3.SymmetricContraction(
        product.degrees, product.degrees_out, product.order
    )

    def value(x):
        return single.apply({}, x[:, None], weights=weights)[:, 0]

    f = value
    for _ in range(order):
        f = jax.jacfwd(f)
    factorial = np.prod(range(1, order + 1))
    return np.asarray(jax.jit(f)(jnp.zeros(dim))) / factorial


def test_numbers_of_polynomials():
    """Against the multiplicities in the symmetric powers of the whole feature."""
    for degrees, out, order, count in ((2, 1, 3, 17), (1, 1, 4, 14)):
        product = o3.SymmetricContraction(o3.Degrees(degrees), o3.Degrees(out), order)
        want = sum(
            reps.hom(
                reps.symmetric_power(product.degrees, nu), product.degrees_out
            ).basis.shape[0]
            if nu > 1
            else reps.hom(product.degrees, product.degrees_out).basis.shape[0]
            for nu in range(1, order + 1)
        )
        assert product.num_paths == want == count


def test_tensors_are_symmetric_orthogonal_and_of_unit_variance():
    for order in (2, 3):
        chosen = [n for n, path in enumerate(PRODUCT.paths) if path.order == order]
        tensors = [dense(PRODUCT, n) for n in chosen[:2] + chosen[-2:]]
        for tensor in tensors:
            for axes in itertools.permutations(range(1, order + 1)):
                np.testing.assert_allclose(
                    tensor, tensor.transpose(0, *axes), atol=1e-13
                )
            squares = np.sum(tensor**2, axis=tuple(range(1, order + 1)))
            np.testing.assert_allclose(squares[squares > 1e-9], 1, atol=1e-12)
        flat = np.array(tensors).reshape(len(tensors), -1)
        gram = flat @ flat.T
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-12)


def test_commutes_with_rotations_and_reflections():
    x = jax.random.normal(KEY, (9, 2))
    params = PRODUCT.init(key=KEY)
    turn, _ = groups.O(3).sample(key=jax.random.key(1))

    @jax.jit
    def both(flip):
        g = (turn, flip)
        moved = PRODUCT.apply(params, PRODUCT.degrees.apply(g, x))
        return moved, PRODUCT.degrees_out.apply(g, PRODUCT.apply(params, x))

    for flip in (0, 1):
        have, want = both(jnp.asarray(flip, jnp.int32))
        np.testing.assert_allclose(have, want, atol=1e-13)


def test_spans_what_e3nn_spans():
    """Third order into vectors: the same space of symmetric tensors."""
    import e3nn_jax

    basis = e3nn_jax.reduced_symmetric_tensor_product_basis(
        e3nn_jax.Irreps("0e + 1o + 2e"), 3, keep_ir=[e3nn_jax.Irrep(1, -1)]
    )
    theirs = np.asarray(basis.array).reshape(9**3, -1, 3).transpose(1, 2, 0)
    chosen = [
        n for n, path in enumerate(PRODUCT.paths) if (path.out, path.order) == (1, 3)
    ]
    ours = np.array([dense(PRODUCT, n)[1:4].reshape(3, -1) for n in chosen])
    assert len(ours) == len(theirs) == 5
    ours, theirs = ours.reshape(5, -1), theirs.reshape(5, -1)
    ours /= np.linalg.norm(ours, axis=1, keepdims=True)
    rest = theirs - (theirs @ ours.T) @ ours
    # e3nn computes its basis in float64 from a numerical null space.
    np.testing.assert_allclose(rest, 0, atol=1e-6)


def test_derivatives_match_differences_and_batches_match_loops():
    params = PRODUCT.init(key=KEY)
    keys = jax.random.split(KEY, 4)
    x, dx = (jax.random.normal(key, (3, 9, 2)) for key in keys[:2])
    weights = jax.random.normal(keys[2], (3, 17, 2))

    def f(x, weights):
        return jnp.sum(
            jax.vmap(lambda x, w: PRODUCT.apply({}, x, weights=w))(x, weights) ** 2
        )

    def df(x, weights):
        return jnp.vdot(jax.grad(f)(x, weights), dx)

    step = 1e-5

    @jax.jit
    def run():
        exact = df(x, weights), jax.jvp(lambda x: df(x, weights), (x,), (dx,))[1]
        differences = [
            (g(x + step * dx, weights) - g(x - step * dx, weights)) / (2 * step)
            for g in (f, df)
        ]
        public = jax.vmap(PRODUCT.apply, (None, 0))(params, x)
        first = jax.vmap(PRODUCT.apply, (None, 1), 1)(params, x.swapaxes(0, 1))
        loop = jnp.stack([PRODUCT.apply(params, each) for each in x])
        return exact, differences, public, first, loop

    exact, differences, public, first, loop = run()
    np.testing.assert_allclose(exact, differences, rtol=1e-6)
    np.testing.assert_allclose(public, loop, atol=1e-13)
    np.testing.assert_allclose(first.swapaxes(0, 1), loop, atol=1e-13)


def test_zero_has_finite_derivatives():
    params = PRODUCT.init(key=KEY)
    jacobian = jax.jacrev(lambda x: PRODUCT.apply(params, x))(jnp.zeros((9, 2)))
    assert np.all(np.isfinite(jacobian))
    # Only the linear polynomials have one.
    assert np.linalg.matrix_rank(jacobian[:, 0, :, 0]) == 4


def test_bad_input():
    with pytest.raises(ValueError, match="must belong to one group"):
        o3.SymmetricContraction(o3.Degrees(1), o3.Degrees(1, "none"), 2)
    with pytest.raises(ValueError, match="`order` must be an integer of at least 1"):
        o3.SymmetricContraction(o3.Degrees(1), o3.Degrees(1), 0)
    with pytest.raises(ValueError, match=r"shape \(9, 2\), got shape \(4, 2\)"):
        PRODUCT.apply(PRODUCT.init(key=KEY), jnp.ones((4, 2)))
    with pytest.raises(ValueError, match="`weights` must be given"):
        PRODUCT.apply({}, jnp.ones((9, 2)))
    with pytest.raises(ValueError, match="must have one dtype"):
        PRODUCT.apply(PRODUCT.init(dtype="float32", key=KEY), jnp.ones((9, 2)))
