"""How fast are symmetric contractions, beside e3nn as in MACE and cuequivariance?

The equivariant polynomials up to an order of one feature of natural parity, a weight
for each polynomial and channel, float32, jitted: the forward pass, and the pull-back
alone (cotangents of weights and feature). Weights are shared by all examples, or
gathered from those of ten species, as MACE does.

- eqjax: `o3.SymmetricContraction` on (dim, batch, channels), by vmap over axis 1.
- eqjax, batch first: the same on (batch, dim, channels), by vmap over axis 0.
- e3nn: `e3nn_jax.reduced_symmetric_tensor_product_basis`, contracted with weights and
  feature from the highest order down, as mace-jax does, on (batch, channels, dim).
- cue: `cuequivariance.descriptors.symmetric_contraction` by `method="naive"`, which is
  the one that runs on a CPU, on (batch, dim channels).

All have as many weights, in another basis of the same polynomials: those of the peers
follow from ours by least squares, whose residual is checked. `error` is the largest
difference of the result from eqjax in float64, relative to its largest entry; a library
whose result differs by more than rounding stops the benchmark. `ratio` is the time of
e3nn over that of the library. `compile_s` and `temporary_mib` are those of the
pull-back. One process, interleaved rounds, median.

    python benchmarks/o3_symmetric_contraction.py \
        --out benchmarks/results/o3_symmetric_contraction.json
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
from _measure import (
    compiled,
    environment,
    finish,
    median_times,
    parser,
    peer,
    question,
    rounded,
)

from eqjax import o3

PACKAGES = ("e3nn-jax", "cuequivariance-jax")
NUM_SPECIES = 10
# float32 sums of about a thousand terms: 1e-6 is usual, a wrong basis makes 1e-1.
AGREEMENT = 1e-4

# Of weights (paths, channels), or those of each example, and features of a batch.
Product = Callable[[Any, Any], Any]


class Case(NamedTuple):
    max_degree: int
    max_degree_out: int
    order: int
    channels: int
    batch: int
    weights: str


CASES = (
    Case(2, 1, 2, 32, 500, "shared"),
    Case(2, 1, 3, 32, 500, "shared"),
    Case(2, 1, 3, 32, 500, "of species"),
    Case(3, 1, 3, 32, 200, "shared"),
)


@dataclass(frozen=True)
class Library:
    """One way to compute it.

    Attributes:
        product: Of a number of channels.
        batch_axis: Of weights of each example, features and results.
        inward: From (batch, dim, channels) to what `product` takes.
        back: From its results to (batch, dim, channels).
        own_basis: Whether weights are to be converted.
    """

    product: Callable[[int], Product]
    batch_axis: int
    inward: Callable[[np.ndarray], np.ndarray]
    back: Callable[[Any], np.ndarray]
    own_basis: bool = True


def irreps(max_degree: int) -> str:
    return "+".join(f"{l}{'eo'[l % 2]}" for l in range(max_degree + 1))


def swapped(i: int, j: int) -> Callable[[Any], np.ndarray]:
    return lambda a: np.ascontiguousarray(np.swapaxes(np.asarray(a), i, j))


# Libraries ---------------------------------------------------------------------------


def contraction(case: Case, channels: int) -> o3.SymmetricContraction:
    return o3.SymmetricContraction(
        o3.Degrees(case.max_degree),
        o3.Degrees(case.max_degree_out),
        case.order,
        channels=channels,
    )


def by_eqjax(case: Case, axis: int) -> Library:
    def product(channels: int) -> Product:
        spec = contraction(case, channels)

        def one(w: Any, x: Any) -> Any:
            return spec.apply({}, x, weights=w)

        def run(w: Any, x: Any) -> Any:
            return jax.vmap(one, (axis if w.ndim == 3 else None, axis), axis)(w, x)

        return run

    move = swapped(0, axis)
    return Library(product, axis, move, move, own_basis=False)


def by_e3nn(case: Case) -> Library:
    kept = [e3nn_jax.Irrep(l, (-1) ** l) for l in range(case.max_degree_out + 1)]
    bases: dict[int, dict[Any, np.ndarray]] = {}
    for order in range(1, case.order + 1):
        basis = e3nn_jax.reduced_symmetric_tensor_product_basis(
            e3nn_jax.Irreps(irreps(case.max_degree)), order, keep_ir=kept
        )
        found = zip(basis.irreps, basis.chunks, strict=True)
        bases[order] = {irrep: np.asarray(chunk) for (_, irrep), chunk in found}

    def one(w: Any, x: Any) -> Any:
        """Of x (channels, dim)."""
        start, outs = 0, {}
        for order in range(case.order, 0, -1):
            for irrep, basis in bases[order].items():
                u = jnp.asarray(basis, x.dtype)
                rows = w[start : start + u.shape[-2]]
                start += u.shape[-2]
                if irrep not in outs:
                    outs[irrep] = jnp.einsum("...jki,kc,cj->c...i", u, rows, x)
                else:
                    sums = outs[irrep] + jnp.einsum("...ki,kc->c...i", u, rows)
                    outs[irrep] = jnp.einsum("c...ji,cj->c...i", sums, x)
        return jnp.concatenate([outs[irrep] for irrep in kept], axis=-1)

    def run(w: Any, x: Any) -> Any:
        return jax.vmap(one, (0 if w.ndim == 3 else None, 0))(w, x)

    move = swapped(1, 2)
    return Library(lambda channels: run, 0, move, move)


def by_cue(case: Case) -> Library:
    cue, cuex = peer("cuequivariance"), peer("cuequivariance_jax")

    def product(channels: int) -> Product:
        polynomial = cue.descriptors.symmetric_contraction(
            channels * cue.Irreps("O3", irreps(case.max_degree)),
            channels * cue.Irreps("O3", irreps(case.max_degree_out)),
            tuple(range(1, case.order + 1)),
        ).polynomial

        def run(w: Any, x: Any) -> Any:
            out = jax.ShapeDtypeStruct((len(x), -1), x.dtype)
            flat = w.reshape(w.shape[0] if w.ndim == 3 else 1, -1)
            return cuex.segmented_polynomial(
                polynomial, [flat, x], [out], method="naive"
            )[0]

        return run

    def back(out: Any) -> np.ndarray:
        return np.asarray(out).reshape(len(out), (case.max_degree_out + 1) ** 2, -1)

    return Library(product, 0, lambda x: x.reshape(len(x), -1), back)


def libraries(case: Case) -> dict[str, Library]:
    found = {
        "eqjax": by_eqjax(case, 1),
        "eqjax, batch first": by_eqjax(case, 0),
        "e3nn": by_e3nn(case),
    }
    if peer("cuequivariance_jax"):
        found["cue"] = by_cue(case)
    return found


# Weights -----------------------------------------------------------------------------


def polynomials(case: Case, library: Library) -> np.ndarray:
    """Of weights that are rows of the identity, at random points, in float64."""
    num_paths = contraction(case, 1).num_paths
    points = np.random.default_rng(1).normal(size=(50, (case.max_degree + 1) ** 2, 1))
    x = np.repeat(points, num_paths, axis=2)
    with jax.enable_x64(True):
        weights, inputs = jnp.eye(num_paths), jnp.asarray(library.inward(x))
        values = jax.jit(library.product(num_paths))(weights, inputs)
    return library.back(values).reshape(-1, num_paths)


def conversion(case: Case, library: Library) -> np.ndarray:
    """The matrix from our weights to those of a library.

    Raises:
        RuntimeError: If its polynomials do not span ours.
    """
    if not library.own_basis:
        return np.eye(contraction(case, 1).num_paths)
    ours, there = polynomials(case, by_eqjax(case, 0)), polynomials(case, library)
    matrix = np.linalg.lstsq(there, ours, rcond=None)[0]
    residual = np.max(abs(there @ matrix - ours)) / np.max(abs(ours))
    if not residual < AGREEMENT:
        raise RuntimeError(f"Polynomials differ by {residual:.1e} in {case}.")
    return matrix


# Times -------------------------------------------------------------------------------


def with_species(product: Product, axis: int, species: np.ndarray) -> Product:
    """The product with weights of (species, paths, channels), species at the axis."""

    def run(w: Any, x: Any) -> Any:
        return product(jnp.take(w, species, axis=axis, mode="clip"), x)

    return run


def pull_back(fn: Product) -> Callable[..., Any]:
    def run(cotangent: Any, *args: Any) -> Any:
        return jax.vjp(fn, *args)[1](cotangent)

    return run


def exact(case: Case, w: np.ndarray, x: np.ndarray, species: np.ndarray) -> np.ndarray:
    product = by_eqjax(case, 0).product(case.channels)
    if case.weights == "of species":
        product = with_species(product, 0, species)
    with jax.enable_x64(True):
        args = (jnp.asarray(w, jnp.float64), jnp.asarray(x, jnp.float64))
        return np.asarray(jax.jit(product)(*args))


def measure(case: Case, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    num_paths = contraction(case, 1).num_paths
    shared = case.weights == "shared"
    w = rng.normal(size=(*(() if shared else (NUM_SPECIES,)), num_paths, case.channels))
    w = w.astype(np.float32)
    x = rng.normal(size=(case.batch, (case.max_degree + 1) ** 2, case.channels))
    x = x.astype(np.float32)
    species = rng.integers(NUM_SPECIES, size=case.batch)
    want = exact(case, w, x, species)
    row: dict[str, Any] = {
        "operation": "symmetric contraction",
        **case._asdict(),
        "paths": num_paths,
    }
    functions: dict[str, Callable[[], Any]] = {}
    for name, library in libraries(case).items():
        product = library.product(case.channels)
        weights = (conversion(case, library) @ w).astype(np.float32)
        if not shared:
            product = with_species(product, library.batch_axis, species)
            weights = swapped(0, library.batch_axis)(weights)
        args = (jnp.asarray(weights), jnp.asarray(library.inward(x)))
        forward, costs_forward = compiled(product, *args)
        out = forward(*args)
        error = float(np.max(abs(library.back(out) - want)) / np.max(abs(want)))
        if not error < AGREEMENT:
            raise RuntimeError(f"{name} differs by {error:.1e} in {case}.")
        backward, costs = compiled(pull_back(product), out, *args)
        row[name] = {
            "forward": {},
            "pull_back": {},
            "compile_forward_s": costs_forward["compile_s"],
            "compile_s": costs["compile_s"],
            "temporary_mib": costs["temporary_mib"],
            "error": rounded(error),
        }
        functions[f"{name}/forward"] = functools.partial(forward, *args)
        functions[f"{name}/pull_back"] = functools.partial(backward, out, *args)
    for key, taken in median_times(functions, rounds).items():
        name, _, part = key.rpartition("/")
        row[name][part] |= taken
    for key in functions:
        name, _, part = key.rpartition("/")
        ratio = row["e3nn"][part]["median_ms"] / row[name][part]["median_ms"]
        row[name].setdefault("ratio", {})[part] = rounded(ratio)
    return row


def main() -> None:
    arguments = parser(__doc__, rounds=7)
    arguments.add_argument("--only", nargs="*", type=int, help="numbers of cases")
    options = arguments.parse_args()
    cases = [CASES[i] for i in options.only] if options.only else CASES
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": options.rounds,
        "cases": [measure(case, options.rounds) for case in cases],
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
