"""What a sweep says: its plan before anything is made, and its end."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from benchmarks.job.elsewhere import are_prepared, check_externals
from benchmarks.job.estimate import Sizes
from benchmarks.job.opened import Opened, Shared, begin_request, open_prepared
from benchmarks.job.outside_files import check_outside_files, check_what_is_to_be_trained
from benchmarks.job.plan import check_classes, prepared
from benchmarks.job.room import Needed, bytes_of_arms, bytes_of_films, check_room, in_bytes
from benchmarks.report.plan import in_words
from benchmarks.report.tables import STAGES as WORDS
from benchmarks.report.tables import table
from benchmarks.request.cells import Sweep
from benchmarks.stages.images import prepare_data
from benchmarks.stages.twin import training_key
from benchmarks.sweep.failures import Failure
from benchmarks.sweep.items import STAGES, Item, Work, trained_for
from benchmarks.sweep.rows import Row, arms_of_cells
from synthworth.artifacts import check_writable, nearest_folder
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.progress import track

TITLES = {**WORDS, "evaluate": "measures and records"}
MOST_ROWS = 40
"""Most cells that are printed; all stand in the table."""


def open_all(asked: Sweep, out: Console, *, dry_run: bool) -> list[Opened] | None:
    """All requests, their datasets prepared first; None where that is to be done yet and nothing is to be made.

    Raises
    ------
    UserError
        For what any of them cannot be, and where they write records or artifacts to different folders; before anything
        is trained. `check_files` looks at files from elsewhere, once it is known what is to be made.
    """
    _check_together(asked)
    shared, found, missing = Shared(), list[Opened](), dict[str, str]()
    begun = [begin_request(request, shared=shared) for request in asked.requests]
    datasets = {id(one.dataset): one for one in begun}  # requests with equal options of data share one
    ready = {
        key: prepare_data(one.bench, one.request.options.dataset, one.dataset)
        for key, one in datasets.items()
        if prepared(one.bench, one.request.options.dataset, one.dataset) is not None
    }
    unprepared = [one for one in begun if id(one.dataset) not in ready]
    for one in unprepared:
        _ = one.specs  # refused before an image is decoded
    if not dry_run:
        check_writable(begun[0].bench.store.home)
    needed: Needed = {}
    for one in unprepared:
        check_outside_files(one.request, one.dataset)
        key = digest([one.request.options.dataset, one.request.data])
        needed |= bytes_of_films(Sizes.of(one.dataset, None), one.specs, key=key)
    if not dry_run:
        check_room(needed, home=begun[0].bench.store.home, results=asked.requests[0].options.results)
    checked = set[str]()
    for one in track(begun, "sweep: opening requests"):
        name, key = one.request.options.dataset, id(one.dataset)
        if key not in ready:
            if dry_run:
                missing[digest([name, one.request.data])] = name
                continue
            ready[key] = prepare_data(one.bench, name, one.dataset)
        if dry_run and not are_prepared(one.bench, one.request, ready[key][1]):
            missing[digest(list(one.request.options.test_on))] = " ".join(one.request.options.test_on)
            continue
        opened = open_prepared(one.request, one.bench, one.dataset, *ready[key], shared=shared)
        if fresh := [arm.spec for arm in opened.arms if arm.spec.run_id not in checked]:
            check_classes(opened.experiment.images, fresh)
            check_externals(opened.experiment)
            checked |= {spec.run_id for spec in fresh}
        found.append(opened)
    if dry_run and missing:
        specs = {spec.run_id: spec for one in begun for spec in one.specs}
        trainings = {training_key(root) for spec in specs.values() if (root := trained_for(spec)) is not None}
        out.print(
            f"{len(asked.cells)} cells in {len(asked.requests)} requests, at most: {len(specs)} arms, "
            f"{len(trainings)} trainings of a generator, {sum(spec.seeds for spec in specs.values())} of a classifier. "
            f"To be prepared first: {', '.join(sorted(set(missing.values())))}; what is there already, and how "
            "long the rest will take, is known then", markup=False, soft_wrap=True,
        )  # fmt: skip
        return None
    return found


def check_files(opened: Sequence[Opened], items: Sequence[Item]) -> None:
    """Refuse weights and other files that something which is to be made cannot use.

    Raises
    ------
    UserError
        As `check_outside_files`.
    """
    for number in sorted({item.request for item in items if item.stage != "evaluate"}):
        one = opened[number]
        check_what_is_to_be_trained(one.bench, one.request, one.dataset, one.arms)


def _check_together(asked: Sweep) -> None:
    every = {id(request.options): request.options for request in asked.requests}.values()
    for name in ("results", "home", "device", "logger"):
        values = {str(getattr(o, name)) for o in every}
        if len(values) > 1:
            raise UserError(f"{name} differs between cells ({', '.join(sorted(values))}); a sweep has one")


def print_sweep(
    out: Console, asked: Sweep, opened: Sequence[Opened], work: Work, items: Sequence[Item], *,
    failures: Mapping[str, Failure], reasons: Mapping[str, Failure], jobs: int,
) -> None:  # fmt: skip
    """Cells, fits that they share, and items by stage with the time they are expected to take."""
    states = Counter(
        "done" if all(spec.run_id in work.finished for spec in specs)
        else "failed before" if any(spec.run_id in reasons for spec in specs) else "to do"
        for _, specs in arms_of_cells(asked, opened)
    )  # fmt: skip
    said = ", ".join(f"{states[state]} {state}" for state in ("done", "to do", "failed before") if states[state])
    out.print(f"{len(asked.cells)} cells in {len(asked.requests)} requests: {said}", markup=False, soft_wrap=True)
    if work.users:
        arms = set().union(*work.users.values())
        out.print(f"{len(work.users)} trainings of a generator serve {len(arms)} arms", markup=False, soft_wrap=True)
    made = table("plan", ("stage", "to make", "failed before", f"seconds, {jobs} jobs"), left=1)
    unknown = False
    for stage in STAGES:
        of = [item for item in items if item.stage == stage]
        again = sum(item.id in failures for item in of)
        seconds = sum(item.seconds or 0.0 for item in of) / jobs
        unknown |= any(item.seconds is None for item in of)
        least = ">" if any(item.seconds is None for item in of) else ""
        made.add_row(escape(TITLES[stage]), str(len(of)), str(again), f"{least}{seconds:.0f}")
    out.print(made)
    total = sum(item.seconds or 0.0 for item in items) / jobs
    if items:
        out.print(f"expected time: {'at least' if unknown else 'about'} {in_words(total)}", markup=False)
        home, n = opened[0].bench.store.home, sum(needed_by(opened, work).values())
        free = in_bytes(shutil.disk_usage(nearest_folder(home)).free)
        out.print(f"to be written: about {in_bytes(n)}; {free} are free", markup=False)


def needed_by(opened: Sequence[Opened], work: Work) -> Needed:
    """What the requests lack, and its bytes."""
    needed: Needed = {}
    for one in opened:
        needed |= bytes_of_arms(one.bench, one.arms, finished=work.finished)
    return needed


def print_end(
    out: Console, rows: Sequence[Row], made: Mapping[str, int], seconds: Mapping[str, float],
    failed: Sequence[Failure], files: Sequence[Path],
) -> None:  # fmt: skip
    """What was made and the work in it by stage, the cells, what failed, and where it lies."""
    if made:
        said = ", ".join(f"{made[stage]} {TITLES.get(stage, stage)}" for stage in made)
        out.print(f"made: {said}", markup=False, soft_wrap=True)
    if seconds:
        said = ", ".join(f"{TITLES[stage]} {seconds[stage]:.0f} s" for stage in STAGES if stage in seconds)
        out.print(f"work: {said}; together {in_words(sum(seconds.values()))}", markup=False, soft_wrap=True)
    names = list(dict.fromkeys(name for row in rows for name in row.axes))
    shown = table(
        "cells: AUROC, and its difference to real images alone", (*map(escape, names), "state", "AUROC", "gain")
    )
    for row in rows[:MOST_ROWS]:
        n = row.numbers
        auroc = "" if n["auroc"] is None else f"{n['auroc']:.3f}"
        gain = "" if n["vs_none"] is None else f"{n['vs_none']:+.3f}"
        if gain and n["vs_none_low"] is not None and n["vs_none_high"] is not None:
            gain += f" [{n['vs_none_low']:+.3f}, {n['vs_none_high']:+.3f}]"
        shown.add_row(*(escape(str(row.axes.get(name, ""))) for name in names), row.state, auroc, gain)
    out.print(shown)
    if len(rows) > MOST_ROWS:
        out.print(f"{len(rows) - MOST_ROWS} more cells stand in the table", markup=False)
    for failure in failed:
        out.print(f"FAILED {failure.sentence()}", style="bold red", markup=False, soft_wrap=True)
    out.print("written: " + ", ".join(map(str, files)), markup=False, soft_wrap=True)
