"""Laws of the grid solver: values. Those of its derivatives are in test_adjoint.py."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax._core._specs import spec_from_json, spec_to_json
from eqjax.eikonal import GridEikonal, GridVelocity, relative_error
from tests.eikonal.grid_cases import (
    BETWEEN,
    GRADIENT,
    NODE,
    ORIGIN,
    SHAPE,
    SOLVER,
    SOLVERS,
    SPACING,
    batched,
    grid_points,
    jitted,
    linear_model,
    linear_times,
    smooth_model,
    unit_solver,
)


def linear_error(solver, source):
    solution = jitted(solver)(linear_model(solver), source)
    assert solution.result == 0
    exact = linear_times(source, grid_points(solver))
    return float(relative_error(solution.times, jnp.asarray(exact)))


# 4.9e-5 and 1.4e-5 are the errors of an established factored fast marching code on
# this problem; the bars are the project's.
@pytest.mark.parametrize(("n", "bar"), [(71, 5.0e-5), (141, 1.6e-5)])
def test_accuracy_where_velocity_is_linear(n, bar):
    assert linear_error(unit_solver(n), np.array([n // 4, n // 3]) / (n - 1)) <= bar
    # A source between nodes is no worse.
    assert linear_error(unit_solver(n), np.array([0.3123, 0.4567])) <= bar


@pytest.mark.slow
@pytest.mark.parametrize(("order", "least"), [(1, 0.95), (2, 1.7)])
@pytest.mark.parametrize("on_node", [True, False])
def test_order_of_convergence(order, least, on_node):
    errors = []
    for n in (71, 141, 281):
        node = np.array([n // 4, n // 3]) / (n - 1)
        source = node if on_node else np.array([0.3123, 0.4567])
        errors.append(linear_error(unit_solver(n, order), source))
    # The spacing halves twice. A source that moves against the nodes from grid to grid
    # makes single steps uneven, so the order is that over both.
    assert np.log2(errors[0] / errors[-1]) / 2 >= least


@pytest.mark.parametrize("source", [NODE, BETWEEN])
@pytest.mark.parametrize("order", [1, 2])
def test_constant_velocity_is_exact(order, source):
    solution = jitted(SOLVERS[order])(jnp.full(SHAPE, 2.5), source)
    distance = np.linalg.norm(grid_points(SOLVER) - source, axis=-1)
    np.testing.assert_allclose(solution.times, distance / 2.5, atol=1e-13)


def test_constant_velocity_is_exact_in_space():
    solver = GridEikonal((7, 5, 6), (0.1, 0.12, 0.09), tolerance=0.0, max_rounds=30)
    for source in ([0.2, 0.24, 0.27], [0.21, 0.3, 0.2]):
        solution = jitted(solver)(jnp.full(solver.shape, 2.5), jnp.asarray(source))
        distance = np.linalg.norm(grid_points(solver) - source, axis=-1)
        assert solution.result == 0
        np.testing.assert_allclose(solution.times, distance / 2.5, atol=1e-13)


@pytest.mark.slow
def test_accuracy_in_space():
    errors = []
    for n in (9, 17, 33):
        solver = GridEikonal((n,) * 3, (1 / (n - 1),) * 3)
        errors.append(linear_error(solver, np.array([0.25, 0.375, 0.5])))
    assert np.log2(errors[0] / errors[-1]) / 2 >= 1.7
    # 2.2e-4 is the error of an established code at n = 33; 5 % are the gate.
    assert errors[-1] <= 1.05 * 2.2e-4


def images(array, num_axes):
    """All images of an array under permutations and flips of its axes."""
    for permutation in itertools.permutations(range(num_axes)):
        for flips in itertools.product((False, True), repeat=num_axes):
            axes = tuple(i for i, flipped in enumerate(flips) if flipped)
            yield np.flip(np.transpose(array, permutation), axes)


def point_images(point, last):
    """The images of a position in units of nodes, in the same order."""
    num_axes = len(point)
    for permutation in itertools.permutations(range(num_axes)):
        for flips in itertools.product((False, True), repeat=num_axes):
            yield np.where(
                flips, last - point[list(permutation)], point[list(permutation)]
            )


@pytest.mark.parametrize(
    ("num_axes", "order"),
    [
        (2, 2),
        pytest.param(2, 1, marks=pytest.mark.slow),
        pytest.param(3, 2, marks=pytest.mark.slow),
    ],
)
def test_symmetries_of_the_square(num_axes, order):
    n = {2: 12, 3: 6}[num_axes]
    solver = GridEikonal(
        (n,) * num_axes, (1.0,) * num_axes, order=order, tolerance=0.0, max_rounds=40
    )
    model = np.asarray(smooth_model(GridEikonal(solver.shape, (0.1,) * num_axes)))
    models = np.stack(list(images(model, num_axes)))
    for source in ([2.25, 3.5, 1.625], [2.0, 4.0, 3.0]):
        sources = np.stack(list(point_images(np.array(source[:num_axes]), n - 1)))
        times = batched(solver)(models, sources).times
        expected = np.stack(list(images(np.asarray(times[0]), num_axes)))
        # The fixed point does not depend on the order of the sweeps.
        np.testing.assert_allclose(times, expected, rtol=0, atol=1e-12 * expected.max())


def test_batch_equals_loop():
    models = jnp.stack([smooth_model(SOLVER, seed) for seed in range(4)])
    sources = jnp.asarray([NODE, BETWEEN, ORIGIN, [0.31, 0.25]])
    batch = batched(SOLVER)(models, sources)
    for i in range(4):
        alone = jitted(SOLVER)(models[i], sources[i])
        np.testing.assert_allclose(batch.times[i], alone.times, rtol=1e-14)
        assert batch.num_rounds[i] == alone.num_rounds


def test_reciprocity_and_triangle_inequality():
    points = jnp.asarray([[-0.03, 0.31], [0.33, 0.82], [0.17, 0.52], [0.0, 0.8]])
    velocity = jnp.broadcast_to(smooth_model(SOLVER, roughness=0.1), (4, *SHAPE))
    solutions = batched(SOLVER)(velocity, points)
    at = jax.vmap(SOLVER.times_at, in_axes=(None, None, 0))
    times = jax.jit(jax.vmap(at, in_axes=(0, 0, None)))(solutions, points, points)
    # The discretization error of so coarse a grid: 3.3e-3 was measured, and 6e-4 on one
    # that is 4 times finer.
    np.testing.assert_allclose(times, times.T, rtol=6e-3)
    np.testing.assert_array_equal(np.diagonal(times), 0)
    for i, j, k in itertools.permutations(range(4), 3):
        assert times[i, j] <= (times[i, k] + times[k, j]) * (1 + 6e-3)


@pytest.mark.parametrize("source", [NODE, BETWEEN])
def test_scaling_law(source):
    velocity = smooth_model(SOLVER)
    times = jitted(SOLVER)(velocity, source).times
    scaled = jitted(SOLVER)(2.5 * velocity, source).times
    np.testing.assert_allclose(scaled, times / 2.5, rtol=1e-13)


@pytest.mark.parametrize("order", [1, 2])
def test_times_are_monotone_in_velocity(order):
    velocity = smooth_model(SOLVER)
    faster = velocity * (1 + 0.2 * smooth_model(SOLVER, seed=5))
    slow, fast = (jitted(SOLVERS[order])(v, BETWEEN).times for v in (velocity, faster))
    assert np.all(fast <= slow)


def test_source_may_cross_a_line_of_nodes():
    for n in (71, 141):
        solver, h = unit_solver(n), 1 / (n - 1)
        velocity = linear_model(solver)
        sources = [[0.5 + shift, 0.3 + 0.4 * h] for shift in (-1e-9, 0.0, 1e-9)]
        before, on, behind = (
            jitted(solver)(velocity, np.array(source)).times for source in sources
        )
        # O(h^2); 0.03 to 0.1 h^2 were measured.
        np.testing.assert_allclose(before, on, rtol=0, atol=0.2 * h**2)
        np.testing.assert_allclose(behind, on, rtol=0, atol=0.2 * h**2)


def test_times_between_nodes():
    solver, source = unit_solver(71), np.array([0.3123, 0.4567])
    solution = jitted(solver)(linear_model(solver), source)
    at = jax.jit(
        jax.vmap(jax.value_and_grad(lambda x: solver.times_at(solution, source, x)))
    )
    points = np.random.default_rng(0).uniform(0, 1, (101, 2))
    times, gradients = at(jnp.asarray(points))
    exact = linear_times(source, points)
    assert np.linalg.norm(times - exact) <= 5e-5 * np.linalg.norm(exact)
    # The eikonal equation itself, for the interpolated times.
    speeds = 1 + GRADIENT * points[:, 0]
    np.testing.assert_allclose(np.linalg.norm(gradients, axis=1) * speeds, 1, atol=1e-2)
    nodes = grid_points(solver)[::7, ::9]
    times, _ = at(jnp.asarray(nodes.reshape(-1, 2)))
    np.testing.assert_allclose(times, solution.times[::7, ::9].ravel(), atol=1e-13)
    time, gradient = at(jnp.asarray(source)[None])
    assert time[0] == 0
    assert np.all(np.isfinite(gradient))


def room(door):
    mask = np.zeros(SHAPE, bool)
    mask[3:8, [4, 9]] = True
    mask[[3, 7], 4:10] = True
    if door:
        mask[5, 9] = False
    return mask


@pytest.fixture(scope="module")
def masked_solve():
    return jax.jit(lambda v, source, mask: SOLVER.solve(v, source, mask=mask))


def test_closed_room_is_not_reached(masked_solve):
    mask = room(door=False)
    solution = masked_solve(jnp.ones(SHAPE), jnp.asarray(ORIGIN), mask)
    inside = np.zeros(SHAPE, bool)
    inside[4:7, 5:9] = True
    assert solution.result == 2
    assert int(solution.num_unreached) == inside.sum()
    np.testing.assert_array_equal(np.isinf(solution.times), inside | mask)
    point = jnp.asarray(ORIGIN) + jnp.asarray([0.25, 0.4])
    assert SOLVER.times_at(solution, ORIGIN, point) == jnp.inf


def test_detour_through_the_door(masked_solve):
    mask = room(door=True)
    solution = masked_solve(jnp.ones(SHAPE), jnp.asarray(ORIGIN), mask)
    assert solution.result == 0
    np.testing.assert_array_equal(np.isinf(solution.times), mask)
    # Past the corner of the room to the door, and in.
    legs = np.array([[0, 0], [0.4, 0.54], [0.25, 0.54], [0.25, 0.3]])
    detour = np.linalg.norm(np.diff(legs, axis=0), axis=1).sum()
    # First order around corners, with walls that are one node thick.
    np.testing.assert_allclose(solution.times[5, 5], detour, rtol=0.25)
    assert solution.times[5, 5] > 2 * np.hypot(0.25, 0.3)


def test_absent_velocity_does_not_matter(masked_solve):
    mask, velocity = room(door=True), smooth_model(SOLVER)
    expected = masked_solve(velocity, jnp.asarray(ORIGIN), mask)
    holes = jnp.where(mask, jnp.nan, velocity)
    np.testing.assert_array_equal(
        masked_solve(holes, jnp.asarray(ORIGIN), mask).times, expected.times
    )
    # Nor are the holes refused where values can be looked at.
    jax.eval_shape(lambda: SOLVER.solve(holes, ORIGIN, mask=mask))
    with pytest.raises(ValueError, match="`velocity`"):
        SOLVER.solve(holes, ORIGIN)


def test_result_codes_of_traced_values():
    velocity, source = jnp.ones(SHAPE), jnp.asarray(NODE)
    assert jitted(SOLVER)(velocity, source).result == 0
    bad = [
        (velocity.at[3, 4].set(jnp.nan), source),
        (velocity.at[3, 4].set(jnp.inf), source),
        (velocity.at[3, 4].set(-1.0), source),
        (velocity.at[3, 4].set(0.0), source),
        (velocity, source.at[0].set(jnp.nan)),
        (velocity, source.at[1].set(0.93)),
        (velocity, source.at[0].set(-0.11)),
    ]
    for values in bad:
        solution = jitted(SOLVER)(*values)
        assert solution.result == 3
        assert np.all(np.isnan(solution.times))


@pytest.mark.slow
def test_too_few_rounds_are_reported():
    solver = GridEikonal(SHAPE, SPACING, ORIGIN, max_rounds=1, tolerance=0.0)
    solution = jitted(solver)(smooth_model(solver, roughness=1.0), BETWEEN)
    assert solution.result == 1
    assert solution.num_rounds == 1
    assert solution.last_change > 0
    assert np.all(np.isfinite(solution.times))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"velocity": jnp.ones((13, 11))}, "velocity"),
        ({"velocity": jnp.ones(SHAPE, int)}, "velocity"),
        ({"velocity": jnp.ones(SHAPE).at[2, 2].set(jnp.nan)}, "velocity"),
        ({"velocity": -jnp.ones(SHAPE)}, "velocity"),
        ({"source": jnp.asarray([0.1, 0.3, 0.3])}, "source"),
        ({"source": jnp.asarray([0.1, 1.0])}, "source"),
        ({"source": jnp.asarray([jnp.nan, 0.3])}, "source"),
        ({"mask": jnp.ones(SHAPE)}, "mask"),
        ({"mask": jnp.ones((3, 3), bool)}, "mask"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, name):
    values = {"velocity": jnp.ones(SHAPE), "source": jnp.asarray(NODE), **change}
    velocity, source = values.pop("velocity"), values.pop("source")
    with pytest.raises(ValueError, match=f"`{name}`"):
        SOLVER.solve(velocity, source, **values)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": (11, 2)},
        {"spacing": (0.1,)},
        {"spacing": (0.1, -0.1)},
        {"order": 3},
        {"max_rounds": 0},
        {"tolerance": -1.0},
        {"interpolation": "nearest"},
    ],
)
def test_invalid_specs_are_refused(change):
    (name,) = change
    with pytest.raises(ValueError, match=f"`{name}`"):
        GridEikonal(**{"shape": SHAPE, "spacing": SPACING, **change})


def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="2 or 3 axes"):
        GridEikonal((5,) * 4, (1.0,) * 4)


def test_memory_layout_does_not_matter():
    velocity = np.array(smooth_model(SOLVER))
    expected = jitted(SOLVER)(velocity, BETWEEN)
    fortran = jitted(SOLVER)(np.asfortranarray(velocity), BETWEEN)
    np.testing.assert_array_equal(fortran.times, expected.times)


def test_float32_stays_float32():
    velocity = smooth_model(SOLVER)
    single = jitted(SOLVER)(velocity.astype(jnp.float32), BETWEEN.astype(np.float32))
    assert single.times.dtype == single.tau.dtype == jnp.float32
    assert single.result == 0
    # Roundings of 6e-8 along a path of a dozen nodes.
    expected = jitted(SOLVER)(velocity, BETWEEN).times
    np.testing.assert_allclose(single.times, expected, rtol=1e-5)


def test_interpolation_counts_around_the_source():
    # The corners of the source's cell start with the mean slowness on the way there.
    velocity = smooth_model(SOLVER, roughness=1.0)
    source, corner = np.array([0.11, 0.57]), np.array([0.15, 0.56])
    points = jnp.linspace(source, corner, 1001)
    for interpolation in ("linear", "slowness_linear"):
        solver = GridEikonal(
            SHAPE,
            SPACING,
            ORIGIN,
            tolerance=0.0,
            max_rounds=30,
            interpolation=interpolation,
        )
        model = GridVelocity(SHAPE, SPACING, ORIGIN, interpolation)
        assert solver.velocity == model
        slowness = 1 / jax.vmap(model.at, in_axes=(None, 0))(velocity, points)
        tau = jitted(solver)(velocity, source).tau[5, 6]
        # Simpson's rule with 5 points.
        np.testing.assert_allclose(tau, jnp.mean(slowness), rtol=1e-3)


def test_spec_survives_json():
    assert spec_from_json(spec_to_json(SOLVER)) == SOLVER
