"""Normalizations: statistics against NumPy, states, batches, features that are zero."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, o3, reps
from eqjax.nn._batch_norm import BatchNorm
from eqjax.nn._layer_norms import InstanceNorm, LayerNorm, RMSNorm
from eqjax.nn._o3_norms import MergedLayerNorm, SeparableLayerNorm

# Means over some 100 numbers, of size one.
ATOL = 1e-13
EPSILON = 1e-5
BATCH, CHANNELS = 6, 2
D4 = groups.Dihedral(4)
# Copies of the vectors stand in two places.
REP = (
    reps.trivial(D4)
    + 2 * reps.standard(D4)
    + reps.regular(D4)
    + reps.irrep(D4, "0o")
    + reps.standard(D4)
)
# Rows of each copy, and whether it has a mean.
ROWS = ((0, 1, True), (1, 3, False), (3, 5, False), (5, 13, True), (13, 14, False))
ROWS += ((14, 16, False),)
RAGGED = reps.from_irreps("3x0e + 2x1o")
NORMS = (InstanceNorm, LayerNorm, RMSNorm)
KEY = jax.random.key(0)


def parameters(layer):
    """Weights other than 0 and 1."""
    params = layer.init(key=KEY)
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)


@functools.cache
def fields():
    """A batch of fields with means, shape (batch, 3, 5, dim, channels)."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(BATCH, 3, 5, REP.dim, CHANNELS))
    return x * rng.uniform(0.5, 2, size=x.shape[-2:]) + rng.normal(size=x.shape[-2:])


def direct(params, x, axes, *, centered=True, groups_of=None):
    """The formula in NumPy: statistics of each copy over axes, or of some together."""
    y = np.empty_like(x)
    shifts = iter(np.asarray(params.get("shift", np.zeros((2, x.shape[-1])))))
    for i, (start, stop, has_mean) in enumerate(ROWS):
        part = x[..., start:stop, :]
        same = groups_of[i] if groups_of else (i,)
        pool = np.concatenate([x[..., slice(*ROWS[j][:2]), :] for j in same], axis=-2)
        mean = pool.mean(axis=axes, keepdims=True) if has_mean and centered else 0.0
        variance = ((pool - mean) ** 2).mean(axis=axes, keepdims=True)
        scale = np.asarray(params["scale"])[i]
        y[..., start:stop, :] = (part - mean) / np.sqrt(variance + EPSILON) * scale
        if has_mean:
            y[..., start:stop, :] += next(shifts)
    return y


VECTORS = (1, 2, 5)
TOGETHER = [(0,), VECTORS, VECTORS, (3,), (4,), VECTORS]
AXES = {InstanceNorm: (-4, -3, -2), LayerNorm: (-2, -1), RMSNorm: (-2, -1)}


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm.__name__)
def test_statistics_of_one_example_are_their_formulas(norm):
    layer, x = norm(REP, CHANNELS), fields()[0]
    params = parameters(layer)
    want = direct(
        params,
        x,
        AXES[norm],
        centered=norm is not RMSNorm,
        groups_of=None if norm is InstanceNorm else TOGETHER,
    )
    found = jax.jit(layer.apply)(params, jnp.asarray(x))
    np.testing.assert_allclose(found, want, rtol=0, atol=ATOL)


@functools.cache
def batched(layer, axis_name="batch", **options):
    """The batch norm over a mapped axis, compiled."""
    apply = functools.partial(layer.apply, axis_name=axis_name, **options)
    in_axes, out_axes = (None, None, 0), (0, None)
    if axis_name == ("devices", "batch"):
        apply = jax.vmap(apply, in_axes, out_axes, axis_name="batch")
        apply = jax.vmap(apply, in_axes, out_axes, axis_name="devices")
    else:
        apply = jax.vmap(apply, in_axes, out_axes, axis_name=axis_name)
    return jax.jit(apply)


LAYER = BatchNorm(REP, CHANNELS)


def test_statistics_of_a_batch_are_their_formula():
    params, x = parameters(LAYER), fields()
    y, state = batched(LAYER)(params, LAYER.init_state(), jnp.asarray(x))
    want = direct(params, x, (0, 1, 2, 3))
    np.testing.assert_allclose(y, want, rtol=0, atol=ATOL)
    for i, name in ((0, "mean"), (1, "mean")):
        start, stop, _ = [rows for rows in ROWS if rows[2]][i]
        mean = x[..., start:stop, :].mean(axis=(0, 1, 2, 3))
        np.testing.assert_allclose(state[name][i], 0.1 * mean, rtol=0, atol=ATOL)


