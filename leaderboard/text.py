"""How tables read: one page of Markdown, and one flat CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.records.shape import reason_of
from benchmarks.report.footnotes import Notes
from benchmarks.request.spec import NONE
from leaderboard.figures import Drawn
from leaderboard.quality import LEAST
from leaderboard.tables import FIDELITY, INTERVAL, NUMBERS, Number, Row, Table, added_columns
from synthworth.escape import csv_cell, markdown_text, picture_text

COLUMNS = {
    "auroc": "AUROC", "vs_none": "minus none", "p_none": "p", "holm_none": "Holm p",
    "vs_duplicate": "minus duplicate", "p_duplicate": "p", "worth": "worth", "auprc": "AUPRC",
    "balanced_accuracy": "balanced accuracy", "f1": "F1", "fid": "FID",
    "fd_efficientnet_lite0": "FD EfficientNet-Lite0", "class_consistency_auroc": "class consistency (AUROC)",
    "fit_seconds": "fit s", "draw_seconds_per_1000": "s per 1,000 images",
}  # fmt: skip
HOW_TO_READ = """## How to read this

- One table holds arms that can be compared: same real images, classifier, budget of optimiser steps and seeds.
- **AUROC** is the mean over classifier seeds, on test. Brackets are 95 % intervals over seeds and patients.
- **minus none** and **minus duplicate** are paired differences of AUROC: to real images alone, and to real images
  drawn again at the same ratio and mode. An interval that holds 0 shows no difference. **p** is that of the interval
  (seeds and patients): below 0.05 where the interval excludes 0. **Holm p** is the same, adjusted for all comparisons
  with none in the table.
- **verdict**: `helps` and `hurts` are said where the Holm p is below 0.05; `by less than 0.01` where the difference is
  smaller than the margin that makes none in use; `positive control not shown` where further real images were tried in
  the same experiment and are not shown to help either.
- **worth** is what one added image did, in real images: 1 is as good as a further real image, 0 does nothing. It is
  read off the learning curve of real images alone; an end that leaves the measured range is written `...`.
- **rank** goes by AUROC. Arms share the rank of the arm that heads their group unless the paired interval of the
  difference to it excludes 0. FID and its like never rank: they do not tell what images are worth.
- **FID** and **FD** (lower is closer to the real training images) are written `value @n (floor value @n)`: n images,
  and the same distance of n real test images. Compare numbers only at the same n: where test has fewer images than the
  arm, `arm value @n` is the distance of as many of the arm's images, to be read against the floor.
- **class consistency**: how well a classifier trained on real images alone sees the label that was asked for.
- **fit s** and **s per 1,000 images** are wall seconds on the machine named above the table.
- **Quality and usefulness**, below a table: Spearman's rank correlation of each fidelity number with the gain in AUROC
  over real images alone, signed so that +1 means the number tells what images are worth. Few arms give wide intervals.
- The CSV also holds the worst-group gap of each attribute (`gap_sex` and so on): AUROC of the best group of test images
  minus that of the worst. Its interval allows for the choice of the two; one that holds 0 shows no gap.
