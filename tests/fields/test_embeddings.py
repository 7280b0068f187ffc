"""Embeddings of invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields import (
    FourierEmbedding,
    MlpEmbedding,
    PolynomialEmbedding,
    SineEmbedding,
)

EMBEDDINGS = (
    FourierEmbedding(6, scale=0.3),
    SineEmbedding(4, scale=0.3),
    MlpEmbedding(7),
    PolynomialEmbedding(7, degree=3),
)
ROWS = np.random.default_rng(0).normal(size=(2, 3, 5))
all_embeddings = pytest.mark.parametrize("embedding", EMBEDDINGS, ids=str)


def dense(params, x):
    return x @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


def waves(params, x):
    phases = np.pi * x @ np.asarray(params["frequencies"])
    return np.sin(phases), np.cos(phases)


def formula(embedding, params, b):
    """The formula of the docstring for one b."""
    match embedding:
        case FourierEmbedding():
            return np.maximum(dense(params, np.concatenate(waves(params, 2 * b))), 0)
        case SineEmbedding():
            return np.concatenate([np.sin(b), *waves(params, b + 1)])
        case MlpEmbedding():
            return jax.nn.gelu(dense(params, b))
    i, j = np.triu_indices(5)
    # Products of three, each once: i <= j <= k.
    cubes = [b[p] * b[q] * b[k] for p, q in zip(i, j, strict=True) for k in range(q, 5)]
    return jax.nn.gelu(dense(params, np.concatenate([b, b[i] * b[j], cubes])))


@all_embeddings
def test_is_the_formula(embedding):
    params = embedding.init(5, key=jax.random.key(0))
    got = embedding.apply(params, jnp.asarray(ROWS))
    assert got.shape == (2, 3, embedding.num_out(5))
    want = [[formula(embedding, params, b) for b in row] for row in ROWS]
    np.testing.assert_allclose(got, want, atol=1e-14)


@all_embeddings
def test_keeps_the_dtype(embedding):
    params = embedding.init(5, dtype=jnp.float32, key=jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert embedding.apply(params, jnp.ones(5, jnp.float32)).dtype == jnp.float32


def test_parameters_have_the_declared_spread():
    embedding = FourierEmbedding(200, scale=0.05)
    params = embedding.init(7, dtype=jnp.float32, key=jax.random.key(1))
    assert params["frequencies"].shape == (7, 100)
    # Standard deviations of 700 and 40,000 normal numbers: 3 and 0.4 % standard error.
    assert np.std(params["frequencies"]) == pytest.approx(0.05, rel=0.12)
    assert np.std(params["kernel"]) == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    assert not np.any(params["bias"])


@pytest.mark.parametrize("kind", [FourierEmbedding, SineEmbedding])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [((7, 0.1), "must be even"), ((0, 0.1), "at least 2"), ((6, 0.0), "`scale`")],
)
def test_bad_waves_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(*arguments)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="`num_features`"):
        MlpEmbedding(0)
    with pytest.raises(ValueError, match="`degree`"):
        PolynomialEmbedding(7, degree=0)
