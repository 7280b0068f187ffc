"""What may be added to a feature: vectors that no element of the group moves."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import check_same_dtype
from eqjax._core._specs import register_spec
from eqjax.nn._features import (
    Feature,
    Params,
    check_channels,
    check_feature,
    default_dtype,
    multiplicities,
)
from eqjax.nn._layer import KeepsRep
from eqjax.reps import Irrep, Rep, hom, trivial
from eqjax.reps._irrep import family


@register_spec
@dataclass(frozen=True)
class Bias(KeepsRep):
    """Adds an invariant vector to each channel, learned, zero at the start.

        y[:, c] = x[:, c] + sum_k w[k, c] b_k

    with an orthonormal basis b_k of the vectors that the group leaves alone. Where
    there are none, as for a vector under rotations, it has no parameters and does
    nothing. See `Linear` for the layouts of features; any leading axes are those of a
    grid, whose points get the same.

    Args:
        rep: Representation of the feature.
        channels: Number of channels of a dense feature; None where the multiplicities
            of a sum of irreps are the channels.

    Raises:
        ValueError: If the channels do not fit.

    Example:
        >>> import jax
        >>> from eqjax import groups, nn, reps
        >>> G = groups.SO(3)
        >>> layer = nn.Bias(reps.standard(G) ** 2, 5)  # multiples of the identity
        >>> layer.init(key=jax.random.key(0))["weights"].shape
        (1, 5)
        >>> nn.Bias(reps.standard(G), 5).init(key=jax.random.key(0))
        {}
    """

    rep: Any
    channels: int | None = None

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_channels("channels", self.rep, self.channels)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Zeros, (vectors, channels), or (multiplicity,) of the trivial irrep by name.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: Not used: every layer with parameters takes one.

        Returns:
            The parameters; empty where nothing is invariant.
        """
        dtype = default_dtype(dtype)
        if self.channels is None:
            irrep = _trivial(self.rep)
            count = multiplicities(self.rep).get(irrep, 0)
            return {irrep.name: jnp.zeros(count, dtype)} if count else {}
        num = len(_invariants(self.rep))
        return {"weights": jnp.zeros((num, self.channels), dtype)} if num else {}

    def apply(self, params: Params, x: Feature) -> Feature:
        """The sum, for one feature.

        Args:
            params: As `init` makes them.
            x: A feature, of the dtype of the parameters.

        Returns:
            A feature like `x`.

        Raises:
            ValueError: If shapes or dtypes do not fit.
        """
        check_feature("x", x, self.rep, self.channels)
        if not params:
            return x
        if isinstance(x, dict):
            irrep = _trivial(self.rep)
            weights = params[irrep.name]
            check_same_dtype("params", weights, x[irrep])
            axes = tuple(range(x[irrep].ndim - 1))
            return x | {irrep: x[irrep] + jnp.expand_dims(weights, axes)}
        weights = params["weights"]
        check_same_dtype("params", weights, x)
        basis = jnp.asarray(_invariants(self.rep), x.dtype)
        added = jnp.tensordot(basis.T, weights, axes=1, precision="highest")
        return x + jnp.expand_dims(added, tuple(range(x.ndim - 2)))


@functools.lru_cache(maxsize=1024)
def _invariants(rep: Rep) -> np.ndarray:
    """Orthonormal rows, (vectors, rep.dim)."""
    return hom(trivial(rep.group), rep).basis[:, :, 0]


def _trivial(rep: Rep) -> Irrep:
    return Irrep(rep.group, family(rep.group).trivial)