- (tuned) marks an arm whose options a search on val chose; the line above the table says among how many trials.
- (control) marks the fixed points that generators are read against. `null` is a missing number; the note says why.
"""


def markdown(
    tables: Sequence[Table],
    skipped: Sequence[str] = (),
    figures: Mapping[str, Sequence[Drawn]] | None = None,
    over: Sequence[str] = (),
) -> str:
    """Write the whole page.

    Parameters
    ----------
    skipped : which files are no records of this version.
    figures : by table key.
    over : what can be said of arms beyond one classifier, a line each.
    """
    parts = ["# Leaderboard\n", HOW_TO_READ, *(_table_text(t, (figures or {}).get(t.key, ())) for t in tables)]
    if over:
        parts.append("## Over several classifiers\n\n" + "".join(f"- {markdown_text(line)}\n" for line in over))
    if skipped:
        parts.append("## Not read\n\n" + "".join(f"- {markdown_text(line)}\n" for line in skipped))
    return "\n".join(parts)


def _table_text(table: Table, figures: Sequence[Drawn]) -> str:
    notes = Notes()
    lines = [f"## {markdown_text(table.heading)}", "", *(f"- {markdown_text(line)}" for line in table.facts), ""]
    if table.rows:
        columns = _columns()
        titles = ["rank", "arm", *columns.values(), "verdict"]
        lines += [f"| {' | '.join(titles)} |", f"|{'|'.join(['---:', '---', *['---:'] * len(columns), '---'])}|"]
        lines += [f"| {' | '.join(_cells(row, notes, columns))} |" for row in table.rows]
    else:
        lines.append("No arm of this setting has finished.")
    lines += ["", *(f"- ({mark}) {markdown_text(note)}" for note, mark in notes.marks.items())]
    if table.repeated:
        ids = ", ".join(i[:12] for i in table.repeated)
        lines.append(f"- the same arms with other extractors or controls, not counted twice: {ids}")
    said = [row.sentence for row in table.rows if row.standing.entry.spec["generator"] != NONE]
    if said:
        lines += ["", "Verdicts:", "", *(f"- {markdown_text(line)}" for line in said)]
    if table.pooled:
        lines += [
            "",
            "Over several trainings of a generator:",
            "",
            *(f"- {markdown_text(line)}" for line in table.pooled),
        ]
    if table.quality:
        lines += ["", *_quality_text(table)]
    for figure in figures:
        lines += ["", f"![{picture_text(f'{figure.title}: {table.heading}')}]({figure.path})"]
    if table.failed:
        lines += ["", "Not finished:", ""]
        lines += [
            f"- {markdown_text(r['name'])} ({r['run_id'][:12]}): {markdown_text(reason_of(r))}" for r in table.failed
        ]
    return "\n".join(lines) + "\n"


def _quality_text(table: Table) -> list[str]:
    """The table of quality against usefulness."""
    titles = ("number", "arms", "agreement with the gain in AUROC", "without controls")
    lines = ["### Quality and usefulness", "", f"| {' | '.join(titles)} |", "|---|---:|---:|---:|"]
    for one in table.quality:
        shown = [f"{a.rho:+.2f} [{a.low:+.2f}, {a.high:+.2f}]" if a else "null" for a in (one.every, one.generators)]
        lines.append(f"| {markdown_text(one.name)} | {one.every.n if one.every else one.n} | {shown[0]} | {shown[1]} |")
    return [*lines, "", f"`null`: fewer than {LEAST} arms, or all of them equal."]


def _cells(row: Row, notes: Notes, columns: Iterable[str]) -> list[str]:
    standing = row.standing
    rank = str(standing.rank) if standing.rank else f"null ({notes.mark(standing.missing['rank'])})"
    label = markdown_text(row.label) + (" (control)" if standing.entry.record["is_control"] else "")
    numbers = (cell(name, row.numbers[name], notes.mark) for name in columns)
    return [rank, label, *numbers, markdown_text(row.verdict)]


def _columns() -> dict[str, str]:
    """Number -> heading of the page's columns."""
    return COLUMNS | {name: markdown_text(heading) for name, heading in added_columns().items()}


