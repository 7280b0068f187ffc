"""Laws of layers that change the grid or the group: pooling, restriction."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, nn, reps
from eqjax.testing import act_on_field

C4, D4, D8 = groups.Cyclic(4), groups.Dihedral(4), groups.Dihedral(8)
CUBE = groups.Polyhedral("octahedral")
KEY = jax.random.key(5)

LAYERS: dict[str, Any] = {
    "average": nn.AveragePool(reps.regular(D4), 2, kernel_size=2),
    "average, overhanging": nn.AveragePool(
        reps.standard(D4), 2, kernel_size=3, stride=1, padding="zero"
    ),
    "blur": nn.BlurPool(reps.regular(D8), 2, kernel_size=4),
    "max": nn.MaxPool(reps.regular(D4), 2, kernel_size=4, stride=2, padding="zero"),
    "max of norms": nn.NormMaxPool(
        2 * reps.standard(D4) + reps.trivial(D4),
        2,
        kernel_size=3,
        stride=1,
        padding="zero",
    ),
    "max of norms in space": nn.NormMaxPool(reps.standard(CUBE), 2, kernel_size=2),
    "upsampling": nn.Upsample(reps.standard(D4), 2, factor=3),
    "restriction of regular": nn.Restrict(reps.regular(D8), D4, 2),
    "restriction of a sum": nn.Restrict(
        reps.regular(D8) + 2 * reps.irrep(D8, 2) + reps.irrep(D8, "0o"), C4, 2
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_commutes_with_symmetries_of_the_grid(name: str) -> None:
    layer = LAYERS[name]
    group = layer.group
    size = 4 if group.degree == 3 else 6
    grid = (size,) * group.degree
    x = jax.random.normal(KEY, (*grid, layer.rep_in.dim, 2))
    y = layer.apply(x)
    for index in group.tables.generators:
        g = group.element(jnp.asarray(index))
        if not np.allclose(m := np.asarray(group.matrix(g)), np.round(m)):
            g = group.compose(g, g)
        moved = act_on_field(
            layer.rep_in, groups.embed(group, layer.rep_in.group, g), x
        )
        # Sums of a few products of size one.
        want = act_on_field(layer.rep_out, g, y)
        np.testing.assert_allclose(layer.apply(moved), want, atol=1e-13)


def test_constants_stay_constants() -> None:
    rep = reps.trivial(C4)
    field = jnp.full((6, 8, 1, 1), 1.7)
    for layer in (
        nn.AveragePool(rep, 1, kernel_size=4, stride=2, padding="zero"),
        nn.BlurPool(rep, 1, kernel_size=4),
        nn.MaxPool(rep, 1, kernel_size=4, stride=2, padding="zero"),
        nn.Upsample(rep, 1),
    ):
        np.testing.assert_allclose(layer.apply(field), 1.7, rtol=1e-14)


def test_upsampling_reproduces_linear_functions_inside() -> None:
    line = jnp.arange(5.0)
    up = nn.Upsample(reps.trivial(C4), 1).apply(
        jnp.broadcast_to(line[:, None, None, None], (5, 5, 1, 1))
    )
    np.testing.assert_allclose(up[1:-1, 0, 0, 0], (np.arange(8) + 0.5) / 2, atol=1e-14)


def test_the_largest_pixel_is_chosen() -> None:
    """Against a plain loop over windows."""
    rep = 2 * reps.standard(C4)
    x = np.asarray(jax.random.normal(KEY, (4, 6, 4, 3)))
    got = np.asarray(nn.NormMaxPool(rep, 3, kernel_size=2).apply(jnp.asarray(x)))
    largest = np.asarray(
        nn.MaxPool(reps.regular(C4), 3, kernel_size=2).apply(jnp.asarray(x))
    )
    for i, j in np.ndindex(2, 3):
        window = x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(4, 2, 2, 3)
        best = np.argmax(np.linalg.norm(window, axis=2), axis=0)
        for copy, channel in np.ndindex(2, 3):
            want = window[best[copy, channel], copy, :, channel]
            np.testing.assert_array_equal(
                got[i, j].reshape(2, 2, 3)[copy, :, channel], want
            )
        np.testing.assert_array_equal(
            largest[i, j], window.reshape(4, 4, 3).max(axis=0)
        )


def test_gradients_are_finite_where_windows_overhang_and_fields_vanish() -> None:
    layer = LAYERS["max of norms"]
    x = jnp.zeros((6, 6, 5, 2))
    gradient = jax.grad(lambda x: jnp.sum(layer.apply(x) ** 2))(x)
    assert np.all(np.isfinite(gradient))


def test_restriction_of_irreps_joins_equal_parts() -> None:
    group = groups.O(3)
    rep = 2 * reps.irrep(group, "1o") + 3 * reps.irrep(group, "2e")
    layer = nn.Restrict(rep, CUBE)
    x = jax.random.normal(KEY, (rep.dim,))
    g = CUBE.element(jnp.asarray(5))

    def restricted(x: jax.Array) -> jax.Array:
        return reps.merge(layer.rep_out, layer.apply(reps.split(rep, x)))

    moved = restricted(rep.apply(groups.embed(CUBE, group, g, dtype=x.dtype), x))
    want = layer.rep_out.apply(g, restricted(x))
    np.testing.assert_allclose(moved, want, atol=1e-13)
    # Nothing is lost.
    norm = jnp.linalg.norm(restricted(x))
    np.testing.assert_allclose(norm, jnp.linalg.norm(x), rtol=1e-13)


def test_bad_input(user_errors: None) -> None:
    with pytest.raises(ValueError, match="permutes components"):
        nn.MaxPool(reps.standard(D4), 1, kernel_size=2)
    with pytest.raises(ValueError, match="orthogonal"):
        nn.NormMaxPool(reps.standard(groups.SL(2)), 1, kernel_size=2)
    with pytest.raises(ValueError, match="registered subgroup"):
        nn.Restrict(reps.regular(C4), D4, 1)
    pool = nn.BlurPool(reps.standard(D4), 1, kernel_size=5)
    with pytest.raises(ValueError, match="even window for this even size"):
        pool.apply(jnp.zeros((8, 8, 2, 1)))
    with pytest.raises(ValueError, match="2 grid axes"):
        pool.apply(jnp.zeros((2, 1)))
    with pytest.raises(ValueError, match="more than one field"):
        pool.apply(jnp.zeros((3, 9, 9, 2, 1)))
    with pytest.raises(ValueError, match="floating-point"):
        pool.apply(jnp.zeros((9, 9, 2, 1), jnp.int32))


def test_blur_of_no_width_takes_the_nearest_pixels() -> None:
    pool = nn.BlurPool(reps.trivial(C4), 1, kernel_size=4, sigma=0.01)
    x = jax.random.normal(KEY, (6, 6, 1, 1))
    means = nn.AveragePool(reps.trivial(C4), 1, kernel_size=2).apply(x)
    np.testing.assert_allclose(pool.apply(x), means, atol=1e-14)
