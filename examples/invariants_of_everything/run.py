"""Complete invariants of tuples of points and poses, computed and checked.

For every kind of tuple: are the values invariant, are as many of them independent as
the space of orbits has dimensions, and do they tell orbits apart? See README.md.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array
from rich.console import Console
from rich.table import Table
from separation import separation_residual

from eqjax import spaces
from eqjax.groups import SE, SO, E, Lorentz, O, Translation
from eqjax.spaces import Euclidean, Hyperbolic, PositionOrientation, Sphere


@dataclass(frozen=True)
class Config:
    """Complete invariants of tuples of points and poses.

    Attributes:
        out: Folder of result.json.
        num_tuples: Random tuples of each kind; a third of them are degenerate.
        seed: Of the tuples.
        smoke: A tenth of the tuples: a run of seconds.
    """

    out: Path = Path("runs/invariants_of_everything")
    num_tuples: int = 3_000
    seed: int = 0
    smoke: bool = False


@dataclass(frozen=True)
class Row:
    """A kind of tuple under a group; dim is the dimension of the space of orbits."""

    text: str
    space: Any
    group: Any
    kinds: tuple[str, ...]
    dim: int


PAIR, TRIPLE = ("point",) * 2, ("point",) * 3
WITH_POSE, WITH_TWO = ("point", "pose"), ("point", "point", "pose")
OF_DIRECTION, OF_TWO = ("point", "oriented"), ("point", "point", "oriented")
REFLECTED = partial(Lorentz, reflections="space")
ROWS = (
    Row("2 points of R^3", Euclidean(3), Translation(3), PAIR, 3),
    Row("2 points of R^3", Euclidean(3), E(3), PAIR, 1),
    Row("point, pose in SE(2)", Euclidean(2), SE(2), WITH_POSE, 2),
    Row("point, pose in SE(3)", Euclidean(3), SE(3), WITH_POSE, 3),
    Row("point, heading in R^2 x S^1", Euclidean(2), SE(2), OF_DIRECTION, 2),
    Row("point, direction in R^3 x S^2", Euclidean(3), E(3), OF_DIRECTION, 2),
    Row("point, direction in R^3 x S^2", Euclidean(3), SE(3), OF_DIRECTION, 2),
    Row("3 points of R^3", Euclidean(3), E(3), TRIPLE, 3),
    Row("3 points of R^3", Euclidean(3), SE(3), TRIPLE, 3),
    Row("3 points of R^2", Euclidean(2), SE(2), TRIPLE, 3),
    Row("2 points, pose in SE(2)", Euclidean(2), SE(2), WITH_TWO, 4),
    Row("2 points, pose in SE(3)", Euclidean(3), SE(3), WITH_TWO, 6),
    Row("2 points, direction in R^3 x S^2", Euclidean(3), E(3), OF_TWO, 5),
    Row("2 points, direction in R^3 x S^2", Euclidean(3), SE(3), OF_TWO, 5),
    Row("2 directions in R^3 x S^2", PositionOrientation(3), E(3), PAIR, 4),
    Row("2 directions in R^3 x S^2", PositionOrientation(3), SE(3), PAIR, 4),
    Row("2 headings in R^2 x S^1", PositionOrientation(2), SE(2), PAIR, 3),
    Row("3 points of S^2", Sphere(2), O(3), TRIPLE, 3),
    Row("3 points of S^2", Sphere(2), SO(3), TRIPLE, 3),
    Row("3 points of S^3", Sphere(3), O(4), TRIPLE, 3),
    Row("2 points of S^2, pose in SO(3)", Sphere(2), SO(3), WITH_TWO, 4),
    Row("3 points of H^2", Hyperbolic(2), REFLECTED(2), TRIPLE, 3),
    Row("3 points of H^2", Hyperbolic(2), Lorentz(2), TRIPLE, 3),
    Row("3 points of H^3", Hyperbolic(3), REFLECTED(3), TRIPLE, 3),
)


def name(group: Any) -> str:
    """In the field's notation."""
    if isinstance(group, Lorentz):
        return f"{'S' * (group.reflections == 'none')}O+(1,{group.n})"
    return f"{type(group).__name__[:2].replace('Tr', 'T')}({group.n})"


def home(row: Row, kind: str) -> Any:
    """Where a member lives: a space, or the group."""
    if kind == "pose":
        return row.group
    return PositionOrientation(row.space.n) if kind == "oriented" else row.space


@cache
def sampler(at: Any) -> Any:
    """From keys to points of a space, or to elements of a group."""
    return jax.jit(jax.vmap(lambda key: at.sample(key=key)))


