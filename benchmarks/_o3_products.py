"""Tensor products by eqjax and e3nn, and what all libraries are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import e3nn_jax
import e3nn_jax.legacy
import jax
import jax.numpy as jnp
import numpy as np

from eqjax import o3

# Degrees up to which e3nn's plainest form takes part; beyond, it takes too long.
PLAIN_UP_TO = 4


class Case(NamedTuple):
    mode: str
    max_degree: int
    channels: int
    batch: int
    peers: str = "all"

    @property
    def paths(self) -> list[tuple[int, int, int]]:
        """As in `o3.TensorProduct`: ordered by l3, then l1 and l2."""
        return [
            (a, b, c)
            for c in self.degrees
            for a in self.degrees
            for b in self.degrees
            if abs(a - b) <= c <= a + b
        ]

    @property
    def degrees(self) -> range:
        return range(self.max_degree + 1)

    @property
    def dim(self) -> int:
        return (self.max_degree + 1) ** 2

    @property
    def irreps(self) -> str:
        """One of each degree, all even: SO(3)."""
        return "+".join(f"{l}e" for l in self.degrees)

    def into(self, l3: int) -> list[int]:
        """Numbers of the paths into a degree."""
        return [i for i, path in enumerate(self.paths) if path[2] == l3]


@dataclass(frozen=True)
class Inputs:
    """float32: w (paths, channels), for uvu with a batch; x and y (batch, dim, ..)."""

    w: np.ndarray
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Side:
    """A product of a batch.

    Attributes:
        fn: The function.
        args: Of the function, all differentiated.
        back: From its result to (batch, dim or sum of paths, channels), or None where
            it is another function.
        note: What is different.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    back: Callable[[Any], np.ndarray] | None
    note: str = ""


def inputs_of(case: Case) -> Inputs:
    rng = np.random.default_rng(0)
    uvu = case.mode == "uvu"

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    shape = (len(case.paths), case.channels)
    return Inputs(
        w=normal(case.batch, *shape) if uvu else normal(*shape),
        x=normal(case.batch, case.dim, case.channels),
        y=normal(case.batch, case.dim, *(() if uvu else (case.channels,))),
    )


def exact(case: Case, given: Inputs) -> np.ndarray:
    """In float64: (batch, dim, channels), for uvu (batch, sum of paths, channels)."""
    w, x, y = (a.astype(float) for a in (given.w, given.x, given.y))
    parts: list[np.ndarray] = []
    sums = [0.0 for _ in case.degrees]
    for i, (a, b, c) in enumerate(case.paths):
        part = np.einsum(
            "biu,bju,ijk->bku" if case.mode == "uuu" else "biu,bj,ijk->bku",
            x[:, a * a : (a + 1) ** 2],
            y[:, b * b : (b + 1) ** 2],
            o3.clebsch_gordan(a, b, c),
            optimize=True,
        )
        part = part * (w[i] if case.mode == "uuu" else w[:, i, None])
        parts.append(part)
        sums[c] = sums[c] + part
    return np.concatenate(parts if case.mode == "uvu" else sums, axis=1)


# eqjax -------------------------------------------------------------------------------


def by_eqjax(case: Case, given: Inputs) -> dict[str, Side]:
    degrees = o3.Degrees(case.max_degree, "none")
    uuu = case.mode == "uuu"
    product = o3.TensorProduct(
        degrees,
        degrees,
        degrees,
        channels=case.channels,
        mode="uuu" if uuu else "uvu",
    )

    def one(w: Any, x: Any, y: Any) -> Any:
        return product.apply({}, x, y, weights=w)

    def first(a: np.ndarray) -> np.ndarray:
        """Components first."""
        return np.ascontiguousarray(np.swapaxes(a, 0, 1))

    w = given.w if uuu else first(given.w)
    return {
        "eqjax": Side(
            jax.vmap(one, (None if uuu else 1, 1, 1), 1),
            (w, first(given.x), first(given.y)),
            lambda out: np.swapaxes(np.asarray(out), 0, 1),
        ),
        "eqjax, batch first": Side(
            jax.vmap(one, (None if uuu else 0, 0, 0)),
            (given.w, given.x, given.y),
            np.asarray,
        ),
    }


# e3nn --------------------------------------------------------------------------------


def channels_middle(a: np.ndarray) -> np.ndarray:
    """(batch, dim, channels) to (batch, channels, dim), and back."""
    return np.ascontiguousarray(np.swapaxes(np.asarray(a), 1, 2))


def mul_ir(case: Case, a: np.ndarray) -> np.ndarray:
    """(batch, dim, channels) to e3nn's flat layout."""
    parts = [channels_middle(a[:, l * l : (l + 1) ** 2]) for l in case.degrees]
    return np.concatenate([part.reshape(len(a), -1) for part in parts], axis=1)


