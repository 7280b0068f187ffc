"""The law f(g x) = g f(x)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
from jaxtyping import Array, PyTree

from eqjax._core._checks import check_condition
from eqjax.testing._compare import default_rtol, worst_mismatch
from eqjax.testing._elements import pick_element
from eqjax.testing._names import function_name

Action: TypeAlias = Callable[[Any, Any], Any]


def assert_equivariant(
    fn: Callable[..., PyTree],
    act_in: Action | Sequence[Action | None],
    act_out: Action | None,
    *args: PyTree,
    elements: PyTree[Array],
    rtol: float | None = None,
    atol: float = 0.0,
) -> None:
    """Asserts that a function commutes with a group: fn(g x, g y, ..) = g fn(x, y, ..).

    The law is checked at the given arguments for every given element, one at a time and
    without compiling; pass `jax.jit(fn)` where that is slow.

    Args:
        fn: The function; takes and returns pytrees.
        act_in: How an element moves the arguments: one callable (g, x) -> x for all of
            them, or a sequence with one per argument, in which `None` stands for an
            argument that does not move, such as parameters.
        act_out: How an element moves the result; `None` asserts invariance.
        *args: One example of the arguments.
        elements: Group elements with one leading axis, e.g. from `sample_elements`.
        rtol: Allowed difference relative to the largest entry of each leaf of the
            result. Default: eps^(2/3) of the least precise dtype involved, 2.4e-5 in
            float32 and 3.7e-11 in float64.
        atol: Allowed difference besides; needed where a result is zero by nature, such
            as the distance of a point to itself.

    Raises:
        AssertionError: If an element breaks the law. The message names the worst
            element, the place in the result, both values and the relative error.
        ValueError: If `act_in` does not fit the number of arguments, or `elements` is
            empty.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import groups, spaces, testing
        >>> X, x, y = spaces.Euclidean(2), jnp.array([1.0, 2.0]), jnp.array([0.0, 1.0])
        >>> elements = testing.sample_elements(X.group, key=jax.random.key(0))
        >>> testing.assert_equivariant(X.distance, X.act, None, x, y, elements=elements)
        >>> def midpoint(weight, x, y):
        ...     return weight * x + (1 - weight) * y
        >>> testing.assert_equivariant(
        ...     midpoint, (None, X.act, X.act), X.act, 0.25, x, y, elements=elements
        ... )
        >>> testing.assert_equivariant(  # doctest: +ELLIPSIS
        ...     jnp.add, X.act, X.act, x, y, elements=elements
        ... )
        Traceback (most recent call last):
        AssertionError: add is not equivariant: fn(g x) differs from g fn(x) ...
    """
    actions = (act_in,) * len(args) if callable(act_in) else tuple(act_in)
    check_condition(
        len(actions) == len(args),
        f"`act_in` must hold one action per argument, got {len(actions)} for "
        f"{len(args)} arguments. Use `None` for an argument that does not move.",
    )
    leading = {leaf.shape[:1] for leaf in jax.tree.leaves(elements)}
    check_condition(
        len(leading) == 1 and leading not in ({()}, {(0,)}),
        "`elements` must be a pytree of arrays that share one leading axis of at least "
        f"one element, got leading axes {sorted(leading)}.",
    )
    name, law = function_name(fn), "g fn(x)" if act_out is not None else "fn(x)"
    kind = "equivariant" if act_out is not None else "invariant"
    (num_elements,) = leading.pop()
    result = fn(*args)
    allowed = default_rtol(args, result) if rtol is None else rtol
    worst, worst_index = None, 0
    for index in range(num_elements):
        g = pick_element(elements, index)
        got = fn(
            *(
                arg if action is None else action(g, arg)
                for action, arg in zip(actions, args, strict=True)
            )
        )
        want = result if act_out is None else act_out(g, result)
        try:
            mismatch = worst_mismatch(got, want, rtol=allowed, atol=atol)
        except AssertionError as error:
            raise AssertionError(
                f"{name} is not {kind}: {error}, at element {index}, {g}."
            ) from None
        if worst is None or mismatch.ratio > worst.ratio:
            worst, worst_index = mismatch, index
    if worst is not None and not worst.ratio <= 1:
        g = pick_element(elements, worst_index)
        raise AssertionError(
            f"{name} is not {kind}: fn(g x) differs from {law} by {worst.error:.2e} "
            f"relative at result{worst.where} ({worst.text}), at element {worst_index} "
            f"of {num_elements}, the worst one: {g}."
        )
