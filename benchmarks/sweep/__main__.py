"""Many requests as one: `python -m benchmarks.sweep --config ratio_ablation`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.sweep.options import PROG, SweepOptions, find_sweep, limits_of, read_options, share_of
from synthworth.commands import FAILED, OK, guarded
from synthworth.interrupts import held
from synthworth.registry import no_exit

if TYPE_CHECKING:
    from benchmarks.job.opened import Opened
    from benchmarks.request.cells import Sweep
    from benchmarks.sweep.failures import Failure, Failures
    from benchmarks.sweep.graph import Graph
    from benchmarks.sweep.items import Item, Work
    from benchmarks.trackers.send import Sender


def main(args: Sequence[str]) -> int:
    """Plan, print, carry out, collect.

    Returns
    -------
    int
        The exit code: 1 where an item failed.
    """
    o, flags = read_options(args)
    with held():  # an interrupt while it is imported can end the process by force
        import torch  # noqa: F401
    from benchmarks.request.cells import read_sweep

    file = find_sweep(o.config)
    asked = read_sweep(file, flags, prog=PROG)
    with no_exit():
        return sweep(o, asked, file).code


@dataclass
class Done:
    """What came of a call.

    Parameters
    ----------
    made : artifacts, by stage.
    failed, skipped : items that failed, and arms that were skipped.
    seconds : of all items by stage, whoever made them; more than the wall time where several did at once.
    code : of the command.
    """

    made: dict[str, int] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Failure] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    code: int = OK


def sweep(o: SweepOptions, asked: Sweep, file: Path) -> Done:
    """What the command does."""
    from benchmarks.job.briefs import Briefs
    from benchmarks.job.room import check_room
    from benchmarks.records.store import Records
    from benchmarks.report.tables import console
    from benchmarks.sweep.failures import Failures, reasons_of
    from benchmarks.sweep.graph import Graph
    from benchmarks.sweep.items import work_of
    from benchmarks.sweep.local import n_jobs
    from benchmarks.sweep.on_ray import check_cluster
    from benchmarks.sweep.plan import check_files, needed_by, open_all, print_sweep
    from benchmarks.sweep.rows import numbers_of
    from benchmarks.trackers.send import Sender
    from synthworth.artifacts import check_writable
    from synthworth.devices import resolve_device
    from synthworth.in_use import marked

    folder, out = o.out or Path("results/sweeps") / file.stem, console()
    dry_run = o.dry_run or any(request.options.dry_run for request in asked.requests)
    if not dry_run:
        for place in {folder, *(request.options.results for request in asked.requests)}:
            check_writable(place)
        if o.executor == "ray" and not o.collect:
            check_cluster(o.ray_address)
    jobs = n_jobs(o.jobs, device=resolve_device(asked.requests[0].options.device))
    options = {id(request.options): replace(request.options, workers=jobs) for request in asked.requests}
    asked = replace(asked, requests=tuple(
        replace(request, options=options[id(request.options)]) for request in asked.requests
    ))  # fmt: skip
    opened = open_all(asked, out, dry_run=dry_run)
    if opened is None:
        return Done()
    records, failures = Records(asked.requests[0].options.results), Failures(folder)
    work = work_of(opened, records=Briefs(records, numbers_of))
    lacking = {item.id: item for item in work.items}
    kept = failures.read() if dry_run else failures.tidy(lacking)
    reasons = reasons_of(opened, lacking, kept.values(), work.finished)
    items = chosen(o, work, opened, kept, reasons)
    if not dry_run:
        check_files(opened, items)
    if items and not (dry_run or o.collect):
        needed = needed_by(opened, work)
        check_room(needed, home=opened[0].bench.store.home, results=asked.requests[0].options.results)
    print_sweep(out, asked, opened, work, items, failures=kept, reasons=reasons, jobs=jobs)
    if o.only_failed and not items:
        out.print(f"nothing failed before, by {failures.folder}: without --only-failed the rest is made", markup=False)
    done = Done()
    if dry_run:
        return done
    records = Records(asked.requests[0].options.results)  # what was doubted before has been made again
    tracker = Sender(asked.requests[0].options.logger, opened[0].bench.store, records)
    if items:
        with marked(opened[0].bench.store.home):
            for request in {item.request for item in items}:
                opened[request].note_use()
            done = carry_out(o, asked, opened, Graph(items), failures, jobs, tracker)
    done.code = finish(o, asked, opened, records, failures, done, lacking, folder, file.stem)
    tracker.send(arm for one in opened for arm in one.arms)
    tracker.end()
    return done


def chosen(
    o: SweepOptions, work: Work, opened: Sequence[Opened], failed: dict[str, Failure], reasons: dict[str, Failure]
) -> list[Item]:
    """The items that this call is about.

    Parameters
    ----------
    failed : what failed before, by the item's id; `reasons` by the run id of the arm that has no record for it.
    """
    from benchmarks.sweep.graph import share
    from benchmarks.sweep.items import homes_of

    items = list(work.items)
    ids = {item.id for item in items}
    if o.collect:  # each judges what is there
        diverged = frozenset(run_id for run_id, why in reasons.items() if why.kind == "diverged")
        return [replace(item, without=diverged) for item in items if item.stage == "evaluate"]
    if o.only_failed:
        wanted = {one for one in failed if one in ids}
        for item in items:  # each stands after what it needs
            if item.needs & wanted or (item.stage == "evaluate" and item.waits & wanted):
                wanted.add(item.id)
        items = [item for item in items if item.id in wanted]
    if (part := share_of(o.item)) is not None:
        items = share(items, homes_of(opened), *part)
    return items


def carry_out(
    o: SweepOptions, asked: Sweep, opened: Sequence[Opened], graph: Graph, failures: Failures, jobs: int,
    tracker: Sender,
) -> Done:  # fmt: skip
    """Make the items, show how far it is, send records as they come, and keep what failed."""
    from benchmarks.sweep.failures import failure_of
    from benchmarks.sweep.graph import UNKNOWN
    from benchmarks.sweep.local import run_local
    from benchmarks.sweep.on_ray import run_ray
    from synthworth.progress import Progress

    done, seconds = Done(), sum(item.seconds or UNKNOWN for item in graph.items.values())
    with Progress(f"sweep, {len(graph.items)} items", max(1, round(seconds)), unit="s of work") as bar:
        counted = 0.0

        def settled(item: Item, answer: Any, lost: Sequence[Item]) -> None:
            nonlocal counted
            done.seconds[item.stage] = done.seconds.get(item.stage, 0.0) + answer.seconds
            if answer.fault is None:
                failures.forget(item)
                for stage, n in answer.made.items():
                    done.made[stage] = done.made.get(stage, 0) + n
                if item.stage == "evaluate":
                    tracker.send(opened[item.request].arms)
            elif answer.fault.kind == "skipped":
                done.skipped.append(failure_of(item, answer))
            else:
                done.failed.append(failures.add(item, answer))
            counted += sum(one.seconds or UNKNOWN for one in (item, *lost))
            bar.advance(round(counted) - bar.done, failed=len(done.failed))

        device = opened[0].bench.device
        common: dict[str, Any] = {"device": device, "settled": settled, "retries": o.retry}
        common["limits"] = limits_of(o.max_hours)
        if o.executor == "ray":
            run_ray(graph, asked.requests, address=o.ray_address, threads=max(1, o.jobs), **common)
        else:
            run_local(graph, asked.requests, jobs=jobs, **common)
    return done


def finish(
    o: SweepOptions, asked: Sweep, opened: Sequence[Opened], records: Any, failures: Failures, done: Done,
    items: dict[str, Item], folder: Path, title: str,
) -> int:  # fmt: skip
    """Records of what failed, the table, the figure, and what is printed at the end."""
    from benchmarks.job.briefs import Briefs
    from benchmarks.records.store import Records
    from benchmarks.report.tables import console
    from benchmarks.sweep.alone import sweep_up
    from benchmarks.sweep.collect import write_tables
    from benchmarks.sweep.failures import reasons_of, record_failures
    from benchmarks.sweep.plan import print_end
    from benchmarks.sweep.rows import axes_of, numbers_of, rows_of

    briefs = Briefs(Records(records.folder), numbers_of)  # what was doubted may have been made again
    every = dict.fromkeys(arm.spec.run_id for one in opened for arm in one.arms)
    finished = {run_id for run_id in every if briefs.find(run_id) is not None}
    kept = list(failures.read().values())
    reasons = reasons_of(opened, items, [*kept, *done.skipped], finished)
    record_failures(records, opened, reasons)
    rows = rows_of(asked, opened, records=briefs, reasons=reasons)
    briefs.keep()
    sweep_up(opened[0].bench.store.home)
    files = write_tables(rows, axes_of(rows, asked.axes), folder, title=title)
    print_end(console(), rows, done.made, done.seconds, done.failed, files)
    known = o.collect and any(why.kind != "skipped" for why in reasons.values())
    return FAILED if done.failed or known else OK


if __name__ == "__main__":
    sys.exit(guarded(main))
