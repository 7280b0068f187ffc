"""Features split into irreps, and their exchange with e3nn."""

from __future__ import annotations

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, reps
from tests.reps.cases import sample_matrices

tensors = reps.standard(groups.O(3)) ** 2 + 2 * reps.irrep(groups.O(3), "2e")


def test_split_and_merge_are_inverse_and_equivariant():
    group = tensors.group
    x = jax.random.normal(jax.random.key(0), (tensors.dim, 2))
    parts = reps.split(tensors, x)
    assert list(parts) == sorted(parts)
    assert sum(part.size for part in parts.values()) == x.size
    np.testing.assert_allclose(reps.merge(tensors, parts), x, rtol=0, atol=1e-14)
    for m in sample_matrices(group, 3):
        g = group.from_matrix(jnp.asarray(m))
        moved = reps.split(tensors, tensors.apply(g, x))
        for irrep, part in parts.items():
            want = irrep.apply(g, part)
            np.testing.assert_allclose(moved[irrep], want, rtol=0, atol=1e-13)


def test_irreps_go_to_e3nn_and_back():
    for text in ("8x0e+4x1o", "1x1o+2x0e+1x1o", "3x2o"):
        rep = reps.from_irreps(text)
        assert reps.to_irreps(rep) == e3nn_jax.Irreps(text)
        assert rep.dim == e3nn_jax.Irreps(text).dim
    assert reps.from_irreps(e3nn_jax.Irreps("2x1e")) == reps.from_irreps("2x1e")


def test_components_stand_as_in_e3nn():
    """The matrix of a sum is e3nn's."""
    irreps = e3nn_jax.Irreps("2x1o + 0e + 2e + 1x3o")
    rep = reps.from_irreps(irreps)
    # Not near the identity, where e3nn's matrices have errors of 3e-10.
    for m in sample_matrices(groups.O(3), 4)[[0, 2, 3]]:
        g = groups.O(3).from_matrix(jnp.asarray(m))
        with jax.numpy_dtype_promotion("standard"):
            want = irreps.D_from_matrix(jnp.asarray(m))
        np.testing.assert_allclose(rep.rho(g), want, rtol=0, atol=1e-14)


def test_arrays_go_to_e3nn_and_back():
    irreps = e3nn_jax.Irreps("2x1o + 3x0e + 1x2e + 1x1o")
    array = e3nn_jax.IrrepsArray(irreps, jnp.arange(float(irreps.dim)))
    parts = reps.from_irreps_array(array)
    assert {rep.name: part.shape for rep, part in parts.items()} == {
        "0e": (1, 3),
        "1o": (3, 3),
        "2e": (5, 1),
    }
    back = reps.to_irreps_array(parts, irreps)
    assert back.irreps == irreps
    np.testing.assert_array_equal(back.array, array.array)
    assert reps.to_irreps_array(parts).irreps == "3x0e + 3x1o + 1x2e"


def test_a_rotation_commutes_with_the_exchange():
    irreps = e3nn_jax.Irreps("2x1o + 1x2e")
    array = e3nn_jax.IrrepsArray(irreps, jax.random.normal(jax.random.key(1), (11,)))
    (m,) = sample_matrices(groups.O(3), 5)[4:]
    g = groups.O(3).from_matrix(jnp.asarray(m))
    with jax.numpy_dtype_promotion("standard"):
        want = array.transform_by_matrix(jnp.asarray(m))
    moved = {
        irrep: irrep.apply(g, part)
        for irrep, part in reps.from_irreps_array(array).items()
    }
    got = reps.to_irreps_array(moved, irreps)
    np.testing.assert_allclose(got.array, want.array, rtol=0, atol=1e-13)


def test_arrays_are_batched_by_vmap():
    batch = e3nn_jax.IrrepsArray("2x1o + 0e", jnp.arange(14.0).reshape(2, 7))
    parts = jax.vmap(reps.from_irreps_array)(batch)
    back = jax.vmap(lambda parts: reps.to_irreps_array(parts, batch.irreps))(parts)
    np.testing.assert_array_equal(back.array, batch.array)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reps.split(tensors, jnp.ones(3)), r"`x` must be an array of shape"),
        (lambda: reps.merge(tensors, {}), "`parts` must hold arrays"),
        (lambda: reps.to_irreps(tensors), "must be a sum of irreps of O"),
        (lambda: reps.to_irreps(reps.irrep(groups.SO(3), 1)), "sum of irreps of O"),
        (lambda: reps.from_irreps("0x0e"), "at least one irrep"),
        (
            lambda: reps.from_irreps_array(
                e3nn_jax.IrrepsArray("1o", jnp.ones((2, 3)))
            ),
            "Use `jax.vmap`",
        ),
        (
            lambda: reps.to_irreps_array(
                {reps.irrep(groups.SO(3), 1): jnp.ones((3, 1))}
            ),
            r"irreps of O\(3\)",
        ),
        (
            lambda: reps.to_irreps_array(
                {reps.irrep(groups.O(3), "1o"): jnp.ones((3, 2))}, "1x1o"
            ),
            "multiplicities",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()
