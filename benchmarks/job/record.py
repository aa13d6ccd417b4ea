"""The record of an arm: every number that was measured, put together and published."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.judging.fidelity import Fidelity, class_consistency
from benchmarks.judging.later import lacks_a_metric
from benchmarks.judging.privacy import Privacy
from benchmarks.judging.utility import compare_arms, utility, validation
from benchmarks.metrics.registry import EXTRACTORS
from benchmarks.records.predictions import PREDICTIONS, write_predictions
from benchmarks.records.provenance import provenance
from benchmarks.records.store import GRID, SCHEMA, WORTH, Records
from benchmarks.request.remedies import REMEDIES
from benchmarks.request.spec import NONE, RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.images import Images
from benchmarks.verdicts.equal_compute import describe_training, unequal
from generators.registry import generators
from synthworth.artifacts import read_json
from synthworth.keys import digest, seed_from

if TYPE_CHECKING:
    from benchmarks.statistics.resamples import Replicates
    from benchmarks.statistics.sampled import Drawn

logger = logging.getLogger(__name__)


def find_complete(records: Records, spec: RunSpec) -> dict[str, Any] | None:
    """The finished record of a spec, unless it lacks an extractor whose weights have been supplied since, or a metric
    that was registered since and needs more than a record keeps."""
    record = records.find(spec.run_id)
    if record is None or any(EXTRACTORS.get(name).is_at_hand() for name in record["unavailable"]):
        return None
    return None if lacks_a_metric(record) else record


def write_failure(records: Records, arm: Arm, error: str, *, status: str = "failed") -> dict[str, Any]:
    """A run that failed, or was skipped, is shown, never cached: the next call tries again."""
    record = {
        "schema": SCHEMA,
        "status": status,
        "run_id": arm.spec.run_id,
        "name": arm.spec.name,
        "spec": arm.spec.to_json(),
        "error": error,
        "provenance": provenance(),
    }
    records.write(record, {})
    return record


def make_record(
    bench: Bench,
    arm: Arm,
    arms: Sequence[Arm],
    images: Images,
    replicates: dict[str, Replicates],
    drawn: dict[str, dict[str, Drawn]],
    fidelity: Fidelity,
    judge: Arm | None,
    privacy: Privacy,
) -> dict[str, Any]:
    """The record of one arm, all but its audit, calibration and subgroups."""
    from benchmarks.verdicts.verdict import verdict

    spec = arm.spec
    mine = replicates[spec.run_id]
    useful = utility(arm, images, mine, drawn[spec.run_id])
    training = describe_training([s.report for s in arm.scores])
    comparisons = {
        control.spec.generator: compare_arms(arm, control, images, replicates, drawn, margin=spec.margin)
        | {"unequal": unequal(training, describe_training([s.report for s in control.scores]))}
        for control in _controls_of(spec, arms)
    }
    return {
        "schema": SCHEMA,
        "status": "ok",
        "run_id": spec.run_id,
        "name": spec.name,
        "spec": spec.to_json(),
        "classes": list(images.train.classes),
        "is_control": is_control(spec),
        "counts": {k: dict(v) for k, v in (arm.counts or {}).items()},
        "utility": {name: value.to_json() for name, value in useful.items()},
        "validation": {name: value.to_json() for name, value in validation(arm, images).items()},
        "fidelity": {name: v.to_json() for name, v in fidelity.of(arm).items()}
        | {name: v.to_json() for name, v in class_consistency(bench, arm, judge).items()},
        "fidelity_by_class": fidelity.by_class(arm),
        "privacy": {name: v.to_json() for name, v in privacy.of(arm).items()},
        "unavailable": {} if spec.is_real_only else fidelity.unavailable,
        "comparisons": comparisons,
        "worth": worth_of(arm, arms, images, replicates),
        "verdict": verdict(spec.name, comparisons, n_seeds=spec.seeds),
        "training": training,
        "cost": _cost(bench, arm),
        "provenance": {**provenance(), "device": bench.device, "workers": bench.workers},
    }


def calibration_of(arm: Arm, images: Images) -> dict[str, Any]:
    """Temperatures and reliability of an arm."""
    from benchmarks.metrics.calibration import describe_calibration

    return describe_calibration(
        truth=images.test.labels.numpy(),
        scores=arm.test_scores(),
        val_truth=images.val.labels.numpy(),
        val_scores=arm.val_scores(),
    )


def worth_of(
    arm: Arm, arms: Sequence[Arm], images: Images, replicates: Mapping[str, Replicates]
) -> dict[str, Any] | None:
    """An arm's worth in real images, where a learning curve was asked for and images were drawn."""
    from benchmarks.statistics.worth import measure_worth

    if not arm.spec.curve or arm.spec.is_real_only or not arm.demanded.total:
        return None
    points = [a for a in arms if a.spec.generator == NONE and a.spec.portion in (1.0, *arm.spec.curve)]
    curve = [(len(images.portion(a.spec.portion)), replicates[a.spec.run_id]) for a in points]
    if len(curve) < 2:
        return None
    return measure_worth(
        replicates[arm.spec.run_id], curve, n_real=arm.demanded.keep_real, n_synthetic=arm.demanded.total
    ).to_json()


