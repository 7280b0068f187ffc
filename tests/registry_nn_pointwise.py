"""Entries of the registry for layers that act at every point of a grid by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eqjax import groups, nn, o3, reps
from eqjax.nn._terms import terms_of
from tests.registry_entries import Equivariant

GRID = (2, 3)


class Action:
    """One group element on many features; matrices of a term are made once."""

    def __init__(self, g: Any, dtype: Any) -> None:
        self.g = g
        self.dtype = dtype
        self.matrices: dict[reps.Rep, jax.Array] = {}

    def matrix(self, rep: reps.Rep) -> jax.Array:
        if rep not in self.matrices:
            self.matrices[rep] = rep.rho(self.g, dtype=self.dtype)
        return self.matrices[rep]

    def __call__(self, rep: reps.Rep, x: Any) -> Any:
        """On a feature (*grid, dim, channels), or a dict of such."""
        if isinstance(x, dict):
            return {irrep: self(irrep, part) for irrep, part in x.items()}
        terms = terms_of(rep, x.shape[-1])
        moved = [
            jnp.einsum("ij,...jc->...ic", self.matrix(term.rep), part)
            for term, part in zip(terms.terms, terms.split(x), strict=True)
        ]
        return terms.join(moved)


def shapes_of(rep: reps.Rep, channels: int | None) -> Any:
    """The shapes of a field of features."""
    if channels is not None:
        return jax.ShapeDtypeStruct((*GRID, rep.dim, channels), jnp.float64)
    parts = jax.eval_shape(lambda: reps.split(rep, jnp.zeros(rep.dim)))
    return {
        irrep: jax.ShapeDtypeStruct((*GRID, *part.shape), jnp.float64)
        for irrep, part in parts.items()
    }


def normal(shapes: Any, key: jax.Array) -> Any:
    """Normal numbers of a structure of shapes (of NumPy, which compiles nothing)."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape)), shapes)


def perturbed(layer: Any) -> Any:
    """Parameters, none of which is zero or one."""
    params = layer.init(key=jax.random.key(0))
    noise = normal(params, jax.random.key(1))
    return jax.tree.map(lambda a, b: a + 0.3 * b, params, noise)


def run(layer: Any, params: Any, x: Any) -> Any:
    """A layer of any of the contracts; batch norms by statistics of the field."""
    if isinstance(layer, nn.BatchNorm):
        y, state = layer.apply(params, layer.init_state(dtype=_dtype(x)), x)
        fixed, _ = layer.apply(params, state, x, use_running=True)
        return y, fixed
    return layer.apply(x) if params is None else layer.apply(params, x)


def _dtype(x: Any) -> Any:
    return jax.tree.leaves(x)[0].dtype


def _zeros(x: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, x)


