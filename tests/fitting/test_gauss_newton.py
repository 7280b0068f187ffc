"""Gauss-Newton: exact where it must be, never uphill, each signal for itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import fields
from eqjax.fields import RelativePose
from eqjax.fitting._gauss_newton import gauss_newton
from eqjax.groups import SE
from tests import field_cases as cases

RNG = np.random.default_rng(0)
MATRICES = jnp.asarray(RNG.normal(size=(11, 2, 5)))  # examples, residuals, unknowns
TARGETS = jnp.asarray(RNG.normal(size=(11, 2)))
START = {"a": jnp.asarray(RNG.normal(size=2)), "b": jnp.asarray(RNG.normal(size=3))}
SIGNALS = 4
DATA = jnp.asarray(RNG.normal(size=(SIGNALS, 13)))
LATENTS = {
    "a": jnp.asarray(RNG.normal(size=(SIGNALS, 2))),
    "b": jnp.asarray(RNG.normal(size=(SIGNALS, 3))),
}
TIMES = jnp.linspace(0.0, 1.0, 13)


def linear(params, latents, example):
    matrix, target = example
    return params * (matrix @ jnp.concatenate([latents["a"], latents["b"]]) - target)


def curved(params, latents, example):
    """Residuals of two waves with unknown amplitudes, rates and offset."""
    t, y = example
    wave = jnp.sin(params * latents["b"][0] * t + latents["b"][1])
    fade = jnp.exp(latents["a"][0] * t)
    return jnp.stack([fade * wave + latents["b"][2] - y, latents["a"][1] * t - y])


def pick(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def assert_trees(got, want, **tolerances):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(leaf, other, **tolerances)


def flat(latents):
    return np.concatenate([latents["a"], latents["b"]])


@pytest.mark.parametrize("jacobian", ["forward", "reverse"])
def test_one_undamped_step_solves_linear_least_squares(jacobian):
    found = gauss_newton(
        linear,
        jnp.asarray(2.0),
        START,
        (MATRICES, TARGETS),
        num_steps=1,
        damping=0.0,
        prior=lambda z: 3 * z["a"] - 1,
        jacobian=jacobian,
        chunk_size=4,  # three chunks, the last not full
    )
    matrix = np.concatenate([2 * MATRICES.reshape(-1, 5), 3 * np.eye(2, 5)])
    target = np.concatenate([2 * TARGETS.ravel(), np.ones(2)])
    best, squares, *_ = np.linalg.lstsq(matrix, target, rcond=None)
    # Normal equations square the condition number, about 3.
    np.testing.assert_allclose(flat(found.latents), best, rtol=1e-11)
    np.testing.assert_allclose(found.cost, squares[0] / 2, rtol=1e-12)
    assert int(found.num_accepted) == 1


def test_conjugate_gradients_solve_ridge_regression():
    """As many rows of the prior as unknowns, in chunks of 4."""
    mean, sigma = flat(START), jnp.asarray([0.1, 0.2, 0.3, 0.4, 0.5])
    want = np.linalg.solve(
        np.einsum("eki,ekj->ij", MATRICES, MATRICES) + np.diag(1 / sigma**2),
        np.einsum("eki,ek->i", MATRICES, TARGETS) + mean / sigma**2,
    )
    found = gauss_newton(
        linear,
        jnp.asarray(1.0),
        jax.tree.map(lambda leaf: leaf + 1, START),
        (MATRICES, TARGETS),
        damping=0.0,
        num_steps=6,
        tolerance=1e-14,
        prior=lambda z: {
            "a": (z["a"] - START["a"]) / sigma[:2],
            "b": (z["b"] - START["b"]) / sigma[2:],
        },
        solver="cg",
        chunk_size=4,
    )
    # A thousandth of the error is left by each of six steps.
    np.testing.assert_allclose(flat(found.latents), want, rtol=1e-8)


@jax.jit
def all_curved(latents, data):
    rows = jax.vmap(lambda example: curved(3.0, latents, example))((TIMES, data))
    return rows.ravel()


@jax.jit
def fit_curved(latents, data):
    return gauss_newton(
        curved, jnp.asarray(3.0), latents, (TIMES, data), num_steps=12, chunk_size=5
    )


def test_first_step_is_that_of_finite_differences():
    data, z = DATA[0], pick(LATENTS, 0)

    def residuals(w):
        moved = {"a": np.asarray(z["a"]) + w[:2], "b": np.asarray(z["b"]) + w[2:]}
        return np.asarray(all_curved(moved, data))

    h = 1e-5
    columns = [(residuals(h * e) - residuals(-h * e)) / (2 * h) for e in np.eye(5)]
    jacobian, r = np.stack(columns, axis=1), residuals(np.zeros(5))
    a = jacobian.T @ jacobian
    w = -np.linalg.solve(a + 0.1 * np.diag(np.diag(a)), jacobian.T @ r)
    found = gauss_newton(curved, jnp.asarray(3.0), z, (TIMES, data), num_steps=1)
    assert int(found.num_accepted) == 1
    np.testing.assert_allclose(found.costs[0], np.sum(r**2) / 2, rtol=1e-12)
    # Central differences, amplified by the condition of A.
    np.testing.assert_allclose(flat(found.latents) - flat(z), w, rtol=1e-6, atol=1e-8)


def test_cost_never_rises_and_signals_do_not_see_each_other():
    together = jax.jit(jax.vmap(fit_curved))(LATENTS, DATA)
    costs = np.concatenate([together.costs, together.cost[:, None]], axis=1)
    assert np.all(np.diff(costs, axis=1) <= 0)
    assert np.all(costs[:, -1] < 0.9 * costs[:, 0])
    # Dampings differ, so every signal has its own.
    assert len(set(np.asarray(together.damping).tolist())) == SIGNALS
    for i in range(SIGNALS):
        # Rounding, amplified by steps that are not well determined.
        alone = fit_curved(pick(LATENTS, i), DATA[i])
        assert_trees(pick(together, i), alone, rtol=1e-6)
        rows = all_curved(pick(together.latents, i), DATA[i])
        np.testing.assert_allclose(together.cost[i], np.sum(rows**2) / 2, rtol=1e-10)


@pytest.mark.parametrize("robust", ["l1", "huber"])
def test_robust_fits_ignore_outliers(robust):
    times = jnp.linspace(-1.0, 1.0, 21)
    line = 0.3 + 0.7 * times
    data = line.at[3].add(50.0).at[17].add(-20.0)

    def residuals(params, z, example):
        t, y = example
        return (z[0] + z[1] * t - y)[None]

    found = gauss_newton(
        residuals,
        None,
        jnp.zeros(2),
        (times, data),
        robust=robust,
        robust_scale=1e-3,
        num_steps=60,
        tolerance=1e-9,
    )
    # Two of 21 points are wrong, and each pulls with the force of delta.
    np.testing.assert_allclose(found.latents, [0.3, 0.7], atol=1e-3)
    # |r|, up to the smoothing.
    np.testing.assert_allclose(found.cost, 70, atol=0.01)
    assert int(found.result) == 0


def test_results_tell_how_a_fit_ended():
    def residuals(params, z, kind):
        x = z[0]
        kinds = [
            x - 1,  # converges
            (x - 1) ** 2,  # halves its error with every step
            jnp.where(x == 0, 1.0, 2.0) + 1e-3 * x,  # whatever moves costs more
            jnp.where(x == 0, 1.0, jnp.nan) + x,  # breaks on every trial
            jnp.sqrt(x - 1),  # broken from the start
            jnp.zeros_like(x),  # nothing to do
            jnp.ones_like(x),  # nothing to be done
        ]
        return jnp.take(jnp.stack(kinds), kind)[None]

    @jax.jit
    @jax.vmap
    def fit(kind):
        return gauss_newton(residuals, None, jnp.zeros(1), kind[None], num_steps=12)

    found = fit(jnp.arange(7))
    np.testing.assert_array_equal(found.result, [0, 1, 2, 3, 3, 0, 0])
    np.testing.assert_allclose(found.latents[0], 1, rtol=1e-12)
    # Once a fit has ended, its last cost stays.
    assert int(found.num_accepted[0]) < 11
    np.testing.assert_array_equal(found.costs[0, -1], found.cost[0])
    # Last good latents.
    np.testing.assert_array_equal(found.latents[2:], 0)
    np.testing.assert_array_equal(found.num_accepted[2:], 0)
    assert np.all(np.isfinite(found.latents))


@pytest.mark.parametrize(
    "dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)]
)
def test_fitting_commutes_with_the_group(dtype):
    """fit(g z, g batch) = g fit(z, batch), damping by diag(A) included."""
    b = RelativePose(SE(2))
    field = cases.tiny_field(b, head_layers=1)
    params, latents, xs, g, change = jax.tree.map(
        lambda leaf: leaf.astype(dtype),
        (
            cases.random_params(field, 0),
            cases.random_latents(b, 1),
            cases.random_points(b.space, 6, 2),
            pick(cases.random_elements(b.group, 1, 3), 0),
            jnp.asarray(0.05 * np.random.default_rng(3).normal(size=(5, 3))),
        ),
    )

    def value(params, latents, x):
        return field.apply(params, field.prepare(params, latents), x)

    def residuals(params, latents, example):
        x, y = example
        return value(params, latents, x) - y

    target = {**latents, "context": latents["context"] + change}
    values = jax.jit(jax.vmap(value, (None, None, 0)))(params, target, xs)

    @jax.jit
    def fit(latents, xs):
        return gauss_newton(
            residuals,
            params,
            latents,
            (xs, values),
            num_steps=3,
            retract=lambda z, dz: fields.retract_latents(b.group, z, dz),
            zero_tangent=lambda z: fields.zero_tangent(b.group, z),
        )

    plain = fit(latents, xs)
    moved = fit(cases.move_latents(b, g, latents), b.group.act(g, xs))
    # Rounding, amplified by the condition of A.
    atol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(moved.costs, plain.costs, rtol=1e3 * atol)
    want = cases.move_latents(b, g, plain.latents)
    assert_trees(moved.latents, want, rtol=0, atol=atol)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(plain.latents))
    assert int(plain.num_accepted) == 3
    step = np.abs(np.asarray(plain.latents["pose"][0] - latents["pose"][0]))
    assert np.max(step) > 1e-3, "the fit must move the poses"


@pytest.mark.usefixtures("user_errors")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "`num_steps`"),
        ({"chunk_size": 0}, "`chunk_size`"),
        ({"damping": -1.0}, "`damping` must be zero or a positive number"),
        ({"tolerance": -1.0}, "`tolerance`"),
        ({"robust": "cauchy"}, "`robust` must be one of None, 'l1', 'huber'"),
        ({"robust_scale": 0.0}, "`robust_scale`"),
        ({"jacobian": "both"}, "`jacobian` must be one of"),
        ({"solver": "qr"}, "`solver` must be one of"),
        ({"batch": (MATRICES, TARGETS[:3])}, "`batch` must hold the same number"),
        ({"batch": (MATRICES[:0], TARGETS[:0])}, "`batch` must hold the same number"),
        ({"residuals": lambda p, z, x: z["a"][0]}, "`residuals` must return a vector"),
        ({"latents": {}}, "`latents` must hold something to fit"),
        ({"retract": lambda z, dz: z}, "`retract` and `zero_tangent`"),
    ],
)
def test_bad_arguments(options, message):
    arguments = {"residuals": linear, "latents": START, "batch": (MATRICES, TARGETS)}
    arguments |= options
    with pytest.raises(ValueError, match=message):
        gauss_newton(params=jnp.asarray(1.0), **arguments)
