"""Symmetric contractions: all equivariant polynomials of one feature, per channel."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from eqjax._core._checks import check_condition, check_shape, check_size
from eqjax._core._specs import register_spec
from eqjax.o3._degrees import Degrees
from eqjax.o3._polynomial import ZERO, Term, Terms, polynomial
from eqjax.reps import Rep, hom, symmetric_power

Params: TypeAlias = dict[str, Any]


class SymmetricPath(NamedTuple):
    """One equivariant polynomial into an irrep of the result.

    Attributes:
        out: Number of the irrep.
        order: Degree of the polynomial.
        content: How often each irrep of the feature occurs in each monomial.
    """

    out: int
    order: int
    content: tuple[int, ...]


@register_spec
@dataclass(frozen=True, order=True)
class SymmetricContraction:
    """The equivariant polynomials of a feature up to an order, with a weight each.

    out[k, u] = sum_nu sum_paths w[path, u] sum_(i_1 .. i_nu) U[k, i_1, .., i_nu]
    x[i_1, u] .. x[i_nu, u], where the U are a basis of the equivariant maps that are
    symmetric in their arguments: the product basis of MACE. Each U lies in one product
    of symmetric powers of single degrees, which makes it sparse.

    It is one primitive that is closed under differentiation: every derivative costs as
    many terms as the polynomial's own.

    Args:
        degrees: Of the feature.
        degrees_out: Of the result; of the same group.
        order: The largest number of factors nu, at least 1; the correlation order.
        channels: Number of channels, which do not mix.

    Raises:
        ValueError: If the groups differ, or there is no such polynomial.

    Example:
        >>> import jax
        >>> from eqjax import o3
        >>> product = o3.SymmetricContraction(
        ...     o3.Degrees(2), o3.Degrees(1), 3, channels=4
        ... )
        >>> product.num_paths
        17
        >>> params = product.init(key=jax.random.key(0))
        >>> x = jax.random.normal(jax.random.key(1), (9, 4))
        >>> product.apply(params, x).shape
        (4, 4)

    References:
        Batatia, Kovacs, Simm, Ortner, Csanyi, "MACE: higher order equivariant message
        passing neural networks for fast and accurate force fields" (2022), equation 10.
    """

    degrees: Degrees
    degrees_out: Degrees
    order: int
    channels: int = 1

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_size("order", self.order)
        check_size("channels", self.channels)
        check_condition(
            self.degrees.group == self.degrees_out.group,
            f"`degrees` and `degrees_out` must belong to one group, got {self.degrees} "
            f'and {self.degrees_out}. Parity "none" is SO(3), the others are O(3).',
        )
        _basis(self.degrees, self.degrees_out, self.order)

    @property
    def num_paths(self) -> int:
        """Number of polynomials, and so of weights per channel."""
        return len(self.paths)

    @property
    def paths(self) -> tuple[SymmetricPath, ...]:
        """The polynomials, ordered by irrep of the result, order and content."""
        return self._basis[0]

    @property
    def rep_out(self) -> Rep:
        """The representation of the result."""
        return self.degrees_out

    def init(self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]) -> Params:
        """Weights, uniform in +-sqrt(3 / n) where n polynomials are summed.

        Args:
            dtype: Of the parameters; default: JAX's default.
            key: A random key.

        Returns:
            A dict with "weights", shape (num_paths, channels).
        """
        dtype = jnp.result_type(float) if dtype is None else dtype
        into = [path.out for path in self.paths]
        scale = np.sqrt(3 / np.array([into.count(out) for out in into]))
        shape = (self.num_paths, self.channels)
        weights = jax.random.uniform(key, shape, dtype, -1, 1)
        return {"weights": jnp.asarray(scale, dtype)[:, None] * weights}

    def apply(
        self,
        params: Params,
        x: Float[Array, "dim channels"],
        *,
        weights: Float[Array, "paths channels"] | None = None,
    ) -> Float[Array, "dim_out channels"]:
        """The polynomials of one feature; `jax.vmap` makes a batch of it.

        Args:
            params: As `init` makes them; may be empty where `weights` is given.
            x: The feature, shape (degrees.dim, channels).
            weights: Weights of this example, e.g. those of an atom's species, shape
                (num_paths, channels). Default: those of `params`.

        Returns:
            The result, shape (degrees_out.dim, channels).

        Raises:
            ValueError: If a shape or dtype differs, or weights are missing.
        """
        check_shape("x", x, (self.degrees.dim, self.channels))
        if weights is None:
            check_condition(
                "weights" in params,
                '`weights` must be given, or stand in `params["weights"]`.',
            )
            weights = jnp.asarray(params["weights"])
        check_shape("weights", weights, (self.num_paths, self.channels))
        check_condition(
            x.dtype == weights.dtype,
            f"`x` and `weights` must have one dtype, got {x.dtype} and "
            f"{weights.dtype}. Convert with `astype`.",
        )
        return polynomial(self._basis[1], x, weights)

    @property
    def _basis(self) -> tuple[tuple[SymmetricPath, ...], Terms]:
        return _basis(self.degrees, self.degrees_out, self.order)


@functools.lru_cache(maxsize=64)
def _basis(
    degrees: Degrees, degrees_out: Degrees, order: int
) -> tuple[tuple[SymmetricPath, ...], Terms]:
    """The polynomials and their terms in (x, weights)."""
    found: list[SymmetricPath] = []
    entries: list[Term] = []
    contents = [
        content
        for content in itertools.product(range(order + 1), repeat=len(degrees.irreps))
        if 0 < sum(content) <= order
    ]
    for out, irrep in enumerate(degrees_out.irreps):
        start = degrees_out.slices[out].start
        for content in sorted(contents, key=lambda content: (sum(content), content)):
            monomials, arrangements = _monomials(degrees, content)
            # Unit variance: the squares of a row of the full tensor sum to 1.
            maps = hom(_power(degrees, content), irrep).basis * np.sqrt(irrep.dim)
            for table in maps * np.sqrt(arrangements):
                weight = (len(found),)
                found.append(SymmetricPath(out, sum(content), content))
                for k, s in np.argwhere(np.abs(table) > ZERO).tolist():
                    factors = (monomials[s], weight)
                    entries.append(Term(start + k, factors, table[k, s]))
    check_condition(
        len(found) > 0,
        f"There is no equivariant polynomial up to order {order} from {degrees} to "
        f"{degrees_out}.",
    )
    return tuple(found), Terms(entries, (degrees_out.dim, degrees.dim, len(found)))


def _power(degrees: Degrees, content: tuple[int, ...]) -> Rep:
    """The product of the symmetric powers of single irreps."""
    factors = [
        symmetric_power(irrep, count)
        for irrep, count in zip(degrees.irreps, content, strict=True)
        if count
    ]
    return functools.reduce(lambda a, b: a * b, factors)


def _monomials(
    degrees: Degrees, content: tuple[int, ...]
) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """The monomials in the order of `_power`, and how many arrangements each has.

    In an orthonormal basis of symmetric tensors x^nu has the components
    sqrt(arrangements) * monomial.
    """
    blocks = [
        list(itertools.combinations_with_replacement(range(where.start, where.stop), n))
        for where, n in zip(degrees.slices, content, strict=True)
        if n
    ]
    monomials = [sum(parts, ()) for parts in itertools.product(*blocks)]
    counts = [
        math.factorial(len(monomial))
        / math.prod(math.factorial(monomial.count(i)) for i in set(monomial))
        for monomial in monomials
    ]
    return monomials, np.array(counts)
