"""Potential flow about Joukowski airfoils."""

import numpy as np
import pytest

from eqjax.data import _potential_flow as flow

AIRFOILS = (flow.Airfoil(0.08, 0.0), flow.Airfoil(0.15, 0.1), flow.Airfoil(0.05, -0.07))
INFLOWS = (np.array([1.0, 0.0]), np.array([1.2, 0.3]), np.array([-0.4, -0.9]))
CASES = list(zip(AIRFOILS, INFLOWS, strict=True))


def points_outside(airfoil: flow.Airfoil, num: int, margin: float) -> np.ndarray:
    points = np.random.default_rng(0).uniform(-1, 1, (num, 2))
    return points[flow.airfoil_distance(airfoil, points) > margin]


def polygon(airfoil: flow.Airfoil, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Middles (by angle) and vectors of the sides of a fine polygon."""
    fine = flow.airfoil_outline(airfoil, 2 * num)
    corners = fine[::2]
    return fine[1::2], np.roll(corners, -1, axis=0) - corners


@pytest.mark.parametrize(("airfoil", "inflow"), CASES)
def test_no_flow_through_the_outline(airfoil: flow.Airfoil, inflow: np.ndarray) -> None:
    num = 4000
    middles, sides = polygon(airfoil, num)
    velocity = flow.airfoil_flow(airfoil, inflow, middles).velocity
    through = velocity[:, 0] * sides[:, 1] - velocity[:, 1] * sides[:, 0]
    lengths = np.linalg.norm(sides, axis=1)
    # Sides deviate from tangents by their length squared over a radius of curvature
    # of at least 1e-3 at the nose; sides are 1e-3 or shorter.
    speeds = np.linalg.norm(velocity, axis=1)
    assert np.max(np.abs(through) / lengths / (1 + speeds)) < 1e-3
    assert abs(through.sum()) < 1e-6


@pytest.mark.parametrize(("airfoil", "inflow"), CASES)
def test_flow_is_free_of_divergence_and_curl(
    airfoil: flow.Airfoil, inflow: np.ndarray
) -> None:
    points, h = points_outside(airfoil, 500, 0.02), 1e-5

    def difference(axis: int) -> np.ndarray:
        step = h * np.eye(2)[axis]
        right = flow.airfoil_flow(airfoil, inflow, points + step).velocity
        return (right - flow.airfoil_flow(airfoil, inflow, points - step).velocity) / (
            2 * h
        )

    along_x, along_y = difference(0), difference(1)
    # h^2 times third derivatives, which are below 1e3 at this distance.
    assert np.max(np.abs(along_x[:, 0] + along_y[:, 1])) < 1e-6
    assert np.max(np.abs(along_x[:, 1] - along_y[:, 0])) < 1e-6
    assert np.max(np.abs(along_x)) > 0.1


@pytest.mark.parametrize(("airfoil", "inflow"), CASES)
def test_far_away_is_the_inflow(airfoil: flow.Airfoil, inflow: np.ndarray) -> None:
    points = 1e7 * np.array([[1.0, 0], [0, 1], [-1, 0], [-0.6, -0.8]])
    found = flow.airfoil_flow(airfoil, inflow, points)
    # The circulation, of order 1, over the distance.
    np.testing.assert_allclose(found.velocity, np.tile(inflow, (4, 1)), atol=1e-6)
    np.testing.assert_allclose(found.pressure, 0, atol=1e-6)


@pytest.mark.parametrize(("airfoil", "inflow"), CASES)
def test_flow_leaves_the_cusp_at_finite_speed(
    airfoil: flow.Airfoil, inflow: np.ndarray
) -> None:
    cusp = np.array([[0.5, 0.0]])
    angle = np.arctan2(inflow[1], inflow[0]) - np.angle(1 - airfoil.center)
    speed = np.linalg.norm(inflow) * abs(np.cos(angle)) / airfoil.radius
    found = flow.airfoil_flow(airfoil, inflow, cusp).velocity
    # The branch point of the square root: the root of the rounding error.
    np.testing.assert_allclose(np.linalg.norm(found), speed, rtol=1e-7)
    # And continuously, from all sides: the speed leaves it like the square root.
    turns = np.linspace(0, 2 * np.pi, 50)
    around = 1e-10 * np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    outside = around[flow.airfoil_distance(airfoil, cusp + around) > 0]
    near = flow.airfoil_flow(airfoil, inflow, cusp + outside).velocity
    np.testing.assert_allclose(near, np.tile(found, (len(near), 1)), atol=1e-4)


@pytest.mark.parametrize(("airfoil", "inflow"), CASES)
def test_pressure_lifts_as_circulation_says(
    airfoil: flow.Airfoil, inflow: np.ndarray
) -> None:
    middles, sides = polygon(airfoil, 20_000)
    found = flow.airfoil_flow(airfoil, inflow, middles)
    circulation = np.sum(found.velocity * sides)
    # The rule of middles on a smooth periodic function of the angle, but polygons.
    expected = flow.airfoil_circulation(airfoil, inflow)
    np.testing.assert_allclose(circulation, expected, atol=1e-6)
    # Force of the pressure: minus the integral of p n, n outwards.
    normals = np.stack([sides[:, 1], -sides[:, 0]], axis=-1)
    speed = np.linalg.norm(inflow)
    force = -np.sum(found.pressure[:, None] * normals, axis=0) * speed**2 / 2
    lift = -circulation * np.array([-inflow[1], inflow[0]])
    np.testing.assert_allclose(force, lift, atol=1e-5)


@pytest.mark.parametrize("airfoil", AIRFOILS)
def test_distances_are_those_from_the_outline(airfoil: flow.Airfoil) -> None:
    rng = np.random.default_rng(1)
    cusp = np.array([0.5, 0.0])
    points = np.concatenate(
        [
            rng.uniform(-1, 1, (200, 2)),
            rng.uniform(-0.5, 0.5, (200, 2)) * [1, 0.2],
            cusp + 1e-3 * rng.normal(size=(50, 2)),
            [-0.5, 0.0] + 1e-2 * rng.normal(size=(50, 2)),
        ]
    )
    found = flow.airfoil_distance(airfoil, points)
    outline = flow.airfoil_outline(airfoil, 8_000)
    sides = np.roll(outline, -1, axis=0) - outline
    # Distances from the sides of a polygon: 4e-4^2 / 8 over a radius above 0.01.
    near = np.argmin(np.linalg.norm(points[:, None] - outline, axis=-1), axis=1)
    expected = np.full(len(points), np.inf)
    for k in (near, near - 1):
        gap = points - outline[k]
        t = np.clip(np.sum(gap * sides[k], 1) / np.sum(sides[k] ** 2, 1), 0, 1)
        expected = np.minimum(
            expected, np.linalg.norm(gap - t[:, None] * sides[k], axis=1)
        )
    np.testing.assert_allclose(np.abs(found), expected, atol=2e-6)
    # Inside is where the polygon winds about the point.
    corners = outline[:, 0] + 1j * outline[:, 1]
    z = points[:, 0] + 1j * points[:, 1]
    rays = corners[None, ::2] - z[:, None]
    angles = np.angle(np.roll(rays, -1, axis=1) / rays).sum(axis=1)
    clear = np.abs(found) > 1e-5
    np.testing.assert_array_equal(found[clear] < 0, np.abs(angles[clear]) > np.pi)
    assert np.any(found < 0)
    moved = flow.airfoil_distance(airfoil, flow.airfoil_outline(airfoil, 777))
    np.testing.assert_allclose(moved, 0, atol=1e-9)


def test_bad_flows_are_refused(user_errors: None) -> None:
    airfoil, inflow = AIRFOILS[1], INFLOWS[0]
    inside = np.array([[-0.2, 0.03], [2.0, 2.0]])
    for call, message in [
        (lambda: flow.airfoil_flow(airfoil, inflow, inside), "got 1 inside"),
        (lambda: flow.airfoil_flow(airfoil, 0 * inflow, inside[1:]), "inflow"),
        (lambda: flow.airfoil_distance(flow.Airfoil(0.0, 0.1), inside), "`thickness`"),
        (lambda: flow.airfoil_outline(flow.Airfoil(0.1, np.nan), 3), "`camber`"),
        (lambda: flow.airfoil_distance(airfoil, inside[:, :1]), "`points`"),
        (lambda: flow.airfoil_distance(airfoil, inside * np.nan), "`points`"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
