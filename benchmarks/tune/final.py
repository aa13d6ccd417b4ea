"""What a search found, run on test once as any other run, and compared with what was not searched."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.job.carry_out import carry_out
from benchmarks.records.predictions import Entry
from benchmarks.records.store import Records
from benchmarks.request.options import Request
from benchmarks.tune.slots import by_slot
from benchmarks.tune.space import Side
from benchmarks.tune.study import best_of, finished
from benchmarks.verdicts.two_runs import compare_runs, sentences
from synthworth.errors import UserError
from synthworth.keys import plain

if TYPE_CHECKING:
    from optuna.study import Study


@dataclass
class Final:
    """What the runs on test came to.

    Parameters
    ----------
    records : of all runs, none twice, in the order they were made.
    failed : records of those that did not finish.
    tuned, untuned, remedy : of the arms that are compared; None where one failed or was not asked for.
    compared : lines on the comparisons, and the comparisons.
    """

    records: list[Mapping[str, Any]] = field(default_factory=list)
    failed: list[Mapping[str, Any]] = field(default_factory=list)
    tuned: Mapping[str, Any] | None = None
    untuned: Mapping[str, Any] | None = None
    remedy: Mapping[str, Any] | None = None
    lines: list[str] = field(default_factory=list)
    compared: dict[str, dict[str, Any]] = field(default_factory=dict)


def untuned_of(request: Request) -> Request:
    """The generator as it was asked for, at the first ratio."""
    options = dataclasses.replace(request.options, ratio=request.options.ratio[:1])
    return dataclasses.replace(request, options=options)


def tuned_of(side: Side, study: Study) -> Request:
    """The request of the best trial: all its trainings, controls and measures; it was chosen among all of the study."""
    trials = len(by_slot(study.get_trials(deepcopy=False)))
    return side.asked(side.values_of(best_of(study).params), trials=trials)


def run_on_test(request: Request, sides: Sequence[Side], studies: Sequence[Study]) -> Final:
    """Run the untuned generator, the tuned one and the best remedy, and compare them on test."""
    final = Final()
    final.untuned = _carried_out(untuned_of(request), final, tuned=False)
    for side, study in zip(sides, studies, strict=True):
        record = _carried_out(tuned_of(side, study), final, tuned=True)
        if side.arm:
            final.tuned = record
        else:
            final.remedy = record
    results = Records(request.options.results)
    for name, other in (("untuned", final.untuned), ("remedy", final.remedy)):
        if final.tuned is not None and other is not None:
            _compare(results, final, name, other, margin=request.options.margin)
    return final


def _carried_out(request: Request, final: Final, *, tuned: bool) -> Mapping[str, Any] | None:
    """The record of the arm that the request is about."""
    outcome, o = carry_out(request), request.options
    known = {record["run_id"] for record in final.records}
    final.records += [record for record in outcome.records if record["run_id"] not in known]
    final.failed += [*outcome.failed]
    for record in outcome.records:
        of = bool(record["spec"].get("tuned")) if tuned else record["spec"]["generator"] == o.generator
        if of and record["status"] == "ok":
            return record
    return None


def _compare(results: Records, final: Final, name: str, other: Mapping[str, Any], *, margin: float) -> None:
    assert final.tuned is not None
    entries = [Entry(record, results.path(record["run_id"])) for record in (final.tuned, other)]
    try:
        row = compare_runs(*entries, margin=margin)
    except UserError as reason:
        final.lines.append(f"not compared: {reason}")
        return
    final.compared[name] = row
    *how, said = sentences(row)
    final.lines += [*how, f"TUNED    {said}"]


def best_of_side(side: Side, study: Study) -> dict[str, Any]:
    """The best trial as JSON: its place among all, its value and facts, the options it found, and the steps of its fit.

    `options` are the flags of a run without their dashes (`gen.lr`); a value that is a tuple is a list.
    """
    best, trials = best_of(study), finished(study)
    values = side.values_of(best.params)
    asked = side.asked(values, trials=len(trials))
    return {
        "study": side.study, "trial": 1 + [trial.number for trial in trials].index(best.number),
        "trials": len(trials), "by": side.by.name, "features": side.extractor or None, side.by.column: best.value,
        **{name: best.user_attrs.get(name) for name in side.facts}, "options": plain(values),
        "fit": plain(asked.options.fit) if side.arm else None,
    }  # fmt: skip


def best_to(out: Path, sides: Sequence[Side], studies: Sequence[Study]) -> list[Path]:
    """Write the best trial of each study, where nothing is run on test; the files."""
    from synthworth.artifacts import write_json

    write_json(out / "tuned.json", {"best": [best_of_side(*pair) for pair in zip(sides, studies, strict=True)]})
    return [out / "tuned.json"]


def files_of(final: Final, out: Path, sides: Sequence[Side], studies: Sequence[Study]) -> list[Path]:
    """Write the best trials, the run ids and the comparisons; the files."""
    from synthworth.artifacts import write_json

    runs = {name: None if r is None else {"run_id": r["run_id"], "name": r["name"], "spec": r["spec"]}
            for name, r in (("tuned", final.tuned), ("untuned", final.untuned), ("remedy", final.remedy))}  # fmt: skip
    best = [best_of_side(*pair) for pair in zip(sides, studies, strict=True)]
    write_json(out / "tuned.json", {"runs": runs, "compared": final.compared, "best": best})
    return [out / "tuned.json"]
