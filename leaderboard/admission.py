"""Whether a record may be submitted, and which of its pictures may be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.records.load import RECORD
from benchmarks.records.predictions import PREDICTIONS, Entry
from benchmarks.records.seal import SEAL, Broken, changed_files
from benchmarks.records.shape import FINISHED, reason_of
from benchmarks.records.terms import licence_by_name
from benchmarks.report.figures.features import POINTS
from benchmarks.request.spec import is_zero_line
from benchmarks.verdicts.recheck import recheck
from leaderboard.suite import Suite

REQUIRED = ("none", "duplicate")
"""Controls that an arm must have been compared with, where it is no control itself."""
HARMLESS = ("reliability.png", "worth.png", "decision.png", "sharing.png", "features.png", POINTS)
"""Pictures without an image of a patient in them, and the numbers behind one."""


def why_refused(entry: Entry, there: Mapping[str, Entry], suite: Suite) -> str | None:
    """Why a record cannot be submitted: the first reason; None where it can.

    Parameters
    ----------
    there : what is submitted with it, or lies where it goes, by run id.
    """
    if entry.record["status"] != FINISHED:
        return f"the run did not finish: {reason_of(entry.record)}"
    return next(_reasons(entry, there, suite), None)


def _reasons(entry: Entry, there: Mapping[str, Entry], suite: Suite) -> Iterator[str]:
    record, spec = entry.record, entry.spec
    if why := suite.why_not(spec):
        yield f"it is not of the suite {suite.name}: {why}"
    yield from _of_files(entry)
    if "seconds" in record["training"]["stopped"]:
        yield "a training was stopped by seconds: another machine would train another classifier"
    commit = record["provenance"].get("commit")
    if not commit or str(commit).endswith("+"):
        yield f"its commit is {commit or 'not known'}: it must be made by a version that others have, without changes"
    yield from _of_controls(entry, there)
    checked = recheck(entry, {i: one for i, one in there.items() if i in _named(entry)})
    if checked.contradicted:
        yield f"it says another thing than its predictions: {checked.contradicted[0]}"
    if checked.unchecked:
        yield f"its statistics cannot be made again: {checked.unchecked}"


def _of_files(entry: Entry) -> Iterator[str]:
    if not (entry.folder / SEAL).is_file():
        yield f"it has no {SEAL}: nothing says that its files are those that were written"
    if not (entry.folder / PREDICTIONS).is_file():
        yield f"{PREDICTIONS} is missing beside it"
    try:
        if changed := changed_files(entry.folder, record=RECORD):
            yield f"{changed[0]} has changed since it was written: its sha256 is not the one in {SEAL}"
    except Broken as reason:
        yield f"it {reason}"


def _of_controls(entry: Entry, there: Mapping[str, Entry]) -> Iterator[str]:
    rows = entry.record["comparisons"]
    if not entry.record["is_control"] and not is_zero_line(entry.spec):
        for name in REQUIRED:
            if name not in rows:
                yield f"it was not compared with {name}"
    for name, row in rows.items():
        if row["run_id"] not in there:
            yield f"the record of {name} ({row['run_id'][:16]}), which it was compared with, is not submitted with it"


def _named(entry: Entry) -> set[str]:
    """Run ids of the records that its numbers were made with."""
    positive = entry.record.get("positive_control")
    found = {row["run_id"] for row in entry.record["comparisons"].values()}
    return found | ({positive["run_id"]} if positive else set())


def pictures_of(entry: Entry, *, allowed: bool) -> list[str]:
    """Names of the pictures beside a record that go with it: those of images only where the licence lets them be shown.

    Parameters
    ----------
    allowed : whether the submitter says that they may be, of a dataset whose licence is not known.
    """
    shown = allowed or licence_by_name(entry.spec) is not None
    found = [*entry.folder.glob("*.png"), entry.folder / POINTS]
    pictures = sorted(file.name for file in found if file.is_file())
    return [one for one in pictures if shown or one in HARMLESS]