def _half(x: Any) -> Any:
    """The first half of the channels is zero."""
    return jax.tree.map(lambda a: a.at[..., : a.shape[-1] // 2].set(0), x)


def fibre_entry(
    name: str, layers: Mapping[str, Any], *, composes: Mapping[str, Any] | None = None
) -> Equivariant:
    """Layers of one group, all of them in one function.

    Each has its own features; parameters are arguments that do not move.
    """
    has_params = {key: hasattr(layer, "init") for key, layer in layers.items()}

    def fn(params: Any, x: Any) -> Any:
        return {
            key: run(layer, params.get(key), x[key]) for key, layer in layers.items()
        }

    def act_in(g: Any, x: Any) -> Any:
        act = Action(g, _dtype(x))
        return {key: act(layer.rep_in, x[key]) for key, layer in layers.items()}

    def act_out(g: Any, y: Any) -> Any:
        act, found = Action(g, _dtype(y)), {}
        for key, layer in layers.items():
            results = y[key] if isinstance(layer, nn.BatchNorm) else (y[key],)
            found[key] = tuple(act(layer.rep_out, result) for result in results)
            found[key] = found[key] if len(results) > 1 else found[key][0]
        return found

    def sample(key: jax.Array) -> tuple[Any, ...]:
        params = {
            key: perturbed(layer) for key, layer in layers.items() if has_params[key]
        }
        shapes = {
            key: shapes_of(layer.rep_in, layer.channels)
            for key, layer in layers.items()
        }
        return params, normal(shapes, key)

    def singular(key: jax.Array) -> dict[str, tuple[Any, ...]]:
        params, x = sample(key)
        return {"zero": (params, _zeros(x)), "half the channels": (params, _half(x))}

    specs: Sequence[Any] = tuple(layers.values())
    return Equivariant(
        name,
        fn,
        specs[0].group,
        (None, act_in),
        act_out,
        sample,
        covers=specs,
        singular=singular,
        # Norms divide by roots of epsilon, some 300.
        singular_atol=1e-12,
        composes=composes,
    )


def image_entry(head: nn.MomentHead) -> Equivariant:
    """Invariants of images, which D4 turns and mirrors."""
    size, group = head.size, groups.Dihedral(4)
    # Where g sends the pixel (row, column), with x to the right and y upwards.
    places = np.stack(np.meshgrid(*[np.arange(size)] * 2, indexing="ij"), axis=-1)
    offsets = (places - (size - 1) / 2)[..., ::-1] * [1, -1]
    moved = offsets @ np.swapaxes(group.tables.matrices, 1, 2)[:, None]
    rows, columns = (size - 1) / 2 - moved[..., 1], moved[..., 0] + (size - 1) / 2
    targets = np.round(rows * size + columns).astype(int).reshape(group.order, -1)
    sources = np.argsort(targets, axis=1)

    def act(g: Any, x: jax.Array) -> jax.Array:
        flat = x.reshape(size * size, -1)
        return flat[jnp.asarray(sources)[group.index(g)]].reshape(x.shape)

    return Equivariant(
        str(head),
        lambda x: head.apply(x),
        group,
        (act,),
        None,
        lambda key: (normal(np.zeros((size, size, 2)), key),),
        covers=(head,),
        singular=lambda key: {"zero": (jnp.zeros((size, size, 2)),)},
        singular_atol=1e-14,
        composes=None,
    )


_D4 = groups.Dihedral(4)
_O3 = groups.O(3)
_regular, _pair = reps.regular(_D4), reps.quotient(_D4, groups.Cyclic(2))
_mixed = reps.trivial(_D4) + 2 * reps.standard(_D4) + _regular
_turning = reps.trivial(groups.SO(2)) + reps.standard(groups.SO(2))
_ragged = reps.from_irreps("3x0e + 2x1o + 0o + 2x2e")
_tensors = reps.trivial(_O3) + 2 * reps.standard(_O3) + reps.standard(_O3) ** 2
_arrows = reps.induce(reps.standard(groups.Cyclic(4)), _D4)
_SO2 = groups.SO(2)
_waves = sum((reps.irrep(_SO2, l) for l in (1, 2)), reps.trivial(_SO2))
_signal = o3.Degrees(2)
_lorentz = groups.Lorentz(3, reflections="all")

NN_POINTWISE: tuple[Equivariant, ...] = (
    fibre_entry(
        "nn: fibres of D4",
        {
            "regular": nn.Pointwise(_regular, 2, fn="elu"),
            "quotient": nn.Pointwise(_pair + _regular, 2, fn="gelu"),
            "restricted": nn.Pointwise(
                reps.restrict(reps.regular(groups.Dihedral(8)), _D4), 2, fn="relu"
            ),
            "signed": nn.Pointwise(reps.standard(_D4), 2, fn="tanh"),
            "gate": nn.Gate(_mixed, 2),
            "norm activation": nn.NormActivation(_mixed, 2),
            "batch": nn.BatchNorm(_mixed, 2),
            "instance": nn.InstanceNorm(_mixed, 2),
            "layer": nn.LayerNorm(_mixed, 2),
            "rms": nn.RMSNorm(_mixed, 2),
        },
    ),
    fibre_entry(
        "nn: dense features of SO(2)",
        {
            "gate": nn.Gate(_turning, 3),
            "norm activation": nn.NormActivation(_turning, 3),
            "batch": nn.BatchNorm(_turning, 3),
        },
        composes={},
    ),
    fibre_entry(
        "nn: ragged features of O(3)",
        {
            "gate": nn.Gate(_ragged),
            "norm activation": nn.NormActivation(_ragged, fn="tanh"),
            "batch": nn.BatchNorm(_ragged),
            "layer": nn.LayerNorm(_ragged),
            "tensors": nn.RMSNorm(_tensors, 2),
            "gated tensors": nn.Gate(_tensors, 2),
            "separable": nn.SeparableLayerNorm(o3.Degrees(2), 2),
            "merged": nn.MergedLayerNorm(o3.Degrees(2), 2),
        },
    ),
    fibre_entry(
        "nn: slots, pools and invariants of D4",
        {
            "induced norm": nn.InducedNorm(_arrows, 2),
            "induced gate": nn.InducedGate(_pair + 2 * _arrows, 2),
            "softmax": nn.Softmax(_pair + _regular, 2),
            "fourier": nn.Fourier(_regular, 2),
            "on cosets": nn.Fourier(
                _pair, 2, domain="cosets", subgroup=groups.Cyclic(2), fn="relu"
            ),
            "max": nn.GroupPool(_pair + _regular, 2),
            "mean": nn.GroupPool(_regular, 2, kind="mean"),
            "smooth": nn.GroupPool(2 * _regular, 2, kind="softmax"),
            "norms": nn.InvariantNorm(_mixed, 2),
            "gram": nn.InvariantGram(_mixed, 2),
        },
    ),
    fibre_entry(
        "nn: squares of functions",
        {"circle": nn.Fourier(_waves, 2, fn="square")},
        composes={},
    ),
    fibre_entry(
        "nn: squares of functions on the sphere",
        {
            "sphere": nn.Fourier(_signal, 2, fn="square", domain="sphere"),
            "norms": nn.InvariantNorm(_ragged),
            "gram": nn.InvariantGram(_ragged),
        },
    ),
    fibre_entry(
        "nn: gates of the Lorentz group",
        {
            "vectors": nn.Gate(reps.standard(_lorentz), 2),
            "ragged": nn.Gate(3 * reps.decompose(reps.standard(_lorentz)).terms[0][0]),
        },
    ),
    image_entry(nn.MomentHead("zernike", 5, 8)),
    image_entry(nn.MomentHead("orthogonal-fourier-mellin", 3, 7)),
)
