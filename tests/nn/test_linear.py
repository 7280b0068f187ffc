"""Linear layers: all equivariant maps, of the right size, in every layout.

That they commute with their groups is in tests/registry_nn_linear.py.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from eqjax import groups, o3, reps
from eqjax.nn._bias import Bias
from eqjax.nn._bilinear import Bilinear
from eqjax.nn._hyper_linear import HyperLinear
from eqjax.nn._linear import Linear
from tests.registry_nn_linear import feature, filled

KEY = jax.random.key(3)
O3 = groups.O(3)
SCALAR, VECTOR = reps.irrep(O3, "0e"), reps.irrep(O3, "1o")
D4 = groups.Dihedral(4)
SPINOR = reps.irrep(groups.SU(2), "1/2")
MIXINGS = ("depthwise", "full")
# The irreps' basis, orbits of permutations, and constraints (no list of irreps).
DENSE = [
    (reps.standard(O3) ** 2 + SCALAR, 2 * SCALAR + reps.irrep(O3, "2e")),
    (SPINOR, reps.standard(groups.SU(2))),
    (reps.regular(D4), reps.regular(D4) + reps.trivial(D4)),
    (reps.standard(groups.Symmetric(3)) ** 2, reps.standard(groups.Symmetric(3))),
    (reps.standard(groups.SE(2)), reps.standard(groups.SE(2))),
    (o3.Degrees(2), o3.Degrees(1)),
]


@pytest.mark.parametrize(("rep_in", "rep_out"), DENSE, ids=str)
def test_spans_all_equivariant_maps(rep_in, rep_out):
    layer = Linear(rep_in, rep_out, 1, 1)
    weights, unravel = ravel_pytree(layer.init(key=KEY))
    maps = reps.hom(rep_in, rep_out)
    assert weights.size == maps.num_maps
    columns = jnp.eye(rep_in.dim)[:, :, None]
    apply: Any = layer.apply

    @jax.jit
    @jax.vmap
    def matrix(row):
        params = unravel(row)
        return jax.vmap(lambda x: apply(params, x)[:, 0], out_axes=1)(columns)

    found = np.asarray(matrix(jnp.eye(weights.size))).reshape(weights.size, -1)
    basis = maps.basis.reshape(weights.size, -1)
    # Entries of size one: singular values are zero to rounding, or far from it.
    assert np.linalg.matrix_rank(found, tol=1e-8) == weights.size
    both = np.concatenate([found, basis])
    assert np.linalg.matrix_rank(both, tol=1e-8) == weights.size


def test_layouts_agree():
    """Ragged, dense and mixed layers with the same weights are the same map."""
    rep_in, rep_out = 3 * SCALAR + 2 * VECTOR, 2 * SCALAR + 4 * VECTOR
    ragged = Linear(rep_in, rep_out, bias=True)
    dense = Linear(rep_in, rep_out, 1, 1, bias=True)
    mixed = Linear(rep_in, rep_out, 1, None, bias=True)

    @jax.jit
    def apply(params, x):
        flat = reps.merge(rep_in, x)[:, None]
        same = params | {"bias": {"weights": params["bias"]["0e"][:, None]}}
        y: Any = (
            ragged.apply(params, x),
            mixed.apply(params, flat),
            dense.apply(same, flat),
        )
        return reps.merge(rep_out, y[0]), reps.merge(rep_out, y[1]), y[2][:, 0]

    params = filled(ragged.init(key=KEY), KEY)
    want, *others = apply(params, feature(KEY, rep_in, None))
    for got in others:
        # Sums of a few products of size one.
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


def test_a_grid_is_many_points():
    layer = Linear(reps.regular(D4), reps.irrep(D4, 1), 2, 3, bias=True)
    params = filled(layer.init(key=KEY), KEY)
    x = feature(KEY, layer.rep_in, 2, grid=(5, 3))

    def by_points(params, x):
        return jax.vmap(jax.vmap(lambda x: layer.apply(params, x)))(x)

    want = jax.jit(by_points)(params, x)
    got = jax.jit(layer.apply)(params, x)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


def test_degrees_are_those_of_o3():
    degrees = o3.Degrees(2)
    layer = Linear(degrees, degrees, 2, 3)
    params = layer.init(key=KEY)
    weights = jnp.concatenate([params["weights"][r.name] for r in degrees.irreps])
    x = jax.random.normal(KEY, (9, 2))
    np.testing.assert_array_equal(layer.apply(params, x), o3.linear(weights, x))


VARIANCES = [
    *(Linear(a, b, 16, 64) for a, b in (DENSE[0], *DENSE[2:4])),
    HyperLinear(VECTOR, VECTOR, 16, 64, condition_size=16),
    Bilinear(2 * SCALAR + 2 * VECTOR, SCALAR + VECTOR, 16, 64),
    Bilinear(SCALAR + VECTOR, SCALAR + VECTOR, 16, 64, mixing="full"),
]


@pytest.mark.parametrize("layer", VARIANCES, ids=lambda layer: str(layer)[:60])
def test_starts_with_unit_variance(layer: Any):
    """Unit variance in, unit variance out, in the mean over weights and inputs."""
    params = layer.init(key=KEY)
    num, shape = 3 if isinstance(layer, Bilinear) else 2, (layer.rep_in.dim, 16)
    keys = jax.random.split(jax.random.key(8), (200, num))

    def apply(keys):
        xs = [jax.random.normal(key, shape) for key in keys[1:]]
        if isinstance(layer, HyperLinear):
            xs = [jax.random.normal(keys[0], (layer.condition_size,)), *xs]
        return layer.apply(params, *xs)

    y = jax.jit(jax.vmap(apply))(keys)
    # Weights are drawn once: some 1,000 of them leave errors of a few percent; the
    # single components of a product have 64 weights each.
    variances = np.mean(np.square(y), axis=(0, 2))
    assert np.all(np.abs(variances - 1) < (0.5 if num == 3 else 0.2)), variances
    assert abs(np.mean(variances) - 1) < 0.2


def test_bias_where_something_is_invariant():
    assert Bias(VECTOR, 3).init(key=KEY) == {}
    x = jnp.ones((3, 3))
    assert Bias(VECTOR, 3).apply({}, x) is x
    params = Bias(reps.regular(D4), 3).init(key=KEY)
    assert params["weights"].shape == (1, 3)
    layer = Bias(reps.standard(O3) ** 2, 1)
    y: Any = layer.apply({"weights": jnp.ones((1, 1))}, jnp.zeros((9, 1)))
    # The basis is orthonormal, of either sign.
    want = np.eye(3).ravel() / np.sqrt(3)
    np.testing.assert_allclose(np.abs(y[:, 0]), want, rtol=0, atol=1e-14)


def test_hyper_linear_is_a_sum_of_linear_layers():
    layer = HyperLinear(VECTOR, VECTOR, 2, 3, condition_size=2)
    params = layer.init(key=KEY)
    x, z = jax.random.normal(KEY, (3, 2)), jnp.array([0.7, -2.0])
    plain: Any = Linear(VECTOR, VECTOR, 2, 3)
    first, second = (
        plain.apply({"weights": {"1o": w}}, x) for w in params["weights"]["1o"]
    )
    want = z[0] * first + z[1] * second
    got: Any = layer.apply(params, z, x)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


def test_bilinear_mixings_agree():
    """Depthwise weights on the diagonal of the full ones, scales apart."""
    rep = SCALAR + VECTOR
    depthwise, full = (Bilinear(rep, rep, 2, 2, mixing=m) for m in MIXINGS)
    weights = depthwise.init(key=KEY)
    spread = jax.tree.map(
        lambda w: jnp.einsum("nw,pw,qw->npqw", w, jnp.eye(2), jnp.eye(2)), weights
    )
    x, y = jax.random.normal(KEY, (2, 4, 2))
    # The full one has 4 terms for each of the depthwise one, and divides by 2 more.
    got = 2 * jax.jit(full.apply)(spread, x, y)
    want = jax.jit(depthwise.apply)(weights, x, y)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


def test_products_of_sparse_and_dense_tables_agree(monkeypatch):
    layer = Bilinear(SCALAR + VECTOR, SCALAR + VECTOR, 2, 3)
    params = layer.init(key=KEY)
    x, y = jax.random.normal(KEY, (2, 4, 2))
    want = jax.jit(lambda: layer.apply(params, x, y))()
    monkeypatch.setattr("eqjax.nn._bilinear._MAX_TERMS", 2)
    got = jax.jit(lambda: layer.apply(params, x, y))()
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("user_errors")
def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="different groups"):
        Linear(VECTOR, SPINOR, 1, 1)
    with pytest.raises(ValueError, match="must be a sum of irreps"):
        Linear(reps.standard(O3) ** 2, VECTOR, None, 1)
    with pytest.raises(ValueError, match="share an irrep"):
        Linear(SCALAR, VECTOR, 1, 1).init(key=KEY)
    with pytest.raises(ValueError, match="`mixing` must be one of"):
        Bilinear(VECTOR, VECTOR, 1, 1, mixing="some")
    with pytest.raises(ValueError, match="No product of two features"):
        Bilinear(SCALAR, VECTOR, 1, 1).init(key=KEY)
    layer = Linear(VECTOR, VECTOR, 2, 2)
    params = layer.init(key=KEY)
    with pytest.raises(ValueError, match=r"`x` must be an array of shape"):
        layer.apply(params, jnp.ones((3, 5)))
    with pytest.raises(ValueError, match="`params` must have the dtype"):
        layer.apply(params, jnp.ones((3, 2), jnp.float32))


def test_sums_of_irreps_are_not_moved():
    """Copies of an irrep in several places are its channels, in order."""
    rep = 2 * VECTOR + SCALAR + VECTOR
    layer = Linear(rep, rep, 2, 2)
    params = {"weights": {"0e": jnp.eye(2)[None], "1o": jnp.eye(6)[None]}}
    x = jax.random.normal(KEY, (rep.dim, 2))
    y = jax.jit(layer.apply)(params, x)
    np.testing.assert_allclose(y, x, rtol=0, atol=1e-15)
