"""Linear maps in the frame of an edge, and the convolution built on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_condition, check_floating, check_shape, check_size
from eqjax._core._dense import Params, split_named
from eqjax._core._specs import register_spec
from eqjax.o3._align import Alignment, align, rotate, rotate_back, row_order
from eqjax.o3._constants import Precision
from eqjax.o3._degrees import Degrees


def so2_linear(
    params: Params,
    x: Float[Array, "num_rows channels_in"],
    *,
    radial: Float[Array, "degrees channels_in"] | None = None,
    precision: Precision = "highest",
) -> Float[Array, "num_rows_out channels_out"]:
    """Mixes degrees and channels of a feature in the frame of an edge.

        m = 0:  y_0 = W x_0 + b
        m > 0:  y_m = W_re x_m - W_im x_-m,  y_-m = W_re x_-m + W_im x_m

    W mixes all channels of all degrees l >= |m|: these are all linear maps that commute
    with rotations about the polar axis, the complex multiples of x_m + i x_-m. A mirror
    that holds the edge changes the sign of rows -m alone, so that those with W_im = 0
    commute with it too.

    Args:
        params: For each order m = 0, .., max_order a dict "order_m". That of order 0
            has "weight", shape (L + 1, channels_in, L' + 1, channels_out), and "bias",
            shape (L' + 1, channels_out); the others have "real", shape
            (L + 1 - m, channels_in, L' + 1 - m, channels_out), and "imag" of the same
            shape, or without reflections no "imag". L and L' are the largest degrees.
        x: Rows by order, as `rotate` returns them.
        radial: Multiplies x before, one number for each degree and channel.
        precision: Of the matrix products.

    Returns:
        Rows by order, of degrees up to L', for `rotate_back`.

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> import jax
        >>> from eqjax import o3
        >>> spec = o3.SO2Convolution(o3.Degrees(2), o3.Degrees(1), 4, 5)
        >>> params = spec.init(key=jax.random.key(0))
        >>> o3.so2_linear(params, jax.numpy.ones((7, 4))).shape
        (4, 5)

    References:
        Passaro, Zitnick, "Reducing SO(3) convolutions to SO(2) for efficient
        equivariant GNNs" (2023), section 3.
    """
    num_degrees, channels = params["order_0"]["weight"].shape[:2]
    num_rows = len(row_order(num_degrees - 1, len(params) - 1))
    check_shape("x", x, (num_rows, channels), remedy="They are `params`'s sizes.")
    if radial is not None:
        check_shape("radial", radial, (num_degrees, channels))
    start, parts = 0, []
    for m in range(len(params)):
        signs, size = 2 if m else 1, num_degrees - m
        rows = x[start : start + signs * size].reshape(signs, size, channels)
        start += signs * size
        if radial is not None:
            rows = rows * radial[None, m:]
        y = _mix(params[f"order_{m}"], rows, precision)
        parts.append(y.reshape(-1, y.shape[-1]))
    return jnp.concatenate(parts)


def _mix(order: Params, rows: Array, precision: Precision) -> Array:
    """The map of one order; rows (signs, degrees, channels)."""
    if "weight" in order:
        weight = order["weight"]
        y = _matmul(rows.reshape(1, -1), _flat(weight), precision)
        return y.reshape(1, *weight.shape[2:]) + order["bias"][None]
    real, shape = _flat(order["real"]), (2, *order["real"].shape[2:])
    if "imag" not in order:
        return _matmul(rows.reshape(2, -1), real, precision).reshape(shape)
    imag = _flat(order["imag"])
    # One real matrix: the fourth product costs less than slices of the results.
    both = jnp.concatenate(
        [jnp.concatenate([real, imag], axis=1), jnp.concatenate([-imag, real], axis=1)]
    )
    return _matmul(rows.reshape(-1), both, precision).reshape(shape)


def _flat(weight: Array) -> Array:
    a, b, c, d = weight.shape
    return weight.reshape(a * b, c * d)


def _matmul(x: Array, matrix: Array, precision: Precision) -> Array:
    return jnp.matmul(x, matrix, precision=precision)


@register_spec
@dataclass(frozen=True)
class SO2Convolution:
    """The message of an edge: the tensor product of a feature with Y(r), as matrices.

        apply(params, D(g) x, R(g) r) = D'(g) apply(params, x, r)

    x is rotated so that the edge points along the polar axis, scaled, mixed by
    `so2_linear`, and rotated back. With `max_order` None this has the couplings of the
    tensor product of x with the spherical harmonics of r, l1 x l2 -> l3, mixed over all
    channels, but its cost grows as L^3 instead of L^6 ("eSCN"). A smaller `max_order`
    leaves out large orders, which commutes with the group as well.

    With features of SO(3) (parity "none") all paths (l1, l2, l3) count. With those of
    O(3) (parity "natural"), where the inversion changes the signs of odd degrees and of
    r, those with even l1 + l2 + l3 do: then imaginary parts of weights are left out.

    Of the edge the direction counts only: give what depends on its length in `radial`.
    The zero edge counts as the polar axis, with gradient zero; there the law does not
    hold, since nothing tells the direction.

    Args:
        degrees_in: Of the feature.
        degrees_out: Of the message, with the same parity.
        channels_in: Channels of the feature.
        channels_out: Channels of the message.
        max_order: Largest order to keep, at most the smaller of both largest degrees,
            which is the default.

    Raises:
        ValueError: If parities differ or are "both", or a size is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import o3
        >>> spec = o3.SO2Convolution(o3.Degrees(2), o3.Degrees(3), 4, 8, max_order=1)
        >>> params = spec.init(key=jax.random.key(0))
        >>> edge = jnp.array([0.3, 0.2, -0.6])
        >>> spec.apply(params, jnp.ones((9, 4)), edge).shape
        (16, 8)

    References:
        Passaro, Zitnick, "Reducing SO(3) convolutions to SO(2) for efficient
        equivariant GNNs" (2023). Liao, Wood, Das, Smidt, "EquiformerV2" (2024),
        section 4.1.
    """

    degrees_in: Degrees
    degrees_out: Degrees
    channels_in: int
    channels_out: int
    max_order: int | None = None

    def __post_init__(self) -> None:
        """Checks the fields."""
        parities = self.degrees_in.parity, self.degrees_out.parity
        check_condition(
            parities in (("none", "none"), ("natural", "natural")),
            "`degrees_in` and `degrees_out` must both have the parity 'none' or both "
            f"'natural', got {parities}.",
        )
        check_size("channels_in", self.channels_in)
        check_size("channels_out", self.channels_out)
        if self.max_order is not None:
            check_size("max_order", self.max_order, minimum=0)
            largest = min(self.degrees_in.max_degree, self.degrees_out.max_degree)
            check_condition(
                self.max_order <= largest,
                "`max_order` must be at most the smaller of both largest degrees, "
                f"{largest}, got {self.max_order}.",
            )

    @property
    def num_orders(self) -> int:
        """Number of orders m >= 0 that are kept."""
        if self.max_order is not None:
            return self.max_order + 1
        return min(self.degrees_in.max_degree, self.degrees_out.max_degree) + 1

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Random weights for `so2_linear`; the bias is 0.

        They are uniform in +-1 / sqrt(n), n the size of what a row is the sum over;
        where there are imaginary parts, that is twice as many terms.

        Args:
            dtype: Of the weights; default: JAX's default.
            key: A random key.

        Returns:
            A nested dict of arrays.
        """
        dtype = jnp.result_type(float) if dtype is None else dtype
        keys = split_named(key, [f"order_{m}" for m in range(self.num_orders)])
        return {
            name: self._init_order(m, dtype, keys[name]) for m, name in enumerate(keys)
        }

    def _init_order(self, m: int, dtype: DTypeLike, key: Key[Array, ""]) -> Params:
        num_in = self.degrees_in.max_degree + 1 - m
        num_out = self.degrees_out.max_degree + 1 - m
        shape = (num_in, self.channels_in, num_out, self.channels_out)
        chiral = m > 0 and self.degrees_in.parity == "none"
        bound = 1 / math.sqrt((2 if chiral else 1) * num_in * self.channels_in)

        def draw(key: Key[Array, ""]) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        if m == 0:
            bias = jnp.zeros((num_out, self.channels_out), dtype)
            return {"weight": draw(key), "bias": bias}
        if not chiral:
            return {"real": draw(key)}
        keys = split_named(key, ["real", "imag"])
        return {name: draw(key) for name, key in keys.items()}

    def apply(
        self,
        params: Params,
        x: Float[Array, "dim_in channels_in"],
        r: Float[Array, "3"],
        *,
        radial: Float[Array, "degrees channels_in"] | None = None,
        rescale: bool = True,
        precision: Precision = "highest",
    ) -> Float[Array, "dim_out channels_out"]:
        """The message of one edge.

        By `jax.vmap(spec.apply, in_axes=(None, 0, 0))` all is matrix products.

        Args:
            params: From `init`.
            x: The feature, shape ((L + 1)^2, channels_in).
            r: The edge, shape (3,), of any length. It may have another dtype than x:
                with bfloat16 features keep it float32, so that the frame is exact.
            radial: One weight for each degree and channel of x, e.g. functions of the
                length of the edge, shape (L + 1, channels_in).
            rescale: See `rotate_back`.
            precision: Of the matrix products.

        Returns:
            The message, shape ((L' + 1)^2, channels_out).

        Raises:
            ValueError: If shapes or dtypes do not fit.
        """
        check_shape("x", x, (self.degrees_in.dim, self.channels_in))
        check_floating("x", x)
        for name, array in (("params", params["order_0"]["bias"]), ("radial", radial)):
            check_condition(
                array is None or array.dtype == x.dtype,
                f"`{name}` must have the dtype {x.dtype} of `x`. Convert one of them.",
            )
        frames = {
            degrees.max_degree: Alignment(
                align(
                    r,
                    degrees.max_degree,
                    max_order=self.num_orders - 1,
                    precision=precision,
                ).matrix.astype(x.dtype)
            )
            for degrees in (self.degrees_in, self.degrees_out)
        }
        rows = rotate(frames[self.degrees_in.max_degree], x, precision=precision)
        rows = so2_linear(params, rows, radial=radial, precision=precision)
        return rotate_back(
            frames[self.degrees_out.max_degree],
            rows,
            rescale=rescale,
            precision=precision,
        )
