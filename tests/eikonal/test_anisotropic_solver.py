"""Laws of the solver on lattice stencils: values, derivatives, walls, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax._core._numerics import safe_norm
from eqjax._core._specs import spec_from_json, spec_to_json
from eqjax.eikonal._anisotropic_solver import LatticeEikonal
from eqjax.eikonal._geodesic import trace_ray
from eqjax.eikonal._metrics import relative_error
from eqjax.spaces import Euclidean, PositionOrientation, RiemannianChart, Sphere

TILTED = np.array([[1.0, 0.8], [0.8, 1.0]])
PLANE = LatticeEikonal((9, 11), (0.1, 0.12), (-0.4, -0.6), tolerance=0.0)
CAR = PositionOrientation(2, xi=1.0, eps=0.3)
ROOM = LatticeEikonal(
    (7, 7, 8),
    (0.2, 0.2, np.pi / 4),
    (-0.6, -0.6, 0.0),
    (False, False, True),
    tolerance=0.0,
)


@functools.cache
def solver_of(solver):
    """(stencil, velocity, source, mask) -> solution, for many of all but the first."""
    return jax.jit(
        jax.vmap(lambda k, v, s, m: solver.solve(k, v, s, mask=m), (None, 0, 0, 0))
    )


@functools.cache
def plane_stencil():
    return PLANE.stencil(TILTED[None, None])


@functools.cache
def room_stencil():
    return ROOM.stencil_of(CAR)


def solve(solver, stencil, velocity, source, mask=None):
    mask = np.zeros(solver.shape, bool) if mask is None else mask
    arrays = jnp.asarray(velocity)[None], jnp.asarray(source)[None], mask[None]
    return jax.tree.map(lambda leaf: leaf[0], solver_of(solver)(stencil, *arrays))


def speeds(solver, seed=0):
    random = np.random.default_rng(seed)
    waves, total = random.normal(size=(4, len(solver.shape))) * 3, 0.0
    for wave in waves:
        total = total + np.sin(solver.nodes @ wave + random.uniform(0, 6))
    return np.exp(0.2 * total)


def distances(points, dual):
    metric = np.linalg.inv(dual)
    return np.sqrt(np.einsum("...i,ij,...j->...", points, metric, points))


@pytest.mark.parametrize("source", [(0.0, 0.0), (0.03, -0.05)])
def test_constant_metric_in_the_plane_is_exact(source):
    solution = solve(PLANE, plane_stencil(), np.full(PLANE.shape, 2.0), source)
    exact = distances(PLANE.nodes - np.array(source), TILTED) / 2
    assert solution.result == 0
    # Where offsets lead out of the grid, terms are missing.
    np.testing.assert_allclose(solution.times, exact, atol=0.05)
    inside = (slice(3, -3),) * 2
    np.testing.assert_allclose(solution.times[inside], exact[inside], atol=1e-14)


def test_constant_metric_in_space_is_exact():
    solver = LatticeEikonal((9, 9, 9), (1.0, 1.1, 0.9), (-4.0, -4.4, -3.6))
    dual = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.2], [0.1, -0.2, 1.5]])
    stencil = solver.stencil(dual[None, None, None])
    solution = jax.jit(solver.solve)(stencil, jnp.ones(solver.shape), jnp.zeros(3))
    inside = (slice(2, -2),) * 3
    exact = distances(solver.nodes, dual)[inside]
    np.testing.assert_allclose(solution.times[inside], exact, atol=1e-13)


def linear_error(n, dual):
    """Against v = 1 + 1.5 y_1 for y = A^-1 x, D = A A^T, whose rays are known."""
    solver = LatticeEikonal((n, n), (1 / (n - 1),) * 2)
    frame = np.linalg.inv(np.linalg.cholesky(dual))
    source = solver.nodes[n // 4, n // 3]
    points, start = solver.nodes @ frame.T, frame @ source
    speed = 1 + 1.5 * points[..., 0]
    square = np.sum((points - start) ** 2, -1)
    ratio = 1.5**2 * square / (2 * speed * (1 + 1.5 * start[0]))
    stencil = solver.stencil(dual[None, None])
    solution = solve(solver, stencil, speed, source)
    assert solution.result == 0
    exact = jnp.asarray(np.arccosh(1 + ratio) / 1.5)
    return float(relative_error(solution.times, exact))


def test_accuracy_where_velocity_is_linear():
    # 7.4e-4 is the error of an established factored code of first order.
    assert linear_error(71, np.eye(2)) <= 7.4e-4


@pytest.mark.slow
@pytest.mark.parametrize(("dual", "least"), [(np.eye(2), 0.95), (TILTED, 0.85)])
def test_order_of_convergence(dual, least):
    # Terms that are missing at the border cost a tilted metric some of its order: 0.88.
    errors = [linear_error(n, dual) for n in (36, 71, 141)]
    assert np.log2(errors[0] / errors[-1]) / 2 >= least


def half_plane(x):
    return jnp.eye(2, dtype=x.dtype) / x[1] ** 2


def test_half_plane():
    """Distances are arcosh(1 + |s - x|^2 / (2 s_2 x_2))."""
    solver = LatticeEikonal((41, 41), (0.025, 0.025), (0.0, 0.5))
    stencil = solver.stencil_of(RiemannianChart(2, half_plane))
    source = np.array([0.5, 1.0])
    solution = solve(solver, stencil, np.ones(solver.shape), source)
    square = np.sum((solver.nodes - source) ** 2, -1)
    exact = np.arccosh(1 + square / (2 * source[1] * solver.nodes[..., 1]))
    # Of first order: 2.2e-3 was measured.
    assert relative_error(solution.times, jnp.asarray(exact)) < 3e-3


def test_positions_and_headings_with_equal_costs_are_exact():
    space, source = PositionOrientation(2, xi=0.9), np.array([0.2, 0.0, np.pi / 2])
    solution = solve(ROOM, ROOM.stencil_of(space), np.ones(ROOM.shape), source)
    exact = space.distance(jnp.asarray(source), jnp.asarray(ROOM.nodes))
    np.testing.assert_allclose(solution.times, exact, atol=1e-13)


def test_quarter_turns_of_the_room_turn_the_times():
    model, source = speeds(ROOM), np.array([0.2, -0.4, np.pi / 4])

    def turn(grid):
        # (x, y, theta) -> (-y, x, theta + 90 degrees): two of eight headings.
        return np.roll(np.rot90(grid, axes=(0, 1)), 2, axis=2)

    times = solve(ROOM, room_stencil(), model, source).times
    moved = np.array([0.4, 0.2, source[2] + np.pi / 2])
    turned = solve(ROOM, room_stencil(), turn(model), moved).times
    np.testing.assert_allclose(turned, turn(np.asarray(times)), rtol=1e-12)


def test_headings_are_equal_modulo_full_turns():
    model, source = speeds(ROOM), np.array([0.2, -0.4, 0.3])
    times = solve(ROOM, room_stencil(), model, source).times
    again = solve(ROOM, room_stencil(), model, source + np.array([0, 0, 2 * np.pi]))
    np.testing.assert_allclose(again.times, times, rtol=1e-13)
    rolled = LatticeEikonal(
        ROOM.shape, ROOM.spacing, (-0.6, -0.6, np.pi / 2), ROOM.periodic, tolerance=0.0
    )
    model = np.roll(model, -2, axis=2)
    other = solve(rolled, rolled.stencil_of(CAR), model, source).times
    np.testing.assert_allclose(np.roll(other, 2, axis=2), times, rtol=1e-12)


def test_times_scale_and_fall_where_speed_rises():
    model, source = speeds(ROOM), np.array([0.0, 0.2, 1.0])
    times = np.asarray(solve(ROOM, room_stencil(), model, source).times)
    scaled = solve(ROOM, room_stencil(), 3 * model, source).times
    np.testing.assert_allclose(scaled, times / 3, rtol=1e-13)
    for seed in range(3):
        bump = np.random.default_rng(seed).uniform(size=model.shape) ** 8
        raised = solve(ROOM, room_stencil(), model * (1 + bump), source).times
        assert np.all(raised <= times * (1 + 1e-12))


def test_batch_equals_loop():
    models = np.stack([speeds(ROOM, seed) for seed in range(3)])
    sources = np.array([[0.0, 0.2, 1.0], [0.6, -0.6, 0.0], [-0.1, 0.3, 5.0]])
    masks = np.random.default_rng(0).uniform(size=models.shape) < 0.1
    batch = solver_of(ROOM)(room_stencil(), models, sources, masks)
    for i in range(3):
        alone = solve(ROOM, room_stencil(), models[i], sources[i], masks[i])
        np.testing.assert_allclose(batch.times[i], alone.times, rtol=1e-14)
        assert batch.num_rounds[i] == alone.num_rounds
        assert batch.result[i] == alone.result


@functools.cache
def derivatives(solver):
    random = np.random.default_rng(1)
    weights = jnp.asarray(random.normal(size=solver.shape))
    by_velocity = jnp.asarray(random.normal(size=solver.shape))
    by_source = jnp.asarray(random.normal(size=len(solver.shape)))

    def misfit(stencil, velocity, source, mask):
        times = solver.solve(stencil, velocity, source, mask=mask).times
        return jnp.sum(weights * jnp.where(jnp.isfinite(times), times, 0))

    @jax.jit
    def gradients(stencil, velocity, source, mask):
        slope = jax.grad(misfit, argnums=(1, 2))(stencil, velocity, source, mask)
        _, forward = jax.jvp(
            lambda v, s: misfit(stencil, v, s, mask),
            (velocity, source),
            (by_velocity, by_source),
        )
        return slope, forward

    return jax.jit(misfit), gradients, by_velocity, by_source


@pytest.mark.parametrize("case", ["plane", pytest.param("car", marks=pytest.mark.slow)])
def test_gradients_match_finite_differences(case):
    if case == "plane":
        solver, stencil, source = PLANE, plane_stencil(), [0.03, -0.05]
        mask = np.zeros(solver.shape, bool)
        mask[2, 3:7] = True
    else:
        solver, stencil, source = ROOM, room_stencil(), [0.03, -0.05, 0.3]
        mask = np.zeros(solver.shape, bool)
    misfit, gradients, dv, ds = derivatives(solver)
    velocity, source = jnp.asarray(speeds(solver)), jnp.asarray(source)
    (by_velocity, by_source), forward = gradients(stencil, velocity, source, mask)

    def difference(dv, ds):
        step = 1e-6
        ends = [
            misfit(stencil, velocity + h * dv, source + h * ds, mask)
            for h in (step, -step)
        ]
        return (ends[0] - ends[1]) / (2 * step)

    # 1e-6 is the project's bar.
    np.testing.assert_allclose(
        jnp.vdot(by_velocity, dv), difference(dv, 0 * ds), rtol=1e-6
    )
    np.testing.assert_allclose(
        jnp.vdot(by_source, ds), difference(0 * dv, ds), rtol=1e-6
    )
    expected = jnp.vdot(by_velocity, dv) + jnp.vdot(by_source, ds)
    np.testing.assert_allclose(forward, expected, rtol=1e-10)
    np.testing.assert_array_equal(by_velocity[mask], 0)


def test_no_offset_crosses_a_wall():
    """A closed wall one node thick, also where it is a diagonal line of nodes."""
    solver = LatticeEikonal((21, 21), (1.0, 1.0))
    strong = np.array([[1.0, 0.97], [0.97, 1.0]])
    stencil = solver.stencil(strong[None, None])
    assert np.max(np.abs(stencil.offsets)) >= 1
    rows, cols = np.meshgrid(np.arange(21), np.arange(21), indexing="ij")
    mask = np.abs(rows - 10) + np.abs(cols - 10) == 6
    for source in ([10.0, 10.0], [1.0, 2.0]):
        solution = solve(solver, stencil, np.ones(solver.shape), source, mask)
        inside = np.abs(rows - 10) + np.abs(cols - 10) < 6
        reached = np.isfinite(solution.times)
        np.testing.assert_array_equal(
            reached, ~mask & (inside == inside[10, int(source[0])])
        )
        assert solution.result == 2
        assert int(solution.num_unreached) == np.sum(~reached & ~mask)


def speed_beside(wall, x):
    """1 far from a box, slow beside it: what keeps rays at a distance from walls."""
    low, high = map(jnp.asarray, wall)
    gap = jnp.maximum(jnp.maximum(low - x[:2], x[:2] - high), 0)
    return jnp.clip(safe_norm(gap) / 0.3, 0.1, 1)


@pytest.mark.parametrize("case", ["plane", pytest.param("car", marks=pytest.mark.slow)])
def test_rays_go_around_walls_in_the_time_of_the_solution(case):
    wall = np.array([[-0.15, -1.25], [0.15, 0.35]])
    shape, spacing, origin = (25, 25), (0.1, 0.1), (-1.2, -1.2)
    source = jnp.array([-0.8, -0.5, 0.5])
    receivers = jnp.array([[0.7, -0.6, 1.0], [0.5, 0.9, 6.0], [-0.3, 0.2, 3.0]])
    if case == "plane":
        space, solver = Euclidean(2), LatticeEikonal(shape, spacing, origin)
        source, receivers = source[:2], receivers[:, :2]
    else:
        space = PositionOrientation(2, xi=2.0, eps=0.3)
        solver = LatticeEikonal(
            (*shape, 32),
            (*spacing, np.pi / 16),
            (*origin, 0.0),
            (False, False, True),
            factor_radius=1.0,
        )
    stencil = solver.stencil_of(space)
    model = jax.vmap(lambda x: speed_beside(wall, x))(
        jnp.asarray(solver.nodes).reshape(-1, solver.nodes.shape[-1])
    ).reshape(solver.shape)
    places = solver.nodes[..., :2]
    mask = np.all((places > wall[0]) & (places < wall[1]), axis=-1)

    @jax.jit
    def trace(receivers):
        solution = solver.solve(stencil, model, source, mask=jnp.asarray(mask))

        def times(x):
            return solver.times_at(stencil, solution, source, x)

        def ray(receiver):
            return trace_ray(
                jax.grad(times),
                lambda x: speed_beside(wall, x),
                space,
                source,
                receiver,
                step=0.05,
                max_steps=250,
            )

        return jax.vmap(times)(receivers), jax.vmap(ray)(receivers)

    times, rays = trace(receivers)
    assert np.all(rays.arrived)
    # Of first order on a coarse grid, times of the car are too long: 12 % was measured.
    np.testing.assert_allclose(rays.time, times, rtol=0.15)
    points = rays.points[..., :2]
    points = np.asarray(points)
    hit = np.all((points > wall[0]) & (points < wall[1]), axis=-1)
    assert not np.any(hit & np.asarray(rays.valid))


def test_times_between_nodes():
    model, source = speeds(PLANE), jnp.array([0.03, -0.05])
    solution = solve(PLANE, plane_stencil(), model, source)
    at = jax.jit(lambda sol, x: PLANE.times_at(plane_stencil(), sol, source, x))
    node = jnp.asarray(PLANE.nodes[3, 7])
    np.testing.assert_allclose(at(solution, node), solution.times[3, 7], rtol=1e-12)
    np.testing.assert_allclose(at(solution, source), 0, atol=1e-14)
    # A constant metric has no error between nodes either.
    solution = solve(PLANE, plane_stencil(), np.ones(PLANE.shape), source)
    x = np.array([0.13, 0.07])
    exact = distances(x - np.asarray(source), TILTED)
    found = at(solution, jnp.asarray(x))
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_upwind_derivatives_of_a_constant_metric_are_those_of_the_distance():
    source, model = jnp.array([0.03, -0.05]), jnp.full(PLANE.shape, 2.0)
    solution = solve(PLANE, plane_stencil(), model, source)
    slopes = PLANE.gradients(plane_stencil(), model, source, solution)
    offset = PLANE.nodes - np.array(source)
    exact = offset @ np.linalg.inv(TILTED) / distances(offset, TILTED)[..., None] / 2
    inside = (slice(3, -3),) * 2
    np.testing.assert_allclose(slopes[inside], exact[inside], atol=1e-13)
    middle = jnp.asarray(PLANE.nodes[3:5, 4:6].mean(axis=(0, 1)))
    mean = slopes[3:5, 4:6].mean(axis=(0, 1))
    np.testing.assert_allclose(PLANE.gradient_at(slopes, middle), mean, atol=1e-13)
    assert PLANE.is_close(source, source + jnp.array([0.2, -0.24]) * (1 - 1e-9))
    assert not PLANE.is_close(source, source + jnp.array([0.2, 0.25]))


@pytest.mark.parametrize(
    ("value", "source"),
    [(np.nan, (0.0, 0.0)), (-1.0, (0.0, 0.0)), (1.0, (5.0, 0.0)), (1.0, (np.nan, 0))],
)
def test_traced_nonsense_is_reported(value, source):
    velocity = np.ones(PLANE.shape)
    velocity[2, 3] = value
    solution = solve(PLANE, plane_stencil(), velocity, np.array(source, float))
    assert solution.result == 3
    assert np.all(np.isnan(solution.times))


def test_too_few_rounds_are_reported():
    solver = LatticeEikonal(PLANE.shape, PLANE.spacing, PLANE.origin, max_rounds=3)
    solution = solve(solver, plane_stencil(), np.ones(PLANE.shape), np.zeros(2))
    assert solution.result == 1
    assert solution.num_rounds == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": (5,), "spacing": (1.0,)}, "2 or 3 axes"),
        ({"shape": (5, 2)}, "`shape`"),
        ({"spacing": (1.0, 0.0)}, "`spacing`"),
        ({"periodic": (True,)}, "`periodic`"),
        ({"max_rounds": 0}, "`max_rounds`"),
        ({"tolerance": -1.0}, "`tolerance`"),
    ],
)
@pytest.mark.usefixtures("user_errors")
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        LatticeEikonal(**{"shape": (5, 6), "spacing": (1.0, 1.0)} | fields)


@pytest.mark.usefixtures("user_errors")
def test_bad_arguments_are_refused():
    ones, zero = jnp.ones(PLANE.shape), jnp.zeros(2)
    for dual, message in (
        (np.eye(2), "`dual` must be an array of shape"),
        (np.eye(3)[None, None], "`dual` must be an array of shape"),
        (np.ones((1, 1, 2, 2)), "positive definite"),
    ):
        with pytest.raises(ValueError, match=message):
            PLANE.stencil(dual)
    with pytest.raises(ValueError, match="must not be traced"):
        jax.jit(PLANE.stencil)(TILTED[None, None])
    with pytest.raises(ValueError, match="`space` must have 2 coordinates"):
        PLANE.stencil_of(Sphere(2))
    with pytest.raises(ValueError, match="positive definite"):
        ROOM.stencil_of(PositionOrientation(2, eps=0.0))
    with pytest.raises(ValueError, match="`stencil` was built for another grid"):
        PLANE.solve(room_stencil(), ones, zero)
    for velocity, source, mask, message in (
        (ones[1:], zero, None, "`velocity`"),
        (ones.astype(int), zero, None, "`velocity`"),
        (-ones, zero, None, "`velocity` must be finite and positive"),
        (ones, jnp.zeros(3), None, "`source`"),
        (ones, zero + 5, None, "`source` must be a point of the box"),
        (ones, zero, ones, "`mask`"),
    ):
        with pytest.raises(ValueError, match=message):
            PLANE.solve(plane_stencil(), velocity, source, mask=mask)


def test_checkpoints_can_name_the_solver():
    assert spec_from_json(spec_to_json(ROOM)) == ROOM
    assert hash(ROOM) == hash(spec_from_json(spec_to_json(ROOM)))
