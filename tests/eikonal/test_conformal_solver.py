"""Laws of the solver on spheres and in hyperbolic space."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax._core._specs import spec_from_json, spec_to_json
from eqjax.eikonal import trace_ray
from eqjax.eikonal._conformal_solver import ConformalEikonal
from eqjax.spaces import Hyperbolic, Sphere

S2, H2 = Sphere(2), Hyperbolic(2)
# No iteration error beside rounding.
EXACT = {"tolerance": 0.0, "max_rounds": 30}
SPHERE = ConformalEikonal(S2, 21, num_exchanges=6, **EXACT)
BALL = ConformalEikonal(H2, 21, **EXACT)
# Some of its nodes are absent.
WIDE = ConformalEikonal(H2, 33, radius=2.0, **EXACT)


@functools.cache
def jitted(solver):
    return jax.jit(solver.solve)


@functools.cache
def differentiated(solver):
    """One program for solutions and gradients: compilation is what takes time."""

    def misfit(velocity, source, weights):
        solution = solver.solve(velocity, source)
        present = jnp.isfinite(solution.times)
        return jnp.sum(jnp.where(present, weights * solution.times, 0)), solution

    return jax.jit(jax.grad(misfit, argnums=(0, 1), has_aux=True))


def solve(solver, velocity, source):
    # Plain arrays: weak types would be compiled once more.
    velocity, source = (jnp.asarray(np.asarray(value)) for value in (velocity, source))
    if solver is SPHERE:
        return differentiated(solver)(velocity, source, jnp.ones_like(velocity))[1]
    return jitted(solver)(velocity, source)


@functools.cache
def _interpolation(solver):
    times = jax.value_and_grad(solver.times_at, argnums=2)
    return jax.jit(jax.vmap(times, (None, None, 0)))


def interpolate(solver, solution, source, x):
    """Times and their gradients at points; always as many, for one program."""
    padding = np.broadcast_to(x[-1:], (801 - len(x), x.shape[-1]))
    points = jnp.asarray(np.concatenate([x, padding]))
    times, gradients = _interpolation(solver)(solution, jnp.asarray(source), points)
    return np.asarray(times)[: len(x)], np.asarray(gradients)[: len(x)]


def unit(*x):
    return np.array(x) / np.linalg.norm(x)


def distances(space, source, x):
    source = jnp.broadcast_to(jnp.asarray(source), x.shape)
    return np.asarray(space.distance(jnp.asarray(x), source))


def relative_error(times, exact):
    return np.linalg.norm(times - exact) / np.linalg.norm(exact)


def smooth_speed(x):
    """A positive model on any of the spaces, without symmetries."""
    waves = 0.3 * jnp.sin(2 * x[..., 0] + 1) + 0.2 * jnp.cos(3 * x[..., 1] - x[..., -1])
    return jnp.exp(waves)


SMOOTH = {solver: smooth_speed(solver.nodes) for solver in (SPHERE, BALL, WIDE)}


# Where T = (distance after a conformal map), v is the factor by which that map shrinks.
# On the sphere such maps are boosts of the light cone; all of them are smooth.
BETA = np.array([0.2, -0.3, 0.25])
GAMMA = 1 / np.sqrt(1 - BETA @ BETA)


def boosted_speed(x):
    return GAMMA * (1 - x @ BETA)


def boosted(x):
    along = (GAMMA - 1) * (x @ BETA) / (BETA @ BETA) - GAMMA
    return (x + along[..., None] * BETA) / boosted_speed(x)[..., None]


def boosted_times(source, x):
    return distances(S2, boosted(source), boosted(x))


def poles_and_others(solver):
    nodes = solver.nodes
    return [
        unit(0, 0, 1),
        unit(0, 0, -1),
        unit(1, 0, 0),
        unit(1, 2, 0.1),
        unit(-1, 0.3, -1e-9),
        unit(0.3, 0.2, 0.9),
        nodes[0, 7, 9],
        nodes[1, 4, 5],
        nodes[0, 1, 12],
        nodes[1, 0, 0],
    ]


def test_constant_velocity_is_exact_on_the_sphere():
    # Antipodes of nodes are nodes, so these sources also have theirs at nodes.
    for source in poles_and_others(SPHERE):
        solution = solve(SPHERE, jnp.full(SPHERE.shape, 2.5), source)
        exact = distances(S2, source, SPHERE.nodes) / 2.5
        assert solution.result == 0
        np.testing.assert_allclose(solution.times, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "solver",
    [
        BALL,
        pytest.param(WIDE, marks=pytest.mark.slow),
        pytest.param(
            ConformalEikonal(Hyperbolic(3), 7, **EXACT), marks=pytest.mark.slow
        ),
    ],
)
def test_constant_velocity_is_exact_in_hyperbolic_space(solver):
    space, rim = solver.space, np.sinh(solver.radius)
    middle = (0, *(solver.num_nodes // 3,) * space.n)
    axis = np.eye(space.n)[0]
    tilted = unit(*np.arange(1, space.n + 1))
    for source in (solver.nodes[middle], 0 * axis, rim * axis, -0.999 * rim * tilted):
        solution = solve(solver, jnp.full(solver.shape, 2.5), source)
        exact = distances(space, source, solver.nodes) / 2.5
        present = np.isfinite(solution.times)
        assert solution.result == 0
        assert np.all(present[distances(space, 0 * axis, solver.nodes) < solver.radius])
        np.testing.assert_allclose(
            np.asarray(solution.times)[present], exact[present], rtol=0, atol=1e-12
        )


@pytest.mark.parametrize(
    "sizes", [(21,), pytest.param((21, 41), marks=pytest.mark.slow)]
)
def test_accuracy_on_the_sphere(sizes):
    source, errors = unit(-1, 0.3, -0.05), []
    # The point that all fronts reach last, from all sides.
    x = np.random.default_rng(0).normal(size=(4000, 3))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    last = x[np.argmax(boosted_times(source, x))]
    for size in sizes:
        solver = SPHERE if size == 21 else dataclasses.replace(SPHERE, num_nodes=size)
        nodes = solver.nodes
        solution = solve(solver, jnp.asarray(boosted_speed(nodes)), source)
        away = distances(S2, last, nodes) > 0.3
        exact = boosted_times(source, nodes)
        errors.append(relative_error(solution.times[away], exact[away]))
        # Times between nodes are as accurate, and their gradient solves the equation.
        times, gradients = interpolate(solver, solution, source, x[:500])
        away = distances(S2, last, x[:500]) > 0.3
        exact = boosted_times(source, x[:500])
        assert relative_error(times[away], exact[away]) < 1.5 * errors[-1]
        along = np.sum(gradients * x[:500], axis=-1, keepdims=True)
        norms = np.linalg.norm(gradients - along * x[:500], axis=-1)
        norms *= boosted_speed(x[:500])
        np.testing.assert_allclose(np.median(norms), 1, rtol=1e-2)
    # Measured: 2.4e-3 and 7.5e-4.
    assert errors[0] < 3e-3
    if len(sizes) > 1:
        assert np.log2(errors[0] / errors[1]) >= 1.7


@pytest.mark.parametrize(
    "sizes", [(21,), pytest.param((21, 41), marks=pytest.mark.slow)]
)
def test_accuracy_in_hyperbolic_space(sizes):
    source, errors = np.array([0.11, -0.23]), []
    for size in sizes:
        solver = dataclasses.replace(BALL, num_nodes=size)
        u = np.asarray(H2.to_ball(jnp.asarray(solver.nodes)))
        # The speed that makes the ball flat.
        velocity = jnp.asarray(2 / (1 - np.sum(u * u, axis=-1)))
        point = H2.from_ball(jnp.asarray(source))
        solution = solve(solver, velocity, point)
        exact = np.linalg.norm(u - source, axis=-1)
        errors.append(relative_error(solution.times, exact))
        v = np.array([[0.2, 0.3], [-0.3, 0.1], [0.0, -0.4]])
        x = np.asarray(H2.from_ball(jnp.asarray(v)))
        times, gradients = interpolate(solver, solution, point, x)
        exact = np.linalg.norm(v - source, axis=-1)
        np.testing.assert_allclose(times, exact, rtol=2e-3)
        along = np.sum(gradients * x, axis=-1)
        speeds = 1 + np.sqrt(1 + np.sum(x * x, axis=-1))
        norms = np.sqrt(np.sum(gradients**2, axis=-1) + along**2) * speeds
        np.testing.assert_allclose(norms, 1, rtol=1e-2)
    # Measured: 5.1e-4 and 9.0e-5.
    assert errors[0] < 6e-4
    if len(sizes) > 1:
        assert np.log2(errors[0] / errors[1]) >= 1.7


def turn(x):
    """A quarter of a turn about the axis of the charts."""
    return np.stack([-x[..., 1], x[..., 0], x[..., 2]], axis=-1)


def half_turn(x):
    """Half a turn about an axis on the equator, which swaps the charts."""
    return x * np.array([1, -1, -1])


@pytest.mark.parametrize("motion", [turn, half_turn])
def test_symmetries_of_the_charts(motion):
    nodes, source = SPHERE.nodes, unit(0.4, 0.3, 0.2)
    times = solve(SPHERE, SMOOTH[SPHERE], source).times
    # Node i of the moved model is where the motion takes a node j: T_i = T_j.
    moved = motion(nodes).reshape(-1, 3)
    offsets = np.abs(nodes.reshape(-1, 1, 3) - moved[None]).sum(-1)
    # The charts overlap, so a node of the other may be at the same place.
    swaps = motion is half_turn
    own = np.repeat([0, 1], 21**2)
    offsets += 9.0 * (own[:, None] != (own[None] ^ swaps))
    index = np.argmin(offsets, axis=1)
    velocity = SMOOTH[SPHERE].reshape(-1)[index].reshape(SPHERE.shape)
    other = solve(SPHERE, velocity, motion(source)).times
    np.testing.assert_allclose(
        other.reshape(-1), times.reshape(-1)[index], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("solver", [SPHERE, BALL])
def test_reciprocity(solver):
    random = np.random.default_rng(1)
    points = random.normal(size=(4, solver.space.ambient_dim))
    length = np.linalg.norm(points, axis=-1, keepdims=True)
    points = points / length if solver is SPHERE else 0.4 * points
    times = np.stack(
        [
            interpolate(solver, solve(solver, SMOOTH[solver], point), point, points)[0]
            for point in points
        ]
    )
    # The discretization error of so coarse a grid; 1.1e-2 was measured.
    np.testing.assert_allclose(times, times.T, rtol=2e-2)
    np.testing.assert_allclose(np.diagonal(times), 0, atol=1e-15)


def test_source_may_cross_the_seam():
    below, on, above = (
        solve(SPHERE, SMOOTH[SPHERE], unit(0.6, -0.7, z)).times
        for z in (-1e-9, 0.0, 1e-9)
    )
    # Below and above, another chart comes first.
    np.testing.assert_allclose(below, on, rtol=0, atol=1e-7)
    np.testing.assert_allclose(above, on, rtol=0, atol=1e-7)


def test_interpolated_times_have_no_seam():
    source = unit(0.3, 0.2, 0.9)
    solution = solve(SPHERE, SMOOTH[SPHERE], source)
    heights = np.linspace(-0.4, 0.4, 801)
    ring = np.sqrt(1 - heights**2)
    x = np.stack([0.6 * ring, 0.8 * ring, heights], axis=-1)
    times, gradients = interpolate(SPHERE, solution, source, x)
    tangents = np.gradient(x, heights, axis=0)
    slopes = np.sum(gradients * tangents, axis=-1)
    # Central differences of steps of 1e-3; a jump would show as a thousand times it.
    np.testing.assert_allclose(
        np.gradient(times, heights)[1:-1], slopes[1:-1], atol=1e-3
    )


def test_charts_agree_where_they_overlap():
    source = unit(0.3, 0.2, 0.9)
    solution = solve(SPHERE, SMOOTH[SPHERE], source)
    equator = np.abs(SPHERE.nodes[..., 2]) < 0.1
    times, _ = interpolate(SPHERE, solution, source, SPHERE.nodes[equator])
    np.testing.assert_allclose(times, np.asarray(solution.times)[equator], rtol=5e-3)


@pytest.mark.parametrize("solver", [SPHERE, pytest.param(WIDE, marks=pytest.mark.slow)])
def test_gradients_match_finite_differences(solver):
    random, velocity, step = np.random.default_rng(0), SMOOTH[solver], 1e-6
    weights, direction = (jnp.asarray(random.normal(size=solver.shape)) for _ in "ab")
    space = solver.space
    source = jnp.asarray(unit(0.5, 1, -0.03) if solver is SPHERE else [0.31, 0.22])
    move = space.to_tangent(source, jnp.asarray([0.3, -0.7, 0.2][: space.ambient_dim]))

    def misfit(velocity, source):
        times = np.asarray(solve(solver, velocity, source).times)
        return np.sum(np.where(np.isfinite(times), weights * times, 0))

    def difference(by_velocity, by_source):
        ends = [
            misfit(velocity + h * by_velocity, space.retract(source, h * by_source))
            for h in (step, -step)
        ]
        return (ends[0] - ends[1]) / (2 * step)

    (by_velocity, by_source), _ = differentiated(solver)(velocity, source, weights)
    # 1e-6 is the project's bar.
    np.testing.assert_allclose(
        jnp.vdot(by_velocity, direction), difference(direction, 0 * move), rtol=1e-6
    )
    np.testing.assert_allclose(
        by_source @ move, difference(0 * direction, move), rtol=1e-6
    )


def test_gradients_are_finite_at_singular_points():
    weights = jnp.ones_like(SMOOTH[SPHERE])
    for source in map(jnp.asarray, poles_and_others(SPHERE)[::2]):
        for velocity in (SMOOTH[SPHERE], weights):
            result, _ = differentiated(SPHERE)(velocity, source, weights)
            assert all(np.all(np.isfinite(part)) for part in result)
            # Some 900 nodes, at each of which |dT/dsource| is near 1 / v.
            assert np.abs(result[1]).max() < 2e3
    source = SPHERE.nodes[0, 7, 9]
    solution = solve(SPHERE, SMOOTH[SPHERE], source)
    _, slopes = interpolate(SPHERE, solution, source, np.stack([source, -source]))
    assert np.all(np.isfinite(slopes))


@pytest.mark.slow
def test_batch_equals_loop():
    velocity = jnp.stack([SMOOTH[SPHERE], jnp.asarray(boosted_speed(SPHERE.nodes))])
    sources = np.stack([unit(0.3, 0.2, 0.9), unit(0.5, 1, -0.03)])
    batch = jax.jit(jax.vmap(SPHERE.solve))(velocity, sources)
    for i in range(2):
        alone = solve(SPHERE, velocity[i], sources[i])
        np.testing.assert_allclose(batch.times[i], alone.times, rtol=0, atol=1e-12)
        assert batch.num_rounds[i] == alone.num_rounds


@pytest.mark.slow
def test_rays_take_the_time():
    solver = ConformalEikonal(S2, 41)
    source, receiver = unit(0.3, 0.2, 0.9), unit(-0.9, 0.4, -0.5)
    solution = solve(solver, smooth_speed(solver.nodes), source)
    times = functools.partial(solver.times_at, solution, source)
    ray = trace_ray(
        jax.grad(times),
        smooth_speed,
        S2,
        jnp.asarray(source),
        jnp.asarray(receiver),
        step=0.02,
        max_steps=200,
    )
    assert ray.arrived
    np.testing.assert_allclose(ray.time, times(jnp.asarray(receiver)), rtol=2e-3)


def test_result_codes_of_traced_values():
    velocity, source = SMOOTH[SPHERE], jnp.asarray(unit(1, 2, 3))
    bad = [
        (SPHERE, velocity.at[1, 3, 4].set(jnp.nan), source),
        (SPHERE, velocity.at[0, 3, 4].set(-1.0), source),
        (SPHERE, velocity, source * 1.1),
        (SPHERE, velocity, source * jnp.nan),
        (BALL, SMOOTH[BALL], jnp.asarray([1.0, 0.8])),
        (BALL, SMOOTH[BALL], jnp.asarray([jnp.nan, 0.0])),
    ]
    for solver, *values in bad:
        solution = solve(solver, *values)
        assert solution.result == 3
        assert np.all(np.isnan(solution.times))


@pytest.mark.slow
def test_too_few_rounds_or_exchanges_are_reported():
    velocity, source = SMOOTH[SPHERE], unit(-1, 0.3, -0.05)
    for settings in ({"max_rounds": 1, "tolerance": 0.0}, {"num_exchanges": 1}):
        solver = ConformalEikonal(S2, 21, **settings)
        solution = solve(solver, velocity, source)
        assert solution.result == 1
        assert solution.last_change > 1e-6
        assert np.all(np.isfinite(solution.times))
    assert solve(ConformalEikonal(S2, 21), velocity, source).result == 0


@pytest.mark.parametrize(
    ("solver", "change", "name"),
    [
        (SPHERE, {"velocity": jnp.ones((21, 21))}, "velocity"),
        (SPHERE, {"velocity": jnp.ones(SPHERE.shape, int)}, "velocity"),
        (SPHERE, {"velocity": -jnp.ones(SPHERE.shape)}, "velocity"),
        (SPHERE, {"source": np.array([1.0, 0.0])}, "source"),
        (SPHERE, {"source": np.array([1.0, 1.0, 1.0])}, "source"),
        (BALL, {"source": np.array([1.0, 0.8])}, "source"),
    ],
)
def test_bad_input_is_refused_before_any_work(solver, change, name):
    values = {"velocity": SMOOTH[solver], "source": solver.nodes[0, 4, 5], **change}
    with pytest.raises(ValueError, match=f"`{name}`"):
        solver.solve(**values)
    # A source that is not traced is looked at all the same where v is.
    if name == "source":
        source = jnp.asarray(values["source"])
        with pytest.raises(ValueError, match=f"`{name}`"):
            jax.eval_shape(lambda v: solver.solve(v, source), SMOOTH[solver])


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("space", {"space": Sphere(3)}),
        ("space", {"space": Hyperbolic(4)}),
        ("num_nodes", {"num_nodes": 4}),
        ("num_nodes", {"num_nodes": 19}),
        ("num_nodes", {"space": H2, "radius": 3.0}),
        ("radius", {"radius": 1.5}),
        ("radius", {"radius": 3.0}),
        ("radius", {"space": Hyperbolic(3), "radius": 1.5}),
        ("order", {"order": 3}),
        ("max_rounds", {"max_rounds": 0}),
        ("tolerance", {"tolerance": -1.0}),
        ("num_exchanges", {"num_exchanges": 0}),
    ],
)
def test_invalid_specs_are_refused(name, spec):
    with pytest.raises(ValueError, match=f"`{name}`"):
        ConformalEikonal(**{"space": S2, "num_nodes": 21, **spec})


def test_nodes_are_points():
    np.testing.assert_allclose(np.linalg.norm(SPHERE.nodes, axis=-1), 1, rtol=1e-14)
    assert WIDE.nodes.shape == (1, 33, 33, 2)
    # Three halves of the radius.
    np.testing.assert_allclose(np.linalg.norm(WIDE.nodes, axis=-1).max(), np.sinh(3.0))
    np.testing.assert_allclose(SPHERE.nodes[0, 10, 10], [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(SPHERE.nodes[1, 10, 10], [0, 0, -1], atol=1e-15)


@pytest.mark.slow
def test_float32_stays_float32():
    velocity = SMOOTH[BALL].astype(jnp.float32)
    single = ConformalEikonal(H2, 21)
    solution = solve(single, velocity, np.array([0.31, 0.22], np.float32))
    assert solution.times.dtype == solution.tau.dtype == jnp.float32
    assert solution.result == 0
    # Roundings of 6e-8 along a path of a dozen nodes.
    expected = solve(BALL, SMOOTH[BALL], np.array([0.31, 0.22])).times
    np.testing.assert_allclose(solution.times, expected, rtol=1e-5)


def test_specs_survive_json():
    for solver in (SPHERE, BALL):
        assert spec_from_json(spec_to_json(solver)) == solver
