"""A record's run carried out again, and what differs: `python -m benchmarks.reproduce RECORD.json`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import itertools
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthworth.commands import FAILED, OK, guarded
from synthworth.errors import UserError, bounded

PROG = "python -m benchmarks.reproduce"
USAGE = f"""usage: {PROG} RECORD.json [flags of benchmarks.run]

Carry out the run of a record again and say, field by field, what differs: to the bit, within the record's interval, or
not. Flags say what a record does not hold: where the images and files lie (--data.path, --gen.autoencoder, ...), the
device, the workers. By default nothing that is stored is used, and the new record goes to results/again.

RECORD.json     a record, or the folder it lies in
--results DIR   folder of the new records (default: results/again)
--home DIR      folder of what is computed (default: .synthworth-again); a second call goes on there
--every         print every field that differs, not the first of each part only

What came of it is noted in the folder `reproduced` beside the record's, and shown by leaderboards that are built on
this machine.
"""
RESULTS, HOME = Path("results/again"), Path(".synthworth-again")


def main(args: Sequence[str]) -> int:
    """Read the record, carry it out, compare.

    Returns
    -------
    int
        0 where every field is the same or within its interval, else 1.
    """
    if not args or {"-h", "--help"} & set(args):
        print(USAGE)
        return OK if args else 2
    file, flags = Path(args[0]), [a for a in args[1:] if a != "--every"]
    if args[0].startswith("-"):
        raise UserError(f"{args[0]} stands first: name the record before the flags")
    file = file / "record.json" if file.is_dir() else file
    record = read(file)
    for flag, folder in (("--results", RESULTS), ("--home", HOME)):
        if not any(a == flag or a.startswith(f"{flag}=") for a in flags):
            flags += [flag, str(folder)]
    results = Path(value_of("--results", flags))
    if results.resolve() in file.resolve().parents:
        raise UserError(
            f"{file} lies in {results}, where the new record would go: it would be compared with itself. Name another "
            "folder with --results"
        )
    was = what_lies_at(file)
    made = carry_out_again(record, flags, beside=beside(record, file))
    outcome = say(record, made, every="--every" in args)
    keep(file, was, record, made)
    return outcome


def what_lies_at(file: Path) -> tuple[str, str]:
    """Digest of a record's file, and of it with its predictions."""
    from benchmarks.records.reproduced import content_of
    from synthworth.keys import sha256_of

    sha256 = sha256_of([file.read_bytes()])
    return sha256, content_of(file.absolute().parent, sha256)


