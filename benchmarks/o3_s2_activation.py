"""What do activations on the sphere cost beside e3nn, and how exact are they?

SiLU on a grid of 2 (L + 1) x (2 L + 3) points, float32, jitted; the forward pass, and
the pull-back alone.

- eqjax: `o3.s2_activation` on (dim, batch, channels), by vmap over axis 1.
- eqjax, batch first: the same on (batch, dim, channels).
- eqjax SwiGLU-S2: `o3.swiglu_s2` of twice the channels, on its own exact grid. Another
  function, which commutes with O(3) exactly.
- e3nn: `e3nn_jax.to_s2grid`, SiLU, `from_s2grid`, fft=False, on (batch, channels, dim).
- e3nn, fft: the same with fft=True.

All but SwiGLU-S2 give the same; `error` is the largest difference from eqjax in
float64, relative to the largest entry (SwiGLU-S2: from itself). `ratio` is the time of
e3nn over that of the library. `compile_s` and `temporary_mib` are those of the
pull-back. `separable`: `to_grid` and `from_grid` of `S2Grid(L)`, 16 channels, batch
100, by one matrix (dense) or by Legendre and Fourier sums (separable).
`equivariance_error`: |f(R x) - R f(x)| / |f(x)|, in the mean over random rotations and
standard normal features, float64, of SiLU on the grid of `S2Grid(L)` (fineness 1), and
with two and four times as many angles both ways; of SwiGLU-S2, and of it with one
azimuth less than needed. One process, interleaved rounds, median.

    python benchmarks/o3_s2_activation.py \
        --out benchmarks/results/o3_s2_activation.json
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

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
    question,
    rounded,
)

from eqjax import groups
from eqjax.o3 import S2Grid, _s2_grid, s2_activation, swiglu_s2, wigner_d
from eqjax.o3._s2_grid import exact_shape

# Largest degree, channels, batch.
CASES = ((2, 32, 500), (4, 32, 500), (6, 16, 500), (8, 16, 100))
SEPARABLE = (4, 6, 8, 10, 12)
PACKAGES = ("e3nn-jax",)

# A function of a batch, its argument, and its result to (batch, dim, channels).
Side = tuple[Callable[[Any], Any], Any, Callable[[Any], np.ndarray]]


def by_e3nn(max_degree: int, *, fft: bool) -> Callable[[Any], Any]:
    irreps = e3nn_jax.s2_irreps(max_degree)
    shape = resolution(max_degree)

    def run(x: Any) -> Any:
        signal: Any = e3nn_jax.to_s2grid(
            e3nn_jax.IrrepsArray(irreps, x),
            *shape,
            quadrature="gausslegendre",
            normalization="integral",
            fft=fft,
        )
        return e3nn_jax.from_s2grid(
            signal.apply(jax.nn.silu), irreps, normalization="integral", fft=fft
        ).array

    return run


def resolution(max_degree: int) -> tuple[int, int]:
    return 2 * (max_degree + 1), 2 * max_degree + 3


def sides(max_degree: int, x: np.ndarray) -> dict[str, Side]:
    """Of x, (batch, dim, 2 channels), whose first half only SwiGLU-S2 doubles."""
    grid = S2Grid(max_degree, 2, resolution=resolution(max_degree))
    exact = S2Grid(max_degree)
    half = x[:, :, : x.shape[2] // 2]
    silu = functools.partial(s2_activation, grid, jax.nn.silu)
    component_first = np.swapaxes(half, 0, 1)
    channels_middle = np.swapaxes(half, 1, 2)

    def back(y: Any) -> np.ndarray:
        return np.swapaxes(y, 0, 1)

    def back_e3nn(y: Any) -> np.ndarray:
        return np.swapaxes(y, 1, 2)

    return {
        "eqjax": (jax.vmap(silu, 1, 1), component_first, back),
        "eqjax, batch first": (jax.vmap(silu), half, np.asarray),
        "eqjax SwiGLU-S2": (
            jax.vmap(functools.partial(swiglu_s2, exact), 1, 1),
            np.swapaxes(x, 0, 1),
            back,
        ),
        "e3nn": (by_e3nn(max_degree, fft=False), channels_middle, back_e3nn),
        "e3nn, fft": (by_e3nn(max_degree, fft=True), channels_middle, back_e3nn),
    }


def pull_back(fn: Callable[[Any], Any]) -> Callable[..., Any]:
    def run(x: Any, cotangent: Any) -> Any:
        return jax.vjp(fn, x)[1](cotangent)[0]

    return run


def measure(case: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    max_degree, channels, batch = case
    rng = np.random.default_rng(0)
    dim = (max_degree + 1) ** 2
    x = rng.normal(size=(batch, dim, 2 * channels)).astype(np.float32)
    row: dict[str, Any] = {
        "max_degree": max_degree,
        "channels": channels,
        "batch": batch,
    }
    wanted = {}
    with jax.enable_x64(True):
        for name, (fn, inputs, back) in sides(max_degree, x.astype(float)).items():
            if name in ("eqjax", "eqjax SwiGLU-S2"):
                wanted[name] = back(jax.jit(fn)(jnp.asarray(inputs)))
    functions: dict[str, Callable[[], Any]] = {}
    for name, (fn, inputs, back) in sides(max_degree, x).items():
        inputs = jnp.asarray(inputs)
        forward, _ = compiled(fn, inputs)
        y = forward(inputs)
        backward, costs = compiled(pull_back(fn), inputs, y)
        want = wanted.get(name, wanted["eqjax"])
        row[name] = {
            "forward": {},
            "pull_back": {},
            "compile_s": costs["compile_s"],
            "temporary_mib": costs["temporary_mib"],
            "error": rounded(float(np.max(abs(back(y) - want)) / np.max(abs(want)))),
        }
        functions[f"{name}/forward"] = functools.partial(forward, inputs)
        functions[f"{name}/pull_back"] = functools.partial(backward, inputs, y)
    for key, taken in median_times(functions, rounds).items():
        name, _, part = key.rpartition("/")
        row[name][part] |= taken
    for name in sides(max_degree, x):
        row[name]["ratio"] = {
            part: rounded(row["e3nn"][part]["median_ms"] / row[name][part]["median_ms"])
            for part in ("forward", "pull_back")
        }
    return row


def separable(max_degree: int, rounds: int) -> dict[str, Any]:
    """Both ways of the transforms, whatever the degree from which one is taken."""
    grid = S2Grid(max_degree)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(grid.dim, 100, 16)), jnp.float32)
    row: dict[str, Any] = {"max_degree": max_degree}
    functions: dict[str, Callable[[], Any]] = {}
    usual = _s2_grid.SEPARABLE_FROM
    for name, start in (("dense", max_degree + 1), ("separable", 0)):
        row[name] = {}
        _s2_grid.SEPARABLE_FROM = start
        to_grid, _ = compiled(jax.vmap(grid.to_grid, 1, 1), x)
        f = to_grid(x)
        from_grid, _ = compiled(jax.vmap(grid.from_grid, 1, 1), f)
        functions[f"{name}/to_grid"] = functools.partial(to_grid, x)
        functions[f"{name}/from_grid"] = functools.partial(from_grid, f)
    _s2_grid.SEPARABLE_FROM = usual
    for key, taken in median_times(functions, rounds).items():
        name, _, part = key.rpartition("/")
        row[name][part] = taken
    return row


def equivariance_error(max_degree: int) -> dict[str, Any]:
    shape = exact_shape(3 * max_degree)
    row: dict[str, Any] = {"max_degree": max_degree}

    def grid_of(n: int) -> S2Grid:
        return S2Grid(max_degree, resolution=(n * shape[0], n * shape[1]))

    coarse = S2Grid(max_degree, resolution=(shape[0], shape[1] - 1), exact=False)
    functions: dict[str, Callable[[Any], Any]] = {
        f"SiLU, fineness {n}": functools.partial(s2_activation, grid_of(n), jax.nn.silu)
        for n in (1, 2, 4)
    }
    functions["SwiGLU-S2"] = functools.partial(swiglu_s2, grid_of(1))
    functions["SwiGLU-S2, one azimuth less"] = functools.partial(swiglu_s2, coarse)
    so3 = groups.SO(3)
    with jax.enable_x64(True):
        key_x, key_r = jax.random.split(jax.random.key(0))
        x = jax.random.normal(key_x, (20, (max_degree + 1) ** 2, 32))
        elements = jax.vmap(lambda key: so3.sample(key=key))(
            jax.random.split(key_r, 20)
        )
        d: Any = jax.vmap(lambda g: wigner_d(max_degree, so3.matrix(g), dense=True))(
            elements
        )
        for name, fn in functions.items():
            moved, still = jax.jit(jax.vmap(fn))(d @ x), d @ jax.jit(jax.vmap(fn))(x)
            error = jnp.linalg.norm(moved - still) / jnp.linalg.norm(still)
            row[name] = rounded(float(error))
    return row


def main() -> None:
    options = parser(__doc__, rounds=7).parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": options.rounds,
        "cases": [measure(case, options.rounds) for case in CASES],
        "separable": [separable(degree, options.rounds) for degree in SEPARABLE],
        "equivariance_error": [equivariance_error(degree) for degree in (2, 4, 6)],
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
