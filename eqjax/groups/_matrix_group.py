"""What groups share whose elements are square matrices, real or complex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Inexact, Key, Shaped

from eqjax._core._batch import match_batch

# Steps of iterations that converge quadratically once they are near. The scaled Newton
# steps take any condition up to the inverse of the rounding; the plain ones reach
# angles up to pi - 0.05 and rapidities up to 8, which the first root halves.
_STEPS_POLAR, _STEPS_ROOT = 12, 12
_NODES = 7


class Algebra(NamedTuple):
    """A basis of a Lie algebra of matrices, and what reads coordinates off.

    Attributes:
        basis: Real-linearly independent matrices, (dim, n, n), float64 or complex128.
        dual: Matrices D_d with v_d = Re sum conj(D_d) m for m = sum_d v_d basis_d; the
            orthogonal projection for other m.
    """

    basis: np.ndarray
    dual: np.ndarray


def make_algebra(basis: np.ndarray) -> Algebra:
    """The algebra with this basis; its arrays are read-only, since they are cached."""
    dim, n, _ = basis.shape
    flat = basis.reshape(dim, n * n)
    # The real inner product of complex matrices is that of real and imaginary parts.
    dual = np.linalg.pinv(np.concatenate([np.real(flat), np.imag(flat)], axis=1).T)
    dual = dual.reshape(dim, 2, n, n)
    dual = dual[:, 0] + 1j * dual[:, 1] if np.iscomplexobj(basis) else dual[:, 0]
    return Algebra(read_only(basis), read_only(dual))


def read_only(array: np.ndarray) -> np.ndarray:
    """The same array, protected from changes."""
    array.setflags(write=False)
    return array


def antisymmetric_basis(n: int) -> np.ndarray:
    """E_ij - E_ji for i > j, ordered by i, then j: e_j turns towards e_i."""
    rows, columns = np.tril_indices(n, -1)
    basis = np.zeros((len(rows), n, n))
    index = np.arange(len(rows))
    basis[index, rows, columns], basis[index, columns, rows] = 1.0, -1.0
    return basis


def symmetric_basis(n: int) -> np.ndarray:
    """E_ij + E_ji for i > j in the order of `antisymmetric_basis`, then E_ii."""
    off = np.abs(antisymmetric_basis(n))
    return np.concatenate([off, np.eye(n)[:, :, None] * np.eye(n)[:, None, :]])


def complex_dtype(dtype: DTypeLike) -> np.dtype:
    """The complex dtype of the precision of `dtype`."""
    return np.result_type(dtype, np.complex64)


# Group operations --------------------------------------------------------------------


def check_element(
    group: Any, a: Shaped[Array, "..."], n: int, *, name: str = "a"
) -> None:
    """Checks that the last two axes of `a` have size n.

    Raises:
        ValueError: If they have another.
    """
    if getattr(a, "shape", ())[-2:] != (n, n):
        came = f"shape {tuple(a.shape)}" if hasattr(a, "shape") else type(a).__name__
        raise ValueError(
            f"`{name}` must be an array of shape (*batch, {n}, {n}), got {came}. "
            f"An element of {group} is a matrix."
        )


def multiply(
    a: Inexact[Array, "*#batch n n"], b: Inexact[Array, "*#batch n n"]
) -> Inexact[Array, "*batch n n"]:
    """The matrix product a b."""
    a, b = match_batch((a, 2), (b, 2))
    return jnp.matmul(a, b, precision="highest")


def act(
    a: Inexact[Array, "*#batch n n"], x: Inexact[Array, "*#batch n"]
) -> Inexact[Array, "*batch n"]:
    """The vectors a x; a complex matrix makes them complex."""
    if jnp.iscomplexobj(a):
        x = x.astype(a.dtype)
    a, x = match_batch((a, 2), (x, 1))
    return jnp.einsum("...ij,...j->...i", a, x, precision="highest")


def transpose(a: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch n n"]:
    """The transposed matrix."""
    return jnp.swapaxes(a, -1, -2)


def hat(
    algebra: Algebra, v: Float[Array, "*batch dim"]
) -> Inexact[Array, "*batch n n"]:
    """The matrix with coordinates v."""
    dtype = v.dtype
    if np.iscomplexobj(algebra.basis):
        dtype = complex_dtype(dtype)
    basis = algebra.basis.astype(dtype)
    return jnp.einsum("...d,dij->...ij", v.astype(dtype), basis, precision="highest")


def vee(
    algebra: Algebra, m: Inexact[Array, "*batch n n"]
) -> Float[Array, "*batch dim"]:
    """The coordinates of m, projected onto the algebra."""
    dual = algebra.dual.conj().astype(m.dtype)
    return jnp.einsum("dij,...ij->...d", dual, m, precision="highest").real


def adjoint(
    algebra: Algebra,
    a: Inexact[Array, "*batch n n"],
    inverse: Inexact[Array, "*batch n n"],
) -> Float[Array, "*batch dim dim"]:
    """Coordinates of a L_d a^-1 as columns."""
    basis = algebra.basis.astype(a.dtype)
    moved = jnp.einsum(
        "...ij,djk,...kl->...dil", a, basis, inverse, precision="highest"
    )
    return jnp.swapaxes(vee(algebra, moved), -1, -2)


def exp(
    algebra: Algebra, v: Float[Array, "*batch dim"]
) -> Inexact[Array, "*batch n n"]:
    """The matrix exponential of `hat(v)`."""
    if len(algebra.basis) == 0:  # of a discrete group
        return hat(algebra, v) + _one_like(hat(algebra, v))
    return jax.scipy.linalg.expm(hat(algebra, v))


# Logarithm ---------------------------------------------------------------------------


def log(
    algebra: Algebra,
    a: Inexact[Array, "*batch n n"],
    *,
    inverse: Callable[[Array], Array] | None = None,
    num_roots: int = 6,
) -> Float[Array, "*batch dim"]:
    """Coordinates of the principal logarithm, by square roots and quadrature.

    With X = a^(1/2^s) - I, log a = 2^s int_0^1 X (I + t X)^-1 dt, exact to rounding by
    7 nodes for |X| <= 0.26. No eigenvectors are taken, so derivatives are finite at
    equal eigenvalues. Rounding that leaves the group is projected away.

    Where an eigenvalue is -1 to rounding, the logarithm jumps: there a is first turned
    by an angle of about the root of the rounding, and so is the result. Matrices with
    other negative eigenvalues have no principal logarithm; an iterate is returned, or
    zero where there is none.

    Args:
        algebra: The Lie algebra.
        a: Invertible matrices.
        inverse: The formula for the inverse that defines the group, a^-1 = M^-1 a^T M
            with a fixed M, if there is one. Then angles may be anything up to a half
            turn; else they should stay 0.05 from it.
        num_roots: s; 4 for unitary matrices, 6 for rapidities up to 16.

    Returns:
        The coordinates; see `has_log`.

    References:
        Higham, "Functions of Matrices" (2008), equation 6.29 (product form of the
        Denman-Beavers iteration), section 11.5 (inverse scaling and squaring).
        Higham, Mackey, Mackey, Tisseur, "Functions preserving matrix groups and
        iterations for the matrix square root" (2005), theorem 4.4 (root as the polar
        factor of I + a).
    """
    if len(algebra.basis) == 0:  # of a discrete group
        return vee(algebra, a)
    one = _one_like(a)
    turn = _small_turn(algebra, float(jnp.finfo(a.dtype).eps) ** 0.5).astype(a.dtype)
    turned = jnp.matmul(a, turn, precision="highest")
    root = jnp.where(_is_half_turn(a)[..., None, None], turned, a)
    root = jnp.where(_is_half_turn(root)[..., None, None], one, root)

    def take_root(x: Array) -> Array:
        return _square_root(x) if inverse is None else _root_in_group(x, inverse)

    root, _ = jax.lax.scan(lambda x, _: (take_root(x), None), root, length=num_roots)
    x = root - one
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    # One leading axis of nodes.
    t = jnp.asarray((nodes + 1) / 2, a.dtype).reshape((_NODES,) + (1,) * a.ndim)
    terms = jnp.linalg.solve(
        one[None] + t * x[None], jnp.broadcast_to(x, (_NODES, *x.shape))
    )
    weights = jnp.asarray(weights / 2, a.dtype)
    total = jnp.tensordot(weights, terms, axes=1, precision="highest")
    return vee(algebra, total * 2**num_roots)


def has_log(
    algebra: Algebra, a: Inexact[Array, "*batch n n"], v: Float[Array, "*batch dim"]
) -> Bool[Array, "*batch"]:
    """Whether exp(v) = a to the root of the rounding, and a is no half turn."""
    error = jnp.max(jnp.abs(exp(algebra, v) - a), axis=(-1, -2))
    size = jnp.maximum(jnp.max(jnp.abs(a), axis=(-1, -2)), 1)
    close = error <= float(jnp.finfo(a.dtype).eps) ** 0.5 * size
    return close & ~_is_half_turn(a)


def _one_like(a: Array) -> Array:
    """The identity matrix, with unit batch axes."""
    n = a.shape[-1]
    return jnp.eye(n, dtype=a.dtype).reshape((1,) * (a.ndim - 2) + (n, n))


def _is_half_turn(a: Array) -> Array:
    """Whether I + a is singular to rounding."""
    inverse = jnp.linalg.inv(_one_like(a) + jax.lax.stop_gradient(a))
    limit = 0.1 / float(jnp.finfo(a.dtype).eps)
    return ~(jnp.max(jnp.abs(inverse), axis=(-1, -2)) < limit)  # NaN is one too


def _small_turn(algebra: Algebra, size: float) -> np.ndarray:
    """A rotation in the group that leaves no plane alone, the angles about `size`."""
    dim, n, _ = algebra.basis.shape
    skew = (algebra.basis - algebra.basis.conj().swapaxes(1, 2)) / 2
    numbers = np.random.default_rng(0).uniform(1, 2, dim) * size
    # The Cayley transform stays in the group.
    skew = np.tensordot(numbers / 2, skew, 1)
    return np.linalg.solve(np.eye(n) - skew, np.eye(n) + skew)


def _root_in_group(a: Array, inverse: Callable[[Array], Array]) -> Array:
    """The principal square root, as the polar factor of I + a."""
    x = _polar_factor(_one_like(a) + a, inverse)
    # At a distance d from a half turn, rounding errors of a that leave the group turn x
    # by eps/d. What is left, x^-1 x^-1 a, shows that turn without magnification.
    back = inverse(x)
    left = jnp.matmul(
        back, jnp.matmul(back, a, precision="highest"), precision="highest"
    )
    turn = _one_like(a) + (left - inverse(left)) / 4
    return jnp.matmul(x, turn, precision="highest")


def _square_root(a: Array) -> Array:
    """The principal square root, by the product form of Denman and Beavers."""
    one = _one_like(a)

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        m, x = carry
        inverse = jnp.linalg.inv(m)
        x = jnp.matmul(x, one + inverse, precision="highest") / 2
        return ((2 * one + m + inverse) / 4, x), None

    (_, root), _ = jax.lax.scan(step, (a, a), length=_STEPS_ROOT)
    return root


# Polar decomposition -----------------------------------------------------------------


def polar_rotation(g: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """The rotation R of g = P R, P symmetric and positive, det g > 0.

    Closed form for n = 2; beyond by Newton steps that need no bound on the condition.
    """
    if g.shape[-1] != 2:
        return _polar_factor(g, transpose)
    x = g[..., 0, 0] + g[..., 1, 1]
    y = g[..., 1, 0] - g[..., 0, 1]
    # x^2 + y^2 = (s_1 + s_2)^2 > 0, the singular values' sum.
    length = jnp.sqrt(x * x + y * y)
    c, s = x / length, y / length
    return jnp.stack([jnp.stack([c, -s], -1), jnp.stack([s, c], -1)], -2)


def _polar_factor(g: Array, inverse: Callable[[Array], Array]) -> Array:
    """The element of the group next to g, by scaled Newton steps.

    References:
        Higham, "Functions of Matrices" (2008), equations 8.21 and 8.26.
    """

    def step(x: Array, _: None) -> tuple[Array, None]:
        other = jnp.linalg.inv(inverse(x))
        # The limit does not depend on the scale, so neither do its derivatives.
        scale = jax.lax.stop_gradient(jnp.sqrt(_size(other) / _size(x)))
        return (scale * x + other / scale) / 2, None

    return jax.lax.scan(step, g, length=_STEPS_POLAR)[0]


def _size(x: Array) -> Array:
    """Frobenius norm, as an array of the dtype of x with two unit axes."""
    squared = jnp.sum(jnp.square(x.real) + jnp.square(x.imag), (-1, -2), keepdims=True)
    return jnp.sqrt(squared).astype(x.dtype)


# Random matrices ---------------------------------------------------------------------


def sample_unitary(
    n: int, *, dtype: DTypeLike, key: Key[Array, ""]
) -> Inexact[Array, "n n"]:
    """A uniform element of O(n) (real dtype) or U(n) (complex dtype).

    The QR factor of a normal matrix, made unique by a positive diagonal of R.

    References:
        Mezzadri, "How to generate random matrices from the classical compact groups"
        (2007), section 5.
    """
    q, r = jnp.linalg.qr(jax.random.normal(key, (n, n), dtype))
    return q * jnp.sign(jnp.diagonal(r))[None, :]


def sample_special(
    n: int, *, dtype: DTypeLike, key: Key[Array, ""]
) -> Inexact[Array, "n n"]:
    """A uniform element of SO(n) (real dtype) or SU(n) (complex dtype)."""
    q = sample_unitary(n, dtype=dtype, key=key)
    first = q[:, :1] * jnp.conj(jnp.linalg.det(q))
    return jnp.concatenate([first, q[:, 1:]], axis=1)
