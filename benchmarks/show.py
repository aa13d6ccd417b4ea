"""One record in full: `python -m benchmarks.show RUN_ID`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.markup import escape

from benchmarks.judging.later import complete
from benchmarks.records.predictions import Entry
from benchmarks.records.seal import SEAL, changed_files, read_seal
from benchmarks.records.shape import FINISHED, reason_of
from benchmarks.records.store import RECORD, Records
from benchmarks.report.columns import fidelity_columns
from benchmarks.report.decision import print_decision, print_net_benefit
from benchmarks.report.elsewhere import print_elsewhere, print_robustness, print_verdicts_elsewhere
from benchmarks.report.footnotes import Notes
from benchmarks.report.tables import P_TITLE, console, number, print_places, print_verdicts, table
from benchmarks.verdicts.copying import copying_sentences
from benchmarks.verdicts.explain import explain
from benchmarks.verdicts.recheck import recheck
from benchmarks.verdicts.sentences import reader_sentence, tuned_sentence
from synthworth.commands import OK, guarded
from synthworth.cost import cost_in_words
from synthworth.registry import load_plugin_file

logger = logging.getLogger(__name__)
UNSEALED = (
    f"without {SEAL}: what its predictions do not give (rates at a threshold, fidelity, privacy, subgroups, counts, "
    "cost) is shown as it stands"
)


@dataclass(frozen=True)
class ShowOptions:
    """Print a record: every metric with its interval, the comparisons, the counts, the cost, where it was made."""

    run_id: Annotated[str, tyro.conf.Positional]
    """The run's id, or its first digits."""
    results: Path = Path("results/runs")
    """Folder of the records."""
    plugin: tuple[Path, ...] = ()
    """Python files that register metrics: what the record lacks of them is computed from its stored predictions."""
    json: bool = False
    """Print the record as it is stored, in the present schema."""
    explain: bool = False
    """Print how the verdict was reached, step by step."""


def main(args: Sequence[str]) -> int:
    """Print one record."""
    options = tyro.cli(ShowOptions, args=list(args), prog="python -m benchmarks.show")
    for plugin in options.plugin:
        load_plugin_file(plugin)
    records = Records(options.results)
    record = records.match(options.run_id)
    if options.json:
        for line in _doubts(records, record)[1]:
            logger.warning("%s", line)
        print(json.dumps(record, indent=1))
        return OK
    out = console()
    out.print(f"{record['name']}  {record['run_id']}  {record['status']}", markup=False)
    if record["status"] != "ok":
        out.print(reason_of(record), markup=False)
        return OK
    record, doubted, remarks = _doubts(records, record)
    for line in (*doubted, *remarks):
        out.print(line, markup=False, soft_wrap=True)
    if doubted:
        record = {**record, "verdict": f"{record['name']}: none, as the record is not believed (see above)"}
    if options.explain:
        for line in [f"VERDICT  {record['verdict']}"] if doubted else explain(record):
            out.print(line, markup=False, soft_wrap=True)
        return OK
    record = complete(Entry(record, records.path(record["run_id"])), plugins=options.plugin)
    if tuned := record["spec"].get("tuned"):
        out.print(f"TUNED    {tuned_sentence(tuned)}", markup=False, soft_wrap=True)
    _print_metrics(out, record)
    _print_by_class(out, record)
    _print_comparisons(out, record)
    print_elsewhere(out, [record])
    print_robustness(out, [record])
    print_subgroups(out, record)
    print_decision(out, record)
    _print_counts(out, record)
    fits = {"classifiers"} if "classifiers" in record["cost"] else set()
    for title, part in (
        ("spec", record["spec"]),
        ("cost", {name: value for name, value in record["cost"].items() if name not in fits}),
        ("provenance", record["provenance"]),
    ):
        out.print(title, style="bold")
        out.print_json(json.dumps(part))
    _print_fits(out, record["cost"])
    for line in copying_sentences(record):
        out.print(f"COPIES   {line}", markup=False, soft_wrap=True)
    if again := record.get("reanalysed"):
        kept = ", ".join(again["kept"])
        out.print(f"judged again; as analysis {again['from_analysis']} had them: {kept}", markup=False, soft_wrap=True)
    for found in record.get("readers", ()):
        out.print(f"READER   {reader_sentence(found)}", markup=False, soft_wrap=True)
    for line in record["audit"]["warnings"]:
        out.print(f"audit: {line}", markup=False)
    print_verdicts(out, [record])
    if not doubted:
        print_verdicts_elsewhere(out, [record])
    print_net_benefit(out, [record])
    print_places(out, options.results, [record])
    return OK


