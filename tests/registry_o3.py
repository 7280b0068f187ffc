"""Entries of the registry for the O(3) fast path."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from eqjax import o3
from tests.registry_entries import Equivariant

_natural = o3.Degrees(1)
_both = o3.Degrees(1, parity="both")
_rotated = o3.Degrees(1, parity="none")


def _draw(key: jax.Array, *shapes: tuple[int, ...]) -> tuple[Any, ...]:
    keys = jax.random.split(key, len(shapes))
    return tuple(jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))


def _harmonics_entry() -> Equivariant:
    """Harmonics of a vector, and of its direction."""
    degrees = o3.Degrees(4)

    def fn(r: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (
            o3.spherical_harmonics(4, r),
            o3.spherical_harmonics(2, r, normalize=True, normalization="norm"),
        )

    def act_out(g: Any, found: tuple[jax.Array, jax.Array]) -> Any:
        return degrees.apply(g, found[0]), o3.Degrees(2).apply(g, found[1])

    return Equivariant(
        "o3.spherical_harmonics",
        fn,
        degrees.group,
        (degrees.group.act,),
        act_out,
        lambda key: _draw(key, (3,)),
        covers=(degrees,),
        singular=lambda key: {
            "zero": (jnp.zeros(3),),
            "pole": (jnp.array([0.0, -1.0, 0.0]),),
        },
    )


def _product_entry(product: o3.TensorProduct) -> Equivariant:
    """A tensor product, its weights being arguments that do not move."""
    params = product.init(key=jax.random.key(0))
    one_channel = product.mode != "uuu"

    def fn(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return product.apply(params, x, y)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        channels = () if one_channel else (product.channels,)
        shapes = ((product.degrees_x.dim, product.channels),)
        shapes += ((product.degrees_y.dim, *channels),)
        x, y = _draw(key, *shapes)
        if product.method == "escn":
            y = o3.spherical_harmonics(product.degrees_y.max_degree, y[:3])
        return params, x, y

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        params, x, y = sample(key)
        found = {"no feature": (params, 0 * x, y)}
        if product.method == "escn":
            pole = o3.spherical_harmonics(
                product.degrees_y.max_degree, jnp.array([0.0, -1.0, 0.0])
            )
            return found | {"pole": (params, x, pole)}
        return found | {"zero": (params, 0 * x, 0 * y)}

    return Equivariant(
        str(product),
        fn,
        product.degrees_x.group,
        (None, product.degrees_x.apply, product.degrees_y.apply),
        product.rep_out.apply,
        sample,
        covers=(product,),
        singular=singular,
        # Results at the pole are of size 10.
        singular_atol=1e-13,
        # All are made of the same primitives.
        composes={} if product == PRODUCTS[0] else None,
    )


def _contraction_entry() -> Equivariant:
    product = o3.SymmetricContraction(o3.Degrees(2), _natural, 3, channels=2)
    params = product.init(key=jax.random.key(0))

    def sample(key: jax.Array) -> tuple[Any, ...]:
        return params, *_draw(key, (9, 2))

    return Equivariant(
        str(product),
        lambda params, x: product.apply(params, x),
        product.degrees.group,
        (None, product.degrees.apply),
        product.degrees_out.apply,
        sample,
        covers=(product,),
        singular=lambda key: {"zero": (params, jnp.zeros((9, 2)))},
        composes=None,
    )


def _channelwise_entry() -> Equivariant:
    """Linear maps, gates and norms."""

    def fn(x: Any, gates: Any, scale: Any, bias: Any, weights: Any) -> Any:
        return {
            "linear": o3.linear(weights, x, bias=bias),
            "gate": o3.gate(x, gates),
            "norm_activation": o3.norm_activation(x),
            "merged": o3.merged_layer_norm(x, scale=scale, bias=bias),
            "separable": o3.separable_layer_norm(x, scale=scale, bias=bias),
            "rms": o3.rms_norm(x, scale=scale),
            "rms of all": o3.rms_norm(x, per_degree=False),
        }

    def sample(key: jax.Array) -> tuple[Any, ...]:
        return _draw(key, (_both.dim, 3), (3, 3), (4, 3), (3,), (4, 3, 3))

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        x, *rest = sample(key)
        return {
            "zero": (0 * x, *rest),
            "no vectors": (x.at[1:4].set(0), *rest),
            "tiny": (1e-30 * x, *rest),
        }

    return Equivariant(
        "o3.linear, gates and norms",
        fn,
        _both.group,
        (_both.apply, None, None, None, None),
        lambda g, y: {name: _both.apply(g, part) for name, part in y.items()},
        sample,
        covers=(_both,),
        singular=singular,
    )


def _cp_entry() -> Equivariant:
    return Equivariant(
        "o3.cp_product",
        lambda x, y: o3.cp_product(x, y),
        _rotated.group,
        (_rotated.apply, _rotated.apply),
        _rotated.apply,
        lambda key: _draw(key, (4, 2), (4, 2)),
        covers=(_rotated,),
        singular=lambda key: {"zero": (jnp.zeros((4, 2)), jnp.zeros((4, 2)))},
        composes=None,
    )


def _convolution_entry(conv: o3.SO2Convolution) -> Equivariant:
    """The message of an edge, next to the poles of its frames too."""
    params = conv.init(key=jax.random.key(0))
    group = conv.degrees_in.group

    def fn(x: jax.Array, r: jax.Array, radial: jax.Array) -> jax.Array:
        weights = jax.tree.map(lambda a: a.astype(x.dtype), params)
        return conv.apply(weights, x, r, radial=radial)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        num_degrees = conv.degrees_in.max_degree + 1
        shapes = ((conv.degrees_in.dim, conv.channels_in), (3,))
        return _draw(key, *shapes, (num_degrees, conv.channels_in))

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        x, _, radial = sample(key)
        return {
            "pole": (x, jnp.array([0.0, 1.0, 0.0]), radial),
            "near the pole": (x, jnp.array([0.0, -2.0, 1e-9]), radial),
        }

    return Equivariant(
        str(conv),
        fn,
        group,
        (conv.degrees_in.apply, group.act, None),
        conv.degrees_out.apply,
        sample,
        covers=(conv,),
        singular=singular,
        # Results are of size one, sums of some 20 terms.
        singular_atol=1e-13,
        composes={} if conv.degrees_in.parity == "none" else None,
    )


def _signal_entries() -> list[Equivariant]:
    """Products of signals and matrices: what each commutes with, reflections too."""

    def axial(degrees: o3.Degrees) -> Any:
        """Parities opposite to the natural ones."""

        def act(g: Any, x: jax.Array) -> jax.Array:
            return degrees.apply(g, x) * jnp.where(g[1] % 2 == 0, 1, -1).astype(x.dtype)

        return act

    def entry(
        name: str,
        fn: Any,
        degrees: tuple[o3.Degrees, ...],
        act_out: Any,
        types: int = 0,
    ) -> Equivariant:
        rows = (types,) if types else ()
        sizes = [
            (*rows, each.max_degree + 1, 2) for each in (*degrees[:2], degrees[-1])
        ]

        def product(weights: Any, x: jax.Array, y: jax.Array) -> jax.Array:
            named = dict(zip(("x", "y", "out"), weights, strict=True))
            return fn(x, y, max_degree_out=degrees[-1].max_degree, weights=named)

        def sample(key: jax.Array) -> tuple[Any, ...]:
            shapes = [(each.dim, 2) for each in degrees[:2]]
            *weights, x, y = _draw(key, *sizes, *shapes)
            return tuple(weights), x, y

        def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
            weights, x, y = sample(key)
            return {"zero": (weights, 0 * x, 0 * y)}

        return Equivariant(
            f"o3.{name}",
            product,
            degrees[0].group,
            (None, degrees[0].apply, degrees[1].apply),
            act_out,
            sample,
            covers=(),
            singular=singular,
            composes=None,
        )

    odd = {"couplings": "odd"}
    natural = tuple(o3.Degrees(l) for l in (2, 1, 2))
    rotated = tuple(o3.Degrees(l, "none") for l in (2, 1, 2))
    larger = tuple(o3.Degrees(l) for l in (2, 3, 3))
    return [
        entry("gaunt_product", o3.gaunt_product, larger, larger[2].apply),
        entry(
            "vector_signal_product",
            partial(o3.vector_signal_product, **odd),
            larger,
            axial(larger[2]),
            2,
        ),
        entry(
            "vector_signal_product, all couplings",
            partial(o3.vector_signal_product, couplings="all"),
            rotated,
            rotated[2].apply,
            3,
        ),
        entry("matrix_product", o3.matrix_product, rotated, rotated[2].apply),
        entry(
            "matrix_product, even couplings",
            partial(o3.matrix_product, couplings="even"),
            natural,
            natural[2].apply,
        ),
        entry(
            "matrix_product, odd couplings",
            partial(o3.matrix_product, **odd),
            natural,
            axial(natural[2]),
        ),
    ]


def _grid_entry() -> Equivariant:
    """What is a polynomial on the grid."""
    grid, degrees = o3.S2Grid(2, 4), o3.Degrees(2)

    def fn(x: jax.Array, gates: jax.Array) -> tuple[jax.Array, jax.Array]:
        cubes = o3.s2_activation(grid, lambda f: f**3, x)
        return cubes, o3.swiglu_s2(grid, x, gates=gates)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        return _draw(key, (9, 4), (3, 2))

    def act_out(g: Any, found: tuple[jax.Array, jax.Array]) -> Any:
        return tuple(degrees.apply(g, part) for part in found)

    return Equivariant(
        "o3.s2_activation, swiglu_s2",
        fn,
        degrees.group,
        (degrees.apply, None),
        act_out,
        sample,
        covers=(grid,),
        singular=lambda key: {"zero": (jnp.zeros((9, 4)), jnp.zeros((3, 2)))},
        composes=None,
    )


PRODUCTS: tuple[o3.TensorProduct, ...] = (
    o3.TensorProduct(_natural, _natural, _both, channels=2),
    o3.TensorProduct(_rotated, _rotated, _rotated, channels=2, mode="uvu"),
    o3.TensorProduct(_natural, _natural, _natural, 2, 3, "uvw", method="escn"),
    o3.TensorProduct(_natural, _natural, _natural, 2, 3, "uvw", method="block"),
)

O3: list[Equivariant] = [
    _harmonics_entry(),
    *(_product_entry(product) for product in PRODUCTS),
    _contraction_entry(),
    *(
        _convolution_entry(o3.SO2Convolution(o3.Degrees(2, p), o3.Degrees(1, p), 2, 3))
        for p in ("none", "natural")
    ),
    *_signal_entries(),
    _grid_entry(),
    _channelwise_entry(),
    _cp_entry(),
]
