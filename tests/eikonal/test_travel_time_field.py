"""Neural travel times: what holds for any parameters, trained or not."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.eikonal import PairInvariant, SingleTravelTimeField, TravelTimeField
from eqjax.fields import Absolute, RelativePoint, RelativePose
from eqjax.groups import SE, SO, O
from eqjax.spaces import PositionOrientation, Sphere
from tests import field_cases as cases

BOUNDS = jnp.array([1.3, 5.9])
B = RelativePose(SE(2))
# Different kinds of spaces, metrics and invariants.
ROWS = (
    B,
    RelativePoint(Sphere(2), group=SO(3)),
    RelativePoint(cases.SIDLING_CAR),
)
some_rows = pytest.mark.parametrize("b", ROWS, ids=cases.row_name)


def setup(b, **options):
    field = cases.tiny_travel_times(b, head_layers=1, **options)
    return field, cases.random_params(field, 0), cases.random_latents(b, 1)


def pairs(b, num=7):
    return cases.random_points(b.space, num, 2), cases.random_points(b.space, num, 3)


@functools.partial(jax.jit, static_argnums=0)
def times(field, params, latents, sources, receivers, bounds):
    prepared = field.prepare(params, latents)
    return jax.vmap(lambda s, r: field.times(params, prepared, s, r, bounds))(
        sources, receivers
    )


@functools.partial(jax.jit, static_argnums=0)
def times_and_slowness(field, params, latents, sources, receivers, bounds):
    prepared = field.prepare(params, latents)
    return jax.vmap(
        lambda s, r: field.times_and_slowness(params, prepared, s, r, bounds)
    )(sources, receivers)


def assert_steerable(fn, b):
    """fn(g s, g r; g z) = fn(s, r; z), to rounding through a dozen layers."""
    field, params, latents = setup(b)
    s, r = pairs(b)
    want = fn(field, params, latents, s, r, BOUNDS)
    elements = cases.random_elements(b.symmetry, 2, 4)
    for i in range(2):
        g = jax.tree.map(lambda leaf, i=i: leaf[i], elements)
        move = jax.vmap(lambda x, g=g: cases.move_point(b, g, x))
        z = cases.move_latents(b, g, latents)
        got = fn(field, params, z, move(s), move(r), BOUNDS)
        for leaf, other in zip(
            jax.tree.leaves(got), jax.tree.leaves(want), strict=True
        ):
            np.testing.assert_allclose(leaf, other, rtol=1e-10)


@some_rows
def test_times_and_slowness_are_steerable(b):
    assert_steerable(times_and_slowness, b)


# Every row compiles for a second; their invariants are tested by themselves, and
# tests/registry_fields.py has more.
QUICK = (
    RelativePose(O(3)),
    RelativePoint(cases.PLANE, pose_space=cases.CAR, scale=1.7),
)


@pytest.mark.parametrize(
    "b",
    [
        pytest.param(b, marks=() if b in QUICK else pytest.mark.slow)
        for b in cases.BI_INVARIANTS
    ],
    ids=cases.row_name,
)
def test_times_are_steerable(b):
    assert_steerable(times, b)


@pytest.mark.parametrize(
    ("b", "dtype"), [(ROWS[0], "float32"), *((b, "float64") for b in ROWS)], ids=str
)
def test_exchanging_source_and_receiver_changes_no_bit(b, dtype):
    arguments = jax.tree.map(
        lambda leaf: leaf if leaf.dtype == jnp.int32 else leaf.astype(dtype),
        (*setup(b)[1:], *pairs(b), BOUNDS),
    )
    field, (params, latents, s, r, bounds) = setup(b)[0], arguments
    there = times(field, params, latents, s, r, bounds)
    assert np.array_equal(there, times(field, params, latents, r, s, bounds))
    assert there.dtype == dtype


@pytest.mark.slow
def test_exchanging_changes_no_bit_without_compilation():
    field, params, latents = setup(B)
    prepared = field.prepare(params, latents)
    for s, r in zip(*pairs(B, 3), strict=True):
        there = field.times(params, prepared, s, r, BOUNDS)
        assert np.array_equal(there, field.times(params, prepared, r, s, BOUNDS))


@some_rows
def test_exchanging_exchanges_the_slownesses(b):
    field, params, latents = setup(b)
    s, r = pairs(b)
    _, at_s, at_r = times_and_slowness(field, params, latents, s, r, BOUNDS)
    _, also_at_r, also_at_s = times_and_slowness(field, params, latents, r, s, BOUNDS)
    np.testing.assert_allclose(at_s, also_at_s, rtol=1e-13)
    np.testing.assert_allclose(at_r, also_at_r, rtol=1e-13)


@pytest.mark.parametrize("bound", ["linear", "log"])
@pytest.mark.parametrize("size", [1.0, 1e3])
def test_times_lie_between_those_of_the_extreme_speeds(bound, size):
    field, params, latents = setup(B, bound=bound)
    params["alpha"] = jnp.asarray(size)
    s, r = pairs(B)
    distance = np.asarray(B.space.distance(s, r))
    ratio = np.asarray(times(field, params, latents, s, r, BOUNDS)) / distance
    # Four roundings.
    assert np.all(ratio >= 1 / 5.9 * (1 - 1e-15))
    assert np.all(ratio <= 1 / 1.3 * (1 + 1e-15))
    assert np.ptp(ratio) > (0.1 if size == 1 else 0.59)


def test_bounds_follow_their_formulas():
    field, params, latents = setup(B)
    s, r = pairs(B)
    distance = np.asarray(B.space.distance(s, r))
    linear = np.asarray(times(field, params, latents, s, r, BOUNDS)) / distance
    log = dataclasses.replace(field, bound="log")
    geometric = np.asarray(times(log, params, latents, s, r, BOUNDS)) / distance
    low, high = 1 / 5.9, 1 / 1.3
    share = (linear - low) / (high - low)
    np.testing.assert_allclose(geometric, low ** (1 - share) * high**share, rtol=1e-12)


@pytest.mark.parametrize("bound", ["linear", "log"])
def test_scaling_the_speed_divides_the_times(bound):
    field, params, latents = setup(B, bound=bound)
    s, r = pairs(B)
    slow = times(field, params, latents, s, r, BOUNDS)
    fast = times(field, params, latents, s, r, 3.7 * BOUNDS)
    np.testing.assert_allclose(3.7 * fast, slow, rtol=1e-14)


@pytest.mark.parametrize("b", ROWS[:2], ids=cases.row_name)
def test_constant_speed_is_exact(b):
    field, params, latents = setup(b)
    s, r = pairs(b)
    result = times_and_slowness(field, params, latents, s, r, jnp.array([2.0, 2.0]))
    np.testing.assert_allclose(result[0], b.space.distance(s, r) / 2, rtol=1e-15)
    np.testing.assert_allclose(result[1], 0.5, rtol=1e-13)
    np.testing.assert_allclose(result[2], 0.5, rtol=1e-13)


def test_bounds_hold_the_true_distance_where_that_of_the_space_is_close_only():
    b = ROWS[2]
    field, params, latents = setup(b)
    params["alpha"] = jnp.asarray(1e3)  # of either sign with u
    s, r = pairs(b, 40)
    distance = np.asarray(b.space.distance(s, r))
    ratio = np.asarray(times(field, params, latents, s, r, BOUNDS)) / distance
    np.testing.assert_allclose(ratio.min(), 0.5 / 5.9, rtol=1e-2)
    np.testing.assert_allclose(ratio.max(), 1.5 / 1.3, rtol=1e-2)


def test_constant_speed_is_exact_between_logarithmic_bounds():
    field, params, latents = setup(B, bound="log")
    s, r = pairs(B)
    t = times(field, params, latents, s, r, jnp.array([2.0, 2.0]))
    np.testing.assert_allclose(t, B.space.distance(s, r) / 2, rtol=1e-15)


def orthonormal_frames(space, points):
    """Tangent vectors of length one, orthogonal to each other: (points, n, size)."""
    points = np.asarray(points)
    if isinstance(space, Sphere):
        return np.stack([np.linalg.svd(x[None])[2][1:] for x in points])
    lengths = np.ones(space.dim)
    if isinstance(space, PositionOrientation):
        lengths = np.array([1 / space.xi, space.eps / space.xi, 1.0])
    return np.broadcast_to(np.diag(lengths), (len(points), *np.diag(lengths).shape))


@some_rows
def test_slowness_is_the_steepest_slope_along_a_frame(b):
    """Differences of fourth order along curves: errors of h^4 and 1e-16 / h."""
    field, params, latents = setup(b)
    s, r = pairs(b)
    _, *slownesses = times_and_slowness(field, params, latents, s, r, BOUNDS)
    h = 2e-5
    for x, other, slowness in zip((s, r), (r, s), slownesses, strict=True):
        slopes = []
        for direction in np.swapaxes(orthonormal_frames(b.space, x), 0, 1):
            f = {
                k: np.asarray(
                    times(
                        field,
                        params,
                        latents,
                        b.space.exp(x, jnp.asarray(k * h * direction)),
                        other,
                        BOUNDS,
                    )
                )
                for k in (-2, -1, 1, 2)
            }
            slopes.append((8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h))
        # Fifth derivatives reach 1e5 here, so both errors are about 1e-11.
        np.testing.assert_allclose(np.linalg.norm(slopes, axis=0), slowness, rtol=1e-9)


def coincident_pairs(b, latents):
    """Seven pairs, in which ends coincide with each other, a pose or an antipode."""
    pose = jax.tree.map(lambda leaf: leaf[0], latents["pose"])
    base, x = cases.base_point(b, pose), pairs(b)[0][0]
    if isinstance(b.space, Sphere):
        s, r = [x, base, base, x, -base, x, -x], [x, x, base, -x, base, base, base]
    else:
        s, r = [x, base, base, x, x, x, base], [x, x, base, base, -x, 2 * x, -base]
    return jnp.stack(s), jnp.stack(r)


@some_rows
def test_slowness_has_its_limit_where_source_and_receiver_coincide(b):
    field, params, latents = setup(b)
    s, r = coincident_pairs(b, latents)
    t, at_s, at_r = times_and_slowness(field, params, latents, s, r, BOUNDS)
    assert t[0] == t[2] == 0
    assert at_s[0] == at_r[0]
    near = b.space.exp(s, jnp.asarray(1e-7 * orthonormal_frames(b.space, s)[:, 0]))
    close = times_and_slowness(field, params, latents, s, near, BOUNDS)
    for i in (0, 2):
        np.testing.assert_allclose(at_s[i], close[0][i] / 1e-7, rtol=1e-5)


def test_signals_under_vmap_equal_a_loop():
    field, params, _ = setup(B)
    tables = [cases.random_latents(B, seed) for seed in range(3)]
    table = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tables)
    s, r = pairs(B)
    together = jax.vmap(lambda z: times(field, params, z, s, r, BOUNDS))(table)
    for z, row in zip(tables, together, strict=True):
        alone = times(field, params, z, s, r, BOUNDS)
        np.testing.assert_allclose(row, alone, rtol=1e-13)


def test_absolute_coordinates_need_no_poses():
    field, params, latents = setup(Absolute(cases.PLANE))
    s, r = pairs(B)
    t = times(field, params, latents, s, r, BOUNDS)
    moved = times(field, params, latents, s + 1, r + 1, BOUNDS)
    assert np.all(np.abs(np.asarray(t) / np.asarray(moved) - 1) > 1e-3)
    assert np.array_equal(t, times(field, params, latents, r, s, BOUNDS))


def test_parameters_of_the_published_size():
    field = TravelTimeField(PairInvariant(B))
    shapes = jax.eval_shape(
        lambda key: field.init(dtype=jnp.float32, key=key), jax.random.key(0)
    )
    leaves = jax.tree.leaves(shapes)
    # The two-dimensional E-NES model: 648,965 parameters.
    assert sum(leaf.size for leaf in leaves) == 648_965
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


def test_keeps_single_precision():
    field, params, latents = setup(B)
    arguments = jax.tree.map(
        lambda leaf: leaf.astype("float32"), (params, latents, *pairs(B), BOUNDS)
    )
    result = jax.eval_shape(lambda *args: times_and_slowness(field, *args), *arguments)
    assert {leaf.dtype for leaf in result} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "`hidden`"),
        ({"hidden": 7}, "`hidden` must be even"),
        ({"num_heads": 0}, "`num_heads`"),
        ({"context_dim": 0}, "`context_dim`"),
        ({"query_scale": 0.0}, "`query_scale`"),
        ({"head_layers": 0}, "`head_layers`"),
        ({"bound": "square"}, "`bound` must be one of 'linear', 'log'"),
    ],
)
def test_bad_sizes_are_refused(options, message, user_errors):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TravelTimeField(PairInvariant(B)), **options)


@pytest.mark.parametrize(
    "options", [{"forward_only": True}, {"form": "sub_riemannian"}]
)
def test_spaces_without_such_times_are_refused(options, user_errors):
    space = dataclasses.replace(cases.SIDLING_CAR, **options)
    with pytest.raises(ValueError, match="`space`"):
        cases.tiny_travel_times(RelativePoint(space))
    with pytest.raises(ValueError, match="`space`"):
        SingleTravelTimeField(space)


def test_arrays_that_do_not_fit_are_refused(user_errors):
    field, params, latents = setup(B)
    with pytest.raises(
        ValueError, match=r"`latents\['context'\]` .* got shape \(5, 4\)"
    ):
        field.prepare(params, {**latents, "context": jnp.ones((5, 4))})
    prepared = field.prepare(params, latents)
    x = jnp.ones(2)
    with pytest.raises(
        ValueError, match=r"`source` must be .* \(2\), got shape \(3,\)"
    ):
        field.times(params, prepared, jnp.ones(3), x, BOUNDS)
    with pytest.raises(ValueError, match="`receiver`"):
        field.times(params, prepared, x, jnp.ones((1, 2)), BOUNDS)
    with pytest.raises(ValueError, match="`speed_bounds`"):
        field.times(params, prepared, x, x, jnp.ones(3))
