"""Features of a place on the sphere, and networks on them."""

from __future__ import annotations

from dataclasses import dataclass

from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax import o3
from eqjax._core._checks import check_condition, check_size
from eqjax._core._dense import Params
from eqjax._core._specs import register_spec
from eqjax.fields._siren import Siren


@register_spec
@dataclass(frozen=True)
class SphericalHarmonicEncoder:
    """The orthonormal real harmonics of degrees 0, .., L of a unit vector.

        Y(R x) = D(R) Y(x),  integral over the sphere of Y_i Y_j = delta_ij

    It is steerable: rotations and reflections act on the features by the orthogonal
    matrices D of `degrees`. As the harmonics are polynomials in x, with no longitude
    or latitude inside, the poles are points like all others.

    Args:
        max_degree: The largest degree L, at least 0. Publications that count degrees
            0, .., L - 1 have L one larger.

    Raises:
        ValueError: If the degree is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import fields
        >>> encoder = fields.SphericalHarmonicEncoder(9)
        >>> encoder.dim, encoder(jnp.array([0.0, 0.0, 1.0])).shape
        (100, (100,))

    References:
        Russwurm, Klemmer, Rolf, Zbinden, Tuia, "Geographic location encoding with
        spherical harmonics and sinusoidal representation networks" (2024), section 3.
    """

    max_degree: int

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("max_degree", self.max_degree, minimum=0)

    @property
    def degrees(self) -> o3.Degrees:
        """The representation D of O(3) on the features."""
        return o3.Degrees(self.max_degree)

    @property
    def dim(self) -> int:
        """Number of features, (L + 1)^2."""
        return self.degrees.dim

    def __call__(self, x: Float[Array, "3"]) -> Float[Array, " features"]:
        """The features of ONE unit vector, in the order of `o3.spherical_harmonics`.

        Raises:
            ValueError: If `x` is no vector of size 3.
        """
        return o3.spherical_harmonics(self.max_degree, x, normalization="integral")


@register_spec
@dataclass(frozen=True)
class LocationEncoder:
    """A network of sines that reads the spherical harmonics of a place.

    f(x) = head(Y(x)): a field on the sphere without distortions at the poles and
    without a seam. The degree bounds the detail of its input, 180 / L degrees; the
    network goes beyond. To turn the field by R, multiply the kernel of the first layer
    from the left by D(R): no axis is special to the fields that it can represent.

    Args:
        encoder: The features.
        head: The network, with `head.num_in == encoder.dim`.

    Raises:
        ValueError: If the head has another number of inputs.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields
        >>> field = fields.LocationEncoder(
        ...     fields.SphericalHarmonicEncoder(9), fields.Siren(100, 1))
        >>> params = field.init(key=jax.random.key(0))
        >>> field.apply(params, jnp.array([0.0, 0.0, 1.0])).shape
        (1,)

    References:
        Russwurm, Klemmer, Rolf, Zbinden, Tuia, "Geographic location encoding with
        spherical harmonics and sinusoidal representation networks" (2024), section 3.
    """

    encoder: SphericalHarmonicEncoder
    head: Siren

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_condition(
            self.head.num_in == self.encoder.dim,
            f"`head.num_in` must be {self.encoder.dim}, the number of harmonics up to "
            f"degree {self.encoder.max_degree}, got {self.head.num_in}.",
        )

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Parameters of the head."""
        return self.head.init(dtype=dtype, key=key)

    def apply(self, params: Params, x: Float[Array, "3"]) -> Float[Array, " num_out"]:
        """The field at ONE unit vector; batch with `jax.vmap`."""
        return self.head.apply(params, self.encoder(x))
