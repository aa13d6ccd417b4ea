"""The tables and pictures of docs/sharing.md, made from results/reference/sharing: `python docs/sharing.py`.

It prints the tables and writes the pictures below docs/images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records.telling import telling
from benchmarks.report.figures.sharing import Panel, draw_sharing, kept_text
from benchmarks.request.spec import NONE
from benchmarks.verdicts.sentences import p_text

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "results/reference/sharing"
DATASETS = {"phantom": "rendered films", "folder": "kermany"}
COLUMNS = ("arm", "AUROC", "against the recipient alone", "p", "kept", "copy rate", "membership AUROC")
Record = Mapping[str, Any]


def read_records() -> dict[tuple[str, str], list[Record]]:
    """Finished records by dataset and donor, the recipient alone first."""
    found: dict[tuple[str, str], list[Record]] = {}
    for file in sorted(RECORDS.glob("*/record.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        found.setdefault((record["spec"]["dataset"], record["spec"]["donor"]), []).append(record)
    for same in found.values():
        same.sort(key=lambda r: (r["spec"]["ratio"], r["is_control"] is False, r["name"], steps_of(r)))
    return dict(sorted(found.items(), key=lambda row: (row[0][0] != "phantom", float(row[0][1]))))


def steps_of(record: Record) -> int:
    """Of the generator's training; 0 where nothing was trained."""
    return int((record["spec"]["fit"] or {"steps": 0})["steps"])


def title_of(records: Sequence[Record]) -> str:
    """`kermany: 293 films of its own, 1,171 of the donor`."""
    hospitals = records[0]["sharing"]
    name = DATASETS[records[0]["spec"]["dataset"]]
    return f"{name}: {hospitals['n_recipient']:,} films of its own, {hospitals['n_donor']:,} of the donor"


def rows_of(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """The rows of a table, an arm each."""
    rows = []
    for record in records:
        auroc, against = record["utility"]["auroc"], record["comparisons"].get(NONE)
        gain, p = "", ""
        if against is not None:
            gain = f"{against['difference']:+.4f} [{against['low']:+.4f}, {against['high']:+.4f}]"
            p = p_text(against["p_interval"]).removeprefix("= ")
        said = record["sharing"]["kept"]
        kept = "" if not said else kept_text(record).removeprefix("keeps ") or "not to be said"
        rows.append(
            (
                _called(record), f"{auroc['value']:.3f} [{auroc['low']:.3f}, {auroc['high']:.3f}]", gain, p, kept,
                _private(record, "copy_rate"), _private(record, "membership_auroc"),
            )
        )  # fmt: skip
    return rows


def _called(record: Record) -> str:
    steps = steps_of(record)
    return f"{record['name']}, {steps:,} steps" if steps else record["name"]


def _private(record: Record, metric: str) -> str:
    """A privacy number in the space that tells most, with what never-seen real films come to there in brackets."""
    found = telling(record["privacy"], metric)
    if found is None:
        return ""
    floor, space = found["extra"].get("floor"), "pixels" if found["features"] == "pixels" else "features"
    return f"{found['value']:.3f} in {space}" + ("" if floor is None else f" ({floor:.3f})")


def table_of(records: Sequence[Record]) -> str:
    """A table as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows_of(records))])


def main() -> None:
    """Print the tables and draw the pictures."""
    found = read_records()
    for records in found.values():
        print(f"{title_of(records)}\n\n{table_of(records)}\n")
    for name, small in (("sharing.png", False), ("sharing_small.png", True)):
        chosen = [records for (_, donor), records in found.items() if (float(donor) < 0.7) is small]
        draw_sharing(ROOT / "docs/images" / name, [Panel(title_of(records), records) for records in chosen])


if __name__ == "__main__":
    main()
