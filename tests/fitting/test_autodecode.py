"""Autodecoding: fits of signals do not see each other, and commute with the group."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from eqjax import fields, fitting
from eqjax.fields import RelativePose
from eqjax.groups import SE, E
from tests import field_cases as cases

# Adam multiplies floats with integer counters.
pytestmark = pytest.mark.usefixtures("standard_promotion")

RNG = np.random.default_rng(0)
TARGETS = jnp.asarray(RNG.normal(size=(7, 4)))
BATCHES = jnp.asarray(RNG.normal(size=(5, 7, 3, 4)))  # steps, signals, points


def quadratic(params, latents, batch):
    """A loss of one signal that couples all latents with the parameters."""
    y = jnp.tanh(batch @ (params["w"] * latents["a"])) + latents["b"]
    return jnp.mean((y - batch[:, 0]) ** 2)


PARAMS = {"w": jnp.asarray(RNG.normal(size=4))}
TABLE = {"a": TARGETS, "b": jnp.asarray(RNG.normal(size=(7, 3)))}


def pick(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def assert_trees(got, want, **tolerances):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(leaf, other, **tolerances)


@jax.jit
def fit_one(latents, batches):
    return fitting.autodecode(
        quadratic, optax.adam(0.1), PARAMS, latents, batches, num_steps=5
    )


def test_fit_equals_a_plain_loop():
    latents, batches = pick(TABLE, 0), BATCHES[:, 0]
    optimizer = optax.adam(0.1)
    state, losses = optimizer.init(latents), []
    for batch in batches:
        value, slope = jax.value_and_grad(quadratic, 1)(PARAMS, latents, batch)
        update, state = optimizer.update(slope, state)
        latents = optax.apply_updates(latents, update)
        losses.append(value)
    fit = fit_one(pick(TABLE, 0), batches)
    assert_trees(fit.latents, latents, rtol=1e-12)
    np.testing.assert_allclose(fit.losses, np.stack(losses), rtol=1e-12)


def test_fit_reaches_the_minimum():
    def loss(params, latents, batch):
        return jnp.sum((params @ latents - batch) ** 2)

    rng = np.random.default_rng(1)
    matrix, batch = (
        jnp.asarray(rng.normal(size=(6, 3))),
        jnp.asarray(rng.normal(size=6)),
    )
    rate = 0.5 / float(np.linalg.norm(matrix, 2)) ** 2
    fit = fitting.autodecode(
        loss,
        optax.sgd(rate),
        matrix,
        jnp.zeros(3),
        jnp.tile(batch, (800, 1)),
        num_steps=800,
    )
    best = np.linalg.lstsq(np.asarray(matrix), np.asarray(batch), rcond=None)[0]
    np.testing.assert_allclose(fit.latents, best, atol=1e-6)
    assert np.all(np.diff(fit.losses) <= 1e-15)


def test_a_loss_that_needs_no_batch():
    def bowl(params, z, batch):
        assert batch is None
        return params * jnp.sum(z**2)

    # Steps of rate 1/4 on z^2 halve z; decay reads the zeros of the tangent.
    for optimizer in (
        optax.sgd(0.25),
        optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.25)),
    ):
        fit = fitting.autodecode(
            bowl, optimizer, jnp.asarray(1.0), jnp.ones(1), None, num_steps=4
        )
        np.testing.assert_allclose(fit.latents, 2.0**-4, rtol=1e-14)
        np.testing.assert_allclose(fit.losses, 4.0 ** -np.arange(4), rtol=1e-14)


def test_vmap_over_signals_equals_a_loop_and_other_signals_do_not_matter():
    together = jax.vmap(fit_one, in_axes=(0, 1))(TABLE, BATCHES)
    for i in range(7):
        alone = fit_one(pick(TABLE, i), BATCHES[:, i])
        assert_trees(pick(together, i), alone, rtol=1e-12)
    # The same signal beside six others.
    others = jax.tree.map(lambda leaf: leaf.at[1:].multiply(-2.0), TABLE)
    beside = jax.vmap(fit_one, in_axes=(0, 1))(others, BATCHES)
    assert_trees(pick(beside, 0), pick(together, 0), rtol=0)


STEP = fitting.autodecode_step(quadratic, optax.adam(0.01), optax.adam(0.1))
UPDATE = jax.jit(STEP.update)


def visited():
    """State after one step on three of the seven signals."""
    signals = jnp.array([5, 1, 2])
    state, losses = UPDATE(STEP.init(PARAMS, TABLE), signals, BATCHES[0, signals])
    return state, losses, signals


def test_absent_signals_and_their_moments_do_not_move_a_bit():
    before, _, _ = visited()
    # Rows 1, 2, 5 have momentum now; the next batch visits others.
    after, _ = UPDATE(before, jnp.array([0, 1]), BATCHES[1, :2])
    absent = np.array([2, 3, 4, 5, 6])
    for old, new in zip(
        jax.tree.leaves((before.table, before.opt_table)),
        jax.tree.leaves((after.table, after.opt_table)),
        strict=True,
    ):
        assert old.shape == new.shape
        assert old.dtype == new.dtype
        assert np.asarray(old)[absent].tobytes() == np.asarray(new)[absent].tobytes()
        assert not np.array_equal(old[:2], new[:2])
    assert int(after.step) == 2


def test_joint_step_gives_every_row_the_update_it_would_get_alone():
    together, losses, signals = visited()
    start = STEP.init(PARAMS, TABLE)
    for row in range(3):
        i = int(signals[row])
        alone, loss = UPDATE(start, signals[row : row + 1], BATCHES[0, i : i + 1])
        assert_trees(pick(alone.table, i), pick(together.table, i), rtol=1e-12)
        assert_trees(pick(alone.opt_table, i), pick(together.opt_table, i), rtol=1e-12)
        np.testing.assert_allclose(loss[0], losses[row], rtol=1e-12)


def test_parameters_follow_the_mean_gradient():
    state, _, signals = visited()
    batch = BATCHES[0, signals]

    def mean_loss(params):
        return jnp.mean(
            jax.vmap(lambda z, b: quadratic(params, z, b))(
                jax.tree.map(lambda leaf: leaf[signals], TABLE), batch
            )
        )

    optimizer = optax.adam(0.01)
    update, _ = optimizer.update(jax.grad(mean_loss)(PARAMS), optimizer.init(PARAMS))
    assert_trees(state.params, optax.apply_updates(PARAMS, update), rtol=1e-12)


def test_many_steps_in_one_scan():
    signals = jnp.array([[5, 1, 2], [0, 3, 1], [6, 5, 4]])
    batches = jnp.stack([BATCHES[i, s] for i, s in enumerate(signals)])
    state = STEP.init(PARAMS, TABLE)
    scanned, losses = jax.jit(
        lambda state: jax.lax.scan(
            lambda c, x: STEP.update(c, *x), state, (signals, batches)
        )
    )(state)
    each = []
    for pair in zip(signals, batches, strict=True):
        state, step_losses = UPDATE(state, *pair)
        each.append(step_losses)
    assert_trees(scanned, state, rtol=1e-12)
    np.testing.assert_allclose(losses, np.stack(each), rtol=1e-12)


FIELDS = {
    "SE(2)": RelativePose(SE(2)),
    "E(2)": RelativePose(E(2)),
}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", FIELDS)
def test_fitting_commutes_with_the_group(name, optimizer):
    """fit(g z, g batch) = g fit(z, batch): poses move along left-trivialized tangents.

    So holds it for Adam, whose scaling by components would break it in space.
    """
    b = FIELDS[name]
    group = b.group
    field = cases.tiny_field(b, head_layers=1)
    params, latents = cases.random_params(field, 0), cases.random_latents(b, 1)
    xs = cases.random_points(b.space, 6, 2)
    values = jnp.asarray(np.random.default_rng(3).normal(size=(6, 2)))

    def loss(params, latents, batch):
        x, y = batch
        prepared = field.prepare(params, latents)
        return jnp.mean(
            (jax.vmap(lambda x: field.apply(params, prepared, x))(x) - y) ** 2
        )

    transformation = optax.adam(0.01) if optimizer == "adam" else optax.sgd(0.002)

    @jax.jit
    def fit(latents, xs):
        batches = jax.tree.map(lambda leaf: jnp.tile(leaf, (8, 1, 1)), (xs, values))
        return fitting.autodecode(
            loss,
            transformation,
            params,
            latents,
            batches,
            num_steps=8,
            retract=lambda z, dz: fields.retract_latents(group, z, dz),
            zero_tangent=lambda z: fields.zero_tangent(group, z),
        )

    g = pick(cases.random_elements(group, 2, 3), 0)  # a reflection in E(2)
    plain, moved = (
        fit(latents, xs),
        fit(cases.move_latents(b, g, latents), group.act(g, xs)),
    )
    # Rounding, amplified by eight steps of a stiff random network.
    np.testing.assert_allclose(moved.losses, plain.losses, rtol=1e-9)
    want = cases.move_latents(b, g, plain.latents)
    assert_trees(moved.latents, want, rtol=0, atol=1e-9)
    step = np.abs(np.asarray(plain.latents["pose"][0] - latents["pose"][0]))
    assert np.min(step) > 1e-7, "the fit must move the poses"


def test_retract_and_zero_tangent_come_together():
    latents = pick(TABLE, 0)
    with pytest.raises(ValueError, match="`retract` and `zero_tangent`"):
        fitting.autodecode(
            quadratic,
            optax.sgd(0.1),
            PARAMS,
            latents,
            BATCHES[:, 0],
            num_steps=5,
            retract=lambda z, dz: z,
        )
    with pytest.raises(ValueError, match="`retract` and `zero_tangent`"):
        fitting.autodecode_step(
            quadratic, optax.sgd(0.1), optax.sgd(0.1), zero_tangent=lambda z: z
        )


@pytest.mark.parametrize(
    ("num_steps", "message"),
    [(4, r"\(4, \.\.\.\), got shape \(5,"), (0, "`num_steps`")],
)
def test_batches_must_fit_the_number_of_steps(num_steps, message):
    with pytest.raises(ValueError, match=message):
        fitting.autodecode(
            quadratic,
            optax.sgd(0.1),
            PARAMS,
            pick(TABLE, 0),
            BATCHES[:, 0],
            num_steps=num_steps,
        )
