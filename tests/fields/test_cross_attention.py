"""The folded attention is the published one, written out plainly here."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields import CrossAttention, FourierEmbedding

SPEC = CrossAttention(
    invariant_dim=4,
    context_dim=3,
    hidden=7,
    num_heads=2,
    head_dim=5,
    query_embedding=FourierEmbedding(6, scale=0.3),
    value_embedding=FourierEmbedding(8, scale=0.2),
)
LATENTS = 5


def reference(spec, params, contexts, invariants, offsets, following):
    """The formulas of `CrossAttention`, in their order, with nothing folded."""
    num_heads, linear = spec.num_heads, spec.block == "film_linear"
    heads = (LATENTS, num_heads, spec.head_dim)

    def dense(name, x, of=params):
        y = x @ of[name]["kernel"]
        return y + jnp.broadcast_to(of[name]["bias"], y.shape)

    def norm(name, x):
        centered = x - jnp.mean(x, -1, keepdims=True)
        variance = jnp.mean(centered**2, -1, keepdims=True)
        unit = centered / jnp.sqrt(variance + 1e-5)
        scale, offset = params[name]["scale"], params[name]["offset"]
        shape = unit.shape
        return unit * jnp.broadcast_to(scale, shape) + jnp.broadcast_to(offset, shape)

    def embed(name, b):
        embedding = params[name]["embedding"]
        angle = 2 * jnp.pi * b @ embedding["frequencies"]
        waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)
        waves = jax.nn.relu(dense("embedding", waves, params[name]))
        return dense("head", waves, params[name])

    def mean_over_views(name):
        return sum(embed(name, b) for b in invariants) / len(invariants)

    a = contexts if linear else norm("stem_norm", dense("stem", contexts))
    q = dense("to_query", mean_over_views("query")).reshape(heads)
    k = dense("to_key", a).reshape(heads)
    scale = spec.logit_scale or (spec.head_dim if linear else spec.hidden) ** -0.5
    logits = jnp.sum(q * k, -1) * scale
    if offsets is not None:
        logits = logits + offsets[:, None]
    attention = jax.nn.softmax(logits, axis=0)
    film = dense("film", mean_over_views("value"))
    if not linear:
        film = dense("film_out", norm("film_norm", jax.nn.gelu(film)))
    scale, shift = jnp.split(film, 2, -1)
    v = dense("to_value", a) * (1 + scale) + shift
    if spec.block == "film_norm_per_head":
        v = v.reshape(heads)
    mixed = jax.nn.gelu(dense("mixer", v))
    u = dense("mixer_out", mixed if linear else norm("mixer_norm", mixed))
    u = u.reshape(LATENTS, num_heads, -1)
    y = dense("out", jnp.sum(attention[..., None] * u, 0).reshape(-1))
    if following is not None:
        y = y @ following["kernel"] + following["bias"]
    return y


def folded(spec, params, contexts, invariants, offsets, following):
    prepared = spec.prepare(params, contexts, following)
    return spec.apply(params, prepared, invariants, offsets)


def random_arguments(spec, num_views, windows, num_following, seed):
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: spec.init(key=key), jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes)
    arguments: list[Any] = [
        jnp.asarray(rng.normal(size=shape))
        for shape in ((LATENTS, 3), (num_views, LATENTS, 4), (LATENTS,))
    ]
    if not windows:
        arguments[-1] = None
    shape = (spec.width, num_following)
    following = num_following and {
        "kernel": jnp.asarray(rng.normal(size=shape)),
        "bias": jnp.asarray(rng.normal(size=shape[1:])),
    }
    return params, *arguments, following or None


@pytest.mark.parametrize(
    ("options", "num_views", "windows", "num_following", "merged"),
    [
        ({"num_heads": 1}, 2, True, 0, True),
        ({"logit_scale": 0.7}, 1, False, 3, True),
        ({"num_heads": 3, "head_dim": 3}, 2, True, 11, False),
        ({"block": "film_norm_per_head"}, 1, True, 0, True),
        ({"block": "film_norm_per_head", "num_out": 1}, 1, True, 0, True),
        ({"block": "film_linear", "num_out": 3}, 1, True, 0, True),
        ({"block": "film_linear", "num_heads": 3}, 2, False, 11, True),
    ],
)
def test_folding_changes_nothing(options, num_views, windows, num_following, merged):
    spec = dataclasses.replace(SPEC, **options)
    arguments = random_arguments(spec, num_views, windows, num_following, 3)
    params, contexts, *_, following = arguments
    prepared = spec.prepare(params, contexts, following)
    assert ("merged" in prepared["tail"]) == merged

    def weighed(fn):
        def loss(*arguments):
            y = fn(spec, *arguments)
            return jnp.sum(y * jnp.sin(1.0 + jnp.arange(y.shape[0], dtype=y.dtype))), y

        return jax.jit(jax.value_and_grad(loss, range(5), has_aux=True))(*arguments)

    ((_, y), gradients), ((_, want), wanted) = weighed(folded), weighed(reference)
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-12 * np.max(np.abs(want)))
    for (path, got), leaf in zip(
        jax.tree_util.tree_leaves_with_path(gradients),
        jax.tree.leaves(wanted),
        strict=True,
    ):
        # Relative to the largest entry: sums over units cancel to any small number.
        allowed = 1e-12 * max(1.0, float(np.max(np.abs(leaf))))
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(got, leaf, rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize("num_heads", [1, 3])
def test_no_product_is_left_to_the_platform(num_heads):
    """Neither those that fold constants nor those that `precision` is about."""
    spec = dataclasses.replace(SPEC, num_heads=num_heads, precision="highest")
    arguments = random_arguments(spec, 1, True, 11, 0)
    lowered = jax.jit(folded, static_argnums=0).lower(spec, *arguments)
    program = lowered.as_text()
    assert "HIGHEST" in program
    assert "precision = [DEFAULT" not in program


def test_exchanging_two_views_changes_no_bit():
    params, contexts, invariants, offsets, _ = random_arguments(SPEC, 2, True, 0, 0)
    prepared = SPEC.prepare(params, contexts)
    y = SPEC.apply(params, prepared, invariants, offsets)
    swapped = SPEC.apply(params, prepared, invariants[::-1], offsets)
    assert np.array_equal(y, swapped)


def test_order_of_latents_does_not_matter():
    params, contexts, invariants, offsets, _ = random_arguments(SPEC, 2, True, 0, 0)
    order = jnp.array([3, 0, 4, 2, 1])
    y = folded(SPEC, params, contexts, invariants, offsets, None)
    moved = folded(
        SPEC, params, contexts[order], invariants[:, order], offsets[order], None
    )
    np.testing.assert_allclose(moved, y, rtol=1e-12)


def test_parameters_count_and_dtype():
    params = jax.eval_shape(
        lambda key: SPEC.init(dtype=jnp.float32, key=key), jax.random.key(0)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    h, w, c, i = SPEC.hidden, SPEC.width, SPEC.context_dim, SPEC.invariant_dim
    embeddings = sum(i * u // 2 + u * u + u + u * h + h for u in (6, 8))
    layers = [(c, h), (h, w), (h, w), (h, w), (h, h), (h, 2 * w), *[(w, w)] * 3]
    norms = 2 * (h + h + w)
    count = embeddings + sum(n * m + m for n, m in layers) + norms
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize(
    "name", ["invariant_dim", "hidden", "num_heads", "head_dim", "num_out"]
)
def test_sizes_must_be_positive(name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        dataclasses.replace(SPEC, **{name: 0})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"block": "film"}, "`block` must be one of"), ({"logit_scale": 0.0}, "positive")],
)
@pytest.mark.usefixtures("user_errors")
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPEC, **options)
