"""Argument checks that say what was expected, what came and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def check_condition(condition: bool, message: str) -> None:
    """Raises `ValueError(message)` unless the (static) condition holds."""
    if not condition:
        raise ValueError(message)


def check_shape(
    name: str, array: Any, shape: Sequence[int | None], *, remedy: str = ""
) -> None:
    """Checks that `array` is an array of the given shape.

    Args:
        name: Name of the argument, as its user wrote it.
        array: What came.
        shape: Expected sizes; `None` matches any size.
        remedy: What to do, appended to the message.

    Raises:
        ValueError: If `array` has no shape or another one.
    """
    expected = "(" + ", ".join("*" if n is None else str(n) for n in shape) + ")"
    got = getattr(array, "shape", None)
    fits = (
        got is not None
        and len(got) == len(shape)
        and all(
            want is None or want == have for want, have in zip(shape, got, strict=True)
        )
    )
    if not fits:
        came = f"shape {tuple(got)}" if got is not None else type(array).__name__
        raise ValueError(
            f"`{name}` must be an array of shape {expected}, got {came}."
            + (f" {remedy}" if remedy else "")
        )


def check_floating(name: str, array: Any) -> None:
    """Checks that `array` holds real floating-point numbers.

    Raises:
        ValueError: If it has no dtype, or an integer, boolean or complex one.
    """
    dtype = getattr(array, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        came = f"dtype {dtype}" if dtype is not None else type(array).__name__
        raise ValueError(
            f"`{name}` must be a floating-point array, got {came}. "
            "Convert it, e.g. with `jnp.asarray(..., dtype=jnp.float32)`."
        )


def check_same_dtype(name: str, array: Any, like: Any, *, other: str = "x") -> None:
    """Checks that an array has the dtype of another argument.

    Raises:
        ValueError: If it has not.
    """
    check_condition(
        array.dtype == like.dtype,
        f"`{name}` must have the dtype {like.dtype} of `{other}`, got {array.dtype}. "
        "Convert one of them.",
    )


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Checks that `value` is one of `choices`."""
    choices = tuple(choices)
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {listed}, got {value!r}.")


def check_positive(name: str, value: Any, *, zero: bool = False) -> None:
    """Checks that a static number is finite and positive.

    Args:
        name: Name of the argument.
        value: A Python number.
        zero: Accept zero too.
    """
    number = isinstance(value, (int, float, np.integer, np.floating))
    good = number and math.isfinite(value) and (value >= 0 if zero else value > 0)
    if not good or isinstance(value, bool):
        bound = "zero or a positive number" if zero else "a positive number"
        raise ValueError(f"`{name}` must be {bound}, got {value!r}.")


def check_size(name: str, value: Any, *, minimum: int = 1) -> None:
    """Checks that a static size is an integer of at least `minimum`."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integer or value < minimum:
        raise ValueError(
            f"`{name}` must be an integer of at least {minimum}, got {value!r}."
        )


def is_concrete(array: Any) -> bool:
    """True if the values can be looked at, i.e. `array` is not being traced."""
    return not isinstance(array, Tracer)
