"""Tensor products by e3x, cuequivariance and e3j, where they are installed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _measure import peer
from _o3_products import Case, Inputs, Side, channels_middle

from eqjax import o3

# Degrees up to which these take part; beyond, they compile or run for too long.
CUE_UP_TO, FLATTENED_UP_TO, E3J_UP_TO = 4, 2, 3


def by_e3x(case: Case, given: Inputs) -> dict[str, Side]:
    e3x = peer("e3x")
    if e3x is None or case.mode != "uuu":
        return {}
    l = case.max_degree
    # From its components to ours, and its coefficients in ours.
    turn = np.asarray(o3.from_e3x(jnp.eye(case.dim, dtype=jnp.float32)[None]))
    there = np.asarray(e3x.so3.clebsch_gordan(l, l, l))
    there = np.einsum("ai,bj,ck,ijk->abc", turn, turn, turn, there, optimize=True)
    shape = (1, l + 1, 1, l + 1, 2, l + 1, case.channels)
    kernel = np.zeros(shape, np.float32)
    for w, (a, b, c) in zip(given.w, case.paths, strict=True):
        rows = [slice(n * n, (n + 1) ** 2) for n in (a, b, c)]
        scale = np.vdot(there[tuple(rows)], o3.clebsch_gordan(a, b, c))
        scale /= np.vdot(there[tuple(rows)], there[tuple(rows)])
        kernel[0, a, 0, b, (a + b) % 2, c] = scale * w

    def inputs(a: np.ndarray) -> np.ndarray:
        return np.einsum("ai,bau->biu", turn, a)[:, None].astype(np.float32)

    def back(out: Any) -> np.ndarray:
        return np.einsum("ai,biu->bau", turn, np.sum(np.asarray(out), axis=1))

    x, y = inputs(given.x), inputs(given.y)
    full = e3x.nn.Tensor(max_degree=l, include_pseudotensors=True)
    fused = e3x.nn.FusedTensor(max_degree=l)
    few = fused.init(jax.random.key(0), x[:1], y[:1])
    return {
        "e3x": Side(full.apply, ({"params": {"kernel": kernel}}, x, y), back),
        "e3x, fused*": Side(fused.apply, (few, x, y), None, "weights of rank one"),
    }


# cuequivariance ----------------------------------------------------------------------


def by_cue(case: Case, given: Inputs) -> dict[str, Side]:
    cue, cuex = peer("cuequivariance"), peer("cuequivariance_jax")
    if cue is None or cuex is None or case.max_degree > CUE_UP_TO:
        return {}
    u = case.channels
    if case.mode == "uuu":
        segmented = cue.SegmentedTensorProduct.from_subscripts("u,iu,ju,ku+ijk")
        for operand in (1, 2, 3):
            for l in case.degrees:
                segmented.add_segment(operand, (2 * l + 1, u))
        for a, b, c in case.paths:
            table = o3.clebsch_gordan(a, b, c)
            segmented.add_path(None, a, b, c, c=table, dims={"u": u})
        polynomial = cue.SegmentedPolynomial.eval_last_operand(segmented)
        w = given.w.reshape(1, -1)
    else:
        one = "+".join(str(l) for l in case.degrees)
        irreps = cue.Irreps("SO3", one)
        polynomial = cue.descriptors.channelwise_tensor_product(
            u * irreps, irreps, irreps
        ).polynomial
        w = channelwise_weights(case, polynomial, given.w).reshape(case.batch, -1)
    args = (w, given.x.reshape(case.batch, -1), given.y.reshape(case.batch, -1))

    def side(polynomial: Any) -> Side:
        def run(w: Any, x: Any, y: Any) -> Any:
            out = jax.ShapeDtypeStruct((case.batch, -1), x.dtype)
            return cuex.segmented_polynomial(
                polynomial, [w, x, y], [out], method="naive"
            )[0]

        return Side(run, args, lambda out: np.asarray(out).reshape(case.batch, -1, u))

    found = {"cue": side(polynomial)}
    if case.max_degree <= FLATTENED_UP_TO:
        found["cue, flattened"] = side(polynomial.flatten_coefficient_modes())
    return found


def channelwise_weights(case: Case, polynomial: Any, w: np.ndarray) -> np.ndarray:
    """Rescaled to its coefficients; its paths have our order."""
    ((_, segmented),) = polynomial.operations
    scales = np.zeros(len(case.paths), np.float32)
    for path in segmented.paths:
        there = path.coefficients
        ours = o3.clebsch_gordan(*case.paths[path.indices[0]])
        scales[path.indices[0]] = np.vdot(there, ours) / np.vdot(there, there)
    return w * scales[:, None]


# e3j ---------------------------------------------------------------------------------


def by_e3j(case: Case, given: Inputs) -> dict[str, Side]:
    e3j = peer("e3j")
    if e3j is None or case.max_degree > E3J_UP_TO:
        return {}
    uuu = case.mode == "uuu"
    rows = np.repeat(np.arange(len(case.paths)), [2 * c + 1 for *_, c in case.paths])

    def build(evaluation: str, layout: str) -> Any:
        choice = e3j.utils.options.TensorProduct(evaluation)
        return e3j.core.TensorProduct(
            (case.irreps, case.irreps),
            case.irreps,
            config=e3j.utils.Config(tensor_product=choice),
            layout=layout,
            mode="MAP" if uuu else "OUTER",
            normalization="SQRT_DIM_OUT",
        )

    product = build("UNFUSED", "TRAILING_CHANNELS")
    by_matrix = build("DENSE", "LEADING_CHANNELS")
    mixing = e3j.core.ScalarMixing(product.target, layout="TRAILING_CHANNELS")

    def summed(out: Any) -> Any:
        """(batch, sum of paths, channels) to (batch, dim, channels)."""
        parts, start = [], 0
        for l in case.degrees:
            n = len(case.into(l))
            part = out[:, start : start + n * (2 * l + 1)]
            start += n * (2 * l + 1)
            parts.append(part.reshape(len(out), n, 2 * l + 1, -1).sum(1))
        return jnp.concatenate(parts, axis=1)

    def unfused(w: Any, x: Any, y: Any) -> Any:
        out = mixing(w[None] if uuu else w, product(x, y))
        return summed(out) if uuu else out

    table = product.coef.todense()

    def dense(w: Any, x: Any, y: Any) -> Any:
        out = jnp.swapaxes(by_matrix(x, y, table), 1, 2)
        out = out * (w[rows] if uuu else w[:, rows])
        return summed(out) if uuu else out

    x = channels_middle(given.x)
    y = channels_middle(given.y) if uuu else given.y[:, None]
    return {
        "e3j, unfused": Side(unfused, (given.w, given.x, given.y), np.asarray),
        "e3j, dense": Side(dense, (given.w, x, y), np.asarray),
    }
