"""Laws of the velocity models."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from eqjax._core._specs import spec_from_json, spec_to_json
from eqjax.eikonal import GridVelocity, RadialVelocity

INTERPOLATIONS = ["linear", "slowness_linear", "cell", "cubic"]
SHAPE, SPACING, ORIGIN = (5, 7), (0.5, 0.25), (-1.0, 2.0)


def grid(interpolation, shape=SHAPE):
    return GridVelocity(shape, SPACING, ORIGIN, interpolation)


def draw_values(shape=SHAPE):
    return jnp.asarray(np.random.default_rng(0).uniform(1, 4, shape))


def nodes(spec):
    axes = [
        start + h * np.arange(n)
        for start, h, n in zip(spec.origin, spec.spacing, spec.shape, strict=True)
    ]
    return jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2))


@functools.partial(jax.jit, static_argnums=0)
def evaluate(spec, values, points):
    return jax.vmap(lambda x: spec.at(values, x))(points)


@functools.partial(jax.jit, static_argnums=(0, 2))
def refine(spec, values, factor):
    return spec.refine(values, factor)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_nodes_have_their_values(interpolation):
    spec, values = grid(interpolation), draw_values()
    # A few roundings; the logarithm and the reciprocal cost one or two more.
    np.testing.assert_allclose(
        evaluate(spec, values, nodes(spec)), values.ravel(), rtol=1e-14
    )


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_refined_values_are_those_of_the_interpolant(interpolation, factor):
    spec, values = grid(interpolation), draw_values()
    fine = spec.refined(factor)
    refined = refine(spec, values, factor)
    assert refined.shape == fine.shape
    np.testing.assert_array_equal(refined[::factor, ::factor].shape, SHAPE)
    np.testing.assert_allclose(
        refined.ravel(), evaluate(spec, values, nodes(fine)), rtol=1e-13
    )


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_interpolant_is_homogeneous_and_positive(interpolation):
    spec, values = grid(interpolation), draw_values()
    rough = values.at[2, 3].set(1e-3)
    points = nodes(spec.refined(4))
    one, ten = (evaluate(spec, c * rough, points) for c in (1.0, 10.0))
    assert one.min() > 0
    np.testing.assert_allclose(ten, 10 * one, rtol=1e-13)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_outside_the_box_the_nearest_point_counts(interpolation):
    spec, values = grid(interpolation), draw_values()
    outside = jnp.asarray([[-9.0, 2.6], [9.0, 2.6], [0.3, -9.0], [-9.0, 9.0]])
    nearest = jnp.asarray([[-1.0, 2.6], [1.0, 2.6], [0.3, 2.0], [-1.0, 3.5]])
    np.testing.assert_allclose(
        evaluate(spec, values, outside), evaluate(spec, values, nearest), rtol=1e-14
    )


def test_linear_and_slowness_linear_reproduce_their_polynomials():
    points = jnp.asarray(np.random.default_rng(1).uniform([-1, 2], [1, 3.5], (11, 2)))

    def linear(x):
        return 6 + x[..., 0] - 0.5 * x[..., 1]

    for name, speed in [
        ("linear", linear),
        ("slowness_linear", lambda x: 1 / linear(x)),
    ]:
        spec = grid(name)
        values = speed(nodes(spec)).reshape(SHAPE)
        np.testing.assert_allclose(
            evaluate(spec, values, points), speed(points), rtol=1e-13
        )


def test_cubic_is_of_third_order_up_to_the_edges():
    def speed(x):
        return jnp.exp(jnp.sin(2 * x[..., 0]) * x[..., 1] / 3)

    points = jnp.asarray(np.random.default_rng(1).uniform([-1, 2], [1, 3.5], (97, 2)))
    errors = []
    for level in (2, 4):
        spec = grid("cubic").refined(level)
        values = speed(nodes(spec)).reshape(spec.shape)
        errors.append(np.abs(evaluate(spec, values, points) - speed(points)).max())
    # Third order: a ratio of 8, less what higher terms still contribute.
    assert errors[0] / errors[1] > 7


def test_cubic_has_a_continuous_gradient():
    spec, values = grid("cubic"), draw_values()
    gradient = jax.jit(jax.vmap(jax.grad(lambda x: spec.at(values, x))))
    across = nodes(spec).reshape(*SHAPE, 2)[1:-1, 1:-1].reshape(-1, 2) + 0.03
    step = jnp.asarray([[0.03 + 1e-9, 0.0]])
    # v'' is of order 100 here, so the gradients at distance 2e-9 differ by 2e-7.
    np.testing.assert_allclose(
        gradient(across - step), gradient(across - step + 2e-9), atol=1e-5
    )


def test_cell_takes_the_nearest_node():
    spec, values = grid("cell"), draw_values()
    points = jnp.asarray([[-0.76, 2.12], [-0.74, 2.13], [-0.75, 2.0]])
    near, far, tie = evaluate(spec, values, points)
    assert near == values[0, 0]
    assert far == values[1, 1]
    np.testing.assert_allclose(tie, (values[0, 0] + values[1, 0]) / 2, rtol=1e-15)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_gradients_flow_to_the_values(interpolation):
    spec, values = grid(interpolation), draw_values()
    x = jnp.asarray([0.13, 2.41])
    direction = draw_values() - 2.5
    slope = jnp.vdot(jax.jit(jax.grad(lambda v: spec.at(v, x)))(values), direction)
    step = 1e-6
    ends = [
        evaluate(spec, values + sign * step * direction, x[None])[0] for sign in (1, -1)
    ]
    # Central differences: rounding 1e-16 / step beside an error of step^2.
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-8)


def test_float32_stays_float32():
    spec = grid("cubic")
    values = draw_values().astype(jnp.float32)
    points = jnp.zeros((1, 2), jnp.float32)
    assert evaluate(spec, values, points).dtype == jnp.float32
    assert refine(spec, values, 3).dtype == jnp.float32


@pytest.mark.parametrize(
    "change",
    [
        {"shape": (2, 5)},
        {"shape": (5, 5, 5)},
        {"spacing": (0.0, 1.0)},
        {"spacing": (float("nan"), 1.0)},
        {"origin": (float("inf"), 1.0)},
        {"interpolation": "spline"},
    ],
)
def test_invalid_grids_are_refused(change):
    options = {"shape": SHAPE, "spacing": SPACING, "origin": ORIGIN}
    (name,) = change
    with pytest.raises(ValueError, match=f"`{name}`"):
        GridVelocity(**{**options, **change})


def test_wrong_shapes_are_refused():
    spec = grid("linear")
    with pytest.raises(ValueError, match="`values`"):
        spec.at(jnp.ones((7, 5)), jnp.zeros(2))
    with pytest.raises(ValueError, match="`x`"):
        spec.at(jnp.ones(SHAPE), jnp.zeros(3))
    with pytest.raises(ValueError, match="`factor`"):
        spec.refine(jnp.ones(SHAPE), 0)


RADIAL = RadialVelocity((1.0, 3.0, 3.0, 4.0, 6.0), (11.0, 9.0, 13.0, 8.0, 8.0))


def test_radial_velocity_is_piecewise_linear():
    radii = jnp.asarray([0.2, 1.0, 2.0, 3.0, 3.5, 4.0, 5.0, 7.0])
    expected = [11.0, 11.0, 10.0, 13.0, 10.5, 8.0, 8.0, 8.0]
    at_radius = jax.jit(jax.vmap(RADIAL.at_radius))
    np.testing.assert_allclose(at_radius(radii), expected, rtol=1e-14)
    point, center = jnp.asarray([1.2, -1.6]), (5.0, 7.0)
    moved = RadialVelocity(RADIAL.radii, RADIAL.speeds, center=center)
    np.testing.assert_allclose(jax.jit(RADIAL.at)(point), 10.0, rtol=1e-14)
    np.testing.assert_allclose(
        jax.jit(moved.at)(point + jnp.asarray(center)), 10.0, rtol=1e-14
    )


@functools.partial(jax.jit, static_argnums=(0, 2))
def average(velocity, points, width):
    return jax.vmap(lambda x: velocity.averaged(x, width))(points)


@pytest.mark.parametrize("width", [0.5, 1.3])
def test_averaged_velocity_is_the_exact_mean_of_slowness(width):
    def slowness(radius):
        # The specification itself, in NumPy.
        radius = min(max(abs(radius), 1.0), 6.0)
        k = min(np.searchsorted(RADIAL.radii, radius, side="right"), 4) - 1
        ends = slice(k, k + 2)
        return 1 / np.interp(radius, RADIAL.radii[ends], RADIAL.speeds[ends])

    radii = np.array([0.0, 0.3, 2.0, 2.9, 3.0, 3.7, 5.9, 6.3])
    averaged = average(RADIAL, jnp.asarray(radii)[:, None], width)
    for radius, value in zip(radii, averaged, strict=True):
        low, high = radius - width / 2, radius + width / 2
        kinks = [k for k in (-1.0, 0.0, 1.0, 3.0, 4.0, 6.0) if low < k < high]
        integral, _ = scipy.integrate.quad(slowness, low, high, points=kinks or None)
        # Piecewise smooth: quadrature is exact to rounding.
        np.testing.assert_allclose(value, width / integral, rtol=1e-11)


def test_averaged_velocity_is_exact_in_float32():
    points = jnp.asarray(np.linspace(0.1, 6.3, 41))[:, None]
    earth = RadialVelocity(tuple(1e3 * r for r in RADIAL.radii), RADIAL.speeds)
    double, single = (
        average(earth, (1e3 * points).astype(dtype), 2.0)
        for dtype in (jnp.float64, jnp.float32)
    )
    assert single.dtype == jnp.float32
    # Radii of 6300 are rounded by 2.4e-4 of them 1.2e-7; a width of 2 then by 1e-4.
    np.testing.assert_allclose(single, double, rtol=5e-4)


def test_radial_gradient_is_finite_at_the_center():
    for velocity in (RADIAL.at, lambda x: RADIAL.averaged(x, 0.5)):
        gradient = jax.jit(jax.grad(velocity))(jnp.zeros(2))
        np.testing.assert_array_equal(gradient, jnp.zeros(2))


@pytest.mark.parametrize(
    ("radii", "speeds", "name"),
    [
        ((0.0, 2.0, 1.0), (1.0, 1.0, 1.0), "radii"),
        ((0.0, 1.0), (1.0,), "radii"),
        ((0.0,), (1.0,), "radii"),
        ((0.0, 1.0, 1.0, 1.0, 2.0), (1.0,) * 5, "radii"),
        ((0.0, 0.0, 1.0), (1.0,) * 3, "radii"),
        ((-1.0, 1.0), (1.0, 1.0), "radii"),
        ((0.0, float("nan")), (1.0, 1.0), "radii"),
        ((0.0, 1.0), (1.0, 0.0), "speeds"),
        ((0.0, 1.0), (1.0, -2.0), "speeds"),
        ((0.0, 1.0), (1.0, float("nan")), "speeds"),
    ],
)
def test_invalid_tables_are_refused(radii, speeds, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        RadialVelocity(radii, speeds)


def test_width_must_be_positive():
    with pytest.raises(ValueError, match="`width`"):
        RADIAL.averaged(jnp.ones(2), 0.0)


@pytest.mark.parametrize("spec", [RADIAL, grid("cell")])
def test_specs_survive_json(spec):
    assert spec_from_json(spec_to_json(spec)) == spec
    assert hash(spec_from_json(spec_to_json(spec))) == hash(spec)
