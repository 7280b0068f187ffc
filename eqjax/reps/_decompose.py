"""Decomposition of representations into irreducible ones."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from eqjax.groups import left_cosets, subgroup_indices
from eqjax.reps._irrep import Irrep, commutant_of, family, irreps
from eqjax.reps._kernel import embeddings, stacked
from eqjax.reps._permutation import Quotient
from eqjax.reps._rep import Rep
from eqjax.reps._standard import Standard, Trivial
from eqjax.reps._sum import Sum
from eqjax.reps._tensor import Tensor

# Isometries (copies, dim, dim of the irrep) by irrep, in the order of irreps.
Parts = dict[Irrep, np.ndarray]
_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class Decomposition:
    """A representation as a sum of irreps: rho(g) = Q blockdiag(..) Q^T.

    Attributes:
        rep: The representation.
        terms: Pairs (irrep, multiplicity), sorted.
        basis: Q, orthogonal, float64, shape (dim, dim): columns run over terms, then
            copies, then components.
        residual: Largest entry of rho Q - Q blockdiag over the group's generators,
            relative to the largest entry of a generator.
    """

    rep: Rep
    terms: tuple[tuple[Irrep, int], ...]
    basis: np.ndarray
    residual: float


def decompose(rep: Rep) -> Decomposition:
    """Splits a representation into irreducible ones.

    Tensor products are split factor by factor, SO(3), O(3) by Clebsch-Gordan
    coefficients; other representations by their weights or by trial, and projection of
    random maps onto equivariant ones.

    Args:
        rep: A representation that is completely reducible, of a group whose irreps are
            listed (see `irrep`).

    Returns:
        The irreps, their multiplicities and the change of basis, which is orthogonal.

    Raises:
        ValueError: If the irreps of the group are not listed.
        RuntimeError: If the parts found do not make up the representation: it is not
            completely reducible, its Lie-algebra matrices are neither symmetric nor
            antisymmetric, or it is no representation.

    Example:
        >>> from eqjax import groups, reps
        >>> matrices = reps.standard(groups.O(3)) ** 2
        >>> [(rep.name, count) for rep, count in reps.decompose(matrices).terms]
        [('0e', 1), ('1e', 1), ('2e', 1)]
    """
    return _decompose(rep)


@functools.lru_cache(maxsize=1024)
def _decompose(rep: Rep) -> Decomposition:
    parts = parts_of(rep)
    terms = tuple((irrep, len(parts[irrep])) for irrep in sorted(parts))
    columns = [
        parts[irrep].transpose(1, 0, 2).reshape(rep.dim, -1) for irrep, _ in terms
    ]
    basis = np.concatenate(columns, axis=1)
    basis.setflags(write=False)
    residual = 0.0
    full = stacked(rep.generators)
    start = 0
    for irrep, count in terms:
        small = stacked(irrep.generators)
        block = basis[:, start : start + count * irrep.dim]
        moved = (full @ block).reshape(len(full), rep.dim, count, irrep.dim)
        block = block.reshape(rep.dim, count, irrep.dim)
        error = moved - np.einsum("ncd,kde->knce", block, small)
        residual = max(residual, float(np.max(np.abs(error), initial=0.0)))
        start += count * irrep.dim
    size = max(1.0, float(np.max(np.abs(full), initial=0.0)))
    skew = float(np.max(np.abs(basis.T @ basis - np.eye(rep.dim))))
    if max(residual / size, skew) > _TOLERANCE:
        raise RuntimeError(
            f"{rep} could not be split by an orthogonal change of basis: the residual "
            f"is {residual:.1e}, and basis vectors are orthonormal to {skew:.1e}. "
            "Its matrices must be orthogonal, those of the Lie algebra of a group that "
            "is not compact symmetric or antisymmetric; `reps.hom` needs neither."
        )
    return Decomposition(rep, terms, basis, residual / size)


@functools.lru_cache(maxsize=1024)
def parts_of(rep: Rep) -> Parts:
    """The isometries of the irreps into a representation, with orthogonal images."""
    if isinstance(rep, Irrep):
        return {rep: np.eye(rep.dim)[None]}
    if isinstance(rep, Trivial):
        return {Irrep(rep.group, family(rep.group).trivial): np.ones((1, 1, 1))}
    label = family(rep.group).standard if isinstance(rep, Standard) else None
    if label is not None:
        return {Irrep(rep.group, label): np.eye(rep.dim)[None]}
    if isinstance(rep, Sum):
        return _parts_of_sum(rep)
    if isinstance(rep, Tensor):
        return _parts_of_product(rep.factors)
    if isinstance(rep, Quotient):
        return _parts_of_quotient(rep)
    return _found(rep)


def _parts_of_sum(rep: Sum) -> Parts:
    """The parts of all terms, each in its rows."""
    collected: dict[Irrep, list[np.ndarray]] = {}
    start = 0
    for term, multiplicity in rep.terms:
        for irrep, isometries in parts_of(term).items():
            copies = len(isometries)
            placed = np.zeros((multiplicity, copies, rep.dim, irrep.dim))
            for m in range(multiplicity):
                rows = slice(start + m * term.dim, start + (m + 1) * term.dim)
                placed[m, :, rows] = isometries
            placed = placed.reshape(-1, rep.dim, irrep.dim)
            collected.setdefault(irrep, []).append(placed)
        start += multiplicity * term.dim
    return {irrep: np.concatenate(collected[irrep]) for irrep in collected}


def _parts_of_product(factors: tuple[Rep, ...]) -> Parts:
    """Factor by factor: never in the whole product at once."""
    total = parts_of(factors[0])
    for factor in factors[1:]:
        collected: dict[Irrep, list[np.ndarray]] = {}
        for a, left in total.items():
            for b, right in parts_of(factor).items():
                size = left.shape[1] * right.shape[1]
                pairs = np.einsum("aij,bkl->abikjl", left, right)
                pairs = pairs.reshape(-1, size, a.dim * b.dim)
                for irrep, coupling in _coupled(a, b):
                    # (pairs, size, da db) x (copies, da db, d)
                    isometries = pairs[:, None] @ coupling[None]
                    collected.setdefault(irrep, []).append(
                        isometries.reshape(-1, size, irrep.dim)
                    )
        total = {irrep: np.concatenate(collected[irrep]) for irrep in collected}
    return total


def _parts_of_quotient(rep: Quotient) -> Parts:
    """v -> <v, D(s) w> for representatives s and vectors w that H leaves alone."""
    group, parts = rep.group, {}
    table = group.tables.matrices
    representatives, fixing = np.arange(group.order), np.zeros(1, int)
    if rep.subgroup is not None:
        representatives = left_cosets(rep.subgroup, group).representatives
        fixing = subgroup_indices(rep.subgroup, group)
    for irrep in irreps(group):
        matrices = irrep._matrix_at(table)
        fixed = np.mean(matrices[fixing], axis=0)
        found = []
        for _ in range(round(float(np.trace(fixed))) // irrep.commutant_dim):
            # The column of the projection that is left with the largest part.
            w = fixed[:, int(np.argmax(np.diag(fixed)))]
            w = w / np.linalg.norm(w)
            # What commutes with the irrep moves w to vectors with the same image.
            moved = commutant_of(irrep) @ w
            fixed = fixed - moved.T @ moved
            isometry = matrices[representatives] @ w
            found.append(isometry * np.sqrt(irrep.dim / rep.dim))
        if found:
            parts[irrep] = np.array(found)
    return parts


@functools.lru_cache(maxsize=4096)
def _coupled(a: Irrep, b: Irrep) -> tuple[tuple[Irrep, np.ndarray], ...]:
    """The irreps in a product of two, with their isometries."""
    closed = family(a.group).couple(a.label, b.label)
    if closed is not None:
        return tuple((Irrep(a.group, label), array) for label, array in closed)
    trivial = family(a.group).trivial
    for one, other in ((a, b), (b, a)):
        if one.label == trivial:
            return ((other, np.eye(other.dim)[None]),)
    return tuple(_found(Tensor((a, b))).items())


def _found(rep: Rep) -> Parts:
    """Tries the irreps that may occur, until they make up the representation."""
    generators = rep.generators
    full = stacked(generators)
    parts: Parts = {}
    rest = rep.dim
    for labels, limit in family(rep.group).candidates(*generators):
        if rest == 0:
            break
        for label in labels:
            irrep: Any = Irrep(rep.group, label)
            if rest < irrep.dim or limit == 0:
                continue
            small = stacked(irrep.generators)
            found = embeddings(small, full, min(limit, rest // irrep.dim))
            if len(found):
                parts[irrep] = found
                rest -= len(found) * irrep.dim
                limit -= len(found)
    if rest:
        raise RuntimeError(
            f"{rep} of {rep.group} could not be split into irreps: {rest} of its "
            f"{rep.dim} dimensions are missing. Check with "
            "`testing.assert_homomorphism` that it is a representation. It must be "
            "completely reducible, with symmetric or antisymmetric matrices for the "
            "Lie algebra; `reps.hom` needs neither."
        )
    return parts
