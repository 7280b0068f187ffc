"""Embeddings of invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields import FourierEmbedding

EMBEDDING = FourierEmbedding(6, scale=0.3)
PARAMS = EMBEDDING.init(5, key=jax.random.key(0))


def test_is_the_formula():
    b = np.random.default_rng(0).normal(size=5)
    waves = 2 * np.pi * b @ np.asarray(PARAMS["frequencies"])
    waves = np.concatenate([np.sin(waves), np.cos(waves)])
    want = np.maximum(waves @ np.asarray(PARAMS["kernel"]) + PARAMS["bias"], 0)
    np.testing.assert_allclose(
        EMBEDDING.apply(PARAMS, jnp.asarray(b)), want, atol=1e-14
    )


def test_broadcasts_over_leading_axes():
    b = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5)))
    loop = [[EMBEDDING.apply(PARAMS, x) for x in row] for row in b]
    np.testing.assert_allclose(EMBEDDING.apply(PARAMS, b), loop, atol=1e-14)


def test_parameters_have_the_declared_spread_and_dtype():
    embedding = FourierEmbedding(200, scale=0.05)
    params = embedding.init(7, dtype=jnp.float32, key=jax.random.key(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert params["frequencies"].shape == (7, 100)
    # Standard deviations of 700 and 40,000 normal numbers: 3 and 0.4 % standard error.
    assert np.std(params["frequencies"]) == pytest.approx(0.05, rel=0.12)
    assert np.std(params["kernel"]) == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    assert not np.any(params["bias"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((7, 0.1), "must be even"), ((0, 0.1), "at least 2"), ((6, 0.0), "`scale`")],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FourierEmbedding(*arguments)
