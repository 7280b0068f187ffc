"""Equivariant multilayer perceptrons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax._core._checks import check_condition, check_positive, check_size
from eqjax._core._dense import split_named
from eqjax._core._specs import register_spec
from eqjax.nn._bilinear import Bilinear
from eqjax.nn._features import Feature, Params, Precision, multiplicities
from eqjax.nn._gate import Gate
from eqjax.nn._linear import Linear, channels_of_irreps, check_linear
from eqjax.reps._rep import check_same_group


@register_spec
@dataclass(frozen=True)
class EquivariantMLP:
    """A multilayer perceptron that commutes with a group: linear maps, products, gates.

    Each of `depth` blocks makes two linear maps of its input, with biases, adds their
    product to the first, and the gated result to itself; a linear map ends it:

        u, v = A x + a, B x + b
        z = u + product_scale (u x v)        (`Bilinear`, depthwise)
        x' = z + gate_scale gate(z)          (`Gate`, without its gates in the sum)

    The path around the gate keeps polynomials exact: with n blocks they have degree
    2^n. Products are what makes scalars of vectors, and higher tensors.

    See `Linear` for the layouts of features. Hidden features are split into irreps;
    their multiplicities are what an ordinary network calls its width.

    Args:
        rep_in: Representation of the input.
        rep_out: Representation of the result.
        channels_in: Number of channels of the input, or None.
        channels_out: Number of channels of the result, or None.
        hidden: Representation of hidden features, a sum of irreps, such as
            `reps.uniform(group, 384)`.
        depth: Number of blocks.
        product_scale: Size of products beside linear maps.
        gate_scale: Size of the gated features beside the others.
        precision: Of products with weights.

    Raises:
        ValueError: If the groups differ, or a field does not fit.

    Example:
        >>> import jax
        >>> from eqjax import groups, nn, reps
        >>> G = groups.O(3)
        >>> vector, scalar = reps.standard(G), reps.trivial(G)
        >>> layer = nn.EquivariantMLP(
        ...     5 * scalar + 5 * vector, vector**2, 1, 1, hidden=reps.uniform(G, 64)
        ... )
        >>> params = layer.init(key=jax.random.key(0))
        >>> layer.apply(params, jax.numpy.ones((20, 1))).shape
        (9, 1)

    References:
        Finzi, Welling, Wilson, "A practical method for constructing equivariant
        multilayer perceptrons for arbitrary matrix groups" (2021), section 6: linear
        maps, bilinear layers and gates. There the second factor is the first, in
        another order, and nothing goes around the gate.
    """

    rep_in: Any
    rep_out: Any
    channels_in: int | None = None
    channels_out: int | None = None
    hidden: Any = field(kw_only=True)
    depth: int = field(default=3, kw_only=True)
    product_scale: float = field(default=0.5, kw_only=True)
    gate_scale: float = field(default=0.1, kw_only=True)
    precision: Precision = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_linear(self)
        check_same_group(self.rep_in, self.hidden)
        hidden = multiplicities(self.hidden)
        for side in ("in", "out"):
            rep, channels = (
                getattr(self, f"rep_{side}"),
                getattr(self, f"channels_{side}"),
            )
            missing = [r for r in channels_of_irreps(rep, channels) if r not in hidden]
            check_condition(
                not missing,
                f"`hidden` must have every irrep of `rep_{side}`, which else would "
                f"have no part in the result; missing: {missing}. Add them.",
            )
        check_size("depth", self.depth)
        check_positive("product_scale", self.product_scale, zero=True)
        check_positive("gate_scale", self.gate_scale, zero=True)

    @property
    def group(self) -> Any:
        """The group of both representations."""
        return self.rep_in.group

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Random weights, zero biases.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: A random key.

        Returns:
            {"block_0": {"left", "right", "product"}, .., "out"}.

        """
        names = [*(f"block_{i}" for i in range(self.depth)), "out"]
        keys = split_named(key, names)
        params: Params = {"out": self._out.init(dtype=dtype, key=keys["out"])}
        for name, (linear, product) in zip(names[:-1], self._blocks, strict=True):
            parts = split_named(keys[name], ["left", "right", "product"])
            params[name] = {
                "left": linear.init(dtype=dtype, key=parts["left"]),
                "right": linear.init(dtype=dtype, key=parts["right"]),
                "product": product.init(dtype=dtype, key=parts["product"]),
            }
        return params

    def apply(self, params: Params, x: Feature) -> Feature:
        """The result for one feature, at every point of its grid.

        Args:
            params: As `init` makes them.
            x: A feature of `rep_in`, of the dtype of the parameters.

        Returns:
            A feature of `rep_out`.

        Raises:
            ValueError: If shapes or dtypes do not fit.
        """
        gate = Gate(self.hidden)
        for i, (linear, product) in enumerate(self._blocks):
            weights = params[f"block_{i}"]
            u = linear.apply(weights["left"], x)
            v = linear.apply(weights["right"], x)
            uv = product.apply(weights["product"], u, v)
            z = jax.tree.map(lambda a, b: a + self.product_scale * b, u, uv)
            # The gates are the last ones of the scalars, which the sum leaves out.
            gated: Any = gate.apply(z)
            x = {
                irrep: z[irrep][..., : part.shape[-1]] + self.gate_scale * part
                for irrep, part in gated.items()
            }
        return self._out.apply(params["out"], x)

    @property
    def _blocks(self) -> list[tuple[Linear, Bilinear]]:
        """The linear map of both factors, and the product."""
        gated = Gate(self.hidden).rep_in
        product = Bilinear(gated, gated, precision=self.precision)
        first = self._linear(self.rep_in, self.channels_in, gated, None)
        others = self._linear(self.hidden, None, gated, None)
        return [(others if i else first, product) for i in range(self.depth)]

    @property
    def _out(self) -> Linear:
        return self._linear(self.hidden, None, self.rep_out, self.channels_out)

    def _linear(self, a: Any, channels_a: Any, b: Any, channels_b: Any) -> Linear:
        return Linear(a, b, channels_a, channels_b, bias=True, precision=self.precision)