def sample(row: Row, num: int, key: Array) -> tuple[Any, ...]:
    """Random tuples; in a third of them positions coincide, or are aligned."""
    keys = jax.random.split(key, (len(row.kinds), num))
    members = [
        sampler(home(row, kind))(k) for kind, k in zip(row.kinds, keys, strict=True)
    ]
    last = len(row.kinds) - 1 - (row.kinds[-1] == "pose")
    if last == 0:
        return tuple(members)
    size = row.space.n + isinstance(row.space, Sphere)
    first, origin = members[0][:, :size], members[last][:, :size]
    part = num // 6
    first = first.at[:part].set(origin[:part])
    if len(row.kinds) == 3 and isinstance(row.space, Euclidean):
        through = 3 * members[1][part : 2 * part, :size] - 2 * origin[part : 2 * part]
        first = first.at[part : 2 * part].set(through)
    elif isinstance(row.space, Sphere):
        first = first.at[part : 2 * part].set(-origin[part : 2 * part])
    members[0] = members[0].at[:, :size].set(first)
    return tuple(members)


def move(row: Row, g: Any, members: tuple[Any, ...]) -> tuple[Any, ...]:
    """All members, moved by g."""
    return tuple(
        row.group.compose(g, member)
        if kind == "pose"
        else home(row, kind).act(g, member, group=row.group)
        for kind, member in zip(row.kinds, members, strict=True)
    )


def jacobian_rank(row: Row, members: tuple[Any, ...]) -> int:
    """Rank of the derivatives of the values along all tangent vectors, at one tuple."""
    invariants = spaces.invariants(row.space, row.group, row.kinds)
    homes = [home(row, kind) for kind in row.kinds]
    sizes = [at.dim if at == row.group else at.ambient_dim for at in homes]

    def along(v: Array) -> Array:
        moved = []
        parts = jnp.split(v, np.cumsum(sizes)[:-1].tolist())
        for at, member, part in zip(homes, members, parts, strict=True):
            if at == row.group:
                moved.append(at.compose(member, at.exp(part)))
            else:
                moved.append(at.retract(member, at.to_tangent(member, part)))
        return invariants(*moved)

    jacobian = jax.jit(jax.jacfwd(along))(jnp.zeros(sum(sizes)))
    return int(np.linalg.matrix_rank(jacobian, tol=1e-8))


def measure(row: Row, num: int, key: Array) -> dict[str, Any]:
    """Numbers of one row."""
    invariants = spaces.invariants(row.space, row.group, row.kinds)
    key_tuples, key_elements = jax.random.split(key)
    members = sample(row, num, key_tuples)
    g = sampler(row.group)(jax.random.split(key_elements, num))

    @jax.jit
    def before_and_after(g: Any, members: Any) -> tuple[Array, Array]:
        return invariants(*members), invariants(*move(row, g, members))

    values, moved = (np.asarray(v) for v in before_and_after(g, members))
    # Relative to the largest value of each tuple: small ones are their differences.
    size = np.maximum(1, np.max(np.abs(values), axis=1, keepdims=True))
    residual = separation_residual(row.space, row.group, row.kinds, members, values)
    return {
        "tuple": row.text,
        "group": name(row.group),
        "dim": row.dim,
        "num_values": values.shape[1],
        "rank": jacobian_rank(row, jax.tree.map(lambda leaf: leaf[-1], members)),
        "invariance_error": float(np.max(np.abs(moved - values) / size)),
        "separation_residual": float(np.max(residual)),
    }


def main(config: Config) -> None:
    """Measures every row and prints them."""
    start = time.perf_counter()
    jax.config.update("jax_enable_x64", True)
    if config.smoke:  # nearly all of it is compilation
        jax.config.update("jax_disable_most_optimizations", True)
    num = config.num_tuples // (10 if config.smoke else 1)
    keys = jax.random.split(jax.random.key(config.seed), len(ROWS))
    rows = [measure(row, num, key) for row, key in zip(ROWS, keys, strict=True)]
    table = Table("tuple", "group", "dim", "values", "rank", "invariance", "separation")
    for row in rows:
        *head, moved, apart = (str(value) for value in row.values())
        table.add_row(*head, f"{float(moved):.0e}", f"{float(apart):.0e}")
    seconds = round(time.perf_counter() - start, 1)
    settings = {field: str(value) for field, value in asdict(config).items()}
    result = {"settings": settings, "rows": rows, "seconds": seconds}
    config.out.mkdir(parents=True, exist_ok=True)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    Console(width=100).print(table, f"{seconds} s")


if __name__ == "__main__":
    main(tyro.cli(Config))
