"""Hidden representations: a number of components, spread over small tensors."""

from __future__ import annotations

from eqjax._core._checks import check_size
from eqjax.groups import Group
from eqjax.reps._decompose import decompose
from eqjax.reps._hom import hom
from eqjax.reps._irrep import Irrep, has_family
from eqjax.reps._rep import Rep
from eqjax.reps._standard import Standard, Trivial
from eqjax.reps._sum import add, copies


def uniform(group: Group, channels: int) -> Rep:
    """A representation of a given dimension, from tensors of order 0, 1 and 2.

    A third of the components goes to copies of V x V, with V the standard
    representation; half of what is left to copies of V; the rest, including what does
    not fill a copy, to the trivial representation. Where V has no invariant inner
    product that identifies it with its dual, V + V* stands for V, as there would be no
    invariants otherwise.

    Where the group's irreps are listed (O(3), O(5), Lorentz, S_n, .., see `irrep`), it
    is the sum of the irreps in these, sorted, so that features can be split: their
    multiplicities are the channels of `nn` layers. Elsewhere it is the sum of the
    tensors themselves.

    Args:
        group: The group.
        channels: Number of components.

    Returns:
        The representation, of dimension `channels`.

    Raises:
        ValueError: If `channels` is not positive.

    Example:
        >>> from eqjax import groups, reps
        >>> hidden = reps.uniform(groups.O(3), 384)
        >>> [(rep.name, count) for rep, count in hidden.terms]
        [('0e', 143), ('1o', 43), ('1e', 14), ('2e', 14)]
        >>> hidden.dim
        384

    References:
        Finzi, Welling, Wilson, "A practical method for constructing equivariant
        multilayer perceptrons for arbitrary matrix groups" (2021), section 5: hidden
        representations with about as many components of every order.
    """
    check_size("channels", channels)
    vector: Rep = Standard(group)
    if not vector.is_orthogonal and hom(vector, vector.dual).num_maps == 0:
        vector = add(vector, vector.dual)
    square = vector * vector
    num_squares = channels // 3 // square.dim
    rest = channels - num_squares * square.dim
    # A small budget has vectors at least: scalars alone see no input.
    num_vectors = rest // 2 // vector.dim or int(rest > vector.dim)
    rest -= num_vectors * vector.dim
    terms = ((Trivial(group), rest), (vector, num_vectors), (square, num_squares))
    counts: dict[Rep, int] = {}
    for rep, count in terms:
        for part, multiplicity in _parts(rep) if count else ():
            counts[part] = counts.get(part, 0) + multiplicity * count
    order = list(counts)
    if all(isinstance(rep, Irrep) for rep in order):
        order = sorted(rep for rep in order if isinstance(rep, Irrep))
    total: Rep | None = None
    for rep in order:
        term = copies(rep, counts[rep])
        total = term if total is None else add(total, term)
    assert total is not None
    return total


def _parts(rep: Rep) -> tuple[tuple[Rep, int], ...]:
    """Its irreps and their multiplicities, or itself where they are not listed."""
    if not has_family(rep.group):
        return ((rep, 1),)
    try:
        return decompose(rep).terms
    except RuntimeError:  # not completely reducible: all of it stays whole
        return ((rep, 1),)
