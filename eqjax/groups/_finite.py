"""What the finite groups share: their tables, and their laws by table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from eqjax._core._batch import match_batch
from eqjax._core._checks import check_condition, check_size
from eqjax.groups._group import Generators

# The multiplication table of a group of this order takes 102 MB.
MAX_TABLE_ORDER = 5040
# Entries of all the matrices of a group together; as many take 512 MiB.
MAX_MATRIX_ENTRIES = 2**26


class FiniteTables(NamedTuple):
    """A finite group in numbers (NumPy); element 0 is the identity.

    Attributes:
        product: Entry [i, j] is the index of g_i g_j, shape (order, order), int32.
        inverse: Index of the inverse of each element, shape (order,), int32.
        matrices: The defining representation, shape (order, n, n), float64.
        generators: Indices of a few elements that generate the group, in a fixed order.
    """

    product: np.ndarray
    inverse: np.ndarray
    matrices: np.ndarray
    generators: tuple[int, ...]


class Enumeration(NamedTuple):
    """The elements that generators generate, in the order of a breadth-first search.

    Attributes:
        elements: Stacked, shape (order, ...); the identity comes first.
        left: Entry [s, i] is the index of generator s times element i, int32.
        generators: Index of each generator.
    """

    elements: np.ndarray
    left: np.ndarray
    generators: tuple[int, ...]


# Tables (NumPy) ----------------------------------------------------------------------


def enumerate_group(
    generators: Sequence[np.ndarray],
    identity: np.ndarray,
    multiply: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    limit: int = MAX_TABLE_ORDER,
) -> Enumeration:
    """Enumerates the group that the generators generate.

    Elements are integer arrays, equal as group elements only if equal as arrays.

    Raises:
        ValueError: If there are more than `limit` elements.
    """
    elements = [identity]
    index = {identity.tobytes(): 0}
    left: list[list[int]] = [[] for _ in generators]
    position = 0
    while position < len(elements):
        for s, generator in enumerate(generators):
            product = multiply(generator, elements[position])
            found = index.setdefault(product.tobytes(), len(elements))
            if found == len(elements):
                check_condition(
                    found < limit,
                    f"The generators generate more than {limit} elements, which is "
                    "the largest order with tables. Use fewer or other generators.",
                )
                elements.append(product)
            left[s].append(found)
        position += 1
    return Enumeration(
        np.stack(elements),
        np.array(left, np.int32).reshape(len(generators), len(elements)),
        tuple(row[0] for row in left),
    )


def product_table(left: np.ndarray) -> np.ndarray:
    """The multiplication table from the products with generators on the left.

    Row by row: (s g_i) g_j = s (g_i g_j), so that row s g_i is row i, looked up in the
    products with s.
    """
    order = left.shape[1]
    product = np.empty((order, order), np.int32)
    product[0] = np.arange(order)
    found = [0]
    known = {0}
    for i in found:
        for table in left:
            row = int(table[i])
            if row not in known:
                np.take(table, product[i], out=product[row])
                known.add(row)
                found.append(row)
    return product


def inverse_table(product: np.ndarray) -> np.ndarray:
    """Where each row of a multiplication table holds the identity."""
    return np.argmin(product, axis=1).astype(np.int32)


def nontrivial(indices: Sequence[int]) -> tuple[int, ...]:
    """The indices in their order, without repetitions and without the identity."""
    return tuple(dict.fromkeys(int(index) for index in indices if index != 0))


def frozen(tables: FiniteTables) -> FiniteTables:
    """The same tables, which are shared, so that nobody writes into them."""
    for table in (tables.product, tables.inverse, tables.matrices):
        table.setflags(write=False)
    return tables


def check_order(name: str, order: int) -> None:
    """Raises `ValueError` for a group too large for tables."""
    check_condition(
        order <= MAX_TABLE_ORDER,
        f"{name} has {order} elements; tables exist up to order {MAX_TABLE_ORDER}. "
        "Use the methods of the group that need no table.",
    )


def turn_matrices(n: int) -> np.ndarray:
    """The rotations of the plane by 2 pi k / n, k = 0, .., n - 1, shape (n, 2, 2).

    Cosine and sine are taken of the angle's image in the first eighth of the circle, so
    that mirror images differ in signs and places only, and 0, 1/2 and 1 are exact.
    """
    # The angle is 2 pi part / (4 n).
    part = 4 * np.arange(n)
    below = part > 2 * n
    part = np.where(below, 4 * n - part, part)
    behind = part > n
    part = np.where(behind, 2 * n - part, part)
    steep = 2 * part > n
    part = np.where(steep, n - part, part)
    angle = np.pi * part / (2 * n)
    cos, sin = np.cos(angle), np.sin(angle)
    sin = np.where(3 * part == n, 0.5, sin)
    sin = np.where(2 * part == n, cos, sin)
    cos, sin = np.where(steep, sin, cos), np.where(steep, cos, sin)
    cos, sin = np.where(behind, -cos, cos), np.where(below, -sin, sin)
    # Adding zero turns -0 into 0.
    return 0 + np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def finite_generators(matrices: np.ndarray) -> Generators:
    """No Lie algebra; the matrices of the generating elements, shape (m, n, n)."""
    return Generators(np.zeros((0, *matrices.shape[1:])), np.array(matrices))


# Laws by table (JAX) -----------------------------------------------------------------


def as_index(a: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
    """The same indices as int32."""
    return a.astype(jnp.int32)


def compose(
    product: np.ndarray, a: Int[Array, "*#batch"], b: Int[Array, "*#batch"]
) -> Int[Array, "*batch"]:
    """Looks the product up."""
    a, b = match_batch((as_index(a), 0), (as_index(b), 0))
    return jnp.asarray(product)[a, b]


def take(table: np.ndarray, a: Int[Array, "*batch"], dtype: DTypeLike | None) -> Array:
    """Entries of a table of floats, in the given or the default dtype."""
    dtype = jnp.result_type(float) if dtype is None else dtype
    return jnp.asarray(table, dtype)[as_index(a)]


def move(
    m: Float[Array, "*#batch n n"], x: Float[Array, "*#batch n"]
) -> Float[Array, "*batch n"]:
    """Matrices times vectors."""
    m, x = match_batch((m, 2), (x, 1))
    return jnp.einsum("...ij,...j->...i", m, x, precision="highest")


def nearest(
    matrices: np.ndarray, m: Float[Array, "*batch n n"]
) -> Int[Array, "*batch"]:
    """Index of the orthogonal matrix nearest to m in the Frobenius norm."""
    table = jnp.asarray(matrices, m.dtype)
    inner = jnp.einsum("gij,...ij->...g", table, m, precision="highest")
    return jnp.argmax(inner, axis=-1).astype(jnp.int32)


def sample_index(order: int, key: Key[Array, ""]) -> Int[Array, ""]:
    """A uniformly distributed index."""
    return jax.random.randint(key, (), 0, order, jnp.int32)


def uniform_weights(order: int, degree: int) -> np.ndarray:
    """The weights 1 / order of the mean over all elements."""
    check_size("degree", degree, minimum=0)
    return np.full(order, 1 / order)


# The Lie algebra of a finite group has dimension zero --------------------------------


def no_log(batch: tuple[int, ...]) -> Float[Array, "*batch 0"]:
    """No coordinates, in the default dtype."""
    return jnp.zeros((*batch, 0))


def no_adjoint(batch: tuple[int, ...]) -> Float[Array, "*batch 0 0"]:
    """The matrix of size zero, in the default dtype."""
    return jnp.zeros((*batch, 0, 0))


def no_hat(v: Float[Array, "*batch 0"], n: int) -> Float[Array, "*batch n n"]:
    """The zero matrix."""
    return jnp.zeros((*v.shape[:-1], n, n), v.dtype)


def no_vee(m: Float[Array, "*batch n n"]) -> Float[Array, "*batch 0"]:
    """No coordinates."""
    return jnp.zeros((*m.shape[:-2], 0), m.dtype)
