"""Normalization by statistics of a batch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import check_condition
from eqjax._core._specs import register_spec
from eqjax.nn._features import Feature, Params, check_feature, default_dtype
from eqjax.nn._layer import KeepsRep
from eqjax.nn._normalization import beside, check_fields, init_affine, is_centered
from eqjax.nn._terms import Terms, terms_of
from eqjax.o3._norms import widen
from eqjax.reps import Rep


@register_spec
@dataclass(frozen=True)
class BatchNorm(KeepsRep):
    """Normalization of every channel by mean and variance of a batch.

        y = scale (x - mean) (var + epsilon)^(-1/2) + shift

    Statistics are over the batch, the grid, and the components of each copy of a term:

    | term | mean and shift | variance |
    |---|---|---|
    | trivial, regular, quotient, other permutations | one for all components | one |
    | any other orthogonal representation | none | mean square of components |

    so that it commutes with the group. The state of running averages is an argument and
    a result. The batch is a mapped axis: without a name for it, statistics are those of
    one example.

        jax.vmap(partial(layer.apply, axis_name="batch"), in_axes=(None, None, 0),
                 out_axes=(0, None), axis_name="batch")(params, state, x)

    Computed in float32 or wider; finite for zero features, derivatives too.

    Args:
        rep: An orthogonal representation.
        channels: Number of channels; None if `rep` is a sum of irreps whose
            multiplicities are the channels.
        momentum: Weight of the old running averages, between 0 and 1.
        epsilon: Added to the variance, positive.

    Raises:
        ValueError: If a number is out of its range, or `rep` is not orthogonal.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.BatchNorm(reps.regular(groups.Cyclic(2)), 1)
        >>> params = layer.init(key=jax.random.key(0))
        >>> state = layer.init_state()
        >>> y, state = layer.apply(params, state, jnp.array([[[3.0], [5.0]]]))
        >>> y.round(3).ravel().tolist(), state["mean"].round(3).tolist()
        ([-1.0, 1.0], [[0.4]])

    References:
        Ioffe, Szegedy, "Batch normalization: accelerating deep network training by
        reducing internal covariate shift" (2015), algorithm 1.
    """

    rep: Rep
    channels: int | None = None
    momentum: float = field(default=0.9, kw_only=True)
    epsilon: float = field(default=1e-5, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_fields("BatchNorm", self.rep, self.channels, self.epsilon)
        check_condition(
            0 <= self.momentum <= 1,
            f"`momentum` must be between 0 and 1, got {self.momentum!r}.",
        )

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Scales of one and shifts of zero.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: Not used: nothing is random.

        Returns:
            A dict with "scale", and "shift" if some term has a mean: arrays (copies,
            channels), or by the name of each irrep (multiplicity,).
        """
        del key
        return init_affine(self.rep, self.channels, dtype)

    def init_state(self, *, dtype: DTypeLike | None = None) -> Params:
        """Running averages of features of mean zero and variance one.

        Args:
            dtype: Of the averages; default: JAX's default.

        Returns:
            A dict with "variance", and "mean" if some term has one, shaped like "scale"
            and "shift".
        """
        terms, dtype = terms_of(self.rep, self.channels), default_dtype(dtype)
        state = {"variance": terms.full(1.0, dtype)}
        centered = terms.only(is_centered(terms))
        return state | ({"mean": centered.full(0.0, dtype)} if centered.terms else {})

    def apply(
        self,
        params: Params,
        state: Params,
        x: Feature,
        *,
        axis_name: Hashable | None = None,
        use_running: bool = False,
    ) -> tuple[Feature, Params]:
        """The normalized feature, and the next state.

        Args:
            params: What `init` returns.
            state: What `init_state` or the last call returned.
            x: A feature, shape (*grid, dim, channels), or a dict for ragged ones.
            axis_name: Names of mapped axes to average statistics over: of `jax.vmap`,
                of `jax.shard_map`, or a tuple of these. JAX reduces over both together
                only under `jax.shard_map(..., check_vma=False)`.
            use_running: Whether to normalize by the running averages, which then stay
                as they are.

        Returns:
            A feature like `x`, and the state.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        terms = terms_of(self.rep, self.channels)
        parts = [widen(part) for part in terms.split(x)]
        running = self._running(terms, state)
        found = running
        if not use_running:
            pairs = zip(parts, is_centered(terms), strict=True)
            found = [_moments(part, mean, axis_name) for part, mean in pairs]
            state = self._next(terms, state, found)
        shifts = iter(
            terms.only(is_centered(terms)).unpack(params["shift"])
            if "shift" in params
            else ()
        )
        dtype = jax.tree.leaves(x)[0].dtype
        normalized = []
        for part, scale, (mean, variance) in zip(
            parts, terms.unpack(params["scale"]), found, strict=True
        ):
            # Factors are joined while they are small.
            root = jax.lax.rsqrt(variance.astype(part.dtype) + self.epsilon)
            factor = beside(root * scale.astype(part.dtype), part)
            if mean is None:
                y = part * factor
            else:
                y = (part - beside(mean, part)) * factor + beside(next(shifts), part)
            normalized.append(y.astype(dtype))
        return terms.join(normalized), state

    def _running(self, terms: Terms, state: Params) -> list[_Moments]:
        """The running averages of each term."""
        centered = is_centered(terms)
        means = iter(
            terms.only(centered).unpack(state["mean"]) if any(centered) else ()
        )
        return [
            (next(means) if mean else None, variance)
            for mean, variance in zip(
                centered, terms.unpack(state["variance"]), strict=True
            )
        ]

    def _next(self, terms: Terms, state: Params, found: Sequence[_Moments]) -> Params:
        """The running averages after this batch."""
        means = [mean for mean, _ in found if mean is not None]
        new = {"variance": terms.pack([variance for _, variance in found])}
        if means:
            new["mean"] = terms.only(is_centered(terms)).pack(means)

        def blend(old: Array, new: Array) -> Array:
            return self.momentum * old + (1 - self.momentum) * new.astype(old.dtype)

        return jax.tree.map(blend, state, new)


# Mean, where there is one, and variance, of shape (copies, channels).
_Moments = tuple[Array | None, Array]


def _moments(x: Array, centered: bool, axis_name: Any) -> _Moments:
    """The statistics of a part (*grid, copies, dim, channels).

    In one pass over the data: E[(x - r)^2] - E[x - r]^2. With r = 0 the difference
    would cancel where the mean is large; the mean r of the first row of the grid is
    near enough, since one that is not makes the variance large.
    """

    def average(x: Array) -> Array:
        # The grid first, whose sums run over contiguous rows.
        mean = jnp.mean(jnp.mean(x, axis=tuple(range(x.ndim - 3))), axis=-2)
        return mean if axis_name is None else jax.lax.pmean(mean, axis_name)

    if not centered:
        return None, average(x * x)
    row = x if x.ndim == 3 else x[:1]
    reference = jax.lax.stop_gradient(average(row))
    shifted = x - beside(reference, x)
    mean, square = average(shifted), average(shifted * shifted)
    return mean + reference, jnp.maximum(square - mean * mean, 0)
