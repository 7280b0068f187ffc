"""Bases of equivariant linear maps."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition, check_shape
from eqjax.reps._blocks import Blocks
from eqjax.reps._constraints import solve
from eqjax.reps._decompose import parts_of
from eqjax.reps._irrep import Irrep, has_family
from eqjax.reps._kernel import stacked
from eqjax.reps._orbits import find_orbits
from eqjax.reps._rep import Rep, check_same_group
from eqjax.reps._standard import Trivial
from eqjax.reps._tensor import Tensor

_RESIDUAL, _SAFETY = 1e-8, 1e3


@dataclass(frozen=True, eq=False)
class EquivariantMaps:
    """A basis of the linear maps with rho_out(g) X = X rho_in(g); see `hom`.

    Attributes:
        rep_in: Representation of the arguments.
        rep_out: Representation of the results.
        num_maps: Number of basis maps; it may be zero.
        method: "orbits" of pairs of indices, "schur" between irreps, "null space" of
            the constraints, or "projection" of random maps.
        residual: Largest entry of rho_out X - X rho_in over the group's generators,
            relative to that of X, for X a random combination of all maps.
        gap: How far the maps are from the others: the smallest positive singular value
            of the constraints ("null space"), the smallest singular value of the
            projected maps ("projection"), infinite where nothing was cut off.
    """

    rep_in: Rep
    rep_out: Rep
    num_maps: int
    method: str
    residual: float
    gap: float
    _form: Any

    @functools.cached_property
    def basis(self) -> np.ndarray:
        """Orthonormal maps (NumPy, float64), (num_maps, rep_out.dim, rep_in.dim)."""
        eye = np.eye(self.num_maps)
        rows = [self._form.expand(row, np) for row in eye]
        shape = (self.num_maps, self.rep_out.dim, self.rep_in.dim)
        return np.array(rows).reshape(shape)

    def expand(self, weights: Float[Array, " maps"]) -> Float[Array, "out in"]:
        """The map sum_k weights_k basis_k, without building the basis.

        Args:
            weights: Shape (num_maps,).

        Returns:
            The matrix, shape (rep_out.dim, rep_in.dim), of the dtype of `weights`.

        Raises:
            ValueError: If `weights` has another shape.
        """
        check_shape("weights", weights, (self.num_maps,))
        matrix = self._form.expand(weights, jnp)
        return matrix.reshape(self.rep_out.dim, self.rep_in.dim)

    def apply(
        self, weights: Float[Array, " maps"], x: Float[Array, "in *channels"]
    ) -> Float[Array, "out *channels"]:
        """The map applied to vectors along the first axis.

        Args:
            weights: Shape (num_maps,).
            x: Vectors, shape (rep_in.dim, *channels), of the dtype of `weights`.

        Returns:
            Vectors, shape (rep_out.dim, *channels).

        Raises:
            ValueError: If a shape differs.
        """
        check_shape("weights", weights, (self.num_maps,))
        check_condition(
            getattr(x, "shape", ())[:1] == (self.rep_in.dim,),
            f"`x` must be an array of shape ({self.rep_in.dim}, *channels), got "
            f"{getattr(x, 'shape', type(x).__name__)}.",
        )
        if isinstance(self._form, Blocks) and self._form.is_sorted:
            return self._form.apply_sorted(weights, x)
        return jnp.tensordot(self.expand(weights), x, axes=1, precision="highest")

    def apply_irreps(
        self, weights: Float[Array, " maps"], x: Mapping[Irrep, Array]
    ) -> dict[Irrep, Array]:
        """The map between features that are split into irreps; see `split`.

        This is the way to compose layers: features stay split, and an irrep of
        dimension d and multiplicity m costs one product with an (m_out, m_in) matrix.

        Args:
            weights: Shape (num_maps,).
            x: Arrays (irrep.dim, multiplicity, *channels) by irrep. Irreps that are
                missing count as zero.

        Returns:
            The same for the irreps of `rep_out`.

        Raises:
            ValueError: If a shape differs, or the maps were not found between irreps.
        """
        check_shape("weights", weights, (self.num_maps,))
        if not (isinstance(self._form, Blocks) and self._form.is_direct):
            raise ValueError(
                f"The maps from {self.rep_in} to {self.rep_out} were found by "
                f"{self.method!r}, so that they have no blocks between irreps. Use "
                "`apply`, or pass sums of irreps to `reps.hom`."
            )
        return self._form.apply_irreps(weights, x)


def hom(rep_in: Rep, rep_out: Rep) -> EquivariantMaps:
    """All linear maps X with rho_out(g) X = X rho_in(g) for every g.

    The methods, in this order:

    1. Between permutation representations: one map per orbit of pairs of indices.
    2. Where the group's irreps are listed: both sides are split into irreps, and by
       Schur's lemma a map is a matrix of multiplicities per irrep (times 2 or 4 for
       complex or quaternionic type). Factors of tensor products change sides so that
       both have about the same dimension.
    3. Else the kernel of the constraints of all generators: by an eigendecomposition
       for up to 64 unknowns, by conjugate gradients from random maps beyond.

    Args:
        rep_in: Representation of the arguments.
        rep_out: Representation of the results.

    Returns:
        The maps, orthonormal. There may be none: `num_maps` is 0 then.

    Raises:
        ValueError: If the groups differ, or the third method would have more than 4,096
            unknowns.
        RuntimeError: If the maps found do not satisfy the constraints to 1e-8, or
            cannot be told from others.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, reps
        >>> vector = reps.standard(groups.SO(3))
        >>> maps = reps.hom(vector, vector**2)  # the cross product with a vector
        >>> maps.num_maps
        1
        >>> maps.expand(jnp.ones(1)).shape
        (9, 3)

    References:
        Finzi, Welling, Wilson, "A practical method for constructing equivariant
        multilayer perceptrons for arbitrary matrix groups" (2021), theorem 1 (the
        constraints of the generators suffice).
        Maron, Ben-Hamu, Shamir, Lipman, "Invariant and equivariant graph networks"
        (2019), section 3 (orbits).
    """
    check_same_group(rep_in, rep_out)
    return _hom(rep_in, rep_out)


@functools.lru_cache(maxsize=256)
def _hom(a: Rep, b: Rep) -> EquivariantMaps:
    images_a, images_b = a._permutations(), b._permutations()
    if images_a is not None and images_b is not None:
        form: Any = find_orbits(images_a, images_b)
        return EquivariantMaps(a, b, form.num_maps, "orbits", 0.0, math.inf, form)
    if has_family(a.group):
        try:
            rows, columns, is_direct = _cut(a, b)
            form = Blocks(parts_of(columns), parts_of(rows), is_direct)
            return _checked(a, b, columns, rows, "schur", form, math.inf)
        except RuntimeError:
            # Not completely reducible, or not with orthogonal complements: only the
            # constraints themselves are left.
            pass
    return _checked(a, b, a, b, *solve(a, b))


def _checked(
    a: Rep, b: Rep, columns: Rep, rows: Rep, method: str, form: Any, gap: float
) -> EquivariantMaps:
    """Measures the residual, as maps from `columns` to `rows`."""
    residual = 0.0
    if form.num_maps:
        numbers = np.random.Generator(np.random.PCG64(4))
        x = form.expand(numbers.standard_normal(form.num_maps), np)
        error = stacked(rows.generators) @ x - x @ stacked(columns.generators)
        residual = float(np.max(np.abs(error), initial=0.0) / np.max(np.abs(x)))
    if residual > _RESIDUAL or gap < _SAFETY * residual:
        raise RuntimeError(
            f"The equivariant maps from {a} to {b} could not be found safely: residual "
            f"{residual:.1e}, gap {gap:.1e}. Check with `testing.assert_homomorphism` "
            "that both are representations."
        )
    return EquivariantMaps(a, b, form.num_maps, method, residual, gap, form)


def _cut(a: Rep, b: Rep) -> tuple[Rep, Rep, bool]:
    """Rows, columns: the tensor b x a* cut into two of about the same dimension.

    The entries of a map stand in the same order before and after. The last value says
    whether these are b and a themselves.
    """
    factors_b = b.factors if isinstance(b, Tensor) else (b,)
    factors_a = a.factors if isinstance(a, Tensor) else (a,)
    total = [*factors_b, *(rep.dual for rep in factors_a)]
    direct = len(factors_b)
    if max(a.dim, b.dim) <= 4 * min(a.dim, b.dim):
        # Maps between the irreps of a and b themselves are worth a little more work.
        return b, a, True
    sizes = np.cumprod([rep.dim for rep in total])
    widest = np.maximum(sizes, sizes[-1] // sizes)[:-1]
    cut = 1 + int(np.argmin(widest))
    if cut == direct:
        return b, a, True
    return _product(total[:cut]), _product([rep.dual for rep in total[cut:]]), False


def _product(factors: list[Rep]) -> Rep:
    factors = [rep for rep in factors if not isinstance(rep, Trivial)] or factors[:1]
    return Tensor(tuple(factors)) if len(factors) > 1 else factors[0]
