"""Invariants of a coordinate and a pose that is a point of a homogeneous space."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_positive
from eqjax._core._numerics import safe_norm
from eqjax._core._specs import register_spec
from eqjax.fields._coordinates import vector_size
from eqjax.fields._relative_pose import RelativePose
from eqjax.groups import SE, SO, E, Group, Lorentz, O, Semidirect, Translation
from eqjax.spaces import (
    Euclidean,
    Hyperbolic,
    LieGroupSpace,
    PositionOrientation,
    Space,
    Sphere,
    Torus,
    invariants,
)


@register_spec
@dataclass(frozen=True)
class RelativePoint:
    """Complete invariants b(x, p) for poses that are points of a homogeneous space.

    With r = x - p, headings o of the pose and o_x of the coordinate:

    | coordinates | poses | group | b(x, p) |
    |---|---|---|---|
    | R^n | R^n | E(n), SE(n) | norm of r |
    | R^2 | R^2 x S^1 | SE(2) | r in the frame of o: (r.o, r.o_perp) |
    | R^2 | R^2 x S^1 | E(2) | r.o, (r.o_perp)^2 |
    | R^2 x S^1 | the same | SE(2) | r and o_x in the frame of o |
    | R^2 x S^1 | the same | E(2) | r.o, (r.o_perp)^2, o_x.o, r.o_perp o_x.o_perp |
    | R^3 | R^3 x S^2 | E(3), SE(3) | r.o, norm of r - (r.o) o |
    | R^3 x S^2 | the same | SE(3) | r.o, r.o_x, o_x.o, norm of r, det(r, o, o_x) |
    | R^3 x S^2 | the same | E(3) | the same without the determinant |
    | torus | torus | translations | cos and sin of 2 pi r_i / P_i |
    | S^n | S^n | O(n+1), SO(n+1) | x . p; with SO(2) also det(p, x) |
    | S^2 | S^2 | SO(2) about z | x.p - x_3 p_3, p_1 x_2 - p_2 x_1, x_3, p_3 |
    | H^n | H^n | O+(1, n), SO+(1, n) | 1 + q / 2 = cosh of the distance |
    | group G | G | G | the entries of p^-1 x |

    The squared distance is r.r, plus scale^2 |o_x - o|^2 where coordinates have
    headings; the sum of (P_i / pi)^2 sin^2(pi r_i / P_i) on tori; |x - p|^2 on spheres;
    the Minkowski square of x - p on H^n.

    Args:
        space: Space of the coordinates.
        pose_space: Space of the poses; default: the same.
        group: The symmetry. Default: the space's group; E(n) on every R^n, n > 1; on
            the plane with headings SE(2).
        scale: Length that lengths are divided by; on H^n it divides b, so take the cosh
            of the domain's radius.

    Raises:
        ValueError: If the three do not stand in the table.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fields, spaces
        >>> b = fields.RelativePoint(spaces.Euclidean(3))
        >>> b(jnp.zeros(3), jnp.array([0.0, 3.0, 4.0])).tolist()
        [5.0]

    References:
        Weyl, "The classical groups" (1939), chapter II.9 (first fundamental theorem).
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
        if self.group is None:
            object.__setattr__(
                self, "group", _default_group(self.space, self.pose_space)
            )
        check_condition(
            _is_known(self.space, self.pose_space, self.group),
            "No invariants are known for coordinates in "
            f"{self.space}, poses in {self.pose_space} and the group {self.group}. "
            "See the table of `RelativePoint`, use `RelativePose` with poses in the "
            "group, or write a class with the members of `BiInvariant`.",
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
        """Size of the invariant."""
        return _size_of_value(self)

    @property
    def has_pose_axis(self) -> bool:
        """True."""
        return True

    @property
    def _framed(self) -> RelativePose | None:
        """The same invariant, with the pose read as an element, if it can be."""
        if isinstance(self.space, (Torus, LieGroupSpace)):
            return RelativePose(self.group, self.space, self.scale)
        if isinstance(self.pose_space, PositionOrientation) and self.pose_space.n == 2:
            return RelativePose(SE(2), self.space, self.scale)
        return None

    def __call__(self, x: Any, pose: Any) -> Float[Array, " dim"]:
        """The invariants of the table, lengths divided by the scale."""
        framed = self._framed
        if framed is not None:
            b = framed(x, _as_element(self.pose_space, pose))
            return _forget_side(b) if isinstance(self.group, E) else b
        if isinstance(self.pose_space, PositionOrientation):
            signed = isinstance(self.group, SE)
            return _of_needles(x, pose, self.scale, signed=signed)
        if isinstance(self.space, Euclidean):
            return safe_norm(x - pose, keepdims=True) / self.scale
        if isinstance(self.space, Hyperbolic):
            # On the line SO+(1, 1) leaves a determinant too, the sinh.
            q = invariants(self.space, self.group, ("point", "point"))(x, pose)
            return jnp.concatenate([1 + q[:1] / 2, q[1:]]) / self.scale
        return _of_unit_vectors(x, pose, self.group)

    def squared_distance(self, x: Any, pose: Any) -> Float[Array, ""]:
        """Squared chordal distance of x and p."""
        framed = self._framed
        if framed is not None:
            return framed.squared_distance(x, _as_element(self.pose_space, pose))
        if isinstance(self.space, Hyperbolic):
            return invariants(self.space, self.group, ("point", "point"))(x, pose)[0]
        if isinstance(self.space, PositionOrientation):
            turned = self.scale**2 * jnp.sum((x[3:] - pose[3:]) ** 2)
            return jnp.sum((x[:3] - pose[:3]) ** 2) + turned
        return jnp.sum((x - pose[: x.shape[0]]) ** 2)


@functools.lru_cache
def _size_of_value(b: RelativePoint) -> int:
    x, p = (
        jax.eval_shape(lambda s=space: s.sample(key=jax.random.key(0)))
        for space in (b.space, b.pose_space)
    )
    return jax.eval_shape(b, x, p).shape[0]


def _default_group(space: Space, pose_space: Space) -> Group:
    """The largest group that acts on both, but for headings in the plane SE(2)."""
    if isinstance(pose_space, PositionOrientation):
        return E(3) if space == Euclidean(3) else pose_space.group
    if isinstance(space, Euclidean) and space.n > 3:
        return Semidirect(Translation(space.n), O(space.n))
    return space.group


def _is_known(space: Space, pose_space: Space, group: Group) -> bool:
    """Whether the triple stands in the table."""
    size = vector_size(space)
    moves = isinstance(group, (SE, E)) and group.n == size
    if isinstance(pose_space, PositionOrientation):
        flat = space == Euclidean(pose_space.n)
        return moves and (flat or space == pose_space)
    if pose_space != space:
        return False
    if isinstance(space, Euclidean):
        if size > 3 and isinstance(group, Semidirect):
            return group.linear_part in (SO(size), O(size))
        return moves
    if isinstance(space, Sphere):
        about_axis = size == 3 and _is_planar(group)
        return about_axis or (isinstance(group, (SO, O)) and group.n == size)
    if isinstance(space, Hyperbolic):
        preserving = isinstance(group, Lorentz) and group.reflections != "all"
        return preserving and group.degree == size
    if isinstance(space, Torus):
        return isinstance(group, Translation) and group.n == size
    return isinstance(space, LieGroupSpace) and group == space.of


def _is_planar(group: Group) -> bool:
    """True for the rotations of the plane."""
    return isinstance(group, SO) and group.n == 2


def _as_element(pose_space: Space, pose: Any) -> Any:
    """The element of the group that takes the origin to a pose."""
    if isinstance(pose_space, PositionOrientation):
        return pose[:2], pose[2]
    return pose


def _forget_side(b: Array) -> Array:
    """What a mirror along the heading leaves of (r.o, r.o_perp, o_x.o, o_x.o_perp)."""
    ahead, aside, turn = b[:1], b[1:2], b[2:]
    if turn.shape[0] == 0:
        return jnp.concatenate([ahead, aside**2])
    return jnp.concatenate([ahead, aside**2, turn[:1], aside * turn[1:]])


def _of_needles(x: Array, pose: Array, scale: float, *, signed: bool) -> Array:
    """Of points, or needles, of space and a needle (p, o)."""
    r, o = (x[:3] - pose[:3]) / scale, pose[3:]
    ahead = jnp.sum(r * o, keepdims=True)
    if x.shape[0] == 3:
        return jnp.concatenate([ahead, safe_norm(r - ahead * o, keepdims=True)])
    turned = x[3:]
    parts = [ahead, jnp.sum(r * turned, keepdims=True)]
    parts += [jnp.sum(o * turned, keepdims=True), safe_norm(r, keepdims=True)]
    if signed:
        parts.append(jnp.sum(r * jnp.cross(o, turned), keepdims=True))
    return jnp.concatenate(parts)


def _of_unit_vectors(x: Array, p: Array, group: Group) -> Array:
    """Of points of a sphere."""
    product = x * p
    if not _is_planar(group):
        return jnp.sum(product, keepdims=True)
    # Without an azimuth, which no pole has.
    cosine = jnp.sum(product[:2], keepdims=True)
    sine = p[:1] * x[1:2] - p[1:2] * x[:1]
    return jnp.concatenate([cosine, sine, x[2:], p[2:]])
