"""The two stages, the pointwise network, and how they are trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flows import Flows, errors

from eqjax import fields
from eqjax.groups import SE
from eqjax.spaces import Box, Euclidean

# Root mean squares of (u, v) about the inflow and of cp near the bodies.
SCALES = np.array([0.2, 0.2, 0.35], np.float32)


def make_model(
    hidden: int, encoder_hidden: int, num_layers: int, *, key: Any
) -> tuple[fields.GeometryToField, Any]:
    """Both stages, the second with layers of attention among latents; parameters."""
    b = fields.RelativePose(SE(2))

    def field(b: Any, width: int, **sizes: Any) -> fields.EquivariantField:
        return fields.EquivariantField(
            b,
            hidden=width,
            head_dim=width // 2,
            query_embedding=fields.FourierEmbedding(width, scale=0.2),
            value_embedding=fields.FourierEmbedding(width, scale=0.5),
            **sizes,
        )

    model = fields.GeometryToField(
        field(b, encoder_hidden, context_dim=8, head_layers=2),
        field(
            fields.WithScalars(b, 1),
            hidden,
            context_dim=10,
            num_out=3,
            num_self_attention_layers=num_layers,
        ),
        num_conditions=2,
        turning=True,
    )
    key_latents, key_model = jax.random.split(key)
    latents = fields.init_latents(
        Euclidean(2),
        SE(2),
        num_latents=9,
        context_dim=8,
        domain=Box((-0.75, -0.5), (0.75, 0.5)),
        key=key_latents,
    )
    return model, model.init(latents, key=key_model)


def adam(rate: float, steps: int) -> optax.GradientTransformation:
    """Adam with a short warmup, a cosine and clipped gradients."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, steps // 20, steps)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))


def train_encoder(
    model: fields.GeometryToField,
    params: Any,
    flows: Flows,
    *,
    steps: int,
    batch: int,
    key: Any,
) -> Any:
    """Parameters whose few steps on the contexts fit signed distances well."""
    field = model.encoder_field
    rates = {"encoder": 3e-3, "context": 3e-3, "rates": 3e-2}
    optimizer = optax.partition(
        {name: adam(rate, steps) for name, rate in rates.items()},
        {name: name for name in rates},
    )
    points, values = jnp.asarray(flows.shape_points), jnp.asarray(flows.distance)

    def with_trained(trained: Any) -> Any:
        latents = {**params["latents"], "context": trained["context"]}
        return {**params, **trained, "latents": latents}

    def loss(trained: Any, points: jax.Array, values: jax.Array) -> jax.Array:
        def one(x: jax.Array, y: jax.Array) -> jax.Array:
            new = with_trained(trained)
            latents = model.encode(new, x, y, first_order=True)
            prepared = field.prepare(new["encoder"], latents)
            found = jax.vmap(lambda x: field.apply(new["encoder"], prepared, x))(x)
            return jnp.mean((found - y) ** 2)

        return jnp.mean(jax.vmap(one)(points, values))

    @jax.jit
    def step(trained: Any, state: Any, key: Any) -> tuple[Any, Any]:
        rows = jax.random.choice(key, len(points), (batch,), replace=False)
        gradient = jax.grad(loss)(trained, points[rows], values[rows])
        update, state = optimizer.update(gradient, state)
        return optax.apply_updates(trained, update), state

    # The first steps as long as the contexts are large.
    trained = {name: params[name] for name in ("encoder", "rates")}
    trained["context"] = params["latents"]["context"]
    trained["rates"] = jnp.log(0.5) + 0 * trained["rates"]
    state = optimizer.init(trained)
    for key_step in jax.random.split(key, steps):
        trained, state = step(trained, state, key_step)
    return with_trained(trained)