def test_statistics_over_devices_are_those_of_the_whole_batch():
    """Two mapped axes, as over devices and the examples of each."""
    params, x = parameters(LAYER), jnp.asarray(fields())
    state = LAYER.init_state()
    want, want_state = batched(LAYER)(params, state, x)
    found, found_state = batched(LAYER, ("devices", "batch"))(
        params, state, x.reshape(2, 3, *x.shape[1:])
    )
    np.testing.assert_allclose(found.reshape(want.shape), want, rtol=0, atol=ATOL)
    for a, b in zip(
        jax.tree.leaves(found_state), jax.tree.leaves(want_state), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=ATOL)


def test_statistics_over_shards_are_those_of_the_whole_batch():
    """Under `shard_map`, on as many devices as there are."""
    params, x = parameters(LAYER), jnp.asarray(fields())
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((1,), ("devices",), axis_types=auto)
    spec, whole = jax.sharding.PartitionSpec("devices"), jax.sharding.PartitionSpec()
    apply = jax.vmap(
        functools.partial(LAYER.apply, axis_name=("devices", "batch")),
        (None, None, 0),
        (0, None),
        axis_name="batch",
    )
    sharded = jax.jit(
        jax.shard_map(
            apply,
            mesh=mesh,
            in_specs=(whole, whole, spec),
            out_specs=(spec, whole),
            check_vma=False,
        )
    )
    found, found_state = sharded(params, LAYER.init_state(), x)
    want, want_state = batched(LAYER)(params, LAYER.init_state(), x)
    np.testing.assert_allclose(found, want, rtol=0, atol=ATOL)
    np.testing.assert_allclose(
        found_state["mean"], want_state["mean"], rtol=0, atol=ATOL
    )


def test_running_averages_approach_the_batch_and_serve_both_modes():
    params, x = parameters(LAYER), jnp.asarray(fields())
    train, evaluate = batched(LAYER), batched(LAYER, use_running=True)
    y, state = train(params, LAYER.init_state(), x)
    for _ in range(299):
        y, state = train(params, state, x)
    found, same = evaluate(params, state, x)
    assert jax.tree.map(jnp.array_equal, same, state) == jax.tree.map(
        lambda _: True, state
    )
    # 0.9^300 = 2e-14 of the first averages is left.
    np.testing.assert_allclose(found, y, rtol=0, atol=1e-12)
    # The state of one mode is that of the other.
    again, _ = train(params, same, x)
    np.testing.assert_allclose(again, y, rtol=0, atol=1e-12)


def test_statistics_do_not_cancel_far_from_zero():
    """In float32, where the first state knows nothing of the mean."""
    x = jnp.asarray(fields(), jnp.float32)
    params = parameters(LAYER)
    params, state = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32), (params, LAYER.init_state())
    )
    want, _ = batched(LAYER)(params, state, x)
    moved = x
    for start, stop, has_mean in ROWS:
        moved = moved.at[..., start:stop, :].add(1e4 if has_mean else 0.0)
    found, _ = batched(LAYER)(params, state, moved)
    # 1e4 is rounded to 5e-4 of the size of fields; a difference of squares would be
    # rounded to 10.
    np.testing.assert_allclose(found, want, rtol=0, atol=5e-3)


def test_derivatives_go_through_the_statistics_of_the_batch():
    """A batch norm is invariant under scaling, and shifts of what has a mean."""
    layer, x = BatchNorm(reps.regular(D4), 1, epsilon=1e-300), fields()[:, 0, :, 5:13]
    params, state = parameters(layer), layer.init_state()
    x = jnp.asarray(x[..., :1])

    def total(x):
        y, _ = batched(layer)(params, state, x)
        return jnp.sum(jnp.sin(y))

    gradient = jax.jit(jax.grad(total))(x)
    size = float(jnp.sum(jnp.abs(gradient)))
    assert size > 0.1
    assert abs(float(jnp.sum(gradient * x))) < 1e-12 * size
    assert abs(float(jnp.sum(gradient))) < 1e-12 * size
    direction = jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    step = 1e-5
    difference = (total(x + step * direction) - total(x - step * direction)) / step / 2
    # Third derivatives times 1e-10, and rounding of 1e-15 / 1e-5.
    np.testing.assert_allclose(jnp.sum(gradient * direction), difference, rtol=1e-7)


