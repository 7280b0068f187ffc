"""Logits from latents."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax.fields import LatentClassifier, RelativePoint, RelativePose
from eqjax.groups import SE
from tests import field_cases as cases

B = RelativePose(SE(2), scale=1.7)
NET = LatentClassifier(B, context_dim=3, num_classes=5, hidden=7, num_layers=2)
PARAMS = cases.random_params(NET, 0)
LATENTS = cases.random_latents(B, 1)
logits = functools.partial(jax.jit(NET.apply), PARAMS)


def reference(params, latents):
    """The formulas of the docstring, latent by latent."""

    def norm(params, x):
        unit = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return unit * params["scale"] + params["offset"]

    def dense(params, x):
        return x @ params["kernel"] + params["bias"]

    num = len(latents["context"])
    pose = [
        jax.tree.map(lambda leaf, i=i: leaf[i], latents["pose"]) for i in range(num)
    ]
    phi = [
        [NET.embedding.apply(params["embedding"], NET.pair(p, q)) for q in pose]
        for p in pose
    ]
    h = [dense(params["stem"], c) for c in latents["context"]]
    for layer in (params[f"layer_{i}"] for i in range(NET.num_layers)):
        m = [
            sum(dense(layer["kernel"], phi[i][j]) * h[j] for j in range(num)) / num
            for i in range(num)
        ]
        u = [jax.nn.gelu(dense(layer["wide"], norm(layer["norm"], x))) for x in m]
        h = [
            a + layer["scale"] * dense(layer["narrow"], b)
            for a, b in zip(h, u, strict=True)
        ]
    return dense(params["out"], sum(norm(params["norm"], x) for x in h) / num)


def test_is_the_formula():
    # Rounding of a few dozen sums, logits of size one.
    np.testing.assert_allclose(
        logits(LATENTS), reference(PARAMS, LATENTS), rtol=0, atol=1e-12
    )


def test_moving_and_reordering_latents_change_nothing():
    want = logits(LATENTS)
    g = (jnp.array([0.3, -1.1]), jnp.asarray(2.0))
    moved = cases.move_latents(B, g, LATENTS)
    np.testing.assert_allclose(logits(moved), want, rtol=0, atol=1e-11)
    order = jnp.array([3, 0, 4, 2, 1])
    shuffled = jax.tree.map(lambda leaf: leaf[order], LATENTS)
    np.testing.assert_allclose(logits(shuffled), want, rtol=0, atol=1e-12)
    # Moving one latent alone is another signal.
    pose, angle = LATENTS["pose"]
    other = {**LATENTS, "pose": (pose, angle.at[0].add(1.0))}
    assert np.max(np.abs(logits(other) - want)) > 1e-3


def test_reads_latents_at_points_too():
    b = RelativePoint(cases.SPACE)
    net = LatentClassifier(b, context_dim=3, num_classes=5, hidden=7, num_layers=1)
    params, latents = cases.random_params(net, 0), cases.random_latents(b, 1)
    assert net.apply(params, latents).shape == (5,)


def test_bad_input():
    with pytest.raises(ValueError, match="`num_layers`"):
        LatentClassifier(B, context_dim=3, num_classes=5, num_layers=0)
    with pytest.raises(ValueError, match=r"got shape \(5, 4\)"):
        NET.apply(PARAMS, {**LATENTS, "context": jnp.ones((5, 4))})
