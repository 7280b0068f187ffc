"""Coordinates themselves: fields without symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Float

from eqjax._core._checks import check_positive
from eqjax._core._specs import register_spec
from eqjax.fields._coordinates import num_features, point_features
from eqjax.spaces import Space


@register_spec
@dataclass(frozen=True)
class Absolute:
    """b(x) = x: the coordinates themselves, the baseline without equivariance.

    Angles enter as cosine and sine, group elements as matrices. Poses are ignored, so
    windows and nearest neighbors are a `ValueError`.

    Args:
        space: Space of the coordinates.
        scale: Length that lengths are divided by.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fields, spaces
        >>> b = fields.Absolute(spaces.Euclidean(2), scale=2.0)
        >>> b(jnp.array([1.0, 3.0]), None).tolist()
        [0.5, 1.5]
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
        """Size of the invariant."""
        return num_features(self.space)

    @property
    def has_pose_axis(self) -> bool:
        """False."""
        return False

    def __call__(self, x: Any, pose: Any) -> Float[Array, " dim"]:
        """x, lengths divided by the scale; `pose` is not used."""
        return point_features(self.space, x, self.scale)

    def squared_distance(self, x: Any, pose: Any) -> Float[Array, ""]:
        """Not defined.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "`Absolute` has no distance between coordinate and pose. "
            "Use `window=False` and no `num_neighbors`, or an invariant with poses."
        )
