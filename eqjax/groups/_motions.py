"""What SE(n), E(n) and `Semidirect` share: pairs (t, h), h in a linear group."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from eqjax._core._batch import match_batch
from eqjax._core._numerics import is_small
from eqjax.groups import _has_log
from eqjax.groups._group import Generators, Group


def compose(group: Group, a: tuple[Array, Any], b: tuple[Array, Any]) -> tuple:
    """(t, h) (t', h') = (t + h t', h h')."""
    (t_a, h_a), (t_b, h_b) = a, b
    t_a, moved = match_batch((t_a, 1), (group.act(h_a, t_b), 1))
    return t_a + moved, group.compose(h_a, h_b)


def inverse(group: Group, a: tuple[Array, Any]) -> tuple:
    """(-h^-1 t, h^-1)."""
    t, h = a
    back = group.inverse(h)
    return -group.act(back, t), back


def act(group: Group, a: tuple[Array, Any], x: Array) -> Array:
    """The points h x + t."""
    t, h = a
    moved, t = match_batch((group.act(h, x), 1), (t, 1))
    return moved + t


def exp(group: Group, v: Float[Array, "*batch dim"]) -> tuple:
    """(V(w) u, exp(w)) for the twist v = (u, w)."""
    u, w = v[..., : group.degree], v[..., group.degree :]
    return _apply_v(u, w), group.exp(w)


def log(group: Group, a: tuple[Array, Any]) -> Float[Array, "*batch dim"]:
    """The twist (V(w)^-1 t, w), w the logarithm of the rotation part."""
    t, w = log_of_linear_part(group, a)
    return jnp.concatenate([_apply_v_inverse(t, w), w], axis=-1)


def log_of_linear_part(group: Group, a: tuple[Array, Any]) -> tuple[Array, Array]:
    """t, and the logarithm of h, with the same batch axes."""
    t, h = a
    t, w = match_batch((t, 1), (_follow(group, group.log(h), t), 1))
    return t, w


def has_log(group: Group, a: tuple[Array, Any]) -> Bool[Array, "*batch"]:
    """Whether exp(log(a)) = a: whether h has a logarithm."""
    t, h = a
    _, found = match_batch((t, 1), (_has_log.has_log(group, h), 0))
    return found


def adjoint(group: Group, a: tuple[Array, Any]) -> Float[Array, "*batch dim dim"]:
    """[[M, -D], [0, Ad(h)]], M the matrix of h, D_j = hat(Ad(h) e_j) t."""
    t, h = a
    turned = _follow(group, group.adjoint(h), t)
    linear = _follow(group, group.matrix(h), t)
    t, linear, turned = match_batch((t, 1), (linear, 2), (turned, 2))
    basis = group.hat(jnp.swapaxes(turned, -1, -2))
    lever = jnp.einsum("...jab,...b->...aj", basis, t, precision="highest")
    zero = jnp.zeros((*turned.shape[:-1], group.degree), turned.dtype)
    top = jnp.concatenate([linear, -lever], axis=-1)
    return jnp.concatenate([top, jnp.concatenate([zero, turned], -1)], axis=-2)


def hat(group: Group, v: Float[Array, "*batch dim"]) -> Float[Array, "*batch m m"]:
    """[[hat(w), u], [0, 0]]."""
    u, w = v[..., : group.degree], v[..., group.degree :]
    top = jnp.concatenate([group.hat(w), u[..., None]], axis=-1)
    return jnp.pad(top, [(0, 0)] * (v.ndim - 1) + [(0, 1), (0, 0)])


def vee(group: Group, m: Float[Array, "*batch m m"]) -> Float[Array, "*batch dim"]:
    """The inverse of `hat`."""
    return jnp.concatenate([m[..., :-1, -1], group.vee(m[..., :-1, :-1])], axis=-1)


def matrix(group: Group, a: tuple[Array, Any]) -> Float[Array, "*batch m m"]:
    """[[h, t], [0, 1]] (homogeneous coordinates)."""
    t, h = a
    linear, t = match_batch((_follow(group, group.matrix(h), t), 2), (t, 1))
    top = jnp.concatenate([linear, t[..., None]], axis=-1)
    last = jnp.zeros(group.degree + 1, t.dtype).at[-1].set(1)
    last = jnp.broadcast_to(last, (*t.shape[:-1], 1, group.degree + 1))
    return jnp.concatenate([top, last], axis=-2)


def from_matrix(group: Group, m: Float[Array, "*batch m m"]) -> tuple:
    """The inverse of `matrix`."""
    return m[..., :-1, -1], group.from_matrix(m[..., :-1, :-1])


def generators(group: Group) -> Generators:
    """Unit translations, then rotations; the discrete ones of the linear part."""
    n, (lie, discrete) = group.degree, group.generators
    basis = np.zeros((n + len(lie), n + 1, n + 1))
    basis[np.arange(n), np.arange(n), n] = 1.0
    basis[n:, :n, :n] = lie
    flips = np.zeros((len(discrete), n + 1, n + 1))
    flips[:, :n, :n], flips[:, n, n] = discrete, 1.0
    return Generators(basis, flips)


def _follow(group: Group, array: Array, t: Array) -> Array:
    """In the dtype of t, if it comes from a finite group, whose elements have none."""
    return array if group.order is None else array.astype(t.dtype)


def _apply_v(u: Array, w: Array) -> Array:
    """V(w) u, the translation of the exponential of the twist (u, w)."""
    squared = jnp.sum(w * w, axis=-1, keepdims=True)
    small = is_small(squared)
    theta = jnp.sqrt(jnp.where(small, 1, squared))
    # (1 - cos)/theta^2 as 2 sin^2(theta/2)/theta^2: no cancellation
    half = jnp.sin(theta / 2)
    c1 = jnp.where(
        small,
        1 / 2 + squared * (-1 / 24 + squared * (1 / 720)),
        2 * half * half / theta**2,
    )
    c2 = jnp.where(
        small,
        1 / 6 + squared * (-1 / 120 + squared * (1 / 5040)),
        (theta - jnp.sin(theta)) / theta**3,
    )
    return u + c1 * _turn(w, u) + c2 * _turn(w, _turn(w, u))


def _apply_v_inverse(t: Array, w: Array) -> Array:
    """V(w)^-1 t."""
    squared = jnp.sum(w * w, axis=-1, keepdims=True)
    small = is_small(squared)
    half = jnp.sqrt(jnp.where(small, 1, squared)) / 2
    c3 = jnp.where(
        small,
        1 / 12 + squared * (1 / 720 + squared * (1 / 30240)),
        (1 - half * jnp.cos(half) / jnp.sin(half)) / jnp.where(small, 1, squared),
    )
    return t - _turn(w, t) / 2 + c3 * _turn(w, _turn(w, t))


def _turn(w: Array, x: Array) -> Array:
    """hat(w) x in two or three dimensions."""
    if x.shape[-1] == 3:
        return jnp.cross(w, x)
    return w * jnp.stack([-x[..., 1], x[..., 0]], axis=-1)
