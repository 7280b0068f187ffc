"""What does a linear layer between irreps of SO(3) cost, beside EMLP and e3nn?

96 x 0 + 32 x 1 + 16 x 2 + 8 x 3 to the same, without bias, 256 examples, float32,
jitted: y, and the gradient of |y|^2 / 2 with respect to weights and inputs.

- eqjax irreps: `EquivariantMaps.apply_irreps` on features that stay split, by vmap.
- eqjax stacked: `EquivariantMaps.apply` on vectors (328,), by vmap.
- emlp: what its layers do, x @ (P w).reshape(328, 328).T with EMLP's projector P and a
  weight w of 328^2 entries. EMLP has no irreps of SO(3): they are given to it as
  representations of its own kind, so that P mixes each pair of irreps apart.
- emlp, weight projected before: the same without the projection, the least that any
  layer with a dense weight takes.
- e3nn: `e3nn_jax.flax.Linear`.

All have the same weights in the end; `difference` is that of their results, relative to
the largest entry. One process, interleaved rounds, median; compilation and temporary
memory apart.

    python benchmarks/linear_layer.py --out benchmarks/results/linear_layer.json
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
from _measure import (
    compiled,
    emlp,
    environment,
    finish,
    median_times,
    parser,
    question,
    rounded,
)
from e3nn_jax import flax as e3nn_flax

from eqjax import groups, reps

COUNTS = {0: 96, 1: 32, 2: 16, 3: 8}
BATCH = 256
PACKAGES = ("e3nn-jax", "flax", "emlp", "plum-dispatch")
SO3 = groups.SO(3, elements="matrix")
IRREPS = {l: reps.irrep(SO3, l) for l in COUNTS}
Layer = Callable[[Any, Any], Any]


def feature() -> Any:
    terms = [count * IRREPS[l] for l, count in COUNTS.items()]
    return functools.reduce(lambda a, b: a + b, terms)


def emlp_projector() -> Any:
    """EMLP's projector of dense weights."""
    tools = emlp()
    group, scalar = tools.groups.SO(3), tools.reps.Scalar

    class Degree(tools.reps.Rep):
        """The irrep l, in EMLP's form."""

        def __init__(self, l: int) -> None:
            self.G, self.l = group, l

        def __str__(self) -> str:
            return f"l{self.l}"

        def size(self) -> int:
            return 2 * self.l + 1

        def rho(self, M: Any) -> Any:
            return IRREPS[self.l].rho(M)

        def drho(self, A: Any) -> Any:
            return IRREPS[self.l].drho(SO3.vee(A))

    terms = [count * (Degree(l) if l else scalar) for l, count in COUNTS.items()]
    rep: Any = functools.reduce(lambda a, b: a + b, terms)
    return (rep >> rep).equivariant_projector()


def e3nn_layer(weights: np.ndarray) -> tuple[Layer, Any]:
    """e3nn's layer, and its parameters for weights by irrep, (out, in)."""
    irreps = e3nn_jax.Irreps([(count, (l, 1)) for l, count in COUNTS.items()])
    layer = e3nn_flax.Linear(irreps, irreps_in=irreps)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        y: Any = layer.apply(params, e3nn_jax.IrrepsArray(irreps, x))
        return y.array

    empty = e3nn_jax.IrrepsArray(irreps, jnp.zeros((1, irreps.dim)))
    shapes = jax.eval_shape(layer.init, jax.random.key(0), empty)
    blocks, start = [], 0
    for l, count in COUNTS.items():
        block = weights[start : start + count**2].reshape(count, count)
        # Ours have Frobenius norm 1 each; e3nn divides by the root of the fan-in.
        blocks.append(block.T * math.sqrt(count / (2 * l + 1)))
        start += count**2
    leaves, form = jax.tree.flatten(shapes)
    assert [leaf.shape for leaf in leaves] == [block.shape for block in blocks]
    return apply, jax.tree.unflatten(form, [jnp.asarray(block) for block in blocks])


def layers(x: jax.Array) -> dict[str, tuple[Layer, Any, Any]]:
    """Name to (layer of a batch, weights, inputs), all of the same map."""
    maps = reps.hom(feature(), feature())
    weights = jax.random.normal(jax.random.key(1), (maps.num_maps,))
    dense = maps.expand(weights)
    found: dict[str, tuple[Layer, Any, Any]] = {
        "eqjax irreps": (jax.vmap(maps.apply_irreps, (None, 0)), weights, parts(x)),
        "eqjax stacked": (jax.vmap(maps.apply, (None, 0)), weights, x),
    }
    if emlp() is not None:
        projector = emlp_projector()

        def projected(w: jax.Array, x: jax.Array) -> jax.Array:
            return x @ (projector @ w.reshape(-1)).reshape(w.shape).T

        found["emlp"] = projected, dense, x
    found["emlp, weight projected before"] = lambda w, x: x @ w.T, dense, x
    found["e3nn"] = *e3nn_layer(np.asarray(weights)), x
    return found


def parts(x: jax.Array) -> dict[Any, jax.Array]:
    """The batch by irreps, which stand one after the other."""
    found, start = {}, 0
    for l, count in COUNTS.items():
        stop = start + count * (2 * l + 1)
        part = x[:, start:stop].reshape(len(x), count, 2 * l + 1)
        found[IRREPS[l]] = part.swapaxes(1, 2)
        start = stop
    return found


def stacked(y: Any) -> np.ndarray:
    if isinstance(y, dict):
        rows = [y[IRREPS[l]].swapaxes(1, 2).reshape(BATCH, -1) for l in COUNTS]
        y = jnp.concatenate(rows, axis=1)
    return np.asarray(y, float)


def energy(layer: Layer) -> Callable[..., Any]:
    def half_square(weights: Any, x: Any) -> Any:
        y = layer(weights, x)
        return sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(y)) / 2

    return jax.grad(half_square, (0, 1))


def measure(rounds: int) -> dict[str, Any]:
    dim = sum(count * (2 * l + 1) for l, count in COUNTS.items())
    x = jax.random.normal(jax.random.key(0), (BATCH, dim))
    rows: dict[str, Any] = {}
    functions: dict[str, Callable[[], Any]] = {}
    want = None
    for name, (layer, weights, inputs) in layers(x).items():
        run, forward = compiled(layer, weights, inputs)
        gradient, backward = compiled(energy(layer), weights, inputs)
        got = stacked(run(weights, inputs))
        want = got if want is None else want
        rows[name] = {
            "weights": sum(leaf.size for leaf in jax.tree.leaves(weights)),
            "difference": float(np.max(np.abs(got - want)) / np.max(np.abs(want))),
            "forward": forward,
            "gradient": backward,
        }
        for part, program in (("forward", run), ("gradient", gradient)):
            functions[f"{name}/{part}"] = functools.partial(program, weights, inputs)
    for name, taken in median_times(functions, rounds).items():
        peer, _, part = name.rpartition("/")
        rows[peer][part] |= taken
    ours = rows["eqjax irreps"]
    for name, row in rows.items():
        if name != "eqjax irreps":
            row["over_eqjax_irreps"] = {
                part: rounded(row[part]["median_ms"] / ours[part]["median_ms"])
                for part in ("forward", "gradient")
            }
    return rows


def main() -> None:
    options = parser(__doc__, rounds=40).parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": options.rounds,
        "batch": BATCH,
        "layers": measure(options.rounds),
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
