"""Features split into irreps, and their exchange with e3nn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqjax._core._checks import check_condition
from eqjax.groups import O
from eqjax.reps._decompose import decompose
from eqjax.reps._irrep import Irrep
from eqjax.reps._rep import Rep
from eqjax.reps._sum import Sum, add, copies

_O3 = O(3)


def split(rep: Rep, x: Float[Array, "dim *channels"]) -> dict[Irrep, Array]:
    """The parts of a feature in the irreps of its representation.

    Args:
        rep: The representation.
        x: Vectors, shape (rep.dim, *channels).

    Returns:
        Arrays (irrep.dim, multiplicity, *channels) by irrep, in sorted order. A group
        element moves the first axis of each by the irrep's matrix.

    Raises:
        ValueError: If the shape differs, or the group's irreps are not listed.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, reps
        >>> matrix = reps.standard(groups.SO(3)) ** 2
        >>> parts = reps.split(matrix, jnp.eye(3).reshape(9))
        >>> {rep.name: part.shape for rep, part in parts.items()}
        {'0': (1, 1), '1': (3, 1), '2': (5, 1)}
    """
    _check(rep, x)
    decomposition = decompose(rep)
    basis = jnp.asarray(decomposition.basis.T, x.dtype)
    y = jnp.tensordot(basis, x, axes=1, precision="highest")
    parts, start = {}, 0
    for irrep, count in decomposition.terms:
        stop = start + count * irrep.dim
        part = y[start:stop].reshape(count, irrep.dim, *x.shape[1:])
        parts[irrep] = jnp.moveaxis(part, 0, 1)
        start = stop
    return parts


def merge(rep: Rep, parts: Mapping[Irrep, Array]) -> Float[Array, "dim *channels"]:
    """The inverse of `split`.

    Args:
        rep: The representation.
        parts: Arrays (irrep.dim, multiplicity, *channels), one for each of its irreps.

    Returns:
        Vectors, shape (rep.dim, *channels).

    Raises:
        ValueError: If an irrep is missing or unknown, or a shape differs.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, reps
        >>> matrix = reps.standard(groups.SO(3)) ** 2
        >>> x = jnp.arange(9.0)
        >>> bool(jnp.allclose(reps.merge(matrix, reps.split(matrix, x)), x, atol=1e-5))
        True
    """
    decomposition = decompose(rep)
    want = {irrep: (irrep.dim, count) for irrep, count in decomposition.terms}
    came = {irrep: getattr(part, "shape", ())[:2] for irrep, part in parts.items()}
    check_condition(
        want == came,
        f"`parts` must hold arrays of these shapes (dim, multiplicity, *channels): "
        f"{want}, got {came}.",
    )
    rows = [
        jnp.moveaxis(parts[irrep], 1, 0).reshape(-1, *parts[irrep].shape[2:])
        for irrep, _ in decomposition.terms
    ]
    y = jnp.concatenate(rows)
    basis = jnp.asarray(decomposition.basis, y.dtype)
    return jnp.tensordot(basis, y, axes=1, precision="highest")


def from_irreps(irreps: Any) -> Rep:
    """The representation of O(3) that e3nn writes as "8x0e + 4x1o".

    Args:
        irreps: Text or `e3nn_jax.Irreps`.

    Returns:
        The sum, in the same order; components stand as in e3nn.

    Raises:
        ValueError: If the text does not parse, or there is no irrep in it.

    Example:
        >>> from eqjax import reps
        >>> reps.from_irreps("8x0e + 4x1o").dim
        20
    """
    parsed = _e3nn().Irreps(irreps)
    terms = [(mul, ir) for mul, ir in parsed if mul > 0]
    check_condition(
        len(terms) > 0, f"`irreps` must hold at least one irrep, got {irreps!r}."
    )
    total: Rep | None = None
    for mul, ir in terms:
        rep = copies(Irrep(_O3, (ir.l, ir.p)), mul)
        total = rep if total is None else add(total, rep)
    assert total is not None
    return total


def to_irreps(rep: Rep) -> Any:
    """The inverse of `from_irreps`.

    Args:
        rep: A sum of irreps of O(3).

    Returns:
        The same as `e3nn_jax.Irreps`.

    Raises:
        ValueError: If it is another representation; `decompose` finds its irreps.

    Example:
        >>> from eqjax import reps
        >>> reps.to_irreps(reps.from_irreps("8x0e + 4x1o"))
        8x0e+4x1o
    """
    terms = rep.terms if isinstance(rep, Sum) else ((rep, 1),)
    check_condition(
        all(isinstance(term, Irrep) and term.group == _O3 for term, _ in terms),
        f"`rep` must be a sum of irreps of O(3), got {rep}. Find them with "
        "`reps.decompose`.",
    )
    return _e3nn().Irreps(
        [(count, term.label) for term, count in terms if isinstance(term, Irrep)]
    )


def from_irreps_array(array: Any) -> dict[Irrep, Array]:
    """A feature of e3nn, split into irreps of O(3).

    e3nn stores (multiplicity, dim) per irrep; the axes are exchanged, nothing else.

    Args:
        array: `e3nn_jax.IrrepsArray` of one example, of shape (irreps.dim,);
            `jax.vmap` takes many.

    Returns:
        Arrays (dim, multiplicity) by irrep, sorted; what stands in several places of
        `array.irreps` is joined in order.

    Raises:
        ValueError: If there are other axes.

    Example:
        >>> import e3nn_jax, jax.numpy as jnp
        >>> from eqjax import reps
        >>> array = e3nn_jax.IrrepsArray("2x0e + 1o", jnp.arange(5.0))
        >>> parts = reps.from_irreps_array(array)
        >>> [(rep.name, part.ravel().tolist()) for rep, part in parts.items()]
        [('0e', [0.0, 1.0]), ('1o', [2.0, 3.0, 4.0])]
    """
    check_condition(
        array.array.ndim == 1,
        f"`array` must be one example of shape ({array.irreps.dim},), got "
        f"{array.array.shape}. Use `jax.vmap`.",
    )
    found: dict[Irrep, list[Array]] = {}
    for (mul, ir), where in zip(array.irreps, array.irreps.slices(), strict=True):
        part = array.array[where].reshape(mul, ir.dim).T
        found.setdefault(Irrep(_O3, (ir.l, ir.p)), []).append(part)
    return {irrep: jnp.concatenate(found[irrep], axis=1) for irrep in sorted(found)}


def to_irreps_array(parts: Mapping[Irrep, Array], irreps: Any = None) -> Any:
    """The inverse of `from_irreps_array`.

    Args:
        parts: Arrays (dim, multiplicity) by irreps of O(3).
        irreps: Order of the result, text or `e3nn_jax.Irreps`. Default: sorted.

    Returns:
        The feature, an `e3nn_jax.IrrepsArray`.

    Raises:
        ValueError: If an irrep is of another group, or the multiplicities of `irreps`
            are not those of `parts`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eqjax import groups, reps
        >>> vectors = {reps.irrep(groups.O(3), "1o"): jnp.eye(3)[:, :2]}
        >>> reps.to_irreps_array(vectors)
        2x1o [1. 0. 0. 0. 1. 0.]
    """
    for irrep, part in parts.items():
        check_condition(
            irrep.group == _O3 and np.ndim(part) == 2 and part.shape[0] == irrep.dim,
            "`parts` must hold arrays of shape (dim, multiplicity) by irreps of O(3), "
            f"got {np.shape(part)} for {irrep}.",
        )
    have = {irrep.label: part.shape[1] for irrep, part in parts.items()}
    if irreps is None:
        labels = [irrep.label for irrep in sorted(parts)]
        order = _e3nn().Irreps([(have[label], label) for label in labels])
    else:
        order = _e3nn().Irreps(irreps)
    want: dict[Any, int] = {}
    for mul, ir in order:
        want[(ir.l, ir.p)] = want.get((ir.l, ir.p), 0) + mul
    check_condition(
        {label: mul for label, mul in want.items() if mul} == have,
        f"`irreps` {order} must have the multiplicities of `parts`: {have}.",
    )
    start = dict.fromkeys(have, 0)
    rows = []
    for mul, ir in order:
        label = (ir.l, ir.p)
        if mul:
            first = start[label]
            part = parts[Irrep(_O3, label)][:, first : first + mul]
            rows.append(part.T.reshape(-1))
            start[label] += mul
    return _e3nn().IrrepsArray(order, jnp.concatenate(rows))


def _e3nn() -> Any:
    """The package, whose import takes longer than all others together."""
    import e3nn_jax

    return e3nn_jax


def _check(rep: Rep, x: Any) -> None:
    check_condition(
        getattr(x, "shape", ())[:1] == (rep.dim,),
        f"`x` must be an array of shape ({rep.dim}, *channels), got "
        f"{getattr(x, 'shape', type(x).__name__)}.",
    )
