"""The generic tests: every entry of tests/registry.py, every public spec."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqjax import testing
from eqjax._core._specs import spec_from_json, spec_to_json
from tests import registry

KEY = jax.random.key(20)
PACKAGES = ("groups", "spaces", "reps", "o3", "nn", "fields", "eikonal")

equivariant = pytest.mark.parametrize(
    "entry", registry.EQUIVARIANT, ids=[entry.name for entry in registry.EQUIVARIANT]
)
composing = pytest.mark.parametrize(
    "entry", registry.COMPOSING, ids=[entry.name for entry in registry.COMPOSING]
)


def is_floating(leaf):
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def cast(tree, dtype):
    """Real and complex leaves in another precision."""

    def cast_leaf(leaf):
        if jnp.iscomplexobj(leaf):
            return jnp.asarray(leaf, np.result_type(dtype, np.complex64))
        return jnp.asarray(np.asarray(leaf, dtype)) if is_floating(leaf) else leaf

    return jax.tree.map(cast_leaf, tree)


# Compiling takes most of the time: every function is compiled once.
compiled = functools.cache(jax.jit)


@functools.cache
def elements_of(group):
    return testing.sample_elements(group, 6, key=jax.random.key(6))


@functools.cache
def gradient_of(fn):
    """Gradient of the sum of all results in all floating-point arguments, compiled."""

    def total(args):
        results = jax.tree.leaves(fn(*args))
        return sum(jnp.sum(result) for result in results if is_floating(result))

    return jax.jit(jax.grad(total, allow_int=True))


@equivariant
def test_commutes_with_its_group(entry):
    def assert_law(args, atol):
        testing.assert_equivariant(
            compiled(entry.fn),
            [None if act is None else compiled(act) for act in entry.act_in],
            None if entry.act_out is None else compiled(entry.act_out),
            *args,
            elements=elements_of(entry.group),
            rtol=entry.rtol,
            atol=atol,
        )

    assert_law(entry.sample(KEY), entry.atol)
    for name, args in entry.singular(KEY).items():
        try:
            assert_law(args, entry.singular_atol)
        except AssertionError as error:
            raise AssertionError(f"At the input {name!r}: {error}") from None


@equivariant
def test_has_finite_gradients_at_singular_inputs(entry):
    """In float32, whose range and precision are the smaller ones."""
    for name, example in entry.singular(KEY).items():
        gradient = gradient_of(entry.fn)(cast(example, "float32"))
        for derivative in jax.tree.leaves(gradient):
            if derivative.dtype != jax.dtypes.float0:
                assert np.all(np.isfinite(derivative)), f"at the input {name!r}"


@equivariant
def test_keeps_the_dtype(entry):
    args = cast(entry.sample(KEY), "float32")
    for leaf in jax.tree.leaves(jax.eval_shape(entry.fn, *args)):
        assert not is_floating(leaf) or leaf.dtype == jnp.float32


@composing
def test_composes(entry):
    testing.assert_composes(entry.fn, *entry.sample(KEY), key=KEY, **entry.options)


COVERED = [
    spec
    for entry in (*registry.EQUIVARIANT, *registry.COMPOSING)
    for spec in entry.covers
]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_spec_is_listed(package):
    name = f"eqjax.{package}"
    if package in registry.NOT_YET:
        assert importlib.util.find_spec(name) is None, (
            f"{name} exists now: list its specs and take it out of NOT_YET"
        )
        return
    module = importlib.import_module(name)
    listed = {type(spec) for spec in COVERED}
    missing = [
        symbol
        for symbol, value in vars(module).items()
        if inspect.isclass(value)
        and not symbol.startswith("_")
        and dataclasses.is_dataclass(value)
        and value not in listed
        and f"{name}.{symbol}" not in registry.EXEMPT
    ]
    assert not missing, f"{name}: no entry in tests/registry.py covers {missing}"


def test_every_entry_has_its_own_name():
    for entries in (registry.EQUIVARIANT, registry.COMPOSING):
        names = [entry.name for entry in entries]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("spec", dict.fromkeys(COVERED), ids=str)
def test_specs_survive_json_and_are_values(spec):
    copy = spec_from_json(spec_to_json(spec))
    assert copy == spec
    assert hash(copy) == hash(spec)
    assert type(copy) is type(spec)
