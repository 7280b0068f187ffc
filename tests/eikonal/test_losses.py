"""Losses of neural travel times."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import eikonal, fields
from eqjax.fields import RelativePose
from eqjax.groups import SE
from tests import field_cases as cases

B = RelativePose(SE(2))
FIELD = cases.tiny_travel_times(B, head_layers=1)
PARAMS = cases.random_params(FIELD, 0)
LATENTS = cases.random_latents(B, 1)
SOURCES, RECEIVERS = (cases.random_points(B.space, 7, seed) for seed in (2, 3))
SPEEDS = jnp.asarray(np.random.default_rng(4).uniform(1.3, 5.9, (7, 2)))
WEIGHTS = jnp.asarray(np.random.default_rng(5).uniform(0.0, 1.0, 7))
TIMES = B.space.distance(SOURCES, RECEIVERS) / 3.1
BOUNDS = jnp.array([1.3, 5.9])


@jax.jit
def residuals(speeds):
    prepared = FIELD.prepare(PARAMS, LATENTS)
    one = functools.partial(eikonal.eikonal_residual, FIELD, PARAMS, prepared)
    return jax.vmap(lambda s, r, v: one(s, r, v, BOUNDS))(SOURCES, RECEIVERS, speeds)


def test_residual_is_that_of_the_hamiltonian():
    prepared = FIELD.prepare(PARAMS, LATENTS)
    x, y, v = SOURCES[0], RECEIVERS[0], np.asarray(SPEEDS[0])

    def time(x, y):
        return FIELD.times(PARAMS, prepared, x, y, BOUNDS)

    slopes = jax.jit(jax.grad(time, (0, 1)))(x, y)
    want = [((v[i] * np.linalg.norm(slopes[i])) ** 2 - 1) / 2 for i in range(2)]
    np.testing.assert_allclose(residuals(SPEEDS)[0], want, rtol=1e-12)


def residual_losses(
    speeds, bounds=BOUNDS, latents=LATENTS, sources=SOURCES, receivers=RECEIVERS
):
    """The loss with every penalty, and in chunks."""
    return compiled_losses(latents, sources, receivers, speeds, bounds)


@jax.jit  # once for all tests, which is quick
def compiled_losses(*arguments):
    arguments = FIELD, PARAMS, *arguments
    return {
        "default": eikonal.residual_loss(*arguments),
        "chunks": eikonal.residual_loss(*arguments, chunk_size=3),
        "weights": eikonal.residual_loss(*arguments, weights=WEIGHTS),
        **{
            penalty: eikonal.residual_loss(*arguments, penalty=penalty)
            for penalty in ("abs", "square", "log_cosh")
        },
    }


def test_loss_is_the_mean_over_pairs_of_the_sum_over_ends():
    losses, x = residual_losses(SPEEDS), np.asarray(residuals(SPEEDS))
    formulas = {
        "default": np.abs(x),
        "chunks": np.abs(x),
        "weights": 7 * np.asarray(WEIGHTS)[:, None] * np.abs(x),
        "abs": np.abs(x),
        "square": x**2,
        "log_cosh": np.logaddexp(x, -x) - np.log(2),
    }
    for name, values in formulas.items():
        want = np.mean(np.sum(values, axis=1))
        np.testing.assert_allclose(losses[name], want, rtol=1e-12, err_msg=name)


def test_log_cosh_of_large_residuals_does_not_overflow():
    size = np.abs(np.asarray(residuals(1e3 * SPEEDS)))
    assert np.max(size) > 1e4
    want = np.mean(np.sum(size - np.log(2), axis=1))
    got = residual_losses(1e3 * SPEEDS)["log_cosh"]
    np.testing.assert_allclose(got, want, rtol=1e-6)


def loss_and_gradients(chunk_size):
    """With respect to parameters, latents, points, speeds and bounds."""

    def loss(params, tangent, sources, receivers, speeds, bounds):
        z = fields.retract_latents(SE(2), LATENTS, tangent)
        return eikonal.residual_loss(
            FIELD, params, z, sources, receivers, speeds, bounds, chunk_size=chunk_size
        )

    return jax.jit(jax.value_and_grad(loss, range(6)))(
        PARAMS, fields.zero_tangent(SE(2), LATENTS), SOURCES, RECEIVERS, SPEEDS, BOUNDS
    )


def assert_trees_close(got, want):
    """Equal up to the order of sums."""
    for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        size = max(1.0, float(np.max(np.abs(other))))
        np.testing.assert_allclose(leaf, other, rtol=0, atol=1e-13 * size)


@pytest.mark.slow
def test_chunks_do_not_change_the_gradient():
    assert_trees_close(loss_and_gradients(3), loss_and_gradients(None))


def test_constant_speed_has_no_residual():
    losses = residual_losses(jnp.full_like(SPEEDS, 2.0), jnp.array([2.0, 2.0]))
    assert losses["abs"] < 1e-13


def test_loss_does_not_change_when_everything_moves():
    g = (jnp.array([0.3, -1.0]), jnp.asarray(2.0))
    moved = residual_losses(
        SPEEDS,
        latents=fields.transform_latents(SE(2), g, LATENTS),
        sources=SE(2).act(g, SOURCES),
        receivers=SE(2).act(g, RECEIVERS),
    )
    np.testing.assert_allclose(
        moved["default"], residual_losses(SPEEDS)["default"], rtol=1e-11
    )


@functools.partial(jax.jit, static_argnames="chunk_size")
def teacher(times, latents=LATENTS, **options):
    return eikonal.teacher_loss(
        FIELD, PARAMS, latents, SOURCES, RECEIVERS, times, BOUNDS, **options
    )


@jax.jit
def field_times():
    prepared = FIELD.prepare(PARAMS, LATENTS)
    return jax.vmap(lambda s, r: FIELD.times(PARAMS, prepared, s, r, BOUNDS))(
        SOURCES, RECEIVERS
    )


def test_teacher_loss_is_the_mean_relative_error():
    want = np.mean(np.abs(np.asarray(field_times()) / np.asarray(TIMES) - 1))
    np.testing.assert_allclose(teacher(TIMES), want, rtol=1e-12)
    np.testing.assert_allclose(teacher(1.25 * field_times()), 0.2, rtol=1e-12)


def test_teacher_without_a_time_is_not_heard():
    useless = jnp.array([jnp.inf, 0.0, jnp.nan, -1.0, -jnp.inf])
    times = TIMES.at[:5].set(useless)
    want = np.abs(np.asarray(field_times()) / np.asarray(TIMES) - 1)[5:].sum() / 7
    np.testing.assert_allclose(teacher(times), want, rtol=1e-12)

    # Nor seen in the gradient, be it in chunks or not.
    slope = teacher_gradient(times, chunk_size=3)
    assert np.all(np.isfinite(slope))
    np.testing.assert_array_equal(
        slope, teacher_gradient(TIMES.at[:5].set(0.0), chunk_size=3)
    )
    assert_trees_close(slope, teacher_gradient(times, chunk_size=None))


@functools.partial(jax.jit, static_argnames="chunk_size")
def teacher_gradient(times, chunk_size):
    def loss(context):
        return teacher(times, LATENTS | {"context": context}, chunk_size=chunk_size)

    return jax.grad(loss)(LATENTS["context"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": jnp.zeros((0, 2))}, "`sources` must hold at least one pair"),
        ({"sources": jnp.zeros((7, 3))}, "`sources` must be .* got shape"),
        ({"receivers": jnp.zeros((6, 2))}, r"`receivers` must be .* \(7, 2\)"),
        ({"speeds": jnp.zeros(7)}, r"`speeds` must be .* \(7, 2\), got shape \(7,\)"),
        ({"speed_bounds": jnp.zeros(3)}, "`speed_bounds`"),
        ({"penalty": "l1"}, "`penalty` must be one of"),
        ({"chunk_size": 0}, "`chunk_size`"),
    ],
)
def test_bad_arguments_are_refused(change, message, user_errors):
    arguments = {
        "sources": SOURCES,
        "receivers": RECEIVERS,
        "speeds": SPEEDS,
        "speed_bounds": BOUNDS,
    } | change
    with pytest.raises(ValueError, match=message):
        eikonal.residual_loss(FIELD, PARAMS, LATENTS, **arguments)


def test_teacher_needs_one_time_per_pair(user_errors):
    with pytest.raises(ValueError, match=r"`times` must be .* \(7\), got shape"):
        teacher(SPEEDS)
    with pytest.raises(ValueError, match="`sources` must hold at least one pair"):
        eikonal.teacher_loss(
            FIELD,
            PARAMS,
            LATENTS,
            SOURCES[:0],
            RECEIVERS[:0],
            TIMES[:0],
            BOUNDS,
        )
