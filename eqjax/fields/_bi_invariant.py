"""Invariants of a coordinate and the pose of a latent: what every one offers."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from eqjax.groups import Group
from eqjax.spaces import Space


@runtime_checkable
class BiInvariant(Protocol):
    """A function b of one coordinate and one pose with b(g x, g p) = b(x, p).

    Any frozen dataclass with these members will do: write your own for pairs that
    `RelativePose` and `RelativePoint` do not know, and check it with
    `testing.assert_equivariant`.
    """

    @property
    def space(self) -> Space:
        """Space of the coordinates."""
        ...

    @property
    def poses(self) -> Any:
        """The group or space of the poses; None if there are no poses."""
        ...

    @property
    def symmetry(self) -> Group | None:
        """The group under which b is invariant; None for the trivial one."""
        ...

    @property
    def dim(self) -> int:
        """Size of the invariant."""
        ...

    @property
    def has_pose_axis(self) -> bool:
        """False if b does not depend on the pose."""
        ...

    def __call__(self, x: Any, pose: Any) -> Float[Array, " dim"]:
        """The invariant of one coordinate and one pose."""
        ...

    def squared_distance(self, x: Any, pose: Any) -> Float[Array, ""]:
        """An invariant squared distance, smooth everywhere."""
        ...
