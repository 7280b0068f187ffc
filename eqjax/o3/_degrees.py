"""Features of all degrees up to a largest one, as a representation."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import block_diag
from jaxtyping import Array

from eqjax._core._checks import check_choice, check_size
from eqjax._core._specs import register_spec
from eqjax.groups import SO, Group, O
from eqjax.o3._wigner import wigner_d
from eqjax.reps import Irrep, Rep, irrep

Parity: TypeAlias = Literal["none", "natural", "both"]


@register_spec
@dataclass(frozen=True, order=True)
class Degrees(Rep):
    """One copy of each degree l = 0, .., L: the representation of `eqjax.o3`.

    A feature is an array (dim, channels). Component l^2 + l + m, m = -l, .., l, is the
    one of degree l and order m, in e3nn's real basis: l = 1 is (x, y, z), the polar
    axis is y, and negative orders are sines.

    | parity | group | irreps | dim |
    |---|---|---|---|
    | "none" | SO(3) | l | (L + 1)^2 |
    | "natural" | O(3) | l with the parity of harmonics, (-1)^l | (L + 1)^2 |
    | "both" | O(3) | all even ones, then all odd ones | 2 (L + 1)^2 |

    With "both", `x.reshape(2, (L + 1)**2, channels)` has the parities apart.

    Args:
        max_degree: The largest degree L, at least 0.
        parity: What the inversion does.

    Raises:
        ValueError: If the degree is negative or the parity unknown.

    Example:
        >>> from eqjax import o3
        >>> degrees = o3.Degrees(2)
        >>> degrees.dim, [rep.name for rep in degrees.irreps]
        (9, ['0e', '1o', '2e'])
        >>> o3.Degrees(1, parity="both").slices
        (slice(0, 1, None), slice(1, 4, None), slice(4, 5, None), slice(5, 8, None))
    """

    max_degree: int
    parity: Parity = "natural"

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("max_degree", self.max_degree, minimum=0)
        check_choice("parity", self.parity, ("none", "natural", "both"))

    @property
    def group(self) -> Group:  # pyright: ignore[reportIncompatibleVariableOverride]
        """SO(3), or O(3) where parities are kept."""
        return SO(3) if self.parity == "none" else O(3)

    @property
    def dim(self) -> int:
        """Number of components."""
        return (2 if self.parity == "both" else 1) * (self.max_degree + 1) ** 2

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """The irreps, in order."""
        return _irreps(self)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each irrep stands."""
        return _slices(self)

    def _rho(self, g: Any, dtype: Any) -> Array:
        turn = g if self.parity == "none" else g[0]
        rotation = SO(3).matrix(turn).astype(dtype)
        d = block_diag(*wigner_d(self.max_degree, rotation))
        if self.parity == "both":
            zero = jnp.zeros_like(d)
            d = jnp.block([[d, zero], [zero, d]])
        if self.parity == "none":
            return d
        signs = jnp.asarray(_signs(self), dtype)
        return jnp.where(g[1] % 2 == 0, d, signs[:, None] * d)

    def _matrix_at(self, m: np.ndarray) -> np.ndarray:
        return _block_diagonal([irrep._matrix_at(m) for irrep in self.irreps])

    def _algebra_at(self, x: np.ndarray) -> np.ndarray:
        return _block_diagonal([irrep._algebra_at(x) for irrep in self.irreps])


@functools.lru_cache(maxsize=256)
def _irreps(degrees: Degrees) -> tuple[Irrep, ...]:
    ls = range(degrees.max_degree + 1)
    if degrees.parity == "none":
        return tuple(irrep(SO(3), l) for l in ls)
    if degrees.parity == "natural":
        return tuple(irrep(O(3), (l, (-1) ** l)) for l in ls)
    return tuple(irrep(O(3), (l, parity)) for parity in (1, -1) for l in ls)


@functools.lru_cache(maxsize=256)
def _slices(degrees: Degrees) -> tuple[slice, ...]:
    stops = np.cumsum([irrep.dim for irrep in degrees.irreps]).tolist()
    return tuple(slice(a, b) for a, b in zip([0, *stops[:-1]], stops, strict=True))


def _signs(degrees: Degrees) -> np.ndarray:
    """What the inversion does to each component."""
    return np.concatenate([[rep.label[1]] * rep.dim for rep in degrees.irreps])


def _block_diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    sizes = [block.shape[-1] for block in blocks]
    total = np.zeros((*blocks[0].shape[:-2], sum(sizes), sum(sizes)))
    start = 0
    for block, size in zip(blocks, sizes, strict=True):
        total[..., start : start + size, start : start + size] = block
        start += size
    return total
