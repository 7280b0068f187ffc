"""Between a pytree of arrays and the flat dict of plain arrays that is stored."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eqjax._core._checks import is_concrete
from eqjax.train._digest import check_digestible, device_digests, host_digest


@dataclasses.dataclass(frozen=True)
class StoredLeaf:
    """What the manifest says about one leaf."""

    shape: tuple[int, ...]
    dtype: str
    digest: str

    def describe(self) -> str:
        """Shape and dtype, as a cell of a table."""
        return describe(self.shape, self.dtype)


def describe(shape: tuple[int, ...], dtype: Any) -> str:
    """E.g. "float32 (5, 3)"."""
    return f"{dtype} {tuple(shape)}"


def flatten(tree: Any) -> dict[str, Any]:
    """Leaves by path, e.g. "params/linear/w".

    Raises:
        ValueError: If two leaves have the same path, or a leaf has no shape and dtype.
    """
    leaves: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/") or "."
        if name in leaves:
            raise ValueError(
                f"Two leaves have the same path `{name}`. Rename one of their keys; "
                "keys should not contain '/'."
            )
        if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
            raise ValueError(
                f"Leaf `{name}` must be an array, got {type(leaf).__name__}: {leaf!r}. "
                "Wrap it, e.g. with `jnp.asarray`."
            )
        leaves[name] = leaf
    return leaves


def is_key(leaf: Any) -> bool:
    """True for arrays of typed random keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def to_plain(state: Any) -> tuple[dict[str, Any], dict[str, StoredLeaf]]:
    """The arrays to store, and what the manifest says about every leaf.

    Typed keys become their data; empty arrays, which orbax refuses, stand in the
    manifest alone. NumPy arrays are copied, as the caller may write to them while they
    are being saved.
    """
    leaves = flatten(state)
    plain: dict[str, Any] = {}
    for name, leaf in leaves.items():
        if not is_concrete(leaf) or not isinstance(
            leaf, (jax.Array, np.ndarray, np.generic)
        ):
            raise ValueError(
                f"Leaf `{name}` must be an array with values, got "
                f"{type(leaf).__name__}. Save outside of `jit`."
            )
        if isinstance(leaf, jax.Array):
            if leaf.is_deleted():
                raise ValueError(
                    f"Leaf `{name}` was donated and has no values any more. Save the "
                    "state that the step returned."
                )
            array = jax.random.key_data(leaf) if is_key(leaf) else leaf
        else:
            array = np.array(leaf, dtype=leaf.dtype.newbyteorder("="))
        check_digestible(name, array.dtype)
        plain[name] = array
    digests = _digests(plain)
    stored = {
        name: StoredLeaf(tuple(leaf.shape), str(leaf.dtype), digests[name])
        for name, leaf in leaves.items()
    }
    return {name: x for name, x in plain.items() if x.size}, stored


def to_request(abstract: dict[str, Any]) -> dict[str, Any]:
    """The flat dict that asks orbax for the plain arrays of `abstract` leaves."""
    request: dict[str, Any] = {}
    for name, leaf in abstract.items():
        if isinstance(leaf, (np.ndarray, np.generic)):
            target = np.empty(leaf.shape, leaf.dtype)
        else:
            if not is_key(leaf) and jax.dtypes.canonicalize_dtype(leaf.dtype) != (
                leaf.dtype
            ):
                raise ValueError(
                    f"Leaf `{name}` is asked for as {leaf.dtype}, which JAX holds only "
                    "with `jax_enable_x64`. Enable it, or ask for a NumPy array."
                )
            plain = jax.eval_shape(_key_data, leaf) if is_key(leaf) else leaf
            sharding = getattr(leaf, "sharding", None)
            if sharding is None:
                sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            elif is_key(leaf) and isinstance(sharding, jax.sharding.NamedSharding):
                # The key's data has one more axis, which is not sharded.
                sharding = jax.sharding.NamedSharding(sharding.mesh, sharding.spec)
            target = jax.ShapeDtypeStruct(plain.shape, plain.dtype, sharding=sharding)
        if target.size:
            request[name] = target
    return request


def from_plain(plain: dict[str, Any], abstract: Any) -> Any:
    """A pytree like `abstract` from the plain arrays that were restored."""
    leaves = []
    for name, leaf in flatten(abstract).items():
        if isinstance(leaf, (np.ndarray, np.generic)):
            array = plain[name] if name in plain else np.empty(leaf.shape, leaf.dtype)
            leaves.append(np.asarray(array))
        elif is_key(leaf):
            data = plain.get(name)
            if data is None:
                data = jnp.zeros(*_shape_dtype(jax.eval_shape(_key_data, leaf)))
            leaves.append(jax.random.wrap_key_data(data, impl=_key_impl(leaf)))
        else:
            array = plain.get(name)
            leaves.append(
                jnp.zeros(*_shape_dtype(leaf)) if array is None else jnp.asarray(array)
            )
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves)


def find_damage(
    plain: dict[str, Any], request: dict[str, Any], stored: dict[str, StoredLeaf]
) -> str | None:
    """Which restored leaf is not the one that was saved, or None."""
    for name, target in request.items():
        array = plain.get(name)
        if array is None or (array.shape, array.dtype) != (target.shape, target.dtype):
            return f"leaf `{name}` has another shape or dtype than its record"
    digests = _digests({name: plain[name] for name in request})
    for name, digest in digests.items():
        if digest != stored[name].digest:
            return f"the content of leaf `{name}` differs from its digest"
    return None


def _digests(plain: dict[str, Any]) -> dict[str, str]:
    on_device = {k: x for k, x in plain.items() if isinstance(x, jax.Array)}
    on_host = {k: x for k, x in plain.items() if not isinstance(x, jax.Array)}
    digests = device_digests(on_device)
    return digests | {name: host_digest(x) for name, x in on_host.items()}


def _shape_dtype(leaf: Any) -> tuple[tuple[int, ...], Any]:
    return tuple(leaf.shape), leaf.dtype


def _key_data(key: Any) -> Any:
    return jax.random.key_data(key)


def _key_impl(leaf: Any) -> Any:
    """The implementation of abstract typed keys, read off while tracing."""
    found = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return found[0]
