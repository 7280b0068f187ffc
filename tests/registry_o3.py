"""Entries of the registry for the O(3) fast path."""

from __future__ import annotations

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
    _channelwise_entry(),
    _cp_entry(),
]
