"""Attention between the nodes of a set, with invariant weights."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key

from eqjax._core._checks import check_condition, check_shape, check_size
from eqjax._core._dense import split_named
from eqjax._core._specs import register_spec
from eqjax.nn._features import (
    Feature,
    Params,
    Precision,
    check_channels,
    check_feature,
    default_dtype,
    multiplicities,
    unit_variance,
)
from eqjax.nn._layer import KeepsRep
from eqjax.nn._linear import Linear
from eqjax.reps import Irrep, decompose


@register_spec
@dataclass(frozen=True)
class Attention(KeepsRep):
    """Multi-head attention between the nodes of a set.

    Queries q, keys k and values v are linear in the features of the nodes; with
    invariant numbers e_ij of pairs of nodes, head h takes

        w_ij = softmax_j(<q_i, k_j> / sqrt(n) + sum_p e_ijp B_ph),
        y_i = O [sum_j w_ij v_j for each head]

    where the inner product runs over the n components and channels of a head. It is
    invariant because keys live in the dual representation: the same one if it is
    orthogonal, and with the metric applied for the Lorentz group. It costs
    N^2 n heads for N nodes, and memory N^2 heads.

    Features have one leading axis, the nodes: (nodes, rep.dim, channels), or
    {irrep: (nodes, irrep.dim, multiplicity)}; see `Linear`. Geometry enters by
    `pairs`, e.g. the invariants of pairs of points of `eqjax.spaces`.

    Args:
        rep: Representation of the features.
        channels: Number of channels; None where the multiplicities of a sum of irreps
            are the channels.
        heads: Number of heads; it divides the channels, or every multiplicity.
        num_invariants: How many invariants each pair of nodes has.
        precision: Of all products.

    Raises:
        ValueError: If the channels cannot be divided, or no irrep of `rep` is dual to
            another one, so that there are no inner products.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> layer = nn.Attention(reps.standard(groups.SO(3)), 4, heads=2)
        >>> params = layer.init(key=jax.random.key(0))
        >>> layer.apply(params, jnp.ones((5, 3, 4))).shape
        (5, 3, 4)

    References:
        Vaswani et al., "Attention is all you need" (2017), section 3.2.
        Fuchs, Worrall, Fischer, Welling, "SE(3)-transformers: 3D roto-translation
        equivariant attention networks" (2020), section 3.2.
    """

    rep: Any
    channels: int | None = None
    heads: int = field(default=1, kw_only=True)
    num_invariants: int = field(default=0, kw_only=True)
    precision: Precision = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_channels("channels", self.rep, self.channels)
        check_size("heads", self.heads)
        check_size("num_invariants", self.num_invariants, minimum=0)
        if self.channels is None:
            counts = multiplicities(self.rep)
            check_condition(
                len(_pairings(tuple(counts))) > 0,
                f"`rep` must hold an irrep and its dual, got {self.rep}. Add the duals "
                "of its irreps.",
            )
        else:
            counts = {self.rep: self.channels}
        for rep, count in counts.items():
            check_condition(
                count % self.heads == 0,
                f"`heads` must divide the {count} channels of {rep}, got {self.heads}.",
            )

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Random weights of the linear maps, zeros for the invariants of pairs.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: A random key.

        Returns:
            {"query", "key", "value", "out"}, and "pairs" (num_invariants, heads) where
            there are any.
        """
        keys = split_named(key, ["query", "key", "value", "out"])
        params: Params = {
            name: self._linear(name).init(dtype=dtype, key=keys[name]) for name in keys
        }
        if self.num_invariants:
            shape = (self.num_invariants, self.heads)
            params["pairs"] = jnp.zeros(shape, default_dtype(dtype))
        return params

    def apply(
        self,
        params: Params,
        x: Feature,
        *,
        pairs: Float[Array, "nodes nodes invariants"] | None = None,
        mask: Bool[Array, "nodes nodes"] | None = None,
    ) -> Feature:
        """What every node gathers from all nodes.

        Args:
            params: As `init` makes them.
            x: Features of the nodes, of the dtype of the parameters.
            pairs: Invariants of the pairs (i, j), shape (nodes, nodes, num_invariants);
                required if there are any.
            mask: Whether node i sees node j. A node that sees none gets zero. Default:
                all see all.

        Returns:
            Features like `x`.

        Raises:
            ValueError: If shapes or dtypes do not fit.
        """
        check_feature("x", x, self.rep, self.channels)
        leaf = jax.tree.leaves(x)[0]
        check_condition(
            leaf.ndim == 3,
            "`x` must have one axis of nodes before components and channels, got shape "
            f"{leaf.shape}. Use `jax.vmap` for a batch.",
        )
        nodes = len(leaf)
        query, keys, value = (
            self._heads(self._linear(name).apply(params[name], x))
            for name in ("query", "key", "value")
        )
        logits = self._logits(query, keys)
        if self.num_invariants:
            shape = (nodes, nodes, self.num_invariants)
            check_shape("pairs", pairs, shape, remedy="See `num_invariants`.")
            assert pairs is not None
            bias = jnp.tensordot(pairs, params["pairs"], 1, precision=self.precision)
            logits = logits + bias.transpose(2, 0, 1)
        if mask is not None:
            check_shape("mask", mask, (nodes, nodes))
            check_condition(
                mask.dtype == jnp.bool_,
                "`mask` must hold booleans, True where a node is seen, got "
                f"{mask.dtype}. Compare it with something.",
            )
        weights = _softmax(logits, mask)
        mixed = jax.tree.map(
            lambda v: jnp.einsum(
                "hij,jdch->idch", weights, v, precision=self.precision
            ),
            value,
        )
        y = jax.tree.map(lambda v: v.reshape(*v.shape[:2], -1), mixed)
        return self._linear("out").apply(params["out"], y)

    def _linear(self, name: str) -> Linear:
        # Ragged keys stay in their irreps; `_logits` pairs these.
        dual = name == "key" and self.channels is not None
        rep_out = self.rep.dual if dual else self.rep
        channels = self.channels
        return Linear(self.rep, rep_out, channels, channels, precision=self.precision)

    def _heads(self, x: Feature) -> Feature:
        """Channels apart, (nodes, dim, channels of a head, heads)."""
        return jax.tree.map(lambda a: a.reshape(*a.shape[:2], -1, self.heads), x)

    def _logits(self, query: Feature, keys: Feature) -> Array:
        """<q_i, k_j> / sqrt(n), (heads, nodes, nodes)."""
        pairs: list[tuple[Any, Any]] = [(query, keys)]
        if isinstance(query, dict) and isinstance(keys, dict):
            pairs = []
            for irrep, dual, metric in _pairings(tuple(query)):
                size = min(query[irrep].shape[2], keys[dual].shape[2])
                k = keys[dual]
                if metric is not None:
                    table = jnp.asarray(metric, k.dtype)
                    k = jnp.einsum("de,jech->jdch", table, k, precision="highest")
                pairs.append((query[irrep][:, :, :size], k[:, :, :size]))
        num_terms = sum(q.shape[1] * q.shape[2] for q, _ in pairs)
        total = sum(
            jnp.einsum("idch,jdch->hij", q, k, precision=self.precision)
            for q, k in pairs
        )
        return jnp.asarray(total) * unit_variance(num_terms)


@functools.lru_cache(maxsize=256)
def _pairings(
    irreps: tuple[Irrep, ...],
) -> tuple[tuple[Irrep, Irrep, np.ndarray | None], ...]:
    """Irreps, those equivalent to their duals, and the map to the dual."""
    found: list[tuple[Irrep, Irrep, np.ndarray | None]] = []
    for irrep in irreps:
        if irrep.is_orthogonal:
            found.append((irrep, irrep, None))
            continue
        decomposition = decompose(irrep.dual)
        ((dual, _),) = decomposition.terms
        if dual in irreps:
            found.append((irrep, dual, decomposition.basis))
    return tuple(found)


def _softmax(logits: Array, mask: Array | None) -> Array:
    """Over the last axis, zero where the mask is."""
    if mask is None:
        return jax.nn.softmax(logits, axis=-1)
    # A finite number: with -inf, rows that are masked altogether have NaN gradients.
    low = jnp.finfo(logits.dtype).min / 2
    weights = jax.nn.softmax(jnp.where(mask[None], logits, low), axis=-1)
    return jnp.where(mask[None], weights, 0)
