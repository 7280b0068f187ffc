"""Tensor products of features: all couplings, three ways to combine channels."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_same_dtype,
    check_shape,
    check_size,
)
from eqjax._core._dense import split_named
from eqjax._core._specs import register_spec
from eqjax.o3._clebsch_gordan import check_table
from eqjax.o3._constants import Precision
from eqjax.o3._degrees import Degrees
from eqjax.o3._frame_product import frame_product
from eqjax.o3._matrix_product import matrix_product
from eqjax.o3._paths import Couplings, PathSet
from eqjax.o3._product_methods import (
    by_degrees,
    by_pairs,
    by_terms,
    in_frame,
    product_terms,
)
from eqjax.o3._signal_products import gaunt_product
from eqjax.reps import Rep

Params: TypeAlias = dict[str, Any]
Mode: TypeAlias = Literal["uuu", "uvu", "uvw"]
Method: TypeAlias = Literal["auto", "sparse", "block", "escn", "grid", "matrix"]

# Degrees up to 4, all couplings: on 2 cores the pull-back of degree 4 compiles for 7
# seconds, that of degree 5 for 26.
_MAX_SPARSE = 2100
# Less expressive: a weight for each degree instead of each path.
_RANK_ONE = ("grid", "matrix")


@register_spec
@dataclass(frozen=True, order=True)
class TensorProduct:
    """The equivariant bilinear maps of two features, with a weight for every path.

    A path couples degrees l1 x l2 -> l3 by the coefficients C of `clebsch_gordan`.

    | mode | result |
    |---|---|
    | "uuu" | out[l3, u] = sum_paths w[path, u] C(x[l1, u], y[l2, u]) |
    | "uvu" | out[path, u] = w[path, u] C(x[l1, u], y[l2]), all paths kept |
    | "uvw" | out[l3, v] = sum_(path, u) m[path, u, v] w[path, u] C(x[l1, u], y[l2]) |

    In "uvu" and "uvw" y has one channel, as the spherical harmonics of an edge have.

    | method | how | weights |
    |---|---|---|
    | "sparse" | the non-zero coefficients, unrolled, as one primitive | all |
    | "block" | small dense products | all |
    | "escn" | in the frame of the edge whose harmonics y is; not for "uuu" | all |
    | "grid" | `gaunt_product`, even l1 + l2 + l3 only; "uuu" only | of rank one |
    | "matrix" | `matrix_product`; "uuu" only | of rank one |
    | "auto" | "sparse", but "block" where that has over 2,100 terms | all |

    Methods with all weights have the same parameters and the same results. Those with
    weights of rank one, w[path] = a[l1] b[l2] c[l3], are less expressive, so that
    "auto" never takes them.

    Args:
        degrees_x: Of the first factor.
        degrees_y: Of the second factor.
        degrees_out: Of the result. All have parity "none" (SO(3)), or none has (O(3)).
        channels: Of the first factor; for "uuu" of all.
        channels_out: Of the result, for "uvw" only. Default: `channels`.
        mode: How channels are combined.
        paths: "all" couplings, those with "even" l1 + l2 + l3, or chosen (l1, l2, l3).
        method: How it is computed.

    Raises:
        ValueError: If the degrees belong to different groups or go beyond the tables, a
            chosen path does not exist, there is none, or the method does not fit.

    Example:
        >>> import jax
        >>> from eqjax import o3
        >>> degrees = o3.Degrees(2)
        >>> product = o3.TensorProduct(degrees, degrees, degrees, channels=4)
        >>> params = product.init(key=jax.random.key(0))
        >>> x = jax.random.normal(jax.random.key(1), (9, 4))
        >>> product.apply(params, x, x).shape
        (9, 4)

    References:
        Thomas, Smidt, Kearnes, Yang, Li, Kohlhoff, Riley, "Tensor field networks"
        (2018), for the couplings; Passaro, Zitnick, "Reducing SO(3) convolutions to
        SO(2) for efficient equivariant GNNs" (2023), for the frame of an edge.
    """

    degrees_x: Degrees
    degrees_y: Degrees
    degrees_out: Degrees
    channels: int = 1
    channels_out: int | None = None
    mode: Mode = "uuu"
    paths: PathSet = "all"
    method: Method = "auto"

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("mode", self.mode, ("uuu", "uvu", "uvw"))
        check_choice("method", self.method, get_args(Method))
        if isinstance(self.paths, str):
            check_choice("paths", self.paths, ("all", "even"))
        check_size("channels", self.channels)
        if self.channels_out is not None:
            check_size("channels_out", self.channels_out)
            check_condition(
                self.mode == "uvw",
                f'`channels_out` belongs to the mode "uvw", got {self.channels_out} '
                f'for "{self.mode}", which keeps the channels of x.',
            )
        features = (self.degrees_x, self.degrees_y, self.degrees_out)
        check_condition(
            len({degrees.group for degrees in features}) == 1,
            "`degrees_x`, `degrees_y` and `degrees_out` must belong to one group, got "
            f'{features}. Parity "none" is SO(3), the others are O(3).',
        )
        for degrees in features:
            check_table("max_degree", degrees.max_degree)
        if self.method == "escn":
            check_condition(
                self.mode != "uuu" and self.degrees_y.max_degree > 0,
                '`method="escn"` needs the harmonics of one direction as y: a mode '
                f'"uvu" or "uvw" and a degree of at least 1, got "{self.mode}" and '
                f"{self.degrees_y}.",
            )
        if self.method in _RANK_ONE:
            parities = {degrees.parity for degrees in features}
            check_condition(
                self.mode == "uuu" and self.paths == "all",
                f'`method="{self.method}"` has the mode "uuu" and takes all its paths, '
                f'got "{self.mode}" and {self.paths!r}.',
            )
            check_condition(
                len(parities) == 1 and "both" not in parities,
                f'`method="{self.method}"` needs features of one parity, all "none" or '
                f'all "natural", got {features}.',
            )
        self._couplings.count_into()  # refuses what has no path

    @property
    def num_paths(self) -> int:
        """Number of couplings, and so of weights per channel."""
        return len(self._couplings.paths)

    @property
    def rep_out(self) -> Rep:
        """The representation of the result: one irrep for each path for "uvu"."""
        if self.mode != "uvu":
            return self.degrees_out
        irreps = [self.degrees_out.irreps[path.out] for path in self._couplings.paths]
        return functools.reduce(lambda a, b: a + b, irreps)

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Weights for results of variance 1 from independent inputs of variance 1.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: A random key.

        Returns:
            A dict. For "uuu" and "uvu" it has "weights", shape (num_paths, channels),
            uniform in +-sqrt(3 / n) where n results are summed. For "uvw" it has
            "mixing", by the name of each irrep an array (n channels, channels_out),
            uniform in +-sqrt(3 / (n channels)). With weights of rank one it has "x",
            "y" and "out", shapes (degrees, channels), uniform in +-sqrt(3).
        """
        dtype = jnp.result_type(float) if dtype is None else dtype

        def uniform(key: Array, shape: tuple[int, int], bound: Any) -> Array:
            draw = jax.random.uniform(key, shape, dtype, -1, 1)
            return jnp.asarray(bound, dtype) * draw

        if self.method in _RANK_ONE:
            keys = split_named(key, ("x", "y", "out"))
            features = (self.degrees_x, self.degrees_y, self.degrees_out)
            return {
                name: uniform(
                    keys[name], (degrees.max_degree + 1, self.channels), 3**0.5
                )
                for name, degrees in zip(keys, features, strict=True)
            }
        counts = self._couplings.count_into()
        if self.mode == "uvw":
            names = {out: self.degrees_out.irreps[out].name for out in counts}
            keys = split_named(key, tuple(names.values()))
            sizes = {names[out]: n * self.channels for out, n in counts.items()}
            channels = self._channels_out
            mixing = {
                name: uniform(keys[name], (size, channels), np.sqrt(3 / size))
                for name, size in sizes.items()
            }
            return {"mixing": mixing}
        sums = [counts[path.out] for path in self._couplings.paths]
        bound = np.sqrt(3 / np.array(sums))[:, None] if self.mode == "uuu" else 3**0.5
        return {"weights": uniform(key, (self.num_paths, self.channels), bound)}

    def apply(
        self,
        params: Params,
        x: Float[Array, "dim_x channels"],
        y: Float[Array, "dim_y *channels"],
        *,
        weights: Float[Array, "paths channels"] | None = None,
        precision: Precision = "highest",
    ) -> Float[Array, "dim channels_out"]:
        """The product of one example; `jax.vmap` makes a batch of it.

        For `vmap`, `in_axes=1, out_axes=1` keeps components first, which is fastest;
        arrays (batch, dim, channels) are read and written without being moved.

        Args:
            params: As `init` makes them; those that `weights` replaces may be missing.
            x: The first factor, shape (degrees_x.dim, channels).
            y: The second factor, shape (degrees_y.dim, channels) for "uuu",
                (degrees_y.dim,) otherwise. With the method "escn" each degree must be
                a multiple of the harmonics of one direction, that of degree 1 not zero.
            weights: Weights of this example, e.g. functions of an edge's length, shape
                (num_paths, channels). Default: those of `params`; 1 for "uvw".
            precision: Of matrix products.

        Returns:
            The product, shape (rep_out.dim, channels), for "uvw" (rep_out.dim,
            channels_out).

        Raises:
            ValueError: If a shape or dtype differs, or weights are missing.
        """
        check_shape("x", x, (self.degrees_x.dim, self.channels))
        if self.mode == "uuu":
            check_shape("y", y, (self.degrees_y.dim, self.channels))
        else:
            remedy = f'In the mode "{self.mode}" it has one channel.'
            check_shape("y", y, (self.degrees_y.dim,), remedy=remedy)
            y = y[:, None]
        if self.method in _RANK_ONE:
            check_condition(
                weights is None,
                f'`weights` must be None for `method="{self.method}"`, whose weights '
                'stand in `params` by the keys "x", "y" and "out".',
            )
            return self._rank_one(params, x, y, precision)
        if weights is None and self.mode != "uvw":
            check_condition(
                "weights" in params,
                '`weights` must be given, or stand in `params["weights"]`.',
            )
            weights = jnp.asarray(params["weights"])
        if weights is not None:
            check_shape("weights", weights, (self.num_paths, self.channels))
        given = (x, y) if weights is None else (x, y, weights)
        dtypes = sorted({str(array.dtype) for array in given})
        check_condition(
            len(dtypes) == 1,
            f"`x`, `y` and `weights` must have one dtype, got {' and '.join(dtypes)}. "
            "Convert with `astype`.",
        )
        couplings, method = self._couplings, self._chosen_method
        if method == "escn":
            paths, frames = in_frame(couplings, x, y, weights, precision=precision)
            if self.mode == "uvw":
                return self._turn(
                    self._mix(params, paths, precision), frames, precision
                )
            return self._turn(paths, frames, precision)
        if method == "sparse":
            out = by_terms(couplings, x, y, weights, separate=self.mode != "uuu")
        elif self.mode == "uuu":
            out = by_pairs(couplings, x, y, weights, precision=precision)
        else:
            out = by_degrees(couplings, x, y, weights, precision=precision)
        return self._mix(params, out, precision) if self.mode == "uvw" else out

    def _rank_one(
        self, params: Params, x: Array, y: Array, precision: Precision
    ) -> Array:
        options: dict[str, Any] = {
            "max_degree_out": self.degrees_out.max_degree,
            "weights": params,
            "precision": precision,
        }
        if self.method == "grid":
            return gaunt_product(x, y, **options)
        # With natural parities only the even couplings commute with reflections.
        couplings = "even" if self.degrees_x.parity == "natural" else "all"
        return matrix_product(x, y, couplings=couplings, **options)

    def _mix(self, params: Params, paths: Array, precision: Precision) -> Array:
        """(sum over paths of 2 l3 + 1, channels) to (dim, channels_out)."""
        counts = self._couplings.count_into()
        irreps = self.degrees_out.irreps
        stops = np.cumsum(
            [counts.get(out, 0) * rep.dim for out, rep in enumerate(irreps)]
        )
        parts = []
        rows = jnp.split(paths, stops[:-1].tolist())
        for out, (irrep, part) in enumerate(zip(irreps, rows, strict=True)):
            if out not in counts:
                parts.append(jnp.zeros((irrep.dim, self._channels_out), paths.dtype))
                continue
            name, matrix = (
                f'params["mixing"]["{irrep.name}"]',
                params["mixing"][irrep.name],
            )
            shape = (counts[out], self.channels, self._channels_out)
            check_shape(name, matrix, (shape[0] * shape[1], shape[2]))
            check_same_dtype(name, matrix, paths)
            part = part.reshape(counts[out], irrep.dim, self.channels)
            contract = (((0, 2), (0, 1)), ((), ()))
            parts.append(
                jax.lax.dot_general(part, matrix.reshape(shape), contract, precision)
            )
        return jnp.concatenate(parts)

    def _turn(self, rows: Array, frames: list[Array], precision: Precision) -> Array:
        """Each degree of the result from the frame of an edge to that of space."""
        irreps = self.degrees_out.irreps
        if self.mode == "uvu":
            irreps = tuple(irreps[path.out] for path in self._couplings.paths)
        stops = np.cumsum([irrep.dim for irrep in irreps])[:-1].tolist()
        parts = [
            frame_product(
                frames[irrep.label[0]], part, transpose=True, precision=precision
            )
            for irrep, part in zip(irreps, jnp.split(rows, stops), strict=True)
        ]
        return jnp.concatenate(parts)

    @property
    def _couplings(self) -> Couplings:
        return Couplings(self.degrees_x, self.degrees_y, self.degrees_out, self.paths)

    @property
    def _channels_out(self) -> int:
        return self.channels if self.channels_out is None else self.channels_out

    @property
    def _chosen_method(self) -> str:
        if self.method != "auto":
            return self.method
        terms = product_terms(
            self._couplings, separate=self.mode != "uuu", weighted=True
        )
        return "sparse" if len(terms.entries) <= _MAX_SPARSE else "block"
