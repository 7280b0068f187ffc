"""Rotation invariants of images: magnitudes of orthogonal moments."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_floating,
    check_positive,
    check_size,
)
from eqjax._core._specs import register_spec

MomentFamily: TypeAlias = Literal[
    "zernike", "pseudo-zernike", "orthogonal-fourier-mellin"
]
_FAMILIES = ("zernike", "pseudo-zernike", "orthogonal-fourier-mellin")


@register_spec
@dataclass(frozen=True)
class MomentHead:
    """Invariants of scalar images under rotation: what is left of moments on a disk.

    On the unit disk inscribed in the image, summed over pixels of area dA,

        A_nm = (n + 1) / pi  sum f(r, th) R_nm(r) e^(-i m th) dA,

    which a rotation of the image by an angle a multiplies by e^(-i m a), and a
    reflection turns into its conjugate, up to such a factor. Features are A_n0, and
    (|A_nm|^2 + epsilon^2)^(1/2) for m > 0. They are invariant under rotations by 90
    degrees and flips to rounding. Under other rotations they are as far as sums over
    pixels are integrals: for a smooth image and smooth R_nm(r) e^(i m th). The last
    columns are the changes of a sum of Gaussians turned by 37 degrees, on 25 x 25 and
    64 x 64 pixels, up to order 8, relative to the largest feature.

    | family | R_nm(r) | orders | 25 | 64 |
    |---|---|---|---|---|
    | "zernike" | r^m P_k^(0, m)(2 r^2 - 1), 2 k = n - m even | m <= n | 2e-10 | 2e-11 |
    | "pseudo-zernike" | r^m P_(n - m)^(0, 2 m + 1)(2 r - 1) | m <= n | 2e-3 | 4e-6 |
    | "orthogonal-fourier-mellin" | P_n^(0, 1)(2 r - 1) | m <= max_order | 0.17 | 0.13 |

    The last family has no limit at the centre for m > 0. P are Jacobi polynomials, by
    their recurrence, which is accurate at orders where sums of factorials are not. 2
    (n + 1) times the integral of R_nm R_n'm r dr over [0, 1] is 1 for n = n', 0
    otherwise.

    Args:
        family: The radial polynomials.
        max_order: The largest n, at least 0.
        size: Height and width of the images, pixels.
        pairs: Whether to add the real and imaginary parts of A_nm times the conjugate
            of A_n'm, for n < n' and m > 0. They keep phases between moments, are
            invariant under rotations too, but the imaginary ones change sign under
            reflections.
        epsilon: Keeps derivatives finite where a moment is zero; positive.

    Raises:
        ValueError: If the family is unknown or a number out of its range.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import nn
        >>> head = nn.MomentHead("zernike", 3, 9)
        >>> head.orders
        ((0, 0), (1, 1), (2, 0), (2, 2), (3, 1), (3, 3))
        >>> x = jnp.linspace(0.0, 1.0, 81).reshape(9, 9, 1)
        >>> change = head.apply(x) - head.apply(jnp.rot90(x))
        >>> bool(jnp.all(jnp.abs(change) < 1e-5))
        True

    References:
        Teague, "Image analysis via the general theory of moments" (1980), eq. 55; Teh,
        Chin, "On image analysis by the methods of moments" (1988), eq. 14; Sheng, Shen,
        "Orthogonal Fourier-Mellin moments for invariant pattern recognition" (1994),
        eq. 1.
    """

    family: MomentFamily
    max_order: int
    size: int
    pairs: bool = field(default=False, kw_only=True)
    epsilon: float = field(default=1e-6, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("family", self.family, _FAMILIES)
        check_size("max_order", self.max_order, minimum=0)
        check_size("size", self.size)
        check_positive("epsilon", self.epsilon)

    @property
    def orders(self) -> tuple[tuple[int, int], ...]:
        """The pairs (n, m), m >= 0, of the moments, sorted."""
        return _orders(self.family, self.max_order)

    @property
    def num_features(self) -> int:
        """Number of features of one channel."""
        added = 2 * len(_pairs(self.orders)[0]) if self.pairs else 0
        return len(self.orders) + added

    def moments(
        self, x: Float[Array, "size size *channels"]
    ) -> Complex[Array, "moments *channels"]:
        """The moments A_nm, in the order of `orders`.

        Args:
            x: An image; rows run downwards, so that y = centre - row.

        Returns:
            The moments of every channel.

        Raises:
            ValueError: If the image has another size.
        """
        parts = self._parts(x)
        return jax.lax.complex(parts[:, 0], parts[:, 1])

    def apply(
        self, x: Float[Array, "size size *channels"]
    ) -> Float[Array, "features *channels"]:
        """The invariants.

        Args:
            x: An image of scalars, such as `GroupPool` makes of regular features: shape
                (size, size, *channels).

        Returns:
            A feature for each of `orders`, then, with `pairs`, the real and then the
            imaginary parts of products.

        Raises:
            ValueError: If the image has another size.
        """
        parts = self._parts(x)
        real, imaginary = parts[:, 0], parts[:, 1]
        square = real * real + imaginary * imaginary + self.epsilon**2
        is_invariant = np.array([m == 0 for _, m in self.orders])
        is_invariant = is_invariant.reshape(-1, *[1] * (real.ndim - 1))
        features = [jnp.where(is_invariant, real, jnp.sqrt(square))]
        if self.pairs:
            a, b = _pairs(self.orders)
            features += [
                real[a] * real[b] + imaginary[a] * imaginary[b],
                imaginary[a] * real[b] - real[a] * imaginary[b],
            ]
        return jnp.concatenate(features)

    def _parts(self, x: Array) -> Array:
        """Real and imaginary parts of the moments, (moments, 2, *channels)."""
        check_condition(
            getattr(x, "shape", ())[:2] == (self.size, self.size),
            f"`x` must be an image of shape ({self.size}, {self.size}, *channels), got "
            f"{getattr(x, 'shape', type(x).__name__)}.",
        )
        check_floating("x", x)
        basis = _basis(self.family, self.max_order, self.size)
        return jnp.tensordot(jnp.asarray(basis, x.dtype), x, 2, precision="highest")


def radial_polynomials(
    family: str, max_order: int, r: np.ndarray
) -> dict[tuple[int, int], np.ndarray]:
    """R_nm at radii r (NumPy float64), by the orders (n, m)."""
    found = {}
    for m in range(max_order + 1):
        if family == "zernike":
            size, exponent, inner, step = (max_order - m) // 2, m, 2 * r * r - 1, 2
        elif family == "pseudo-zernike":
            size, exponent, inner, step = max_order - m, 2 * m + 1, 2 * r - 1, 1
        else:
            size, exponent, inner, step = max_order, 1, 2 * r - 1, 1
        is_free = family == "orthogonal-fourier-mellin"
        values = _jacobi(size, exponent, inner) * (1 if is_free else r**m)
        for k, value in enumerate(values):
            found[k if is_free else m + step * k, m] = value
    return {order: found[order] for order in sorted(found)}


def _orders(family: str, max_order: int) -> tuple[tuple[int, int], ...]:
    return tuple(radial_polynomials(family, max_order, np.zeros(1)))


def _pairs(orders: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Indices of pairs with the same m > 0."""
    found = [
        (i, j)
        for i, (_, m) in enumerate(orders)
        for j in range(i + 1, len(orders))
        if m > 0 and orders[j][1] == m
    ]
    first, second = np.array(found, int).reshape(-1, 2).T
    return first, second


