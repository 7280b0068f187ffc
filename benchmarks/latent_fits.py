"""Which method fits the latents of a new image, with the decoder frozen, soonest?

8 x 8 digits by decoders of width 32 with SE(2) poses: 9 latents with contexts of 16,
more unknowns (180) than pixels, or 4 with contexts of 8, fewer (48). Decoders are
autodecoded with a table of latents, whose mean is where fits start; another one is
meta-learned with its initial latents and rates by Meta-SGD of three steps. The opponent
is Adam with rates of contexts and poses tuned for every number of steps, and a cosine
schedule. Rates, dampings and priors are chosen on 16 validation images, errors are
those of test images, mean PSNR over images. Times are of one image and of 16 images at
once, jitted, float32, in interleaved rounds, median.

    python benchmarks/latent_fits.py --out benchmarks/results/latent_fits.json
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import _measure
import jax
import jax.numpy as jnp
import numpy as np
import optax

from eqjax import data, fields, fitting, groups, spaces

SIDE, WIDTH = 8, 32
# Number of latents, size of a context; Meta-SGD trains the first.
SIZES = ((9, 16), (4, 8))
NUM_TRAIN, NUM_VALIDATION, BATCH = 512, 16, 32
POSES = groups.SE(2)
FIELD = fields.EquivariantField(
    fields.RelativePose(POSES),
    hidden=WIDTH,
    num_heads=2,
    head_dim=WIDTH // 2,
    query_embedding=fields.FourierEmbedding(WIDTH, scale=0.2),
    value_embedding=fields.FourierEmbedding(WIDTH, scale=0.8),
    head_layers=2,
)
MOVES: dict[str, Any] = {
    "retract": lambda z, dz: fields.retract_latents(POSES, z, dz),
    "zero_tangent": lambda z: fields.zero_tangent(POSES, z),
}
RATES = tuple(itertools.product((0.01, 0.02, 0.05, 0.1), (0.001, 0.003, 0.01)))
DAMPINGS, ERRORS = (0.1, 1.0, 10.0, 100.0), (None, 0.001, 0.003, 0.01, 0.03)


def pixels() -> jax.Array:
    t = (np.arange(SIDE) + 0.5) * 2 / SIDE - 1
    return jnp.asarray(np.stack(np.meshgrid(t, t), -1).reshape(-1, 2), jnp.float32)


XS = pixels()


def field_of(latents: Any) -> fields.EquivariantField:
    return dataclasses.replace(FIELD, context_dim=latents["context"].shape[-1])


def residual(params: Any, latents: Any, example: Any) -> jax.Array:
    (x, y), field = example, field_of(latents)
    return field.apply(params, field.prepare(params, latents), x) - y


def loss(params: Any, latents: Any, image: jax.Array) -> jax.Array:
    field = field_of(latents)
    prepared = field.prepare(params, latents)
    values = jax.vmap(lambda x: field.apply(params, prepared, x)[0])(XS)
    return jnp.mean((values - image) ** 2)


def beginning(num_latents: int, context_dim: int) -> tuple[Any, Any]:
    """Parameters and latents that nothing has trained yet."""
    latents = fields.init_latents(
        spaces.Euclidean(2),
        POSES,
        num_latents=num_latents,
        context_dim=context_dim,
        key=jax.random.key(1),
    )
    init = jax.jit(lambda key: field_of(latents).init(key=key))
    return init(jax.random.key(0)), latents


def units(latents: Any) -> Any:
    """1, a tenth of the latents' spacing, 0.1 rad, and as much for log windows."""
    num, size = latents["context"].shape
    spacing = 2 / num**0.5
    pose = 0.1 * jnp.array([spacing, spacing, 1.0])
    return {"context": jnp.ones(size), "pose": pose, "window": jnp.array(0.1)}


def images() -> dict[str, jax.Array]:
    """Training, validation (of the training set) and test images as rows."""
    found = data.digits(size=SIDE, frame=SIDE)
    train = jnp.asarray(found.train_images.reshape(-1, SIDE**2))
    test = jnp.asarray(found.test_images.reshape(-1, SIDE**2))
    validation = train[-NUM_VALIDATION:]
    return {"train": train[:NUM_TRAIN], "validation": validation, "test": test}


def cosine(rate: float, num_steps: int) -> optax.Schedule:
    return optax.cosine_decay_schedule(rate, num_steps, alpha=0.05)


