"""Equivariant fields: f(g x; g z) = f(x; z), and everything else they promise."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import fields
from eqjax.fields import Absolute, FourierEmbedding, RelativePoint, RelativePose
from eqjax.groups import SE, SO, E, O, Translation
from eqjax.spaces import LieGroupSpace, Sphere
from tests import field_cases as cases

B = RelativePose(SE(2))
FIELD = cases.tiny_field(B)
PARAMS = cases.random_params(FIELD, 0)
LATENTS = cases.random_latents(B, 1)
POINTS = cases.random_points(B.space, 7, 2)


@functools.partial(jax.jit, static_argnums=0)
def values(field, params, latents, xs):
    prepared = field.prepare(params, latents)
    return jax.vmap(lambda x: field.apply(params, prepared, x))(xs)


def close(got, want):
    """Equal to rounding: a dozen layers of sums, relative to the largest value."""
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * np.max(np.abs(want)))


# Every row takes half a second; their invariants are tested by themselves.
QUICK = (
    RelativePose(Translation(2), scale=1.7),
    RelativePose(O(3)),
    RelativePose(SE(2), scale=1.7),
    RelativePose(E(3)),
    RelativePose(SE(2), cases.SIDLING_CAR, scale=1.7),
    RelativePoint(cases.SPACE),
    RelativePoint(cases.PLANE, pose_space=cases.CAR, scale=1.7),
    RelativePoint(Sphere(2), group=SO(3)),
)


@pytest.mark.parametrize(
    "b",
    [
        pytest.param(b, marks=() if b in QUICK else pytest.mark.slow)
        for b in cases.BI_INVARIANTS
    ],
    ids=cases.row_name,
)
def test_is_steerable(b):
    assert_steerable(cases.tiny_field(b, head_layers=1))


def assert_steerable(field):
    """f(g x; g z) = f(x; z)."""
    b = field.bi_invariant
    params, latents = cases.random_params(field, 0), cases.random_latents(b, 1)
    xs = cases.random_points(b.space, 7, 2)
    want = values(field, params, latents, xs)
    elements = cases.random_elements(b.symmetry, 2, 3)
    for i in range(2):
        g = jax.tree.map(lambda leaf, i=i: leaf[i], elements)
        moved = jax.vmap(lambda x, g=g: cases.move_point(b, g, x))(xs)
        close(values(field, params, cases.move_latents(b, g, latents), moved), want)


@pytest.mark.parametrize(
    "options",
    [
        {"num_neighbors": 2},
        {"window": False},
        {"block": "film_norm_per_head"},
        {"block": "film_linear", "head_layers": 0},
    ],
    ids=str,
)
def test_is_steerable_with_options(options):
    assert_steerable(dataclasses.replace(FIELD, **options))


def test_order_of_latents_does_not_matter():
    order = jnp.array([3, 0, 4, 2, 1])
    shuffled = jax.tree.map(lambda leaf: leaf[order], LATENTS)
    close(
        values(FIELD, PARAMS, shuffled, POINTS), values(FIELD, PARAMS, LATENTS, POINTS)
    )


def test_all_neighbors_are_as_good_as_no_limit():
    field = dataclasses.replace(FIELD, num_neighbors=5)
    close(
        values(field, PARAMS, LATENTS, POINTS), values(FIELD, PARAMS, LATENTS, POINTS)
    )


@pytest.mark.parametrize("window", [True, False])
def test_neighbors_are_the_nearest_latents(window):
    all_latents = dataclasses.replace(FIELD, window=window)
    field = dataclasses.replace(all_latents, num_neighbors=2)
    ys = values(field, PARAMS, LATENTS, POINTS)
    for x, y in zip(POINTS[:3], ys[:3], strict=True):
        distances = np.linalg.norm(LATENTS["pose"][0] - x[None], axis=-1)
        nearest = np.argsort(distances)[:2]
        rest = jax.tree.map(lambda leaf, nearest=nearest: leaf[nearest], LATENTS)
        close(y, values(all_latents, PARAMS, rest, x[None])[0])


@pytest.mark.parametrize("chunk_size", [1, 3, 4096])
def test_chunks_change_nothing(chunk_size):
    prepared = FIELD.prepare(PARAMS, LATENTS)
    evaluate = jax.jit(fields.evaluate, static_argnums=0, static_argnames="chunk_size")
    ys = evaluate(FIELD, PARAMS, prepared, POINTS, chunk_size=chunk_size)
    close(ys, values(FIELD, PARAMS, LATENTS, POINTS))


def test_signals_under_vmap_equal_a_loop():
    table = jax.tree.map(
        lambda *leaves: jnp.stack(leaves),
        *(cases.random_latents(B, seed) for seed in range(3)),
    )
    batch = jax.jit(jax.vmap(lambda z: values(FIELD, PARAMS, z, POINTS)))(table)
    for i, ys in enumerate(batch):
        latents = jax.tree.map(lambda leaf, i=i: leaf[i], table)
        close(ys, values(FIELD, PARAMS, latents, POINTS))


def test_coordinates_may_be_elements_of_a_group():
    b = RelativePose(SE(2), LieGroupSpace(SE(2)), scale=1.7)
    field = cases.tiny_field(b, num_neighbors=4)
    params, latents = cases.random_params(field, 0), cases.random_latents(b, 1)
    xs = cases.random_points(b.space, 7, 2)
    g = jax.tree.map(lambda leaf: leaf[0], cases.random_elements(SE(2), 1, 3))

    @jax.jit
    def both():
        prepared = field.prepare(params, cases.move_latents(b, g, latents))
        moved = jax.vmap(lambda x: b.space.act(g, x))(xs)
        return (
            values(field, params, latents, xs),
            fields.evaluate(field, params, prepared, moved, chunk_size=3),
        )

    ys, moved = both()
    close(moved, ys)
    assert np.all(np.std(ys, axis=0) > 0)
    x, prepared = (jnp.ones(2), jnp.ones(1)), field.prepare(params, latents)
    with pytest.raises(ValueError, match=r"ONE element of SE.* \(\(2,\), \(\)\), got"):
        field.apply(params, prepared, x)


@pytest.mark.parametrize(
    "b", [RelativePose(E(2)), RelativePoint(cases.SPACE)], ids=cases.row_name
)
def test_values_and_gradients_are_finite_where_a_latent_stands(b):
    field = cases.tiny_field(b)
    params, latents = cases.random_params(field, 0), cases.random_latents(b, 1)
    pose = jax.tree.map(lambda leaf: leaf[0], latents["pose"])
    x = cases.base_point(b, pose)

    @jax.jit
    def gradients(tangent, x):
        def loss(params, tangent, x):
            moved = fields.retract_latents(b.poses, latents, tangent)
            return jnp.sum(field.apply(params, field.prepare(params, moved), x))

        return jax.value_and_grad(loss, (0, 1, 2))(params, tangent, x)

    result = gradients(fields.zero_tangent(b.poses, latents), x)
    for leaf in jax.tree.leaves(result):
        assert np.all(np.isfinite(leaf))


def test_far_points_are_served_by_the_nearest_latent():
    far = jnp.array([[1e4, 1e4]])
    nearest = int(np.argmin(np.linalg.norm(LATENTS["pose"][0] - far, axis=-1)))
    same = {**LATENTS, "window": jnp.zeros(5)}
    alone = jax.tree.map(lambda leaf: leaf[nearest : nearest + 1], same)
    close(values(FIELD, PARAMS, same, far), values(FIELD, PARAMS, alone, far))


def test_window_widths_are_exponentials():
    prepared = FIELD.prepare(PARAMS, {**LATENTS, "window": jnp.full(5, np.log(2.0))})
    np.testing.assert_allclose(prepared["inverse_window_squared"], 0.25, rtol=1e-14)


def test_absolute_coordinates_are_a_field_too():
    field = cases.tiny_field(Absolute(cases.PLANE), window=False)
    params = cases.random_params(field, 0)
    ys = values(field, params, LATENTS, POINTS)
    moved = fields.transform_latents(SE(2), (jnp.ones(2), jnp.asarray(1.0)), LATENTS)
    assert np.array_equal(values(field, params, moved, POINTS), ys)
    assert np.all(np.std(ys, axis=0) > 0)


def test_size_of_the_published_cifar_10_field():
    field = fields.EquivariantField(
        RelativePose(Translation(2)),
        context_dim=64,
        num_out=3,
        num_heads=3,
        head_dim=64,
        query_embedding=fields.SineEmbedding(128, scale=3.0),
        value_embedding=fields.SineEmbedding(128, scale=5.0),
        block="film_linear",
        head_layers=0,
    )
    for num_out, count in ((3, 179_587), (1, 178_817)):
        sized = dataclasses.replace(field, num_out=num_out)
        shapes = jax.eval_shape(lambda key, f=sized: f.init(key=key), jax.random.key(0))
        assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_published_defaults():
    field = fields.EquivariantField(B, num_out=3)
    shapes = jax.eval_shape(lambda key: field.init(key=key), jax.random.key(0))
    assert shapes["layer_0"]["kernel"].shape == (256, 128)
    assert shapes["layer_2"]["kernel"].shape == (128, 3)
    assert field.query_embedding == FourierEmbedding(128, 0.05)
    assert field.value_embedding == FourierEmbedding(128, 0.2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keeps_the_dtype(dtype):
    arguments = jax.tree.map(lambda leaf: leaf.astype(dtype), (PARAMS, LATENTS, POINTS))
    result = jax.eval_shape(lambda *args: values(FIELD, *args), *arguments)
    assert result.dtype == dtype
    params = jax.eval_shape(
        lambda key: FIELD.init(dtype=dtype, key=key), jax.random.key(0)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_out": 0}, "`num_out`"),
        ({"hidden": 0}, "`hidden`"),
        ({"head_layers": -1}, "`head_layers`"),
        ({"num_neighbors": 0}, "`num_neighbors`"),
        ({"bi_invariant": Absolute(cases.PLANE)}, "window=False"),
        (
            {
                "bi_invariant": Absolute(cases.PLANE),
                "window": False,
                "num_neighbors": 2,
            },
            "window=False",
        ),
    ],
)
def test_bad_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(FIELD, **options)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"`latents\['context'\]` .* got shape \(5, 4\)"
    ):
        FIELD.prepare(PARAMS, {**LATENTS, "context": jnp.ones((5, 4))})
    field = dataclasses.replace(FIELD, num_neighbors=6)
    with pytest.raises(ValueError, match="only 5 latents"):
        field.prepare(PARAMS, LATENTS)
    with pytest.raises(ValueError, match=r"`x` must be .* \(2\), got shape \(3,\)"):
        FIELD.apply(PARAMS, FIELD.prepare(PARAMS, LATENTS), jnp.ones(3))
