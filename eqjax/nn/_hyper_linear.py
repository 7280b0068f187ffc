"""Linear layers whose weights a condition decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_same_dtype, check_shape, check_size
from eqjax._core._dense import split_named
from eqjax._core._specs import register_spec
from eqjax.nn._features import Feature, Params, Precision, default_dtype, unit_variance
from eqjax.nn._linear import check_linear, linear_map, weight_shapes


@register_spec
@dataclass(frozen=True)
class HyperLinear:
    """A linear layer whose weights are linear in an invariant vector z, without biases.

        y = sum_n z_n L_n x,    L_n a `Linear` each

    Without biases the result cannot ignore the condition: it is zero where z is. It is
    equivariant for conditions that the group does not move. Features are those of
    `Linear`. Weights start such that z and x of unit variance give unit variance.

    Args:
        rep_in: Representation of the input.
        rep_out: Representation of the result.
        channels_in: Number of channels of the input, or None.
        channels_out: Number of channels of the result, or None.
        condition_size: Size of the condition.
        precision: Of products with weights.

    Raises:
        ValueError: If the groups differ, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> vector = reps.standard(groups.SO(3))
        >>> layer = nn.HyperLinear(vector, vector, 4, 5, condition_size=2)
        >>> params = layer.init(key=jax.random.key(0))
        >>> x = jnp.ones((3, 4))
        >>> layer.apply(params, jnp.array([1.0, 2.0]), x).shape
        (3, 5)
        >>> bool(jnp.any(layer.apply(params, jnp.zeros(2), x)))
        False

    References:
        Ha, Dai, Le, "HyperNetworks" (2017).
    """

    rep_in: Any
    rep_out: Any
    channels_in: int | None = None
    channels_out: int | None = None
    condition_size: int = field(kw_only=True)
    precision: Precision = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_linear(self)
        check_size("condition_size", self.condition_size)

    @property
    def group(self) -> Any:
        """The group of both representations."""
        return self.rep_in.group

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Random weights by irrep, those of `Linear` for each entry of the condition.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: A random key.

        Returns:
            {"weights": {name: (condition_size, ..)}}.

        Raises:
            ValueError: If there is no equivariant map, hence nothing to learn.
        """
        dtype = default_dtype(dtype)
        shapes = weight_shapes(self)
        keys = split_named(key, list(shapes))
        weights = {}
        for name, (shape, deviation) in shapes.items():
            shape = (self.condition_size, *shape)
            normal = jax.random.normal(keys[name], shape, dtype)
            deviation = deviation * unit_variance(self.condition_size)
            weights[name] = jnp.asarray(deviation, dtype) * normal
        return {"weights": weights}

    def apply(
        self, params: Params, condition: Float[Array, " condition"], x: Feature
    ) -> Feature:
        """The map that belongs to a condition, of one feature.

        Args:
            params: As `init` makes them.
            condition: Invariant numbers, shape (condition_size,).
            x: A feature of `rep_in`, of the dtype of the parameters.

        Returns:
            A feature of `rep_out`.

        Raises:
            ValueError: If shapes or dtypes do not fit.
        """
        check_shape("condition", condition, (self.condition_size,))
        for array in jax.tree.leaves(params):
            check_same_dtype("condition", condition, array, other="params")
        weights = {
            name: jnp.tensordot(condition, array, axes=1, precision=self.precision)
            for name, array in params["weights"].items()
        }
        return linear_map(self, weights, x)
