"""The main job: `python -m benchmarks.run --generator latent_ddpm --ratio 0.5`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
import time
from collections.abc import Sequence

from benchmarks.request.options import parse
from synthworth.commands import FAILED, OK, guarded
from synthworth.registry import no_exit

STARTED = time.time()


def main(args: Sequence[str]) -> int:
    """Parse, carry out, print.

    Returns
    -------
    int
        The exit code.
    """
    request = parse(args, prog="python -m benchmarks.run")
    from benchmarks.job.carry_out import Outcome, carry_out
    from benchmarks.judging.later import complete
    from benchmarks.records.store import Records
    from benchmarks.report import elsewhere
    from benchmarks.report import tables as report
    from benchmarks.report.plan import print_expected, print_header, print_plan, print_stages
    from benchmarks.trackers.send import Sender
    from benchmarks.verdicts.over_trainings import entries_of, pooled_sentences
    from benchmarks.verdicts.ratio_by_val import by_val
    from synthworth.store import Store

    out, o = report.console(), request.options

    def begin(outcome: Outcome) -> None:
        said = outcome.precisions.said() if outcome.precisions else o.precision
        print_header(out, request, device=outcome.device, precision=said, workers=outcome.workers)
        print_expected(out, outcome.expected)
        out.file.flush()

    with no_exit():
        outcome = carry_out(request, begin=begin)
    if not outcome.data_ready:
        out.print(f"dataset {o.dataset} is not prepared yet: everything is to do")
    print_plan(out, outcome.plan)
    if o.dry_run:
        print_stages(out, outcome.expected)
        return OK
    shown = [complete(entry, plugins=o.plugin) for entry in entries_of(Records(o.results), outcome.records)]
    report.print_arms(out, shown)
    report.print_fidelity(out, shown)
    report.print_privacy(out, outcome.records)
    elsewhere.print_elsewhere(out, outcome.records)
    elsewhere.print_robustness(out, outcome.records)
    report.print_timings(out, outcome.seconds, outcome.made, wall=time.time() - process_start())
    judged = report.judged(outcome.records, generator=o.generator)
    report.print_comparisons(out, [r if r in judged else report.against_none(r) for r in outcome.records])
    report.print_verdicts(out, judged)
    elsewhere.print_verdicts_elsewhere(out, judged)
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
    return FAILED if outcome.failed else OK


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