def test_features_that_are_zero_have_finite_derivatives():
    x = jnp.asarray(np.random.default_rng(3).normal(size=(4, REP.dim, CHANNELS)))
    layers = {norm.__name__: norm(REP, CHANNELS) for norm in NORMS}
    params = {name: parameters(layer) for name, layer in layers.items()}

    def total(x):
        found = {name: layer.apply(params[name], x) for name, layer in layers.items()}
        y, state = LAYER.apply(params["LayerNorm"], LAYER.init_state(), x)
        found |= {"BatchNorm": y, "state": state}
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(found))

    cases = jnp.stack([0 * x, x.at[..., 0].set(0), 1e-200 * x])
    assert np.all(np.isfinite(jax.jit(jax.vmap(jax.grad(total)))(cases)))


def test_ragged_features_are_dense_ones_of_many_channels():
    rng = np.random.default_rng(4)
    irreps = [irrep for irrep, _ in reps.decompose(RAGGED).terms]
    x = {
        irrep: jnp.asarray(rng.normal(size=(3, irrep.dim, count)))
        for irrep, count in zip(irreps, (3, 2), strict=True)
    }
    for norm in NORMS:
        ragged = norm(RAGGED)
        params = parameters(ragged)
        found = jax.jit(ragged.apply)(params, x)
        for irrep, part in x.items():
            dense = norm(irrep, part.shape[-1])
            own = {
                key: named[irrep.name][None]
                for key, named in params.items()
                if irrep.name in named
            }
            want = jax.jit(dense.apply)(own, part)
            np.testing.assert_allclose(found[irrep], want, rtol=0, atol=ATOL)
    layer = BatchNorm(RAGGED)
    y, state = jax.jit(layer.apply)(parameters(layer), layer.init_state(), x)
    assert {key: set(value) for key, value in state.items()} == {
        "mean": {"0e"},
        "variance": {"0e", "1o"},
    }
    assert jax.tree.structure(y) == jax.tree.structure(x)


def test_norms_of_degrees_are_those_of_o3():
    degrees = o3.Degrees(2)
    x = jnp.asarray(np.random.default_rng(5).normal(size=(2, 3, 9, CHANNELS)))
    for layer, function in (
        (SeparableLayerNorm(degrees, CHANNELS), o3.separable_layer_norm),
        (MergedLayerNorm(degrees, CHANNELS), o3.merged_layer_norm),
    ):
        params = parameters(layer)
        found = jax.jit(layer.apply)(params, x)
        want = jax.jit(functools.partial(function, **params))(x[1, 2])
        np.testing.assert_allclose(found[1, 2], want, rtol=0, atol=ATOL)


def test_narrow_features_keep_their_dtype():
    x = jnp.asarray(fields()[0], jnp.bfloat16)
    for norm in NORMS:
        layer = norm(REP, CHANNELS)
        params = layer.init(dtype=jnp.float32, key=KEY)
        assert jax.eval_shape(layer.apply, params, x).dtype == jnp.bfloat16
    params = LAYER.init(dtype=jnp.float32, key=KEY)
    y, state = jax.eval_shape(
        LAYER.apply, params, LAYER.init_state(dtype=jnp.float32), x
    )
    assert (y.dtype, state["mean"].dtype) == (jnp.bfloat16, jnp.float32)


BOOST = reps.standard(groups.Lorentz(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BatchNorm(BOOST, 2), "`rep` of `BatchNorm` must be orthogonal"),
        (lambda: LayerNorm(BOOST, 2), "`rep` of `LayerNorm` must be orthogonal"),
        (lambda: LayerNorm(reps.regular(D4)), "must be a sum of irreps"),
        (lambda: RMSNorm(REP, 0), "`channels` must be an integer"),
        (lambda: InstanceNorm(REP, 2, epsilon=0.0), "`epsilon` must be a positive"),
        (lambda: BatchNorm(REP, 2, momentum=1.5), "`momentum` must be between"),
        (
            lambda: InstanceNorm(REP, 2).apply(
                {"scale": jnp.ones((6, 2)), "shift": jnp.ones((2, 2))},
                jnp.ones((REP.dim, 2)),
            ),
            "`x` has no grid",
        ),
    ],
)
def test_bad_input_is_refused(call, message, user_errors):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.usefixtures("user_errors")
def test_parameters_of_other_channels_are_refused():
    layer, other = InstanceNorm(REP, 2), InstanceNorm(REP, 1)
    with pytest.raises(ValueError, match="another representation or number"):
        layer.apply(other.init(key=KEY), jnp.ones((3, 5, REP.dim, 2)))
