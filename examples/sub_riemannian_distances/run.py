"""How far closed forms of distances in the roto-translation group are from the truth.

Every closed form that `PositionOrientation` offers is compared with the lengths of
shortest geodesics, found by shooting. See README.md for the numbers to expect.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import shooting
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

# Lengths (w1, w2, w3) of steps ahead, aside, and of turns by a radian.
ALL_WEIGHTS = ((1, 1, 1), (1, 2, 1), (1, 3, 3), (1, 10, 1), (1, 10, 3))
FORMS = ("half_angle", "combined", "combined_covariant")
BINS = ((0.0, 1.0), (1.0, 2.0), (2.0, 3.8))
SHOWN = (1, 10, 1)


@dataclass(frozen=True)
class Config:
    """Closed forms of distances in SE(2), against geodesic shooting.

    Attributes:
        out: Folder of the picture and of result.json.
        num_targets: Points per set of weights, a third for each range of distances.
        num_geodesics: Geodesics that are shot to find candidates.
        half_width: Targets have |x| and |y| up to it, in units of w3 / w1.
        seed: Of targets and geodesics.
        smoke: One set of weights and fewer points: a run of seconds.
    """

    out: Path = Path("runs/sub_riemannian_distances")
    num_targets: int = 3_000
    num_geodesics: int = 60_000
    half_width: float = 1.5
    seed: int = 0
    smoke: bool = False


def closed_form(
    weights: shooting.Weights, form: str, targets: np.ndarray
) -> np.ndarray:
    """Distances from the identity."""
    return shooting.closed_form(weights, form, np.zeros((1, 3)), targets)


def sample_targets(
    weights: shooting.Weights, config: Config, numbers: np.random.Generator
) -> np.ndarray:
    """Uniform in the volume, a third for each range of distances and some around it.

    Only what is surely outside of the range is left out before the distance is known:
    the closed forms are within a factor of 1.7 of it, and one is below it.
    """
    chosen = []
    for low, high in BINS:
        width = min(config.half_width * weights[2], high) / weights[0]
        size = np.array([width, width, min(np.pi, high / weights[2])])
        targets = size * numbers.uniform(-1, 1, (400_000, 3))
        rough = closed_form(weights, "combined_covariant", targets)
        bound = closed_form(weights, "lower_bound", targets)
        near = (bound < high) & (rough < 1.7 * high) & (rough > 0.8 * low)
        chosen.append(targets[near][: config.num_targets // len(BINS)])
    return np.stack(chosen)


def compare(weights: shooting.Weights, config: Config) -> dict[str, np.ndarray]:
    """Distances of targets for each range: shot, and by every closed form."""
    targets = sample_targets(weights, config, np.random.default_rng(config.seed))
    targets = targets.reshape(-1, 3)
    found = {form: closed_form(weights, form, targets) for form in FORMS}
    found["lower_bound"] = closed_form(weights, "lower_bound", targets)
    found["distance"] = shooting.distances(
        weights,
        targets,
        longest=BINS[-1][1] + 0.2,
        num_geodesics=config.num_geodesics,
        seed=config.seed,
    )
    return {name: values.reshape(len(BINS), -1) for name, values in found.items()}


def summarize(found: dict[str, np.ndarray]) -> dict:
    """5th and 95th percentile of the ratios in each range of distances."""
    distance = found["distance"]
    low, high = np.array(BINS).T[:, :, None]
    inside = (distance > low) & (distance < high)
    return {
        "num_targets": np.sum(inside, axis=1).tolist(),
        "not_found": int(np.sum(~np.isfinite(distance))),
        # Above 1 only if a geodesic were wrong.
        "lower_bound_over_distance": float(np.max(found["lower_bound"] / distance)),
        "ratios": {
            form: [
                np.percentile(row[chosen], (5, 95)).tolist()
                for row, chosen in zip(found[form] / distance, inside, strict=True)
            ]
            for form in FORMS
        },
    }


def draw(found: dict[str, np.ndarray], config: Config) -> None:
    """Balls in the plane of equal headings, and ratios of all targets."""
    figure = Figure(figsize=(11, 4.4), layout="tight")
    plane, scatter = figure.subplots(1, 2)
    num = 9 if config.smoke else 33
    x, y = np.meshgrid(np.linspace(0, 3, num), np.linspace(0, 1.2, num), indexing="ij")
    targets = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1)
    targets[0, 0] = 1e-3  # at the identity itself there is nothing to shoot at
    exact = shooting.distances(
        SHOWN,
        targets,
        longest=4.6,
        num_geodesics=config.num_geodesics,
        # On the line x = 0 several geodesics are equally short: more candidates.
        num_neighbors=512 if config.smoke else 2048,
        num_candidates=16 if config.smoke else 40,
    )
    levels, lines = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0), []
    values = {"shooting": exact}
    values |= {form: closed_form(SHOWN, form, targets) for form in FORMS}
    names = {
        "shooting": "shortest geodesic",
        "half_angle": "half angle",
        "combined": "combined, nu = 1.6",
        "combined_covariant": "combined, 4 pi",
    }
    for i, (name, value) in enumerate(values.items()):
        color = "black" if name == "shooting" else f"C{i - 1}"
        width = 1.8 if name == "shooting" else 1.0
        square = np.where(np.isfinite(value), value, np.nan).reshape(x.shape)
        for sign in (1, -1):  # reflections are isometries
            plane.contour(x, sign * y, square, levels, colors=color, linewidths=width)
        lines += plane.plot([], [], color=color, linewidth=width, label=names[name])
    plane.set(xlabel="x (ahead)", ylabel="y (aside)")
    plane.set_title("distances 0.5, 1, ... 3 at equal headings")
    plane.legend(handles=lines, fontsize=8, loc="upper right", framealpha=1)
    near = found["distance"] < BINS[-1][1]
    for i, form in enumerate(FORMS):
        ratio = found[form][near] / found["distance"][near]
        scatter.scatter(found["distance"][near], ratio, s=2, c=f"C{i}", alpha=0.5)
    scatter.axhline(1, color="black", linewidth=0.8)
    scatter.set(xlabel="distance", ylabel="closed form / distance", ylim=(0.8, 3))
    scatter.set_title(f"weights {SHOWN}, points of any heading")
    figure.savefig(config.out / "distances.png", dpi=150)


def show(result: dict) -> None:
    """The table of ratios."""
    table = Table("weights", "form", *(f"{low} < d < {high}" for low, high in BINS))
    for name, row in result["weights"].items():
        for form, ranges in row["ratios"].items():
            table.add_row(name, form, *(f"{a:.2f} .. {b:.2f}" for a, b in ranges))
    console = Console()
    console.print(table)
    console.print(f"{result['seconds']} s")


def main(config: Config) -> None:
    """Shoots, compares, draws."""
    start = time.perf_counter()
    jax.config.update("jax_enable_x64", True)
    all_weights = ALL_WEIGHTS
    if config.smoke:
        config = Config(config.out, 450, 6_000, config.half_width, config.seed, True)
        all_weights = (SHOWN,)
    config.out.mkdir(parents=True, exist_ok=True)
    result: dict = {"weights": {}}
    for weights in all_weights:
        found = compare(weights, config)
        result["weights"][str(weights)] = summarize(found)
        if weights == SHOWN:
            draw(found, config)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    show(result)


if __name__ == "__main__":
    main(tyro.cli(Config))
