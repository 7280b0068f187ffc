"""Argument checks: what passes, and that messages name argument, value and remedy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax._core._batch import match_batch
from eqjax._core._checks import (
    check_choice,
    check_condition,
    check_floating,
    check_positive,
    check_shape,
    check_size,
    is_concrete,
)


def test_condition():
    check_condition(True, "unused")
    with pytest.raises(ValueError, match=r"^what is wrong$"):
        check_condition(False, "what is wrong")


@pytest.mark.parametrize("shape", [(2, 3), (None, 3), (None, None)])
def test_fitting_shapes_pass(shape):
    check_shape("x", jnp.zeros((2, 3)), shape)
    check_shape("x", jax.ShapeDtypeStruct((2, 3), jnp.float32), shape)


@pytest.mark.parametrize("shape", [(), (3, 2), (2,), (2, 3, 1), (None, 2)])
def test_other_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"`x` must be .* got shape \(2, 3\)\. Turn"):
        check_shape("x", jnp.zeros((2, 3)), shape, remedy="Turn it.")


def test_shape_message_shows_free_axes_and_other_types():
    with pytest.raises(ValueError, match=r"shape \(\*, 3\), got list\.$"):
        check_shape("x", [1.0], (None, 3))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_floating_dtypes_pass(dtype):
    check_floating("x", jnp.zeros(2, dtype))


@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_other_dtypes_are_named(dtype):
    with pytest.raises(ValueError, match=f"`x` must be .* got dtype {dtype}.*Convert"):
        check_floating("x", jnp.zeros(2, dtype))
    with pytest.raises(ValueError, match="got float"):
        check_floating("x", 1.0)


def test_choices():
    check_choice("n", 3, (2, 3))
    with pytest.raises(ValueError, match="`n` must be one of 2, 'b', got 'c'"):
        check_choice("n", "c", (x for x in (2, "b")))


@pytest.mark.parametrize("value", [1, 0.5, np.float32(2), np.int64(3)])
def test_positive_numbers_pass(value):
    check_positive("x", value)


@pytest.mark.parametrize(
    "value", [0, -1.0, float("nan"), float("inf"), "1", True, None]
)
def test_other_numbers_are_named(value):
    with pytest.raises(ValueError, match="`x` must be a positive number, got"):
        check_positive("x", value)


def test_zero_passes_where_it_may():
    check_positive("x", 0.0, zero=True)
    with pytest.raises(ValueError, match="zero or a positive number, got -1"):
        check_positive("x", -1, zero=True)


@pytest.mark.parametrize("value", [2, np.int32(5)])
def test_sizes_pass(value):
    check_size("n", value, minimum=2)


@pytest.mark.parametrize("value", [1, 2.0, True, "2", None])
def test_other_sizes_are_named(value):
    with pytest.raises(ValueError, match="`n` must be an integer of at least 2, got"):
        check_size("n", value, minimum=2)


def test_traced_values_are_not_concrete():
    seen = []
    jax.jit(lambda x: seen.append(is_concrete(x)))(jnp.zeros(()))
    assert seen == [False]
    assert is_concrete(jnp.zeros(()))
    assert is_concrete(np.zeros(()))


def test_batches_broadcast_in_front_of_items():
    a, b, c = match_batch(
        (jnp.zeros((5, 1, 2)), 1), (jnp.zeros((7, 3, 2)), 2), (jnp.zeros(()), 0)
    )
    assert (a.shape, b.shape, c.shape) == ((5, 7, 2), (5, 7, 3, 2), (5, 7))
    with pytest.raises(ValueError, match="roadcast"):
        match_batch((jnp.zeros((5, 2)), 1), (jnp.zeros((3, 2)), 1))
