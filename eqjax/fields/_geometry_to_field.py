"""From the shape of a body to the field about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_condition, check_shape, check_size
from eqjax._core._dense import Params
from eqjax._core._specs import register_spec
from eqjax.fields._equivariant_field import EquivariantField
from eqjax.fields._latents import Latents
from eqjax.fields._relative_pose import RelativePose
from eqjax.fields._with_scalars import innermost
from eqjax.fitting._meta_sgd import init_rates, meta_sgd
from eqjax.groups import SE, Translation


@register_spec
@dataclass(frozen=True)
class GeometryToField:
    """A field about a body, read from latents that encode the body's shape.

    1. `encode`: a few Meta-SGD steps on the contexts fit one field to the shape (its
       signed distances at some points); poses and windows stay where they are.
    2. `condition`: numbers that hold for the whole body, such as those of the inflow,
       are appended to every context.
    3. `prepare`, `apply`: another field reads those latents at a coordinate.

    Moving the latents' poses moves the shape and the field. With `turning`, the first
    two conditions are a vector v of the plane (the inflow) and the first two channels
    another one (the velocity): a latent with pose (t, R) is given R^T v, and the
    decoder's first channels (a, b) stand for the vector a v + b J v, J the quarter
    turn. So the field turns with the body and the inflow,

        f(g x; g z, R v) = R f(x; z, v) for g = (t, R) in SE(2).

    Without, all are plain numbers, and only moves that leave them alone, such as
    translations, are symmetries.

    Args:
        encoder_field: Field of the shape.
        decoder_field: Field about the body, with poses of the same kind; its contexts
            are longer by `num_conditions`. Use `WithScalars` for coordinates with a
            signed distance.
        num_conditions: How many numbers are appended.
        turning: Whether the first two of them are a vector that turns with the body,
            and so are the first two channels; for poses in SE(2) or translations of
            the plane.
        num_steps: Meta-SGD steps of `encode`.

    Raises:
        ValueError: If the two fields do not fit together, or there is no vector to
            turn.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields, groups, spaces
        >>> b = fields.RelativePose(groups.SE(2))
        >>> small = dict(hidden=8, head_dim=8)
        >>> model = fields.GeometryToField(
        ...     fields.EquivariantField(b, context_dim=4, **small),
        ...     fields.EquivariantField(
        ...         fields.WithScalars(b, 1), context_dim=6, num_out=3, **small),
        ...     num_conditions=2, turning=True)
        >>> z = fields.init_latents(spaces.Euclidean(2), groups.SE(2), num_latents=4,
        ...                         context_dim=4, key=jax.random.key(0))
        >>> params = model.init(z, key=jax.random.key(1))
        >>> points, inflow = jnp.ones((5, 2)), jnp.array([1.0, 0.2])
        >>> shape = model.encode(params, points, jnp.ones((5, 1)))
        >>> prepared = model.prepare(params, shape, inflow)
        >>> model.apply(params, prepared, jnp.array([0.1, 0.2, 0.3])).shape
        (3,)

    References:
        Catalani et al., geometry-aware surrogates with equivariant neural fields
        (2025); there with translations only.
    """

    encoder_field: EquivariantField
    decoder_field: EquivariantField
    num_conditions: int
    turning: bool = False
    num_steps: int = 3

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("num_conditions", self.num_conditions, minimum=0)
        check_size("num_steps", self.num_steps)
        encoder, decoder = self.encoder_field, self.decoder_field
        check_condition(
            encoder.bi_invariant.poses == decoder.bi_invariant.poses
            and decoder.context_dim == encoder.context_dim + self.num_conditions,
            "`decoder_field` must have the poses of `encoder_field`, "
            f"{encoder.bi_invariant.poses}, and contexts of "
            f"{encoder.context_dim} + {self.num_conditions} numbers, got "
            f"{decoder.bi_invariant.poses} and {decoder.context_dim}.",
        )
        check_condition(
            not self.turning
            or (
                self.num_conditions >= 2
                and decoder.num_out >= 2
                and isinstance(innermost(decoder.bi_invariant), RelativePose)
                and decoder.bi_invariant.poses in (SE(2), Translation(2))
            ),
            "`turning` needs two conditions, two channels, and relative poses in SE(2) "
            f"or Translation(2), got {self.num_conditions}, {decoder.num_out} and "
            f"{decoder.bi_invariant}.",
        )

    def init(
        self,
        latents: Latents,
        *,
        dtype: DTypeLike | None = None,
        key: Key[Array, ""],
    ) -> Params:
        """Parameters: both fields, the latents where fits start, rates of the fits.

        Args:
            latents: Of `init_latents`. Their contexts are trained with the rest.
            dtype: Of the parameters.
            key: For the fields.

        Returns:
            {"encoder", "decoder", "latents", "rates" (context_dim,)}; rates are
            logarithms, from 0.1.
        """
        size = self.encoder_field.context_dim
        check_shape("latents['context']", latents["context"], (None, size))
        key_encoder, key_decoder = jax.random.split(key)
        units = jnp.ones(size, latents["context"].dtype)
        return {
            "encoder": self.encoder_field.init(dtype=dtype, key=key_encoder),
            "decoder": self.decoder_field.init(dtype=dtype, key=key_decoder),
            "latents": latents,
            "rates": init_rates(units),
        }

    def encode(
        self,
        params: Any,
        points: Float[Array, "points ambient"],
        values: Float[Array, "points num_out"],
        *,
        first_order: bool = False,
    ) -> Latents:
        """Latents of ONE shape, from values of its field at points.

        Args:
            params: Of `init`.
            points: Coordinates of the encoder's field.
            values: What it should be there, e.g. signed distances (points, 1).
            first_order: Leave out derivatives of gradients, see `fitting.meta_sgd`.

        Returns:
            Latents with the poses and windows of `params["latents"]`.

        Raises:
            ValueError: If the shapes do not fit.
        """
        field = self.encoder_field
        check_shape("points", points, (None, field.bi_invariant.space.ambient_dim))
        check_shape("values", values, (points.shape[0], field.num_out))
        start = dict(params["latents"])
        fixed = {
            name: jax.lax.stop_gradient(start[name]) for name in ("pose", "window")
        }

        def loss(weights: Any, context: Array, batch: Any) -> Array:
            points, values = batch
            prepared = field.prepare(weights, {**fixed, "context": context})
            found = jax.vmap(lambda x: field.apply(weights, prepared, x))(points)
            return jnp.mean((found - values) ** 2)

        batches = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (self.num_steps, *leaf.shape)),
            (points, values),
        )
        fit = meta_sgd(
            loss,
            params["encoder"],
            params["rates"],
            start["context"],
            batches,
            num_steps=self.num_steps,
            first_order=first_order,
        )
        return {**fixed, "context": fit.latents}

    def condition(
        self, latents: Latents, condition: Float[Array, " num_conditions"]
    ) -> Latents:
        """Latents of ONE shape with the conditions appended to every context.

        Args:
            latents: Of `encode`.
            condition: Standardized numbers; with `turning`, the first two are
                the vector, which is only to be scaled as a whole.

        Returns:
            Latents of the decoder's field.
        """
        check_shape("condition", condition, (self.num_conditions,))
        context = latents["context"]
        rows = jnp.broadcast_to(condition, (context.shape[0], self.num_conditions))
        if self.turning and self.decoder_field.bi_invariant.poses == SE(2):
            turns = SE(2).linear_part.matrix(latents["pose"][1])
            seen = jnp.einsum("lij,i->lj", turns, condition[:2], precision="highest")
            rows = jnp.concatenate([seen, rows[:, 2:]], axis=-1)
        return {**latents, "context": jnp.concatenate([context, rows], axis=-1)}

    def prepare(
        self,
        params: Any,
        latents: Latents,
        condition: Float[Array, " num_conditions"],
    ) -> dict[str, Any]:
        """Folds everything that sees no coordinate.

        Args:
            params: Of `init`.
            latents: Of `encode`.
            condition: See `condition`.

        Returns:
            What `apply` reads.
        """
        conditioned = self.condition(latents, condition)
        prepared = self.decoder_field.prepare(params["decoder"], conditioned)
        return {"field": prepared, "vector": condition[:2]}

    def apply(
        self, params: Any, prepared: dict[str, Any], x: Float[Array, " ambient"]
    ) -> Float[Array, " num_out"]:
        """The field about the body at ONE coordinate; batch with `jax.vmap`."""
        y = self.decoder_field.apply(params["decoder"], prepared["field"], x)
        if not self.turning:
            return y
        v = prepared["vector"]
        vector = y[0] * v + y[1] * jnp.stack([-v[1], v[0]])
        return jnp.concatenate([vector, y[2:]])