def cell(name: str, number: Number, mark: Any) -> str:
    """Write one number as text.

    Parameters
    ----------
    mark : `mark(note)` gives the letter of a footnote.
    """
    tail = f" ({mark(number.note)})" if number.note else ""
    if number.value is None:
        return f"null{tail}"
    sign = "+" if name.startswith("vs_") else ""
    if name in FIDELITY:
        floor = "null" if number.floor is None else f"{number.floor:.4g} @{number.floor_n}"
        if number.at_floor_n is not None:
            floor += f", arm {number.at_floor_n:.4g} @{number.floor_n}"
        return f"{number.value:.4g} @{number.n} (floor {floor}){tail}"
    if name in ("fit_seconds", "draw_seconds_per_1000"):
        return f"{number.value:.1f}{tail}"
    if name.startswith(("p_", "holm_")) and number.value < 0.0005:
        return f"< 0.001{tail}"
    text = f"{number.value:{sign}.3f}"
    if name == "worth":
        low, high = ("..." if x is None else f"{x:.2f}" for x in (number.low, number.high))
        return f"{number.value:.2f} [{low}, {high}]{tail}"
    if name in ("auroc", "vs_none", "vs_duplicate") and number.low is not None:
        text += f" [{number.low:{sign}.3f}, {number.high:{sign}.3f}]"
    return text + tail


def csv_text(tables: Sequence[Table]) -> str:
    """One flat file, a row an arm; missing numbers are `null`, and `notes` says why."""
    records = [row.standing.entry.record for table in tables for row in table.rows]
    attributes = sorted({attribute for record in records for attribute in record.get("subgroups", {})})
    rows = [_flat_row(table, row, attributes) for table in tables for row in table.rows]
    out = io.StringIO()
    if rows:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(map(csv_cell, rows[0]))
        writer.writerows(map(csv_cell, row.values()) for row in rows)
    return out.getvalue()


def _gaps(record: Mapping[str, Any], attributes: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Columns of the worst-group gap of each attribute, and why a gap is missing."""
    flat: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for attribute in attributes:
        name, found = f"gap_{attribute}", record.get("subgroups", {}).get(attribute)
        gap = found["gap"] if found else {"note": "there are no groups of this attribute"}
        worst = gap.get("worst")
        flat |= {name: gap.get("value"), f"{name}_low": gap.get("low"), f"{name}_high": gap.get("high")}
        flat |= {f"{name}_best_group": gap.get("best"), f"{name}_worst_group": worst}
        flat[f"{name}_worst_auroc"] = found["groups"][worst]["auroc"] if worst else None
        if gap["note"]:
            notes[name] = gap["note"]
    return flat, notes


def _flat_row(table: Table, row: Row, attributes: Sequence[str]) -> dict[str, Any]:
    record, spec = row.standing.entry.record, row.standing.entry.spec
    counts = {kind: sum(record["counts"].get(kind, {}).values()) for kind in ("real", "synthetic")}
    flat: dict[str, Any] = {
        "setting": table.key, "dataset": spec["dataset"], "classifier": spec["classifier"],
        "real_fraction": spec["real_fraction"], "steps": spec["train"]["steps"], "seeds": spec["seeds"],
        "seed": spec["seed"], "precision": spec["precision"], "rank": row.standing.rank, "arm": row.label,
        "generator": spec["generator"], "mode": spec["mode"], "ratio": spec["ratio"],
        "is_control": record["is_control"], "labels_real": counts["real"], "labels_synthetic": counts["synthetic"],
    }  # fmt: skip
    for name, number in row.numbers.items():
        flat[name] = number.value
        if name in INTERVAL or name not in NUMBERS:
            flat |= {f"{name}_low": number.low, f"{name}_high": number.high}
        if name in FIDELITY:
            flat |= {f"{name}_n": number.n, f"{name}_floor": number.floor, f"{name}_floor_n": number.floor_n}
            flat[f"{name}_at_floor_n"] = number.at_floor_n
    gaps, gap_notes = _gaps(record, attributes)
    flat |= gaps
    notes: dict[str, list[str]] = {}
    said = {"rank": row.standing.missing.get("rank"), **{k: v.note for k, v in row.numbers.items()}, **gap_notes}
    for name, note in said.items():
        if note:
            notes.setdefault(note, []).append(name)
    flat["verdict"] = row.verdict
    flat["notes"] = "; ".join(f"{', '.join(names)}: {note}" for note, names in notes.items()) or None
    return flat | {"heading": table.heading, "run_id": record["run_id"]}
