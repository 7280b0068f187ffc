"""Are features of e3x and cuequivariance ours, once converted?

Degrees up to 6, float64. The largest difference between harmonics of unit vectors
computed there and converted, and computed here; between features rotated or inverted
there and converted, and the other way around; and of the way back.

    python benchmarks/o3_layouts.py --out benchmarks/results/o3_layouts.json
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _measure import environment, finish, parser, peer, question

from eqjax import groups, o3
from eqjax.o3._harmonics_table import harmonics

MAX_DEGREE = 6
NUM_POINTS = 100
# A rotation vector.
ANGLES = np.array([0.3, -1.1, 0.7])
PACKAGES = ("e3nn-jax", "e3x", "cuequivariance", "cuequivariance-jax")


def points() -> np.ndarray:
    r = np.random.default_rng(0).normal(size=(NUM_POINTS, 3))
    return r / np.linalg.norm(r, axis=1, keepdims=True)


def ours(r: np.ndarray) -> np.ndarray:
    """In component normalisation, (dim, points)."""
    return harmonics(MAX_DEGREE, r).T


def difference(a: Any, b: Any) -> float:
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))))


def by_e3x() -> dict[str, Any]:
    e3x = peer("e3x")
    r = points()
    degrees = np.arange(MAX_DEGREE + 1)
    norms = np.repeat(np.sqrt(2 * degrees + 1), 2 * degrees + 1)
    rows: dict[str, Any] = {}
    for cartesian_order in (True, False):
        y = e3x.so3.spherical_harmonics(
            jnp.asarray(r),
            MAX_DEGREE,
            cartesian_order=cartesian_order,
            normalization="racah",
        )
        x = (y * norms).T[None]
        choices: Any = (("kept", r), ("renamed", r[:, [1, 2, 0]]))
        for axes, positions in choices:
            there = o3.from_e3x(x, cartesian_order=cartesian_order, axes=axes)
            back = o3.to_e3x(there, cartesian_order=cartesian_order, axes=axes)
            rows[f"cartesian_order={cartesian_order}, axes {axes}"] = {
                "harmonics": difference(there, ours(positions)),
                "round_trip": difference(back, x),
            }
    rows["two parities"] = motions(e3x)
    return rows


def motions(e3x: Any) -> dict[str, float]:
    """Of two parities, the first one is even; e3x rotates vectors from the right."""
    x = jax.random.normal(jax.random.key(0), (2, (MAX_DEGREE + 1) ** 2, 1))
    degrees = o3.Degrees(MAX_DEGREE, parity="both")
    feature = o3.from_e3x(x)
    inversion = groups.O(3).from_matrix(-jnp.eye(3))
    inverted = o3.from_e3x(e3x.nn.reflect(x))
    matrix = rotation()
    rotated = e3x.nn.rotate(x, e3x.so3.wigner_d(jnp.asarray(matrix.T), MAX_DEGREE))
    element = groups.O(3).from_matrix(jnp.asarray(matrix))
    return {
        "inversion": difference(degrees.apply(inversion, feature), inverted),
        "rotation": difference(degrees.apply(element, feature), o3.from_e3x(rotated)),
    }


def by_cue() -> dict[str, Any]:
    cue, cuex = peer("cuequivariance"), peer("cuequivariance_jax")
    r = points()
    rows: dict[str, Any] = {}
    vectors = cuex.RepArray(cue.Irreps("O3", "1x1o"), jnp.asarray(r), cue.ir_mul)
    y = cuex.spherical_harmonics(list(range(MAX_DEGREE + 1)), vectors)
    parts = jax.vmap(lambda y: o3.from_cue(y, "0e+1o+2e+3o+4e+5o+6e"))(y.array)
    joined = jnp.concatenate([part[..., 0] for part in parts.values()], axis=1)
    rows["harmonics"] = difference(joined.T, ours(r))
    # Matrices of representations with several copies, in both layouts.
    irreps = cue.Irreps("O3", "3x1o + 2x0e + 1x2e + 1x1o")
    element = groups.O(3).from_matrix(jnp.asarray(rotation()))
    for name in ("ir_mul", "mul_ir"):
        rep = cue.IrrepsAndLayout(irreps, getattr(cue, name))
        x = jax.random.normal(jax.random.key(0), (irreps.dim,))
        moved = jnp.asarray(rep.exp_map(ANGLES, np.array([]))) @ x
        parts = o3.from_cue(x, irreps, layout=name)
        want = {irrep: irrep.apply(element, part) for irrep, part in parts.items()}
        rows[name] = {
            "rotation": difference(o3.to_cue(want, irreps, layout=name), moved),
            "round_trip": difference(o3.to_cue(parts, irreps, layout=name), x),
        }
    return rows


def rotation() -> np.ndarray:
    """The rotation matrix of a rotation vector."""
    return np.asarray(groups.SO(3).matrix(groups.SO(3).exp(jnp.asarray(ANGLES))))


def main() -> None:
    options = parser(__doc__, rounds=1).parse_args()
    jax.config.update("jax_enable_x64", True)
    results: dict[str, Any] = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "max_degree": MAX_DEGREE,
    }
    if peer("e3x"):
        results["e3x"] = by_e3x()
    if peer("cuequivariance_jax"):
        results["cuequivariance"] = by_cue()
    finish(results, options.out)


if __name__ == "__main__":
    main()