def is_control(spec: RunSpec) -> bool:
    """Whether the arm is there to be compared with, and is not itself judged."""
    return spec.generator in REMEDIES or bool(getattr(generators.get(spec.generator), "is_control", False))


def _controls_of(spec: RunSpec, arms: Sequence[Arm]) -> list[Arm]:
    """The arms a spec is read against: real images alone, remedies, and controls at the same ratio and mode."""
    return [arm for name in spec.controls for arm in arms if arm.spec.generator == name and _pairs(spec, arm.spec)]


def _pairs(spec: RunSpec, control: RunSpec) -> bool:
    if control.portion != 1 or control.filters:
        return False
    if control.is_real_only:
        return control.ratio in (0, spec.ratio)
    return (control.ratio, control.mode, control.generator_seed) == (spec.ratio, spec.mode, 0)


def _cost(bench: Bench, arm: Arm) -> dict[str, Any]:
    """Seconds on this hardware to fit, to draw 1,000 images, and to train one classifier."""
    spec, store = arm.spec, bench.store

    def seconds(stage: str, identity: Any) -> float:
        return float(store.manifest(stage, digest(identity))["seconds"])

    cost: dict[str, Any] = {
        "classifier_seconds": sum(
            seconds("classify", spec.classify_identity(arm.demanded, k)) for k in range(spec.seeds)
        )
        / spec.seeds
    }
    pool = spec.pool_identity(arm.demanded)
    if pool is not None and arm.demanded.total:
        fit = store.path("fit", digest(spec.fit_identity()))
        keys = [key for shards in pool["shards"].values() for key in shards]
        drawn = sum(float(store.manifest("pool", key)["seconds"]) for key in keys)
        cost |= {
            "fit_seconds": seconds("fit", spec.fit_identity()),
            "draw_seconds_per_1000": 1000 * drawn / (len(keys) * spec.shard),
            "fit": {k: v for k, v in read_json(fit / "fit.json").items() if k != "history"},
        }
    return cost


def publish_record(
    records: Records,
    record: dict[str, Any],
    arm: Arm,
    images: Images,
    privacy: Privacy,
    alone: dict[str, Any] | None,
) -> None:
    """Write a record and what stands beside it; `alone` is the record of real images alone."""
    from benchmarks.report.figures.features import PCA, draw_features
    from benchmarks.report.figures.grid import draw_grid
    from benchmarks.report.figures.nearest_pairs import NEAREST, draw_pairs
    from benchmarks.report.figures.reliability import RELIABILITY, draw_reliability
    from benchmarks.report.figures.worth import draw_worth

    began = time.perf_counter()
    pool = arm.pool
    files: dict[str, Any] = {PREDICTIONS: lambda f: write_predictions(f, images.test, arm.test_scores())}
    if pool is not None:
        files[GRID] = lambda f: draw_grid(
            f, real=images.train, fake=pool, title=arm.spec.name, seed=seed_from(arm.spec.seed, "grid")
        )
    if pairs := privacy.pairs(arm):
        files[NEAREST] = lambda f: draw_pairs(f, pairs, space=privacy.spaces[0])
    if spread := privacy.spread(arm):
        files[PCA] = lambda f: draw_features(
            f, **spread, name=arm.spec.name, space=privacy.spaces[0],
            seed=seed_from(privacy.seed, "features", "picture"),
        )  # fmt: skip
    files[RELIABILITY] = lambda f: draw_reliability(f, record, alone=alone)
    if record["worth"]:
        files[WORTH] = lambda f: draw_worth(f, record["worth"], record["utility"]["auroc"], name=arm.spec.name)
    records.write(record, files)
    logger.debug("record %s written in %.2f s", record["run_id"][:12], time.perf_counter() - began)
