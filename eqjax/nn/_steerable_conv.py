"""Steerable convolution on pixel and voxel grids."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_same_dtype,
    check_size,
)
from eqjax._core._dense import split_named
from eqjax._core._specs import register_spec
from eqjax.nn._bias import Bias
from eqjax.nn._features import (
    Feature,
    Params,
    Precision,
    check_channels,
    check_feature,
    default_dtype,
)
from eqjax.nn._grid import Padding, pad_periodic, window_padding
from eqjax.nn._kernel_basis import KernelBasis
from eqjax.nn._kernels import check_grid_group, steerable_kernels
from eqjax.nn._terms import Term, Terms, terms_of
from eqjax.reps import Irrep, Rep
from eqjax.reps._permutation import Quotient
from eqjax.reps._rep import check_same_group


@register_spec
@dataclass(frozen=True)
class SteerableConv:
    """Convolution with all kernels that commute with turns and mirrors.

        y(x) = sum_d K(d) f(x + d) + b,   K(g d) = rho_out(g) K(d) rho_in(g)^-1

    for a group G of turns and mirrors of the plane or of space, which it shares with
    both representations. From scalars to a regular representation it is a lifting,
    between regular ones a group convolution. Kernels are expanded to one ordinary
    convolution.

    A field is an array (height, width, rep_in.dim, channels_in) or (depth, height,
    width, ..); where no channels are given, a dict of such arrays by irrep, as
    `reps.split` makes it. Rows run downwards: x = column - center, y = center - row, so
    that `jnp.rot90(f, 1, (0, 1))` turns the grid by +90 degrees.

    It commutes exactly with those elements of G that map the grid to itself: with
    multiples of 90 degrees and mirrors for square images, provided that its windows lie
    symmetrically (see `aligned_padding`). With zero padding, shifts are exact in the
    interior; with "periodic", for multiples of the stride. For all other turns there is
    an error of the pixel grid, which depends on the basis: see `KernelBasis`.

    Args:
        rep_in: Representation of the input's components.
        rep_out: Of the output's, of the same group.
        channels_in: Number of channels. None: the multiplicities of irreps.
        channels_out: Likewise.
        kernel_size: Pixels along each axis; even sizes are welcome.
        stride: In pixels. Of the output where `transposed`.
        padding: "zero" keeps about size / stride pixels, "periodic" (odd kernels) takes
            the other side, "valid" pads nothing.
        dilation: Distance of the kernel's pixels.
        basis: The functions on the pixels.
        bias: Whether to add a bias to invariant components.
        transposed: Whether this is the transpose of a convolution with a stride, which
            makes fields of stride times the size; kernel_size - stride must be even.
        allow_misaligned: Accept sizes on which the windows lie asymmetrically, so that
            nothing is equivariant but for shifts.
        precision: Of the convolution.

    Raises:
        ValueError: If the groups differ, or the group does not move a plane or space;
            when parameters are made: if no kernel commutes with it; when applied: if a
            shape does not fit, or the windows do not lie symmetrically.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, nn, reps
        >>> group = groups.Dihedral(4)
        >>> scalar, regular = reps.trivial(group), reps.regular(group)
        >>> lift = nn.SteerableConv(scalar, regular, 1, 3, kernel_size=5)
        >>> params = lift.init(key=jax.random.key(0))
        >>> image = jax.random.normal(jax.random.key(1), (9, 9, 1, 1))
        >>> turned = lift.apply(params, jnp.rot90(image))
        >>> # The field turns, and its components move among each other.
        >>> same = jnp.rot90(regular.rho(jnp.asarray(1)) @ lift.apply(params, image))
        >>> turned.shape, bool(jnp.allclose(turned, same, atol=1e-5))
        ((9, 9, 8, 3), True)

    References:
        Weiler, Cesa, "General E(2)-equivariant steerable CNNs" (2019), theorem 1.
        Lang, Weiler, "A Wigner-Eckart theorem for group equivariant convolution
        kernels" (2021).
        Cohen, Welling, "Group equivariant convolutional networks" (2016).
    """

    rep_in: Any
    rep_out: Any
    channels_in: int | None = None
    channels_out: int | None = None
    kernel_size: int = field(kw_only=True)
    stride: int = field(default=1, kw_only=True)
    padding: Padding = field(default="zero", kw_only=True)
    dilation: int = field(default=1, kw_only=True)
    basis: KernelBasis = field(default=KernelBasis(), kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    transposed: bool = field(default=False, kw_only=True)
    allow_misaligned: bool = field(default=False, kw_only=True)
    precision: Precision = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_same_group(self.rep_in, self.rep_out)
        check_grid_group(self.rep_in)
        check_channels("channels_in", self.rep_in, self.channels_in)
        check_channels("channels_out", self.rep_out, self.channels_out)
        for name in ("kernel_size", "stride", "dilation"):
            check_size(name, getattr(self, name))
        check_choice("padding", self.padding, ("zero", "periodic", "valid"))
        if self.transposed:
            extent = (self.kernel_size - 1) * self.dilation + 1
            check_condition(
                self.padding == "zero"
                and extent >= self.stride
                and (extent - self.stride) % 2 == 0,
                "A transposed convolution needs zero padding and a kernel at least as "
                "large as the stride, both even or both odd, to make fields of stride "
                f"times the size; got padding {self.padding!r}, a kernel of {extent} "
                f"pixels and stride {self.stride}.",
            )

    @property
    def group(self) -> Any:
        """The group of both representations."""
        return self.rep_in.group

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Random weights that keep the variance of white noise, and zero bias.

        Args:
            dtype: Of the weights; default: JAX's default.
            key: A random key.

        Returns:
            Weights by the names of pairs of terms, and the bias if there is one.

        Raises:
            ValueError: If no kernel commutes with the group.
        """
        blocks = _blocks(self)
        check_condition(
            len(blocks) > 0,
            f"No kernel from {self.rep_in} to {self.rep_out} commutes with "
            f"{self.group} on {self.kernel_size} pixels. Take a larger kernel, or a "
            "basis with higher degrees.",
        )
        keys = split_named(key, [block.name for block in blocks])
        total: dict[int, float] = {}
        for block in blocks:
            count = math.prod(block.kernels.shape) * block.size_in
            if self.transposed:
                # So many of the kernel's pixels meet none of the field.
                count = count / self.stride**self.group.degree
            total[block.index_out] = total.get(block.index_out, 0) + count
        weights = {
            block.name: total[block.index_out] ** -0.5
            * jax.random.normal(
                keys[block.name],
                (*block.kernels.shape, block.size_in, block.size_out),
                default_dtype(dtype),
            )
            for block in blocks
        }
        bias = {"bias": self._bias.init(dtype=dtype, key=key)} if self.bias else {}
        return {"weights": weights} | bias

    def apply(self, params: Params, x: Feature) -> Feature:
        """The convolution of one field.

        Args:
            params: From `init`.
            x: A field (*grid, rep_in.dim, channels_in), or such by irrep, of the dtype
                of the weights.

        Returns:
            A field of `rep_out`.

        Raises:
            ValueError: If a shape or dtype does not fit, or the windows do not lie
                symmetrically.
        """
        check_feature("x", x, self.rep_in, self.channels_in)
        parts = terms_of(self.rep_in, self.channels_in).split(x)
        flat = _joined([part.reshape(*part.shape[:-3], -1) for part in parts], -1)
        dim = self.group.degree
        check_condition(
            flat.ndim == dim + 1,
            f"`x` must have {dim} grid axes, since {self.group} moves R^{dim}; got "
            f"{flat.ndim - 1}. Use `jax.vmap` for more than one field.",
        )
        kernel = self.expand(params)
        check_same_dtype("params", kernel, flat)
        y = self._convolve(flat, kernel)
        terms = terms_of(self.rep_out, self.channels_out)
        stops = np.cumsum([_size(term) for term in terms.terms])[:-1]
        pairs = zip(terms.terms, jnp.split(y, stops.tolist(), axis=-1), strict=True)
        result = terms.join(
            [
                part.reshape(*y.shape[:-1], term.copies, term.rep.dim, term.channels)
                for term, part in pairs
            ]
        )
        return self._bias.apply(params["bias"], result) if self.bias else result

    def expand(self, params: Params) -> Float[Array, "*kernel in out"]:
        """The kernel of the ordinary convolution.

        Args:
            params: From `init`.

        Returns:
            Shape (k, k, in, out) or (k, k, k, in, out); in and out run over terms,
            copies, components and channels, as in the flattened field.
        """
        terms_in = terms_of(self.rep_in, self.channels_in).terms
        terms_out = terms_of(self.rep_out, self.channels_out).terms
        blocks = {(block.index_in, block.index_out): block for block in _blocks(self)}
        pixels = self.kernel_size**self.group.degree
        like = next(iter(params["weights"].values()))
        rows = []
        for i, a in enumerate(terms_in):
            row = []
            for j, b in enumerate(terms_out):
                block = blocks.get((i, j))
                if block is None:
                    row.append(jnp.zeros((pixels, _size(a), _size(b)), like.dtype))
                    continue
                kernel = block.kernels.expand(params["weights"][block.name])
                row.append(_arranged(kernel, a, b))
            rows.append(_joined(row, 2))
        full = _joined(rows, 1)
        grid = (self.kernel_size,) * self.group.degree
        return full.reshape(*grid, *full.shape[1:])

    def describe(self) -> str:
        """One line per pair of terms: how many kernels there are."""
        counts = {block.name: math.prod(block.kernels.shape) for block in _blocks(self)}
        names_in = _names(terms_of(self.rep_in, self.channels_in))
        names_out = _names(terms_of(self.rep_out, self.channels_out))
        return "\n".join(
            f"{a} -> {b}: {counts.get(f'{a}->{b}', 0)} kernels"
            for a in names_in
            for b in names_out
        )

    @property
    def _bias(self) -> Bias:
        return Bias(self.rep_out, self.channels_out)

    def _convolve(self, x: Array, kernel: Array) -> Array:
        dim, k, s, dilation = x.ndim - 1, self.kernel_size, self.stride, self.dilation
        strides, lhs_dilation = (s,) * dim, (1,) * dim
        if self.transposed:
            extent = (k - 1) * dilation + 1
            pads = (extent - 1 - (extent - s) // 2,) * dim
            strides, lhs_dilation = lhs_dilation, strides
        else:
            shape = x.shape[:-1]
            pads = window_padding(
                shape, k, s, dilation, self.padding, self.allow_misaligned
            )
            if self.padding == "periodic":
                x, pads = pad_periodic(x, pads), (0,) * dim
        letters = "DHW"[-dim:]
        y = jax.lax.conv_general_dilated(
            x[None],
            kernel,
            strides,
            [(p, p) for p in pads],
            lhs_dilation=lhs_dilation,
            rhs_dilation=(dilation,) * dim,
            dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
            precision=self.precision,
        )
        return y[0]


class _Block(NamedTuple):
    """The kernels from one term to another."""

    name: str
    index_in: int
    index_out: int
    size_in: int
    size_out: int
    kernels: Any


@functools.lru_cache(maxsize=512)
def _blocks(conv: SteerableConv) -> tuple[_Block, ...]:
    return tuple(_find_blocks(conv))


def _find_blocks(conv: SteerableConv) -> Iterator[_Block]:
    terms_in = terms_of(conv.rep_in, conv.channels_in)
    terms_out = terms_of(conv.rep_out, conv.channels_out)
    names_in, names_out = _names(terms_in), _names(terms_out)
    for i, a in enumerate(terms_in.terms):
        for j, b in enumerate(terms_out.terms):
            kernels = steerable_kernels(a.rep, b.rep, conv.basis, conv.kernel_size)
            if kernels is not None:
                name = f"{names_in[i]}->{names_out[j]}"
                sizes = a.copies * a.channels, b.copies * b.channels
                yield _Block(name, i, j, *sizes, kernels)


def _names(terms: Terms) -> list[str]:
    """One for each term; what occurs again has a number."""
    found: list[str] = []
    for term in terms.terms:
        name = term.rep.name if isinstance(term.rep, Irrep) else _name(term.rep)
        count = 1 + sum(other.split("#")[0] == name for other in found)
        found.append(name if count == 1 else f"{name}#{count}")
    return found


def _name(rep: Rep) -> str:
    is_regular = isinstance(rep, Quotient) and rep.subgroup is None
    return "regular" if is_regular else type(rep).__name__.lower()


def _size(term: Term) -> int:
    return term.copies * term.rep.dim * term.channels


def _joined(parts: list[Array], axis: int) -> Array:
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=axis)


def _arranged(kernel: Array, a: Term, b: Term) -> Array:
    """(pixels, in, copies x channels, out, copies x channels): copies to the front."""
    pixels = kernel.shape[0]
    if a.copies > 1 or b.copies > 1:
        shape = (a.rep.dim, a.copies, a.channels, b.rep.dim, b.copies, b.channels)
        kernel = kernel.reshape(pixels, *shape).transpose(0, 2, 1, 3, 5, 4, 6)
    return kernel.reshape(pixels, _size(a), _size(b))
