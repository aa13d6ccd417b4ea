"""The record of an arm: every number that was measured, put together and published."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

from benchmarks.job.described import describe_dataset, pretrained_parts
from benchmarks.job.judged_elsewhere import JudgedElsewhere
from benchmarks.judging.extraction import measures_of
from benchmarks.judging.fidelity import class_consistency
from benchmarks.judging.later import lacks_a_metric
from benchmarks.judging.positive_control import positive_control
from benchmarks.judging.privacy import Privacy
from benchmarks.judging.sharing import sharing_of
from benchmarks.judging.subgroups import Subgroups
from benchmarks.judging.utility import compare_arms, sample, utility, validation
from benchmarks.metrics.registry import EXTRACTORS, Value
from benchmarks.records.predictions import PREDICTIONS, write_predictions
from benchmarks.records.provenance import provenance
from benchmarks.records.store import ANSWERS, GRID, SCHEMA, WORTH, Records
from benchmarks.request.controls import is_control_of
from benchmarks.request.remedies import REMEDIES
from benchmarks.request.spec import NONE, RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench, now
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.twin import seconds_of
from benchmarks.verdicts.equal_compute import describe_training, unequal
from generators.registry import added_by, generators
from synthworth.artifacts import read_json
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

logger = logging.getLogger(__name__)


def find_complete(records: Records, spec: RunSpec) -> dict[str, Any] | None:
    """The finished record of a spec, unless something that it lacks can be had now.

    That is an extractor whose weights have been supplied since, or a metric that was registered since and needs more
    than a record keeps.
    """
    record = records.find(spec.run_id)
    if record is None:
        return None
    if lacks_what_is_at_hand(record.get("unavailable", {})):
        return None
    return None if lacks_a_metric(record) else record


def lacks_what_is_at_hand(unavailable: Iterable[str]) -> bool:
    """Whether an extractor that a record lacks is on this machine now."""
    return any(EXTRACTORS.get(name).is_at_hand() for name in unavailable if name in EXTRACTORS)


def write_failure(
    records: Records, arm: Arm, error: str, *, status: str = "failed", more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A run that failed, or was skipped, is shown, never cached: the next call tries again.

    Parameters
    ----------
    more : phase, seconds and the end of the traceback, where they are known.
    """
    record = {
        "schema": SCHEMA,
        "status": status,
        "run_id": arm.spec.run_id,
        "name": arm.spec.name,
        "spec": arm.spec.to_json(),
        "error": error,
        **({"failure": dict(more)} if more else {}),
        "provenance": provenance(),
    }
    records.write(record, {})
    return record