def _jacobi(size: int, b: int, x: np.ndarray) -> np.ndarray:
    """Jacobi polynomials P_k^(0, b) for k = 0, .., size (NIST DLMF 18.9.2)."""
    values = [np.ones_like(x)]
    if size > 0:
        values.append(1 + (b + 2) * (x - 1) / 2)
    for k in range(2, size + 1):
        c = 2 * k + b
        slope = (c - 1) * c * (c - 2)
        shift = -(c - 1) * b**2
        last = 2 * (k - 1) * (k + b - 1) * c
        scale = 2 * k * (k + b) * (c - 2)
        values.append(((slope * x + shift) * values[-1] - last * values[-2]) / scale)
    return np.array(values)


@functools.lru_cache(maxsize=32)
def _basis(family: str, max_order: int, size: int) -> np.ndarray:
    """Real and imaginary parts (moments, 2, size, size), times areas of pixels."""
    x = (2 * np.arange(size) + 1 - size) / size
    x, y = x[None, :], -x[:, None]
    r, angle = np.sqrt(x * x + y * y), np.arctan2(y, x)
    radial = radial_polynomials(family, max_order, r)
    found = []
    for (n, m), values in radial.items():
        # At the centre all angles meet, and cancel.
        is_inside = (r <= 1) & ((r > 0) | (m == 0))
        weighted = np.where(is_inside, values, 0) * (n + 1) / np.pi * (2 / size) ** 2
        found.append([weighted * np.cos(m * angle), -weighted * np.sin(m * angle)])
    basis = np.array(found)
    basis.setflags(write=False)
    return basis
