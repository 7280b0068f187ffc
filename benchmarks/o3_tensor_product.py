"""How fast are tensor products of features, uuu and uvu, beside other libraries?

Degrees up to L of SO(3), all couplings (l1, l2, l3), float32, jitted: the forward pass,
and the pull-back alone (cotangents of weights, x and y).

- uuu: out[l3, u] = sum_paths w[path, u] C(x[l1, u], y[l2, u]), weights for all.
- uvu: out[path, u] = w[path, u] C(x[l1, u], y[l2]), weights of each example; y has one
  channel, as harmonics of an edge.

Where the batch stands, and how the weights come in:

- eqjax: `o3.TensorProduct` on (dim, batch, channels), by vmap over axis 1.
- eqjax, batch first: the same on (batch, dim, channels), by vmap over axis 0.
- e3nn: `e3nn_jax.tensor_product` in its plainest form, one irrep of each degree in the
  result, up to L = 4. uuu: of (batch, channels, dim), times the weights by einsum. uvu:
  of x of `channels` copies, times the weights as scalars.
- e3nn, chunks: the same with `regroup_output=False`, each path times its weights; for
  uvu the paths stay a list.
- e3nn, legacy: `e3nn_jax.legacy.FunctionalTensorProduct`, by vmap.
- e3x: `e3x.nn.Tensor` with pseudotensors on (batch, 1, dim, channels); even and odd
  l1 + l2 stand apart in the result. It has no uvu.
- e3x, fused*: `e3x.nn.FusedTensor`: weights of rank one, so another function.
- cue: cuequivariance by `method="naive"`, which is the one that runs on a CPU, on
  (batch, dim channels), up to L = 4. uuu: segments "u,iu,ju,ku+ijk"; uvu:
  `descriptors.channelwise_tensor_product`.
- cue, flattened: the same with `flatten_coefficient_modes`, a term for each non-zero;
  up to L = 2.
- e3j, unfused: `e3j.core.TensorProduct` on (batch, dim, channels), a scattered sum over
  non-zeros; times the weights. e3j, dense: on (batch, channels, dim). Up to L = 3.

Other numbers of channels at L = 2 stand beside e3nn only. `error` is the largest
difference of the result from NumPy in float64, relative to its largest entry; a library
whose result differs by more than rounding stops the benchmark. Weights are rescaled
where a library normalises otherwise, outside of what is timed. `ratio` is the time of
the fastest form of e3nn, in each direction, over that of the library, `ratio_to_plain`
that of "e3nn". `compile_s` and `temporary_mib` are those of the pull-back.
`value_and_gradient`: of sum(out^2) / 2, uuu at L = 2 only. One process, interleaved
rounds, median.

    python benchmarks/o3_tensor_product.py \
        --out benchmarks/results/o3_tensor_product.json
    python benchmarks/o3_tensor_product.py --only uuu:2 uvu:3
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import e3nn_jax
import e3nn_jax.legacy
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

PACKAGES = ("e3nn-jax", "e3x", "cuequivariance-jax", "e3j")
# float32 sums of up to about 50 products: 1e-6 is usual, a wrong path makes 1e-1.
AGREEMENT = 1e-4
# Degrees up to which these take part; beyond, they compile or run for too long.
PLAIN_UP_TO, CUE_UP_TO, FLATTENED_UP_TO, E3J_UP_TO = 4, 4, 2, 3


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


CASES = (
    Case("uuu", 1, 64, 1000),
    Case("uuu", 2, 16, 1000, peers="e3nn"),
    Case("uuu", 2, 64, 1000),
    Case("uuu", 2, 128, 1000, peers="e3nn"),
    Case("uuu", 3, 64, 300),
    Case("uuu", 4, 32, 300),
    Case("uuu", 5, 16, 100),
    Case("uuu", 6, 16, 100),
    Case("uvu", 1, 64, 1000),
    Case("uvu", 2, 64, 1000),
    Case("uvu", 3, 32, 1000),
    Case("uvu", 4, 32, 500),
)


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


# Times -------------------------------------------------------------------------------


def sides_of(case: Case, given: Inputs) -> Iterator[tuple[str, Side]]:
    others = (by_e3x, by_cue, by_e3j) if case.peers == "all" else ()
    for library in (by_eqjax, by_e3nn, *others):
        yield from library(case, given).items()


def pull_back(fn: Callable[..., Any]) -> Callable[..., Any]:
    def run(cotangent: Any, *args: Any) -> Any:
        return jax.vjp(fn, *args)[1](cotangent)

    return run


def value_and_gradient(fn: Callable[..., Any]) -> Callable[..., Any]:
    def half_square(*args: Any) -> Any:
        return sum(jnp.sum(leaf**2) / 2 for leaf in jax.tree.leaves(fn(*args)))

    def run(*args: Any) -> Any:
        return jax.value_and_grad(half_square, tuple(range(len(args))))(*args)

    return run


def measure(case: Case, rounds: int) -> dict[str, Any]:
    given = inputs_of(case)
    want = exact(case, given)
    row: dict[str, Any] = {
        "operation": case.mode,
        "max_degree": case.max_degree,
        "channels": case.channels,
        "batch": case.batch,
        "paths": len(case.paths),
    }
    functions: dict[str, Callable[[], Any]] = {}
    for name, side in sides_of(case, given):
        args = jax.tree.map(jnp.asarray, side.args)
        forward, costs_forward = compiled(side.fn, *args)
        out = forward(*args)
        error = None
        if side.back:
            error = float(np.max(abs(side.back(out) - want)) / np.max(abs(want)))
            if not error < AGREEMENT:
                raise RuntimeError(f"{name} differs by {error:.1e} in {case}.")
        backward, costs = compiled(pull_back(side.fn), out, *args)
        row[name] = {
            "forward": {},
            "pull_back": {},
            "compile_forward_s": costs_forward["compile_s"],
            "compile_s": costs["compile_s"],
            "temporary_mib": costs["temporary_mib"],
            "error": None if error is None else rounded(error),
        }
        if side.note:
            row[name]["note"] = side.note
        functions[f"{name}/forward"] = functools.partial(forward, *args)
        functions[f"{name}/pull_back"] = functools.partial(backward, out, *args)
        if case[:3] == ("uuu", 2, 64) and name.startswith(("eqjax", "e3nn")):
            both, _ = compiled(value_and_gradient(side.fn), *args)
            row[name]["value_and_gradient"] = {}
            functions[f"{name}/value_and_gradient"] = functools.partial(both, *args)
    for key, taken in median_times(functions, rounds).items():
        name, _, part = key.rpartition("/")
        row[name][part] |= taken
    add_ratios(row, list(functions))
    return row


def add_ratios(row: dict[str, Any], measured: list[str]) -> None:
    """Of what is measured, "library/part"."""
    for name, part in (key.split("/") for key in measured):
        times = {
            other: row[other][part]["median_ms"]
            for other, same in (key.split("/") for key in measured)
            if same == part
        }
        fastest = min(times[form] for form in times if form.startswith("e3nn"))
        for key, time in (("ratio", fastest), ("ratio_to_plain", times.get("e3nn"))):
            if time is not None:
                row[name].setdefault(key, {})[part] = rounded(time / times[name])


def chosen(only: list[str]) -> list[Case]:
    """The cases named "mode", "mode:L" or "mode:L:channels"; all where none is."""

    def named(case: Case, name: str) -> bool:
        fields = name.split(":")
        return fields == [str(field) for field in case[: len(fields)]]

    return [c for c in CASES if not only or any(named(c, name) for name in only)]


def main() -> None:
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument(
        "--only", nargs="*", default=[], help='cases, "uuu:2" or "uvu:3:32"'
    )
    options = arguments.parse_args()
    results = {
        "question": question(__doc__),
        "environment": environment(PACKAGES),
        "rounds": options.rounds,
        "cases": [measure(case, options.rounds) for case in chosen(options.only)],
    }
    finish(results, options.out)


if __name__ == "__main__":
    main()