class Panel:
    """The arms of a request, judged together: what is measured once for all of them, and the record of each."""

    def __init__(self, experiment: Experiment, arms: Sequence[Arm]) -> None:
        self.experiment, self.arms = experiment, arms
        self.measures = measures_of(experiment.bench, experiment.images, arms)
        self._privacy = {whose: Privacy(fidelity) for whose, fidelity in self.measures.items()}
        self.judge = next((arm for arm in arms if arm.spec.is_zero_line), None)
        self.samples = {arm.spec.run_id: sample(experiment, arm) for arm in arms}
        self.elsewhere = JudgedElsewhere(experiment, arms, here=self.samples)
        self.training = {arm.spec.run_id: describe_training([s.report for s in arm.scores]) for arm in arms}
        self.subgroups = Subgroups(
            experiment.images.test, experiment.resamples, alone=self.judge.test_scores if self.judge else None
        )

    def record(self, arm: Arm, audited: Mapping[str, Any]) -> dict[str, Any]:
        """The record of one arm.

        Parameters
        ----------
        audited : of the splits, as `AuditReport.to_json` gives it.
        """
        from benchmarks.metrics.calibration import describe_calibration
        from benchmarks.metrics.net_benefit import describe_decision
        from benchmarks.verdicts.verdict import on_test_set, verdict

        spec, images, bench = arm.spec, self.experiment.images, self.experiment.bench
        measured = self.measures[spec.learn_from]
        fidelity = measured.of(arm) | class_consistency(bench, arm, self.judge)
        comparisons, not_compared = self.comparisons(arm)
        positive = positive_control(vars(spec), map(_described, self.arms), self.samples)
        predicted = {
            "truth": images.test.labels.numpy(), "scores": arm.test_scores, "val_truth": images.val.labels.numpy(),
            "val_scores": arm.val_scores,
        }  # fmt: skip
        test = {"classes": images.test.classes, "patients": images.test.groups}
        stated = {"prevalence": spec.prevalence}
        return {
            "schema": SCHEMA,
            "status": "ok",
            "run_id": spec.run_id,
            "name": spec.name,
            "spec": spec.to_json(),
            "classes": list(images.train.classes),
            "is_control": is_control(spec),
            "counts": arm.counts,
            "added": added(spec),
            "utility": _plain(utility(self.experiment, arm, self.samples[spec.run_id])),
            "validation": _plain(validation(self.experiment, arm)),
            "fidelity": _plain(fidelity),
            "fidelity_by_class": measured.by_class(arm),
            "privacy": _plain(self.privacy(arm).of(arm)),
            "unavailable": {} if spec.is_real_only else measured.unavailable,
            "comparisons": comparisons,
            "not_compared": not_compared,
            "positive_control": positive,
            "collapsed": list(self.collapsed(arm)),
            "worth": self.worth(arm),
            **({"sharing": self.sharing(arm, comparisons)} if spec.donor else {}),
            "verdict": verdict(
                on_test_set(vars(spec), spec.name),
                comparisons,
                positive=positive,
                missing=not_compared.get(NONE),
                audited=audited,
            ),
            "training": self.training[spec.run_id],
            "cost": _cost(bench, arm),
            "calibration": describe_calibration(**predicted),
            **({"decision": describe_decision(**predicted, **test, **stated)} if spec.prevalence else {}),
            "subgroups": self.subgroups.of(arm.test_scores),
            "dataset": self.dataset,
            "pretrained": pretrained_parts(
                spec.to_json(), self.training[spec.run_id], measured.extractors, _plain(fidelity)
            ),
            "provenance": {
                **provenance(),
                "device": bench.device,
                "workers": bench.workers,
                "started": bench.started,
                "ended": now(),
            },
            "audit": dict(audited),
            **self.elsewhere.of(arm, _controls_of(spec, self.arms), audited=audited),
        }

    @cached_property
    def dataset(self) -> dict[str, Any]:
        """What is told of the dataset, the same in every record."""
        return describe_dataset(self.experiment)

    def privacy(self, arm: Arm) -> Privacy:
        """What measures whether an arm's images are copies of what they were learned from."""
        return self._privacy[arm.spec.learn_from]

    def comparisons(self, arm: Arm) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """The arm against each of its controls, by the control's name; and why it is not compared with others."""
        mine = self.training[arm.spec.run_id]
        found: dict[str, dict[str, Any]] = {}
        missing: dict[str, str] = {}
        for control in _controls_of(arm.spec, self.arms):
            try:
                row = compare_arms(self.experiment, arm, control, self.samples)
            except Unavailable as reason:
                missing[control.spec.generator] = str(reason)
            else:
                found[control.spec.generator] = row | {"unequal": unequal(mine, self.training[control.spec.run_id])}
        return found, missing

    def collapsed(self, arm: Arm) -> tuple[int, ...]:
        """The classifier seeds of an arm that collapsed, by number."""
        from benchmarks.statistics.collapsed import collapsed

        sampled = self.samples[arm.spec.run_id].get("auroc")
        return () if sampled is None else collapsed(sampled.values.tolist())

    def worth(self, arm: Arm) -> dict[str, Any] | None:
        """An arm's worth in real images, where a learning curve was asked for and images were drawn."""
        from benchmarks.statistics.worth import measure_worth

        if not arm.spec.curve or not arm.draws:
            return None
        points = [a for a in self.arms if a.spec.generator == NONE and a.spec.portion in (1.0, *arm.spec.curve)]
        mine = self.samples[arm.spec.run_id].get("auroc")
        curve = [(len(a.train), it) for a in points if (it := self.samples[a.spec.run_id].get("auroc")) is not None]
        if len(curve) < 2 or mine is None:
            return None
        try:
            found = measure_worth(mine, curve, n_real=arm.demanded.keep_real, n_synthetic=arm.demanded.total)
        except Unavailable:
            return None  # `not_compared` of the arm says why
        return found.to_json()

    def sharing(self, arm: Arm, comparisons: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """The two hospitals, and what the arm keeps of the gain of sharing films (`sharing_of`)."""
        images = self.experiment.images
        return {
            "donor": arm.spec.donor,
            "n_recipient": len(images.train),
            "n_recipient_patients": len(set(images.train.groups)),
            "n_donor": len(images.donor),
            "n_donor_patients": len(set(images.donor.groups)),
            "kept": sharing_of(vars(arm.spec), comparisons, self.samples[arm.spec.run_id], self.samples),
        }


def _plain(values: Mapping[str, Value]) -> dict[str, Any]:
    return {name: value.to_json() for name, value in values.items()}


def is_control(spec: RunSpec) -> bool:
    """Whether the arm is there to be compared with, and is not itself judged."""
    return spec.generator in REMEDIES or bool(getattr(generators.get(spec.generator), "is_control", False))


def _described(arm: Arm) -> dict[str, Any]:
    return {"run_id": arm.spec.run_id, "name": arm.spec.name, "spec": vars(arm.spec)}


def added(spec: RunSpec) -> str | None:
    """What the images are that an arm adds: `synthetic`, `copied`, `further real`; None where it adds none."""
    return None if spec.is_real_only else added_by(spec.generator)


def _controls_of(spec: RunSpec, arms: Sequence[Arm]) -> list[Arm]:
    """The arms that a spec is compared with, in the order of its controls."""
    named = [arm for name in spec.controls for arm in arms if arm.spec.generator == name]
    return [arm for arm in named if is_control_of(vars(arm.spec), vars(spec))]


def _cost(bench: Bench, arm: Arm) -> dict[str, Any]:
    """Seconds on this hardware to fit, to draw 1,000 images, and to train one classifier; and what the fits cost.

    A fit that was made before its cost was measured has none.
    """
    spec, store = arm.spec, bench.store

    def seconds(stage: str, keys: Sequence[str]) -> float:
        return sum(float(store.manifest(stage, key)["seconds"]) for key in keys)

    cost: dict[str, Any] = {
        "classifier_seconds": seconds("classify", arm.classify_keys) / spec.seeds,
        "classifiers": [scores.report.get("cost") for scores in arm.scores],
    }
    if arm.draws:
        report = read_json(store.path("fit", arm.fit_key) / "fit.json")
        cost |= {
            "fit_seconds": seconds_of(store, arm.fit_key),
            "draw_seconds_per_1000": 1000 * seconds("pool", arm.shard_keys) / (len(arm.shard_keys) * spec.shard),
            "fit": {k: v for k, v in report.items() if k != "history"},
        }
    return cost


def publish_record(records: Records, record: dict[str, Any], arm: Arm, panel: Panel) -> None:
    """Write a record with its predictions and pictures."""
    from benchmarks.report.figures.decision import DECISION, draw_decision
    from benchmarks.report.figures.features import PCA, POINTS, draw_features, plane_of, write_points
    from benchmarks.report.figures.grid import draw_grid
    from benchmarks.report.figures.nearest_pairs import NEAREST, draw_pairs
    from benchmarks.report.figures.reliability import RELIABILITY, draw_reliability
    from benchmarks.report.figures.sharing import SHARING, draw_sharing
    from benchmarks.report.figures.sharing import Panel as SharingPanel
    from benchmarks.report.figures.worth import draw_worth

    images, privacy = panel.experiment.images, panel.privacy(arm)
    learned = images.learned_from(arm.spec).train
    alone = records.find(panel.judge.spec.run_id) if panel.judge else None
    began = time.perf_counter()
    pool = arm.pool
    files: dict[str, Any] = {PREDICTIONS: lambda f: write_predictions(f, images.test, arm.test_scores)}
    files |= panel.elsewhere.files(arm)
    if pool is not None:
        files[GRID] = lambda f: draw_grid(
            f,
            real=learned,
            fake=pool,
            title=arm.spec.name,
            seed=seed_from(arm.spec.seed, "grid"),
        )
    if pairs := privacy.pairs(arm):
        files[NEAREST] = lambda f: draw_pairs(f, pairs, space=privacy.nearest_space(arm))
    if spread := privacy.spread(arm):
        plane = cache(lambda: plane_of(**spread, seed=seed_from(privacy.seed, "features", "picture")))
        files[PCA] = lambda f: draw_features(f, plane(), name=arm.spec.name, space=privacy.spaces[0])
        files[POINTS] = lambda f: write_points(f, plane())
    files[RELIABILITY] = lambda f: draw_reliability(f, record, alone=alone)
    if record.get("decision"):
        files[DECISION] = lambda f: draw_decision(f, record, alone=alone)
    if record["worth"]:
        files[WORTH] = lambda f: draw_worth(f, record["worth"], record["utility"]["auroc"], name=arm.spec.name)
    if record.get("sharing", {}).get("kept"):
        beside = [one for row in record["comparisons"].values() if (one := records.find(row["run_id"]))]
        about = f"{len(images.train)} films of its own, {len(images.donor)} of the donor"
        files[SHARING] = lambda f: draw_sharing(f, [SharingPanel(about, [record, *beside])])
    before = records.find(record["run_id"])
    if before is not None and before.get("readers"):  # the films that were read are those of the run, to the byte
        record["readers"] = before["readers"]
        said = records.beside_it(record["run_id"])
        files |= {name: copy for name, copy in said.items() if name.startswith(ANSWERS)}
    records.write(record, files)
    logger.debug("record %s written in %.2f s", record["run_id"][:12], time.perf_counter() - began)
