"""Spheres of unit vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition, check_size
from eqjax._core._numerics import safe_norm, safe_normalize
from eqjax._core._specs import register_spec
from eqjax.groups import Group, O, embed, is_subgroup


@register_spec
@dataclass(frozen=True, order=True)
class Sphere:
    """The unit sphere S^n in R^(n+1); points and tangent vectors are arrays (n+1,).

    Points are unit vectors, so there are no poles; distances are angles in radians.
    `sample` is uniform.

    Args:
        n: Dimension, at least 1.

    Raises:
        ValueError: If `n` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import spaces
        >>> north, east = jnp.array([0.0, 0.0, 1.0]), jnp.array([1.0, 0.0, 0.0])
        >>> round(float(spaces.Sphere(2).distance(north, east)), 6)
        1.570796
    """

    n: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("n", self.n)

    @property
    def dim(self) -> int:
        """Dimension, n."""
        return self.n

    @property
    def ambient_dim(self) -> int:
        """Size of a point, n + 1."""
        return self.n + 1

    @property
    def tangent_dim(self) -> int:
        """Size of a tangent vector, n + 1 (it is orthogonal to its point)."""
        return self.n + 1

    @property
    def group(self) -> Group:
        """O(n + 1)."""
        return O(self.n + 1)

    def distance(
        self, x: Float[Array, "*#batch m"], y: Float[Array, "*#batch m"]
    ) -> Float[Array, "*batch"]:
        """The angle 2 atan2(|x - y|, |x + y|), with gradient 0 at x = y and x = -y."""
        x, y = match_batch((x, 1), (y, 1))
        return 2 * jnp.arctan2(safe_norm(x - y), safe_norm(x + y))

    def dual_norm(
        self, x: Float[Array, "*#batch m"], dT: Float[Array, "*#batch m"]
    ) -> Float[Array, "*batch"]:
        """|dT - (x . dT) x|."""
        return safe_norm(self.to_tangent(x, dT))

    def inner(
        self,
        x: Float[Array, "*#batch m"],
        u: Float[Array, "*#batch m"],
        v: Float[Array, "*#batch m"],
    ) -> Float[Array, "*batch"]:
        """The dot product."""
        _, u, v = match_batch((x, 1), (u, 1), (v, 1))
        return jnp.sum(u * v, axis=-1)

    def exp(
        self, x: Float[Array, "*#batch m"], v: Float[Array, "*#batch m"]
    ) -> Float[Array, "*batch m"]:
        """cos|v| x + (sin|v| / |v|) v, along a great circle."""
        x, v = match_batch((x, 1), (v, 1))
        length = safe_norm(v, keepdims=True)
        return jnp.cos(length) * x + jnp.sinc(length / jnp.pi) * v

    def log(
        self, x: Float[Array, "*#batch m"], y: Float[Array, "*#batch m"]
    ) -> Float[Array, "*batch m"]:
        """The direction of y from x times their angle.

        At the antipode of x every direction is right: one of length pi is returned.
        """
        x, y = match_batch((x, 1), (y, 1))
        cosine = jnp.sum(x * y, axis=-1, keepdims=True)
        # The part of y normal to x, from a difference (or sum) that is exact where the
        # points are nearly equal (or opposite).
        normal = self.to_tangent(x, jnp.where(cosine < 0, y + x, y - x))
        sine = safe_norm(normal, keepdims=True)
        apart = jnp.where(sine > 0, sine, 1)
        angle = jnp.arctan2(sine, cosine)
        # The axis along which x is smallest is never parallel to x.
        axis = jax.nn.one_hot(
            jnp.argmin(jnp.abs(x), axis=-1), self.ambient_dim, dtype=x.dtype
        )
        aside = safe_normalize(self.to_tangent(x, axis))
        antipodal = (sine == 0) & (cosine < 0)
        near = jnp.where(sine > 0, angle / apart, 1) * normal
        return jnp.where(antipodal, jnp.pi * aside, near)

    def retract(
        self, x: Float[Array, "*#batch m"], v: Float[Array, "*#batch m"]
    ) -> Float[Array, "*batch m"]:
        """(x + v) / |x + v|."""
        x, v = match_batch((x, 1), (v, 1))
        return self.project(x + v)

    def project(self, x: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
        """x / |x|."""
        return safe_normalize(x)

    def to_tangent(
        self, x: Float[Array, "*#batch m"], u: Float[Array, "*#batch m"]
    ) -> Float[Array, "*batch m"]:
        """u - (x . u) x."""
        x, u = match_batch((x, 1), (u, 1))
        return u - jnp.sum(x * u, axis=-1, keepdims=True) * x

    def raise_index(
        self, x: Float[Array, "*#batch m"], dT: Float[Array, "*#batch m"]
    ) -> Float[Array, "*batch m"]:
        """dT - (x . dT) x."""
        return self.to_tangent(x, dT)

    def frame(self, x: Float[Array, "*batch m"]) -> Float[Array, "*batch n m"]:
        """Unit tangents: i x on the circle; x i, x j, x k on the unit quaternions S^3.

        They are invariant under left multiplication: by complex numbers for n = 1, by
        quaternions (w, x, y, z) for n = 3.

        Raises:
            ValueError: For n other than 1 and 3, where no group structure gives one.
        """
        check_condition(
            self.n in (1, 3),
            f"S^{self.n} has no continuous frame that a group leaves invariant, as S^1 "
            "and S^3 have. Use `to_tangent`.",
        )
        if self.n == 1:
            return jnp.stack([-x[..., 1], x[..., 0]], axis=-1)[..., None, :]
        a, b, c, d = (x[..., i] for i in range(4))
        rows = [[-b, a, d, -c], [-c, -d, a, b], [-d, c, -b, a]]
        return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)

    def transport(
        self,
        x: Float[Array, "*#batch m"],
        y: Float[Array, "*#batch m"],
        v: Float[Array, "*#batch m"],
    ) -> Float[Array, "*batch m"]:
        """Parallel transport along the great circle: v - 2 (s.v)/(s.s) s, s = x + y.

        The vector stays as it is from x to -x, where no great circle is singled out.
        """
        x, y, v = match_batch((x, 1), (y, 1), (v, 1))
        s = x + y
        squared = jnp.sum(s * s, axis=-1, keepdims=True)
        antipodal = squared == 0
        factor = 2 * jnp.sum(s * v, axis=-1, keepdims=True)
        return (
            v - jnp.where(antipodal, 0, factor / jnp.where(antipodal, 1, squared)) * s
        )

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Float[Array, " m"]:
        """One uniformly distributed point."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        return self.project(jax.random.normal(key, (self.ambient_dim,), dtype))

    def act(
        self, g: Any, x: Float[Array, "*batch m"], *, group: Group | None = None
    ) -> Float[Array, "*out m"]:
        """Moves points by an element of O(n + 1) or of a subgroup.

        Groups of smaller matrices that `groups.embed` knows leave the last coordinates
        alone: SO(2) turns S^2 about the z axis.
        """
        group = self.group if group is None else group
        check_condition(
            is_subgroup(group, self.group),
            f"`group` must be O({self.n + 1}), SO({self.n + 1}) or a subgroup "
            f"that `groups.embed` knows, got {group}.",
        )
        if group.degree < self.ambient_dim:
            return self.group.act(embed(group, self.group, g, dtype=x.dtype), x)
        return group.act(g, x)
