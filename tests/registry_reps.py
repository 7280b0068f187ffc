"""Entries of the registry for representations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from eqjax import groups, reps
from tests.registry_entries import Equivariant

_vector = reps.standard(groups.O(3))
_fourvector = reps.standard(groups.Lorentz(3, reflections="all"))
_spinor = reps.standard(groups.SU(2))
_points = reps.standard(groups.Symmetric(4))
_corners = reps.regular(groups.Dihedral(3))
_edges = reps.induce(reps.irrep(groups.Cyclic(3), 1), groups.Dihedral(3))
_pose = reps.standard(groups.SE(2))
_mixed = reps.outer(reps.irrep(groups.SO(2), 2), reps.standard(groups.Symmetric(3)))

# One pair for each method, type of irreps and kind of representation.
PAIRS: tuple[tuple[reps.Rep, reps.Rep], ...] = (
    (_vector**2, reps.from_irreps("2x0e + 1o + 1e + 1x2e")),
    (_fourvector**2, _fourvector * _fourvector.dual),
    (_spinor**2 + _spinor, 2 * _spinor + reps.adjoint(groups.SU(2))),
    (reps.standard(groups.SO(2)) ** 2, 3 * reps.irrep(groups.SO(2), 2)),
    (_points**2, _points + reps.trivial(groups.Symmetric(4))),
    (_corners, _edges),
    (_pose, _pose**2),
    (_mixed, 2 * _mixed),
)


def _maps_entry(rep_in: reps.Rep, rep_out: reps.Rep) -> Equivariant:
    """A linear map X(weights) with rho_out(g) X = X rho_in(g)."""
    maps = reps.hom(rep_in, rep_out)

    def sample(key: jax.Array) -> tuple[Any, ...]:
        key_weights, key_x = jax.random.split(key)
        weights = jax.random.normal(key_weights, (maps.num_maps,))
        return weights, jax.random.normal(key_x, (rep_in.dim, 2))

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        weights, x = sample(key)
        return {"zero": (weights, 0 * x)}

    first = (rep_in, rep_out) == PAIRS[0]
    return Equivariant(
        f"hom({rep_in}, {rep_out})",
        maps.apply,
        rep_in.group,
        (None, rep_in.apply),
        rep_out.apply,
        sample,
        covers=(rep_in, rep_out),
        singular=singular,
        composes={} if first else None,
    )


def _split_entry(rep: reps.Rep) -> Equivariant:
    """The parts of a feature, each moved by its irrep."""

    def act_out(g: Any, parts: dict[reps.Irrep, jax.Array]) -> Any:
        return {irrep: irrep.apply(g, part) for irrep, part in parts.items()}

    def sample(key: jax.Array) -> tuple[Any, ...]:
        return (jax.random.normal(key, (rep.dim, 3)),)

    return Equivariant(
        f"split({rep})",
        lambda x: reps.split(rep, x),
        rep.group,
        (rep.apply,),
        act_out,
        sample,
        covers=(rep, *(irrep for irrep, _ in reps.decompose(rep).terms)),
        composes=None,
    )


def _coupling_entry(a: reps.Irrep, b: reps.Irrep, c: reps.Irrep) -> Equivariant:
    """The bilinear maps of Clebsch-Gordan coefficients."""
    table = reps.clebsch_gordan(a, b, c)

    def fn(x: jax.Array, y: jax.Array) -> jax.Array:
        coefficients = jnp.asarray(table, x.dtype)
        return jnp.einsum("nijk,j,k->in", coefficients, x, y, precision="highest")

    def sample(key: jax.Array) -> tuple[Any, ...]:
        key_x, key_y = jax.random.split(key)
        return jax.random.normal(key_x, (a.dim,)), jax.random.normal(key_y, (b.dim,))

    return Equivariant(
        f"clebsch_gordan({a}, {b}, {c})",
        fn,
        a.group,
        (a.apply, b.apply),
        c.apply,
        sample,
        covers=(a, b, c),
        composes=None,
    )


REPS: list[Equivariant] = [
    *(_maps_entry(a, b) for a, b in PAIRS),
    _split_entry(_vector**2),
    _split_entry(_fourvector**2),
    _split_entry(_corners),
    _coupling_entry(*(reps.irrep(groups.O(3), label) for label in ("1o", "2e", "3o"))),
    _coupling_entry(*[reps.irrep(groups.SU(3), (1, 1))] * 3),
]
