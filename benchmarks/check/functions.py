"""The public contract tests of plugins that are functions: metrics and filters."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.check.candidate import make_images
from benchmarks.check.result import Check, Examination, Proof, expect, first_line, global_seeds, proofs, untouched
from benchmarks.metrics.declare import Metric
from benchmarks.metrics.registry import Value, measure
from benchmarks.stages.filters import EVIDENCE
from data.images import Split, marks_of
from synthworth.errors import Unavailable

N = 96
DIM, N_LOGITS = 16, 1008


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities.

    Parameters
    ----------
    logits : float64 (N, K)

    Returns
    -------
    float32 (N, K)
    """
    e = np.exp(logits - logits.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True)).astype(np.float32)


def make_evidence(*, multilabel: bool, fair: float = 1.0) -> dict[str, Any]:
    """All that a run offers a metric, made up: 96 images, classifiers that are right more often than not.

    Parameters
    ----------
    fair : how far scores follow the truth; 0 not at all.
    """
    train, test, val = (
        make_images(multilabel=multilabel, channels=1, size=32, split=split, seed=k, n=N)
        for k, split in enumerate((Split.train, Split.test, Split.val))
    )
    rng = np.random.default_rng(0)

    def scores(labels: np.ndarray) -> np.ndarray:
        marks = marks_of(labels, n_classes=train.n_classes)
        logits = 3 * fair * (marks - 0.5) + rng.standard_normal(marks.shape)
        return (1 / (1 + np.exp(-logits))).astype(np.float32) if multilabel else softmax(logits)

    truth, val_truth = test.labels.numpy(), val.labels.numpy()
    return {
        "truth": truth, "scores": scores(truth), "val_truth": val_truth, "val_scores": scores(val_truth),
        "classes": train.classes, "real": rng.standard_normal((N, DIM)).astype(np.float32),
        "fake": rng.standard_normal((N, DIM)).astype(np.float32) + 0.2,
        "logits": rng.standard_normal((N, N_LOGITS)).astype(np.float32), "seed": 5, "device": "cpu", "prevalence": 0.1,
        "real_images": train.images, "fake_images": test.images, "fake_labels": test.labels.numpy(),
    }  # fmt: skip


def function_of(plugin: Callable[..., Any]) -> Callable[..., Any]:
    """The function behind a declared metric; anything else as it is."""
    return plugin.function if isinstance(plugin, Metric) else plugin


class MetricExam(Examination):
    """One metric under test, and the evidence it is given."""

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """Of images with one class each."""
        return make_evidence(multilabel=False)

    def measured(self, evidence: Mapping[str, Any]) -> dict[str, Any]:
        """Its numbers as JSON, by name; a reason in their place where it raises Unavailable."""
        try:
            found = measure(self.plugin, **evidence)
        except Unavailable as reason:
            return {"unavailable": str(reason)}
        return {name: value.to_json() if isinstance(value, Value) else value for name, value in found.items()}


def check_described(exam: Examination) -> None:
    """The first line of its docstring says what it is: listings show it."""
    expect(bool(first_line(exam.plugin)), "there is no docstring")


def check_keywords(exam: Examination) -> None:
    """Its arguments are keywords, each a name of what a run offers."""
    parameters = inspect.signature(function_of(exam.plugin)).parameters.values()
    loose = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY and p.default is p.empty]
    expect(not loose or isinstance(exam, FilterExam), f"{', '.join(loose)} can be given by position; write `*` first")
    offered = EVIDENCE if isinstance(exam, FilterExam) else make_evidence(multilabel=False)
    unknown = [p.name for p in parameters if p.default is p.empty and p.name not in offered]
    expect(not unknown, f"it needs {', '.join(unknown)}, and a run offers {', '.join(offered)}")


def check_values(exam: MetricExam) -> None:
    """It returns name -> Value, finite or null with a note, or raises Unavailable(reason)."""
    for multilabel in (False, True):
        try:
            found = measure(exam.plugin, **make_evidence(multilabel=multilabel))
        except Unavailable as reason:
            expect(bool(str(reason)), "it raised Unavailable without a reason")
            continue
        expect(bool(found), "it returned nothing")
        for name, value in found.items():
            expect(isinstance(value, Value), f"{name!r} is a {type(value).__name__} and no Value")
            json.dumps(value.to_json())
            expect(value.direction in ("higher", "lower"), f"{name!r} has direction {value.direction!r}")


