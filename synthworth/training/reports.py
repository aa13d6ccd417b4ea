"""What a fit reports, put together from what its phases or models report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthworth.cost import join_costs
from synthworth.training.loop import PhaseReport
from synthworth.work import FitReport


def report_of(phase: PhaseReport, *, batch: int, facts: Mapping[str, Any] | None = None) -> FitReport:
    """The report of a fit that is one phase of steps over `batch` images."""
    seen = phase.steps * batch
    return FitReport(phase.steps, seen, phase.seconds, phase.stopped, phase.history, facts or {}, phase.cost)


def join_reports(
    reports: Sequence[FitReport], *, label: str, first: int, facts: Mapping[str, Any], counting_on: bool = False
) -> FitReport:
    """One report of fits that followed each other: sums and all loss curves.

    It was stopped by "seconds" where any was cut short, else by the first other reason than "steps" that there is.

    Parameters
    ----------
    label, first : each row of a curve says under `label` which fit it is of, counted from `first`.
    counting_on : a fit's steps are counted on from those of the fits before it, instead of from 1 again.
    """
    reasons = [report.stopped for report in reports if report.stopped != "steps"] or ["steps"]
    history: list[Mapping[str, float]] = []
    done = 0
    for number, report in enumerate(reports, start=first):
        start = done if counting_on else 0
        history += [{label: float(number), **row, "step": row["step"] + start} for row in report.history]
        done += report.steps
    return FitReport(
        steps=done,
        images_seen=sum(report.images_seen for report in reports),
        seconds=sum(report.seconds for report in reports),
        stopped="seconds" if "seconds" in reasons else reasons[0],
        history=tuple(history),
        facts=facts,
        cost=join_costs([report.cost for report in reports if report.steps]),
    )


def report_phases(phases: Sequence[PhaseReport], batches: Sequence[int], *, facts: Mapping[str, Any]) -> FitReport:
    """One `FitReport` of a fit in phases, each with its batch; rows of several phases carry `stage` 1, 2, ..."""
    reports = [report_of(phase, batch=batch, facts=facts) for phase, batch in zip(phases, batches, strict=True)]
    return reports[0] if len(reports) == 1 else join_reports(reports, label="stage", first=1, facts=facts)
