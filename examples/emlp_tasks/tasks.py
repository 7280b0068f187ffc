"""The three tasks: groups, representations, data, scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from eqjax import groups, reps

ETA = jnp.array([1.0, -1.0, -1.0, -1.0])


class Task(NamedTuple):
    """Inputs of `rep_in`, targets of `rep_out`, as functions of a key.

    Attributes:
        group: The group.
        rep_in: Representation of an input, of one channel.
        rep_out: Representation of its target.
        hidden: Representation of hidden features.
        gate_scale: Size of the gated ones: small where targets are polynomials.
        sample: Key to one example (x, y).
        standardize: Whether targets have mean zero and variance one for the networks
            and in the errors.
    """

    group: Any
    rep_in: Any
    rep_out: Any
    hidden: Any
    gate_scale: float
    sample: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    standardize: bool


def sample_o5(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """y = sin|x1| - |x2|^3 / 2 + cos of the angle between x1 and x2."""
    x1, x2 = x = jax.random.normal(key, (2, 5))
    r1, r2 = jnp.linalg.norm(x1), jnp.linalg.norm(x2)
    y = jnp.sin(r1) - r2**3 / 2 + x1 @ x2 / (r1 * r2)
    return x.ravel(), y[None]


def sample_inertia(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The moment of inertia sum m (|r|^2 1 - r r^T) of five masses."""
    key_m, key_r = jax.random.split(key)
    m = jax.nn.softplus(jax.random.normal(key_m, (5,)))
    r = jax.random.normal(key_r, (5, 3))
    second = jnp.einsum("k,ki,kj->ij", m, r, r)
    y = jnp.trace(second) * jnp.eye(3) - second
    return jnp.concatenate([m, r.ravel()]), y.ravel()


def sample_scattering(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A squared matrix element of electron-muon scattering, of four momenta.

    The tensors are contracted without symmetrizing them, as the reference's code does.
    """
    p1, p2, p3, p4 = p = jax.random.normal(key, (4, 4)) / 4
    q2, q4 = ETA * p2, ETA * p4
    electron = jnp.outer(p1, p3) - (p1 @ (ETA * p3) - p1 @ (ETA * p1)) * jnp.diag(ETA)
    muon = jnp.outer(q2, q4) - (p2 @ q4 - p2 @ q2) * jnp.diag(ETA)
    return p.ravel(), 4 * jnp.sum(electron * muon)[None]


def find_task(name: str) -> Task:
    """By name."""
    if name == "o5":
        group = groups.O(5)
        vector, scalar = reps.irrep(group, "(1,0)+"), reps.irrep(group, "(0,0)+")
        hidden = 32 * scalar + 12 * vector
        return Task(group, 2 * vector, scalar, hidden, 0.3, sample_o5, True)
    if name == "inertia":
        group = groups.O(3)
        tensor, vector, scalar = (reps.irrep(group, l) for l in ("2e", "1o", "0e"))
        hidden = 24 * scalar + 16 * vector + 8 * tensor
        rep_in, rep_out = 5 * scalar + 5 * vector, reps.standard(group) ** 2
        return Task(group, rep_in, rep_out, hidden, 0.02, sample_inertia, False)
    group = groups.Lorentz(3, reflections="all")
    vector = reps.irrep(group, "(1/2,1/2)++")
    scalar = reps.irrep(group, "(0,0)++")
    hidden = 32 * scalar + 8 * vector
    return Task(group, 4 * vector, scalar, hidden, 0.02, sample_scattering, True)


def draw_element(task: Task, key: jax.Array) -> Any:
    """A random element; boosts of the Lorentz group have rapidities of up to 1."""
    if not isinstance(task.group, groups.Lorentz):
        return task.group.sample(key=key)
    key_boost, key_size, key_turn, key_flip = jax.random.split(key, 4)
    direction = jax.random.normal(key_boost, (3,))
    rapidity = jax.random.uniform(key_size) * direction / jnp.linalg.norm(direction)
    boost = task.group.exp(jnp.pad(rapidity, (0, 3)))
    turn = task.group.exp(jnp.pad(jax.random.normal(key_turn, (3,)), (3, 0)))
    flip = jax.random.choice(key_flip, jnp.array([-1.0, 1.0]), (2,))
    return boost @ turn * jnp.ones(4).at[0].set(flip[0]).at[3].set(flip[1])