def _doubts(records: Records, record: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """The record in the words that its numbers come to; lines on what of it is not believed, and further remarks.

    A remark says what could not be checked, or has changed beside it.
    """
    if record["status"] != FINISHED:
        return record, [], []
    entry = Entry(record, records.path(record["run_id"]))
    found, changed = recheck(entry, records.beside(entry)), changed_files(entry.folder, record=RECORD)
    remarks = [f"{name} has changed since it was written with the record" for name in changed]
    remarks += [f"not checked against the predictions: {found.unchecked}"] if found.unchecked else []
    if read_seal(entry.folder) is None:
        remarks.append(UNSEALED)
    doubts = [f"NOT BORNE OUT BY THE PREDICTIONS  {line}" for line in found.contradicted]
    return dict(found.record), doubts, remarks


def _print_metrics(out: Any, record: dict[str, Any]) -> None:
    for part in ("utility", "fidelity", "privacy"):
        made, notes = table(part, ("metric", "value", "n", "better", "floor", "note")), Notes()
        for name, value in record.get(part, {}).items():
            made.add_row(
                escape(name), number(value, 4), str(value["n"]), value["direction"],
                _floor(value), f"({notes.mark(value['note'])})" if value["note"] else "",
            )  # fmt: skip
        if made.row_count:
            out.print(made)
        for note, mark in notes.marks.items():
            out.print(f"({mark}) {note}", markup=False, soft_wrap=True)


def _floor(value: dict[str, Any]) -> str:
    """`4.1`; where it stands on fewer images `4.1 @624`, and what the arm has at as many: `4.1 @624 (arm 9.7)`."""
    extra = value["extra"]
    if extra.get("floor") is None:
        return ""
    fewer = f" @{extra['floor_n']}" if extra["floor_n"] != value["n"] else ""
    beside = f" (arm {extra['at_floor_n']:.4g})" if extra.get("at_floor_n") is not None else ""
    return f"{extra['floor']:.4g}{fewer}{beside}"


def _print_by_class(out: Any, record: dict[str, Any]) -> None:
    """Fidelity of each class alone, and below it the same numbers of real test images of the class."""
    columns = fidelity_columns()
    for extractor, rows in record.get("fidelity_by_class", {}).items():
        shown = [m for m in columns if all(m in row for row in rows.values())]
        made = table(f"fidelity by class, {extractor}", ("class", "n", "real", *(columns[m] for m in shown)))
        for name, row in rows.items():
            made.add_row(escape(name), str(row["n"]), str(row["n_real"]), *(_short(row[m]) for m in shown))
            floors = (_short(row[f"{m}_floor"]) for m in shown)
            made.add_row("  real test images", str(row["floor_n"]), "", *floors, style="dim")
        out.print(made)
        if any(row["floor_n"] < row["n"] for row in rows.values()):
            out.print(
                "where real test images of a class are fewer, only KD, precision and density compare", soft_wrap=True
            )
        for note in dict.fromkeys(row["note"] for row in rows.values() if row["note"]):
            out.print(f"null: {note}", markup=False)


def _short(number: float | None) -> str:
    return "null" if number is None else f"{number:.4g}"


def _print_comparisons(out: Any, record: dict[str, Any]) -> None:
    made = table("AUROC, paired difference", ("against", "difference", "95 % interval", P_TITLE))
    for control, row in record["comparisons"].items():
        made.add_row(
            escape(control), f"{row['difference']:+.4f}", f"[{row['low']:+.4f}, {row['high']:+.4f}]",
            f"{row['p_interval']:.3f}",
        )  # fmt: skip
    if made.row_count:
        out.print(made)


def print_subgroups(out: Any, record: Mapping[str, Any]) -> None:
    """AUROC of every group of test images, its difference to real images alone, and the worst-group gap."""
    for attribute, found in record.get("subgroups", {}).items():
        made = table(f"AUROC by {attribute}", ("group", "images", "patients", "AUROC", "minus none", "note"))
        for name, row in found["groups"].items():
            made.add_row(
                escape(name), str(row["n_images"]), str(row["n_patients"]), number({**row, "value": row["auroc"]}),
                _signed(row["against_none"]), escape(row["note"] or ""),
            )  # fmt: skip
        gap = found["gap"]
        pair = f"gap, {gap['best']} over {gap['worst']}" if gap["best"] else "gap"
        made.add_row(escape(pair), "", "", number(gap), _signed(gap["against_none"]), escape(gap["note"] or ""))
        out.print(made)
        wider = gap["against_none"]
        if wider and [wider["best"], wider["worst"]] != [gap["best"], gap["worst"]]:
            out.print(f"gap minus none: {wider['best']} over {wider['worst']}, widest in both together", markup=False)
        if found["note"]:
            out.print(f"by {attribute}: {found['note']}", markup=False)


def _signed(row: Mapping[str, Any] | None) -> str:
    return "" if row is None else f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"


def _print_fits(out: Any, cost: Mapping[str, Any]) -> None:
    """One line a fit: what was seen, operations an image, speed, share of the device's peak, energy."""
    fits = [("generator", cost["fit"]["cost"])] if cost.get("fit", {}).get("cost") else []
    fits += [(f"classifier {number}", found) for number, found in enumerate(cost.get("classifiers", ())) if found]
    for name, found in fits:
        out.print(f"COST     {name}: {cost_in_words(found)}", markup=False, soft_wrap=True)


def _print_counts(out: Any, record: dict[str, Any]) -> None:
    made = table("training images by class", ("class", "real", record.get("added") or "added"))
    for name in record["classes"]:
        made.add_row(escape(name), *(str(record["counts"][kind][name]) for kind in ("real", "synthetic")))
    out.print(made)


if __name__ == "__main__":
    sys.exit(guarded(main))
