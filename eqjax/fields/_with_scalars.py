"""Coordinates that carry invariant numbers besides their position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_size
from eqjax._core._specs import register_spec
from eqjax.fields._bi_invariant import BiInvariant
from eqjax.groups import Group
from eqjax.spaces import Euclidean


@register_spec
@dataclass(frozen=True)
class WithScalars:
    """b((x, s), p) = (b'(x, p), s): an invariant of points that carry numbers.

    The numbers s, such as the signed distance of x from a body, do not change when the
    point and the body move together, so b is invariant as b' is. A coordinate is one
    vector: the point, then the numbers; the group acts on the point alone. Windows and
    neighbors see the point alone.

    Args:
        bi_invariant: Invariant b' of points of R^n.
        num_scalars: How many numbers a point carries.

    Raises:
        ValueError: If the points of b' are not in R^n, or the number is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fields, groups
        >>> b = fields.WithScalars(fields.RelativePose(groups.Translation(2)), 1)
        >>> b(jnp.array([3.0, 1.0, -0.5]), jnp.array([1.0, 1.0])).tolist()
        [2.0, 0.0, -0.5]

    References:
        Catalani et al., geometry-aware surrogates with equivariant neural fields
        (2025), where the signed distance is a third coordinate.
    """

    bi_invariant: BiInvariant
    num_scalars: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("num_scalars", self.num_scalars)
        check_condition(
            isinstance(self.bi_invariant.space, Euclidean),
            "`bi_invariant` must be one of points of R^n, got "
            f"{self.bi_invariant} on {self.bi_invariant.space}.",
        )

    @property
    def space(self) -> Euclidean:
        """R^(n + num_scalars), the vectors of point and numbers."""
        return Euclidean(self._num_coordinates + self.num_scalars)

    @property
    def poses(self) -> Any:
        """Those of b'."""
        return self.bi_invariant.poses

    @property
    def symmetry(self) -> Group | None:
        """That of b'; it acts on the first n entries of a coordinate."""
        return self.bi_invariant.symmetry

    @property
    def dim(self) -> int:
        """Size of the invariant."""
        return self.bi_invariant.dim + self.num_scalars

    @property
    def has_pose_axis(self) -> bool:
        """As b'."""
        return self.bi_invariant.has_pose_axis

    def __call__(self, x: Float[Array, " ambient"], pose: Any) -> Float[Array, " dim"]:
        """(b'(x, p), s)."""
        n = self._num_coordinates
        return jnp.concatenate([self.bi_invariant(x[:n], pose), x[n:]])

    def squared_distance(
        self, x: Float[Array, " ambient"], pose: Any
    ) -> Float[Array, ""]:
        """That of b' at the point."""
        return self.bi_invariant.squared_distance(x[: self._num_coordinates], pose)

    @property
    def _num_coordinates(self) -> int:
        """n."""
        return self.bi_invariant.space.ambient_dim


def innermost(bi_invariant: BiInvariant) -> BiInvariant:
    """The invariant of the point alone, without any numbers."""
    if isinstance(bi_invariant, WithScalars):
        return innermost(bi_invariant.bi_invariant)
    return bi_invariant