def keep(file: Path, was: tuple[str, str], record: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Note what came of it beside the record; say where, or why it cannot be.

    Parameters
    ----------
    was : of `what_lies_at`, before the run.
    """
    from benchmarks.records.reproduced import Note, write_note
    from benchmarks.report.tables import console
    from benchmarks.verdicts.agreement import disagreeing, fields_of
    from synthworth.errors import CANNOT_WRITE

    fields = fields_of(record, made)
    words, about, wrong = Counter(field.word for field in fields), made["provenance"], len(disagreeing(fields))
    added = sum(field.was is None for field in fields if field.word == "other")
    machine = about["gpu"] if about["device"].startswith("cuda") else about["processor"]
    note = Note(
        run_id=record["run_id"], name=record["name"], record_sha256=was[0],
        content=was[1], agreed=not wrong, n_fields=words.total(),
        n_same=words["same"], n_within=words["within"],
        n_added=added, commit=about["commit"], synthworth=about["synthworth"],
        machine=f"{machine}, {about['n_cores']} cores", when=about["when"],
    )  # fmt: skip
    out = console()
    try:
        out.print(f"noted in {write_note(file.absolute().parent.parent, note)}", markup=False, soft_wrap=True)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        out.print(f"not noted: {error}", markup=False, soft_wrap=True)


def value_of(flag: str, flags: Sequence[str]) -> str:
    """The value of a flag, the last one where it is given twice."""
    found = [b for a, b in itertools.pairwise(flags) if a == flag]
    found += [a.partition("=")[2] for a in flags if a.startswith(f"{flag}=")]
    return found[-1] if found else ""


def read(file: Path) -> dict[str, Any]:
    """A finished record, wherever it lies."""
    from benchmarks.records.load import Unreadable, load_record
    from benchmarks.records.shape import FINISHED, reason_of

    try:
        record = load_record(file, at_home=False)
    except Unreadable as reason:
        raise UserError(f"{file} {reason}") from reason
    if record["status"] != FINISHED:
        raise UserError(f"{file} is no finished record: {bounded(reason_of(record))}. There is nothing to reproduce")
    return record


def beside(record: Mapping[str, Any], file: Path) -> list[Mapping[str, Any]]:
    """Specs of the arms that a record was judged beside, of those whose records lie in the same folder."""
    from benchmarks.records.store import Records

    shelf = Records(file.absolute().parent.parent)
    rows = [*record["comparisons"].values(), *filter(None, [record.get("positive_control")])]
    found = {row["run_id"]: shelf.find(row["run_id"]) for row in rows}
    return [other["spec"] for other in found.values() if other is not None]


def carry_out_again(
    record: Mapping[str, Any], flags: Sequence[str], *, beside: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The record of the same run, made here.

    Parameters
    ----------
    beside : specs of the arms that it was judged beside.

    Raises
    ------
    UserError
        Where what is installed here, the flags or the images make another run of it; names the fields.
    """
    from benchmarks.job.carry_out import carry_out
    from benchmarks.report.plan import print_expected
    from benchmarks.report.tables import console
    from benchmarks.request.again import request_again

    request = request_again(record["spec"], flags, prog=PROG, beside=beside)

    def check(specs: Sequence[Any]) -> None:
        if record["run_id"] not in {spec.run_id for spec in specs}:
            raise UserError(why_another(record, [spec.to_json() for spec in specs]))

    def begin(outcome: Any) -> None:
        print_expected(console(), outcome.expected)

    outcome = carry_out(request, begin=begin, check=check)
    for made in outcome.records:
        if made["run_id"] == record["run_id"]:
            return made
    failed = next((f"{f['name']}: {f['error']}" for f in (*outcome.failed, *outcome.skipped)), "no record came of it")
    raise UserError(f"{record['name']} failed here where it did not there: {bounded(failed)}")


def why_another(record: Mapping[str, Any], specs: Sequence[Mapping[str, Any]]) -> str:
    """What of a spec is another here, in one line: of the arm that differs in the fewest fields."""
    was = record["spec"]

    def differing(spec: Mapping[str, Any]) -> list[str]:
        return [name for name in {**was, **spec} if was.get(name) != spec.get(name)]

    nearest = min(specs, key=lambda spec: len(differing(spec)))

    def told(name: str) -> str:
        here, there = (bounded(json.dumps(spec.get(name))) for spec in (nearest, was))
        return f"{name} is {here} here and {there} in the record"

    wrong = "; ".join(told(name) for name in differing(nearest))
    return (
        f"{record['name']} cannot be run again as it was: {wrong}. Take out flags that ask for another, and use the "
        "images and the version that it names"
    )


def say(record: Mapping[str, Any], made: Mapping[str, Any], *, every: bool) -> int:
    """Print what agrees and what does not; the exit code, which is that of the note: FAILED where it disagrees."""
    from benchmarks.report.tables import console, table
    from benchmarks.verdicts.agreement import disagreeing, fields_of

    out, fields = console(), fields_of(record, made)
    counts = Counter((field.path[0], field.word) for field in fields)
    shown_counts = table("fields", ("part", "to the bit", "within the interval", "other"))
    for part in dict.fromkeys(field.path[0] for field in fields):
        shown_counts.add_row(part, *(str(counts[part, word]) for word in ("same", "within", "other")))
    out.print(f"{record['name']}  {record['run_id']}", markup=False)
    out.print(shown_counts)
    others = [field for field in fields if field.word == "other"]
    shown = others if every else list({field.path[0]: field for field in reversed(others)}.values())[::-1]
    for field in shown:
        was, now = (bounded(json.dumps(value)) for value in (field.was, field.now))
        out.print(f"{'.'.join(field.path)}: {was} -> {now}", markup=False, soft_wrap=True)
    n, wrong = Counter(field.word for field in fields), disagreeing(fields)
    rest = len(others) - len(wrong)
    out.print(
        f"REPRODUCED {'to the bit' if n['same'] == len(fields) else 'not to the bit'}: {n['same']} of {len(fields)} "
        f"fields the same, {n['within']} within the record's intervals, {n['other']} other"
        + (f", of which {rest} contradict nothing (the record lacks them, or a last digit differs)" if rest else ""),
        style="bold", markup=False, soft_wrap=True,
    )  # fmt: skip
    return FAILED if wrong else OK


if __name__ == "__main__":
    sys.exit(guarded(main))