def encode_all(
    model: fields.GeometryToField, params: Any, parts: Sequence[Flows]
) -> list[Any]:
    """Latents of all shapes, contexts standardized by the first part."""
    encode = jax.jit(lambda x: jax.lax.map(lambda a: model.encode(params, *a), x))
    found = [encode((flows.shape_points, flows.distance)) for flows in parts]
    mean = jnp.mean(found[0]["context"], axis=0)
    # One scale per channel, or latents far from the shape would be blown up.
    scale = jnp.sqrt(jnp.mean((found[0]["context"] - mean) ** 2, axis=(0, 1)))
    return [{**z, "context": (z["context"] - mean) / scale} for z in found]


Predict = Callable[[Any, Any, jax.Array], jax.Array]


@partial(jax.jit, static_argnums=0)
def predict_all(
    predict: Predict, params: Any, examples: Any, points: jax.Array
) -> jax.Array:
    """Values at all points of all shapes."""
    return jax.lax.map(lambda a: predict(params, *a), (examples, points))


def train(
    predict: Predict,
    params: Any,
    examples: Sequence[Any],
    flows: Sequence[Flows],
    *,
    rate: float,
    steps: int,
    batch: int,
    num_points: int,
    key: Any,
) -> tuple[Any, list[float]]:
    """The parameters that are best on the validation shapes, and all errors there.

    Args:
        predict: (params, example, points (n, 3)) -> values (n, 3), for one shape.
        params: Where to begin.
        examples: What is known of the training and of the validation shapes, besides
            points: pytrees with one row per shape.
        flows: The flows about them.
        rate: Of Adam.
        steps: Number of steps; ten times the validation error is measured.
        batch: Shapes of a step.
        num_points: Points of a shape and step.
        key: For the batches.
    """
    optimizer = adam(rate, steps)
    points, values = jnp.asarray(flows[0].points), jnp.asarray(flows[0].values)

    def loss(params: Any, example: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        found = jax.vmap(partial(predict, params))(example, x)
        return jnp.mean(((found - y) / SCALES) ** 2)

    @jax.jit
    def step(params: Any, state: Any, key: Any) -> tuple[Any, Any]:
        key_rows, key_points = jax.random.split(key)
        rows = jax.random.choice(key_rows, len(points), (batch,), replace=False)
        some = jax.random.randint(key_points, (num_points,), 0, points.shape[1])
        example = jax.tree.map(lambda leaf: leaf[rows], examples[0])
        arrays = points[rows][:, some], values[rows][:, some]
        gradient = jax.grad(loss)(params, example, *arrays)
        update, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, update), state

    # A fifth of the points is enough to choose by.
    check = jax.tree.map(lambda leaf: leaf[:, ::5], flows[1]._replace(inflow=None))
    state, best, history = optimizer.init(params), (np.inf, params), []
    for k, key_step in enumerate(jax.random.split(key, steps)):
        params, state = step(params, state, key_step)
        if (k + 1) % max(1, steps // 10) == 0:
            found = predict_all(predict, params, examples[1], check.test_points)
            history.append(errors(np.asarray(found), check)["all"])
            best = min(best, (history[-1], params), key=lambda pair: pair[0])
    return best[1], history


def init_pointwise(num_weights: int, *, key: Any) -> Any:
    """A network of five layers with about as many weights."""
    # 5 inputs, 3 outputs: 3 w^2 + 12 w + 3 weights.
    width = int(((144 + 12 * num_weights) ** 0.5 - 12) / 6)
    sizes = [5, width, width, width, width, 3]
    init = jax.nn.initializers.he_normal()
    return [
        {"kernel": init(k, (m, n)), "bias": jnp.zeros(n)}
        for k, m, n in zip(jax.random.split(key, 5), sizes[:-1], sizes[1:], strict=True)
    ]


def apply_pointwise(params: Any, inflow: jax.Array, points: jax.Array) -> jax.Array:
    """(u, v, cp) from point, signed distance and inflow."""
    y = jnp.concatenate([points, jnp.tile(inflow, (len(points), 1))], axis=1)
    for k, layer in enumerate(params):
        y = y if k == 0 else jax.nn.gelu(y)
        y = y @ layer["kernel"] + layer["bias"]
    return y
