"""Subgroups: which groups contain which, by which homomorphism."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from jax.typing import DTypeLike

from eqjax._core._checks import check_condition
from eqjax.groups._embeddings import find_embedding, find_indices, is_finite
from eqjax.groups._group import Element, Group

_KNOWN = """\
every group in itself;
Cyclic(n) in Cyclic(m) and Dihedral(m), Dihedral(n) in Dihedral(m), where n divides m;
Cyclic(n) in SO(2) and O(2), Dihedral(n) in O(2);
Cyclic(n), Dihedral(n) in Polyhedral(...), where the axes fit;
Polyhedral(...) in Polyhedral(...), in O(3), and rotations in SO(3);
Symmetric(m), FiniteGroup(...) of m things in Symmetric(n) for m <= n, and in
FiniteGroup(...) that has their permutations;
SO(n) in O(n); SO(m), O(m) and their subgroups in SO(n), O(n) for m < n;
Translation(n) and subgroups of SO(n) in SE(n);
Translation(n), SE(n) and subgroups of O(n) in E(n);
Translation(n), H and subgroups of H in Semidirect(Translation(n), H), likewise;
SE(n), E(n), Semidirect(Translation(n), H) in each other where their H are;
SO(n) and its subgroups, Sp(n / 2), SL(n) in SL(n), GLPlus(n); Scaling(n) in GLPlus(n);
SU(n) in U(n); rotations of space in Lorentz(n, ...), with reflections where it has
them, and Lorentz(n, ...) in those with more reflections."""


class LeftCosets(NamedTuple):
    """The left cosets g H of a finite subgroup H in a finite group G.

    Attributes:
        representatives: Index of the first element of each coset, shape (|G| / |H|,),
            int32, ascending; the first is the identity's, 0.
        coset_of: For each element of G the place of its coset in `representatives`,
            shape (|G|,), int32.
    """

    representatives: np.ndarray
    coset_of: np.ndarray


def is_subgroup(sub: Group, group: Group) -> bool:
    """Whether `embed` knows an injective homomorphism from `sub` to `group`.

    Known are the pairs that `embed` lists. `False` is not a proof that there is none:
    other groups may be isomorphic to a subgroup in a way that is not registered.

    Args:
        sub: The smaller group.
        group: The larger group.

    Returns:
        A Python boolean, static.

    Example:
        >>> from eqjax import groups
        >>> groups.is_subgroup(groups.Cyclic(2), groups.Cyclic(6))
        True
        >>> groups.is_subgroup(groups.Cyclic(4), groups.Cyclic(6))
        False
    """
    return find_embedding(sub, group) is not None


def embed(
    sub: Group, group: Group, a: Element, *, dtype: DTypeLike | None = None
) -> Element:
    """The element of `group` that the element `a` of the subgroup `sub` is.

    An injective homomorphism: embed(a b) = embed(a) embed(b). Known pairs:

    - every group in itself, also where `sigma` or the kind of elements differs;
    - C_n in C_m and D_m, D_n in D_m where n divides m; C_n in SO(2), D_n in O(2);
    - SO(n) in O(n); O(m) in SO(n) as diag(h, det h, 1, .., 1), m < n: rotations of the
      plane turn about the z axis, and its mirrors become half turns about axes in it;
    - C_n and D_n in polyhedral groups with such axes, by the same rule;
    - polyhedral groups in each other, in O(3), and in SO(3) if they are rotations;
    - S_m, or a `FiniteGroup` of m things, in S_n for m <= n, fixing the last things,
      and in a `FiniteGroup` that has all its permutations;
    - Translation(n) in SE(n), E(n); SO(n) in SE(n), O(n) in E(n) as (0, h); SE(n) in
      E(n); likewise in `Semidirect`, and affine groups in each other where their linear
      parts are;
    - SO(n), Sp(n / 2) and SL(n) in SL(n) and GLPlus(n), Scaling(n) in GLPlus(n), SU(n)
      in U(n);
    - SO(n) in Lorentz(n), O(n) where it reflects space, as diag(1, h); Lorentz(n, ..)
      in those with more reflections;
    - chains of these. Chains from one group to another all give the same element.

    The matrices agree: that of the element of a larger space has the matrix of `a` as
    its first block.

    Args:
        sub: The smaller group.
        group: The larger group.
        a: Element of `sub`; leading batch axes are kept.
        dtype: Dtype of floating-point parts where `sub` has none (finite groups);
            default: JAX's default.

    Returns:
        The element of `group`.

    Raises:
        ValueError: If no homomorphism is registered for the pair; the message lists
            what is.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups
        >>> C, D = groups.Cyclic(2), groups.Dihedral(6)
        >>> int(groups.embed(C, D, jnp.asarray(1)))
        3
        >>> angle = groups.embed(C, groups.SO(2), jnp.asarray(1))
        >>> round(float(angle), 4)
        3.1416
    """
    embedding = find_embedding(sub, group)
    if embedding is None:
        raise ValueError(_unknown(sub, group))
    return embedding(a, dtype)


def subgroup_indices(sub: Group, group: Group) -> np.ndarray:
    """Where the elements of a finite subgroup lie in the tables of the group.

    Entry i is the index in `group.tables` of the element that number i of `sub.tables`
    is in `group`: product_G[indices[i], indices[j]] = indices[product_H[i, j]].

    Args:
        sub: The smaller group, finite.
        group: The larger group, finite.

    Returns:
        NumPy array of shape (sub.order,), int32.

    Raises:
        ValueError: If a group is not finite, or `sub` is no registered subgroup.

    Example:
        >>> from eqjax import groups
        >>> groups.subgroup_indices(groups.Dihedral(2), groups.Dihedral(4)).tolist()
        [0, 2, 4, 6]
    """
    for name, value in (("sub", sub), ("group", group)):
        check_condition(
            is_finite(value),
            f"`{name}` must be a finite group, got {value}. Use `embed` for infinite "
            "ones.",
        )
    indices = find_indices(sub, group)
    if indices is None:
        raise ValueError(_unknown(sub, group))
    return indices.copy()


def left_cosets(sub: Group, group: Group) -> LeftCosets:
    """Splits a finite group into the left cosets g H of a subgroup H.

    G acts on them: g sends the coset of x to `coset_of[product[g, x]]`.

    Args:
        sub: The subgroup H, finite.
        group: The group G, finite.

    Returns:
        Representatives, and the coset of each element.

    Raises:
        ValueError: If a group is not finite, or `sub` is no registered subgroup.

    Example:
        >>> from eqjax import groups
        >>> cosets = groups.left_cosets(groups.Cyclic(2), groups.Cyclic(6))
        >>> cosets.representatives.tolist(), cosets.coset_of.tolist()
        ([0, 1, 2], [0, 1, 2, 0, 1, 2])
    """
    indices = subgroup_indices(sub, group)
    product = cast(Any, group).tables.product
    # The smallest index in the coset of each element.
    first = np.min(product[:, indices], axis=1)
    representatives, coset_of = np.unique(first, return_inverse=True)
    return LeftCosets(representatives, coset_of.astype(np.int32))


def _unknown(sub: Any, group: Any) -> str:
    return (
        f"{sub} is no registered subgroup of {group}. Known are:\n{_KNOWN}\n"
        "Choose one of these pairs, or map the elements yourself."
    )
