"""The registry of specs that a checkpoint may name, and their JSON form."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, TypeVar

_REGISTRY: dict[str, type] = {}
_LOADERS: list[Callable[[], None]] = []
_T = TypeVar("_T", bound=type)


def spec_name(cls: type) -> str:
    """The public name, e.g. "eqjax.groups.SO" for `eqjax.groups._so.SO`."""
    parts = [part for part in cls.__module__.split(".") if not part.startswith("_")]
    return ".".join([*parts, cls.__qualname__])


def register_spec(cls: _T) -> _T:
    """Class decorator: lets checkpoints name this frozen dataclass."""
    params = getattr(cls, "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise TypeError(f"{cls.__qualname__} must be a frozen dataclass.")
    _REGISTRY[spec_name(cls)] = cls
    return cls


def add_loader(load: Callable[[], None]) -> None:
    """Adds a function that imports packages whose specs are not registered yet."""
    _LOADERS.append(load)


def spec_to_json(spec: Any) -> str:
    """Canonical JSON of a registered spec.

    Raises:
        ValueError: If the spec, or a value inside it, is no registered spec, number,
            string, boolean, `None` or tuple of such.
    """
    return json.dumps(_encode(spec), sort_keys=True, separators=(",", ":"))


def spec_from_json(text: str) -> Any:
    """The spec that `spec_to_json` wrote; only registered names are decoded.

    Raises:
        ValueError: If the text is no JSON of a spec, names a type that is not
            registered, or holds other fields than that type has.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"The spec is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ValueError(f"The text holds no spec, but {value!r}.")
    return _decode(value)


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = spec_name(type(value))
        if _REGISTRY.get(name) is not type(value):
            raise ValueError(
                f"{name} is not a registered spec, so a checkpoint cannot name it. "
                "Build the spec from eqjax's own types."
            )
        fields = {
            field.name: _encode(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.init
        }
        return {"type": name, **fields}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(
        f"A spec holds plain Python values only, got {type(value).__name__}: {value!r}."
    )


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    fields = dict(value)
    name = fields.pop("type", None)
    if isinstance(name, str) and name not in _REGISTRY:
        for load in _LOADERS:
            load()
    if not isinstance(name, str) or name not in _REGISTRY:
        raise ValueError(
            f"The spec names {name!r}, which eqjax does not know. It was written by "
            "another version, or the file is damaged."
        )
    cls = _REGISTRY[name]
    known = {field.name for field in dataclasses.fields(cls) if field.init}
    if not set(fields) <= known:
        extra = ", ".join(sorted(set(fields) - known))
        raise ValueError(
            f"The stored {name} has fields that this version lacks: {extra}."
        )
    values = {key: _decode(item) for key, item in fields.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(
            f"The stored {name} does not fit this version, or is damaged: {error}."
        ) from error
