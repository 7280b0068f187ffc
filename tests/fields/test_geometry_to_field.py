"""Fields about bodies that are given by latents."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields import RelativePose
from eqjax.fields._embeddings import SineEmbedding
from eqjax.fields._equivariant_field import EquivariantField
from eqjax.fields._geometry_to_field import GeometryToField
from eqjax.fields._latents import init_latents, transform_latents
from eqjax.fields._with_scalars import WithScalars
from eqjax.groups import SE, SO, E, Translation
from eqjax.spaces import Euclidean

SMALL: Any = {
    "hidden": 7,
    "num_heads": 2,
    "head_dim": 3,
    "query_embedding": SineEmbedding(6, scale=0.3),
    "value_embedding": SineEmbedding(8, scale=0.5),
    "block": "film_linear",
    "head_layers": 0,
}


def model_of(group: Any, *, turning: bool = True) -> GeometryToField:
    b = RelativePose(group)
    return GeometryToField(
        EquivariantField(b, context_dim=4, **SMALL),
        EquivariantField(WithScalars(b, 1), context_dim=7, num_out=3, **SMALL),
        num_conditions=3,
        turning=turning,
        num_steps=2,
    )


@cache
def case() -> tuple[GeometryToField, Any, jax.Array, jax.Array, jax.Array]:
    """A model, params with random poses, points, values, conditions."""
    model = model_of(SE(2))
    rng = np.random.default_rng(0)
    latents = init_latents(
        Euclidean(2), SE(2), num_latents=3, context_dim=4, key=jax.random.key(0)
    )
    latents["pose"] = (
        jnp.asarray(rng.normal(size=(3, 2))),
        jnp.asarray(rng.uniform(-3, 3, 3)),
    )
    params = model.init(latents, key=jax.random.key(1))
    points, values = rng.normal(size=(5, 2)), rng.normal(size=(5, 1))
    condition = jnp.array([0.9, -0.4, 0.3])
    return model, params, jnp.asarray(points), jnp.asarray(values), condition


@jax.jit
def outputs(
    params: Any, points: jax.Array, values: jax.Array, condition: jax.Array
) -> tuple[Any, jax.Array, jax.Array]:
    """Latents, field, the encoder's field."""
    model = case()[0]
    at = jnp.concatenate([points, values], axis=1)
    latents = model.encode(params, points, values)
    prepared = model.prepare(params, latents, condition)
    found = jax.vmap(lambda x: model.apply(params, prepared, x))(at)
    encoder = model.encoder_field
    prepared = encoder.prepare(params["encoder"], latents)
    shape = jax.vmap(lambda x: encoder.apply(params["encoder"], prepared, x))(points)
    return latents, found, shape


def test_conditions_are_turned_in_full_precision() -> None:
    model, params, _, _, condition = case()
    turn = jax.jit(model.condition)
    program = turn.lower(params["latents"], condition).as_text()
    assert "HIGHEST" in program
    assert "precision = [DEFAULT" not in program


def test_the_field_turns_with_the_body_and_the_inflow() -> None:
    _, params, points, values, condition = case()
    g = (jnp.array([0.7, -1.3]), jnp.asarray(2.1))
    turn = SE(2).linear_part.matrix(g[1])
    turned_condition = jnp.concatenate([turn @ condition[:2], condition[2:]])
    latents, found, _ = outputs(params, points, values, condition)
    moved, turned, _ = outputs(
        {**params, "latents": transform_latents(SE(2), g, params["latents"])},
        jax.vmap(lambda x: SE(2).act(g, x))(points),
        values,
        turned_condition,
    )
    # Rounding of a fit of two steps and a field of a dozen layers.
    np.testing.assert_allclose(moved["context"], latents["context"], atol=1e-12)
    np.testing.assert_allclose(turned[:, :2], found[:, :2] @ turn.T, atol=1e-12)
    np.testing.assert_allclose(turned[:, 2], found[:, 2], atol=1e-12)
    # Turning one of the two alone does change the field.
    still = outputs(params, points, values, turned_condition)[1]
    assert np.max(np.abs(still[:, 2] - found[:, 2])) > 1e-3


