"""The main job: `python -m benchmarks.run --generator latent_ddpm --ratio 0.5`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.request.families import parse_each
from synthworth.commands import FAILED, OK, guarded
from synthworth.registry import no_exit

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.job.carry_out import Outcome
    from benchmarks.request.options import Request

STARTED = time.time()


def main(args: Sequence[str]) -> int:
    """Parse, carry out, print; several classifiers one after the other, and then what they come to together.

    Returns
    -------
    int
        The exit code.
    """
    requests = parse_each(args, prog="python -m benchmarks.run")
    from benchmarks.job.opened import begin_request
    from benchmarks.report.families import one_plan, one_time
    from benchmarks.report.plan import print_plan, print_stages
    from benchmarks.report.tables import console

    out, names = console(), [request.options.classifier for request in requests]
    with no_exit():
        for request in requests[1:]:
            begin_request(request)  # what is wrong with a later one is said before an earlier one is trained
    outcomes: list[Outcome] = []
    for request in requests:
        began = time.time() if outcomes else process_start()
        outcomes.append(_carried_out(out, request))
        if not request.options.dry_run:
            _print_outcome(out, request, outcomes[-1], began=began)
    o = requests[0].options
    if o.dry_run:
        plans = list(zip(names, (outcome.plan for outcome in outcomes), strict=True))
        print_plan(out, plans[0][1] if len(plans) == 1 else one_plan(plans))
        print_stages(out, one_time([outcome.expected for outcome in outcomes]))
        return OK
    if len(requests) > 1:
        _print_over(out, requests, outcomes)
    return FAILED if any(outcome.failed for outcome in outcomes) else OK


def _carried_out(out: Console, request: Request) -> Outcome:
    """One request carried out; its first lines before, and its plan unless it is one of several that are not begun."""
    from benchmarks.job.carry_out import carry_out
    from benchmarks.report.plan import print_expected, print_header, print_plan

    o = request.options

    def begin(outcome: Outcome) -> None:
        said = outcome.precisions.said() if outcome.precisions else o.precision
        print_header(out, request, device=outcome.device, precision=said, workers=outcome.workers)
        print_expected(out, outcome.expected)
        out.file.flush()

    with no_exit():
        outcome = carry_out(request, begin=begin)
    if not outcome.data_ready:
        out.print(f"dataset {o.dataset} is not prepared yet: everything is to do")
    if not o.dry_run:
        print_plan(out, outcome.plan)
    return outcome


def _print_outcome(out: Console, request: Request, outcome: Outcome, *, began: float) -> None:
    """What one request came to, and its records sent to a tracker that was asked for."""
    from benchmarks.judging.later import complete
    from benchmarks.records.store import Records
    from benchmarks.report import elsewhere
    from benchmarks.report import tables as report
    from benchmarks.report.decision import print_net_benefit
    from benchmarks.trackers.send import Sender
    from benchmarks.verdicts.over_trainings import entries_of, pooled_sentences
    from benchmarks.verdicts.ratio_by_val import by_val
    from synthworth.store import Store

    o = request.options
    shown = [complete(entry, plugins=o.plugin) for entry in entries_of(Records(o.results), outcome.records)]
    report.print_arms(out, shown)
    report.print_fidelity(out, shown)
    report.print_privacy(out, outcome.records)
    elsewhere.print_elsewhere(out, outcome.records)
    elsewhere.print_robustness(out, outcome.records)
    report.print_timings(out, outcome.seconds, outcome.made, wall=time.time() - began)
    judged = report.judged(outcome.records, generator=o.generator)
    report.print_comparisons(out, [r if r in judged else report.against_none(r) for r in outcome.records])
    report.print_verdicts(out, judged)
    elsewhere.print_verdicts_elsewhere(out, judged)
    print_net_benefit(out, judged)
    for line in by_val(outcome.records, generator=o.generator):
        out.print(f"RATIO    {line}", style="bold", markup=False, soft_wrap=True)
    for line in pooled_sentences(entries_of(Records(o.results), outcome.records), outcome.aurocs):
        out.print(f"VERDICT  {line}", style="bold", markup=False, soft_wrap=True)
    report.print_places(out, o.results, outcome.records)
    for record in outcome.skipped:
        out.print(f"SKIPPED {record['name']}: {record['error']}", style="bold yellow", markup=False, soft_wrap=True)
    for record in outcome.failed:
        out.print(f"FAILED {record['name']}: {record['error']}", style="bold red", markup=False)
    tracker = Sender(o.logger, Store.open(o.home), Records(o.results))
    tracker.send(outcome.arms)
    tracker.end()


def _print_over(out: Console, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
    """What the classifiers of a call come to together: a table, and a verdict on each arm of the generator."""
    from benchmarks.records.store import Records
    from benchmarks.report.families import print_families
    from benchmarks.verdicts.over_families import family_of, family_sentences, over_classifiers
    from benchmarks.verdicts.over_trainings import entries_of
    from synthworth.keys import plain

    o = requests[0].options
    entries = entries_of(Records(o.results), [record for outcome in outcomes for record in outcome.records])
    known = {run_id: one for outcome in outcomes for run_id, one in outcome.aurocs.items()}
    asked = [family_of({"classifier": r.options.classifier, "clf": plain(r.clf)}) for r in requests]
    found = over_classifiers(entries, known, together=True, asked=asked)
    out.print()
    if not found:
        out.print("no verdict over classifiers: no arm was finished and compared with two of them", markup=False)
    print_families(out, found)
    for line in family_sentences([over for over in found if over.is_of(o.generator)] or found):
        out.print(f"VERDICT  {line}", style="bold", markup=False, soft_wrap=True)


def process_start() -> float:
    """When this process began (seconds since the epoch), interpreter and imports included.

    That is where the system says so (Linux); elsewhere it is when this module was imported.
    """
    try:
        with (
            open("/proc/self/stat", encoding="ascii") as stat,
            open("/proc/uptime", encoding="ascii") as uptime,
        ):
            import os

            ticks = int(stat.read().rpartition(")")[2].split()[19])
            alive = float(uptime.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - alive
    except FileNotFoundError:
        return STARTED


if __name__ == "__main__":
    sys.exit(guarded(main))
