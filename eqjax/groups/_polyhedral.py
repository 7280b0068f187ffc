"""The point groups of the regular solids: T, T_h, T_d, O, O_h, I, I_h."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from eqjax._core._checks import check_choice, check_condition
from eqjax._core._specs import register_spec
from eqjax.groups import _finite as finite
from eqjax.groups._finite import FiniteTables
from eqjax.groups._group import Generators

_GOLDEN = (1 + np.sqrt(5)) / 2
# Twice the entries of each generator are a + b times the golden ratio, so a matrix is
# the pair of the integer matrices (a, b), and products are exact.
_ZERO = ((0, 0, 0), (0, 0, 0), (0, 0, 0))
# x -> y -> z -> x, a third of a turn about (1, 1, 1).
_THIRD = (((0, 0, 2), (2, 0, 0), (0, 2, 0)), _ZERO)
# Half and quarter of a turn about z.
_HALF = (((-2, 0, 0), (0, -2, 0), (0, 0, 2)), _ZERO)
_QUARTER = (((0, -2, 0), (2, 0, 0), (0, 0, 2)), _ZERO)
# A fifth of a turn about the vertex (0, 1, golden ratio) of the icosahedron.
_FIFTH = (
    ((-1, 0, 1), (0, 1, -1), (-1, -1, 0)),
    ((1, -1, 0), (1, 0, 1), (0, 1, 1)),
)
_ROTATIONS = {
    "tetrahedral": (_THIRD, _HALF),
    "octahedral": (_THIRD, _QUARTER),
    "icosahedral": (_THIRD, _FIFTH),
}


@register_spec
@dataclass(frozen=True, order=True)
class Polyhedral:
    """The rotations, or all isometries, of a regular solid about its centre.

    =============  ================  ==========================  =================
    `solid`        neither           `inversion=True`            `mirrors=True`
    =============  ================  ==========================  =================
    tetrahedral    T, 12 rotations   T_h = T x {1, -1}, 24       T_d, 24
    octahedral     O, 24 rotations   O_h = O x {1, -1}, 48       (is O_h)
    icosahedral    I, 60 rotations   I_h = I x {1, -1}, 120      (is I_h)
    =============  ================  ==========================  =================

    The coordinate axes are axes of order two of T and I and of order four of O, the
    vertices of the tetrahedron are (1, 1, 1), (1, -1, -1), .., those of the icosahedron
    (0, +-1, +-golden ratio) and their cyclic permutations. So T is a subgroup of O and
    of I. T_d consists of T and of T times the mirror that exchanges x and y: all
    isometries of the tetrahedron.

    An element is an index of shape (), int32. The rotations come first, in the order of
    a breadth-first search; element r + i, with r the number of rotations, is the
    rotation i followed by the inversion, or preceded by that mirror.

    Args:
        solid: "tetrahedral", "octahedral" or "icosahedral".
        inversion: Include x -> -x.
        mirrors: Include the mirrors of the tetrahedron, without the inversion.

    Raises:
        ValueError: If `solid` is another word, or `mirrors` is given with another solid
            or with `inversion`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> G = groups.Polyhedral("octahedral", inversion=True)
        >>> G.order
        48
        >>> G.act(jnp.asarray(1), jnp.array([1.0, 2.0, 3.0])).tolist()
        [3.0, 1.0, 2.0]

    References:
        Conway and Smith, "On Quaternions and Octonions" (2003), chapter 3.
    """

    solid: str
    inversion: bool = field(default=False, kw_only=True)
    mirrors: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_choice("solid", self.solid, tuple(_ROTATIONS))
        check_choice("inversion", self.inversion, (False, True))
        check_choice("mirrors", self.mirrors, (False, True))
        check_condition(
            not self.mirrors or (self.solid == "tetrahedral" and not self.inversion),
            "`mirrors=True` is T_d, the tetrahedral group with mirrors and without "
            f"inversion; got solid={self.solid!r}, inversion={self.inversion}. The "
            'octahedral group with mirrors is Polyhedral("octahedral", inversion=True),'
            ' the icosahedral one Polyhedral("icosahedral", inversion=True).',
        )

    @property
    def order(self) -> int:
        """Number of elements."""
        rotations = {"tetrahedral": 12, "octahedral": 24, "icosahedral": 60}
        return rotations[self.solid] * (2 if self.inversion or self.mirrors else 1)

    @property
    def dim(self) -> int:
        """0: the group is finite."""
        return 0

    @property
    def degree(self) -> int:
        """Size of the vectors that `act` moves, 3."""
        return 3

    @property
    def sample_measure(self) -> str:
        """ "haar": `sample` is uniform."""
        return "haar"

    @property
    def tables(self) -> FiniteTables:
        """Multiplication table, inverses and matrices (NumPy, shared, read-only)."""
        return _build(self).tables

    def index(self, a: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """The place of a in the tables: a itself."""
        return finite.as_index(a)

    def element(self, index: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """The element at a place in the tables: the index itself."""
        return finite.as_index(index)

    def quaternion(
        self, a: Int[Array, "*batch"], *, dtype: DTypeLike | None = None
    ) -> Float[Array, "*batch 4"]:
        """The unit quaternion q (w, x, y, z) with matrix(a) = (-1)^parity(a) R(q).

        The first of its numbers that is not zero is positive.
        """
        return finite.take(_build(self).quaternions, a, dtype)

    def parity(self, a: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """0 for a rotation, 1 for an improper element, int32."""
        return jnp.asarray(_build(self).parities)[finite.as_index(a)]

    def identity(self, *, dtype: DTypeLike | None = None) -> Int[Array, ""]:
        """The index 0; `dtype` is that of floating-point parts, which it has not."""
        return jnp.zeros((), jnp.int32)

    def compose(
        self, a: Int[Array, "*#batch"], b: Int[Array, "*#batch"]
    ) -> Int[Array, "*batch"]:
        """The element b, followed by the element a."""
        return finite.compose(self.tables.product, a, b)

    def inverse(self, a: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """The inverse element."""
        return jnp.asarray(self.tables.inverse)[finite.as_index(a)]

    def exp(self, v: Float[Array, "*batch 0"]) -> Int[Array, "*batch"]:
        """The identity: the Lie algebra has dimension zero."""
        return jnp.zeros(v.shape[:-1], jnp.int32)

    def log(self, a: Int[Array, "*batch"]) -> Float[Array, "*batch 0"]:
        """No coordinates; a logarithm of the identity only."""
        return finite.no_log(a.shape)

    def adjoint(self, a: Int[Array, "*batch"]) -> Float[Array, "*batch 0 0"]:
        """The matrix of size zero."""
        return finite.no_adjoint(a.shape)

    def hat(self, v: Float[Array, "*batch 0"]) -> Float[Array, "*batch 3 3"]:
        """The zero matrix."""
        return finite.no_hat(v, 3)

    def vee(self, m: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 0"]:
        """No coordinates."""
        return finite.no_vee(m)

    def matrix(
        self, a: Int[Array, "*batch"], *, dtype: DTypeLike | None = None
    ) -> Float[Array, "*batch 3 3"]:
        """The orthogonal matrix, in the given or the default dtype."""
        return finite.take(self.tables.matrices, a, dtype)

    def from_matrix(self, m: Float[Array, "*batch 3 3"]) -> Int[Array, "*batch"]:
        """The element whose matrix is nearest to m."""
        return finite.nearest(self.tables.matrices, m)

    def act(
        self, a: Int[Array, "*#batch"], x: Float[Array, "*#batch 3"]
    ) -> Float[Array, "*batch 3"]:
        """The moved vectors; batch axes of a and x broadcast."""
        return finite.move(self.matrix(a, dtype=x.dtype), x)

    def sample(
        self, *, dtype: DTypeLike | None = None, key: Key[Array, ""]
    ) -> Int[Array, ""]:
        """A uniformly distributed element."""
        return finite.sample_index(self.order, key)

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """All elements, weights 1 / order: exact for every degree."""
        weights = finite.uniform_weights(self.order, degree)
        return np.arange(self.order, dtype=np.int32), weights

    @property
    def generators(self) -> Generators:
        """Two rotations, and the inversion or the mirror."""
        tables = self.tables
        return finite.finite_generators(tables.matrices[list(tables.generators)])


class _Solid(NamedTuple):
    """A group with the rotation parts of its elements."""

    tables: FiniteTables
    quaternions: np.ndarray
    parities: np.ndarray


@functools.lru_cache(maxsize=8)
def _build(spec: Polyhedral) -> _Solid:
    generators = [np.array(pair) for pair in _ROTATIONS[spec.solid]]
    identity = np.stack([2 * np.eye(3, dtype=int), np.zeros((3, 3), int)])
    rotations = finite.enumerate_group(generators, identity, _multiply)
    product = finite.product_table(rotations.left)
    elements, indices = rotations.elements, list(rotations.generators)
    if spec.inversion or spec.mirrors:
        # Elements R m^f, m of order two: R m^f S m^g = R (m^f S m^f) m^(f + g).
        order = len(elements)
        m = np.eye(3, dtype=int)[[1, 0, 2]] if spec.mirrors else -np.eye(3, dtype=int)
        turned = m @ elements @ m
        equal = np.all(turned[:, None] == elements[None], axis=(2, 3, 4))
        conjugate = np.argmax(equal, axis=1)
        moved = product[:, conjugate]
        product = np.block([[product, product + order], [moved + order, moved]])
        elements = np.concatenate([elements, elements @ m])
        indices.append(order)
    matrices = (elements[:, 0] + _GOLDEN * elements[:, 1]) / 2
    # The determinant of a matrix near +-1.
    signs = np.sign(np.linalg.det(matrices))
    quaternions = _quaternions(matrices * signs[:, None, None])
    parities = (signs < 0).astype(np.int32)
    product = product.astype(np.int32)
    inverse = finite.inverse_table(product)
    tables = FiniteTables(product, inverse, matrices, finite.nontrivial(indices))
    return _Solid(finite.frozen(tables), quaternions, parities)


def _multiply(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Half the product of (a + b golden) and (c + d golden); golden^2 = golden + 1."""
    (a, b), (c, d) = p, q
    last = b @ d
    return np.stack([a @ c + last, a @ d + b @ c + last]) // 2


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    """Unit quaternions of rotation matrices (m, 3, 3), with a sign of their own."""
    r = rotations
    # Four times the outer product of the quaternion with itself; of its rows the one
    # with the largest diagonal entry is the most accurate.
    outer = np.empty((len(r), 4, 4))
    trace = np.trace(r, axis1=1, axis2=2)
    outer[:, 0, 0] = 1 + trace
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        outer[:, 0, i + 1] = outer[:, i + 1, 0] = r[:, k, j] - r[:, j, k]
        outer[:, i + 1, i + 1] = 1 - trace + 2 * r[:, i, i]
        outer[:, j + 1, k + 1] = outer[:, k + 1, j + 1] = r[:, k, j] + r[:, j, k]
    best = np.argmax(np.diagonal(outer, axis1=1, axis2=2), axis=1)
    q = outer[np.arange(len(r)), best]
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    # Components of these groups' quaternions are zero or at least 0.3.
    q[np.abs(q) < 1e-9] = 0
    first = np.take_along_axis(q, np.argmax(q != 0, axis=1)[:, None], axis=1)
    return 0 + q * np.sign(first)