def of_mul_ir(degrees: list[int], a: Any, channels: int) -> np.ndarray:
    """e3nn's flat layout, of these degrees, to (batch, sum, channels)."""
    stops = np.cumsum([(2 * l + 1) * channels for l in degrees])[:-1]
    parts = np.split(np.asarray(a), stops, axis=1)
    return np.concatenate(
        [channels_middle(part.reshape(len(part), channels, -1)) for part in parts],
        axis=1,
    )


def of_chunks(chunks: Any) -> np.ndarray:
    """A list of (batch, channels, 2l + 1) to (batch, sum, channels)."""
    return np.concatenate([channels_middle(chunk) for chunk in chunks], axis=1)


def copies(case: Case, degrees: list[int]) -> e3nn_jax.Irreps:
    """As many of each degree as there are channels."""
    return e3nn_jax.Irreps("+".join(f"{case.channels}x{l}e" for l in degrees))


def legacy(case: Case, given: Inputs) -> Side:
    uuu = case.mode == "uuu"
    features = copies(case, list(case.degrees))
    y_irreps = features if uuu else e3nn_jax.Irreps(case.irreps)
    outputs = list(case.degrees) if uuu else [path[2] for path in case.paths]
    product = e3nn_jax.legacy.FunctionalTensorProduct(
        features,
        y_irreps,
        copies(case, outputs),
        [
            (a, b, c if uuu else i, case.mode, True, 1.0)
            for i, (a, b, c) in enumerate(case.paths)
        ],
        path_normalization="element",
    )

    def one(w: Any, x: Any, y: Any) -> Any:
        weights = [w[i] if uuu else w[i][:, None] for i in range(len(w))]
        arrays = (e3nn_jax.IrrepsArray(features, x), e3nn_jax.IrrepsArray(y_irreps, y))
        return product.left_right(weights, *arrays).array

    w = given.w
    if uuu:
        # It divides by the root of the number of paths.
        counts = [len(case.into(path[2])) for path in case.paths]
        w = w * np.sqrt(np.array(counts, np.float32))[:, None]
    return Side(
        jax.vmap(one, (None if uuu else 0, 0, 0)),
        (w, mul_ir(case, given.x), mul_ir(case, given.y) if uuu else given.y),
        lambda out: of_mul_ir(outputs, out, case.channels),
    )


def uuu_by_e3nn(case: Case, given: Inputs) -> dict[str, Side]:
    kept = [e3nn_jax.Irrep(l, 1) for l in case.degrees]

    def product(x: Any, y: Any, **options: Any) -> Any:
        arrays = (e3nn_jax.IrrepsArray(case.irreps, a) for a in (x, y))
        return e3nn_jax.tensor_product(*arrays, filter_ir_out=kept, **options)

    def plain(w: Any, x: Any, y: Any) -> Any:
        out, start, parts = product(x, y), 0, []
        for chunk in out.chunks:
            n = chunk.shape[-2]
            parts.append(jnp.einsum("bunk,nu->buk", chunk, w[start : start + n]))
            start += n
        return jnp.concatenate(parts, axis=-1)

    def chunks(w: Any, x: Any, y: Any) -> Any:
        out = product(x, y, regroup_output=False)
        sums: list[Any] = [0 for _ in case.degrees]
        for i, (_, irrep) in enumerate(out.irreps):
            sums[irrep.l] = sums[irrep.l] + out.chunks[i][..., 0, :] * w[i][:, None]
        return sums

    args = (given.w, channels_middle(given.x), channels_middle(given.y))
    return {
        "e3nn": Side(plain, args, channels_middle),
        "e3nn, chunks": Side(chunks, args, of_chunks),
    }


def uvu_by_e3nn(case: Case, given: Inputs) -> dict[str, Side]:
    kept = [e3nn_jax.Irrep(l, 1) for l in case.degrees]
    features = copies(case, list(case.degrees))
    outputs = [path[2] for path in case.paths]

    def product(x: Any, y: Any, **options: Any) -> Any:
        return e3nn_jax.tensor_product(
            e3nn_jax.IrrepsArray(features, x),
            e3nn_jax.IrrepsArray(case.irreps, y),
            filter_ir_out=kept,
            **options,
        )

    def plain(w: Any, x: Any, y: Any) -> Any:
        return (product(x, y) * w.reshape(len(w), -1)).array

    def chunks(w: Any, x: Any, y: Any) -> Any:
        out = product(x, y, regroup_output=False).chunks
        return [chunk * w[:, i, :, None] for i, chunk in enumerate(out)]

    args = (given.w, mul_ir(case, given.x), given.y)
    return {
        "e3nn": Side(plain, args, lambda out: of_mul_ir(outputs, out, case.channels)),
        "e3nn, chunks": Side(chunks, args, of_chunks),
    }


def by_e3nn(case: Case, given: Inputs) -> dict[str, Side]:
    forms = uuu_by_e3nn if case.mode == "uuu" else uvu_by_e3nn
    found = forms(case, given) | {"e3nn, legacy": legacy(case, given)}
    if case.max_degree > PLAIN_UP_TO:
        found.pop("e3nn")
    return found


# e3x ---------------------------------------------------------------------------------