def check_repeat(exam: MetricExam) -> None:
    """The same evidence gives the same numbers, whatever the global random state, which it leaves alone."""
    with global_seeds(11):
        one = exam.measured(exam.evidence)
    with global_seeds(12):
        other = exam.measured(exam.evidence)
    changed = [name for name in one if one[name] != other.get(name)]
    expect(not changed, f"other numbers a second time: {', '.join(changed)}")
    with untouched("the metric"):
        exam.measured(exam.evidence)


def check_inputs(exam: MetricExam) -> None:
    """It leaves what it is given as it was."""
    before = {name: np.asarray(piece).copy() for name, piece in exam.evidence.items() if hasattr(piece, "shape")}
    exam.measured(exam.evidence)
    changed = [name for name, old in before.items() if not np.array_equal(old, np.asarray(exam.evidence[name]))]
    expect(not changed, f"it changed {', '.join(changed)}")


def check_direction(exam: MetricExam) -> None:
    """Of a classifier's scores: those that follow the truth come out no worse than those that do not."""
    if not {"truth", "scores"} <= set(inspect.signature(function_of(exam.plugin)).parameters):
        return
    good, bad = (exam.measured(make_evidence(multilabel=False, fair=fair)) for fair in (2.0, 0.0))
    for name in good.keys() & bad.keys() - {"unavailable"}:
        one, other = good[name]["value"], bad[name]["value"]
        if one is None or other is None or good[name]["label"] is not None:
            continue
        worse = one < other if good[name]["direction"] == "higher" else one > other
        expect(not worse, f"{name} is {one:.3g} for good scores, {other:.3g} for scores drawn at random")


METRIC_CHECKS: tuple[Check, ...] = (
    check_described, check_keywords, check_values, check_repeat, check_inputs, check_direction,
)  # fmt: skip


def metric_proofs(metric: Callable[..., Any]) -> list[Proof]:
    """Every check of a metric, ready to run, on evidence made up here."""
    return proofs(METRIC_CHECKS, MetricExam(metric))


# -- filters ------------------------------------------------------------------------------------------------------


class FilterExam(Examination):
    """One filter under test, and the evidence it is given."""

    def evidence(self, n: int) -> dict[str, Callable[[], Any]]:
        """What a run offers a filter, made up, for the first n of 48 images."""
        real = make_images(multilabel=False, channels=1, size=32)
        fake = make_images(multilabel=False, channels=1, size=32, seed=3)
        rng = np.random.default_rng(0)
        probabilities, distance = softmax(rng.standard_normal((len(fake), 3))), rng.uniform(0, 2, len(fake))
        made = {
            "images": fake.images[:n], "labels": fake.labels[:n], "real": real, "probabilities": probabilities[:n],
            "distance": distance[:n], "real_distance": rng.uniform(0.5, 1.5, 40),
        }  # fmt: skip
        return {name: lambda piece=piece: piece for name, piece in made.items()}

    def passes(self, n: int = 48) -> np.ndarray:
        """Which of the first n images pass: what the filter returns, as it is."""
        asked = inspect.signature(self.plugin).parameters
        found: np.ndarray = self.plugin(**{name: make() for name, make in self.evidence(n).items() if name in asked})
        return found


def check_mask(exam: FilterExam) -> None:
    """It returns a numpy array bool (n,), one for each image."""
    for n in (48, 1, 0):
        found = exam.passes(n)
        said = f"{type(found).__name__} {getattr(found, 'dtype', '')} {np.shape(found)}"
        fits = isinstance(found, np.ndarray) and found.dtype == np.bool_ and found.shape == (n,)
        expect(fits, f"it returned {said} for {n} images")


def check_same_mask(exam: FilterExam) -> None:
    """The same images pass each time, whatever the global random state, which it leaves alone."""
    with global_seeds(11):
        one = exam.passes()
    with global_seeds(12):
        other = exam.passes()
    expect(bool(np.array_equal(one, other)), "other images passed a second time")
    with untouched("the filter"):
        exam.passes()


def check_alone(exam: FilterExam) -> None:
    """Whether an image passes does not depend on the others beside it: they are judged as they are drawn."""
    whole = exam.passes()
    for n in (1, 7, 20):
        expect(bool(np.array_equal(whole[:n], exam.passes(n))), f"{n} of 48 images were judged otherwise by themselves")


FILTER_CHECKS: tuple[Check, ...] = (check_described, check_keywords, check_mask, check_same_mask, check_alone)


def filter_proofs(judge: Callable[..., Any]) -> list[Proof]:
    """Every check of a filter, ready to run, on images made here."""
    return proofs(FILTER_CHECKS, FilterExam(judge))
