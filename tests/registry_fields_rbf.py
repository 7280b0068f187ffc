"""Entries of the registry for radial basis fields and location encoders."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eqjax.fields._location_encoder import LocationEncoder, SphericalHarmonicEncoder
from eqjax.fields._rbf_field import RBFField
from eqjax.fields._rbf_kernels import transform_kernels
from eqjax.fields._siren import Siren
from eqjax.groups import SE, E, GLPlus, Group, Semidirect, Translation
from tests.registry_entries import Composing, Equivariant


def _unit(key: jax.Array) -> jax.Array:
    x = jax.random.normal(key, (3,))
    return x / jnp.linalg.norm(x)


def _harmonics_entry() -> Equivariant:
    encoder = SphericalHarmonicEncoder(2)
    group = encoder.degrees.group
    return Equivariant(
        str(encoder),
        encoder.__call__,
        group,
        (group.act,),
        encoder.degrees.apply,
        lambda key: (_unit(key),),
        covers=(encoder,),
        singular=lambda key: {
            "pole of the harmonics": (jnp.array([0.0, 1.0, 0.0]),),
            "pole of the earth": (jnp.array([0.0, 0.0, -1.0]),),
        },
    )


def _location_entry() -> Composing:
    head = Siren(9, 2, hidden=5, num_layers=1)
    field = LocationEncoder(SphericalHarmonicEncoder(2), head)
    params = field.init(key=jax.random.key(0))
    return Composing(
        "LocationEncoder",
        field.apply,
        lambda key: (params, _unit(key)),
        covers=(field, head),
    )


def _rbf_entry(field: RBFField, group: Group, *, composes: bool) -> Equivariant:
    params = field.init(key=jax.random.key(0))

    def fn(kernels: Any, x: jax.Array) -> jax.Array:
        weights = jax.tree.map(lambda leaf: leaf.astype(x.dtype), params)
        return field.apply(weights, field.prepare(weights, kernels), x)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        rng = np.random.default_rng(int(jax.random.randint(key, (), 0, 1000)))
        sizes = {"center": field.dim, "factor": field.dim * (field.dim + 1) // 2}
        sizes["feature"] = field.num_features
        kernels = {n: jnp.asarray(rng.normal(size=(5, s))) for n, s in sizes.items()}
        return kernels, jnp.asarray(rng.normal(size=field.dim))

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        kernels, _ = sample(key)
        return {"center": (kernels, kernels["center"][0])}

    return Equivariant(
        f"{field.kernel} RBFField-{group}",
        fn,
        group,
        (lambda g, kernels: transform_kernels(group, g, kernels), group.act),
        None,
        sample,
        covers=(field,),
        singular=singular,
        rtol=1e-12,
        singular_atol=1e-12,
        composes={} if composes else None,
    )


# Waves of frequencies of size one: published ones multiply rounding by a thousand.
_WAVES = RBFField(
    2, num_features=3, num_neighbors=3, hidden=4, waves=(0.1, 3.0), first_waves=None
)
_SUM = RBFField(
    3,
    num_features=1,
    kernel="gaussian",
    num_neighbors=None,
    normalize=False,
    waves=None,
    num_layers=0,
)

RBF_FIELDS: tuple[Equivariant, ...] = (
    _harmonics_entry(),
    # Its normalization is a constant for derivatives, unlike for differences.
    _rbf_entry(_WAVES, Semidirect(Translation(2), GLPlus(2)), composes=False),
    _rbf_entry(_SUM, SE(3), composes=True),
    _rbf_entry(_SUM, E(3), composes=False),
)
COMPOSING_RBF_FIELDS: tuple[Composing, ...] = (_location_entry(),)
