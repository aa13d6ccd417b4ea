"""A request carried out: plan, stages, records; what is there already is not made again."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.arms import Arm, draw_arms, train_arms
from benchmarks.compute import describe_training, unequal
from benchmarks.evaluate import compare_arms, draw_metrics, utility, validation
from benchmarks.executors import n_workers
from benchmarks.fidelity import Fidelity, class_consistency
from benchmarks.filters import Starved
from benchmarks.loggers import check_logger
from benchmarks.metrics.registry import EXTRACTORS
from benchmarks.options import Request
from benchmarks.plan import Row, check_classes, optional_arms, prepared, resolve_precision, rows_of, specs_of
from benchmarks.privacy import Privacy
from benchmarks.records import GRID, PREDICTIONS, SCHEMA, WORTH, Records, provenance, write_predictions
from benchmarks.remedies import REMEDIES
from benchmarks.spec import NONE, RunSpec
from benchmarks.stages import Bench, Fitting, Images, prepare_data
from benchmarks.subgroups import Subgroups
from data.audit import audit
from data.base import Split
from data.registry import datasets
from generators.registry import generators
from synthworth.artifacts import Store, check_writable, read_json
from synthworth.devices import check_devices, repeatable, resolve_device
from synthworth.errors import Diverged
from synthworth.keys import digest, seed_from

if TYPE_CHECKING:
    from benchmarks.statistics.bootstrap import Replicates
    from benchmarks.statistics.utility_bootstrap import Drawn

logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What a request came to: its records in order, the plan, what failed or was skipped, and where the time went."""

    records: list[dict[str, Any]] = field(default_factory=list)
    plan: list[Row] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    workers: int = 1
    data_ready: bool = True


def open_bench(request: Request) -> Bench:
    """The store and the device of a request.

    Raises
    ------
    UserError
        When a folder cannot be written to or the device does not exist.
    """
    o = request.options
    store = Store.open(o.home)
    check_writable(o.results)
    check_writable(store.home)
    device = resolve_device(o.device)
    check_devices(o.devices, device=device)
    check_logger(o.logger)
    classes = {name: generators.get(name) for name in o.controls if name not in REMEDIES}
    controls = {
        name: cls.Config(generator=o.generator)
        for name, cls in classes.items()
        if getattr(cls, "needs_generator", False)
    }
    return Bench(
        store=store,
        device=device,
        workers=n_workers(o.workers, device=device),
        checkpoint_seconds=o.checkpoint_seconds,
        configs={**controls, o.generator: request.gen, "clf": request.clf},
        info={"device": device},
        fitting=Fitting(o.devices, o.compile, o.snapshot_epochs, o.logger, o.plugin),
    )


def carry_out(request: Request) -> Outcome:
    """Do what was asked, or with `dry_run` only say what would be done.

    Raises
    ------
    UserError
        When the request cannot be carried out; nothing has been published then.
    """
    o = request.options
    bench = open_bench(request)
    dataset = datasets.get(o.dataset)(request.data)
    outcome = Outcome(workers=bench.workers)
    precision = resolve_precision(o.precision, bench.device)
    specs_of(request, fingerprint="", precision=precision)  # refuses a wrong request before any image is decoded
    folder = prepared(bench, o.dataset, dataset)
    if o.dry_run and folder is None:
        outcome.data_ready = False
        return outcome
    folder, index = prepare_data(bench, o.dataset, dataset)
    specs = specs_of(request, fingerprint=str(index["fingerprint"]), precision=precision)
    records = Records(o.results)
    found = {spec.run_id: find_complete(records, spec) for spec in specs}
    arms = [Arm(spec, (images := Images(folder, dataset, spec)).demand(spec)) for spec in specs]
    check_classes(images, specs)
    outcome.plan = [row for arm in arms for row in rows_of(bench, arm.spec, arm.demanded)]
    if not o.dry_run:
        if not all(found.values()):
            with repeatable():
                _run_arms(bench, arms, images, records, request, outcome)
            found |= {spec.run_id: records.find(spec.run_id) for spec in specs}
        outcome.records = [record for spec in specs if (record := found[spec.run_id]) is not None]
    outcome.seconds, outcome.made = bench.seconds, bench.made
    return outcome