def autodecoded(train: jax.Array, size: tuple[int, int], num_steps: int) -> Any:
    """A decoder, and the table of latents it was trained with."""
    params, latents = beginning(*size)
    rates = {"pose": 1e-3, "context": 2e-2, "window": 1e-3}
    optimizer = optax.partition(
        {name: optax.adam(rate) for name, rate in rates.items()},
        {name: name for name in rates},
    )
    step = fitting.autodecode_step(
        loss, optax.adam(cosine(3e-3, num_steps)), optimizer, **MOVES
    )
    table = jax.tree.map(
        lambda leaf: jnp.repeat(leaf[None], len(train), axis=0), latents
    )
    state = step.init(params, table)
    update = jax.jit(step.update, donate_argnums=0)
    rng = np.random.default_rng(0)
    for _ in range(num_steps):
        rows = jnp.asarray(rng.choice(len(train), BATCH, replace=False))
        state, _ = update(state, rows, train[rows])
    return state.params, state.table


def inner(params: Any, start: Any, image: jax.Array, **options: Any) -> Any:
    """The latents of Meta-SGD; `start` holds initial latents and rates."""
    num_steps = options.get("num_steps", 3)
    batches = jnp.repeat(image[None], num_steps, axis=0)
    return fitting.meta_sgd(
        loss,
        params,
        start["rates"],
        start["latents"],
        batches,
        scales=units(start["latents"]),
        **MOVES,
        **options,
    ).latents


