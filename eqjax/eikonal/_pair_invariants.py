"""Invariants of a source, a receiver and the pose of a latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._specs import register_spec
from eqjax.fields import BiInvariant, RelativePoint
from eqjax.groups import SE, SO, Group
from eqjax.spaces import (
    Euclidean,
    Hyperbolic,
    LieGroupSpace,
    PositionOrientation,
    Space,
    Torus,
    invariants,
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
    | points of H^n | the squared chords; with SO+(1, 2) also their det |
    | positions with directions in R^3 | `spaces.invariants` of s, r, p |
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
        [2.0, 1.0, 2.0]

    References:
        Weyl, "The classical groups" (1946), chapter II.9 (first fundamental theorem).
        García-Castellanos, Wessels, van den Berg et al., "Equivariant eikonal neural
        networks" (2025), section 4.
    """

    bi_invariant: BiInvariant

    def __post_init__(self) -> None:
        """Refuses rows of which no complete invariants of pairs stand in the table."""
        if self._joint:
            _ = self.dim

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
    def dim(self) -> int:
        """Size of the invariant."""
        if not self._joint:
            return 2 * self.bi_invariant.dim
        sizes = self.space.ambient_dim, self.space.ambient_dim, self.poses.ambient_dim
        points = (jax.ShapeDtypeStruct((size,), jnp.float32) for size in sizes)
        return jax.eval_shape(self._of_all_three, *points).shape[0]

    def __call__(
        self,
        source: Float[Array, " ambient"],
        receiver: Float[Array, " ambient"],
        pose: Any,
    ) -> Float[Array, " dim"]:
        """The invariant of ONE pair and one pose."""
        b = self.bi_invariant
        if self._joint:
            return self._of_all_three(source, receiver, pose)
        return jnp.concatenate([b(source, pose), b(receiver, pose)])

    def _of_all_three(self, source: Array, receiver: Array, pose: Array) -> Array:
        """Invariants of the triple, which the pose's stabilizer does not move."""
        among_points = self.poses == self.space
        kinds = ("point", "point", "point" if among_points else "oriented")
        group = cast(Group, self.symmetry)
        try:
            values = invariants(self.space, group, kinds)
        except ValueError as error:
            raise ValueError(
                f"No complete invariants of two points are known for "
                f"{self.bi_invariant}. Use `RelativePose`, with poses in the group."
            ) from error
        scale = cast(RelativePoint, self.bi_invariant).scale
        if isinstance(self.space, Hyperbolic):
            return values(source, receiver, pose) / scale

        flat = isinstance(self.space, (Euclidean, PositionOrientation))
        num = cast(Any, self.space).n if flat else 0

        def shrink(x: Array) -> Array:
            """The point with lengths, but not directions, divided by the scale."""
            return jnp.concatenate([x[:num] / scale, x[num:]])

        return values(shrink(source), shrink(receiver), shrink(pose))
