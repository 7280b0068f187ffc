"""Networks of sines."""

from __future__ import annotations

from dataclasses import dataclass

from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_positive, check_shape, check_size
from eqjax._core._dense import Params
from eqjax._core._specs import register_spec
from eqjax.nn._siren import init_siren, siren


@register_spec
@dataclass(frozen=True)
class Siren:
    """Layers sin(w0 (W x + b)), and a linear one.

    W and b start uniform in +-1/num_in in the first layer and in +-sqrt(6/fan_in)/w0
    in all others (in the linear one with the w0 of the hidden ones), so that phases
    and results are of size one at any width and depth.

    Args:
        num_in: Size of the input.
        num_out: Size of the output.
        hidden: Width of the sine layers.
        num_layers: Number of sine layers; 0 leaves the linear layer alone.
        first_frequency: w0 of the first layer; the field varies over lengths of
            num_in / w0 and more.
        hidden_frequency: w0 of the other layers.

    Raises:
        ValueError: If a size or a frequency is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import fields
        >>> network = fields.Siren(2, 3, hidden=16)
        >>> params = network.init(key=jax.random.key(0))
        >>> network.apply(params, jnp.ones(2)).shape
        (3,)

    References:
        Sitzmann, Martel, Bergman, Lindell, Wetzstein, "Implicit neural representations
        with periodic activation functions" (2020), section 3.2.
    """

    num_in: int
    num_out: int
    hidden: int = 64
    num_layers: int = 2
    first_frequency: float = 30.0
    hidden_frequency: float = 1.0

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("num_in", self.num_in)
        check_size("num_out", self.num_out)
        check_size("hidden", self.hidden)
        check_size("num_layers", self.num_layers, minimum=0)
        check_positive("first_frequency", self.first_frequency)
        check_positive("hidden_frequency", self.hidden_frequency)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Parameters as a nested dict, {"sine_0", ..., "linear"}."""
        return init_siren(
            self.num_in,
            self.num_out,
            self.first_frequency,
            1 / self.hidden_frequency,
            hidden_frequency=self.hidden_frequency,
            width=self.hidden,
            depth=self.num_layers,
            output_bias=True,
            dtype=dtype,
            key=key,
        )

    def apply(
        self, params: Params, x: Float[Array, " num_in"]
    ) -> Float[Array, " num_out"]:
        """The output for ONE input; batch with `jax.vmap`.

        Raises:
            ValueError: If `x` has another shape.
        """
        check_shape("x", x, (self.num_in,), remedy="Use `jax.vmap` for many inputs.")
        return siren(
            params, self.first_frequency, x, hidden_frequency=self.hidden_frequency
        )
