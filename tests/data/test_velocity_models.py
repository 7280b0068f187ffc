"""Random velocity models: what the kinds promise, and their statistics."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.data._velocity_models import _noise, _unslip, velocity_model

KINDS = ("layered", "curved", "faulted", "style")
NUMBER = 40
CASES = list(itertools.product(KINDS, "ab"))
# Mean and deviation of v, mean |grad log v|, different speeds, slope of the spectrum:
# the table of the docstring.
TABLE = {
    ("layered", "a"): (3.01, 0.68, 0.0095, 4.5, -2.85),
    ("layered", "b"): (3.0, 0.68, 0.0178, 4.5, -2.97),
    ("curved", "a"): (3.01, 0.68, 0.0105, 4.5, -2.81),
    ("curved", "b"): (3.0, 0.67, 0.0217, 4.5, -2.92),
    ("faulted", "a"): (3.03, 0.65, 0.0115, 4.4, -2.81),
    ("faulted", "b"): (3.0, 0.65, 0.0216, 4.5, -2.86),
    ("style", "a"): (3.0, 0.87, 0.038, 4900.0, -6.03),
    ("style", "b"): (3.0, 0.87, 0.0754, 4900.0, -6.08),
}


@jax.jit
@jax.vmap
def draw_all(key):
    """One model of each case."""
    return [velocity_model(*case, key=key) for case in CASES]


@functools.cache
def models_of(number=NUMBER, seed=1):
    models = draw_all(jax.random.split(jax.random.key(seed), number))
    return dict(zip(CASES, map(np.asarray, models), strict=True))


def spectrum_slope(model):
    """Slope of log power over log wavenumber, rings of one cycle, 2 to 24 cycles."""
    n = len(model)
    window = np.hanning(n)[:, None] * np.hanning(n)[None]
    centered = model - np.sum(window * model) / np.sum(window)
    power = np.abs(np.fft.fft2(window * centered)) ** 2
    cycles = np.fft.fftfreq(n, 1 / n)
    ring = np.rint(np.hypot(cycles[:, None], cycles[None])).astype(int)
    sums = np.bincount(ring.ravel(), power.ravel())
    k = np.arange(2, 25)
    return np.polyfit(np.log(k), np.log((sums / np.bincount(ring.ravel()))[k]), 1)[0]


def statistics(model):
    slopes = np.gradient(np.log(model))
    return (
        model.mean(),
        model.std(),
        np.hypot(*slopes).mean(),
        len(np.unique(model)),
        spectrum_slope(model),
    )


def check_statistics(number, seed):
    """Against the table, whose own 1,000 models were drawn with another seed."""
    for case, models in models_of(number, seed).items():
        found = np.array([statistics(model) for model in models])
        # 4 standard errors of the difference, and the table's last digit.
        error = 4 * found.std(0) * np.sqrt(1 / number + 1 / 1000)
        error += np.array([0.005, 0.005, 0.00005, 0.05, 0.005])
        assert np.all(np.abs(found.mean(0) - TABLE[case]) <= error), case


def test_statistics_are_those_of_the_table():
    check_statistics(NUMBER, seed=1)


@pytest.mark.slow
def test_statistics_of_a_thousand_models():
    check_statistics(1000, seed=2)


@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_speeds_are_in_range(kind, variant):
    models = models_of()[kind, variant]
    assert models.dtype == np.float64
    assert models.min() >= 1.5
    assert models.max() <= 4.5
    assert len({model.tobytes() for model in models}) == NUMBER


def test_one_model_is_that_of_the_batch():
    key = jax.random.split(jax.random.key(1), NUMBER)[7]
    one = jax.jit(lambda key: velocity_model("style", "b", key=key))(key)
    # Ranks have no rounding, and noise at two nodes differs by more than its own.
    np.testing.assert_allclose(one, models_of()["style", "b"][7], rtol=1e-14)


def test_layers_are_flat_and_keep_their_distance():
    counts = []
    for variant in "ab":
        for model in models_of()["layered", variant]:
            np.testing.assert_array_equal(model, np.tile(model[:1], (70, 1)))
            jumps = np.flatnonzero(np.diff(model[0]))
            # Interfaces at least 4 apart have at least 4 nodes between them.
            assert np.all(np.diff(np.r_[-1, jumps, 69]) >= 4)
            counts.append(len(jumps))
            if variant == "a":
                assert np.all(np.diff(model[0]) >= 0)
    assert set(counts) == {2, 3, 4, 5}


def test_interfaces_are_uniform_among_those_that_keep_their_distance():
    shares = []
    for model in models_of()["layered", "b"]:
        jumps = np.flatnonzero(np.diff(model[0])) + 0.5
        gaps = 4 * np.arange(1, len(jumps) + 1)
        # Without the gaps, independent uniform numbers.
        shares += [*(jumps - gaps) / (69 - 4 * (len(jumps) + 1))]
    shares = np.sort(shares)
    ranks = (np.arange(len(shares)) + 0.5) / len(shares)
    # Kolmogorov's bound for chance .0007, and half a node of 45.
    assert np.max(np.abs(shares - ranks)) < 2 / np.sqrt(len(shares)) + 0.5 / 45


def test_curved_layers_keep_their_thickness():
    most = 0
    for variant, sum_of_amplitudes in (("a", 18), ("b", 36)):
        for model in models_of()["curved", variant]:
            thickness, tops = {}, {}
            for column in model:
                starts = np.r_[0, np.flatnonzero(np.diff(column)) + 1]
                for i, speed in enumerate(column[starts]):
                    if i > 0:
                        tops.setdefault(speed, []).append(starts[i])
                    if 0 < i < len(starts) - 1:
                        size = starts[i + 1] - starts[i]
                        thickness.setdefault(speed, []).append(size)
            # Known to one node each, and so are tops.
            assert all(np.ptp(sizes) <= 1 for sizes in thickness.values())
            spread = max(np.ptp(top) for top in tops.values())
            assert spread <= 2 * sum_of_amplitudes + 1
            most = max(most, spread)
    assert most > 20


@pytest.mark.parametrize("shape", [(70, 70), (29, 31, 37)])
def test_faults_slip_along_their_planes(shape):
    size = jnp.asarray([n - 1.0 for n in shape])
    unslip = jax.jit(_unslip)
    points = np.random.default_rng(0).uniform(0, 1, (400, len(shape))) * size[None]
    numbers = set()
    for seed in range(15):
        key = jax.random.key(seed)
        slips = np.asarray(unslip(points, size, key) - points)
        kinds = np.unique(np.round(slips, 8), axis=0)
        moved = kinds[np.any(kinds != 0, axis=1)]
        numbers.add(len(moved))
        if len(moved) != 1:
            continue
        # One fault: the slip, a throw of 4 to 20, at 45 to 80 degrees.
        slip = moved[0]
        horizontal = np.linalg.norm(slip[:-1])
        assert 4 <= abs(slip[-1]) <= 20
        assert 45 <= np.degrees(np.arctan2(abs(slip[-1]), horizontal)) <= 80
        # Who slips does so wherever along the slip it stands: the slip is in the plane.
        # And the plane dips as the slip does, so what is higher slips too.
        has_slipped = np.any(slips != 0, axis=1)
        along = np.asarray(unslip(points + 0.7 * slip[None], size, key))
        still = np.any(np.abs(along - points - 0.7 * slip[None]) > 1e-9, axis=1)
        np.testing.assert_array_equal(still, has_slipped)
        higher = points - 5 * np.eye(len(shape))[-1:]
        above = np.any(np.abs(unslip(higher, size, key) - higher) > 1e-9, axis=1)
        assert np.all(above[has_slipped])
    assert 1 in numbers
    assert max(numbers) > 2


def test_noise_has_all_speeds_once_and_its_correlation():
    model = np.asarray(
        _noise((5.0, 5.0), (300, 200), jnp.dtype(float), jax.random.key(0))
    )
    speeds = np.linspace(1.5, 4.5, model.size)
    np.testing.assert_allclose(np.sort(model.ravel()), speeds, rtol=1e-14)
    centered = model - 3
    for axis in (0, 1):
        for lag in (3, 5, 8):
            size = model.shape[axis]
            here = centered.take(np.arange(size - lag), axis)
            there = centered.take(np.arange(lag, size), axis)
            normal = np.exp(-(lag**2) / 50)
            # Ranks of normal variables of correlation c have 6 / pi asin(c / 2). The
            # grid holds 300 x 200 / (2 pi 25) = 380 independent values: 3 deviations.
            expected = 6 / np.pi * np.arcsin(normal / 2)
            found = np.mean(here * there) / np.mean(centered**2)
            assert abs(found - expected) < 0.15


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 3, 5, 31), np.float32), ((25,), np.float64)]
)
def test_any_dimension_and_dtype(kind, shape, dtype):
    model = jax.eval_shape(
        lambda key: velocity_model(kind, "b", shape=shape, dtype=dtype, key=key),
        jax.random.key(0),
    )
    assert (model.shape, model.dtype) == (shape, dtype)


@pytest.mark.slow
def test_a_line_has_speeds_too():
    draw = jax.jit(lambda key: velocity_model("faulted", "a", shape=(25,), key=key))
    # Without directions beside the depth there are none to be normalized.
    line = draw(jax.random.key(0))
    assert np.all((line >= 1.5) & (line <= 4.5))


@pytest.mark.usefixtures("user_errors")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(kind="salt"), "`kind` must be one of"),
        (dict(variant="c"), "`variant` must be one of"),
        (dict(shape=()), "at least one axis"),
        (dict(shape=(70, 24)), "at least 25 nodes along its last axis"),
        (dict(shape=(1, 70)), "at least 2"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    arguments = dict(kind="layered", variant="a") | arguments
    with pytest.raises(ValueError, match=message):
        velocity_model(**arguments, key=jax.random.key(0))
