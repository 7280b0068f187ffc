"""Linear layers: every equivariant map, once for each pair of channels."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from eqjax import o3
from eqjax._core._checks import check_same_dtype
from eqjax._core._dense import split_named
from eqjax._core._specs import register_spec
from eqjax.nn._bias import Bias
from eqjax.nn._dense_maps import apply_maps, dense_form, scaled_maps
from eqjax.nn._features import (
    Feature,
    Params,
    Precision,
    check_channels,
    check_feature,
    default_dtype,
    from_parts,
    is_sum_of_irreps,
    multiplicities,
    to_parts,
    unit_variance,
)
from eqjax.reps import Irrep, Rep, decompose
from eqjax.reps._irrep import commutant_of
from eqjax.reps._rep import check_same_group


@register_spec
@dataclass(frozen=True)
class Linear:
    """Every linear map that commutes with the group.

    In the irreps' basis, with a matrix of weights W_t for each irrep that both sides
    have and for each element C_t of {1}, {1, J} or {1, I, J, K} that commutes with it
    (irreps of real, complex, quaternionic type; Schur's lemma):

        y = sum_t C_t x W_t

    A feature that is no sum of irreps is brought to this basis and back. Between
    permutation representations there is a weight for each orbit of pairs of components
    instead (for regular ones: the group convolution), and where the irreps of a group
    are not listed, one for each map of `reps.hom`. Weights start as normal numbers of
    variance 1 / (number of terms), which keeps the variance of irreps that the input
    has.

    Features are dense, (*grid, rep.dim, channels), where a number of channels is given;
    where it is None, the multiplicities of a sum of irreps are the channels, and a
    feature is a dict {irrep: (*grid, irrep.dim, multiplicity)}, as `reps.split` makes
    it. Both sides may differ in this. Leading axes are those of one image or volume;
    `jax.vmap` takes a batch.

    Args:
        rep_in: Representation of the input.
        rep_out: Representation of the result.
        channels_in: Number of channels of the input, or None.
        channels_out: Number of channels of the result, or None.
        bias: Add a `Bias`.
        precision: Of products with weights; a change of basis has the highest.

    Raises:
        ValueError: If the groups differ, or a number of channels does not fit.

    Example:
        >>> import jax
        >>> from eqjax import groups, nn, reps
        >>> G = groups.O(3)
        >>> scalar, vector = reps.irrep(G, "0e"), reps.irrep(G, "1o")
        >>> layer = nn.Linear(3 * scalar + 2 * vector, 4 * scalar + 5 * vector)
        >>> params = layer.init(key=jax.random.key(0))
        >>> {name: w.shape for name, w in params["weights"].items()}
        {'0e': (1, 3, 4), '1o': (1, 2, 5)}
        >>> x = {scalar: jax.numpy.ones((1, 3)), vector: jax.numpy.ones((3, 2))}
        >>> layer.apply(params, x)[vector].shape
        (3, 5)

    References:
        Finzi, Welling, Wilson, "A practical method for constructing equivariant
        multilayer perceptrons for arbitrary matrix groups" (2021).
        Maron, Ben-Hamu, Shamir, Lipman, "Invariant and equivariant graph networks"
        (2019), section 3.
    """

    rep_in: Any
    rep_out: Any
    channels_in: int | None = None
    channels_out: int | None = None
    bias: bool = field(default=False, kw_only=True)
    precision: Precision = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_linear(self)

    @property
    def group(self) -> Any:
        """The group of both representations."""
        return self.rep_in.group

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Random weights by irrep: (size of the commutant, channels, channels).

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: A random key.

        Returns:
            {"weights": ..}, and "bias" if there is one, which is zero.

        Raises:
            ValueError: If there is no equivariant map, hence nothing to learn.
        """
        dtype = default_dtype(dtype)
        shapes = weight_shapes(self)
        keys = split_named(key, list(shapes))
        weights = {
            name: jnp.asarray(deviation, dtype)
            * jax.random.normal(keys[name], shape, dtype)
            for name, (shape, deviation) in shapes.items()
        }
        params: Params = {"weights": weights}
        if self.bias:
            params["bias"] = self._bias.init(dtype=dtype, key=key)
        return params

    def apply(self, params: Params, x: Feature) -> Feature:
        """The map of one feature, at every point of its grid.

        Args:
            params: As `init` makes them.
            x: A feature of `rep_in`, of the dtype of the parameters.

        Returns:
            A feature of `rep_out`.

        Raises:
            ValueError: If shapes or dtypes do not fit.
        """
        y = linear_map(self, params["weights"], x)
        return self._bias.apply(params["bias"], y) if self.bias else y

    @property
    def _bias(self) -> Bias:
        return Bias(self.rep_out, self.channels_out)


def check_linear(layer: Any) -> None:
    """Checks representations and channels of a layer from one to the other.

    Raises:
        ValueError: If they do not fit.
    """
    check_same_group(layer.rep_in, layer.rep_out)
    check_channels("channels_in", layer.rep_in, layer.channels_in)
    check_channels("channels_out", layer.rep_out, layer.channels_out)


def weight_shapes(layer: Any) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and initial standard deviation (NumPy) of the weights, by name.

    Raises:
        ValueError: If there are none.
    """
    found: dict[str, tuple[tuple[int, ...], Any]] = {}
    if _form(layer) == "irreps":
        fan_in = channels_of_irreps(layer.rep_in, layer.channels_in)
        fan_out = channels_of_irreps(layer.rep_out, layer.channels_out)
        for irrep in (irrep for irrep in fan_out if irrep in fan_in):
            shape = (irrep.commutant_dim, fan_in[irrep], fan_out[irrep])
            found[irrep.name] = shape, unit_variance(math.prod(shape[:2]))
    else:
        maps = scaled_maps(layer.rep_in, layer.rep_out)
        if maps.deviations.size:
            shape = (maps.deviations.size, layer.channels_in, layer.channels_out)
            deviations = maps.deviations[:, None, None]
            found["maps"] = shape, unit_variance(layer.channels_in) * deviations
    if not found:
        raise ValueError(
            f"No linear map but zero commutes with {layer.group} from {layer.rep_in} "
            f"to {layer.rep_out}. Use representations that share an irrep."
        )
    return found


def linear_map(layer: Any, weights: Params, x: Feature) -> Feature:
    """What `Linear` does, for any layer with its fields but the bias.

    Raises:
        ValueError: If shapes or dtypes do not fit.
    """
    check_feature("x", x, layer.rep_in, layer.channels_in)
    for array in weights.values():
        check_same_dtype("params", array, jax.tree.leaves(x)[0])
    if _form(layer) != "irreps":
        assert isinstance(x, Array)
        return apply_maps(layer, weights["maps"], x)
    if layer.rep_in == layer.rep_out and isinstance(layer.rep_in, o3.Degrees):
        assert isinstance(x, Array)
        return _apply_degrees(layer, weights, x)
    parts = split_feature(layer.rep_in, layer.channels_in, x)
    like = next(iter(parts.values()))
    result = {}
    for irrep, size in channels_of_irreps(layer.rep_out, layer.channels_out).items():
        if irrep in parts:
            block = weights[irrep.name]
            result[irrep] = _mix(irrep, block, parts[irrep], layer.precision)
        else:
            shape = (*like.shape[:-2], irrep.dim, size)
            result[irrep] = jnp.zeros(shape, like.dtype)
    return join_feature(layer.rep_out, layer.channels_out, result)


def channels_of_irreps(rep: Rep, channels: int | None) -> dict[Irrep, int]:
    """Multiplicity times channels of every irrep, sorted."""
    if channels is None:
        return multiplicities(rep)
    if isinstance(rep, o3.Degrees):
        return dict.fromkeys(sorted(rep.irreps), channels)
    return {irrep: count * channels for irrep, count in decompose(rep).terms}


def split_feature(rep: Rep, channels: int | None, x: Feature) -> dict[Irrep, Array]:
    """A feature by irrep, (*grid, irrep.dim, multiplicity * channels)."""
    if channels is None:
        assert isinstance(x, dict)
        return x
    assert isinstance(x, Array)
    if isinstance(rep, o3.Degrees):
        pairs = zip(rep.irreps, rep.slices, strict=True)
        return {irrep: x[..., where, :] for irrep, where in pairs}
    if is_sum_of_irreps(rep):
        return _split_sum(rep, x)
    parts = to_parts(rep, x)
    return {irrep: part.reshape(*part.shape[:-2], -1) for irrep, part in parts.items()}


def join_feature(rep: Rep, channels: int | None, parts: dict[Irrep, Array]) -> Feature:
    """The inverse of `split_feature`."""
    if channels is None:
        return parts
    if isinstance(rep, o3.Degrees):
        return jnp.concatenate([parts[irrep] for irrep in rep.irreps], axis=-2)
    if is_sum_of_irreps(rep):
        return _join_sum(rep, channels, parts)
    apart = {
        irrep: part.reshape(*part.shape[:-1], -1, channels)
        for irrep, part in parts.items()
    }
    return from_parts(rep, apart)


def _terms(rep: Rep) -> list[tuple[Any, int]]:
    """Irreps and multiplicities of a sum, as they stand."""
    return list(getattr(rep, "terms", ((rep, 1),)))


def _split_sum(rep: Rep, x: Array) -> dict[Irrep, Array]:
    """By slices, where the components stand in irreps already."""
    found: dict[Irrep, list[Array]] = {}
    grid, channels = x.shape[:-2], x.shape[-1]
    start = 0
    for irrep, count in _terms(rep):
        stop = start + count * irrep.dim
        part = x[..., start:stop, :].reshape(*grid, count, irrep.dim, channels)
        part = jnp.moveaxis(part, -3, -2)
        found.setdefault(irrep, []).append(part.reshape(*grid, irrep.dim, -1))
        start = stop
    return {irrep: jnp.concatenate(found[irrep], axis=-1) for irrep in sorted(found)}


def _join_sum(rep: Rep, channels: int, parts: dict[Irrep, Array]) -> Array:
    rows, used = [], dict.fromkeys(parts, 0)
    for irrep, count in _terms(rep):
        first, used[irrep] = used[irrep], used[irrep] + count * channels
        part = parts[irrep][..., first : used[irrep]]
        grid = part.shape[:-2]
        part = part.reshape(*grid, irrep.dim, count, channels)
        part = jnp.moveaxis(part, -2, -3)
        rows.append(part.reshape(*grid, count * irrep.dim, channels))
    return jnp.concatenate(rows, axis=-2)


def _mix(irrep: Irrep, weights: Array, x: Array, precision: Precision) -> Array:
    """sum_t C_t x W_t, for x of shape (*grid, dim, channels)."""
    if len(weights) == 1:
        return _multiply(x, weights[0], precision)
    commutant = jnp.asarray(commutant_of(irrep), x.dtype)
    moved = jnp.einsum("tij,...jc->...itc", commutant, x, precision="highest")
    moved = moved.reshape(*x.shape[:-1], -1)
    return _multiply(moved, weights.reshape(-1, weights.shape[-1]), precision)


def _multiply(x: Array, weights: Array, precision: Precision) -> Array:
    """x W. The barrier makes the gradient a product of its own.

    XLA on a CPU is fast in making it with the channels of the result first, but without
    the barrier it takes the transposition that follows into the product, which is slow.
    """
    flipped = jax.lax.optimization_barrier(weights.T)
    return jnp.einsum("nm,...m->...n", flipped, x, precision=precision)


def _apply_degrees(layer: Any, weights: Params, x: Array) -> Array:
    """One product of matrices, batched over components."""
    stacked = [weights[irrep.name] for irrep in layer.rep_in.irreps]
    fn = functools.partial(
        o3.linear, jnp.concatenate(stacked), precision=layer.precision
    )
    if x.ndim == 2:
        return fn(x)
    points = x.reshape(-1, *x.shape[-2:])
    y = jax.vmap(fn, in_axes=1, out_axes=1)(points.swapaxes(0, 1)).swapaxes(0, 1)
    return y.reshape(*x.shape[:-1], -1)


def _form(layer: Any) -> str:
    if layer.channels_in is None or layer.channels_out is None:
        return "irreps"
    return dense_form(layer.rep_in, layer.rep_out)
