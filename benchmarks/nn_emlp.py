"""What do a linear layer and a training step of an equivariant MLP cost?

The linear layer: 96 x 0 + 32 x 1 + 16 x 2 + 8 x 3 of SO(3) to the same, without bias,
256 examples: `nn.Linear` on ragged and on dense features beside what
benchmarks/linear_layer.py measures, `EquivariantMaps` of eqjax.reps, EMLP's layer, the
product with a dense matrix alone, and e3nn's (`e3nn_jax.flax.Linear`, which holds its
`FunctionalLinear`).

The training step: the moment of inertia of five masses (5 scalars and 5 vectors of O(3)
to a matrix), 3 hidden layers of 384 components (129 scalars, 43 vectors, 14 matrices),
Adam on the mean square error:

- eqjax: `nn.EquivariantMLP` with `reps.uniform(O(3), 384)`, two linear maps per block
  and their products.
- emlp: what the blocks of `emlp.nn.flax.EMLP` do, out of its own projectors and
  `bilinear_weights`; importing its layers would need another JAX. It makes a matrix
  (384, 384) of every example, so that a batch of 500 needs several GiB: 100 examples.

All in float32, jitted; one process, interleaved rounds, median; compilation and
temporary memory apart.

    python benchmarks/nn_emlp.py --out benchmarks/results/nn_emlp.json
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import linear_layer
import numpy as np
import optax
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

from eqjax import groups, nn, reps

HIDDEN, DEPTH, BATCH = 384, 3, 100


def linear_layers() -> dict[str, Any]:
    """The layers of benchmarks/linear_layer.py and ours, of the same maps."""
    feature = linear_layer.feature()
    x = jax.random.normal(jax.random.key(0), (linear_layer.BATCH, feature.dim))
    found = linear_layer.layers(x)
    weights = found["eqjax irreps"][1]
    ours, start = {}, 0
    for l, count in linear_layer.COUNTS.items():
        block = weights[start : start + count**2].reshape(count, count).T
        ours[str(l)] = block[None] / (2 * l + 1) ** 0.5
        start += count**2
    ragged = nn.Linear(feature, feature)
    dense = nn.Linear(feature, feature, 1, 1)
    params = {"weights": ours}

    def apply_dense(params: Any, x: jax.Array) -> jax.Array:
        y: Any = jax.vmap(dense.apply, (None, 0))(params, x[:, :, None])
        return y[:, :, 0]

    mine: dict[str, Any] = {
        "eqjax.nn ragged": (
            jax.vmap(ragged.apply, (None, 0)),
            params,
            linear_layer.parts(x),
        ),
        "eqjax.nn dense": (apply_dense, params, x),
    }
    return mine | found


def measure_linear(rounds: int) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    functions: dict[str, Callable[[], Any]] = {}
    want = None
    for name, (layer, weights, inputs) in linear_layers().items():
        run, forward = compiled(layer, weights, inputs)
        gradient, backward = compiled(linear_layer.energy(layer), weights, inputs)
        got = linear_layer.stacked(run(weights, inputs))
        want = got if want is None else want
        rows[name] = {
            "weights": sum(leaf.size for leaf in jax.tree.leaves(weights)),
            "difference": float(np.max(np.abs(got - want)) / np.max(np.abs(want))),
            "forward": forward,
            "gradient": backward,
        }
        for part, program in (("forward", run), ("gradient", gradient)):
            functions[f"{name}/{part}"] = functools.partial(program, weights, inputs)
    return timed(rows, functions, rounds)


def timed(
    rows: dict[str, Any], functions: dict[str, Callable[[], Any]], rounds: int
) -> dict[str, Any]:
    """Adds times, and their ratios to the first row's."""
    for name, taken in median_times(functions, rounds).items():
        peer, _, part = name.rpartition("/")
        rows[peer][part] |= taken
    first, *others = rows
    for name in others:
        rows[name]["over_" + first] = {
            part: rounded(row["median_ms"] / rows[first][part]["median_ms"])
            for part, row in rows[name].items()
            if isinstance(row, dict) and "median_ms" in row
        }
    return rows


# Training steps ---------------------------------------------------------------------


