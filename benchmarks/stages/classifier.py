"""The classifier as a stage: one training on one mixture, and its predictions on val and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.request.remedies import changed_config
from benchmarks.stages.arm import Arm
from benchmarks.stages.experiment import Experiment
from classifiers.registry import classifiers
from synthworth.artifacts import ensure_folder, write_array, write_json
from synthworth.cost import describe_cost
from synthworth.store import Made
from synthworth.training.compiling import PAYS_STEPS_OF_MANY, decide
from synthworth.work import FitReport, ignore_scalars


def describe_fit(report: FitReport) -> dict[str, Any]:
    """A `FitReport` as JSON."""
    return {
        "steps": report.steps,
        "images_seen": report.images_seen,
        "seconds": report.seconds,
        "stopped": report.stopped,
        "history": [dict(row) for row in report.history],
        "facts": dict(report.facts),
        "cost": describe_cost(report.cost, steps=report.steps, images_seen=report.images_seen, seconds=report.seconds),
    }


Fit = Callable[..., FitReport]


def fit_alone(model: Any, *given: Any, **named: Any) -> FitReport:
    """The model's own `fit`."""
    report: FitReport = model.fit(*given, **named)
    return report


def train_classifier(
    experiment: Experiment, arm: Arm, number: int, *, fit: Fit | None = None, log: Callable[..., None] = ignore_scalars
) -> Made:
    """Train one classifier of an arm and keep its predictions on val and test.

    Parameters
    ----------
    fit : trains the model that it is given first, with the arguments of its method `fit`; that method itself unless
        something else is given.
    log : told what the training tells of itself (`log(step, **scalars)`); what it raises ends the training.
    """
    bench, spec, images = experiment.bench, arm.spec, experiment.images
    identity = spec.classify_identity(arm.demanded, number)

    def make(out: Path, scratch: Path) -> None:
        model = classifiers.get(spec.classifier)(changed_config(spec.generator, bench.configs.get("clf"), spec.found))
        budget, asked, device = spec.classifier_budget, bench.fitting.compile, bench.device
        pays = {"budget": spec.train, "pays": PAYS_STEPS_OF_MANY}  # of `longer` too: all arms compute the same way
        compiled = device.startswith("cuda") and decide(asked, device=device, **pays)
        work = replace(
            bench.work(scratch, precision=spec.precision, budget=budget),
            compile=compiled,
            capture=asked != "no",
            log=log,
        )
        report = (fit or fit_alone)(model, arm.mixture, images.val, seed=identity["seed"], work=work)
        write_array(out / "val.npy", model.predict(images.val.images))
        write_array(out / "test.npy", model.predict(images.test.images))
        write_json(out / "fit.json", describe_fit(report))
        if identity["keep_model"]:
            model.save(ensure_folder(out / "model"))

    return bench.keep("classify", identity, make)
