"""Invariants of a coordinate and a pose that is a group element."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_positive
from eqjax._core._specs import register_spec
from eqjax.fields._coordinates import (
    is_affine,
    num_features,
    point_features,
    squared_chord,
)
from eqjax.groups import SE, SO, E, Group, Lorentz, O, Product, Translation, is_subgroup
from eqjax.spaces import (
    Euclidean,
    Hyperbolic,
    LieGroupSpace,
    PositionOrientation,
    Space,
    Sphere,
    Torus,
)


@register_spec
@dataclass(frozen=True)
class RelativePose:
    """b(x, p) = p^-1 x for poses that are group elements: complete.

    Every invariant of (x, p) is a function of p^-1 x.

    | group | coordinates | b(x, p) | squared distance |
    |---|---|---|---|
    | translations | R^n | r = x - t | r.r |
    | SE(n), E(n), affine groups: (t, h) | R^n | h^-1 r | square of h^-1 r |
    | SO(n), O(n), matrix groups | R^n | p^-1 x | of p^-1 x from scale e_last |
    | the same, `with_radius` | R^n | p^-1 x and the radius | of x from the pose |
    | SO(n), O(n) | unit sphere in R^n | p^-1 x | of x from p e_last |
    | SE(2); SE(3), E(3) | `PositionOrientation` | p^-1 x | r.r + w^2 (1 - o_x.o) |
    | translations | `Torus` | cos and sin of 2 pi r_i / P_i | sum of squared chords |
    | `Lorentz`, no time reversal | `Hyperbolic` | p^-1 x | q of x and p 0 |
    | G | `LieGroupSpace(G)` | entries of p^-1 x | half that of p^-1 x from 1 |

    Headings enter as unit vectors (in the plane cosine and sine), so w^2 = 2 scale^2.
    Similarities (t, s R) and affine maps (t, A) are `groups.Semidirect`; their windows
    are measured by the pose's own yardstick. The sign of a reflection in a pose is
    discrete: fitting keeps it.

    Args:
        group: Group of the poses.
        space: Space of the coordinates. Default: the unit sphere for SO(n) and O(n),
            `Hyperbolic` for `Lorentz`, else the R^n that the group acts on.
        scale: Length that lengths are divided by, e.g. half the width of the domain.
            Spheres, tori and rotations have none; on H^n it divides the coordinates of
            the hyperboloid, so take the sinh of the domain's radius.
        with_radius: For SO(n) and O(n) on R^n, e.g. for signals in a ball about the
            center: poses are pairs (rotation, radius) with radius an array (1,),
            elements of `Product((group, Translation(1)))`, for points at that distance
            from the center in the direction p e_last.

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
    with_radius: bool = False

    def __post_init__(self) -> None:
        """Fills in the default space and checks the pair."""
        check_positive("scale", self.scale)
        if self.space is None:
            space = _default_space(self.group, with_radius=self.with_radius)
            object.__setattr__(self, "space", space)
        check_condition(
            _acts(self.group, self.space),
            f"`group` must act on the space {self.space}, got {self.group}. See the "
            "table of `RelativePose`; for other pairs write a class with the members "
            "of `BiInvariant`.",
        )
        check_condition(
            not self.with_radius
            or (isinstance(self.group, (SO, O)) and isinstance(self.space, Euclidean)),
            "`with_radius` is for rotations about the center of R^n, SO(n) or O(n), "
            f"got {self.group} on {self.space}.",
        )

    @property
    def poses(self) -> Group:
        """The group, or its product with the radii."""
        if self.with_radius:
            return Product((self.group, Translation(1)))
        return self.group

    @property
    def symmetry(self) -> Group:
        """The group."""
        return self.group

    @property
    def dim(self) -> int:
        """Size of the invariant."""
        return num_features(self.space) + self.with_radius

    @property
    def has_pose_axis(self) -> bool:
        """True."""
        return True

    def __call__(self, x: Any, pose: Any) -> Float[Array, " dim"]:
        """p^-1 x, lengths divided by the scale."""
        features = point_features(self.space, self._moved(x, pose), self.scale)
        if self.with_radius:
            return jnp.concatenate([features, pose[1] / self.scale])
        return features

    def squared_distance(self, x: Any, pose: Any) -> Float[Array, ""]:
        """Squared chordal distance of x from the point that stands for the pose.

        That point is p e: the origin moved by p, the position and heading of p, the
        element p itself, or for linear groups the last unit vector (on R^n: times the
        scale, or the pose's radius) moved by p.
        """
        moved = self._moved(x, pose)
        linear = isinstance(self.space, Euclidean) and not is_affine(self.group)
        if linear or isinstance(self.space, Sphere):
            radius = self.scale if linear else 1.0
            moved = moved.at[-1].add(-(pose[1][0] if self.with_radius else radius))
        return squared_chord(self.space, moved, self.scale)

    def _moved(self, x: Any, pose: Any) -> Any:
        """p^-1 x."""
        if self.with_radius:
            pose = pose[0]
        if isinstance(self.space, Hyperbolic):
            return _seen_from(pose, x)
        if isinstance(self.space, LieGroupSpace):
            return self.group.compose(self.group.inverse(pose), x)
        return self.space.act(self.group.inverse(pose), x, group=self.group)


def _default_space(group: Group, *, with_radius: bool) -> Space:
    """Where a group acts unless said otherwise."""
    n = group.degree
    if isinstance(group, (SO, O)) and not with_radius:
        return Sphere(n - 1)
    if isinstance(group, Lorentz) and group.reflections != "all":
        return Hyperbolic(n - 1)
    return Euclidean(n)


def _acts(group: Group, space: Space) -> bool:
    """Whether p^-1 x is defined, and says everything about x and p."""
    n = group.degree
    if isinstance(space, Euclidean):
        return n == space.n and not np.iscomplexobj(group.generators.lie)
    if isinstance(space, Sphere):
        return n == space.ambient_dim and is_subgroup(group, O(n))
    if isinstance(space, PositionOrientation):
        kinds = (SE,) if space.n == 2 else (SE, E)
        return n == space.n and isinstance(group, kinds)
    if isinstance(space, Torus):
        return n == space.dim and isinstance(group, Translation)
    if isinstance(space, Hyperbolic):
        preserving = isinstance(group, Lorentz) and group.reflections != "all"
        return preserving and n == space.n + 1
    return isinstance(space, LieGroupSpace) and group == space.of


def _seen_from(pose: Array, x: Array) -> Array:
    """The spatial part of L^-1 (x0, x), for a Lorentz matrix L and a point of H^n.

    L is a rotation R of space and then the boost that takes the origin to p = L e_0.
    Taking both back one by one, in differences x - p, is exact where p is far: the
    product with L^-1 would lose as many digits as the square of its entries has.
    """
    # Sums of products by matrix products: XLA for CPUs (jaxlib 0.10.2) compiles these
    # sums to wrong numbers where there are thousands of points.
    dot = partial(jnp.matmul, precision="highest")
    p = pose[1:, 0]
    p0, x0 = jnp.sqrt(1 + dot(p, p)), jnp.sqrt(1 + dot(x, x))
    rotation = pose[1:, 1:] - p[:, None] * pose[None, 0, 1:] / (1 + p0)
    # The boost takes x to x - p + k p, k = p.(x - p) / (1 + p0) - (x0 - p0): written as
    # one fraction, since the two terms of k nearly cancel.
    d = x - p
    rise = dot(x + p, d) / (x0 + p0)
    above = (rise - 2) * dot(p, d) - (1 + p0) * dot(d, d)
    back = d + above / ((1 + p0) * (x0 + p0)) * p
    return dot(back, rotation)