def meta_learned(
    params: Any, start: Any, train: jax.Array, steps: dict[str, int], **options: Any
) -> Any:
    """Initial latents and rates, and the decoder unless it is frozen.

    Rates and the contexts of the initial latents are learned, first with derivatives
    of first order, then of second.
    """
    frozen = options.pop("frozen", False)
    contexts = start["latents"]["context"]
    free = {"context": contexts, "rates": start["rates"]}
    rates = {"params": 0.0 if frozen else 2e-3, "free": 1e-2}
    optimizer = optax.partition(
        {
            name: optax.chain(
                optax.clip_by_global_norm(1.0),
                optax.adam(cosine(rate, sum(steps.values()))),
            )
            for name, rate in rates.items()
        },
        {"params": "params", "free": "free"},
    )

    def begin(free: Any) -> Any:
        latents = {**start["latents"], "context": free["context"]}
        return {"latents": latents, "rates": free["rates"]}

    def outer(learned: Any, rows: jax.Array, first_order: bool) -> jax.Array:
        params, at = learned["params"], begin(learned["free"])

        def one(image: jax.Array) -> jax.Array:
            fitted = inner(params, at, image, first_order=first_order, **options)
            return loss(params, fitted, image)

        return jnp.mean(jax.vmap(one)(rows))

    @functools.partial(jax.jit, static_argnums=3)
    def update(learned: Any, state: Any, rows: jax.Array, first_order: bool) -> Any:
        value, slope = jax.value_and_grad(outer)(learned, rows, first_order)
        change, state = optimizer.update(slope, state, learned)
        return optax.apply_updates(learned, change), state, value

    learned = {"params": params, "free": free}
    state = optimizer.init(learned)
    rng = np.random.default_rng(0)
    for order, num_steps in steps.items():
        for _ in range(num_steps):
            rows = train[rng.choice(len(train), BATCH // 2, replace=False)]
            learned, state, _ = update(learned, state, rows, order == "first")
    return learned["params"], begin(learned["free"])


def adam(params: Any, latents: Any, image: jax.Array, rates: Any, steps: int) -> Any:
    """Adam with rates (contexts, poses and windows) and a cosine schedule."""
    context, pose = rates
    scales = {"context": context, "pose": pose, "window": pose}
    optimizer = optax.chain(
        optax.scale_by_adam(),
        optax.scale_by_learning_rate(cosine(1.0, steps)),
        optax.stateless(lambda update, _: jax.tree.map(jnp.multiply, scales, update)),
    )
    batches = jnp.repeat(image[None], steps, axis=0)
    return fitting.autodecode(
        loss, optimizer, params, latents, batches, num_steps=steps, **MOVES
    ).latents


def newton(
    params: Any,
    latents: Any,
    image: jax.Array,
    damping: Any,
    prior: Any,
    steps: int,
    center: Any = None,
) -> Any:
    """Gauss-Newton; `prior` is None or the units of one error around the center."""
    center = latents if center is None else center

    def rows(z: Any) -> Any:
        return {
            "pose": (z["pose"][0] - center["pose"][0]) / prior["position"],
            "turn": (z["pose"][1] - center["pose"][1]) / prior["turn"],
            "context": (z["context"] - center["context"]) / prior["context"],
            "window": (z["window"] - center["window"]) / prior["window"],
        }

    return fitting.gauss_newton(
        residual,
        params,
        latents,
        (XS, image),
        num_steps=steps,
        damping=damping,
        prior=None if prior is None else rows,
        **MOVES,
    ).latents


def prior_of(table: Any, error: float | None) -> Any:
    """Standard deviations of trained latents, in units of the error of a pixel."""
    if error is None:
        return None
    deviation = jax.tree.map(
        lambda leaf: jnp.sqrt(jnp.mean(jnp.var(leaf, axis=0))) / error, table
    )
    position, turn = deviation["pose"]
    rest = {name: deviation[name] for name in ("context", "window")}
    return {"position": position, "turn": turn, **rest}


def psnr(params: Any, latents: Any, rows: jax.Array) -> np.ndarray:
    """Decibels of every image, at most 100."""
    errors = jax.vmap(loss, (None, 0, 0))(params, latents, rows)
    return np.asarray(-10 * jnp.log10(jnp.maximum(errors, 1e-10)))


Fit = Callable[[Any, Any], Any]


def many(fit: Callable, *axes: Any) -> Any:
    """Of many images, jitted; `axes` stand for the arguments behind the image."""
    return jax.jit(jax.vmap(fit, (None, None, 0, *axes)))


def tuned_adam(params: Any, start: Any, rows: jax.Array, steps: list[int]) -> Any:
    """The best rates for every number of steps, and the table behind the choice."""
    found: dict[int, Any] = {}
    candidates: list[Any] = list(RATES)
    for num_steps in steps:
        run = many(functools.partial(adam, steps=num_steps), None)
        scores = {
            rates: float(np.mean(psnr(params, run(params, start, rows, rates), rows)))
            for rates in candidates
        }
        ranked = sorted(scores, key=lambda rates: -scores[rates])
        found[num_steps] = {"rates": ranked[0], "validation": readable(scores)}
        if num_steps >= 100:
            # Longer runs are costly: only the best of the next shorter one.
            candidates = ranked[: 400 // num_steps + 1]
    return found


def tuned_newton(
    params: Any, start: Any, table: Any, rows: jax.Array, steps: list[int]
) -> Any:
    """The best damping and prior for every number of steps."""
    found: dict[int, Any] = {}
    for num_steps in steps:
        scores = {}
        run = many(functools.partial(newton, steps=num_steps), None, None)
        for damping, error in itertools.product(DAMPINGS, ERRORS):
            latents = run(params, start, rows, damping, prior_of(table, error))
            scores[damping, error] = float(np.mean(psnr(params, latents, rows)))
        best = max(scores, key=lambda pair: scores[pair])
        found[num_steps] = {"best": best, "validation": readable(scores)}
    return found


def readable(scores: dict[Any, float]) -> dict[str, float]:
    return {str(key): round(value, 2) for key, value in scores.items()}


def compare(
    params: Any,
    methods: dict[str, Callable[[Any], Any]],
    rows: jax.Array,
    timed: jax.Array,
    rounds: int,
) -> dict[str, Any]:
    """Errors on test images, and times of one image and of a batch of images."""
    table: dict[str, Any] = {}
    calls: dict[str, Callable[[], Any]] = {}
    for name, fit in methods.items():
        batched, single = jax.jit(jax.vmap(fit)), jax.jit(fit)
        parts = [batched(rows[i : i + 16]) for i in range(0, len(rows), 16)]
        latents = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
        decibels = psnr(params, latents, rows)
        table[name] = {
            "psnr_db": round(float(np.mean(decibels)), 2),
            "standard_error_db": round(float(np.std(decibels) / len(rows) ** 0.5), 2),
            "worst_db": round(float(np.min(decibels)), 2),
        }
        calls[f"one: {name}"] = functools.partial(single, timed[0])
        calls[f"16: {name}"] = functools.partial(batched, timed)
    taken = _measure.median_times(calls, rounds)
    for name in methods:
        for kind in ("one", "16"):
            per_image = taken[f"{kind}: {name}"]["median_ms"]
            per_image /= len(timed) if kind == "16" else 1
            table[name][f"ms_per_image_{kind}"] = round(per_image, 2)
    return table


def of_the_table(
    params: Any, table: Any, sets: dict[str, jax.Array], steps: dict[str, int]
) -> tuple[dict[str, Callable], dict[str, Any]]:
    """Fits from the mean latents of the autodecoder, and what was chosen for them."""
    mean = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), table)
    validation = sets["validation"]
    adams = tuned_adam(params, mean, validation, [10, 30, 100, 300, 1000])
    newtons = tuned_newton(params, mean, table, validation, [5, 10, 20])
    start = {"latents": mean, "rates": fitting.init_rates(units(mean))}
    _, learned = meta_learned(params, start, sets["train"], steps, frozen=True)

    def run_adam(image: Any, num_steps: int) -> Any:
        return adam(params, mean, image, adams[num_steps]["rates"], num_steps)

    def run_newton(image: Any, num_steps: int, latents: Any = mean) -> Any:
        damping, error = newtons[max(num_steps, 5)]["best"]
        prior = prior_of(table, error)
        return newton(params, latents, image, damping, prior, num_steps, mean)

    methods: dict[str, Callable] = {}
    for n in adams:
        methods[f"Adam {n}"] = functools.partial(run_adam, num_steps=n)
    for n in newtons:
        methods[f"Gauss-Newton {n}"] = functools.partial(run_newton, num_steps=n)
    for n in (3, 5):
        methods[f"Meta-SGD {n}, learned start and rates"] = functools.partial(
            inner, params, learned, num_steps=n
        )
    for before, after in ((10, 5), (30, 5), (30, 10)):
        methods[f"Adam {before}, then Gauss-Newton {after}"] = (
            lambda image, before=before, after=after: run_newton(
                image, after, run_adam(image, before)
            )
        )
    methods["Meta-SGD 3, then Gauss-Newton 5"] = lambda image: run_newton(
        image, 5, inner(params, learned, image)
    )
    return methods, {"Adam": adams, "Gauss-Newton": newtons}


def of_the_meta_learner(
    params: Any, start: Any, sets: dict[str, jax.Array]
) -> tuple[dict[str, Callable], dict[str, Any]]:
    """Fits from learned initial latents, and what was chosen for them."""
    at, validation = start["latents"], sets["validation"]
    adams = tuned_adam(params, at, validation, [100, 300])
    fitted = jax.vmap(functools.partial(inner, params, start))(sets["train"])
    newtons = tuned_newton(params, at, fitted, validation, [5])

    def run_newton(image: Any) -> Any:
        damping, error = newtons[5]["best"]
        return newton(params, at, image, damping, prior_of(fitted, error), 5)

    methods: dict[str, Callable] = {
        f"Meta-SGD {n}": functools.partial(inner, params, start, num_steps=n)
        for n in (3, 5)
    }
    methods["Gauss-Newton 5"] = run_newton
    for n in adams:
        methods[f"Adam {n}"] = lambda image, n=n: adam(
            params, at, image, adams[n]["rates"], n
        )
    return methods, {"Adam": adams, "Gauss-Newton": newtons}


def main() -> None:
    parser = _measure.parser(__doc__, rounds=5)
    parser.add_argument("--steps", type=int, default=3000, help="of autodecoding")
    parser.add_argument("--meta-steps", type=int, default=1000, help="of Meta-SGD")
    parser.add_argument("--tests", type=int, default=48, help="test images")
    options = parser.parse_args()
    sets, timed = images(), images()["validation"]
    test = sets["test"][: options.tests]
    few = {"first": max(options.meta_steps // 4, 1)}
    results: dict[str, Any] = {
        "question": _measure.question(__doc__),
        "environment": _measure.environment(("optax", "scikit-learn")),
        "rounds": options.rounds,
        "test_images": len(test),
        "steps": {"autodecoder": options.steps, "Meta-SGD": options.meta_steps},
    }
    for size in SIZES:
        params, table = autodecoded(sets["train"], size, options.steps)
        methods, choices = of_the_table(params, table, sets, few)
        trained = float(np.mean(psnr(params, table, sets["train"])))
        results[f"autodecoder, {size[0]} latents with contexts of {size[1]}"] = {
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
            "training_psnr_db": round(trained, 2),
            "chosen": choices,
            "methods": compare(params, methods, test, timed, options.rounds),
        }
    second = options.meta_steps // 10
    params, latents = beginning(*SIZES[0])
    start = {"latents": latents, "rates": fitting.init_rates(units(latents))}
    params, start = meta_learned(
        params,
        start,
        sets["train"],
        {"first": options.meta_steps - second, "second": second},
    )
    methods, choices = of_the_meta_learner(params, start, sets)
    results["meta-learner"] = {
        "chosen": choices,
        "methods": compare(params, methods, test, timed, options.rounds),
    }
    _measure.finish(results, options.out)


if __name__ == "__main__":
    main()
