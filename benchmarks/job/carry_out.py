"""A request carried out: plan, stages, records; what is there already is not made again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.job.believe import doubt_what_changed
from benchmarks.job.beside import groups_beside
from benchmarks.job.elsewhere import are_prepared, check_externals
from benchmarks.job.estimate import Estimate, Sizes, Todo
from benchmarks.job.opened import Begun, begin_request, open_prepared
from benchmarks.job.outside_files import check_outside_files, check_what_is_to_be_trained
from benchmarks.job.plan import check_classes, expected_rows, optional_arms, prepared, rows_of
from benchmarks.job.precision import Precisions
from benchmarks.job.record import Panel, find_complete, publish_record, write_failure
from benchmarks.job.room import bytes_of_arms, bytes_of_films, check_room
from benchmarks.job.train_arms import train_arms
from benchmarks.job.unused import unused_options
from benchmarks.records.store import Records
from benchmarks.report.plan import Expected, Row
from benchmarks.request.options import Request
from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.filters import Starved
from benchmarks.stages.generator import draw_pool
from benchmarks.stages.images import prepare_data
from data.audit.leaks import audit
from data.images import Split
from data.prepared import read_index
from synthworth.artifacts import check_writable
from synthworth.devices import repeatable
from synthworth.errors import Diverged
from synthworth.in_use import marked

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

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
    aurocs: dict[str, Sampled] = field(default_factory=dict)
    """Macro AUROC of the arms that were judged just now, by run id."""
    arms: list[Arm] = field(default_factory=list)
    """Controls first; none where the images are not prepared yet."""
    workers: int = 1
    device: str = "cpu"
    data_ready: bool = True
    expected: list[Expected] = field(default_factory=list)
    """How long what is to do will take, by stage."""
    precisions: Precisions | None = None


def carry_out(
    request: Request,
    *,
    begin: Callable[[Outcome], None] = lambda outcome: None,
    check: Callable[[Sequence[RunSpec]], None] = lambda specs: None,
    only_there: bool = False,
    without: Collection[str] = (),
) -> Outcome:
    """Do what was asked, or with `dry_run` only say what would be done.

    Parameters
    ----------
    begin : called once, before anything is made, with what is known then: device, workers, expected time.
    check : called with the arms once the images are known, before anything is trained; what it raises ends the run.
    only_there : train nothing; judge the arms of which everything is stored, if it is of all controls.
    without : run ids of controls that diverged, which nothing waits for any more.

    Raises
    ------
    UserError
        When the request cannot be carried out; nothing has been published then.
    """
    begun = begin_request(request)
    request, bench, dataset, o = begun.request, begun.bench, begun.dataset, begun.request.options
    outcome = Outcome(workers=bench.workers, device=bench.device, precisions=begun.precisions)
    was_ready = _is_prepared(bench, request, dataset)
    if not was_ready:
        outcome.expected = _foretell(begun)
        begin(outcome)
        if o.dry_run:
            outcome.data_ready, outcome.plan = False, expected_rows(o.dataset, begun.specs)
            return outcome
    folder, index = prepare_data(bench, o.dataset, dataset)
    opened = open_prepared(request, bench, dataset, folder, index)
    request, experiment, arms, specs = opened.request, opened.experiment, opened.arms, opened.specs
    outcome.precisions, outcome.arms = opened.precisions, arms
    check(specs)
    records = Records(o.results)
    if not o.dry_run:
        records.tidy()
    doubt_what_changed(records, [records.find(spec.run_id) for spec in specs])
    found = {spec.run_id: find_complete(records, spec) for spec in specs}
    if only_there:
        arms = _judgeable(bench, request, arms, without=without)
        specs = [arm.spec for arm in arms]
    check_classes(experiment.images, specs)
    check_externals(experiment)
    if not all(found.values()):
        _check_folders(bench, request)
        check_what_is_to_be_trained(bench, request, dataset, arms)
    finished = frozenset(run_id for run_id, record in found.items() if record)
    if not o.dry_run:
        check_room(bytes_of_arms(bench, arms, finished=finished), home=bench.store.home, results=o.results)
    if was_ready:
        todo = Todo.of_arms(bench, arms, finished=finished)
        outcome.expected = Estimate(bench, request, Sizes.of(dataset, index), todo, dataset).lines()
        begin(outcome)
    outcome.plan = [row for arm in arms for row in rows_of(bench, arm)]
    for line in unused_options(bench, request, specs):
        logger.warning("%s", line)
    if not o.dry_run:
        if not all(found.values()):
            with marked(bench.store.home), repeatable(device=bench.device):
                opened.note_use()
                _run_arms(experiment, arms, records, request, outcome)
            found |= {spec.run_id: records.find(spec.run_id) for spec in specs}
        outcome.records = [record for spec in specs if (record := found[spec.run_id]) is not None]
    outcome.seconds, outcome.made = bench.seconds, bench.made
    return outcome


def _is_prepared(bench: Bench, request: Request, dataset: Any) -> bool:
    """Whether its images, and those of its other test sets, are."""
    folder = prepared(bench, request.options.dataset, dataset)
    return folder is not None and are_prepared(bench, request, read_index(folder))


def _foretell(begun: Begun) -> list[Expected]:
    """How long a request will take whose images are not prepared, as far as their options foretell.

    Raises
    ------
    UserError
        For folders, outside files and disks that could not serve it.
    """
    request, bench, dataset, o = begun.request, begun.bench, begun.dataset, begun.request.options
    _check_folders(bench, request)
    check_outside_files(request, dataset)
    sizes = Sizes.of(dataset, None)
    if not o.dry_run:
        check_room(bytes_of_films(sizes, begun.specs, key=o.dataset), home=bench.store.home, results=o.results)
    return Estimate(bench, request, sizes, Todo.of_specs(begun.specs, sizes), dataset).lines()


def _judgeable(bench: Bench, request: Request, arms: Sequence[Arm], *, without: Collection[str]) -> list[Arm]:
    """Arms that need no training any more; none where a control does, which they would be compared with."""
    there = [arm for arm in arms if all(bench.store.has("classify", key) for key in arm.classify_keys)]
    controls = {arm.spec.run_id for arm in arms if arm.spec.generator != request.options.generator}
    return there if controls - set(without) <= {arm.spec.run_id for arm in there} else []


def _check_folders(bench: Bench, request: Request) -> None:
    """Refuse folders that cannot be written to, where something is to be written: what is finished is only read.

    Raises
    ------
    UserError
        Naming the folder.
    """
    if not request.options.dry_run:
        check_writable(request.options.results)
        check_writable(bench.store.home)


def _run_arms(experiment: Experiment, arms: list[Arm], records: Records, request: Request, outcome: Outcome) -> None:
    optional, images = optional_arms(request, [arm.spec for arm in arms]), experiment.images
    notes = read_index(images.folder).get("notes")
    sets = {Split.train: images.train, Split.val: images.val, Split.test: images.test}
    if experiment.spec.donor:
        sets[Split.donor] = images.donor
    audited = audit(sets, notes=notes)
    for line in audited.warnings():
        logger.warning("%s", line)
    ready, beside = [], groups_beside(experiment, arms)
    of_workers = {arm.spec.run_id for group in beside for arm in group}
    for arm in arms:
        try:
            if arm.spec.run_id not in of_workers:
                arm.pool = draw_pool(experiment, arm)
        except Diverged as error:
            outcome.failed.append(write_failure(records, arm, str(error)))
        except Starved as error:
            if arm.spec.run_id not in optional:
                raise
            outcome.skipped.append(write_failure(records, arm, str(error), status="skipped"))
        else:
            ready.append(arm)
    for arm, error in train_arms(experiment, ready, beside=beside):
        outcome.failed.append(write_failure(records, arm, error))
        ready = [other for other in ready if other is not arm]
    outcome.aurocs = _evaluate(experiment, ready, records, audited.to_json())


def _evaluate(
    experiment: Experiment, arms: Sequence[Arm], records: Records, audited: dict[str, Any]
) -> dict[str, Sampled]:
    """Judge the arms together and write the records that are not there yet; AUROC of all by run id."""
    if not arms:
        return {}
    bench, began = experiment.bench, time.perf_counter()
    features = bench.seconds.get("features", 0.0)
    panel, made = Panel(experiment, arms), 0
    for arm in arms:
        if find_complete(records, arm.spec) is None:
            publish_record(records, panel.record(arm, audited), arm, panel)
            made += 1
    features = bench.seconds.get("features", 0.0) - features  # extracted meanwhile, and a stage of their own
    bench.note("judge", time.perf_counter() - began - features, made)
    return {run_id: sampled["auroc"] for run_id, sampled in panel.samples.items() if "auroc" in sampled}