def find_complete(records: Records, spec: RunSpec) -> dict[str, Any] | None:
    """The finished record of a spec, unless it lacks an extractor whose weights have been supplied since."""
    record = records.find(spec.run_id)
    if record is not None and any(EXTRACTORS.get(name).is_at_hand() for name in record["unavailable"]):
        return None
    return record


def _run_arms(
    bench: Bench,
    arms: list[Arm],
    images: Images,
    records: Records,
    request: Request,
    outcome: Outcome,
) -> None:
    optional = optional_arms(request, [arm.spec for arm in arms])
    audited = audit({Split.train: images.train, Split.val: images.val, Split.test: images.test})
    for line in audited.warnings():
        logger.warning("%s", line)
    ready = []
    for arm in arms:
        try:
            draw_arms(bench, [arm], images)
        except Diverged as error:
            outcome.failed.append(_write_failure(records, arm, str(error)))
        except Starved as error:
            if arm.spec.run_id not in optional:
                raise
            outcome.skipped.append(_write_failure(records, arm, str(error), status="skipped"))
        else:
            ready.append(arm)
    for arm, error in train_arms(bench, ready, images, request.options.plugin):
        outcome.failed.append(_write_failure(records, arm, error))
        ready = [other for other in ready if other is not arm]
    _evaluate(bench, ready, images, records, audited.to_json())


def _write_failure(records: Records, arm: Arm, error: str, *, status: str = "failed") -> dict[str, Any]:
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


def _evaluate(bench: Bench, arms: Sequence[Arm], images: Images, records: Records, audited: dict[str, Any]) -> None:
    from benchmarks.statistics.bootstrap import bootstrap_auroc

    if not arms:
        return
    spec = next((arm.spec for arm in arms if not arm.spec.is_real_only), arms[0].spec)
    fidelity = Fidelity(bench, images, spec)
    privacy = Privacy(fidelity)
    judge = next((arm for arm in arms if arm.spec.is_zero_line), None)
    replicates: dict[str, Replicates] = {
        arm.spec.run_id: bootstrap_auroc(
            arm.test_scores(),
            images.test.labels.numpy(),
            images.test.groups,
            seed=seed_from(arm.spec.seed, "bootstrap"),
            n_replicates=arm.spec.n_bootstrap,
            classes=images.test.classes,
        )
        for arm in arms
    }
    drawn = {arm.spec.run_id: draw_metrics(arm, images) for arm in arms}
    subgroups = Subgroups(
        images.test,
        seed=seed_from(spec.seed, "bootstrap"),
        n_replicates=spec.n_bootstrap,
        alone=judge.test_scores() if judge else None,
    )
    for arm in arms:
        if find_complete(records, arm.spec) is None:
            record = _record(bench, arm, arms, images, replicates, drawn, fidelity, judge, privacy) | {"audit": audited}
            record |= {"calibration": _calibration(arm, images), "subgroups": subgroups.of(arm.test_scores())}
            alone = records.find(judge.spec.run_id) if judge else None
            _publish(records, record, arm, images, privacy, alone)


def _record(
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
    from benchmarks.verdict import verdict

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


def _calibration(arm: Arm, images: Images) -> dict[str, Any]:
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


def _publish(
    records: Records,
    record: dict[str, Any],
    arm: Arm,
    images: Images,
    privacy: Privacy,
    alone: dict[str, Any] | None,
) -> None:
    """Write a record and what stands beside it; `alone` is the record of real images alone."""
    from benchmarks.pictures import draw_grid
    from benchmarks.reliability_figure import RELIABILITY, draw_reliability
    from benchmarks.worth_figure import draw_worth

    began = time.perf_counter()
    pool = arm.pool
    files: dict[str, Any] = {PREDICTIONS: lambda f: write_predictions(f, images.test, arm.test_scores())}
    if pool is not None:
        files[GRID] = lambda f: draw_grid(
            f, real=images.train, fake=pool, title=arm.spec.name, seed=seed_from(arm.spec.seed, "grid")
        )
    files |= privacy.pictures(arm)
    files[RELIABILITY] = lambda f: draw_reliability(f, record, alone=alone)
    if record["worth"]:
        files[WORTH] = lambda f: draw_worth(f, record["worth"], record["utility"]["auroc"], name=arm.spec.name)
    records.write(record, files)
    logger.debug("record %s written in %.2f s", record["run_id"][:12], time.perf_counter() - began)
