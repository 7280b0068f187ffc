"""Linear maps in the frame of an edge, and the convolution built on them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqjax.o3._so2  # noqa: F401 - registers the spec
from eqjax import groups
from eqjax._core._specs import spec_from_json, spec_to_json
from eqjax.o3._align import row_order
from eqjax.o3._degrees import Degrees, Parity
from eqjax.o3._so2 import SO2Convolution, so2_linear
from eqjax.o3._wigner import wigner_d


def convolution(
    parity: Parity, top: int, order: int | None = None, low: int = 2
) -> SO2Convolution:
    """Of degrees up to `low`, to degrees up to `top`."""
    return SO2Convolution(
        Degrees(low, parity), Degrees(top, parity), 3, 5, max_order=order
    )


CASES = [
    convolution("none", 2),
    convolution("none", 3, 1),
    convolution("natural", 3),
    convolution("natural", 1),
]


def random_params(spec: SO2Convolution, dtype=jnp.float64) -> dict:
    """With biases, drawn by NumPy, which need not compile."""
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: spec.init(key=jax.random.key(0)))

    def draw(leaf):
        return jnp.asarray(random.normal(size=leaf.shape) / 3, dtype)

    return jax.tree.map(draw, shapes)


def example(spec: SO2Convolution, edges: int = 4) -> tuple:
    """Parameters, features, edges, of which one is polar, and radial weights."""
    random = np.random.default_rng(1)
    x = random.normal(size=(edges, spec.degrees_in.dim, spec.channels_in))
    r = random.normal(size=(edges, 3))
    r[0] = [0, -2, 0]
    radial = random.normal(size=(edges, spec.degrees_in.max_degree + 1, 3))
    return random_params(spec), *(jnp.asarray(array) for array in (x, r, radial))


def message(spec: SO2Convolution, params, x, r, radial):
    def one(x, r, radial):
        return spec.apply(params, x, r, radial=radial)

    return jax.vmap(one)(x, r, radial)


@pytest.fixture(scope="module")
def element() -> tuple:
    """A rotation, and its matrices on features of degrees up to 3."""
    q = groups.SO(3).sample(key=jax.random.key(1))
    d = jax.jit(lambda q: wigner_d(3, q, dense=True))(q)
    return np.asarray(groups.SO(3).matrix(q)), np.asarray(d)


@pytest.mark.parametrize("spec", CASES[1:], ids=str)
def test_is_equivariant(spec, element):
    """Under rotations, and with natural parity under reflections."""
    params, *args = example(spec)
    rotation, d = element
    if spec.degrees_in.parity == "natural":
        signs = [(-1) ** l for l in range(4) for _ in range(2 * l + 1)]
        rotation, d = -rotation, np.array(signs) * d
    d_in, d_out = (
        d[: degrees.dim, : degrees.dim]
        for degrees in (spec.degrees_in, spec.degrees_out)
    )
    moved = [d_in @ np.asarray(args[0]), np.asarray(args[1]) @ rotation.T, args[2]]
    run = jax.jit(lambda *args: message(spec, *args))
    # The law of float32 for one case: compiling takes longest here.
    dtypes = (jnp.float64, jnp.float32) if spec == CASES[1] else (jnp.float64,)
    for dtype in dtypes:
        weights = jax.tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype), params)
        y = run(weights, *(jnp.asarray(array, dtype) for array in args))
        got = run(weights, *(jnp.asarray(array, dtype) for array in moved))
        assert got.dtype == dtype
        want = d_out @ np.asarray(y, float)
        tolerance = 1e-12 if dtype == jnp.float64 else 2e-6
        atol = tolerance * np.max(np.abs(want))
        np.testing.assert_allclose(got, want, rtol=0, atol=atol)


def test_imaginary_parts_break_reflections():
    """With them it is equivariant under rotations only."""
    params, x, r, radial = example(CASES[0])
    run = jax.jit(lambda *args: message(CASES[0], *args))
    signs = np.array([1, -1, -1, -1, 1, 1, 1, 1, 1.0])[None, :, None]
    broken = run(params, signs * x, -r, radial) - signs * run(params, x, r, radial)
    assert float(jnp.max(jnp.abs(broken))) > 0.1
    for m in (1, 2):
        params[f"order_{m}"]["imag"] = 0 * params[f"order_{m}"]["imag"]
    even = run(params, signs * x, -r, radial) - signs * run(params, x, r, radial)
    np.testing.assert_allclose(even, 0, rtol=0, atol=1e-13)


@pytest.mark.parametrize("parity", ["none", "natural"])
def test_has_a_weight_for_each_path(parity):
    """Those of the tensor product with spherical harmonics; and biases for each l3."""
    for a, b in ((1, 1), (3, 2), (2, 4)):
        spec = SO2Convolution(Degrees(a, parity), Degrees(b, parity), 1, 1)
        paths = [
            (l1, l2, l3)
            for l1 in range(a + 1)
            for l3 in range(b + 1)
            for l2 in range(abs(l1 - l3), l1 + l3 + 1)
            if parity == "none" or (l1 + l2 + l3) % 2 == 0
        ]
        params = jax.eval_shape(lambda spec=spec: spec.init(key=jax.random.key(0)))
        count = sum(leaf.size for leaf in jax.tree.leaves(params))
        assert count == len(paths) + b + 1


def test_linear_map_commutes_with_rotations_about_the_axis():
    params = random_params(convolution("none", 2, low=3))
    random = np.random.default_rng(1)
    x, radial = random.normal(size=(14, 3)), random.normal(size=(4, 3))

    def turn(x, max_degree, angle):
        rows = row_order(max_degree, 2)
        where = {row: i for i, row in enumerate(rows)}
        out = []
        for l, m in rows:
            c, s = np.cos(m * angle), np.sin(m * angle)
            out.append(c * x[where[l, m]] - s * x[where[l, -m]])
        return np.stack(out)

    @jax.jit
    def run(x, radial):
        return so2_linear(params, x, radial=radial), so2_linear(params, x)

    (weighted, plain), (_, turned) = (
        run(jnp.asarray(x), jnp.asarray(radial)) for x in (x, turn(x, 3, 0.7))
    )
    np.testing.assert_allclose(
        turned, turn(np.asarray(plain), 2, 0.7), rtol=0, atol=1e-13
    )
    # Radial weights are those of degrees and channels.
    scaled = radial[[l for l, _ in row_order(3, 2)]] * x
    _, want = run(jnp.asarray(scaled), jnp.asarray(radial))
    np.testing.assert_allclose(weighted, want, rtol=0, atol=1e-13)


def test_cut_orders_are_the_same_weights_with_zeros():
    whole = SO2Convolution(Degrees(2, "none"), Degrees(2, "none"), 3, 5)
    cut = SO2Convolution(Degrees(2, "none"), Degrees(2, "none"), 3, 5, max_order=1)
    params, x, r, radial = example(whole)
    few = {name: params[name] for name in ("order_0", "order_1")}
    padded = few | {"order_2": jax.tree.map(jnp.zeros_like, params["order_2"])}

    @jax.jit
    def both(x, r, radial):
        got = cut.apply(few, x, r, radial=radial, rescale=False)
        return got, whole.apply(padded, x, r, radial=radial)

    got, want = both(x[1], r[1], radial[1])
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


def test_layouts_zero_edges_and_gradients():
    spec = CASES[0]
    params, x, r, _ = example(spec, edges=3)
    r = r.at[1].set(0.0)

    def first(params, x, r):
        return jax.vmap(spec.apply, (None, 0, 0))(params, x, r)

    def second(params, x, r):
        apply = jax.vmap(spec.apply, in_axes=(None, 1, 1), out_axes=1)
        y = apply(params, jnp.swapaxes(x, 0, 1), r.T)
        return jnp.swapaxes(y, 0, 1)

    def slopes(function):
        def loss(*args):
            y = function(*args)
            return jnp.sum(jnp.sin(y)), y

        return jax.grad(loss, argnums=(0, 1, 2), has_aux=True)

    got, want = jax.jit(lambda *args: (slopes(first)(*args), slopes(second)(*args)))(
        params, x, r
    )
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert jnp.all(jnp.isfinite(a))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    # The zero edge counts as the polar axis, and does not pull.
    np.testing.assert_array_equal(got[0][2][1], 0)
    pole = jax.jit(spec.apply)(params, x[1], jnp.asarray([0.0, 3.0, 0.0]))
    np.testing.assert_allclose(got[1][1], pole, rtol=0, atol=1e-13)


def test_init_and_dtypes():
    spec = SO2Convolution(Degrees(2, "none"), Degrees(1, "none"), 40, 50)
    params = spec.init(key=jax.random.key(3))
    for name, bound in (("order_0", 120**-0.5), ("order_1", 160**-0.5)):
        leaf = jax.tree.leaves(params[name])[-1]
        # The largest of thousands of uniform numbers.
        assert 0.99 * bound < float(jnp.max(jnp.abs(leaf))) <= bound
    params = random_params(spec, jnp.bfloat16)
    x, r = jnp.ones((9, 40), jnp.bfloat16), jnp.ones(3, jnp.float32)
    assert jax.eval_shape(spec.apply, params, x, r).dtype == jnp.bfloat16
    assert spec_from_json(spec_to_json(spec)) == spec


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: SO2Convolution(Degrees(1), Degrees(1, "none"), 1, 1), "parity"),
        (lambda: convolution("both", 1), "parity"),
        (lambda: SO2Convolution(Degrees(3), Degrees(1), 1, 1, max_order=2), "smaller"),
        (lambda: SO2Convolution(Degrees(3), Degrees(1), 0, 1), "`channels_in` must"),
        (
            lambda: CASES[0].apply(
                random_params(CASES[0], jnp.float32), jnp.ones((9, 3)), jnp.ones(3)
            ),
            "`params` must have the dtype float64",
        ),
        (
            lambda: so2_linear(random_params(CASES[0]), jnp.ones((7, 3))),
            "`x` must be an array of shape",
        ),
    ],
)
def test_bad_input_is_refused(call, error, user_errors):
    with pytest.raises(ValueError, match=error):
        call()
