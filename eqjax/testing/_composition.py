"""A function composes: it is the same under jit, vmap and grad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from eqjax._core._checks import check_choice, check_size
from eqjax.testing._compare import default_rtol, is_real_floating, worst_mismatch
from eqjax.testing._names import function_name

# Roundings of the result that a finite difference is allowed beside `gradient_rtol`:
# subtracting two values and dividing by the step magnifies each of them.
_ROUNDINGS = 100.0


def assert_composes(
    fn: Callable[..., PyTree],
    *args: PyTree,
    argnums: int | Sequence[int] | None = None,
    modes: Sequence[str] = ("forward", "reverse"),
    batch_size: int = 3,
    num_directions: int = 2,
    rtol: float | None = None,
    atol: float = 0.0,
    gradient_rtol: float = 1e-6,
    step: float = 6e-6,
    key: Key[Array, ""],
) -> None:
    """Asserts that a function gives the same alone and under `jit`, `vmap` and `grad`.

    Checked in this order, the first failure is reported:

    1. `jit(fn)` equals `fn`, in value, structure, shape and dtype;
    2. `vmap(fn)` and `jit(vmap(fn))` equal a Python loop over a batch: the given
       arguments, and copies whose floating-point entries are multiplied by
       1 + 0.01 z, z normal (zeros stay zero, signs stay);
    3. forward mode equals reverse mode: <c, J d> = <J^T c, d>;
    4. both equal central finite differences of `fn`, <c, (f(x + h d) - f(x - h d)) /
       2h>.

    Parts 3 and 4 run in float64 under `jit`, whatever the dtype of the arguments, for
    random d that change one leaf of the arguments at a time and random c. Integer,
    boolean, complex and key leaves are left alone; a function without floating-point
    arguments or results ends after part 2.

    Args:
        fn: The function of one example; takes and returns pytrees.
        *args: One example of the arguments, where `fn` is smooth.
        argnums: Which arguments to differentiate; default: all.
        modes: Modes of differentiation that `fn` supports. A `while_loop` has no
            reverse mode, a `custom_vjp` no forward mode.
        batch_size: Size of the batch of part 2.
        num_directions: Number of directions d per leaf.
        rtol: Allowed difference in parts 1 and 2, relative to the largest entry of each
            leaf of the result. Default: eps^(2/3) of the least precise dtype involved:
            compiling reorders sums, which leaves rounding but no more.
        atol: Allowed difference in parts 1 and 2 besides.
        gradient_rtol: Allowed difference in part 4, relative to sum |c| |J d|. The
            default leaves room for third derivatives and for cancellation inside `fn`:
            the differences of a well-scaled function agree to about 1e-10.
        step: Step h of the differences relative to the largest entry of the leaf.
            Default: eps^(1/3) of float64, where truncation and rounding balance.
        key: Random key for the batch and the directions.

    Raises:
        AssertionError: If a part fails; the message says which, where and by how much.
        ValueError: If an option is out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from eqjax import testing
        >>> def f(params, x):
        ...     return jnp.tanh(params["weight"] @ x)
        >>> params, x = {"weight": jnp.array([[1.0, -2.0]])}, jnp.array([0.3, 0.2])
        >>> testing.assert_composes(f, params, x, key=jax.random.key(0))
        >>> def frozen(x):
        ...     return x * jax.lax.stop_gradient(x)
        >>> testing.assert_composes(frozen, x, key=jax.random.key(0))
        Traceback (most recent call last):
        AssertionError: frozen does not compose: the forward-mode derivative ...
    """
    check_size("batch_size", batch_size)
    check_size("num_directions", num_directions)
    for mode in modes:
        check_choice("modes", mode, ("forward", "reverse"))
    # NumPy draws and adds here: dozens of small operations that JAX would compile.
    numbers = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    name = f"{function_name(fn)} does not compose"
    result = fn(*args)
    allowed = default_rtol(args, result) if rtol is None else rtol

    def compare(part: str, got: Any, want: Any) -> None:
        try:
            mismatch = worst_mismatch(got, want, rtol=allowed, atol=atol, dtypes=True)
        except AssertionError as error:
            raise AssertionError(f"{name}: under {part} {error}.") from None
        if not mismatch.ratio <= 1:
            raise AssertionError(
                f"{name}: {part} differs by {mismatch.error:.2e} relative at "
                f"result{mismatch.where} ({mismatch.text})."
            )

    compare("jit(fn)", jax.jit(fn)(*args), result)
    examples = [args, *(_perturb(args, numbers) for _ in range(batch_size - 1))]
    batch = jax.tree.map(_stack, *examples)
    loop = jax.tree.map(_stack, result, *(fn(*example) for example in examples[1:]))
    compare("vmap(fn), against a loop,", jax.vmap(fn)(*batch), loop)
    compare("jit(vmap(fn)), against a loop,", jax.jit(jax.vmap(fn))(*batch), loop)
    if modes:
        _compare_derivatives(
            name,
            fn,
            args,
            range(len(args)) if argnums is None else np.atleast_1d(argnums).tolist(),
            modes=modes,
            num_directions=num_directions,
            gradient_rtol=gradient_rtol,
            step=step,
            numbers=numbers,
        )


def _stack(*leaves: Any) -> Any:
    dtype = jnp.result_type(leaves[0])
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return jnp.stack(leaves)
    return np.stack([np.asarray(leaf, dtype) for leaf in leaves])


def _perturb(args: tuple[Any, ...], numbers: np.random.Generator) -> tuple[Any, ...]:
    """Multiplies every floating-point entry by 1 + 0.01 z."""

    def move(leaf: Any) -> Any:
        if not is_real_floating(leaf):
            return leaf
        factor = 1 + 0.01 * numbers.standard_normal(np.shape(leaf))
        moved = np.asarray(leaf, np.float64) * factor
        return jnp.asarray(moved.astype(jnp.result_type(leaf)))

    return jax.tree.map(move, args)


def _compare_derivatives(
    name: str,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: Sequence[int],
    *,
    modes: Sequence[str],
    num_directions: int,
    gradient_rtol: float,
    step: float,
    numbers: np.random.Generator,
) -> None:
    """Parts 3 and 4 of `assert_composes`."""
    paths_and_leaves, structure = jax.tree_util.tree_flatten_with_path(args)
    leaves = [leaf for _, leaf in paths_and_leaves]
    moving = [
        i
        for i, (path, leaf) in enumerate(paths_and_leaves)
        if is_real_floating(leaf) and path[0].idx in argnums and np.size(leaf) > 0
    ]

    def fill(variables: list[Any]) -> tuple[Any, ...]:
        filled = list(leaves)
        for i, variable in zip(moving, variables, strict=True):
            filled[i] = variable
        return jax.tree.unflatten(structure, filled)

    def floating(result: Any) -> list[Array]:
        return [jnp.asarray(leaf) for leaf in jax.tree.leaves(result) if _moves(leaf)]

    def outputs(variables: list[Array]) -> list[Array]:
        return floating(fn(*fill(variables)))

    def derivatives(
        variables: list[Array], direction: list[Array], cotangent: list[Array]
    ) -> dict[str, list[Array]]:
        products = {}
        if "forward" in modes:
            products["forward"] = jax.jvp(outputs, (variables,), (direction,))[1]
        if "reverse" in modes:
            products["reverse"] = jax.vjp(outputs, variables)[1](cotangent)[0]
        return products

    def compiled(variables: list[np.ndarray]) -> list[np.ndarray]:
        # The same compiled function as in part 1 where the arguments were float64.
        return [np.asarray(y) for y in floating(jax.jit(fn)(*fill(variables)))]

    differentiate = jax.jit(derivatives)
    with jax.enable_x64(True):
        leaves = [
            np.asarray(leaf, np.float64) if is_real_floating(leaf) else leaf
            for leaf in leaves
        ]
        variables = [leaves[i] for i in moving]
        values = compiled(variables)
        if not (variables and values):
            return
        cotangent = [_normal(numbers, value) for value in values]
        rounding = sum(
            float(np.sum(np.abs(c * value)))
            for c, value in zip(cotangent, values, strict=True)
        ) * (_ROUNDINGS * float(np.finfo(np.float64).eps) / step)
        for place, i in enumerate(moving):
            path = paths_and_leaves[i][0]
            where = f"args{jax.tree_util.keystr(path)}"
            size = float(np.max(np.abs(variables[place]))) or 1.0
            for _ in range(num_directions):
                direction = [np.zeros_like(variable) for variable in variables]
                direction[place] = _normal(numbers, variables[place], size)
                difference = _difference(compiled, variables, direction, step)
                products = differentiate(variables, direction, cotangent)
                derivative = {
                    mode: _dot(cotangent if mode == "forward" else direction, product)
                    for mode, product in products.items()
                }
                scale = _dot(map(np.abs, cotangent), map(np.abs, difference))
                _check_products(
                    name,
                    where,
                    derivative,
                    _dot(cotangent, difference),
                    mode_tolerance=default_rtol(values) * scale + rounding * step,
                    difference_tolerance=gradient_rtol * scale + rounding,
                )


def _check_products(
    name: str,
    where: str,
    derivatives: dict[str, float],
    difference: float,
    *,
    mode_tolerance: float,
    difference_tolerance: float,
) -> None:
    """Compares <c, J d> of the modes with each other and with the difference."""
    values = list(derivatives.values())
    for mode, value in derivatives.items():
        if not abs(value - difference) <= difference_tolerance:
            raise AssertionError(
                f"{name}: the {mode}-mode derivative with respect to {where} differs "
                f"from finite differences: {value:.9e} instead of {difference:.9e}, "
                f"allowed difference {difference_tolerance:.2e}."
            )
    if not max(values) - min(values) <= mode_tolerance:
        raise AssertionError(
            f"{name}: forward and reverse mode with respect to {where} differ: "
            f"{values[0]:.16e} and {values[-1]:.16e}, allowed difference "
            f"{mode_tolerance:.2e}."
        )


def _moves(leaf: Any) -> bool:
    return is_real_floating(leaf) and np.size(leaf) > 0


def _normal(
    numbers: np.random.Generator, like: np.ndarray, size: float = 1.0
) -> np.ndarray:
    # An operation on a NumPy array without axes gives a scalar, hence the asarray.
    return np.asarray(size * numbers.standard_normal(like.shape), like.dtype)


def _difference(
    fn: Callable[[list[np.ndarray]], list[np.ndarray]],
    variables: list[np.ndarray],
    direction: list[np.ndarray],
    step: float,
) -> list[np.ndarray]:
    """(fn(x + h d) - fn(x - h d)) / 2h."""

    def values(factor: float) -> list[np.ndarray]:
        pairs = zip(variables, direction, strict=True)
        return fn([np.asarray(x + factor * d) for x, d in pairs])

    pairs = zip(values(step), values(-step), strict=True)
    return [np.asarray((ahead - behind) / (2 * step)) for ahead, behind in pairs]


def _dot(left: Any, right: Any) -> float:
    """Sum of all products of entries."""
    return sum(
        float(np.sum(np.asarray(a, np.float64) * np.asarray(b, np.float64)))
        for a, b in zip(left, right, strict=True)
    )
