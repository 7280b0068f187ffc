"""Meta-SGD: steps in units of their own, differentiable, and equivariant."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import fields
from eqjax.fields import RelativePose
from eqjax.fitting._meta_sgd import init_rates, meta_sgd
from eqjax.groups import SE
from tests import field_cases as cases

RNG = np.random.default_rng(0)
SIGNALS, POINTS, STEPS = 5, 7, 3
BATCHES = jnp.asarray(RNG.normal(size=(STEPS, SIGNALS, POINTS, 4)))
PARAMS = {"w": jnp.asarray(RNG.normal(size=4)), "loudness": jnp.asarray(1.0)}
TABLE = {
    "a": jnp.asarray(RNG.normal(size=(SIGNALS, 4))),
    "b": jnp.asarray(RNG.normal(size=(SIGNALS, 2, 3))),
}
SCALES = {"a": jnp.asarray([1.0, 2.0, 0.5, 0.3]), "b": jnp.asarray(0.1)}
RATES = {"a": jnp.log(jnp.asarray([0.1, 0.2, 0.3, 0.4])), "b": jnp.log(0.2)}


def loss(params, latents, batch):
    """A loss of one signal that couples all latents with the parameters."""
    y = jnp.tanh(batch @ (params["w"] * latents["a"]))
    spread = y[:, None, None] + latents["b"][None] - batch[:, :1, None]
    return params["loudness"] * jnp.mean(spread**2)


def pick(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def assert_trees(got, want, **tolerances):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(leaf, other, **tolerances)


def fit(latents, batches, *, loss=loss, params=PARAMS, rates=RATES, **options):
    options = {"scales": SCALES, "num_steps": batches.shape[0]} | options
    return meta_sgd(loss, params, rates, latents, batches, **options)


fit_one = jax.jit(fit)
value_and_slope = jax.jit(jax.value_and_grad(loss, 1))


def test_steps_follow_the_formula():
    latents, first, losses = pick(TABLE, 0), None, []
    for batch in BATCHES[:, 0]:
        value, gradient = value_and_slope(PARAMS, latents, batch)
        losses.append(value)
        u = {name: np.asarray(SCALES[name] * gradient[name]) for name in gradient}
        first = first or {name: np.sqrt(np.mean(u[name] ** 2)) for name in u}
        latents = {
            name: latents[name]
            - np.exp(RATES[name]) * SCALES[name] * u[name] / first[name]
            for name in u
        }
    found = fit_one(pick(TABLE, 0), BATCHES[:, 0])
    assert_trees(found.latents, latents, rtol=1e-12)
    np.testing.assert_allclose(found.losses, np.stack(losses), rtol=1e-12)


def test_plain_steps_follow_the_gradient():
    latents = pick(TABLE, 0)
    _, gradient = value_and_slope(PARAMS, latents, BATCHES[0, 0])
    found = fit(latents, BATCHES[:1, 0], normalize=None, scales=None)
    want = {k: latents[k] - np.exp(RATES[k]) * gradient[k] for k in latents}
    assert_trees(found.latents, want, rtol=1e-12)


def test_units_of_loss_and_number_of_coordinates_do_not_matter():
    latents, batches = pick(TABLE, 0), BATCHES[:, 0]
    plain = fit_one(latents, batches, params=PARAMS)
    loud = fit_one(latents, batches, params={**PARAMS, "loudness": jnp.asarray(100.0)})
    assert_trees(loud.latents, plain.latents, rtol=1e-12)
    np.testing.assert_allclose(loud.losses, 100 * plain.losses, rtol=1e-12)
    twice = fit_one(latents, jnp.concatenate([batches, batches], axis=1))
    assert_trees(twice, plain, rtol=1e-12)
    # Gradients whose squares underflow in single precision.
    quiet = {**PARAMS, "loudness": jnp.asarray(1e-25)}
    single = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32), (latents, batches, quiet)
    )
    found = fit_one(*single[:2], params=single[2])
    # A few roundings.
    assert_trees(found.latents, plain.latents, rtol=1e-5, atol=1e-6)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))


def test_units_of_a_latent_do_not_matter():
    """A leaf measured in other units, with its `scales`, moves the same way."""
    latents, batches = pick(TABLE, 0), BATCHES[:, 0]
    plain = fit_one(latents, batches).latents
    # The loss sees w * a only, so that w measures a in other units.
    factors = jnp.asarray([2.0, 3.0, 0.1, 7.0])
    other = fit_one(
        {**latents, "a": latents["a"] / factors},
        batches,
        params={**PARAMS, "w": PARAMS["w"] * factors},
        scales={**SCALES, "a": SCALES["a"] / factors},
    ).latents
    assert_trees({**other, "a": other["a"] * factors}, plain, rtol=1e-11)


def test_steps_are_at_most_three_units_and_zero_gradients_leave_a_leaf_alone():
    latents = {"a": jnp.ones(4), "b": jnp.ones((2, 3))}
    found = meta_sgd(
        lambda params, z, batch: jnp.sum(batch * z["a"]) ** 2,
        None,
        init_rates({"a": 1.0, "b": 1.0}, rate=50.0),
        latents,
        jnp.asarray([[1.0, 2.0, 3.0, 4.0]]),
        num_steps=1,
    ).latents
    step = np.asarray(found["a"] - latents["a"])
    np.testing.assert_allclose(np.sqrt(np.mean(step**2)), 3, rtol=1e-12)
    np.testing.assert_allclose(step / step[0], [1, 2, 3, 4], rtol=1e-12)
    np.testing.assert_array_equal(found["b"], latents["b"])


def test_a_loss_that_needs_no_batch():
    def bowl(params, z, batch):
        assert batch is None
        return params * jnp.sum(z**2)

    # Plain steps of rate 1/4 on z^2 halve z.
    found = meta_sgd(
        bowl,
        jnp.asarray(1.0),
        jnp.log(0.25),
        jnp.ones(1),
        None,
        num_steps=4,
        normalize=None,
    )
    np.testing.assert_allclose(found.latents, 2.0**-4, rtol=1e-14)
    np.testing.assert_allclose(found.losses, 4.0 ** -np.arange(4), rtol=1e-14)


def test_vmap_over_signals_equals_a_loop_and_other_signals_do_not_matter():
    many = jax.jit(jax.vmap(fit, in_axes=(0, 1)))
    together = many(TABLE, BATCHES)
    for i in range(SIGNALS):
        assert_trees(
            pick(together, i), fit_one(pick(TABLE, i), BATCHES[:, i]), rtol=1e-12
        )
    others = jax.tree.map(lambda leaf: leaf.at[1:].multiply(-2.0), TABLE)
    assert_trees(pick(many(others, BATCHES), 0), pick(together, 0), rtol=0)


def outer_loss(params, rates, latents, **options):
    """Of the fitted latents on other coordinates than the fit saw."""
    batches = BATCHES[:2, 0]
    fitted = fit(latents, batches, params=params, rates=rates, **options).latents
    return loss(params, fitted, BATCHES[2, 0])


def test_outer_gradient_is_that_of_the_whole_loop():
    """Against finite differences; plain steps, which take nothing as a constant."""
    args = (PARAMS, RATES, pick(TABLE, 0))
    options = {"normalize": None, "scales": None}

    @jax.jit
    def slopes(args, tangent):
        def along(t):
            moved = jax.tree.map(lambda leaf, d: leaf + t * d, args, tangent)
            return outer_loss(*moved, **options)

        gradients = jax.grad(outer_loss, (0, 1, 2))(*args, **options)
        products = jax.tree.map(lambda g, d: jnp.sum(g * d), gradients, tangent)
        h = 1e-5
        slope = (along(h) - along(-h)) / (2 * h)
        return slope, sum(jax.tree.leaves(products))

    rng = np.random.default_rng(2)
    tangent = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), args)
    slope, product = slopes(args, tangent)
    # Central differences: h^2 = 1e-10, rounding / h = 1e-11.
    np.testing.assert_allclose(product, slope, rtol=1e-7)


def test_remat_changes_nothing_and_first_order_leaves_out_second_derivatives():
    args = (PARAMS, RATES, pick(TABLE, 0))

    @jax.jit
    def gradients(args):
        grad = jax.grad(outer_loss, (0, 1, 2))
        return grad(*args), grad(*args, remat=True), grad(*args, first_order=True)

    plain, remat, first = gradients(args)
    assert_trees(remat, plain, rtol=1e-10)
    # Without them, the initial latents just shift the fitted ones.
    fitted = fit_one(args[2], BATCHES[:2, 0]).latents
    _, slope = value_and_slope(PARAMS, fitted, BATCHES[2, 0])
    assert_trees(first[2], slope, rtol=1e-10)
    assert np.max(np.abs(np.asarray(first[2]["a"] - plain[2]["a"]))) > 1e-3
    assert all(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(first[1]))


@pytest.mark.parametrize(
    "dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)]
)
def test_fitting_commutes_with_the_group(dtype):
    """fit(g z, g batch) = g fit(z, batch): steps are in frames of the poses."""
    b = RelativePose(SE(2))
    field = cases.tiny_field(b, head_layers=1)
    values = jnp.asarray(np.random.default_rng(3).normal(size=(6, 2)))
    params, latents, xs, g, values = jax.tree.map(
        lambda leaf: leaf.astype(dtype),
        (
            cases.random_params(field, 0),
            cases.random_latents(b, 1),
            cases.random_points(b.space, 6, 2),
            pick(cases.random_elements(b.group, 1, 3), 0),
            values,
        ),
    )

    def loss(params, latents, batch):
        x, y = batch
        prepared = field.prepare(params, latents)
        return jnp.mean(
            (jax.vmap(lambda x: field.apply(params, prepared, x))(x) - y) ** 2
        )

    @jax.jit
    def fit(latents, xs):
        # Turns and positions differ in units and in rates.
        scales = {
            "pose": jnp.asarray([0.05, 0.05, 0.1]),
            "context": jnp.ones(3),
            "window": 0.1,
        }
        rates = init_rates(scales, rate=0.1)
        rates["pose"] += jnp.asarray([0.3, -0.2, 0.0])
        return meta_sgd(
            loss,
            params,
            rates,
            latents,
            jax.tree.map(lambda leaf: jnp.tile(leaf, (3, 1, 1)), (xs, values)),
            scales=scales,
            retract=lambda z, dz: fields.retract_latents(b.group, z, dz),
            zero_tangent=lambda z: fields.zero_tangent(b.group, z),
        )

    plain = fit(latents, xs)
    moved = fit(cases.move_latents(b, g, latents), b.group.act(g, xs))
    # Rounding of three steps.
    atol = 1e-5 if dtype == "float32" else 1e-12
    assert_trees(moved.losses, plain.losses, rtol=10 * atol)
    want = cases.move_latents(b, g, plain.latents)
    assert_trees(moved.latents, want, rtol=0, atol=atol)
    step = np.abs(np.asarray(plain.latents["pose"][0] - latents["pose"][0]))
    assert np.max(step) > 1e-3, "the fit must move the poses"


def test_initial_rates_have_the_shapes_of_the_units():
    rates = init_rates(SCALES, rate=0.25)
    assert rates["a"].shape == (4,)
    assert rates["b"].shape == ()
    for rate in jax.tree.leaves(rates):
        np.testing.assert_allclose(rate, math.log(0.25), rtol=1e-7)
    # Units that happen to be integers are those numbers.
    whole = init_rates({"a": 2, "b": jnp.ones(3, jnp.int32)}, rate=0.25)
    np.testing.assert_allclose(whole["a"], math.log(0.25), rtol=1e-7)
    np.testing.assert_allclose(whole["b"], math.log(0.25), rtol=1e-7)
    with pytest.raises(ValueError, match="`rate` must be a positive number"):
        init_rates(SCALES, rate=0.0)


@pytest.mark.usefixtures("user_errors")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 2}, r"`batches` must have .*\(2, \.\.\.\), got shape \(3,"),
        ({"num_steps": 0}, "`num_steps`"),
        ({"normalize": "always"}, "`normalize` must be one of 'first_step', None"),
        ({"normalize": None}, "`scales` are the units"),
        ({"rates": {"a": jnp.zeros(4)}}, "`rates` must have the structure"),
        ({"rates": {**RATES, "a": jnp.zeros(3)}}, r"`rates\['a'\]` must broadcast"),
        ({"rates": {**RATES, "a": jnp.zeros((2, 4))}}, r"`rates\['a'\]`"),
        ({"scales": {**SCALES, "b": jnp.ones(2)}}, r"`scales\['b'\]`"),
        ({"retract": lambda z, dz: z}, "`retract` and `zero_tangent`"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        fit(pick(TABLE, 0), BATCHES[:, 0], **options)
