"""Invariants of a source, a receiver and the pose of a latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.fields import BiInvariant, RelativePoint
from eqjax.groups import SE, SO, Group
from eqjax.spaces import (
    Euclidean,
    LieGroupSpace,
    PositionOrientation,
    Space,
    Sphere,
    Torus,
)


@register_spec
@dataclass(frozen=True)
class PairInvariant:
    """Complete invariants of two points and a pose: I(g s, g r, g p) = I(s, r, p).

    | poses | I(s, r, p) |
    |---|---|
    | group elements, or positions with headings under SE(2) | b(s, p), b(r, p) |
    | points of a torus or a group | b(s, p), b(r, p): a free action |
    | points of R^n | squared norms and product of s - p, r - p; with SE(2) their det |
    | points of S^n | s.p, r.p, s.r; with SO(3) also det(s, r, p) |
    | none (`Absolute`) | s, r |

    Args:
        bi_invariant: Invariant of one point and a pose; fixes space, poses and group.

    Raises:
        ValueError: If nothing complete is known for poses in that space.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import eikonal, fields, spaces
        >>> invariant = eikonal.PairInvariant(fields.RelativePoint(spaces.Euclidean(3)))
        >>> s, r, p = jnp.eye(3)
        >>> invariant(s, r, p).tolist()
        [2.0, 2.0, 1.0]

    References:
        Weyl, "The classical groups" (1946), chapter II.9 (first fundamental theorem).
        García-Castellanos, Wessels, van den Berg et al., "Equivariant eikonal neural
        networks" (2025), section 4.
    """

    bi_invariant: BiInvariant

    def __post_init__(self) -> None:
        """Refuses rows of which no complete invariants of pairs stand in the table."""
        same = self.poses == self.space and isinstance(self.space, (Euclidean, Sphere))
        check_condition(
            same or not self._joint,
            f"No complete invariants of two points are known for {self.bi_invariant}. "
            "Use `RelativePose`, with poses in the group.",
        )

    @property
    def space(self) -> Space:
        """Space of sources and receivers."""
        return self.bi_invariant.space

    @property
    def poses(self) -> Any:
        """The group or space of the poses; None if there are no poses."""
        return self.bi_invariant.poses

    @property
    def symmetry(self) -> Group | None:
        """The group under which the invariant does not change."""
        return self.bi_invariant.symmetry

    @property
    def _joint(self) -> bool:
        """Whether two single invariants do not suffice, since p has a stabilizer."""
        planar = isinstance(self.poses, PositionOrientation) and self.poses.n == 2
        headed = planar and isinstance(self.symmetry, SE)
        of_group = isinstance(self.poses, (Torus, LieGroupSpace))
        free = headed or of_group or self.symmetry == SO(2)
        return isinstance(self.bi_invariant, RelativePoint) and not free

    @property
    def _signed(self) -> bool:
        """Whether a determinant tells mirror images apart."""
        group = self.symmetry
        flat = isinstance(self.space, Euclidean)
        return isinstance(group, SE) and group.n == 2 if flat else group == SO(3)

    @property
    def dim(self) -> int:
        """Size of the invariant."""
        return 3 + self._signed if self._joint else 2 * self.bi_invariant.dim

    def __call__(
        self,
        source: Float[Array, " ambient"],
        receiver: Float[Array, " ambient"],
        pose: Any,
    ) -> Float[Array, " dim"]:
        """The invariant of ONE pair and one pose."""
        b = self.bi_invariant
        if not self._joint:
            return jnp.concatenate([b(source, pose), b(receiver, pose)])
        if isinstance(self.space, Euclidean):
            # |x - p| itself is singular at x = p, its square is not.
            scale = cast(RelativePoint, b).scale
            u, v = (source - pose) / scale, (receiver - pose) / scale
            parts = [_dot(u, u), _dot(v, v), _dot(u, v)]
            volume = u[0] * v[1] - u[1] * v[0]
        else:
            parts = [_dot(source, pose), _dot(receiver, pose), _dot(source, receiver)]
            volume = _dot(jnp.cross(source, receiver), pose) if self._signed else 0
        return jnp.stack([*parts, volume] if self._signed else parts)


def _dot(u: Array, v: Array) -> Array:
    """The product as a sum: matrix units would round it to bfloat16."""
    return jnp.sum(u * v)
