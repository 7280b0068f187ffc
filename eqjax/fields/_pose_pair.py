"""Invariants of two poses: what latents can know of each other."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.fields._bi_invariant import BiInvariant
from eqjax.fields._coordinates import element_features, point_features
from eqjax.fields._relative_point import RelativePoint
from eqjax.fields._relative_pose import RelativePose
from eqjax.fields._with_scalars import innermost
from eqjax.groups import Group
from eqjax.spaces import Torus


@register_spec
@dataclass(frozen=True)
class PosePair:
    """i(p, q) of two poses, i(g p, g q) = i(p, q), complete.

    For poses in a group the entries of p^-1 q; for poses that are points what the
    bi-invariant says of a coordinate at q. Networks on latents read it: attention of
    latents to latents, classifiers (`LatentClassifier`).

    Args:
        bi_invariant: The invariant of coordinates and poses, which fixes where poses
            live, their symmetry and the scale of lengths.

    Raises:
        ValueError: If there are no poses, or poses of a class of your own that are not
            points of its `space`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fields, groups
        >>> pair = fields.PosePair(fields.RelativePose(groups.SE(2)))
        >>> p = (jnp.array([1.0, 0.0]), jnp.asarray(jnp.pi / 2))
        >>> q = (jnp.array([1.0, 2.0]), jnp.asarray(jnp.pi / 2))
        >>> jnp.abs(pair(p, q)).round(5).tolist()  # ahead by 2, heading alike
        [2.0, 0.0, 1.0, 0.0]
    """

    bi_invariant: BiInvariant

    def __post_init__(self) -> None:
        """Refuses what has no poses."""
        b = self.bi_invariant
        check_condition(
            b.has_pose_axis, f"`bi_invariant` must be one with poses, got {b}."
        )
        check_condition(
            isinstance(self._of_points, (RelativePose, RelativePoint))
            or b.poses == b.space,
            f"No invariants of two poses are known for {b}: its poses are not points "
            "of its `space`.",
        )

    @property
    def symmetry(self) -> Group | None:
        """The group under which i is invariant."""
        return self.bi_invariant.symmetry

    @property
    def dim(self) -> int:
        """Size of i."""
        poses = self._of_points.poses
        pose = jax.eval_shape(lambda key: poses.sample(key=key), jax.random.key(0))
        return jax.eval_shape(self.__call__, pose, pose).shape[0]

    def __call__(self, p: Any, q: Any) -> Float[Array, " dim"]:
        """The invariant of ONE pair of poses, read from p."""
        b = self._of_points
        if not isinstance(b, RelativePose):
            return b(q, p)
        if isinstance(b.space, Torus):
            return point_features(b.space, q - p, b.scale)
        group = b.poses
        relative = group.compose(group.inverse(p), q)
        features = element_features(group, relative, b.scale)
        return (
            jnp.concatenate([features, p[1] / b.scale]) if b.with_radius else features
        )

    @property
    def _of_points(self) -> BiInvariant:
        """The invariant, of coordinates that are what poses are."""
        b = innermost(self.bi_invariant)
        if isinstance(b, RelativePoint):
            return dataclasses.replace(b, space=b.pose_space)
        return b