def test_encoding_moves_contexts_alone_and_fits_the_shape() -> None:
    _, params, points, values, condition = case()
    latents, _, shape = outputs(params, points, values, condition)
    for name in ("pose", "window"):
        same = jax.tree.map(np.array_equal, latents[name], params["latents"][name])
        assert all(jax.tree.leaves(same))
    # Rates of exp(-40) leave the contexts where they are.
    still = {**params, "rates": params["rates"] - 40}
    before = outputs(still, points, values, condition)
    np.testing.assert_allclose(before[0]["context"], 1, atol=1e-12)
    assert np.mean((shape - values) ** 2) < np.mean((before[2] - values) ** 2)


def test_gradients_reach_contexts_and_rates_but_no_poses() -> None:
    model, params, points, values, _ = case()

    @jax.jit
    def gradient(params: Any) -> Any:
        def total(params: Any) -> jax.Array:
            latents = model.encode(params, points, values, first_order=True)
            return jnp.sum(latents["context"] ** 2)

        return jax.grad(total)(params)

    found = gradient(params)
    assert np.all(found["latents"]["context"] != 0)
    assert np.all(found["rates"] != 0)
    for leaf in jax.tree.leaves(found["latents"]["pose"]):
        np.testing.assert_array_equal(leaf, 0)
    np.testing.assert_array_equal(found["latents"]["window"], 0)


def test_conditions_are_seen_from_the_poses() -> None:
    model, params, _, _, condition = case()
    latents = params["latents"]
    appended = model.condition(latents, condition)["context"][:, 4:]
    for row, angle in zip(appended, latents["pose"][1], strict=True):
        turn = SE(2).linear_part.matrix(angle)
        np.testing.assert_allclose(row[:2], turn.T @ condition[:2], atol=1e-15)
        assert row[2] == condition[2]
    plain = model_of(SE(2), turning=False).condition(latents, condition)
    np.testing.assert_array_equal(plain["context"][:, 4:], np.tile(condition, (3, 1)))
    shifts = {**latents, "pose": latents["pose"][0]}
    appended = model_of(Translation(2)).condition(shifts, condition)["context"]
    np.testing.assert_array_equal(appended[:, 4:], np.tile(condition, (3, 1)))


def test_scalars_join_the_invariants_and_leave_distances_alone() -> None:
    b = RelativePose(SE(2), scale=1.7)
    both = WithScalars(b, 2)
    pose = (jnp.array([0.3, -0.2]), jnp.asarray(0.8))
    x = jnp.array([0.5, 0.1, 9.0, -7.0])
    np.testing.assert_array_equal(both(x, pose)[:2], b(x[:2], pose))
    np.testing.assert_array_equal(both(x, pose)[2:], x[2:])
    assert both.squared_distance(x, pose) == b.squared_distance(x[:2], pose)
    assert (both.dim, both.space, both.poses) == (4, Euclidean(4), SE(2))


def test_fields_that_do_not_fit_are_refused() -> None:
    b = RelativePose(SE(2))
    field = EquivariantField(b, context_dim=4, **SMALL)
    with pytest.raises(ValueError, match=r"contexts of 4 \+ 2 numbers.*got .* and 4"):
        GeometryToField(field, field, 2)
    other = EquivariantField(RelativePose(E(2)), context_dim=6, num_out=2, **SMALL)
    with pytest.raises(ValueError, match="must have the poses"):
        GeometryToField(field, other, 2)
    with pytest.raises(ValueError, match=r"`turning` needs .* got 2, 1 and"):
        GeometryToField(
            field, EquivariantField(b, context_dim=6, **SMALL), 2, turning=True
        )
    with pytest.raises(ValueError, match="`num_scalars`"):
        WithScalars(b, 0)
    with pytest.raises(ValueError, match="`bi_invariant` must be one of points"):
        WithScalars(RelativePose(SO(3)), 1)
