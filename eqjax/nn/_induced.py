"""Nonlinearities of induced representations, slot by slot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_condition, check_positive, check_size
from eqjax._core._specs import register_spec
from eqjax.nn._activations import (
    activation,
    activation_scale,
    check_activation,
    norm_activation_scale,
)
from eqjax.nn._features import Params, check_feature, default_dtype
from eqjax.nn._layer import KeepsRep
from eqjax.nn._norm_activation import scale_norms
from eqjax.nn._terms import Terms, check_orthogonal, entries, terms_of
from eqjax.reps import Rep, quotient
from eqjax.reps._induced import Induced


@register_spec
@dataclass(frozen=True)
class InducedNorm(KeepsRep):
    """Scales every slot of an induced representation by a function of its norm.

        y_t = x_t fn(n_t + b) / n_t,    n_t = sqrt(|x_t|^2 + epsilon^2),

    for the cosets t of the subgroup, with one weight b for each copy and channel. The
    group permutes slots and moves each by an orthogonal matrix, so that it commutes.
    Unlike `NormActivation`, which sees one norm of all slots, it keeps their
    differences. Finite derivatives at zero; computed in float32 or wider.

    Args:
        rep: A sum of representations made by `reps.induce` from orthogonal ones, and
            of those by permutations, whose slots have one component.
        channels: Number of channels.
        fn: Name of the function, see `Pointwise`.
        normalize: Whether to multiply by (E[fn(|z|)^2] / dim)^(-1/2), z ~ N(0, I), so
            that features of size one stay so.
        epsilon: Far below the size of features, which is one; positive.

    Raises:
        ValueError: If the function is unknown, or a term is not induced.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> arrow = reps.standard(groups.Cyclic(3))
        >>> rep = reps.induce(arrow, groups.Dihedral(3))
        >>> layer = nn.InducedNorm(rep, 1, fn="square", normalize=False)
        >>> params = layer.init(key=jax.random.key(0))
        >>> x = jnp.array([[3.0], [4.0], [1.0], [0.0]])
        >>> layer.apply(params, x).round(3).ravel().tolist()
        [15.0, 20.0, 1.0, 0.0]

    References:
        Weiler, Cesa, "General E(2)-equivariant steerable CNNs" (2019), section 2.7.
    """

    rep: Rep
    channels: int
    fn: str = field(default="silu", kw_only=True)
    normalize: bool = field(default=True, kw_only=True)
    epsilon: float = field(default=1e-4, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("channels", self.channels)
        check_activation("fn", self.fn)
        check_positive("epsilon", self.epsilon)
        for term in _induced_terms("InducedNorm", self.rep, self.channels).terms:
            check_orthogonal("InducedNorm", term.rep, "`InducedGate` needs no norms.")

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """No bias.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: Not used: nothing is random.

        Returns:
            A dict with "bias": zeros of shape (copies, channels).
        """
        del key
        terms = terms_of(self.rep, self.channels)
        return {"bias": terms.full(0.0, default_dtype(dtype))}

    def apply(
        self, params: Params, x: Float[Array, "*grid dim channels"]
    ) -> Float[Array, "*grid dim channels"]:
        """The scaled feature.

        Args:
            params: What `init` returns.
            x: A feature, on any grid.

        Returns:
            A feature like `x`.

        Raises:
            ValueError: If it is no feature of `rep`.
        """
        check_feature("x", x, self.rep, self.channels)
        terms = terms_of(self.rep, self.channels)
        biases, parts = terms.unpack(params["bias"]), []
        for term, part, bias in zip(terms.terms, terms.split(x), biases, strict=True):
            dim = _slot_dim(term.rep)
            slots = part.reshape(*x.shape[:-2], -1, dim, self.channels)
            num_cosets = term.rep.dim // dim
            scale = norm_activation_scale(self.fn, dim) if self.normalize else 1.0
            fn = activation(self.fn, scale=scale)
            bias = jnp.repeat(bias, num_cosets, axis=0)
            parts.append(scale_norms(slots, bias, fn, self.epsilon).reshape(part.shape))
        return jnp.asarray(terms.join(parts))


@register_spec
@dataclass(frozen=True)
class InducedGate:
    """Gates for the slots of induced representations: every coset has its own.

        y_t = fn_gate(g_t) x_t,

    where the gates g are a feature of the quotient representation on the same cosets.
    Components that are only permuted, as what is induced from a trivial representation,
    go through fn_scalar instead. It commutes with the group.

    `rep_in` is `rep` and, at its end, one quotient representation for each gated copy,
    in the order of the terms.

    Args:
        rep: A sum of representations made by `reps.induce`, and of those by
            permutations.
        channels: Number of channels.
        fn_scalar: Name of the function of what is only permuted, see `Pointwise`.
        fn_gate: Name of the function of gates.
        normalize: Whether to multiply both by E[fn(z)^2]^(-1/2), z ~ N(0, 1), so that
            features of size one stay so.

    Raises:
        ValueError: If a function is unknown, or a term is not induced.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> arrow = reps.standard(groups.Cyclic(3))
        >>> rep = reps.induce(arrow, groups.Dihedral(3))
        >>> layer = nn.InducedGate(rep, 1, normalize=False)
        >>> layer.rep_in.dim
        6
        >>> x = jnp.array([[1.0], [2.0], [3.0], [4.0], [0.0], [-1e9]])
        >>> layer.apply(x).ravel().tolist()
        [0.5, 1.0, 0.0, 0.0]

    References:
        Weiler, Cesa, "General E(2)-equivariant steerable CNNs" (2019), section 2.7.
    """

    rep: Rep
    channels: int
    fn_scalar: str = field(default="silu", kw_only=True)
    fn_gate: str = field(default="sigmoid", kw_only=True)
    normalize: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("channels", self.channels)
        check_activation("fn_scalar", self.fn_scalar)
        check_activation("fn_gate", self.fn_gate)
        _induced_terms("InducedGate", self.rep, self.channels)

    @property
    def group(self) -> Any:
        """The group."""
        return self.rep.group

    @property
    def rep_in(self) -> Rep:
        """The representation of the argument: `rep` and the gates."""
        rep = self.rep
        for term in self._gated.terms:
            assert isinstance(term.rep, Induced)
            rep = rep + term.copies * quotient(self.group, term.rep.rep.group)
        return rep

    @property
    def rep_out(self) -> Rep:
        """The representation of the result."""
        return self.rep

    def apply(
        self, x: Float[Array, "*grid dim_in channels"]
    ) -> Float[Array, "*grid dim channels"]:
        """The gated feature.

        Args:
            x: A feature of `rep_in`, on any grid.

        Returns:
            A feature of `rep`.

        Raises:
            ValueError: If it is no feature of `rep_in`.
        """
        check_feature("x", x, self.rep_in, self.channels)
        terms, gated = terms_of(self.rep, self.channels), self._gated
        gates = x[..., self.rep.dim :, :]
        sizes = [t.copies * t.rep.dim // _slot_dim(t.rep) for t in gated.terms]
        factors = iter(
            jnp.split(self._fn(self.fn_gate)(gates), np.cumsum(sizes[:-1]), axis=-2)
        )
        parts = []
        for term, part in zip(
            terms.terms, terms.split(x[..., : self.rep.dim, :]), strict=True
        ):
            if entries(term.rep) == "permuted":
                parts.append(self._fn(self.fn_scalar)(part))
                continue
            dim = _slot_dim(term.rep)
            slots = part.reshape(*x.shape[:-2], -1, dim, self.channels)
            parts.append((slots * next(factors)[..., None, :]).reshape(part.shape))
        return jnp.asarray(terms.join(parts))

    @property
    def _gated(self) -> Terms:
        terms = terms_of(self.rep, self.channels)
        return terms.only([entries(term.rep) != "permuted" for term in terms.terms])

    def _fn(self, name: str) -> Any:
        scale = activation_scale(name) if self.normalize else 1.0
        return activation(name, scale=scale)


def _induced_terms(layer: str, rep: Rep, channels: int) -> Terms:
    """The terms, which must consist of slots."""
    terms = terms_of(rep, channels)
    for term in terms.terms:
        check_condition(
            isinstance(term.rep, Induced) or entries(term.rep) == "permuted",
            f"`rep` of `{layer}` must be a sum of representations made by "
            f"`reps.induce`, or by permutations, got {term.rep}. Use `Gate` or "
            "`NormActivation`.",
        )
    return terms


def _slot_dim(rep: Rep) -> int:
    """The number of components of one slot."""
    return rep.rep.dim if isinstance(rep, Induced) else 1
