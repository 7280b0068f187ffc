"""Normal equations of least squares, summed over chunks of examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

from eqjax._core._chunks import split_in_chunks

Robust = Literal["l1", "huber"]
# Conjugate gradients stop at a residual of a thousandth: damping and the curvature of
# the cost leave more than that to the next step anyway.
_CG_TOLERANCE, _CG_STEPS = 1e-3, 100


class Linearized(NamedTuple):
    """g = J^T W r, diag(A), and A = J^T W J or None."""

    gradient: Float[Array, " unknowns"]
    diagonal: Float[Array, " unknowns"]
    matrix: Float[Array, "unknowns unknowns"] | None


@dataclasses.dataclass(frozen=True)
class NormalEquations:
    """Least squares of one fit, in the tangent space at given latents.

    Args:
        residuals: (latents, tangent vector, example) -> (k,).
        prior: (latents, tangent vector) -> (p,), or None.
        batch: Examples along the leading axis.
        zero: The zero tangent vector.
        robust: Kind of rho, None for squares.
        robust_scale: delta.
        reverse: One backward pass per residual, not one forward pass per unknown.
        dense: Whether A is formed.
        chunk_size: Examples, or rows of the prior, at a time.
    """

    residuals: Callable[[Any, Array, Any], Array]
    prior: Callable[[Any, Array], Array] | None
    batch: Any
    zero: Array
    robust: Robust | None
    robust_scale: float
    reverse: bool
    dense: bool
    chunk_size: int

    def cost(self, latents: Any) -> Float[Array, ""]:
        """sum rho(r) + |prior|^2 / 2."""

        def one(example: Any) -> Array:
            r = self.residuals(latents, self.zero, example)
            return jnp.sum(_rho(r, self.robust, self.robust_scale))

        total = self._sum(lambda rows: jnp.sum(rows), one, self.batch)
        if self.prior is None:
            return total
        return total + jnp.sum(self.prior(latents, self.zero) ** 2) / 2

    def linearize(self, latents: Any) -> Linearized:
        """Rows of J, one example at a time, and their sums."""

        def one(example: Any) -> tuple[Array, Array]:
            def r(w: Array) -> Array:
                return self.residuals(latents, w, example)

            value, rows = self._rows(r, self.reverse)
            root = jnp.sqrt(_weight(value, self.robust, self.robust_scale))
            return root * value, root[:, None] * rows

        sums = self._sum(self._products, one, self.batch)
        if self.prior is None:
            return Linearized(*sums)
        prior = self.prior
        value, pull = jax.vjp(lambda w: prior(latents, w), self.zero)

        def prior_row(index: Array) -> tuple[Array, Array]:
            unit = (jnp.arange(value.size) == index).astype(value.dtype)
            return value[index][None], pull(unit)[0][None]

        more = self._sum(self._products, prior_row, jnp.arange(value.size))
        return Linearized(*jax.tree.map(jnp.add, sums, more))

    def solve(
        self, linear: Linearized, latents: Any, damping: Array
    ) -> tuple[Array, Array]:
        """The step w, and the decrease of the cost that the model expects of it."""
        gradient, diagonal, matrix = linear
        number = jnp.finfo(diagonal.dtype)
        # The last term for a Jacobian of zeros, whose step is zero.
        ridge = 8 * float(number.eps) * jnp.max(diagonal) + float(number.tiny)
        added = damping * diagonal + ridge
        if matrix is None:
            full = diagonal + added
            w, _ = jax.scipy.sparse.linalg.cg(
                lambda v: self._product(latents, v) + added * v,
                -gradient,
                M=lambda v: v / full,
                tol=_CG_TOLERANCE,
                maxiter=_CG_STEPS,
            )
        else:
            w = -cho_solve(cho_factor(matrix + jnp.diag(added)), gradient)
        # Of -g.w - w.A w / 2: w.(A + added) w = -g.w holds for conjugate gradients too.
        return w, w @ (added * w - gradient) / 2

    def _product(self, latents: Any, v: Array) -> Array:
        """A v by one forward and one backward pass."""

        def one(example: Any) -> Array:
            def r(w: Array) -> Array:
                return self.residuals(latents, w, example)

            value, slope = jax.jvp(r, (self.zero,), (v,))
            weight = _weight(value, self.robust, self.robust_scale)
            return jax.vjp(r, self.zero)[1](weight * slope)[0]

        total = self._sum(lambda rows: jnp.sum(rows, axis=0), one, self.batch)
        if self.prior is None:
            return total
        prior = self.prior

        def rows(w: Array) -> Array:
            return prior(latents, w)

        slope = jax.jvp(rows, (self.zero,), (v,))[1]
        return total + jax.vjp(rows, self.zero)[1](slope)[0]

    def _rows(self, r: Callable, reverse: bool) -> tuple[Array, Array]:
        """r(0) and its Jacobian (k, unknowns)."""
        if reverse:
            value, pull = jax.vjp(r, self.zero)
            return value, jax.vmap(pull)(jnp.eye(value.size, dtype=value.dtype))[0]
        value, push = jax.linearize(r, self.zero)
        units = jnp.eye(self.zero.size, dtype=self.zero.dtype)
        return value, jax.vmap(push, out_axes=1)(units)

    def _products(self, rows: tuple[Array, Array]) -> tuple[Array, Array, Any]:
        """J^T r, diag(J^T J), J^T J of a chunk; full precision on every device."""
        value, rows_of_j = rows[0].ravel(), rows[1].reshape(-1, self.zero.size)
        with jax.default_matmul_precision("highest"):
            matrix = rows_of_j.T @ rows_of_j if self.dense else None
            diagonal = jnp.sum(rows_of_j**2, axis=0)
            return rows_of_j.T @ value, diagonal, matrix

    def _sum(self, reduce: Callable, one: Callable, examples: Any) -> Any:
        """Sum over chunks of reduce(vmap(one)(chunk))."""
        num = jax.tree.leaves(examples)[0].shape[0]
        if num <= self.chunk_size:
            return reduce(jax.vmap(one)(examples))
        chunks, real = split_in_chunks(examples, num, self.chunk_size)

        def part(chunk: Any, real: Array) -> Any:
            rows = jax.tree.map(
                lambda leaf: jnp.where(
                    real.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, 0
                ),
                jax.vmap(one)(chunk),
            )
            return reduce(rows)

        shapes = jax.eval_shape(part, jax.tree.map(lambda c: c[0], chunks), real[0])
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        total, _ = jax.lax.scan(
            lambda total, chunk: (jax.tree.map(jnp.add, total, part(*chunk)), None),
            zeros,
            (chunks, real),
        )
        return total


def _rho(r: Array, robust: Robust | None, scale: float) -> Array:
    """r^2 / 2; sqrt(r^2 + d^2) - d; r^2 / (2 d) up to d, |r| - d / 2 beyond."""
    if robust is None:
        return r**2 / 2
    if robust == "l1":
        # Written so that small residuals do not cancel.
        return r**2 / (jnp.sqrt(r**2 + scale**2) + scale)
    size = jnp.abs(r)
    return jnp.where(size <= scale, r**2 / (2 * scale), size - scale / 2)


def _weight(r: Array, robust: Robust | None, scale: float) -> Array:
    """rho'(r) / r."""
    if robust is None:
        return jnp.ones_like(r)
    if robust == "l1":
        return 1 / jnp.sqrt(r**2 + scale**2)
    return 1 / jnp.maximum(jnp.abs(r), scale)
