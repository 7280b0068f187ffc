"""Tensor products: counts, methods, symmetry, differentiation, bad input."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import groups, o3
from eqjax.o3._paths import Couplings
from eqjax.o3._product_methods import product_terms

KEY = jax.random.key(0)
PARITIES = [("none", "none"), ("natural", "both"), ("both", "both")]
MODES = ("uuu", "uvu", "uvw")


def example(product, seed=1):
    """x, y (harmonics of an edge where one channel is wanted), weights."""
    keys = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(keys[0], (product.degrees_x.dim, product.channels))
    weights = jax.random.normal(keys[2], (product.num_paths, product.channels))
    if product.mode == "uuu":
        shape = (product.degrees_y.dim, product.channels)
        return x, jax.random.normal(keys[1], shape), weights
    edge = jax.random.normal(keys[1], (3,))
    y = o3.spherical_harmonics(product.degrees_y.max_degree, edge)
    if product.degrees_y.parity == "both":
        y = jnp.concatenate([y, -2 * y])
    return x, y, weights


def make(parity, mode, method: Any = "auto", *, degrees=(2, 1, 2), **options):
    degrees = [
        o3.Degrees(l, p) for l, p in zip(degrees, (parity[0], *parity), strict=True)
    ]
    channels_out = 5 if mode == "uvw" else None
    return o3.TensorProduct(
        *degrees,
        channels=3,
        channels_out=channels_out,
        mode=mode,
        method=method,
        **options,
    )


@pytest.mark.parametrize(
    ("degree", "paths", "even_paths", "terms", "even_terms"),
    [
        (1, 5, 4, 16, 10),
        (2, 15, 11, 137, 83),
        (3, 34, 23, 611, 353),
        (4, 65, 42, 2052, 1158),
    ],
)
def test_number_of_paths_and_terms(degree, paths, even_paths, terms, even_terms):
    degrees = o3.Degrees(degree, "none")
    cases: Any = (("all", paths, terms), ("even", even_paths, even_terms))
    for chosen, num_paths, num_terms in cases:
        couplings = Couplings(degrees, degrees, degrees, chosen)
        assert len(couplings.paths) == num_paths
        found = product_terms(couplings, separate=False, weighted=True)
        assert len(found.entries) == num_terms
    # Natural parities allow the even ones, and no other.
    natural = o3.Degrees(degree)
    assert len(Couplings(natural, natural, natural, "all").paths) == even_paths


@functools.cache
def results(parity, mode):
    """The product by every method, and of moved factors, compiled together."""
    methods = ("sparse", "block") + (() if mode == "uuu" else ("escn",))
    degrees = (1, 1, 1) if parity == ("both", "both") else (2, 1, 2)
    products = [make(parity, mode, method, degrees=degrees) for method in methods]
    first = products[0]
    params = first.init(key=KEY)
    x, y, weights = example(first)
    elements = [
        first.degrees_x.group.sample(key=jax.random.key(seed)) for seed in (2, 3)
    ]
    if parity[0] != "none":
        elements = [
            (turn, jnp.asarray(i, jnp.int32)) for i, (turn, _) in enumerate(elements)
        ]

    def run(params, x, y, weights):
        plain = [product.apply(params, x, y, weights=weights) for product in products]
        moved = [
            (
                first.rep_out.apply(g, plain[0]),
                first.apply(
                    params,
                    first.degrees_x.apply(g, x),
                    first.degrees_y.apply(g, y),
                    weights=weights,
                ),
            )
            for g in elements
        ]
        return plain, moved

    return first, jax.jit(run)(params, x, y, weights)


@pytest.mark.parametrize(
    ("parity", "mode"),
    [(PARITIES[0], "uuu"), (PARITIES[1], "uvw"), (PARITIES[1], "uvu")]
    + [(PARITIES[2], mode) for mode in MODES],
)
def test_methods_agree_and_commute_with_the_group(parity, mode):
    product, (plain, moved) = results(parity, mode)
    assert plain[0].shape == (product.rep_out.dim, product.channels_out or 3)
    size = float(jnp.max(jnp.abs(plain[0])))
    for other in plain[1:]:
        np.testing.assert_allclose(other, plain[0], atol=1e-13 * size)
    for want, have in moved:
        np.testing.assert_allclose(have, want, atol=1e-13 * size)


def test_frame_of_an_edge_is_exact_at_the_poles():
    """Values and derivatives in the edge, where frames are chosen otherwise."""
    products = [
        make(("natural", "natural"), "uvw", method, degrees=(1, 1, 1))
        for method in ("sparse", "escn")
    ]
    params = products[0].init(key=KEY)
    x, _, weights = example(products[0])
    edges = jnp.array([[0.0, 1.0, 0.0], [0.0, -3.0, 0.0], [1e-6, -1.0, 0.0]])

    def values(edge):
        y = o3.spherical_harmonics(1, edge)
        return [product.apply(params, x, y, weights=weights) for product in products]

    both = jax.vmap(lambda edge: (values(edge), jax.jacfwd(values)(edge)))
    found, slopes = jax.jit(both)(edges)
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-11)


def test_agrees_with_e3nn():
    import e3nn_jax

    product = make(("natural", "both"), "uvu", degrees=(2, 2, 2))
    x, y, _ = example(product)
    ones = jnp.ones((product.num_paths, 3))
    out = product.apply({}, x, y, weights=ones)

    @jax.jit
    def pairs(x, y):
        found = {}
        for a, b in itertools.product(range(3), repeat=2):
            left = x[a * a : (a + 1) ** 2].T.ravel()
            pair = e3nn_jax.tensor_product(
                e3nn_jax.IrrepsArray(f"3x{a}{'eo'[a % 2]}", left),
                e3nn_jax.IrrepsArray(f"{b}{'eo'[b % 2]}", y[b * b : (b + 1) ** 2]),
            )
            for (_, ir), chunk in zip(pair.irreps, pair.chunks, strict=True):
                found[f"{a} {b} {ir}"] = chunk
        return found

    theirs = pairs(x, y)
    start = 0
    for path in product._couplings.paths:
        irrep = product.degrees_out.irreps[path.out]
        want = theirs[f"{path.x} {path.y} {irrep.name}"].T
        np.testing.assert_allclose(out[start : start + irrep.dim], want, atol=1e-13)
        start += irrep.dim
    assert start == len(out)


STEP = 1e-4


def test_every_derivative_of_every_mode():
    """Directional derivatives against central differences, up to the third order."""
    for mode, method in itertools.product(MODES, ("sparse", "block")):
        product = make(("natural", "both"), mode, method, degrees=(1, 1, 1))
        params = product.init(key=KEY)
        args = example(product)
        tangents = example(product, seed=4)

        def along(f, args, tangents):
            return lambda: jax.jvp(f, args, tangents)[1]

        def f(*args, product=product, params=params):
            x, y, weights = args
            return jnp.sum(product.apply(params, x, y, weights=weights) ** 2)

        def df(*args, f=f, tangents=tangents):
            return sum(
                jnp.vdot(a, b)
                for a, b in zip(jax.grad(f, (0, 1, 2))(*args), tangents, strict=True)
            )

        def ddf(*args, df=df, tangents=tangents):
            return along(df, args, tangents)()

        def line(g, t, args=args, tangents=tangents):
            return g(*(a + t * b for a, b in zip(args, tangents, strict=True)))

        def run(f=f, df=df, ddf=ddf, line=line, args=args):
            found = [df(*args), ddf(*args)]
            numbers = [(line(g, STEP) - line(g, -STEP)) / (2 * STEP) for g in (f, df)]
            return found, numbers

        found, numbers = jax.jit(run)()
        # STEP^2 times a third derivative of size 1e3, and rounding / STEP.
        np.testing.assert_allclose(found, numbers, rtol=1e-5)


def test_layouts_of_a_batch():
    """(batch, dim, channels) and (dim, batch, channels), with shared weights."""
    product = make(("none", "none"), "uuu")
    params = product.init(key=KEY)
    batch = [example(product, seed)[:2] for seed in range(4)]
    x, y = (jnp.stack(parts) for parts in zip(*batch, strict=True))
    one = jax.jit(product.apply)
    want = jnp.stack([one(params, *args) for args in batch])
    public = jax.jit(jax.vmap(product.apply, (None, 0, 0)))(params, x, y)
    first = jax.jit(jax.vmap(product.apply, (None, 1, 1), 1))(
        params, x.swapaxes(0, 1), y.swapaxes(0, 1)
    )
    np.testing.assert_allclose(public, want, atol=1e-14)
    np.testing.assert_allclose(first.swapaxes(0, 1), want, atol=1e-14)


def test_results_have_variance_one():
    """10,000 draws: the mean square has a relative error of about 2 %."""
    for mode in ("uuu", "uvw"):
        product = make(("none", "none"), mode, degrees=(1, 1, 1))
        keys = jax.random.split(KEY, 10_000)

        def draw(key, product=product):
            keys = jax.random.split(key, 3)
            x = jax.random.normal(keys[0], (4, 3))
            y = jax.random.normal(keys[1], (4, 3) if product.mode == "uuu" else (4,))
            return product.apply(product.init(key=keys[2]), x, y)

        out = jax.jit(jax.vmap(draw))(keys)
        np.testing.assert_allclose(jnp.mean(out**2, axis=(0, 2)), 1, atol=0.1)


def test_products_of_rank_one_are_those_of_signals():
    degrees = o3.Degrees(2)
    cases: Any = (
        ("grid", o3.gaunt_product, {}),
        ("matrix", o3.matrix_product, {"couplings": "even"}),
    )
    for method, function, options in cases:
        product = o3.TensorProduct(degrees, degrees, degrees, channels=3, method=method)
        params = product.init(key=KEY)
        x, y, _ = example(product)
        want = function(x, y, max_degree_out=2, weights=params, **options)
        np.testing.assert_array_equal(product.apply(params, x, y), want)


def test_automatic_choice_never_takes_fewer_maps():
    for degree, method in ((4, "sparse"), (5, "block")):
        degrees = o3.Degrees(degree, "none")
        product = o3.TensorProduct(degrees, degrees, degrees)
        assert product._chosen_method == method


def test_bad_input():
    natural, none = o3.Degrees(1), o3.Degrees(1, "none")
    with pytest.raises(ValueError, match="must belong to one group"):
        o3.TensorProduct(natural, none, natural)
    with pytest.raises(ValueError, match="`max_degree` must be at most 12"):
        o3.TensorProduct(o3.Degrees(13), natural, natural)
    with pytest.raises(ValueError, match="no couplings of"):
        o3.TensorProduct(natural, natural, natural, paths=((1, 1, 1),))
    with pytest.raises(ValueError, match="There is no coupling"):
        o3.TensorProduct(natural, natural, natural, paths=())
    with pytest.raises(ValueError, match='belongs to the mode "uvw"'):
        o3.TensorProduct(natural, natural, natural, channels_out=3)
    with pytest.raises(ValueError, match="needs the harmonics of one direction"):
        o3.TensorProduct(natural, natural, natural, method="escn")
    with pytest.raises(ValueError, match='has the mode "uuu"'):
        o3.TensorProduct(natural, natural, natural, method="grid", mode="uvu")
    both = o3.Degrees(1, "both")
    with pytest.raises(ValueError, match="needs features of one parity"):
        o3.TensorProduct(natural, natural, both, method="matrix")
    product = o3.TensorProduct(natural, natural, natural, channels=2)
    x = jnp.ones((4, 2))
    with pytest.raises(ValueError, match=r"`x` must be an array of shape \(4, 2\)"):
        product.apply({}, jnp.ones((9, 2)), x)
    with pytest.raises(ValueError, match="`weights` must be given"):
        product.apply({}, x, x)
    with pytest.raises(
        ValueError, match="must have one dtype, got float32 and float64"
    ):
        product.apply(product.init(dtype="float32", key=KEY), x, x)
    with pytest.raises(ValueError, match="`weights` must be an array of shape"):
        product.apply({}, x, x, weights=jnp.ones((3, 2)))


def test_group_of_the_result():
    product = make(("natural", "both"), "uvu")
    assert product.rep_out.group == groups.O(3)
    assert product.rep_out.dim == sum(
        product.degrees_out.irreps[path.out].dim for path in product._couplings.paths
    )
