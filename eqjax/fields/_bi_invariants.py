"""Invariants of a coordinate and the pose of a latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_positive
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec
from eqjax.groups import SE, SO, E, Group, O, Translation
from eqjax.spaces import Euclidean, PositionOrientation, Space, Sphere


@runtime_checkable
class BiInvariant(Protocol):
    """A function b of one coordinate and one pose with b(g x, g p) = b(x, p)."""

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

    def __call__(self, x: Float[Array, " ambient"], pose: Any) -> Float[Array, " dim"]:
        """The invariant of one coordinate and one pose."""
        ...

    def squared_distance(
        self, x: Float[Array, " ambient"], pose: Any
    ) -> Float[Array, ""]:
        """An invariant squared distance, smooth everywhere."""
        ...


@register_spec
@dataclass(frozen=True)
class RelativePose:
    """b(x, p) = p^-1 x for poses that are group elements: complete.

    Every invariant of (x, p) is a function of p^-1 x. Angles of headings enter as
    cosine and sine; lengths are divided by `scale`.

    Args:
        group: Group of the poses: translations, SO(n), O(n), SE(n) or E(n).
        space: Space of the coordinates. Default: R^n for translations, SE(n) and E(n);
            the unit sphere in R^n for SO(n) and O(n).
        scale: Length that lengths are divided by, e.g. half the width of the domain.

    Raises:
        ValueError: If the group does not act on the space.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fields, groups
        >>> b = fields.RelativePose(groups.SE(2))
        >>> pose = (jnp.array([1.0, 0.0]), jnp.asarray(jnp.pi))
        >>> b(jnp.array([3.0, 1.0]), pose).round(5).tolist()
        [-2.0, -1.0]

    References:
        Bekkers, Vadgama, Hesselink et al., "Fast, expressive SE(n) equivariant networks
        through weight-sharing in position-orientation space" (2024), theorem 1.
    """

    group: Group
    space: Space = cast(Any, None)  # filled in below
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Fills in the default space and checks the pair."""
        check_positive("scale", self.scale)
        n = self.group.degree
        if self.space is None:
            linear = isinstance(self.group, (SO, O))
            object.__setattr__(self, "space", Sphere(n - 1) if linear else Euclidean(n))
        moves = {
            Euclidean: (Translation, SO, O, SE, E),
            Sphere: (SO, O),
            PositionOrientation: (SE,),
        }.get(type(self.space), ())
        fits = isinstance(self.group, moves) and vector_size(self.space) == n
        check_condition(
            fits,
            f"`group` must act on the space {self.space}, got {self.group}.",
        )

    @property
    def poses(self) -> Group:
        """The group."""
        return self.group

    @property
    def symmetry(self) -> Group:
        """The group."""
        return self.group

    @property
    def dim(self) -> int:
        """Size of the invariant: that of a point; 4 with a heading."""
        if isinstance(self.space, PositionOrientation):
            return 4
        return self.space.ambient_dim

    @property
    def has_pose_axis(self) -> bool:
        """True."""
        return True

    def __call__(self, x: Float[Array, " ambient"], pose: Any) -> Float[Array, " dim"]:
        """p^-1 x, lengths divided by the scale."""
        moved = self.space.act(self.group.inverse(pose), x, group=self.group)
        return _embed(self.space, moved, self.scale)

    def squared_distance(
        self, x: Float[Array, " ambient"], pose: Any
    ) -> Float[Array, ""]:
        """Squared chordal distance of x from the point that stands for the pose.

        That point is p e: the origin moved by p, the position and heading of p, or for
        rotation groups the last unit vector (on R^n: times the scale) turned by p.
        """
        moved = self.space.act(self.group.inverse(pose), x, group=self.group)
        if isinstance(self.group, (SO, O)):
            radius = self.scale if isinstance(self.space, Euclidean) else 1
            moved = moved.at[-1].add(-radius)
        return _squared_length(self.space, moved)


