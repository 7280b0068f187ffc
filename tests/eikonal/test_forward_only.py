"""Laws of travel times of cars that have no way back."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal._anisotropic_solver import LatticeEikonal
from eqjax.eikonal._geodesic import trace_ray
from eqjax.spaces import PositionOrientation

CAR = PositionOrientation(2, xi=1.3, eps=0.2, forward_only=True)
REVERSIBLE = PositionOrientation(2, xi=1.3, eps=0.2)
ROOM = LatticeEikonal(
    (9, 9, 12),
    (0.2, 0.2, np.pi / 6),
    (-0.8, -0.8, 0.0),
    (False, False, True),
    tolerance=0.0,
    factor_radius=0.5,
)
OFF_NODES = (0.03, -0.05, 0.3)


@functools.cache
def solver():
    """(stencil, velocities, source, masks) -> solutions, for several of both."""
    return jax.jit(
        jax.vmap(lambda k, v, s, m: ROOM.solve(k, v, s, mask=m), (None, 0, None, 0))
    )


@functools.cache
def stencil_of(space):
    return ROOM.stencil_of(space)


def solve_many(velocities, source, masks, space=CAR):
    source = jnp.asarray(source, float)
    return solver()(stencil_of(space), jnp.asarray(velocities), source, masks)


def solve(velocity, source, mask=None, space=CAR):
    # Two at a time, so that all tests share one compilation.
    mask = np.zeros(ROOM.shape, bool) if mask is None else mask
    both = solve_many(np.stack([velocity] * 2), source, np.stack([mask] * 2), space)
    return jax.tree.map(lambda leaf: leaf[0], both)


def speeds(seed=0):
    random, total = np.random.default_rng(seed), 0.0
    for wave in random.normal(size=(4, 3)) * [3, 3, 1]:
        phase = ROOM.nodes[..., :2] @ wave[:2] + random.uniform(0, 6)
        total = total + np.sin(phase + np.round(wave[2]) * ROOM.nodes[..., 2])
    return np.exp(0.2 * total)


def test_norms_lie_between_those_of_the_space_and_its_limit():
    stencil = stencil_of(CAR)
    covectors = np.random.default_rng(0).normal(size=(50, 1, 3))
    points = np.zeros((12, 3))
    points[:, 2] = np.pi / 6 * np.arange(12)
    offsets = stencil.offsets[0, 0] * np.array(ROOM.spacing)
    products = np.einsum("pnd,nkd->pnk", np.tile(covectors, (1, 12, 1)), offsets)
    assert stencil.one_sided is not None
    one_sided = stencil.one_sided[0, 0]
    used = np.where(one_sided, np.maximum(products, 0), products)
    weights = stencil.weights[0, 0]
    found = np.sum(weights * used**2, axis=-1)
    limit = PositionOrientation(2, xi=1.3, eps=0.0, forward_only=True)
    at = jnp.asarray(points)[None], jnp.asarray(covectors)
    assert np.all(found >= limit.dual_norm(*at) ** 2 - 1e-12)
    assert np.all(found <= CAR.dual_norm(*at) ** 2 + 1e-12)
    # Turns go both ways; so do offsets to the side, at quarter turns.
    kinds = np.sum(one_sided & (weights > 1e-9), axis=-1)
    np.testing.assert_array_equal(kinds[[0, 3, 6, 9]], 1)
    assert np.min(kinds) == 1
    assert np.max(kinds) == 3
    turns = np.any(offsets[..., 2:] != 0, axis=-1) & (weights > 1e-9)
    assert not np.any(one_sided & turns)


@pytest.mark.parametrize("source", [(0.0, 0.0, 0.0), OFF_NODES])
def test_times_are_at_least_those_with_a_way_back(source):
    models = np.stack([speeds(0), speeds(1)])
    masks = np.random.default_rng(0).uniform(size=models.shape) < 0.05
    forward = np.asarray(solve_many(models, source, masks).times)
    back = np.asarray(solve_many(models, source, masks, REVERSIBLE).times)
    reached = np.isfinite(forward)
    assert np.all(np.isfinite(back[reached]))
    gap = forward[reached] - back[reached]
    assert np.min(gap) >= -1e-12
    # Straight behind, a car without a way back has to turn twice.
    assert np.max(gap) > 2


def test_straight_ways_and_turns_are_exact():
    times = solve(np.full(ROOM.shape, 2.0), (-0.4, 0.0, 0.0)).times
    ahead = CAR.xi * 0.2 * np.arange(7) / 2
    np.testing.assert_allclose(times[2:, 4, 0], ahead, atol=1e-13)
    turn = np.pi / 6 * np.minimum(np.arange(12), 12 - np.arange(12)) / 2
    np.testing.assert_allclose(times[2, 4], turn, atol=1e-13)
    # Ahead, turned around: a turn in place and a drive are one way to get there.
    assert times[6, 4, 6] <= (CAR.xi * 0.8 + np.pi) / 2 + 1e-12
    # Behind, turned around: likewise, and there is no shorter way.
    behind = np.asarray(times[:2, 4, 6])
    assert np.all(behind >= np.pi / 2)
    assert np.all(behind <= (CAR.xi * np.array([0.4, 0.2]) + np.pi) / 2 + 1e-12)


def test_quarter_turns_of_the_room_turn_the_times():
    model, source = speeds(), np.array([0.2, -0.4, np.pi / 6])

    def turn(grid):
        # (x, y, theta) -> (-y, x, theta + 90 degrees): three of twelve headings.
        return np.roll(np.rot90(grid, axes=(0, 1)), 3, axis=2)

    times = solve(model, source).times
    turned = solve(turn(model), (0.4, 0.2, source[2] + np.pi / 2)).times
    np.testing.assert_allclose(turned, turn(np.asarray(times)), rtol=1e-12)


def test_times_fall_where_speed_rises():
    model, none = speeds(), np.zeros((2, *ROOM.shape), bool)
    times = np.asarray(solve(model, OFF_NODES).times)
    bumps = np.random.default_rng(0).uniform(size=none.shape) ** 8
    raised = solve_many(model * (1 + bumps), OFF_NODES, none).times
    assert np.all(raised <= times[None] * (1 + 1e-12))
    np.testing.assert_allclose(solve(3 * model, OFF_NODES).times, times / 3, rtol=1e-13)


def test_gradients_match_finite_differences():
    random = np.random.default_rng(1)
    weights = jnp.asarray(random.normal(size=ROOM.shape))
    by_velocity = jnp.asarray(random.normal(size=ROOM.shape))
    by_source = jnp.asarray(random.normal(size=3))
    mask = np.zeros(ROOM.shape, bool)
    mask[5, 3:6] = True
    stencil, arrays = stencil_of(CAR), (jnp.asarray(speeds()), jnp.asarray(OFF_NODES))

    def misfit(velocity, source):
        times = ROOM.solve(stencil, velocity, source, mask=jnp.asarray(mask)).times
        return jnp.sum(weights * jnp.where(jnp.isfinite(times), times, 0))

    def along(dv, ds):
        step = 1e-6
        ends = [arrays[0] + h * dv for h in (step, -step)]
        sources = [arrays[1] + h * ds for h in (step, -step)]
        values = jax.vmap(misfit)(jnp.stack(ends), jnp.stack(sources))
        return (values[0] - values[1]) / (2 * step)

    @jax.jit
    def both(dv, ds):
        slopes = jax.grad(misfit, argnums=(0, 1))(*arrays)
        found = jnp.stack([jnp.vdot(slopes[0], dv), jnp.vdot(slopes[1], ds)])
        zeros = jnp.zeros_like(dv), jnp.zeros_like(ds)
        expected = jax.vmap(along)(jnp.stack([dv, zeros[0]]), jnp.stack([zeros[1], ds]))
        return found, expected, slopes[0]

    found, expected, by_node = both(by_velocity, by_source)
    # 1e-6 is the project's bar.
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(by_node[mask], 0)


def test_walls_behind_change_nothing_ahead():
    model, source = np.ones(ROOM.shape), (0.0, 0.0, 0.0)
    mask = np.zeros(ROOM.shape, bool)
    mask[3, :] = True
    free, walled = solve(model, source), solve(model, source, mask)
    assert walled.result == 2  # The other side of the wall.
    assert np.all(np.isinf(walled.times[:4]))
    np.testing.assert_allclose(walled.times[4:, 4, 0], free.times[4:, 4, 0], rtol=1e-12)
    assert np.all(np.asarray(walled.times) >= np.asarray(free.times) * (1 - 1e-12))


def test_traced_nonsense_is_reported():
    model = np.ones(ROOM.shape)
    model[2, 3, 1] = np.nan
    assert solve(model, (0.0, 0.0, 0.0)).result == 3


@pytest.mark.usefixtures("user_errors")
def test_spaces_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="`space` must have 3 coordinates"):
        ROOM.stencil_of(PositionOrientation(3, forward_only=True))
    with pytest.raises(ValueError, match="positive definite"):
        ROOM.stencil_of(PositionOrientation(2, eps=0.0, forward_only=True))


@functools.cache
def rays():
    """Ways from one source to places ahead of it, beside and behind it."""
    fine = LatticeEikonal(
        (17, 17, 24),
        (0.15, 0.15, np.pi / 12),
        (-1.2, -1.2, 0.0),
        (False, False, True),
        factor_radius=0.5,
    )
    source = jnp.array([-0.3, -0.4, 0.5])
    receivers = jnp.array([[0.8, 0.5, 1.0], [-0.4, 0.8, 2.5], [-0.8, -0.7, 0.5]])
    stencil = fine.stencil_of(CAR)
    model = jnp.ones(fine.shape)
    solution = fine.solve(stencil, model, source)
    slopes = fine.gradients(stencil, model, source, solution)

    def times(x):
        return fine.times_at(stencil, solution, source, x)

    def ray(receiver):
        return trace_ray(
            lambda x: fine.gradient_at(slopes, x),
            lambda x: jnp.ones((), x.dtype),
            CAR,
            source,
            receiver,
            step=0.1,
            max_steps=90,
            is_close=lambda x: fine.is_close(source, x),
        )

    return jax.jit(lambda x: (jax.vmap(times)(x), jax.vmap(ray)(x)))(receivers)


@pytest.mark.slow
def test_rays_are_drives_ahead_from_the_source():
    times, found = rays()
    assert np.all(found.arrived)
    # Of first order on a coarse grid, times of short ways are up to 20 % too long.
    np.testing.assert_allclose(found.time, times, rtol=0.25)
    points, valid = np.asarray(found.points), np.asarray(found.valid)
    for way, ok in zip(points, valid, strict=True):
        way = way[ok]
        moves = way[:-1, :2] - way[1:, :2]
        middle = (way[:-1, 2] + way[1:, 2]) / 2
        ahead = np.cos(middle) * moves[:, 0] + np.sin(middle) * moves[:, 1]
        # But for the last segment, from within two nodes to the source.
        assert np.all(ahead[:-1] >= -1e-12)
        assert np.sum(ahead) > 0
