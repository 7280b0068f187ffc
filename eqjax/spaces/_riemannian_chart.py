"""A chart with a metric that the user writes down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition, check_size
from eqjax._core._numerics import safe_norm
from eqjax.groups import Group


@dataclass(frozen=True, eq=False)
class RiemannianChart:
    """An open set of R^n with the metric <u, v> = u^T M(x) v.

    Points, tangent vectors and covectors are arrays (n,). `exp` integrates the geodesic
    equation by the classical Runge-Kutta method in a fixed number of steps, with an
    error of fourth order in their length. There are no closed forms for distances and
    logarithms: `eqjax.eikonal` computes travel times, which are distances.

    Two charts are equal if their metrics have the same module and qualified name, and
    the same parameters; so equal charts share one trace. A checkpoint cannot name a
    function, hence no chart.

    Args:
        dim: Dimension n, at least 1.
        metric: Function of one point (n,), and of the parameters, to a symmetric
            positive definite matrix (n, n); written at the top level of a module.
        params: Numbers that are passed on to `metric` after the point.
        num_steps: Steps of `exp`, at least 1.

    Raises:
        ValueError: If `metric` is a lambda, a method or a function inside another: its
            name does not say what it computes.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import spaces
        >>> def poincare(x):
        ...     return jnp.eye(2) / x[1] ** 2
        >>> X = spaces.RiemannianChart(2, poincare)
        >>> X.exp(jnp.array([0.0, 1.0]), jnp.array([0.0, 1.0])).round(4).tolist()
        [0.0, 2.7183]
    """

    dim: int
    metric: Callable[..., Array]
    params: tuple[float, ...] = ()
    num_steps: int = 32

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("dim", self.dim)
        check_size("num_steps", self.num_steps)
        name = getattr(self.metric, "__qualname__", "")
        check_condition(
            name.isidentifier(),
            "`metric` must be a function at the top level of a module, got "
            f"{name or self.metric!r}. Pass what it needs by `params`.",
        )

    def __eq__(self, other: object) -> bool:
        """Equal names and parameters."""
        return isinstance(other, RiemannianChart) and self._key == other._key

    def __hash__(self) -> int:
        """A hash of what `==` compares."""
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        named = self.metric.__module__, self.metric.__qualname__
        return self.dim, *named, self.params, self.num_steps

    @property
    def ambient_dim(self) -> int:
        """Size of a point, n."""
        return self.dim

    @property
    def tangent_dim(self) -> int:
        """Size of a tangent vector, n."""
        return self.dim

    @property
    def group(self) -> Group:
        """Not available: a metric need not have isometries.

        Raises:
            AttributeError: Always.
        """
        # AttributeError, so that `isinstance(chart, Space)` is False, not an error.
        raise AttributeError(f"{self.metric.__qualname__} has no known isometries.")

    def distance(
        self, x: Float[Array, "*#batch n"], y: Float[Array, "*#batch n"]
    ) -> NoReturn:
        """Not available.

        Raises:
            ValueError: Always.
        """
        raise ValueError(self._no_closed_form("distance"))

    def dual_norm(
        self, x: Float[Array, "*#batch n"], dT: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch"]:
        """sqrt(dT^T M^-1 dT), by the Cholesky factor of M."""
        x, dT = match_batch((x, 1), (dT, 1))
        return safe_norm(self._solve_lower(self._cholesky(x), dT))

    def inner(
        self,
        x: Float[Array, "*#batch n"],
        u: Float[Array, "*#batch n"],
        v: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch"]:
        """u^T M v."""
        x, u, v = match_batch((x, 1), (u, 1), (v, 1))
        metric = self._metric_at(x)
        return jnp.einsum("...i,...ij,...j->...", u, metric, v, precision="highest")

    def exp(
        self, x: Float[Array, "*#batch n"], v: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """The geodesic with velocity v, after unit time."""
        x, v = match_batch((x, 1), (v, 1))
        return jnp.vectorize(self._shoot, signature="(n),(n)->(n)")(x, v)

    def log(
        self, x: Float[Array, "*#batch n"], y: Float[Array, "*#batch n"]
    ) -> NoReturn:
        """Not available.

        Raises:
            ValueError: Always.
        """
        raise ValueError(self._no_closed_form("log"))

    def retract(
        self, x: Float[Array, "*#batch n"], v: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """x + v."""
        x, v = match_batch((x, 1), (v, 1))
        return x + v

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """x itself."""
        return x

    def to_tangent(
        self, x: Float[Array, "*#batch n"], u: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """u itself."""
        return match_batch((x, 1), (u, 1))[1]

    def raise_index(
        self, x: Float[Array, "*#batch n"], dT: Float[Array, "*#batch n"]
    ) -> Float[Array, "*batch n"]:
        """M^-1 dT."""
        x, dT = match_batch((x, 1), (dT, 1))
        lower = self._cholesky(x)
        half = self._solve_lower(lower, dT)
        return self._solve_lower(lower, half, transpose=True)

    def frame(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
        """Orthonormal rows, L^-1 with M = L L^T; no group moves them."""
        lower = self._cholesky(x)
        identity = jnp.broadcast_to(jnp.eye(self.dim, dtype=x.dtype), lower.shape)
        return jax.lax.linalg.triangular_solve(
            lower, identity, left_side=True, lower=True
        )

    def transport(
        self,
        x: Float[Array, "*#batch n"],
        y: Float[Array, "*#batch n"],
        v: Float[Array, "*#batch n"],
    ) -> NoReturn:
        """Not available.

        Raises:
            ValueError: Always.
        """
        raise ValueError(self._no_closed_form("transport"))

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> NoReturn:
        """Not available.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "A chart does not know the open set on which its metric is defined. Use "
            "`sample` of a domain, `Box` or `Ball`."
        )

    def act(
        self, g: Any, x: Float[Array, "*batch n"], *, group: Group | None = None
    ) -> NoReturn:
        """Not available.

        Raises:
            ValueError: Always.
        """
        raise ValueError("No group is known to act on a chart by isometries.")

    def _no_closed_form(self, what: str) -> str:
        return (
            f"`{what}` has no closed form for a general metric. Solve the eikonal "
            "equation for distances (`eqjax.eikonal`), or use `exp`."
        )

    def _metric_at(self, x: Array) -> Array:
        """M(x), for any batch axes."""
        return jnp.vectorize(self._metric, signature="(n)->(n,n)")(x)

    def _metric(self, x: Array) -> Array:
        metric = self.metric(x, *self.params)
        check_condition(
            metric.shape == (self.dim, self.dim),
            f"`metric` must return a matrix ({self.dim}, {self.dim}), got shape "
            f"{metric.shape}.",
        )
        return metric

    def _cholesky(self, x: Array) -> Array:
        return jnp.linalg.cholesky(self._metric_at(x))

    def _solve_lower(self, lower: Array, b: Array, *, transpose: bool = False) -> Array:
        """L^-1 b, or L^-T b."""
        return jax.lax.linalg.triangular_solve(
            lower, b[..., None], left_side=True, lower=True, transpose_a=transpose
        )[..., 0]

    def _shoot(self, x: Array, v: Array) -> Array:
        """Hamilton's equations x' = M^-1 p, p' = grad_x(v^T M v) / 2 at fixed v."""

        def energy(x: Array, v: Array) -> Array:
            return self.inner(x, v, v) / 2

        def rates(state: tuple[Array, Array]) -> tuple[Array, Array]:
            x, p = state
            velocity = self.raise_index(x, p)
            return velocity, jax.grad(energy)(x, velocity)

        def moved(
            state: tuple[Array, Array], rate: tuple[Array, Array], h: float
        ) -> tuple[Array, Array]:
            return state[0] + h * rate[0], state[1] + h * rate[1]

        h = 1 / self.num_steps

        def step(state: tuple[Array, Array], _: None) -> tuple[Any, None]:
            k1 = rates(state)
            k2 = rates(moved(state, k1, h / 2))
            k3 = rates(moved(state, k2, h / 2))
            k4 = rates(moved(state, k3, h))
            slope = tuple(
                (a + 2 * b + 2 * c + d) / 6
                for a, b, c, d in zip(k1, k2, k3, k4, strict=True)
            )
            return moved(state, (slope[0], slope[1]), h), None

        momentum = jnp.matmul(self._metric(x), v, precision="highest")
        (end, _), _ = jax.lax.scan(step, (x, momentum), None, length=self.num_steps)
        return end