def our_network() -> tuple[Any, Any]:
    """Parameters, and a function of them and one input (20,)."""
    group = groups.O(3)
    vector, scalar = reps.standard(group), reps.trivial(group)
    layer = nn.EquivariantMLP(
        5 * scalar + 5 * vector,
        vector**2,
        1,
        1,
        hidden=reps.uniform(group, HIDDEN),
        depth=DEPTH,
    )

    def apply(params: Any, x: jax.Array) -> jax.Array:
        y: Any = layer.apply(params, x[:, None])
        return y[:, 0]

    return jax.jit(lambda: layer.init(key=jax.random.key(0)))(), apply


def emlp_network() -> tuple[Any, Any]:
    """The same of EMLP's parts: P w for linear maps, a matrix of x for products."""
    tools = emlp()
    group, scalar, tensor = tools.groups.O(3), tools.reps.Scalar, tools.reps.T
    counts = {0: 129, 1: 43, 2: 14}
    terms: Any = sum(count * tensor(order) for order, count in counts.items())
    hidden = terms(group)
    num_gates = counts[1] + counts[2]
    gated = hidden + num_gates * scalar(group)
    first = (5 * scalar + 5 * tensor(1))(group)
    last = tensor(2)(group)
    products = [tools.reps.bilinear_weights(gated, gated) for _ in range(DEPTH)]
    chain = [first, *[hidden] * DEPTH]
    maps = [(a, gated) for a in chain[:-1]] + [(hidden, last)]
    projectors = [
        ((a >> b).equivariant_projector(), b.equivariant_projector()) for a, b in maps
    ]
    # Scalars are their own gates; then one for each vector and matrix.
    gates = np.concatenate(
        [
            np.arange(counts[0]),
            hidden.size() + np.repeat(np.arange(counts[1]), 3),
            hidden.size() + counts[1] + np.repeat(np.arange(counts[2]), 9),
        ]
    )
    keys = iter(jax.random.split(jax.random.key(0), 3 * DEPTH + 2))
    params: Any = [
        {
            "w": jax.random.normal(next(keys), (b.size(), a.size())) / a.size() ** 0.5,
            "b": jnp.zeros(b.size()),
        }
        for a, b in maps
    ]
    for layer, (size, _) in zip(params, products, strict=False):
        layer["product"] = jax.random.normal(next(keys), (size,))

    def linear(layer: Any, projector: Any, x: jax.Array) -> jax.Array:
        w = (projector[0] @ layer["w"].reshape(-1)).reshape(layer["w"].shape)
        return x @ w.T + projector[1] @ layer["b"]

    def apply(params: Any, x: jax.Array) -> jax.Array:
        for layer, projector, (_, matrix) in zip(
            params, projectors, products, strict=False
        ):
            z = linear(layer, projector, x)
            z = z + 0.1 * (matrix(layer["product"], z) @ z[..., None])[..., 0]
            x = jax.nn.sigmoid(z[..., gates]) * z[..., : hidden.size()]
        return linear(params[-1], projectors[-1], x)

    return params, apply


def measure_steps(rounds: int) -> dict[str, Any]:
    keys = jax.random.split(jax.random.key(1))
    x = jax.random.normal(keys[0], (BATCH, 20))
    y = jax.random.normal(keys[1], (BATCH, 9))
    optimizer = optax.adam(3e-3)
    networks = {"eqjax": (*our_network(), True)}
    if emlp() is not None:
        networks["emlp"] = (*emlp_network(), False)
    rows: dict[str, Any] = {}
    functions: dict[str, Callable[[], Any]] = {}
    for name, (params, apply, one_example) in networks.items():
        batched = jax.vmap(apply, (None, 0)) if one_example else apply

        def loss(params: Any, x: Any, y: Any, batched: Any = batched) -> Any:
            return jnp.mean((batched(params, x) - y) ** 2)

        def step(params: Any, state: Any, x: Any, y: Any, loss: Any = loss) -> Any:
            update, state = optimizer.update(jax.grad(loss)(params, x, y), state)
            return optax.apply_updates(params, update), state

        args = params, optimizer.init(params), x, y
        run, costs = compiled(step, *args)
        num = sum(leaf.size for leaf in jax.tree.leaves(params))
        rows[name] = {"weights": num, "step": costs}
        functions[f"{name}/step"] = functools.partial(run, *args)
    return timed(rows, functions, rounds)


def main() -> None:
    options = parser(__doc__, rounds=10).parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment((*linear_layer.PACKAGES, "optax")),
        "rounds": options.rounds,
        "linear_layer": measure_linear(options.rounds),
        "training_step": {
            "hidden": HIDDEN,
            "depth": DEPTH,
            "batch": BATCH,
            "networks": measure_steps(options.rounds),
        },
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
