"""The linear model in two and three dimensions, and who solves it beside eqjax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import eikonalfm
import numpy as np
import skfmm

GRADIENT = 1.5


def problem(shape: tuple[int, ...]) -> dict[str, Any]:
    """The linear model on as many nodes per axis, with its exact times."""
    n, dim = shape[0], len(shape)
    h = 1 / (n - 1)
    index = (n // 4, n // 3, n // 3)[:dim]
    source = np.array(index) * h
    points = h * np.stack(np.meshgrid(*[np.arange(n)] * dim, indexing="ij"), -1)
    velocity = 1 + GRADIENT * points[..., 0]
    distance = np.linalg.norm(points - source, axis=-1)
    speeds = velocity * (1 + GRADIENT * source[0])
    exact = np.arccosh(1 + GRADIENT**2 * distance**2 / (2 * speeds)) / GRADIENT
    return {
        "spacing": (h,) * dim,
        "index": index,
        "source": source,
        "velocity": np.ascontiguousarray(velocity),
        "distance": distance,
        "exact": exact,
    }


def scikit_fmm(case: dict[str, Any], order: Literal[1, 2]) -> np.ndarray:
    level = np.ones_like(case["velocity"])
    level[case["index"]] = 0
    h = case["spacing"][0]
    return np.asarray(skfmm.travel_time(level, case["velocity"], dx=h, order=order))


def eikonalfm_plain(case: dict[str, Any], order: Literal[1, 2]) -> np.ndarray:
    return eikonalfm.fast_marching(
        case["velocity"], case["index"], case["spacing"], order
    )


def eikonalfm_factored(case: dict[str, Any], order: Literal[1, 2]) -> np.ndarray:
    tau = eikonalfm.factored_fast_marching(
        case["velocity"], case["index"], case["spacing"], order
    )
    return tau * case["distance"]


def fteikpy_solver(fteikpy: Any, case: dict[str, Any]) -> Callable[[], np.ndarray]:
    """Times at the nodes from v at the centers of the cells, where v is linear."""
    first, *others = case["velocity"].shape
    centers = (np.arange(first - 1) + 0.5) * case["spacing"][0]
    cells = np.broadcast_to(
        (1 + GRADIENT * centers).reshape(-1, *[1] * len(others)),
        (first - 1, *(n - 1 for n in others)),
    )
    kind = fteikpy.Eikonal3D if len(others) == 2 else fteikpy.Eikonal2D
    solver = kind(np.ascontiguousarray(cells), gridsize=case["spacing"])
    return lambda: solver.solve(case["source"]).grid


PEERS: dict[str, Callable[[dict[str, Any], Literal[1, 2]], np.ndarray]] = {
    "eikonalfm factored": eikonalfm_factored,
    "eikonalfm plain": eikonalfm_plain,
    "scikit-fmm": scikit_fmm,
}
