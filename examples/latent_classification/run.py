"""Digits learned upright and recognized at every angle, from latents of their fields.

Images become latents on rings (latents.py); an invariant network reads them. Nothing
is ever trained on a turned image. See README.md.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from latents import LatentField
from networks import Transformer
from pictures import draw
from rich.console import Console
from rich.table import Table
from training import Pixels, fitter, train_classifier, train_field

from eqjax import data, fields, groups


@dataclass(frozen=True)
class Config:
    """Digits at all angles from the latents of their fields, learned upright.

    Attributes:
        out: Folder of the picture and of result.json.
        steps: Training steps of each field.
        batch: Images of a step.
        hidden: Width of the fields.
        classifier_steps: Training steps of each classifier.
        turns: Starts from which each training image is fitted, turned at random.
        validate: Test on 200 of the training images, to choose settings by.
        smoke: A run of seconds that only shows that everything works.
        seed: Of data, initialization and angles.
    """

    out: Path = Path("runs/latent_classification")
    steps: int = 250
    batch: int = 16
    hidden: int = 32
    classifier_steps: int = 500
    turns: int = 2
    validate: bool = False
    smoke: bool = False
    seed: int = 0


# Sides of digits and images, pixels.
SIZE, FRAME = 8, 10
ANGLES = tuple(range(0, 360, 30))


def encode(
    field: LatentField, pixels: Pixels, images: data.LabelledImages, config: Config
) -> dict[str, Any]:
    """Trains a field; the latents of all images, contexts standardized."""
    numbers = np.random.default_rng(config.seed)
    upright = pixels.values(images.train_images)
    weights = train_field(
        field,
        pixels,
        upright,
        num_steps=config.steps,
        batch=config.batch,
        seed=config.seed,
    )
    fit = fitter(field, pixels, weights, batch=5 if config.smoke else 100)
    random = numbers.uniform(0, 360, len(images.test_images))
    angles = {**{a: a for a in ANGLES}, "random": random}
    tests = {k: fit(pixels.values(images.test_images, a)) for k, a in angles.items()}
    psnr = {k: float(jnp.mean(-10 * jnp.log10(tests[k][1]))) for k in (0, "random")}
    turns = numbers.uniform(0, 2 * np.pi, (config.turns, len(upright)))
    train = [fit(upright)[0], *(fit(upright, turn)[0] for turn in turns)]
    context = train[0]["context"]
    mean, deviation = jnp.mean(context, (0, 1)), jnp.std(context, (0, 1))

    def standardized(z: Any) -> Any:
        return {**z, "context": (z["context"] - mean) / deviation}

    return {
        "weights": weights,
        "psnr": psnr,
        "fitted": {k: z for k, (z, _) in tests.items()},
        "test": {k: standardized(z) for k, (z, _) in tests.items()},
        "train": [standardized(z) for z in train],
    }


def test(net: Any, params: Any, found: dict[str, Any], labels: Any) -> dict[str, Any]:
    """Accuracies, and the largest change of logits when images or latents turn."""
    apply = jax.jit(jax.vmap(net.apply, (None, 0)))
    logits = {k: apply(params, z) for k, z in found["test"].items()}

    def accuracy(k: Any) -> float:
        return float(jnp.mean(jnp.argmax(logits[k], -1) == labels))

    def change(other: jax.Array) -> float:
        difference = jnp.max(jnp.abs(other - logits[0]))
        return float(difference / jnp.max(jnp.abs(logits[0])))

    row = {"upright": accuracy(0), "random": accuracy("random"), "at_90": accuracy(90)}
    row["change_fitted_at_90"] = change(logits[90])
    z = found["test"][0]
    if isinstance(z["pose"], tuple):
        quarter = (jnp.zeros(2), jnp.asarray(jnp.pi / 2))
        move = partial(fields.transform_latents, groups.SE(2), quarter)
        row["change_moved_by_90"] = change(apply(params, jax.vmap(move)(z)))
    return {**row, "accuracies": {a: accuracy(a) for a in ANGLES}}


def main(config: Config) -> None:
    """Trains fields and classifiers, tests at all angles, draws."""
    start = time.perf_counter()
    console = Console()
    if config.smoke:
        jax.config.update("jax_disable_most_optimizations", True)
        small = {"steps": 2, "batch": 2, "classifier_steps": 2, "turns": 1}
        config = replace(config, hidden=4, **small)
    images = data.digits(size=SIZE, frame=FRAME, seed=config.seed)
    if config.validate:
        x, y, *_ = images
        images = data.LabelledImages(x[:-200], y[:-200], x[-200:], y[-200:])
    if config.smoke:
        images = data.LabelledImages(*(array[:5] for array in images))
    config.out.mkdir(parents=True, exist_ok=True)
    pixels = Pixels(SIZE, FRAME)
    motions, translations = groups.SE(2), groups.Translation(2)
    moving, still = (
        LatentField(g, hidden=config.hidden) for g in (motions, translations)
    )
    invariant, plain = (
        fields.LatentClassifier(
            fields.RelativePose(group),
            context_dim=moving.context_dim,
            num_classes=10,
            hidden=64,
            num_layers=1 if config.smoke else 3,
            embedding=fields.PolynomialEmbedding(64, degree=2),
        )
        for group in (motions, translations)
    )
    transformer = Transformer(4 + moving.context_dim)
    pipelines: dict[str, tuple[LatentField, Any, bool]] = {
        "SE(2), invariant": (moving, invariant, True),
        "SE(2), invariant, one start": (moving, invariant, False),
        "SE(2), transformer": (moving, transformer, True),
        "translations": (still, plain, False),
    }
    if config.smoke:
        pipelines = dict(list(pipelines.items())[:1])
    labels = jnp.asarray(images.train_labels)
    found: dict[LatentField, dict[str, Any]] = {}
    result: dict[str, Any] = {"classifiers": {}}
    table = Table("latents, classifier", "upright", "random", "at 90")
    for name, (field, net, all_starts) in pipelines.items():
        if field not in found:
            console.print(f"training a field: {name.split(',')[0]} ...")
            found[field] = encode(field, pixels, images, config)
        console.print(f"training a classifier: {name} ...")
        train = found[field]["train"][: None if all_starts else 1]
        z = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *train)
        params = train_classifier(
            net,
            field,
            z,
            jnp.tile(labels, len(train)),
            num_steps=config.classifier_steps,
            seed=config.seed,
        )
        row = test(net, params, found[field], jnp.asarray(images.test_labels))
        result["classifiers"][name] = {"psnr": found[field]["psnr"], **row}
        columns = [row[key] for key in ("upright", "random", "at_90")]
        table.add_row(name, *(f"{100 * c:.1f}" for c in columns))
    console.print(table)
    fitted = found[moving]["fitted"]
    panels = {
        f"fitted at {a} degrees": jax.tree.map(lambda v: v[0], fitted[a])
        for a in (0, 90, 60)
    }
    rows = {k: row["accuracies"] for k, row in result["classifiers"].items()}
    weights, path = found[moving]["weights"], config.out / "angles.png"
    draw(moving, weights, pixels, panels, rows, path)
    result["seconds"] = round(time.perf_counter() - start, 1)
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{result['seconds']} s; see {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