@register_spec
@dataclass(frozen=True)
class RelativePoint:
    """Complete invariants b(x, p) for poses that are points of a homogeneous space.

    | coordinates | poses | group | b(x, p) |
    |---|---|---|---|
    | R^n | R^n | E(n), SE(n) | norm of x - p |
    | R^2 | R^2 x S^1 | SE(2) | R(-theta) (x - p) |
    | S^n | S^n | O(n+1), SO(n+1) | x . p; with SO(2) also det(p, x) |
    | R^2 x S^1 | R^2 x S^1 | SE(2) | R(-theta) (x - p), cos, sin of the angle between |

    Args:
        space: Space of the coordinates.
        pose_space: Space of the poses; default: the same.
        group: The symmetry; default: the space's group, E(n) or O(n+1), or SE(2) where
            headings occur.
        scale: Length that lengths are divided by.

    Raises:
        ValueError: If the three do not stand in the table.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fields, spaces
        >>> b = fields.RelativePoint(spaces.Euclidean(3))
        >>> b(jnp.zeros(3), jnp.array([0.0, 3.0, 4.0])).tolist()
        [5.0]
    """

    space: Space
    pose_space: Space = cast(Any, None)  # filled in below
    group: Group = cast(Any, None)  # filled in below
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Fills in the defaults and checks the triple."""
        check_positive("scale", self.scale)
        if self.pose_space is None:
            object.__setattr__(self, "pose_space", self.space)
        headed = isinstance(self.pose_space, PositionOrientation)
        if self.group is None:
            object.__setattr__(self, "group", SE(2) if headed else self.space.group)
        group, size = self.group, vector_size(self.space)
        if headed:
            plane = self.space == Euclidean(2)
            fits = (plane or self.space == self.pose_space) and (
                isinstance(group, SE) and group.n == 2
            )
        elif self.pose_space != self.space:
            fits = False
        elif isinstance(self.space, Euclidean):
            fits = isinstance(group, (SE, E)) and group.n == size
        else:
            fits = isinstance(self.space, Sphere) and (
                isinstance(group, (SO, O)) and group.n == size
            )
        check_condition(
            fits,
            "No invariants are known for coordinates in "
            f"{self.space}, poses in {self.pose_space} and the group {group}. "
            "See the table of `RelativePoint`, or use `RelativePose`.",
        )

    @property
    def poses(self) -> Space:
        """The space of the poses."""
        return self.pose_space

    @property
    def symmetry(self) -> Group:
        """The group."""
        return self.group

    @property
    def dim(self) -> int:
        """Size of the invariant: 1, 2 or 4."""
        if isinstance(self.pose_space, PositionOrientation):
            return self._framed.dim
        return 2 if self.group == SO(2) else 1

    @property
    def has_pose_axis(self) -> bool:
        """True."""
        return True

    @property
    def _framed(self) -> RelativePose:
        """The same invariant with the point (position, heading) read as an element."""
        return RelativePose(SE(2), self.space, self.scale)

    def __call__(self, x: Float[Array, " ambient"], pose: Any) -> Float[Array, " dim"]:
        """The invariants of the table, lengths divided by the scale."""
        if isinstance(self.pose_space, PositionOrientation):
            return self._framed(x, (pose[:2], pose[2]))
        if isinstance(self.space, Euclidean):
            return safe_norm(x - pose, keepdims=True) / self.scale
        cosine = jnp.sum(x * pose, keepdims=True)
        if self.group != SO(2):
            return cosine
        sine = pose[:1] * x[1:] - pose[1:] * x[:1]
        return jnp.concatenate([cosine, sine])

    def squared_distance(
        self, x: Float[Array, " ambient"], pose: Any
    ) -> Float[Array, ""]:
        """Squared chordal distance of x and p."""
        if isinstance(self.pose_space, PositionOrientation):
            return self._framed.squared_distance(x, (pose[:2], pose[2]))
        return jnp.sum((x - pose) ** 2)


@register_spec
@dataclass(frozen=True)
class Absolute:
    """b(x) = x: the coordinates themselves, the baseline without equivariance.

    Poses are ignored, so windows and nearest neighbors are a `ValueError`.

    Args:
        space: Space of the coordinates.
        scale: Length that lengths are divided by.
    """

    space: Space
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_positive("scale", self.scale)

    @property
    def poses(self) -> None:
        """None."""
        return None

    @property
    def symmetry(self) -> None:
        """None."""
        return None

    @property
    def dim(self) -> int:
        """Size of a point; 4 with a heading."""
        if isinstance(self.space, PositionOrientation):
            return 4
        return self.space.ambient_dim

    @property
    def has_pose_axis(self) -> bool:
        """False."""
        return False

    def __call__(self, x: Float[Array, " ambient"], pose: Any) -> Float[Array, " dim"]:
        """x, lengths divided by the scale; `pose` is not used."""
        return _embed(self.space, x, self.scale)

    def squared_distance(
        self, x: Float[Array, " ambient"], pose: Any
    ) -> Float[Array, ""]:
        """Not defined.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "`Absolute` has no distance between coordinate and pose. "
            "Use `window=False` and no `num_neighbors`, or an invariant with poses."
        )


def vector_size(space: Space) -> int:
    """Size of the vectors that groups of the space act on."""
    return 2 if isinstance(space, PositionOrientation) else space.ambient_dim


def _embed(space: Space, x: Array, scale: float) -> Array:
    """Coordinates without jumps: headings as (cos, sin), lengths over the scale."""
    if isinstance(space, PositionOrientation):
        heading = jnp.stack([jnp.cos(x[2]), jnp.sin(x[2])])
        return jnp.concatenate([x[:2] / scale, heading])
    return x if isinstance(space, Sphere) else x / scale


def _squared_length(space: Space, x: Array) -> Array:
    """Squared chordal distance from the origin."""
    if isinstance(space, PositionOrientation):
        return jnp.sum(x[:2] ** 2) + 2 * (1 - jnp.cos(x[2]))
    return jnp.sum(x**2)
